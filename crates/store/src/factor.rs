//! What a user can prove itself with beside the password, all together.

use model::Guid;

use crate::{
    AccessPass, Audit, Result, SecurityKey, Store, Totp, access_pass, security_key, sql::args, totp,
};

/// A user's factors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Factors {
    /// The one-time password generator.
    pub totp: Option<Totp>,
    /// Security keys and passkeys, the oldest first.
    pub security_keys: Vec<SecurityKey>,
    /// The Temporary Access Pass.
    pub access_pass: Option<AccessPass>,
}

impl Store {
    /// What the user has.
    pub async fn factors(&self, tenant: Guid, user: Guid) -> Result<Factors> {
        self.read(move |db| {
            Ok(Factors {
                totp: totp::of(db, tenant, user)?,
                security_keys: security_key::of(db, tenant, user)?,
                access_pass: access_pass::of(db, tenant, user)?,
            })
        })
        .await
    }

    /// Takes all of them; false where there were none.
    pub async fn delete_factors(&self, tenant: Guid, user: Guid, audit: Audit) -> Result<bool> {
        self.audited(tenant, audit, move |db| {
            let mut taken = false;
            for table in ["totp", "security_keys", "access_passes"] {
                let sql = format!("DELETE FROM {table} WHERE tenant = ?1 AND account = ?2");
                taken |= db.touched(&sql, args![tenant, user])?;
            }
            Ok(taken)
        })
        .await
    }
}
