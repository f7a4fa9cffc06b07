//! One-time passwords by time (RFC 6238).

use model::{Guid, UnixTime};

use crate::{
    Audit, Result, Store,
    sql::{Row, Sql, args, fields},
};

/// A user's one-time password generator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Totp {
    /// The secret, sealed under a key that the store does not have.
    pub sealed: Vec<u8>,
    /// The last time step whose password was taken; that and earlier ones are worth nothing.
    pub last_step: u64,
    /// What its user calls it.
    pub name: String,
    /// When it was made.
    pub created: UnixTime,
    /// It has shown a password once; before that it proves nothing.
    pub confirmed: bool,
}

fn totp(row: &Row) -> Result<Totp> {
    Ok(Totp {
        sealed: row.get("sealed")?,
        last_step: row.get("last_step")?,
        name: row.get("name")?,
        created: row.get("created")?,
        confirmed: row.get("confirmed")?,
    })
}

pub(crate) fn of(db: &dyn Sql, tenant: Guid, user: Guid) -> Result<Option<Totp>> {
    let sql = "SELECT * FROM totp WHERE tenant = ?1 AND account = ?2";
    db.one(sql, args![tenant, user], totp)
}

/// Spends a time step; false where it or a later one is spent already, or there is no generator.
pub(crate) fn spend(db: &dyn Sql, tenant: Guid, user: Guid, step: u64) -> Result<bool> {
    let sql = "UPDATE totp SET last_step = ?3, confirmed = 1
         WHERE tenant = ?1 AND account = ?2 AND last_step < ?3";
    db.touched(sql, args![tenant, user, step])
}

impl Store {
    /// The user's generator.
    pub async fn totp(&self, tenant: Guid, user: Guid) -> Result<Option<Totp>> {
        self.read(move |db| of(db, tenant, user)).await
    }

    /// Gives the user a generator; an earlier one is replaced.
    pub async fn set_totp(&self, tenant: Guid, user: Guid, totp: Totp, audit: Audit) -> Result<()> {
        self.audited(tenant, audit, move |db| {
            db.put(
                "totp",
                "tenant, account",
                fields! {
                    tenant: tenant,
                    account: user,
                    sealed: totp.sealed,
                    last_step: totp.last_step,
                    name: totp.name,
                    created: totp.created,
                    confirmed: totp.confirmed,
                },
            )
        })
        .await
    }

    /// Spends the time step of a password that was right, which confirms the generator. False where
    /// that step or a later one is spent already: then nothing has changed.
    pub async fn spend_totp(&self, tenant: Guid, user: Guid, step: u64) -> Result<bool> {
        self.write(crate::store::Touches::Rows, move |db| {
            spend(db, tenant, user, step)
        })
        .await
    }

    /// Takes the user's generator; false where there is none.
    pub async fn delete_totp(&self, tenant: Guid, user: Guid, audit: Audit) -> Result<bool> {
        self.audited(tenant, audit, move |db| {
            let sql = "DELETE FROM totp WHERE tenant = ?1 AND account = ?2";
            db.touched(sql, args![tenant, user])
        })
        .await
    }
}
