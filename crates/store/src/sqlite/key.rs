//! Keys and the feed of their changes.

use async_trait::async_trait;
use model::{Guid, Sid};
use rusqlite::{Connection, OptionalExtension, Row, params, types::FromSqlError};
use tokio::sync::watch;

use super::{Sqlite, Text, Topic, tenant::audit, value::text};
use crate::{
    Audit, Change, ChangeOp, ChangeOutcome, ChangeResult, Changes, Error, Key, KeyState, Keys,
    NewKey, Registered, Result,
};

fn key(row: &Row<'_>) -> rusqlite::Result<Key> {
    Ok(Key {
        kid: text(row, "kid")?,
        user: text(row, "user")?,
        sid: text(row, "sid")?,
        device: text(row, "device")?,
        material: row.get("material")?,
        state: state(row)?,
        code: row.get("code")?,
        detail: row.get("detail")?,
        dc: row.get("dc")?,
        registered_ms: row.get("registered_ms")?,
        confirmed_ms: row.get("confirmed_ms")?,
    })
}

fn state(row: &Row<'_>) -> rusqlite::Result<KeyState> {
    let text: String = row.get("state")?;
    [
        KeyState::Registered,
        KeyState::Confirmed,
        KeyState::Failed,
        KeyState::NeedsProof,
        KeyState::Removing,
        KeyState::Removed,
    ]
    .into_iter()
    .find(|state| state.as_str() == text)
    .ok_or_else(|| FromSqlError::InvalidType.into())
}

fn place(seq: i64) -> Result<u64> {
    seq.try_into()
        .map_err(|_| Error::Bug("a place in the feed"))
}

/// Puts a change into the feed; an earlier one of that key need not be carried out any more.
fn append(
    db: &Connection,
    tenant: Guid,
    kid: Guid,
    op: ChangeOp,
    evidence: Option<&str>,
) -> Result<()> {
    db.execute(
        "UPDATE changes SET open = 0 WHERE tenant = ?1 AND kid = ?2",
        params![Text(tenant), Text(kid)],
    )?;
    let op = match op {
        ChangeOp::Add => "add",
        ChangeOp::Remove => "remove",
    };
    db.execute(
        "INSERT INTO changes (tenant, domain, kid, op, evidence, open)
         SELECT tenant, domain, kid, ?3, ?4, 1 FROM keys WHERE tenant = ?1 AND kid = ?2",
        params![Text(tenant), Text(kid), op, evidence],
    )?;
    Ok(())
}

/// Whether deleting a key changes anything. A removal whose outcome was a refusal is closed, and is
/// begun again; but not where the same material was registered anew, whose value in AD it would
/// take out.
fn is_removable(db: &Connection, tenant: Guid, found: &Key) -> Result<bool> {
    if !found.state.is_leaving() {
        return Ok(true);
    }
    let sql =
        "SELECT NOT EXISTS (SELECT 1 FROM changes WHERE tenant = ?1 AND kid = ?2 AND open = 1)
         AND NOT EXISTS (SELECT 1 FROM keys WHERE tenant = ?1 AND material = ?3
           AND state NOT IN ('removing', 'removed'))";
    let is_free = db.query_row(
        sql,
        params![Text(tenant), Text(found.kid), found.material],
        |row| row.get(0),
    )?;
    Ok(found.state == KeyState::Removing && is_free)
}

/// Deletes a key, and puts its removal into the feed.
fn remove(db: &Connection, tenant: Guid, kid: Guid) -> Result<()> {
    db.execute(
        "UPDATE keys SET state = 'removing', code = NULL, detail = NULL
         WHERE tenant = ?1 AND kid = ?2",
        params![Text(tenant), Text(kid)],
    )?;
    append(db, tenant, kid, ChangeOp::Remove, None)
}

fn register(db: &Connection, tenant: Guid, new: &NewKey) -> Result<Registered> {
    let in_use = "state NOT IN ('removing', 'removed')";
    let same: Option<Key> = db
        .query_row(
            &format!("SELECT * FROM keys WHERE tenant = ?1 AND material = ?2 AND {in_use}"),
            params![Text(tenant), new.material],
            key,
        )
        .optional()?;
    if let Some(same) = same {
        if (same.user, same.device) != (new.user, new.device) {
            return Ok(Registered::OfAnother);
        }
        db.execute(
            "UPDATE keys SET state = 'registered', code = NULL, detail = NULL, attestation = ?3
             WHERE tenant = ?1 AND kid = ?2",
            params![Text(tenant), Text(same.kid), new.attestation],
        )?;
        append(db, tenant, same.kid, ChangeOp::Add, new.evidence.as_deref())?;
        return Ok(Registered::Stored(same.kid));
    }
    let older: Option<Text<Guid>> = db
        .query_row(
            &format!(
                "SELECT kid FROM keys WHERE tenant = ?1 AND user = ?2 AND device = ?3 AND {in_use}"
            ),
            params![Text(tenant), Text(new.user), Text(new.device)],
            |row| row.get(0),
        )
        .optional()?;
    if let Some(older) = older {
        remove(db, tenant, older.0)?;
    }
    db.execute(
        "INSERT INTO keys (tenant, kid, domain, user, sid, device, material, attestation, state,
           registered_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 'registered', ?9)",
        params![
            Text(tenant),
            Text(new.kid),
            Text(new.domain),
            Text(new.user),
            Text(&new.sid),
            Text(new.device),
            new.material,
            new.attestation,
            new.now_ms
        ],
    )?;
    append(db, tenant, new.kid, ChangeOp::Add, new.evidence.as_deref())?;
    Ok(Registered::Stored(new.kid))
}

fn store_result(
    db: &Connection,
    tenant: Guid,
    domain: Guid,
    result: &ChangeResult,
    now_ms: i64,
) -> Result<()> {
    let seq = i64::try_from(result.seq).unwrap_or(i64::MAX);
    // Only the newest change of a key is ever open, so that an outcome that comes late, for one
    // that was replaced meanwhile, finds nothing to close.
    let closed: Option<(Text<Guid>, String)> = db
        .query_row(
            "UPDATE changes SET open = 0
             WHERE seq = ?1 AND tenant = ?2 AND domain = ?3 AND open = 1
             RETURNING kid, op",
            params![seq, Text(tenant), Text(domain)],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()?;
    let Some((kid, op)) = closed else {
        return Ok(());
    };
    let state = match (op.as_str(), result.outcome) {
        ("add", ChangeOutcome::Confirmed) => KeyState::Confirmed,
        ("add", ChangeOutcome::NeedsProof) => KeyState::NeedsProof,
        ("add", _) => KeyState::Failed,
        (_, ChangeOutcome::Removed) => KeyState::Removed,
        (_, _) => KeyState::Removing,
    };
    let confirmed_ms = (state == KeyState::Confirmed).then_some(now_ms);
    db.execute(
        "UPDATE keys SET state = ?3, code = ?4, detail = ?5, dc = coalesce(?6, dc),
           confirmed_ms = coalesce(?7, confirmed_ms)
         WHERE tenant = ?1 AND kid = ?2",
        params![
            Text(tenant),
            kid,
            state.as_str(),
            result.code,
            result.detail,
            result.dc,
            confirmed_ms
        ],
    )?;
    Ok(())
}

#[async_trait]
impl Keys for Sqlite {
    async fn register_key(&self, tenant: Guid, new: NewKey, row: Audit) -> Result<Registered> {
        self.write(Topic::Keys, move |db| {
            let registered = register(db, tenant, &new)?;
            if registered != Registered::OfAnother {
                audit(db, tenant, &row)?;
            }
            Ok(registered)
        })
        .await
    }

    async fn key(&self, tenant: Guid, kid: Guid) -> Result<Option<Key>> {
        self.read(move |db| {
            let row = db
                .prepare_cached("SELECT * FROM keys WHERE tenant = ?1 AND kid = ?2")?
                .query_row(params![Text(tenant), Text(kid)], key);
            Ok(row.optional()?)
        })
        .await
    }

    async fn keys_of(&self, tenant: Guid, user: &Sid) -> Result<Vec<Key>> {
        let user = user.clone();
        self.read(move |db| {
            let mut query = db.prepare_cached(
                "SELECT * FROM keys WHERE tenant = ?1 AND sid = ?2
                 ORDER BY registered_ms DESC, kid",
            )?;
            let rows = query.query_map(params![Text(tenant), Text(user)], key)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    async fn keys(&self, tenant: Guid) -> Result<Vec<Key>> {
        self.read(move |db| {
            let sql = "SELECT * FROM keys WHERE tenant = ?1 ORDER BY registered_ms DESC, kid";
            let mut query = db.prepare(sql)?;
            let rows = query.query_map([Text(tenant)], key)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    async fn delete_key(&self, tenant: Guid, kid: Guid, row: Audit) -> Result<bool> {
        self.write(Topic::Keys, move |db| {
            let sql = "SELECT * FROM keys WHERE tenant = ?1 AND kid = ?2";
            let found = db
                .query_row(sql, params![Text(tenant), Text(kid)], key)
                .optional()?;
            let Some(found) = found else { return Ok(false) };
            if is_removable(db, tenant, &found)? {
                remove(db, tenant, kid)?;
                audit(db, tenant, &row)?;
            }
            Ok(true)
        })
        .await
    }

    fn watch_keys(&self) -> watch::Receiver<u64> {
        self.commits()
    }
}

#[async_trait]
impl Changes for Sqlite {
    async fn changes(
        &self,
        tenant: Guid,
        domain: Guid,
        after: u64,
        most: u32,
    ) -> Result<Vec<Change>> {
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        self.read(move |db| {
            let mut query = db.prepare_cached(
                "SELECT c.seq, c.op, c.evidence, k.* FROM changes c
                 JOIN keys k ON k.tenant = c.tenant AND k.kid = c.kid
                 WHERE c.tenant = ?1 AND c.domain = ?2 AND c.seq > ?3 AND c.open = 1
                 ORDER BY c.seq LIMIT ?4",
            )?;
            let rows =
                query.query_map(params![Text(tenant), Text(domain), after, most], |row| {
                    let op: String = row.get("op")?;
                    let op = if op == "add" {
                        ChangeOp::Add
                    } else {
                        ChangeOp::Remove
                    };
                    Ok((row.get("seq")?, op, key(row)?, row.get("evidence")?))
                })?;
            rows.map(|row| {
                let (seq, op, key, evidence): (i64, _, _, _) = row?;
                Ok(Change {
                    seq: place(seq)?,
                    op,
                    key,
                    evidence,
                })
            })
            .collect()
        })
        .await
    }

    async fn last_change(&self, tenant: Guid) -> Result<u64> {
        self.read(move |db| {
            let seq = db
                .prepare_cached(
                    "SELECT seq FROM changes WHERE tenant = ?1 ORDER BY seq DESC LIMIT 1",
                )?
                .query_row([Text(tenant)], |row| row.get(0))
                .optional()?;
            place(seq.unwrap_or(0))
        })
        .await
    }

    async fn store_results(
        &self,
        tenant: Guid,
        domain: Guid,
        results: Vec<ChangeResult>,
        now_ms: i64,
    ) -> Result<()> {
        self.write(Topic::Keys, move |db| {
            results
                .iter()
                .try_for_each(|result| store_result(db, tenant, domain, result, now_ms))
        })
        .await
    }
}
