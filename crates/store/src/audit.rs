//! Who did what: one row for each act that an auditor would ask about, written with the act.
//!
//! Each row carries a hash over the row before it and itself, and the end of the chain is kept
//! apart, so that a row that was taken out, put in or changed shows. Whoever can write the whole
//! database can write another chain: who must not be able to reads the log on elsewhere.

use model::{Guid, UnixTime, sha256};

use crate::{
    Digest, Result, Store,
    sql::{Row, Sql, args, fields, plain},
};

/// A row to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audit {
    /// When.
    pub at: UnixTime,
    /// Who: `admin`, `agent:id`, `device:id` or `user:id`.
    pub actor: String,
    /// What, in a stable word.
    pub action: &'static str,
    /// To what.
    pub subject: String,
}

/// A row that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    /// Its place: later ones are greater.
    pub id: u64,
    /// When.
    pub at: UnixTime,
    /// Who.
    pub actor: String,
    /// What.
    pub action: String,
    /// To what.
    pub subject: String,
    /// SHA-256 over the hash of the row before and this row.
    pub hash: Digest,
}

/// Whether the chain is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chain {
    /// It is, with so many rows.
    Whole(u64),
    /// The first row that does not follow from the one before.
    BrokenAt(u64),
    /// Rows are missing at its end.
    CutOff,
}

fn audit_row(row: &Row) -> Result<AuditRow> {
    Ok(AuditRow {
        id: row.get("id")?,
        at: row.get("at")?,
        actor: row.get("actor")?,
        action: row.get("action")?,
        subject: row.get("subject")?,
        hash: row.get("hash")?,
    })
}

/// The hash of a row that follows one with `previous`: over that and each field behind its length.
fn link(previous: &Digest, at: UnixTime, texts: [&str; 3]) -> Digest {
    let mut bytes = previous.to_vec();
    bytes.extend(at.0.to_be_bytes());
    for text in texts {
        bytes.extend((text.len() as u64).to_be_bytes());
        bytes.extend(text.as_bytes());
    }
    sha256(&bytes)
}

/// The end of the chain: the last hash, and how many rows there are.
fn end(db: &dyn Sql, tenant: Guid) -> Result<(Digest, u64)> {
    let sql = "SELECT hash, count FROM audit_ends WHERE tenant = ?1";
    let end = db.one(sql, args![tenant], |row| {
        Ok((row.get("hash")?, row.get("count")?))
    })?;
    Ok(end.unwrap_or(([0; 32], 0)))
}

fn set_end(db: &dyn Sql, tenant: Guid, hash: Digest, count: u64) -> Result<()> {
    let row = fields! { tenant: tenant, hash: hash, count: count };
    db.put("audit_ends", "tenant", row)
}

/// Writes one row, within the write that it tells about.
pub(crate) fn append(db: &dyn Sql, tenant: Guid, row: &Audit) -> Result<()> {
    let (previous, count) = end(db, tenant)?;
    let (actor, subject) = (plain(&row.actor), plain(&row.subject));
    let hash = link(&previous, row.at, [&actor, row.action, &subject]);
    db.insert(
        "audit",
        fields! {
            tenant: tenant,
            at: row.at,
            actor: *actor,
            action: row.action,
            subject: *subject,
            hash: hash,
        },
    )?;
    set_end(db, tenant, hash, count + 1)
}

/// How many rows are looked at in one piece.
const PIECE: u32 = 10_000;

fn rows_after(db: &dyn Sql, tenant: Guid, after: u64, most: u32) -> Result<Vec<AuditRow>> {
    let sql = "SELECT * FROM audit WHERE tenant = ?1 AND id > ?2 ORDER BY id LIMIT ?3";
    db.all(sql, args![tenant, after, most], audit_row)
}

/// Makes the chain of rows that were written before there was one.
pub(crate) fn chain_old_rows(db: &dyn Sql) -> Result<()> {
    let tenants: Vec<Guid> = db.all("SELECT id FROM tenants", &[], |row| row.get("id"))?;
    for tenant in tenants {
        let (mut hash, mut count, mut after) = ([0; 32], 0, 0);
        loop {
            let rows = rows_after(db, tenant, after, PIECE)?;
            let Some(last) = rows.last() else { break };
            after = last.id;
            for row in &rows {
                hash = link(&hash, row.at, [&row.actor, &row.action, &row.subject]);
                count += 1;
                let sql = "UPDATE audit SET hash = ?2 WHERE id = ?1";
                db.execute(sql, args![row.id, hash])?;
            }
        }
        set_end(db, tenant, hash, count)?;
    }
    Ok(())
}

impl Store {
    /// The newest rows, the newest first.
    pub async fn audit_rows(&self, tenant: Guid, most: u32) -> Result<Vec<AuditRow>> {
        self.read(move |db| {
            let sql = "SELECT * FROM audit WHERE tenant = ?1 ORDER BY id DESC LIMIT ?2";
            db.all(sql, args![tenant, most], audit_row)
        })
        .await
    }

    /// The rows behind a place, the oldest first: for whoever reads on.
    pub async fn audit_after(&self, tenant: Guid, after: u64, most: u32) -> Result<Vec<AuditRow>> {
        self.read(move |db| rows_after(db, tenant, after, most))
            .await
    }

    /// Writes a row of an act that changes nothing in the store.
    pub async fn add_audit(&self, tenant: Guid, audit: Audit) -> Result<()> {
        self.audited(tenant, audit, |_| Ok(())).await
    }

    /// Looks whether the chain is whole, up to the end that it had when this began.
    pub async fn check_audit(&self, tenant: Guid) -> Result<Chain> {
        let (last, expected) = self.read(move |db| end(db, tenant)).await?;
        let (mut hash, mut count, mut after) = ([0; 32], 0, 0);
        while count < expected {
            let rows = self.audit_after(tenant, after, PIECE).await?;
            let Some(newest) = rows.last() else {
                return Ok(Chain::CutOff);
            };
            after = newest.id;
            for row in &rows {
                hash = link(&hash, row.at, [&row.actor, &row.action, &row.subject]);
                if hash != row.hash {
                    return Ok(Chain::BrokenAt(row.id));
                }
                count += 1;
                if count == expected {
                    break;
                }
            }
        }
        Ok(if hash == last {
            Chain::Whole(count)
        } else {
            Chain::CutOff
        })
    }
}
