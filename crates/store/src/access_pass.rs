//! Temporary Access Passes: what an administrator hands to somebody who has no factor yet.

use model::{Guid, UnixTime};

use crate::{
    Audit, Digest, Result, Store,
    sql::{Row, Sql, args, fields},
    store::Touches,
};

/// A pass; a user has one at most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessPass {
    /// A digest of the pass.
    pub digest: Digest,
    /// Worth nothing before …
    pub starts: UnixTime,
    /// … and from then on.
    pub expires: UnixTime,
    /// It is good for one sign-in.
    pub once: bool,
    /// When it was first used.
    pub used: Option<UnixTime>,
}

fn access_pass(row: &Row) -> Result<AccessPass> {
    Ok(AccessPass {
        digest: row.get("digest")?,
        starts: row.get("starts")?,
        expires: row.get("expires")?,
        once: row.get("once")?,
        used: row.get("used")?,
    })
}

pub(crate) fn of(db: &dyn Sql, tenant: Guid, user: Guid) -> Result<Option<AccessPass>> {
    let sql = "SELECT * FROM access_passes WHERE tenant = ?1 AND account = ?2";
    db.one(sql, args![tenant, user], access_pass)
}

impl Store {
    /// The user's pass, good or not.
    pub async fn access_pass(&self, tenant: Guid, user: Guid) -> Result<Option<AccessPass>> {
        self.read(move |db| of(db, tenant, user)).await
    }

    /// Gives the user a pass; an earlier one is replaced.
    pub async fn set_access_pass(
        &self,
        tenant: Guid,
        user: Guid,
        pass: AccessPass,
        audit: Audit,
    ) -> Result<()> {
        self.audited(tenant, audit, move |db| {
            db.put(
                "access_passes",
                "tenant, account",
                fields! {
                    tenant: tenant,
                    account: user,
                    digest: pass.digest,
                    starts: pass.starts,
                    expires: pass.expires,
                    once: pass.once,
                    used: pass.used,
                },
            )
        })
        .await
    }

    /// Uses the pass; false where the user has no such pass, it is not its time, or it was good for
    /// one sign-in that has been.
    pub async fn use_access_pass(
        &self,
        tenant: Guid,
        user: Guid,
        digest: Digest,
        now: UnixTime,
    ) -> Result<bool> {
        self.write(Touches::Rows, move |db| {
            let sql = "UPDATE access_passes SET used = coalesce(used, ?4)
                 WHERE tenant = ?1 AND account = ?2 AND digest = ?3
                   AND starts <= ?4 AND expires > ?4 AND (once = 0 OR used IS NULL)";
            db.touched(sql, args![tenant, user, digest, now])
        })
        .await
    }

    /// Takes the user's pass; false where there is none.
    pub async fn delete_access_pass(&self, tenant: Guid, user: Guid, audit: Audit) -> Result<bool> {
        self.audited(tenant, audit, move |db| {
            let sql = "DELETE FROM access_passes WHERE tenant = ?1 AND account = ?2";
            db.touched(sql, args![tenant, user])
        })
        .await
    }
}
