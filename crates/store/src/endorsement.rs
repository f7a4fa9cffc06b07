//! Which TPMs are believed to be ones: endorsement keys that an administrator has named, and
//! manufacturers whose certificates count.

use model::{Guid, UnixTime, sha256};

use crate::{
    Audit, Digest, Result, Store,
    sql::{args, fields},
};

/// An endorsement key that an administrator has named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endorsement {
    /// SHA-256 of its SubjectPublicKeyInfo.
    pub hash: Digest,
    /// What the administrator noted.
    pub note: String,
    /// When.
    pub added: UnixTime,
}

/// A certificate authority of a manufacturer of TPMs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TpmRoot {
    /// What the administrator calls it.
    pub name: String,
    /// Its certificate.
    pub der: Vec<u8>,
    /// When it was added.
    pub added: UnixTime,
}

impl Store {
    /// Whether that endorsement key was named.
    pub async fn is_endorsed(&self, tenant: Guid, hash: Digest) -> Result<bool> {
        self.read(move |db| {
            let sql = "SELECT EXISTS (SELECT 1 FROM endorsements WHERE tenant = ?1 AND hash = ?2)";
            db.holds(sql, args![tenant, hash])
        })
        .await
    }

    /// Every endorsement key that was named, in that order.
    pub async fn endorsements(&self, tenant: Guid) -> Result<Vec<Endorsement>> {
        self.read(move |db| {
            let sql = "SELECT * FROM endorsements WHERE tenant = ?1 ORDER BY added, hash";
            db.all(sql, args![tenant], |row| {
                Ok(Endorsement {
                    hash: row.get("hash")?,
                    note: row.get("note")?,
                    added: row.get("added")?,
                })
            })
        })
        .await
    }

    /// Names endorsement keys; one that was named takes the newer note.
    pub async fn add_endorsements(
        &self,
        tenant: Guid,
        endorsements: Vec<Endorsement>,
        audit: Audit,
    ) -> Result<()> {
        self.audited(tenant, audit, move |db| {
            endorsements.iter().try_for_each(|e| {
                let row = fields! { tenant: tenant, hash: e.hash, note: e.note, added: e.added };
                db.put("endorsements", "tenant, hash", row)
            })
        })
        .await
    }

    /// Takes a name back; false where it was not given.
    pub async fn remove_endorsement(
        &self,
        tenant: Guid,
        hash: Digest,
        audit: Audit,
    ) -> Result<bool> {
        self.audited(tenant, audit, move |db| {
            let sql = "DELETE FROM endorsements WHERE tenant = ?1 AND hash = ?2";
            db.touched(sql, args![tenant, hash])
        })
        .await
    }

    /// The manufacturers whose certificates count; without any none does.
    pub async fn tpm_roots(&self, tenant: Guid) -> Result<Vec<TpmRoot>> {
        self.read(move |db| {
            let sql = "SELECT * FROM tpm_roots WHERE tenant = ?1 ORDER BY added, hash";
            db.all(sql, args![tenant], |row| {
                Ok(TpmRoot {
                    name: row.get("name")?,
                    der: row.get("der")?,
                    added: row.get("added")?,
                })
            })
        })
        .await
    }

    /// Adds a manufacturer; the same certificate takes the newer name.
    pub async fn add_tpm_root(&self, tenant: Guid, root: TpmRoot, audit: Audit) -> Result<()> {
        self.audited(tenant, audit, move |db| {
            db.put(
                "tpm_roots",
                "tenant, hash",
                fields! {
                    tenant: tenant,
                    hash: sha256(&root.der),
                    name: root.name,
                    der: root.der,
                    added: root.added,
                },
            )
        })
        .await
    }

    /// Removes a manufacturer by the SHA-256 of its certificate; false where it is unknown.
    pub async fn remove_tpm_root(&self, tenant: Guid, hash: Digest, audit: Audit) -> Result<bool> {
        self.audited(tenant, audit, move |db| {
            let sql = "DELETE FROM tpm_roots WHERE tenant = ?1 AND hash = ?2";
            db.touched(sql, args![tenant, hash])
        })
        .await
    }
}
