//! Sign-in attempts and authorization codes.

use async_trait::async_trait;
use model::{Guid, UnixTime};
use rusqlite::{OptionalExtension, params};

use super::{
    Sqlite, Text, Topic,
    value::{text, time},
};
use crate::{Attempt, Attempts, Code, Digest, Error, Result};

#[async_trait]
impl Attempts for Sqlite {
    async fn begin_attempt(&self, tenant: Guid, attempt: Attempt, now: UnixTime) -> Result<()> {
        self.write(Topic::Quiet, move |db| {
            db.execute("DELETE FROM attempts WHERE expires <= ?1", [now.0])?;
            db.execute("DELETE FROM codes WHERE expires <= ?1", [now.0])?;
            db.execute(
                "INSERT INTO attempts (tenant, id, client, device, username, user, resource,
                   code_challenge, two_factors, password_at, expires)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
                params![
                    Text(tenant),
                    attempt.id,
                    attempt.client,
                    Text(attempt.device),
                    attempt.username,
                    attempt.user.map(Text),
                    attempt.resource,
                    attempt.code_challenge,
                    attempt.two_factors,
                    attempt.password_at.map(|t| t.0),
                    attempt.expires.0
                ],
            )?;
            Ok(())
        })
        .await
    }

    async fn attempt(&self, tenant: Guid, id: Digest, now: UnixTime) -> Result<Option<Attempt>> {
        self.read(move |db| {
            let sql = "SELECT * FROM attempts WHERE tenant = ?1 AND id = ?2 AND expires > ?3";
            let row = db.query_row(sql, params![Text(tenant), id, now.0], |row| {
                Ok(Attempt {
                    id,
                    client: row.get("client")?,
                    device: text(row, "device")?,
                    username: row.get("username")?,
                    user: row.get::<_, Option<Text<Guid>>>("user")?.map(|user| user.0),
                    resource: row.get("resource")?,
                    code_challenge: row.get("code_challenge")?,
                    two_factors: row.get("two_factors")?,
                    password_at: row.get::<_, Option<i64>>("password_at")?.map(UnixTime),
                    expires: time(row, "expires")?,
                })
            });
            Ok(row.optional()?)
        })
        .await
    }

    async fn password_shown(&self, tenant: Guid, id: Digest, at: UnixTime) -> Result<()> {
        self.write(Topic::Quiet, move |db| {
            db.execute(
                "UPDATE attempts SET password_at = ?3 WHERE tenant = ?1 AND id = ?2",
                params![Text(tenant), id, at.0],
            )?;
            Ok(())
        })
        .await
    }

    async fn finish_attempt(
        &self,
        tenant: Guid,
        attempt: Digest,
        step: Option<u64>,
        code: Code,
    ) -> Result<bool> {
        let step = step
            .map(i64::try_from)
            .transpose()
            .map_err(|_| Error::Bug("a time step"))?;
        self.write(Topic::Quiet, move |db| {
            if let Some(step) = step {
                let spent = db.execute(
                    "UPDATE totp SET last_step = ?3
                     WHERE tenant = ?1 AND user = ?2 AND last_step < ?3",
                    params![Text(tenant), Text(code.user), step],
                )?;
                if spent == 0 {
                    return Ok(false);
                }
            }
            let sql = "DELETE FROM attempts WHERE tenant = ?1 AND id = ?2";
            if db.execute(sql, params![Text(tenant), attempt])? == 0 {
                return Err(Error::Conflict("the attempt is over"));
            }
            db.execute(
                "INSERT INTO codes (tenant, id, client, device, user, resource, code_challenge,
                   methods, mfa_time, expires)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
                params![
                    Text(tenant),
                    code.id,
                    code.client,
                    Text(code.device),
                    Text(code.user),
                    code.resource,
                    code.code_challenge,
                    code.methods.join(" "),
                    code.mfa_time.map(|t| t.0),
                    code.expires.0
                ],
            )?;
            Ok(true)
        })
        .await
    }

    async fn take_code(&self, tenant: Guid, id: Digest, now: UnixTime) -> Result<Option<Code>> {
        self.write(Topic::Quiet, move |db| {
            let sql = "DELETE FROM codes WHERE tenant = ?1 AND id = ?2 RETURNING *";
            let code = db
                .query_row(sql, params![Text(tenant), id], |row| {
                    let methods: String = row.get("methods")?;
                    Ok(Code {
                        id,
                        client: row.get("client")?,
                        device: text(row, "device")?,
                        user: text(row, "user")?,
                        resource: row.get("resource")?,
                        code_challenge: row.get("code_challenge")?,
                        methods: methods.split_whitespace().map(str::to_owned).collect(),
                        mfa_time: row.get::<_, Option<i64>>("mfa_time")?.map(UnixTime),
                        expires: time(row, "expires")?,
                    })
                })
                .optional()?;
            Ok(code.filter(|code| code.expires > now))
        })
        .await
    }
}
