//! `permissions`: what the agent's account may do in the directory, and giving it the one right.
//!
//! `check` reads with the agent's own ticket what the descriptors say, of every account in the scope and
//! of every place that hands rights down, because a right that is missing shows only as a refusal months
//! later, and one that is too much never shows. `grant` adds one entry to each unit of the scope, with an
//! administrator's ticket, and takes nothing away.

mod judge;

use std::{collections::BTreeMap, fmt::Write};

use anyhow::{Context as _, ensure};
use directory::{Directory, Guarded, Kind, Locator, Need, Property};
use policy::gpo::descriptor::{self, Ace, Descriptor};
use serde::Serialize;

use self::judge::{Judge, Place};
use crate::{
    config::Config,
    door::{Tickets, connect},
    scope::Dn,
};

/// What `permissions` is told.
#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// Names every right that the agent lacks and every one that is too much; status 1 where one is
    /// missing.
    Check {
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Lets the agent write keys of the users of its scope, with an administrator's ticket.
    Grant {
        /// Only says what it would add.
        #[arg(long)]
        dry_run: bool,
        /// Lets the agent see which objects were deleted too, so that it need not list those that are
        /// there. Makes Administrators the owner of the container CN=Deleted Objects.
        #[arg(long)]
        deletions: bool,
    },
}

/// A report in which a right is missing: what to say of it.
#[derive(Debug)]
pub struct Incomplete(pub String);

impl std::error::Error for Incomplete {}

impl std::fmt::Display for Incomplete {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Everything that is to be said.
#[derive(Debug, Default, Serialize)]
struct Report {
    account: String,
    sid: String,
    dc: String,
    scopes: Vec<Scope>,
    missing: Vec<Missing>,
    /// What the agent can do without, but not as well.
    optional: Vec<Missing>,
    /// Accounts and units that what the scope hands down does not reach.
    blocked: Vec<Blocked>,
    excessive: Vec<Excess>,
}

#[derive(Debug, Serialize)]
struct Scope {
    ou: String,
    users: usize,
    /// AD keeps entries off them, and the agent their keys: no right is missing.
    protected: usize,
}

#[derive(Debug, Serialize)]
struct Missing {
    ou: String,
    right: String,
    accounts: usize,
    example: Option<String>,
    ace: String,
    command: String,
}

#[derive(Debug, Serialize)]
struct Blocked {
    dn: String,
    accounts: usize,
    command: String,
}

#[derive(Debug, Serialize)]
struct Excess {
    dn: String,
    what: String,
    ace: Option<String>,
    command: Option<String>,
}

const KEYS: &str = "msDS-KeyCredentialLink";
const TOKEN: &str = "tokenGroups";
const ADMINISTRATORS: &str = "S-1-5-32-544";

/// Does what the verb says; answers what to say.
pub async fn run(config: Config, verb: Verb) -> anyhow::Result<String> {
    match verb {
        Verb::Grant { dry_run, deletions } => grant(&config, dry_run, deletions).await,
        Verb::Check { json } => {
            let directory = connect(&config, &Tickets::default()).await?;
            let report = check(&config, &directory).await?;
            let said = match json {
                true => serde_json::to_string(&report)? + "\n",
                false => report.text()?,
            };
            match report.missing.is_empty() && report.blocked.is_empty() {
                true => Ok(said),
                false => Err(Incomplete(said).into()),
            }
        }
    }
}

async fn judge(config: &Config, directory: &Directory) -> anyhow::Result<(Judge, Vec<Excess>)> {
    let identity = directory.identity(&config.account).await?;
    let mut excessive = Vec::new();
    for group in identity.privileged_groups() {
        let name = directory.principal_of(group).await?;
        let name = name.map_or_else(|| group.to_string(), |group| group.dn);
        excessive.push(Excess {
            what: "the account is a member, which makes it an administrator".to_owned(),
            command: Some(format!("take {} out of the group", config.account)),
            dn: name,
            ace: None,
        });
    }
    let keys = directory.properties(&[KEYS]).await?.pop();
    let keys = keys.context("the schema has no msDS-KeyCredentialLink: it is older than 2016's")?;
    let judge = Judge {
        token: identity.token(),
        own: [&[identity.sid.clone()][..], &identity.groups].concat(),
        sid: identity.sid,
        keys,
    };
    Ok((judge, excessive))
}

/// Whether the agent's account may read the keys of the object with this DN, so that what it does not
/// see is not there.
pub async fn sees_keys(config: &Config, directory: &Directory, dn: &str) -> anyhow::Result<bool> {
    let (judge, _) = judge(config, directory).await?;
    let object = directory.guarded(dn).await?;
    let descriptor = object.as_ref().map(parsed).transpose()?.flatten();
    Ok(descriptor.is_some_and(|descriptor| judge.may_read(&descriptor, &judge.keys)))
}

async fn check(config: &Config, directory: &Directory) -> anyhow::Result<Report> {
    let (judge, excessive) = judge(config, directory).await?;
    let domain = directory.domain();
    let mut report = Report {
        account: format!("{}\\{}", domain.netbios_name, config.account),
        sid: judge.sid.to_string(),
        dc: directory.dc().to_owned(),
        excessive,
        ..Report::default()
    };
    let blocked = places(config, directory, &judge, &mut report).await?;
    for ou in config.scope.bases() {
        let unit = directory.guarded(ou).await?;
        let unit = unit.with_context(|| format!("scope.ous: there is no {ou}"))?;
        let hands_down = parsed(&unit)?.is_some_and(|unit| judge.hands_down_keys(&unit));
        let read = [Kind::User.attributes(), &[KEYS, TOKEN]].concat();
        let mut found = Accounts::new(directory, ou, &read).await?;
        found
            .read(&judge, directory, Kind::User, &mut report)
            .await?;
        found.tell(&judge, hands_down, &blocked, &mut report);
    }
    for kind in [Kind::Computer, Kind::Group] {
        let mut found = Accounts::new(directory, &domain.dn, kind.attributes()).await?;
        found.read(&judge, directory, kind, &mut report).await?;
        found.tell_reading(&judge, &mut report);
    }
    if directory.deleted(0, 0).await?.is_none() {
        report.optional.push(Missing {
            ou: directory.deleted_objects(),
            right: "see deletions, which are found by listing what is there".to_owned(),
            accounts: 0,
            example: None,
            ace: judge.looking().to_sddl(),
            command: "latchkey-sync permissions grant --deletions".to_owned(),
        });
    }
    Ok(report)
}

/// Judges what hands rights down; answers the units that take none from above.
async fn places(
    config: &Config,
    directory: &Directory,
    judge: &Judge,
    report: &mut Report,
) -> anyhow::Result<Vec<String>> {
    let domain = &directory.domain().dn;
    let holder = format!("CN=AdminSDHolder,CN=System,{domain}");
    let mut blocked = Vec::new();
    let root = directory.guarded(domain).await?;
    let mut page: Vec<Guarded> = root.into_iter().collect();
    let mut pages = directory.guarded_units(domain);
    loop {
        for unit in &page {
            let Some(descriptor) = parsed(unit)? else {
                continue;
            };
            let place = match &unit.dn {
                dn if dn.eq_ignore_ascii_case(domain) => Place::Root,
                dn if dn.eq_ignore_ascii_case(&holder) => Place::AdminSdHolder,
                dn if config.scope.covers(dn) => Place::Scope,
                _ => Place::Outside,
            };
            if place == Place::Scope && descriptor.is_blocked() {
                blocked.push(unit.dn.clone());
            }
            report.judge_excess(judge, unit, &descriptor, place);
        }
        match pages.next().await? {
            Some(next) => page = next.into(),
            None => return Ok(blocked),
        }
    }
}

/// What is missing of the accounts below a unit.
struct Accounts {
    ou: String,
    read: Vec<Property>,
    users: usize,
    protected: usize,
    /// Accounts by what cannot be read of them: how many, and one.
    unread: BTreeMap<String, (usize, String)>,
    /// Those that lack the right to their keys, and whether they take no entries from above.
    keyless: Vec<(String, bool)>,
}

impl Accounts {
    async fn new(directory: &Directory, ou: &str, read: &[&str]) -> anyhow::Result<Self> {
        Ok(Self {
            ou: ou.to_owned(),
            read: directory.properties(read).await?,
            users: 0,
            protected: 0,
            unread: BTreeMap::new(),
            keyless: Vec::new(),
        })
    }

    async fn read(
        &mut self,
        judge: &Judge,
        directory: &Directory,
        kind: Kind,
        report: &mut Report,
    ) -> anyhow::Result<()> {
        let mut pages = directory.guarded_accounts(kind, &self.ou);
        while let Some(page) = pages.next().await? {
            for account in page {
                let Some(descriptor) = parsed(&account)? else {
                    self.cannot_read("the descriptor (READ_CONTROL)", &account.dn);
                    continue;
                };
                for property in &self.read.clone() {
                    if !judge.may_read(&descriptor, property) {
                        self.cannot_read(&property.name, &account.dn);
                    }
                }
                if kind != Kind::User {
                    continue;
                }
                self.users += 1;
                if account.is_protected {
                    self.protected += 1;
                } else if !judge.may_write_keys(&descriptor) {
                    self.keyless
                        .push((account.dn.clone(), descriptor.is_blocked()));
                }
                report.judge_excess(judge, &account, &descriptor, Place::Scope);
            }
        }
        Ok(())
    }

    fn cannot_read(&mut self, what: &str, dn: &str) {
        let unread = self.unread.entry(what.to_owned());
        unread.or_insert((0, dn.to_owned())).0 += 1;
    }

    /// Each account that lacks the right is counted where the right ends on its way down.
    fn tell(self, judge: &Judge, hands_down: bool, blocked: &[String], report: &mut Report) {
        let mut ends: BTreeMap<&str, usize> = BTreeMap::new();
        let mut lacking = Vec::new();
        for (dn, is_blocked) in &self.keyless {
            let above = || {
                let above = blocked.iter().filter(|unit| is_below(dn, unit));
                above.max_by_key(|unit| unit.len())
            };
            match (is_blocked, above()) {
                (true, _) => *ends.entry(dn).or_default() += 1,
                (false, Some(unit)) => *ends.entry(unit).or_default() += 1,
                (false, None) => lacking.push(dn),
            }
        }
        for (dn, accounts) in ends {
            report.blocked.push(Blocked {
                dn: dn.to_owned(),
                accounts,
                command: format!("dsacls \"{dn}\" /P:N"),
            });
        }
        if !hands_down || !lacking.is_empty() {
            report.missing.push(Missing {
                ou: self.ou.clone(),
                right: format!("read and write {KEYS} of users"),
                accounts: lacking.len(),
                example: lacking.first().map(|dn| (*dn).clone()),
                ace: judge.wanted().to_sddl(),
                command: "latchkey-sync permissions grant".to_owned(),
            });
        }
        report.scopes.push(Scope {
            ou: self.ou.clone(),
            users: self.users,
            protected: self.protected,
        });
        self.tell_reading(judge, report);
    }

    fn tell_reading(self, judge: &Judge, report: &mut Report) {
        for (name, (accounts, example)) in self.unread {
            let property = self.read.iter().find(|property| property.name == name);
            let ace = property.map_or_else(String::new, |found| judge.reading(found).to_sddl());
            report.missing.push(Missing {
                command: format!(
                    "dsacls \"{}\" /I:S /G \"{}:RP;{name}\"",
                    self.ou, report.account
                ),
                ou: self.ou.clone(),
                right: format!("read {name}"),
                accounts,
                example: Some(example),
                ace,
            });
        }
    }
}

impl Report {
    fn judge_excess(
        &mut self,
        judge: &Judge,
        object: &Guarded,
        descriptor: &Descriptor,
        place: Place,
    ) {
        let dn = &object.dn;
        for (ace, what) in judge.excess(descriptor, place) {
            let ace = ace.to_sddl();
            let command = format!("samba-tool dsacl delete --objectdn=\"{dn}\" --sddl=\"{ace}\"");
            self.excessive.push(Excess {
                dn: dn.clone(),
                what,
                ace: Some(ace),
                command: Some(command),
            });
        }
        if judge.owns(descriptor) {
            self.excessive.push(Excess {
                dn: dn.clone(),
                what: "owns the object, and so may change who may do what".to_owned(),
                ace: None,
                command: None,
            });
        }
    }

    fn text(&self) -> anyhow::Result<String> {
        let mut said = String::new();
        writeln!(
            said,
            "account    {} ({}), by {}",
            self.account, self.sid, self.dc
        )?;
        for scope in &self.scopes {
            let Scope {
                ou,
                users,
                protected,
            } = scope;
            writeln!(
                said,
                "scope      {ou}: {users} users, {protected} protected"
            )?;
        }
        for missing in &self.missing {
            let Missing {
                ou,
                right,
                accounts,
                ..
            } = missing;
            writeln!(said, "missing    {ou}: {right}, of {accounts} accounts")?;
            if let Some(example) = &missing.example {
                writeln!(said, "           such as {example}")?;
            }
            writeln!(
                said,
                "           {}\n           {}",
                missing.ace, missing.command
            )?;
        }
        for Missing {
            ou,
            right,
            ace,
            command,
            ..
        } in &self.optional
        {
            writeln!(
                said,
                "optional   {ou}: {right}\n           {ace}\n           {command}"
            )?;
        }
        for Blocked {
            dn,
            accounts,
            command,
        } in &self.blocked
        {
            writeln!(
                said,
                "blocked    {dn}: takes no entries from above; {accounts} accounts\n           {command}"
            )?;
        }
        for excess in &self.excessive {
            writeln!(said, "excessive  {}: {}", excess.dn, excess.what)?;
            for line in [&excess.ace, &excess.command].into_iter().flatten() {
                writeln!(said, "           {line}")?;
            }
        }
        if self.missing.is_empty() && self.blocked.is_empty() {
            let end = match self.excessive.is_empty() {
                true => "the agent may do what it needs, and nothing else",
                false => "the agent may do what it needs, and more",
            };
            writeln!(said, "{end}")?;
        }
        Ok(said)
    }
}

async fn grant(config: &Config, dry_run: bool, deletions: bool) -> anyhow::Result<String> {
    let locator = Locator::new(&config.realm, config.dc.as_deref(), Need::Write);
    let directory = locator.connect().await?;
    let (judge, _) = judge(config, &directory).await?;
    let wanted = judge.wanted();
    let mut said = String::new();
    for ou in config.scope.bases() {
        let before = descriptor_of(&directory, ou).await;
        let before = before.with_context(|| format!("scope.ous: {ou}"))?;
        let before = before.with_context(|| unreadable(ou))?;
        let what = match judge.hands_down_keys(&before) {
            true => "is there".to_owned(),
            false => add(&directory, ou, before, &wanted, dry_run).await?,
        };
        writeln!(said, "{ou}: {what}")?;
    }
    if deletions {
        let dn = directory.deleted_objects();
        let what = let_look(&directory, &dn, &judge.looking(), dry_run).await?;
        writeln!(said, "{dn}: {what}")?;
    }
    Ok(said)
}

/// Whoever owns the container of what was deleted may change who sees it; from the beginning that is
/// the system.
async fn let_look(
    directory: &Directory,
    dn: &str,
    wanted: &Ace,
    dry_run: bool,
) -> anyhow::Result<String> {
    let before = match descriptor_of(directory, dn).await? {
        Some(before) => before,
        None if dry_run => return Ok(format!("would add {}", wanted.to_sddl())),
        None => {
            let owner = Descriptor {
                control: 0,
                owner: Some(ADMINISTRATORS.parse()?),
                group: None,
                dacl: None,
                sacl: None,
            };
            set(directory, dn, &owner).await?;
            let now = descriptor_of(directory, dn).await?;
            now.with_context(|| unreadable(dn))?
        }
    };
    let dacl = Descriptor {
        owner: None,
        group: None,
        ..before
    };
    add(directory, dn, dacl, wanted, dry_run).await
}

/// Adds an entry, unless it is there; answers what became of it.
async fn add(
    directory: &Directory,
    dn: &str,
    before: Descriptor,
    wanted: &Ace,
    dry_run: bool,
) -> anyhow::Result<String> {
    let (mut after, ace) = (before.clone(), wanted.to_sddl());
    if !after.allow(std::slice::from_ref(wanted)) {
        return Ok("is there".to_owned());
    }
    if dry_run {
        return Ok(format!("would add {ace}"));
    }
    set(directory, dn, &after).await?;
    let now = descriptor_of(directory, dn).await?;
    let now = now.with_context(|| unreadable(dn))?;
    ensure!(
        aces(&after).all(|ace| aces(&now).any(|now| now == ace)),
        "{dn}: somebody else changed its descriptor at the same time; try again"
    );
    Ok(format!("added {ace}"))
}

async fn set(directory: &Directory, dn: &str, descriptor: &Descriptor) -> anyhow::Result<()> {
    let set = directory.set_descriptor(dn, &descriptor.to_bytes()).await;
    set.with_context(|| format!("{dn}: an administrator's ticket is needed (kinit)"))
}

async fn descriptor_of(directory: &Directory, dn: &str) -> anyhow::Result<Option<Descriptor>> {
    let object = directory.guarded(dn).await?;
    parsed(&object.context("there is no such object")?)
}

fn unreadable(dn: &str) -> String {
    format!("the descriptor of {dn} may not be read with this ticket")
}

fn aces(descriptor: &Descriptor) -> impl Iterator<Item = &Ace> {
    descriptor.dacl.iter().flat_map(|dacl| &dacl.aces)
}

fn parsed(object: &Guarded) -> anyhow::Result<Option<Descriptor>> {
    let bytes = object.descriptor.as_deref();
    bytes
        .map(descriptor::parse)
        .transpose()
        .with_context(|| object.dn.clone())
}

fn is_below(dn: &str, ancestor: &str) -> bool {
    let (dn, ancestor) = (Dn::parse(dn), Dn::parse(ancestor));
    dn.zip(ancestor)
        .is_some_and(|(dn, ancestor)| dn.is_below(&ancestor))
}
