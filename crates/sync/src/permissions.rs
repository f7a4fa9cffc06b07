//! `permissions`: what the agent's account may do in the directory, and giving it the one right.
//!
//! `check` reads with the agent's own ticket what the descriptors say, of every object in the domain: a
//! right that is missing shows only as a refusal months later, and one that is too much never shows. The
//! configuration and the schema, which are the forest's, are not read. `grant` adds one entry to each unit
//! of the scope, with an administrator's ticket, and takes nothing away.

mod grant;
mod judge;
mod report;
mod survey;

use std::{
    io::{IsTerminal, Write, stderr},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use directory::{Directory, Guarded, Identity, Kind};
use policy::gpo::descriptor::{self, Descriptor};

use self::{
    judge::Judge,
    report::{Excess, Report},
    survey::Survey,
};
use crate::{
    config::Config,
    door::{Tickets, connect},
};

/// What `permissions` is told.
#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// Names every right that the agent lacks and every one that is too much; status 3 where one is
    /// missing, and 1 where that could not be found out.
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

/// The exit status of such a report.
pub const INCOMPLETE: u8 = 3;

/// A report in which a right is missing: what to say of it.
#[derive(Debug)]
pub struct Incomplete(pub String);

impl std::error::Error for Incomplete {}

impl std::fmt::Display for Incomplete {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

const KEYS: &str = "msDS-KeyCredentialLink";
const TOKEN: &str = "tokenGroups";

/// Does what the verb says; answers what to say.
pub async fn run(config: Config, verb: Verb) -> anyhow::Result<String> {
    match verb {
        Verb::Grant { dry_run, deletions } => grant::grant(&config, dry_run, deletions).await,
        Verb::Check { json } => {
            let directory = connect(&config, &Tickets::default()).await?;
            let report = check(&config, &directory).await?;
            let said = match json {
                true => serde_json::to_string(&report)? + "\n",
                false => report.text()?,
            };
            match report.is_complete() {
                true => Ok(said),
                false => Err(Incomplete(said).into()),
            }
        }
    }
}

async fn judge(identity: Identity, directory: &Directory) -> anyhow::Result<Judge> {
    let keys = directory.properties(&[KEYS]).await?.pop();
    let keys = keys.context("the schema has no msDS-KeyCredentialLink: it is older than 2016's")?;
    Ok(Judge {
        token: identity.token(),
        own: [&[identity.sid.clone()][..], &identity.groups].concat(),
        sid: identity.sid,
        keys,
    })
}

/// The groups that make the account an administrator.
async fn memberships(
    config: &Config,
    identity: &Identity,
    directory: &Directory,
) -> anyhow::Result<Vec<Excess>> {
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
    Ok(excessive)
}

/// Whether the agent's account may read the keys of the object with this DN, so that what it does not
/// see is not there.
pub async fn sees_keys(config: &Config, directory: &Directory, dn: &str) -> anyhow::Result<bool> {
    let identity = directory.identity(&config.account).await?;
    let judge = judge(identity, directory).await?;
    let object = directory.guarded(dn).await?;
    let descriptor = object.as_ref().map(parsed).transpose()?.flatten();
    Ok(descriptor.is_some_and(|descriptor| judge.may_read(&descriptor, &judge.keys)))
}

async fn check(config: &Config, directory: &Directory) -> anyhow::Result<Report> {
    let identity = directory.identity(&config.account).await?;
    let excessive = memberships(config, &identity, directory).await?;
    let judge = judge(identity, directory).await?;
    let domain = directory.domain();
    let mut report = Report {
        account: format!("{}\\{}", domain.netbios_name, config.account),
        sid: judge.sid.to_string(),
        dc: directory.dc().to_owned(),
        excessive,
        ..Report::default()
    };
    if directory.deleted(0, 0).await?.is_none() {
        report.can_do_without_deletions(&judge, directory.deleted_objects());
    }
    let mut survey = Survey::new(&domain.dn, judge, report);
    let of_users = [Kind::User.attributes(), &[KEYS, TOKEN]].concat();
    for ou in config.scope.bases() {
        let unit = directory.guarded(ou).await?;
        let unit = unit.with_context(|| format!("scope.ous: there is no {ou}"))?;
        let read = directory.properties(&of_users).await?;
        survey.of_users(&unit, read)?;
    }
    for kind in [Kind::Computer, Kind::Group] {
        let read = directory.properties(kind.attributes()).await?;
        survey.of_all(kind, read)?;
    }
    let mut progress = Progress::begin();
    let mut pages = directory.guarded_objects();
    while let Some(page) = pages.next().await? {
        for object in &page {
            survey.see(object)?;
        }
        progress.add(page.len());
    }
    Ok(survey.end())
}

/// Tells on a terminal how far a reading has come that takes long.
struct Progress {
    begun: Instant,
    read: usize,
}

impl Progress {
    fn begin() -> Self {
        Self {
            begun: Instant::now(),
            read: 0,
        }
    }

    fn add(&mut self, count: usize) {
        self.read += count;
        if self.is_shown() {
            let _ = write!(stderr(), "\r{} objects read", self.read);
        }
    }

    fn is_shown(&self) -> bool {
        self.begun.elapsed() > Duration::from_secs(1) && stderr().is_terminal()
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.is_shown() {
            // The line as it was before.
            let _ = write!(stderr(), "\r\x1b[K");
        }
    }
}

fn parsed(object: &Guarded) -> anyhow::Result<Option<Descriptor>> {
    let bytes = object.descriptor.as_deref();
    bytes
        .map(descriptor::parse)
        .transpose()
        .with_context(|| object.dn.clone())
}
