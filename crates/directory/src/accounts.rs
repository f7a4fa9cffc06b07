//! Users, groups and computers as the directory has them.

use model::{Filetime, Guid, LogonHours, Sid, UnixTime};

use crate::{
    Directory, Domain, Error,
    entry::Entry,
    filter::Filter,
    gpo::search,
    groups::{GROUP, Group},
    keys::any_of,
    message::{DELETED_OBJECTS, Scope, Search},
    search::{Pages, Query, understood},
};

/// What identifies an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum By {
    /// objectGUID.
    Guid(Guid),
    /// objectSid.
    Sid(Sid),
    /// A userPrincipalName, or `account@REALM`. Nobody where two accounts could be meant.
    Principal(String),
    /// sAMAccountName.
    Account(String),
}

/// A user.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct User {
    /// objectGUID.
    pub guid: Guid,
    /// objectSid.
    pub sid: Sid,
    /// distinguishedName.
    pub dn: String,
    /// sAMAccountName.
    pub account: String,
    /// userPrincipalName, or sAMAccountName@domain where there is none.
    pub principal: String,
    /// displayName, or sAMAccountName.
    pub display_name: String,
    /// The primary one of proxyAddresses, or mail.
    pub mail: Option<String>,
    /// mS-DS-ConsistencyGuid, which stays where an object is made anew, or objectGUID.
    pub source_anchor: Vec<u8>,
    /// Not disabled.
    pub enabled: bool,
    /// When the account ends, if it does.
    pub expires: Option<UnixTime>,
    /// Until when wrong passwords have locked it out, by the domain's own policy: what a fine-grained
    /// one says is not looked at.
    pub locked_until: Option<UnixTime>,
    /// Another password must be chosen at the next sign-in.
    pub must_change: bool,
    /// The hours of the week in which it may sign in; none: all.
    pub hours: Option<LogonHours>,
    /// Why no key may be written to it, if so; group membership is looked at only where
    /// [`Directory::keys`] read the user.
    pub protection: Option<Protection>,
    /// uSNChanged at the domain controller of this connection.
    pub usn: u64,
}

/// Why an account is out of bounds for keys, whatever the scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protection {
    /// adminCount: AD itself protects it (MS-ADTS 3.1.1.6.1).
    AdminCount,
    /// In a privileged group, directly or not. Samba does not maintain adminCount.
    PrivilegedGroup,
    /// A computer or domain controller.
    Computer,
    /// The account of a trust.
    Trust,
    /// The built-in administrator or a KDC's account.
    WellKnown,
    /// The domain controller does not show what would tell: nobody knows that it is none of these.
    Unreadable,
}

/// A computer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Computer {
    /// objectGUID.
    pub guid: Guid,
    /// objectSid.
    pub sid: Sid,
    /// distinguishedName.
    pub dn: String,
    /// cn.
    pub name: String,
    /// sAMAccountName.
    pub account: String,
    /// Not disabled.
    pub enabled: bool,
    /// userCertificate, DER each.
    pub certificates: Vec<Vec<u8>>,
    /// uSNChanged at the domain controller of this connection.
    pub usn: u64,
}

/// Which accounts have changed: their objectGUIDs.
#[derive(Debug, Clone, Default)]
pub struct Changed {
    /// Users.
    pub users: Vec<Guid>,
    /// Groups.
    pub groups: Vec<Guid>,
    /// Computers.
    pub computers: Vec<Guid>,
}

/// The kinds of accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Users.
    User,
    /// Groups.
    Group,
    /// Computers.
    Computer,
}

/// Attributes of a user.
pub(crate) const USER: &[&str] = &[
    "objectGUID",
    "objectSid",
    "objectClass",
    "sAMAccountName",
    "userPrincipalName",
    "displayName",
    "mail",
    "proxyAddresses",
    "mS-DS-ConsistencyGuid",
    "userAccountControl",
    "accountExpires",
    "lockoutTime",
    "pwdLastSet",
    "logonHours",
    "adminCount",
    "uSNChanged",
];
const COMPUTER: &[&str] = &[
    "objectGUID",
    "objectSid",
    "cn",
    "sAMAccountName",
    "userAccountControl",
    "userCertificate",
    "uSNChanged",
];

pub(crate) const CONTROL: &str = "userAccountControl";
const DISABLED: u32 = 0x2;
const TRUST: u32 = 0x800;
const WORKSTATION: u32 = 0x1000;
pub(crate) const DOMAIN_CONTROLLER: u32 = 0x2000;
pub(crate) const READ_ONLY_DOMAIN_CONTROLLER: u32 = 0x0400_0000;

const ADMINISTRATOR: u32 = 500;
const KRBTGT: u32 = 502;
/// Relative identifiers of a domain's privileged groups: Enterprise Read-only Domain Controllers,
/// Domain Admins, Domain Controllers, Schema Admins, Enterprise Admins, Group Policy Creator
/// Owners, Read-only Domain Controllers, Key Admins, Enterprise Key Admins (MS-DTYP 2.4.2.4).
const PRIVILEGED: [u32; 9] = [498, 512, 516, 518, 519, 520, 521, 526, 527];
/// Built-in groups that are as good as an administrator: Administrators, Account Operators,
/// Server Operators, Print Operators, Backup Operators, Replicator.
const PRIVILEGED_BUILT_IN: [u32; 6] = [544, 548, 549, 550, 551, 552];

/// So many changes are asked for by their numbers, so many of them at once.
const FEW_CHANGES: u64 = 5000;
const NUMBERS_AT_ONCE: usize = 100;

/// More certificates than any computer has; the rest is left out.
const MAX_CERTIFICATES: usize = 32;
const MAX_CERTIFICATE: usize = 16 * 1024;

impl Kind {
    /// The attributes that are read of an account of this kind.
    pub fn attributes(self) -> &'static [&'static str] {
        match self {
            Self::User => USER,
            Self::Group => GROUP,
            Self::Computer => COMPUTER,
        }
    }

    /// Of an entry with its classes, as [`Kind::filter`] finds it.
    pub(crate) fn of(entry: &Entry) -> Option<Self> {
        let category = plain_dn(entry.text("objectCategory")?);
        let (category, _) = category.split_once(',')?;
        match &*category.to_ascii_lowercase() {
            "cn=person" if entry.is_a("user") => Some(Self::User),
            "cn=group" => Some(Self::Group),
            "cn=computer" => Some(Self::Computer),
            _ => None,
        }
    }

    pub(crate) fn filter(self) -> Filter {
        match self {
            Self::User => Filter::And(vec![
                Filter::equal("objectCategory", "person"),
                Filter::equal("objectClass", "user"),
            ]),
            Self::Group => Filter::equal("objectCategory", "group"),
            Self::Computer => Filter::equal("objectCategory", "computer"),
        }
    }
}

impl Directory {
    /// A user.
    pub async fn user(&self, by: &By) -> Result<Option<User>, Error> {
        let entry = self.account(by, Kind::User, USER).await?;
        entry
            .map(|entry| User::read(&entry, self.domain()))
            .transpose()
    }

    /// A computer.
    pub async fn computer(&self, by: &By) -> Result<Option<Computer>, Error> {
        let entry = self.account(by, Kind::Computer, COMPUTER).await?;
        entry
            .map(|entry| Computer::read(&entry, self.domain()))
            .transpose()
    }

    /// Which accounts have changed after the update sequence number `since`, up to `usn`.
    pub async fn changed(&self, since: u64, usn: u64) -> Result<Changed, Error> {
        let kinds = [Kind::User, Kind::Group, Kind::Computer];
        let kinds = Filter::Or(kinds.map(Kind::filter).to_vec());
        let mut changed = Changed::default();
        for (filter, is_few) in changes(since, usn, &kinds) {
            let mut pages = self.pages(Query {
                base: self.domain().dn.clone(),
                scope: Scope::Subtree,
                filter,
                attributes: &["objectGUID", "objectCategory", "objectClass"],
                extended_dn: false,
                read: |entry, _| Ok((Kind::of(entry), entry.guid()?)),
            });
            pages.is_paged = !is_few;
            while let Some(page) = pages.next().await? {
                for (kind, guid) in page {
                    match kind {
                        Some(Kind::User) => changed.users.push(guid),
                        Some(Kind::Group) => changed.groups.push(guid),
                        Some(Kind::Computer) => changed.computers.push(guid),
                        None => {}
                    }
                }
            }
        }
        Ok(changed)
    }

    /// Users in one answer; who is not found or not understood is not in it.
    pub async fn users_of(&self, guids: &[Guid]) -> Result<Vec<User>, Error> {
        self.of(Kind::User, guids, User::read).await
    }

    /// Groups in one answer, as of [`Directory::users_of`]. Complete each with
    /// [`Directory::complete_members`].
    pub async fn groups_of(&self, guids: &[Guid]) -> Result<Vec<Group>, Error> {
        self.of(Kind::Group, guids, Group::read).await
    }

    /// Computers in one answer, as of [`Directory::users_of`].
    pub async fn computers_of(&self, guids: &[Guid]) -> Result<Vec<Computer>, Error> {
        self.of(Kind::Computer, guids, Computer::read).await
    }

    async fn of<T>(
        &self,
        kind: Kind,
        guids: &[Guid],
        read: fn(&Entry, &Domain) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error> {
        if guids.is_empty() {
            return Ok(Vec::new());
        }
        let filter = any_of(guids);
        let search = Search {
            base: &self.domain().dn,
            scope: Scope::Subtree,
            filter: &filter,
            attributes: &[kind.attributes(), &["objectCategory", "objectClass"]].concat(),
            page: None,
            extended_dn: kind == Kind::Group,
        };
        let found = self.all(&search).await?;
        let found = found.iter().filter(|entry| Kind::of(entry) == Some(kind));
        Ok(found
            .filter_map(|entry| understood(entry, read(entry, self.domain())))
            .collect())
    }

    /// The computer whose ticket bound this connection.
    pub async fn own_computer(&self) -> Result<Computer, Error> {
        let name = self.who_am_i().await?;
        let account = name
            .split_once('\\')
            .map_or(name.as_str(), |(_, account)| account);
        self.computer(&By::Account(account.to_owned()))
            .await?
            .ok_or(Error::Missing(
                "a computer for the ticket that bound the connection",
            ))
    }

    /// The SIDs of all accounts for which a KDC would issue a ticket in the name `account`: by
    /// sAMAccountName, by userPrincipalName of this domain, or by one of no domain.
    pub async fn claimants(&self, account: &str) -> Result<Vec<Sid>, Error> {
        let filter = claimants_filter(account, &self.domain().dns_name);
        let search = Search {
            base: &self.domain().dn,
            scope: Scope::Subtree,
            filter: &filter,
            attributes: &["objectSid"],
            page: None,
            extended_dn: false,
        };
        self.all(&search).await?.iter().map(Entry::sid).collect()
    }

    /// All users below `base`.
    pub fn users(&self, base: &str) -> Pages<'_, User> {
        self.pages(Query {
            base: base.to_owned(),
            scope: Scope::Subtree,
            filter: Kind::User.filter(),
            attributes: USER,
            extended_dn: false,
            read: User::read,
        })
    }

    /// All computers of the domain.
    pub fn computers(&self) -> Pages<'_, Computer> {
        self.pages(Query {
            base: self.domain().dn.clone(),
            scope: Scope::Subtree,
            filter: Kind::Computer.filter(),
            attributes: COMPUTER,
            extended_dn: false,
            read: Computer::read,
        })
    }

    /// The objectGUIDs of all accounts of a kind below `base`, to find out what is gone.
    pub fn ids(&self, kind: Kind, base: &str) -> Pages<'_, Guid> {
        self.pages(Query {
            base: base.to_owned(),
            scope: Scope::Subtree,
            filter: kind.filter(),
            attributes: &["objectGUID"],
            extended_dn: false,
            read: |entry, _| entry.guid(),
        })
    }

    /// The objects that were deleted after `since`, up to `usn`, of whatever kind; none where the account
    /// may not read the container of what was deleted. Whoever may read it and not list it is told of
    /// nothing, and cannot know: the two are granted together.
    pub async fn deleted(&self, since: u64, usn: u64) -> Result<Option<Vec<Guid>>, Error> {
        let base = self.deleted_objects();
        let is_deleted = Filter::equal("isDeleted", "TRUE");
        let container = search(&base, Scope::Base, &is_deleted, &["isDeleted"]);
        let container = self.one(&container).await?;
        if container.is_none_or(|container| container.text("isDeleted").is_none()) {
            return Ok(None);
        }
        let mut deleted = Vec::new();
        for (filter, is_few) in changes(since, usn, &is_deleted) {
            let mut pages = self.pages(Query {
                base: base.clone(),
                // Where a domain controller has an index of it.
                scope: Scope::Children,
                filter,
                attributes: &["objectGUID"],
                extended_dn: false,
                read: |entry, _| entry.guid(),
            });
            pages.is_paged = !is_few;
            deleted.extend(pages.all().await?);
        }
        Ok(Some(deleted))
    }

    /// The container of what was deleted.
    pub fn deleted_objects(&self) -> String {
        format!("{DELETED_OBJECTS}{}", self.domain().dn)
    }

    async fn account(
        &self,
        by: &By,
        kind: Kind,
        attributes: &'static [&'static str],
    ) -> Result<Option<Entry>, Error> {
        let identity = match by {
            By::Guid(guid) => return self.by_guid(*guid, &kind.filter(), attributes).await,
            By::Sid(sid) => Filter::equal("objectSid", sid.to_bytes()),
            By::Account(account) => Filter::equal("sAMAccountName", account.as_bytes()),
            By::Principal(principal) => match principal.rsplit_once('@') {
                Some((account, realm)) if realm.eq_ignore_ascii_case(&self.domain().dns_name) => {
                    principal_filter(account, realm)
                }
                _ => Filter::equal("userPrincipalName", principal.as_bytes()),
            },
        };
        let filter = Filter::And(vec![kind.filter(), identity]);
        let search = Search {
            base: &self.domain().dn,
            scope: Scope::Subtree,
            filter: &filter,
            attributes,
            page: None,
            extended_dn: false,
        };
        let mut found = self.all(&search).await?;
        Ok(found.pop().filter(|_| found.is_empty()))
    }
}

impl User {
    /// Whether the account may sign in at this hour.
    pub fn is_within_hours(&self, now: UnixTime) -> bool {
        self.hours.is_none_or(|hours| hours.allow(now))
    }

    pub(crate) fn read(entry: &Entry, domain: &Domain) -> Result<Self, Error> {
        let account = entry.required_text("sAMAccountName")?;
        let control = entry.flags(CONTROL);
        let sid = entry.sid()?;
        Ok(Self {
            guid: entry.guid()?,
            dn: plain_dn(&entry.dn).to_owned(),
            principal: entry
                .text("userPrincipalName")
                .map_or_else(|| format!("{account}@{}", domain.dns_name), str::to_owned),
            display_name: entry.text("displayName").unwrap_or(&account).to_owned(),
            mail: primary_mail(entry).map(str::to_owned),
            source_anchor: source_anchor(entry)?,
            enabled: control & DISABLED == 0,
            expires: expires(entry.number("accountExpires")),
            locked_until: locked_until(entry.number("lockoutTime"), domain.lockout_s),
            must_change: entry.text("pwdLastSet") == Some("0"),
            hours: entry
                .value("logonHours")
                .and_then(|hours| Some(LogonHours(hours.try_into().ok()?))),
            protection: protection(entry, control, &sid, &account),
            usn: entry.number("uSNChanged"),
            sid,
            account,
        })
    }
}

/// The one of proxyAddresses that is marked by capitals, or mail, because a domain that never had a mail
/// server of Microsoft's has no other. Accounts are matched by it too, and nobody can write one of the two
/// who could not write the other: both are of the property set Public Information.
fn primary_mail(entry: &Entry) -> Option<&str> {
    let mut addresses = entry.texts("proxyAddresses");
    let primary = addresses.find_map(|address| address.strip_prefix("SMTP:"));
    primary.or_else(|| entry.text("mail"))
}

fn source_anchor(entry: &Entry) -> Result<Vec<u8>, Error> {
    let set = entry.value("mS-DS-ConsistencyGuid");
    Ok(match set.filter(|set| !set.is_empty()) {
        Some(set) => set.to_vec(),
        None => entry.guid()?.to_le_bytes().to_vec(),
    })
}

/// accountExpires (MS-ADA1 2.3): 0 and the greatest number are never.
fn expires(time: u64) -> Option<UnixTime> {
    const NEVER: u64 = i64::MAX as u64;
    (1..NEVER).contains(&time).then(|| Filetime(time).into())
}

/// The end of a lockout that began at lockoutTime (MS-ADA1 2.385), which 0 is none of.
fn locked_until(since: u64, lockout_s: Option<i64>) -> Option<UnixTime> {
    let since = (since > 0).then(|| UnixTime::from(Filetime(since)))?;
    Some(since.plus(lockout_s?).min(LAST))
}

/// The end of the year 9999, for what has no end: it can be written as a date.
const LAST: UnixTime = UnixTime(253_402_300_799);

/// Seconds of a duration as AD has it: steps of 100 ns below zero, where zero and the least number are
/// for ever.
pub(crate) fn duration_s(text: &str) -> Option<i64> {
    Some(match text.parse().ok()? {
        0 | i64::MIN => i64::MAX,
        steps => steps.checked_neg()? / 10_000_000,
    })
}

/// Why no key may be written to a user whose entry was asked for its groups too. Every user has a
/// userAccountControl and is in a group: where either is missing, the right to read it is.
pub(crate) fn full_protection(entry: &Entry, user: &User) -> Option<Protection> {
    let shown = !entry.values("tokenGroups").is_empty() && entry.value(CONTROL).is_some();
    user.protection
        .or((!shown).then_some(Protection::Unreadable))
}

impl Computer {
    pub(crate) fn read(entry: &Entry, _: &Domain) -> Result<Self, Error> {
        Ok(Self {
            guid: entry.guid()?,
            sid: entry.sid()?,
            dn: plain_dn(&entry.dn).to_owned(),
            name: entry.required_text("cn")?,
            account: entry.required_text("sAMAccountName")?,
            enabled: entry.flags(CONTROL) & DISABLED == 0,
            certificates: entry
                .values("userCertificate")
                .iter()
                .filter(|der| der.len() <= MAX_CERTIFICATE)
                .take(MAX_CERTIFICATES)
                .cloned()
                .collect(),
            usn: entry.number("uSNChanged"),
        })
    }
}

fn protection(entry: &Entry, control: u32, sid: &Sid, account: &str) -> Option<Protection> {
    let machine = WORKSTATION | DOMAIN_CONTROLLER | READ_ONLY_DOMAIN_CONTROLLER;
    if control & machine != 0 || entry.is_a("computer") {
        return Some(Protection::Computer);
    }
    if control & TRUST != 0 {
        return Some(Protection::Trust);
    }
    let kdc = account
        .get(..6)
        .is_some_and(|head| head.eq_ignore_ascii_case("krbtgt"));
    if kdc || matches!(sid.rid(), Some(ADMINISTRATOR | KRBTGT)) {
        return Some(Protection::WellKnown);
    }
    if entry.number("adminCount") > 0 {
        return Some(Protection::AdminCount);
    }
    let groups = entry
        .values("tokenGroups")
        .iter()
        .filter_map(|group| Sid::from_bytes(group).ok());
    groups
        .into_iter()
        .any(|group| is_privileged(&group))
        .then_some(Protection::PrivilegedGroup)
}

/// Whether a group of any domain of the forest, or a built-in one, makes its members privileged.
pub(crate) fn is_privileged(group: &Sid) -> bool {
    let text = group.to_string();
    let rid = group.rid().unwrap_or(0);
    (text.starts_with("S-1-5-21-") && PRIVILEGED.contains(&rid))
        || (text.starts_with("S-1-5-32-") && PRIVILEGED_BUILT_IN.contains(&rid))
}

/// What finds everything, or of `those` where there is much, that changed after `since`, up to `usn`: one
/// search after another, and whether it finds few. A domain controller without an ordered index, such as
/// Samba with its default database, looks at everything there is for "at least"; what has a certain number
/// it finds at once.
pub(crate) fn changes(since: u64, usn: u64, those: &Filter) -> Vec<(Filter, bool)> {
    let first = since.saturating_add(1);
    if usn.saturating_sub(since) > FEW_CHANGES {
        let at_least = Filter::AtLeast("uSNChanged", first);
        return vec![(Filter::And(vec![at_least, those.clone()]), false)];
    }
    let numbers: Vec<u64> = (first..=usn).collect();
    let one = |number: &u64| Filter::equal("uSNChanged", number.to_string());
    let some = |numbers: &[u64]| (Filter::Or(numbers.iter().map(one).collect()), true);
    numbers.chunks(NUMBERS_AT_ONCE).map(some).collect()
}

fn principal_filter(account: &str, realm: &str) -> Filter {
    Filter::Or(vec![
        Filter::equal("sAMAccountName", account.as_bytes()),
        Filter::equal("userPrincipalName", format!("{account}@{realm}")),
    ])
}

/// A KDC looks for the name of an enterprise principal among userPrincipalNames as it is (MS-KILE
/// 3.3.5.6.1), and whoever may write one of these may leave the realm out.
pub(crate) fn claimants_filter(account: &str, realm: &str) -> Filter {
    Filter::Or(vec![
        principal_filter(account, realm),
        Filter::equal("userPrincipalName", account.as_bytes()),
    ])
}

/// The DN behind `<GUID=…>;<SID=…>;`.
pub(crate) fn plain_dn(extended: &str) -> &str {
    let mut rest = extended;
    while let Some((_, tail)) = rest
        .strip_prefix('<')
        .and_then(|rest| rest.split_once(">;"))
    {
        rest = tail;
    }
    rest
}
