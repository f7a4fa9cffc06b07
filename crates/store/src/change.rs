//! The feed of changes that an agent carries into AD.

use model::{Guid, Sid};

use crate::{
    Key, KeyState, Result, Store, key,
    sql::{Row, Sql, args, words},
    store::Touches,
};

words! {
    /// What is to happen in AD.
    pub enum ChangeOp {
        /// The value goes in.
        Add = "add",
        /// The value goes out.
        Remove = "remove",
    }
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its place in the feed.
    pub seq: u64,
    /// What is to happen.
    pub op: ChangeOp,
    /// On whose account.
    pub sid: Sid,
    /// With which key.
    pub key: Key,
    /// The evidence as it came in: JSON.
    pub evidence: Option<String>,
}

/// The outcome of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeOutcome {
    /// In AD and read back.
    Confirmed,
    /// Out of AD.
    Removed,
    /// Refused for good.
    Refused,
    /// Refused until there is a fresh proof.
    NeedsProof,
    /// It was in AD, and somebody else took it out.
    Lost,
    /// All writable domain controllers have it.
    Everywhere,
}

/// What an agent says became of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeResult {
    /// The change.
    pub seq: u64,
    /// The outcome.
    pub outcome: ChangeOutcome,
    /// The domain controller that was written.
    pub dc: Option<String>,
    /// Why it was refused.
    pub code: Option<String>,
    /// The same in words.
    pub detail: Option<String>,
}

fn change(row: &Row) -> Result<Change> {
    Ok(Change {
        seq: row.get("seq")?,
        op: row.get("op")?,
        sid: row.get("sid")?,
        key: key::key(row)?,
        evidence: row.get("evidence")?,
    })
}

/// Puts a change of a key that AD is to have into the feed; an earlier one of that key need not be
/// carried out any more.
pub(crate) fn append(
    db: &dyn Sql,
    tenant: Guid,
    kid: Guid,
    op: ChangeOp,
    evidence: Option<&str>,
) -> Result<()> {
    let sql = "UPDATE changes SET open = 0 WHERE tenant = ?1 AND kid = ?2 AND open = 1";
    db.execute(sql, args![tenant, kid])?;
    let sql = "INSERT INTO changes (tenant, domain, kid, op, evidence, open)
         SELECT tenant, domain, kid, ?3, ?4, 1 FROM keys
         WHERE tenant = ?1 AND kid = ?2 AND domain IS NOT NULL";
    db.execute(sql, args![tenant, kid, op, evidence])?;
    Ok(())
}

/// Whether the outcome of a change of that key is awaited.
pub(crate) fn is_open(db: &dyn Sql, tenant: Guid, kid: Guid) -> Result<bool> {
    let sql = "SELECT EXISTS
         (SELECT 1 FROM changes WHERE tenant = ?1 AND kid = ?2 AND open = 1)";
    db.holds(sql, args![tenant, kid])
}

fn store_result(
    db: &dyn Sql,
    tenant: Guid,
    domain: Guid,
    result: &ChangeResult,
    now_ms: i64,
) -> Result<()> {
    match result.outcome {
        ChangeOutcome::Lost => return store_loss(db, tenant, domain, result),
        ChangeOutcome::Everywhere => return store_spread(db, tenant, domain, result.seq),
        _ => {}
    }
    // Only the newest change of a key is ever open, so that an outcome that comes late, for one
    // that was replaced meanwhile, finds nothing to close.
    let sql = "UPDATE changes SET open = 0
         WHERE seq = ?1 AND tenant = ?2 AND domain = ?3 AND open = 1 RETURNING kid, op";
    let closed: Option<(Guid, ChangeOp)> =
        db.one(sql, args![result.seq, tenant, domain], |row| {
            Ok((row.get("kid")?, row.get("op")?))
        })?;
    let Some((kid, op)) = closed else {
        return Ok(());
    };
    let state = match (op, result.outcome) {
        (ChangeOp::Add, ChangeOutcome::Confirmed) => KeyState::Confirmed,
        (ChangeOp::Add, ChangeOutcome::NeedsProof) => KeyState::NeedsProof,
        (ChangeOp::Add, _) => KeyState::Failed,
        (ChangeOp::Remove, ChangeOutcome::Removed) => KeyState::Removed,
        (ChangeOp::Remove, _) => KeyState::Removing,
    };
    let confirmed_ms = (state == KeyState::Confirmed).then_some(now_ms);
    // A key that is removed elsewhere than where it was confirmed may come to other controllers yet.
    let dc = match state {
        KeyState::Removed => "CASE WHEN dc = ?6 THEN NULL ELSE dc END",
        _ => "coalesce(?6, dc)",
    };
    let sql = format!(
        "UPDATE keys SET state = ?3, code = ?4, detail = ?5, dc = {dc},
           confirmed_ms = coalesce(?7, confirmed_ms)
         WHERE tenant = ?1 AND kid = ?2"
    );
    let (code, detail, dc) = (&result.code, &result.detail, &result.dc);
    let args = args![tenant, kid, state, code, detail, dc, confirmed_ms];
    db.execute(&sql, args)?;
    Ok(())
}

/// Of the result of a change: its key, if it is the newest change of that key.
const NEWEST: &str = "tenant = ?2 AND kid =
       (SELECT c.kid FROM changes c WHERE c.seq = ?1 AND c.tenant = ?2 AND c.domain = ?3
        AND NOT EXISTS
          (SELECT 1 FROM changes n WHERE n.tenant = ?2 AND n.kid = c.kid AND n.seq > c.seq))";

/// A key is not in AD any more.
fn store_loss(db: &dyn Sql, tenant: Guid, domain: Guid, result: &ChangeResult) -> Result<()> {
    let sql = format!(
        "UPDATE keys SET state = 'failed', code = ?4, detail = ?5
         WHERE state = 'confirmed' AND {NEWEST}"
    );
    let (code, detail) = (&result.code, &result.detail);
    db.execute(&sql, args![result.seq, tenant, domain, code, detail])?;
    Ok(())
}

/// No domain controller has a key before the others, or still has one that is removed.
fn store_spread(db: &dyn Sql, tenant: Guid, domain: Guid, seq: u64) -> Result<()> {
    let sql =
        format!("UPDATE keys SET dc = NULL WHERE state IN ('confirmed', 'removed') AND {NEWEST}");
    db.execute(&sql, args![seq, tenant, domain])?;
    Ok(())
}

impl Store {
    /// The changes of a domain after `seq` whose outcome is not known, oldest first. Whoever goes
    /// on behind the newest one that it was told misses none.
    pub async fn changes(
        &self,
        tenant: Guid,
        domain: Guid,
        after: u64,
        most: u32,
    ) -> Result<Vec<Change>> {
        self.read(move |db| {
            let sql = "SELECT c.seq, c.op, c.evidence, k.* FROM changes c
                 JOIN keys k ON k.tenant = c.tenant AND k.kid = c.kid
                 WHERE c.tenant = ?1 AND c.domain = ?2 AND c.seq > ?3 AND c.open = 1
                 ORDER BY c.seq LIMIT ?4";
            db.all(sql, args![tenant, domain, after, most], change)
        })
        .await
    }

    /// The keys of a domain that AD has, and on demand those that are removed and may come yet from
    /// where they were confirmed, each with the place of its newest change, behind `after` in that order.
    pub async fn keys_in_directory(
        &self,
        tenant: Guid,
        domain: Guid,
        with_removed: bool,
        after: u64,
        most: u32,
    ) -> Result<Vec<(u64, Key)>> {
        self.read(move |db| {
            let removed = match with_removed {
                true => "OR (k.state = 'removed' AND k.dc IS NOT NULL)",
                false => "",
            };
            let sql = format!(
                "SELECT c.seq, k.* FROM changes c
                 JOIN keys k ON k.tenant = c.tenant AND k.kid = c.kid
                 WHERE c.tenant = ?1 AND c.domain = ?2 AND c.seq > ?3
                   AND (k.state = 'confirmed' {removed}) AND NOT EXISTS
                     (SELECT 1 FROM changes n
                      WHERE n.tenant = c.tenant AND n.kid = c.kid AND n.seq > c.seq)
                 ORDER BY c.seq LIMIT ?4"
            );
            db.all(&sql, args![tenant, domain, after, most], |row| {
                Ok((row.get("seq")?, key::key(row)?))
            })
        })
        .await
    }

    /// The place of the tenant's newest change, open or not; 0 where there is none.
    pub async fn last_change(&self, tenant: Guid) -> Result<u64> {
        self.read(move |db| {
            let sql = "SELECT seq FROM changes WHERE tenant = ?1 ORDER BY seq DESC LIMIT 1";
            Ok(db.only(sql, args![tenant])?.unwrap_or(0))
        })
        .await
    }

    /// Stores outcomes. One for a change of another domain, or one that is known already, changes
    /// nothing. A key's state follows its newest change only.
    pub async fn store_results(
        &self,
        tenant: Guid,
        domain: Guid,
        results: Vec<ChangeResult>,
        now_ms: i64,
    ) -> Result<()> {
        self.write(Touches::Keys, move |db| {
            results
                .iter()
                .try_for_each(|result| store_result(db, tenant, domain, result, now_ms))
        })
        .await
    }
}
