//! Second factors and tries.

use async_trait::async_trait;
use model::{Guid, UnixTime};
use rusqlite::{OptionalExtension, params};

use super::{Sqlite, Text, Topic, tenant::audit};
use crate::{Audit, Error, Factors, Limit, Result, Totp, Tries, Verdict};

#[async_trait]
impl Factors for Sqlite {
    async fn totp(&self, tenant: Guid, user: Guid) -> Result<Option<Totp>> {
        self.read(move |db| {
            let sql = "SELECT sealed, last_step FROM totp WHERE tenant = ?1 AND user = ?2";
            let row: Option<(Vec<u8>, i64)> = db
                .query_row(sql, params![Text(tenant), Text(user)], |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })
                .optional()?;
            let Some((sealed, step)) = row else {
                return Ok(None);
            };
            let last_step = step
                .try_into()
                .map_err(|_| Error::Bug("a time step is negative"))?;
            Ok(Some(Totp { sealed, last_step }))
        })
        .await
    }

    async fn set_totp(&self, tenant: Guid, user: Guid, sealed: Vec<u8>, row: Audit) -> Result<()> {
        self.write(Topic::Quiet, move |db| {
            db.execute(
                "INSERT OR REPLACE INTO totp (tenant, user, sealed, last_step)
                 VALUES (?1, ?2, ?3, 0)",
                params![Text(tenant), Text(user), sealed],
            )?;
            audit(db, tenant, &row)
        })
        .await
    }
}

#[async_trait]
impl Tries for Sqlite {
    async fn begin_try(
        &self,
        tenant: Guid,
        factor: &'static str,
        subject: &str,
        now: UnixTime,
        limit: Limit,
    ) -> Result<Verdict> {
        let subject = subject.to_owned();
        self.write(Topic::Quiet, move |db| {
            // Older than any window: names that nobody has must not pile up.
            db.prepare_cached("DELETE FROM tries WHERE at < ?1")?
                .execute([now.plus(-86_400).0])?;
            let mut query = db.prepare_cached(
                "SELECT at FROM tries WHERE tenant = ?1 AND factor = ?2 AND subject = ?3
                 AND at > ?4 ORDER BY at",
            )?;
            let since = now.plus(-limit.window_s).0;
            let earlier = query
                .query_map(params![Text(tenant), factor, subject, since], |row| {
                    row.get(0).map(UnixTime)
                })?
                .collect::<rusqlite::Result<Vec<_>>>()?;
            let verdict = limit.judge(&earlier, now);
            if verdict == Verdict::Go {
                db.prepare_cached(
                    "INSERT INTO tries (tenant, factor, subject, at) VALUES (?1, ?2, ?3, ?4)",
                )?
                .execute(params![Text(tenant), factor, subject, now.0])?;
            }
            Ok(verdict)
        })
        .await
    }

    async fn take_back_try(
        &self,
        tenant: Guid,
        factor: &'static str,
        subject: &str,
        at: UnixTime,
    ) -> Result<()> {
        let subject = subject.to_owned();
        self.write(Topic::Quiet, move |db| {
            db.execute(
                "DELETE FROM tries WHERE id = (SELECT max(id) FROM tries
                 WHERE tenant = ?1 AND factor = ?2 AND subject = ?3 AND at = ?4)",
                params![Text(tenant), factor, subject, at.0],
            )?;
            Ok(())
        })
        .await
    }

    async fn forget_tries(&self, tenant: Guid, factor: &'static str, subject: &str) -> Result<()> {
        let subject = subject.to_owned();
        self.write(Topic::Quiet, move |db| {
            db.execute(
                "DELETE FROM tries WHERE tenant = ?1 AND factor = ?2 AND subject = ?3",
                params![Text(tenant), factor, subject],
            )?;
            Ok(())
        })
        .await
    }
}
