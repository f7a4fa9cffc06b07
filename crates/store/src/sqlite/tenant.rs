//! The tenant and the audit log.

use async_trait::async_trait;
use model::Guid;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{
    Sqlite, Text, Topic,
    value::{text, time},
};
use crate::{
    Administrator, Audit, AuditRow, Audits, Error, Result, Sealed, SealedName, Settings, Tenant,
    Tenants,
};

/// Writes one row of the audit log, within the write that it tells about.
pub(super) fn audit(db: &Connection, tenant: Guid, row: &Audit) -> Result<()> {
    db.prepare_cached(
        "INSERT INTO audit (tenant, at, actor, action, subject) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute(params![
        Text(tenant),
        row.at.0,
        row.actor,
        row.action,
        row.subject
    ])?;
    Ok(())
}

#[async_trait]
impl Tenants for Sqlite {
    async fn create_tenant(
        &self,
        tenant: Tenant,
        administrator: Administrator,
        sealed: Vec<Sealed>,
        row: Audit,
    ) -> Result<()> {
        self.write(Topic::Quiet, move |db| {
            if db.query_row("SELECT count(*) FROM tenants", [], |r| r.get::<_, i64>(0))? > 0 {
                return Err(Error::Conflict("there is a tenant already"));
            }
            db.execute(
                "INSERT INTO tenants (id, name, created) VALUES (?1, ?2, ?3)",
                params![Text(tenant.id), tenant.name, tenant.created.0],
            )?;
            db.execute(
                "INSERT INTO administrators (tenant, name, password_hash) VALUES (?1, ?2, ?3)",
                params![
                    Text(tenant.id),
                    administrator.name,
                    administrator.password_hash
                ],
            )?;
            for secret in &sealed {
                db.execute(
                    "INSERT INTO sealed (tenant, name, value) VALUES (?1, ?2, ?3)",
                    params![Text(tenant.id), secret.name.as_str(), secret.value],
                )?;
            }
            db.execute(
                "INSERT INTO settings (tenant) VALUES (?1)",
                [Text(tenant.id)],
            )?;
            audit(db, tenant.id, &row)
        })
        .await
    }

    async fn tenant(&self) -> Result<Option<Tenant>> {
        self.read(|db| {
            let read = |row: &Row<'_>| {
                Ok(Tenant {
                    id: text(row, "id")?,
                    name: row.get("name")?,
                    created: time(row, "created")?,
                })
            };
            Ok(db.query_row("SELECT * FROM tenants", [], read).optional()?)
        })
        .await
    }

    async fn sealed(&self, tenant: Guid, name: SealedName) -> Result<Option<Vec<u8>>> {
        self.read(move |db| {
            let sql = "SELECT value FROM sealed WHERE tenant = ?1 AND name = ?2";
            let row = db.query_row(sql, params![Text(tenant), name.as_str()], |row| row.get(0));
            Ok(row.optional()?)
        })
        .await
    }

    async fn settings(&self, tenant: Guid) -> Result<Settings> {
        self.read(move |db| {
            let read = |row: &Row<'_>| {
                let group = |column| {
                    Ok::<_, rusqlite::Error>(
                        row.get::<_, Option<Text<Guid>>>(column)?
                            .map(|group| group.0),
                    )
                };
                Ok(Settings {
                    register_keys_group: group("register_keys_group")?,
                    join_devices_group: group("join_devices_group")?,
                })
            };
            let sql = "SELECT * FROM settings WHERE tenant = ?1";
            Ok(db.query_row(sql, [Text(tenant)], read)?)
        })
        .await
    }

    async fn set_settings(&self, tenant: Guid, settings: Settings, row: Audit) -> Result<()> {
        self.write(Topic::Quiet, move |db| {
            db.execute(
                "UPDATE settings SET register_keys_group = ?2, join_devices_group = ?3
                 WHERE tenant = ?1",
                params![
                    Text(tenant),
                    settings.register_keys_group.map(Text),
                    settings.join_devices_group.map(Text)
                ],
            )?;
            audit(db, tenant, &row)
        })
        .await
    }
}

#[async_trait]
impl Audits for Sqlite {
    async fn audit_rows(&self, tenant: Guid, most: u32) -> Result<Vec<AuditRow>> {
        self.read(move |db| {
            let mut query =
                db.prepare("SELECT * FROM audit WHERE tenant = ?1 ORDER BY id DESC LIMIT ?2")?;
            let rows = query.query_map(params![Text(tenant), most], |row| {
                Ok(AuditRow {
                    at: time(row, "at")?,
                    actor: row.get("actor")?,
                    action: row.get("action")?,
                    subject: row.get("subject")?,
                })
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }
}
