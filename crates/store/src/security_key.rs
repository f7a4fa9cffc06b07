//! Security keys and passkeys (WebAuthn).

use model::{Guid, UnixTime};

use crate::{
    Audit, Result, Store,
    sql::{Row, Sql, args, fields},
    store::Touches,
};

/// A credential of WebAuthn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecurityKey {
    /// The credential id.
    pub id: Vec<u8>,
    /// Whose.
    pub user: Guid,
    /// What its user calls it.
    pub name: String,
    /// Its public key, backup flags and whatever else its verifier keeps: JSON, opaque here.
    pub public: String,
    /// The last signature counter.
    pub counter: u32,
    /// When it was registered.
    pub created: UnixTime,
    /// When it was last used.
    pub last_used: Option<UnixTime>,
}

fn security_key(row: &Row) -> Result<SecurityKey> {
    Ok(SecurityKey {
        id: row.get("id")?,
        user: row.get("account")?,
        name: row.get("name")?,
        public: row.get("public")?,
        counter: row.get("counter")?,
        created: row.get("created")?,
        last_used: row.get("last_used")?,
    })
}

pub(crate) fn of(db: &dyn Sql, tenant: Guid, user: Guid) -> Result<Vec<SecurityKey>> {
    let sql = "SELECT * FROM security_keys WHERE tenant = ?1 AND account = ?2 ORDER BY created, id";
    db.all(sql, args![tenant, user], security_key)
}

impl Store {
    /// A user's security keys, the oldest first.
    pub async fn security_keys(&self, tenant: Guid, user: Guid) -> Result<Vec<SecurityKey>> {
        self.read(move |db| of(db, tenant, user)).await
    }

    /// By credential id.
    pub async fn security_key(&self, tenant: Guid, id: &[u8]) -> Result<Option<SecurityKey>> {
        let id = id.to_owned();
        self.read(move |db| {
            let sql = "SELECT * FROM security_keys WHERE tenant = ?1 AND id = ?2";
            db.one(sql, args![tenant, id], security_key)
        })
        .await
    }

    /// Gives a user a security key; false where its id is known already, whosever it is.
    pub async fn add_security_key(
        &self,
        tenant: Guid,
        key: SecurityKey,
        audit: Audit,
    ) -> Result<bool> {
        self.audited(tenant, audit, move |db| {
            db.add(
                "security_keys",
                fields! {
                    tenant: tenant,
                    id: key.id,
                    account: key.user,
                    name: key.name,
                    public: key.public,
                    counter: key.counter,
                    created: key.created,
                    last_used: key.last_used,
                },
            )
        })
        .await
    }

    /// Notes that a key has signed, with what its verifier keeps from now on. False where the
    /// counter did not grow: a copy of the key may be about (WebAuthn 6.1.1). A key that does not
    /// count says 0 for ever.
    pub async fn use_security_key(
        &self,
        tenant: Guid,
        id: &[u8],
        counter: u32,
        public: String,
        now: UnixTime,
    ) -> Result<bool> {
        let id = id.to_owned();
        self.write(Touches::Rows, move |db| {
            let sql = "UPDATE security_keys SET counter = ?3, public = ?4, last_used = ?5
                 WHERE tenant = ?1 AND id = ?2
                   AND (counter < ?3 OR (counter = 0 AND ?3 = 0))";
            db.touched(sql, args![tenant, id, counter, public, now])
        })
        .await
    }

    /// Takes a key of a user; false where it has none of that id.
    pub async fn delete_security_key(
        &self,
        tenant: Guid,
        user: Guid,
        id: &[u8],
        audit: Audit,
    ) -> Result<bool> {
        let id = id.to_owned();
        self.audited(tenant, audit, move |db| {
            let sql = "DELETE FROM security_keys WHERE tenant = ?1 AND account = ?2 AND id = ?3";
            db.touched(sql, args![tenant, user, id])
        })
        .await
    }
}
