//! The keys of a user: values of `msDS-KeyCredentialLink` (MS-ADA2, MS-ADTS 2.2.20).

use keycred::DnBinary;
use model::Guid;

use crate::{
    Directory, Error, User,
    accounts::{Kind, USER, full_protection},
    message::{Change, Request},
    search::success,
};

const ATTRIBUTE: &str = "msDS-KeyCredentialLink";
const NO_SUCH_ATTRIBUTE: u32 = 16;
const VALUE_EXISTS: u32 = 20;

/// A user and the keys that the directory has for it.
#[derive(Debug, Clone)]
pub struct KeyHolder {
    /// The user; privileged groups are looked at.
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
        if entry.range(ATTRIBUTE).is_some() {
            return Err(Error::Malformed(
                "a user with more keys than one answer holds",
            ));
        }
        let values = entry.texts(ATTRIBUTE).filter_map(|text| {
            let DnBinary { binary, .. } = text.parse().ok()?;
            Some(KeyValue { blob: binary })
        });
        let mut user = User::read(&entry, self.domain())?;
        user.protection = full_protection(&entry, &user);
        Ok(Some(KeyHolder {
            values: values.collect(),
            user,
        }))
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

/// The text of a value. A value keeps the DN that its owner had when it was written, and Samba
/// hands it out so, but resolves the DN of one that is to be deleted: it must be today's.
fn text(user: &User, blob: &[u8]) -> String {
    DnBinary {
        binary: blob.to_vec(),
        dn: user.dn.clone(),
    }
    .to_string()
}
