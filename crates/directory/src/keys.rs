//! The keys of a user: values of `msDS-KeyCredentialLink` (MS-ADA2, MS-ADTS 2.2.20).

use keycred::DnBinary;
use model::Guid;

use crate::{
    Directory, Domain, Error, User,
    accounts::{Kind, USER, full_protection},
    entry::Entry,
    filter::Filter,
    message::{Change, Request, Scope, Search},
    search::{Pages, Query, success},
};

const ATTRIBUTE: &str = "msDS-KeyCredentialLink";
/// What tells whether a user may have keys, and the keys.
const HOLDER: &[&str] = &[
    "objectGUID",
    "objectSid",
    "objectClass",
    "sAMAccountName",
    "userPrincipalName",
    "displayName",
    "mail",
    "userAccountControl",
    "accountExpires",
    "lockoutTime",
    "adminCount",
    "uSNChanged",
    ATTRIBUTE,
];
const NO_SUCH_ATTRIBUTE: u32 = 16;
/// sizeLimitExceeded (RFC 4511 4.1.9).
const SIZE_LIMIT: u32 = 4;
const VALUE_EXISTS: u32 = 20;

/// A user and the keys that the directory has for it.
#[derive(Debug, Clone)]
pub struct KeyHolder {
    /// The user; privileged groups are looked at where [`Directory::keys`] read it.
    pub user: User,
    /// All values, those of others too.
    pub values: Vec<KeyValue>,
}

/// One value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyValue {
    /// The key credential.
    pub blob: Vec<u8>,
}

impl Directory {
    /// A user's keys; `None` where there is no such user.
    pub async fn keys(&self, user: Guid) -> Result<Option<KeyHolder>, Error> {
        let attributes = [USER, &["tokenGroups", ATTRIBUTE]].concat();
        let Some(entry) = self
            .by_guid(user, &Kind::User.filter(), &attributes)
            .await?
        else {
            return Ok(None);
        };
        let mut holder = holder(&entry, self.domain())?;
        holder.user.protection = full_protection(&entry, &holder.user);
        Ok(Some(holder))
    }

    /// The keys of many users in one answer; whoever is not found or not understood is not in it.
    pub async fn keys_of(&self, users: &[Guid]) -> Result<Vec<KeyHolder>, Error> {
        if users.is_empty() {
            return Ok(Vec::new());
        }
        let filter = any_of(users);
        let search = Search {
            base: &self.domain().dn,
            scope: Scope::Subtree,
            filter: &filter,
            attributes: HOLDER,
            page: None,
            extended_dn: false,
        };
        let found = self.all(&search).await?;
        let holders = found
            .iter()
            .filter_map(|entry| holder(entry, self.domain()).ok());
        Ok(holders.collect())
    }

    /// Every account below `base` that has keys, computers too.
    pub fn key_holders(&self, base: &str) -> Pages<'_, KeyHolder> {
        let users = Filter::equal("objectClass", "user");
        self.pages(Query {
            base: base.to_owned(),
            scope: Scope::Subtree,
            filter: Filter::And(vec![Filter::Present(ATTRIBUTE), users]),
            attributes: HOLDER,
            extended_dn: false,
            read: holder,
        })
    }

    /// Which release of its system the domain controller runs, where the directory says so.
    pub async fn dc_release(&self) -> Result<Option<String>, Error> {
        let filter = Filter::And(vec![
            Filter::equal("objectCategory", "computer"),
            Filter::equal("dNSHostName", self.dc().as_bytes()),
        ]);
        let search = Search {
            base: &self.domain().dn,
            scope: Scope::Subtree,
            filter: &filter,
            attributes: &["operatingSystemVersion"],
            page: None,
            extended_dn: false,
        };
        let found = self.one(&search).await?;
        Ok(found.and_then(|entry| Some(entry.text("operatingSystemVersion")?.to_owned())))
    }

    /// One value more. A value that is already there is no error.
    pub async fn add_key(&self, user: &User, blob: &[u8]) -> Result<(), Error> {
        let text = text(user, blob);
        self.change_key(user, Change::Add(ATTRIBUTE, text.as_bytes()), VALUE_EXISTS)
            .await
    }

    /// That value out, and no other. A value that is no longer there is no error.
    pub async fn delete_key(&self, user: &User, value: &KeyValue) -> Result<(), Error> {
        let text = text(user, &value.blob);
        self.change_key(
            user,
            Change::Delete(ATTRIBUTE, text.as_bytes()),
            NO_SUCH_ATTRIBUTE,
        )
        .await
    }

    async fn change_key(&self, user: &User, change: Change<'_>, done: u32) -> Result<(), Error> {
        // By GUID: a user who is renamed in this very moment is still the same user.
        let outcome = self
            .call(&Request::Modify(
                &format!("<GUID={}>", user.guid),
                &[change],
            ))
            .await?;
        if outcome.code == done {
            return Ok(());
        }
        success(outcome).map(drop)
    }
}

/// The objects that have one of these GUIDs. Without a kind, so that the index of GUIDs alone answers.
pub(crate) fn any_of(guids: &[Guid]) -> Filter {
    let one = |guid: &Guid| Filter::equal("objectGUID", guid.to_le_bytes());
    Filter::Or(guids.iter().map(one).collect())
}

fn holder(entry: &Entry, domain: &Domain) -> Result<KeyHolder, Error> {
    if entry.range(ATTRIBUTE).is_some() {
        // That user's trouble, not the connection's.
        return Err(Error::Refused {
            code: SIZE_LIMIT,
            message: "the user has more keys than one answer holds".to_owned(),
        });
    }
    let values = entry.texts(ATTRIBUTE).filter_map(|text| {
        let DnBinary { binary, .. } = text.parse().ok()?;
        Some(KeyValue { blob: binary })
    });
    Ok(KeyHolder {
        values: values.collect(),
        user: User::read(entry, domain)?,
    })
}

/// The text of a value. A value keeps the DN that its owner had when it was written, and Samba
/// hands it out so, but resolves the DN of one that is to be deleted: it must be today's.
fn text(user: &User, blob: &[u8]) -> String {
    DnBinary {
        binary: blob.to_vec(),
        dn: user.dn.clone(),
    }
    .to_string()
}
