//! The keys that sign tokens: several, so that one can follow another while what the older one
//! signed is still good.

use model::{Guid, UnixTime};

use crate::{
    Audit, Result, Store,
    sql::{Row, Sql, args, fields},
};

/// A key that signs tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningKey {
    /// The name that it is sealed under; that of the first one is `token-key`. What others call it
    /// is made of its public half.
    pub name: String,
    /// The algorithm, as JOSE calls it.
    pub alg: String,
    /// The private key, sealed under a key that the store does not have.
    pub sealed: Vec<u8>,
    /// It signs nothing before.
    pub not_before: UnixTime,
    /// From then on nothing that it signed is good; it signs nothing once this is known.
    pub retires: Option<UnixTime>,
}

fn signing_key(row: &Row) -> Result<SigningKey> {
    Ok(SigningKey {
        name: row.get("name")?,
        alg: row.get("alg")?,
        sealed: row.get("sealed")?,
        not_before: row.get("not_before")?,
        retires: row.get("retires")?,
    })
}

pub(crate) fn insert(db: &dyn Sql, tenant: Guid, key: &SigningKey) -> Result<()> {
    db.insert(
        "signing_keys",
        fields! {
            tenant: tenant,
            name: key.name,
            alg: key.alg,
            sealed: key.sealed,
            not_before: key.not_before,
            retires: key.retires,
        },
    )
}

impl Store {
    /// Every signing key, the newest first.
    pub async fn signing_keys(&self, tenant: Guid) -> Result<Vec<SigningKey>> {
        self.read(move |db| {
            let sql = "SELECT * FROM signing_keys WHERE tenant = ?1 ORDER BY not_before DESC, name";
            db.all(sql, args![tenant], signing_key)
        })
        .await
    }

    /// Adds a signing key.
    pub async fn add_signing_key(&self, tenant: Guid, key: SigningKey, audit: Audit) -> Result<()> {
        self.audited(tenant, audit, move |db| insert(db, tenant, &key))
            .await
    }

    /// Says until when what a key signed is good; false where it is unknown.
    pub async fn retire_signing_key(
        &self,
        tenant: Guid,
        name: &str,
        retires: UnixTime,
        audit: Audit,
    ) -> Result<bool> {
        let name = name.to_owned();
        self.audited(tenant, audit, move |db| {
            let sql = "UPDATE signing_keys SET retires = ?3 WHERE tenant = ?1 AND name = ?2";
            db.touched(sql, args![tenant, name, retires])
        })
        .await
    }

    /// Deletes a key that has retired by then; false where it is unknown, or has not.
    pub async fn delete_signing_key(&self, tenant: Guid, name: &str, audit: Audit) -> Result<bool> {
        let (name, now) = (name.to_owned(), audit.at);
        self.audited(tenant, audit, move |db| {
            let sql = "DELETE FROM signing_keys WHERE tenant = ?1 AND name = ?2 AND retires <= ?3";
            db.touched(sql, args![tenant, name, now])
        })
        .await
    }
}
