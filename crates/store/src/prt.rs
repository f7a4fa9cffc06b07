//! Primary refresh tokens (MS-OAPXBC): what a device signs a user in with, without asking.
//!
//! A renewal gives a new token and keeps the session key. The old token stays good until its
//! successor is renewed in turn: a device that died before it had the answer still has one.

use model::{Guid, UnixTime};

use crate::{
    Digest, Result, Spend, Store,
    spend::SPEND,
    sql::{Field, Row, Sql, args, fields},
    store::Touches,
    together::Pace,
};

/// A PRT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prt {
    /// SHA-256 of the token.
    pub digest: Digest,
    /// Whose.
    pub user: Guid,
    /// The device that it is bound to.
    pub device: Guid,
    /// The session key, sealed under a key that the store does not have.
    pub session_key: Vec<u8>,
    /// How the user signed in.
    pub methods: Vec<String>,
    /// When.
    pub auth_time: UnixTime,
    /// When the second factor was given.
    pub mfa_time: Option<UnixTime>,
    /// When it was issued.
    pub issued: UnixTime,
    /// From then on it is worth nothing.
    pub expires: UnixTime,
    /// The token that it renewed.
    pub previous: Option<Digest>,
}

/// The token that a renewal gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Renewal {
    /// SHA-256 of the new token.
    pub digest: Digest,
    /// When it was issued.
    pub issued: UnixTime,
    /// From then on it is worth nothing.
    pub expires: UnixTime,
}

fn prt(row: &Row) -> Result<Prt> {
    Ok(Prt {
        digest: row.get("digest")?,
        user: row.get("account")?,
        device: row.get("device")?,
        session_key: row.get("session_key")?,
        methods: row.get("methods")?,
        auth_time: row.get("auth_time")?,
        mfa_time: row.get("mfa_time")?,
        issued: row.get("issued")?,
        expires: row.get("expires")?,
        previous: row.get("previous")?,
    })
}

fn columns(tenant: Guid, prt: &Prt) -> Vec<Field> {
    fields! {
        tenant: tenant,
        digest: prt.digest,
        account: prt.user,
        device: prt.device,
        session_key: prt.session_key,
        methods: prt.methods,
        auth_time: prt.auth_time,
        mfa_time: prt.mfa_time,
        issued: prt.issued,
        expires: prt.expires,
        previous: prt.previous,
    }
    .to_vec()
}

/// A PRT to issue, and the statements that it is issued for.
pub(crate) struct Issue {
    tenant: Guid,
    prt: Prt,
    spends: Vec<Spend>,
}

/// Keeps those none of whose statements was spent before; which ones that were.
fn issue(db: &dyn Sql, issues: &[Issue]) -> Result<Vec<bool>> {
    let spend = |issue: &Issue| {
        let (tenant, now) = (issue.tenant, issue.prt.issued);
        let row = move |spend: &Spend| args![tenant, spend.id, spend.until, now].to_vec();
        issue.spends.iter().map(row).collect::<Vec<_>>()
    };
    let spends: Vec<_> = issues.iter().flat_map(spend).collect();
    let mut spent = db.each(SPEND, &spends)?.into_iter();
    let is_first = |issue: &Issue| {
        let of_it = spent.by_ref().take(issue.spends.len());
        of_it.filter(|touched| *touched > 0).count() == issue.spends.len()
    };
    let issued: Vec<bool> = issues.iter().map(is_first).collect();
    let kept = issues
        .iter()
        .zip(&issued)
        .filter(|(_, is_first)| **is_first);
    let rows: Vec<_> = kept
        .map(|(issue, _)| columns(issue.tenant, &issue.prt))
        .collect();
    db.insert_each("prts", &rows)?;
    Ok(issued)
}

const GOOD: &str = "SELECT * FROM prts WHERE tenant = ?1 AND digest = ?2 AND expires > ?3";

impl Store {
    /// Keeps a new PRT, and spends the statements that it is issued for; false, and none is kept,
    /// where one of them was spent already.
    pub async fn issue_prt(&self, tenant: Guid, prt: Prt, spends: Vec<Spend>) -> Result<bool> {
        self.sweep(prt.issued).await?;
        let store = self.clone();
        let answer = move |issues: Vec<Issue>| {
            let store = store.clone();
            async move {
                store
                    .write(Touches::Rows, move |db| issue(db, &issues))
                    .await
            }
        };
        let wanted = Issue {
            tenant,
            prt,
            spends,
        };
        self.issues.ask(wanted, Pace::Gathered, answer).await
    }

    /// One that is good at `now`.
    pub async fn prt(&self, tenant: Guid, digest: Digest, now: UnixTime) -> Result<Option<Prt>> {
        self.look_up(move |db| db.one(GOOD, args![tenant, digest, now], prt))
            .await
    }

    /// Renews a PRT; false where it is not good when the new one is issued. What was renewed into
    /// it ends, and what it was renewed to before.
    pub async fn renew_prt(&self, tenant: Guid, digest: Digest, renewal: Renewal) -> Result<bool> {
        self.write(Touches::Rows, move |db| {
            let Some(old) = db.one(GOOD, args![tenant, digest, renewal.issued], prt)? else {
                return Ok(false);
            };
            let sql = "DELETE FROM prts WHERE tenant = ?1 AND previous = ?2";
            db.execute(sql, args![tenant, digest])?;
            let sql = "DELETE FROM prts WHERE tenant = ?1 AND digest = ?2";
            db.execute(sql, args![tenant, old.previous])?;
            let new = Prt {
                digest: renewal.digest,
                issued: renewal.issued,
                expires: renewal.expires,
                previous: Some(digest),
                ..old
            };
            db.insert("prts", &columns(tenant, &new))?;
            Ok(true)
        })
        .await
    }

    /// Ends a user's PRTs, on one device or on all; how many there were.
    pub async fn revoke_prts(&self, tenant: Guid, user: Guid, device: Option<Guid>) -> Result<u64> {
        self.write(Touches::Rows, move |db| {
            let Some(device) = device else {
                let sql = "DELETE FROM prts WHERE tenant = ?1 AND account = ?2";
                return db.execute(sql, args![tenant, user]);
            };
            let sql = "DELETE FROM prts WHERE tenant = ?1 AND account = ?2 AND device = ?3";
            db.execute(sql, args![tenant, user, device])
        })
        .await
    }
}
