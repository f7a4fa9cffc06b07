//! Users, groups, computers and devices.

use async_trait::async_trait;
use model::Guid;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{
    Sqlite, Text, Topic,
    tenant::audit,
    value::{text, time},
};
use crate::{
    Audit, Computer, Computers, Device, Devices, Directory, DirectoryChange, Group, Groups,
    ObjectKind, Result, User, Users,
};

fn user(row: &Row<'_>) -> rusqlite::Result<User> {
    Ok(User {
        guid: text(row, "guid")?,
        domain: text(row, "domain")?,
        sid: text(row, "sid")?,
        upn: row.get("upn")?,
        sam: row.get("sam")?,
        display_name: row.get("display_name")?,
        dn: row.get("dn")?,
        active: row.get("active")?,
    })
}

fn device(row: &Row<'_>) -> rusqlite::Result<Device> {
    Ok(Device {
        id: text(row, "id")?,
        domain: text(row, "domain")?,
        display_name: row.get("display_name")?,
        os_version: row.get("os_version")?,
        certificate: row.get("certificate")?,
        transport_key: row.get("transport_key")?,
        attestation_key: row.get("attestation_key")?,
        endorsement_key: row.get("endorsement_key")?,
        endorsement_certificate: row.get("endorsement_certificate")?,
        enabled: row.get("enabled")?,
        joined: time(row, "joined")?,
    })
}

fn table(kind: ObjectKind) -> &'static str {
    match kind {
        ObjectKind::User => "users",
        ObjectKind::Group => "groups",
        ObjectKind::Computer => "computers",
    }
}

/// Whether `domain` may say something about the object: it is unknown, or its own.
fn is_own(
    db: &Connection,
    kind: ObjectKind,
    tenant: Guid,
    guid: Guid,
    domain: Guid,
) -> Result<bool> {
    let sql = format!(
        "SELECT domain FROM {} WHERE tenant = ?1 AND guid = ?2",
        table(kind)
    );
    let owner: Option<Text<Guid>> = db
        .prepare_cached(&sql)?
        .query_row(params![Text(tenant), Text(guid)], |row| row.get(0))
        .optional()?;
    Ok(owner.is_none_or(|owner| owner.0 == domain))
}

fn put_user(db: &Connection, tenant: Guid, user: &User) -> Result<()> {
    db.prepare_cached(
        "INSERT OR REPLACE INTO users
         (tenant, guid, domain, sid, upn, upn_key, sam, display_name, dn, active)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?
    .execute(params![
        Text(tenant),
        Text(user.guid),
        Text(user.domain),
        Text(&user.sid),
        user.upn,
        user.upn.to_lowercase(),
        user.sam,
        user.display_name,
        user.dn,
        user.active
    ])?;
    Ok(())
}

fn put_group(db: &Connection, tenant: Guid, group: &Group) -> Result<()> {
    db.prepare_cached(
        "INSERT OR REPLACE INTO groups (tenant, guid, domain, sid, name, dn)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute(params![
        Text(tenant),
        Text(group.guid),
        Text(group.domain),
        Text(&group.sid),
        group.name,
        group.dn
    ])?;
    db.prepare_cached(r#"DELETE FROM members WHERE tenant = ?1 AND "group" = ?2"#)?
        .execute(params![Text(tenant), Text(group.guid)])?;
    let mut insert = db.prepare_cached(
        r#"INSERT OR IGNORE INTO members (tenant, "group", member) VALUES (?1, ?2, ?3)"#,
    )?;
    for member in &group.members {
        insert.execute(params![Text(tenant), Text(group.guid), Text(member)])?;
    }
    Ok(())
}

fn put_computer(db: &Connection, tenant: Guid, computer: &Computer) -> Result<()> {
    db.prepare_cached(
        "INSERT OR REPLACE INTO computers (tenant, guid, domain, sid, name, dn, active)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute(params![
        Text(tenant),
        Text(computer.guid),
        Text(computer.domain),
        Text(&computer.sid),
        computer.name,
        computer.dn,
        computer.active
    ])?;
    db.prepare_cached("DELETE FROM computer_certificates WHERE tenant = ?1 AND computer = ?2")?
        .execute(params![Text(tenant), Text(computer.guid)])?;
    let mut insert = db.prepare_cached(
        "INSERT INTO computer_certificates (tenant, computer, place, der) VALUES (?1, ?2, ?3, ?4)",
    )?;
    for (place, der) in (0_i64..).zip(&computer.certificates) {
        insert.execute(params![Text(tenant), Text(computer.guid), place, der])?;
    }
    Ok(())
}

fn delete(db: &Connection, kind: ObjectKind, tenant: Guid, guid: Guid) -> Result<()> {
    let object = params![Text(tenant), Text(guid)];
    db.execute(
        &format!(
            "DELETE FROM {} WHERE tenant = ?1 AND guid = ?2",
            table(kind)
        ),
        object,
    )?;
    match kind {
        ObjectKind::User => {}
        ObjectKind::Group => {
            db.execute(
                r#"DELETE FROM members WHERE tenant = ?1 AND "group" = ?2"#,
                object,
            )?;
        }
        ObjectKind::Computer => {
            let sql = "DELETE FROM computer_certificates WHERE tenant = ?1 AND computer = ?2";
            db.execute(sql, object)?;
        }
    }
    Ok(())
}

#[async_trait]
impl Directory for Sqlite {
    async fn apply(
        &self,
        tenant: Guid,
        domain: Guid,
        changes: Vec<DirectoryChange>,
    ) -> Result<Vec<bool>> {
        self.write(Topic::Quiet, move |db| {
            let apply = |change: &DirectoryChange| {
                let (kind, guid, claimed) = match change {
                    DirectoryChange::PutUser(user) => (ObjectKind::User, user.guid, user.domain),
                    DirectoryChange::PutGroup(group) => {
                        (ObjectKind::Group, group.guid, group.domain)
                    }
                    DirectoryChange::PutComputer(computer) => {
                        (ObjectKind::Computer, computer.guid, computer.domain)
                    }
                    DirectoryChange::Delete(kind, guid) => (*kind, *guid, domain),
                };
                if claimed != domain || !is_own(db, kind, tenant, guid, domain)? {
                    return Ok(false);
                }
                match change {
                    DirectoryChange::PutUser(user) => put_user(db, tenant, user)?,
                    DirectoryChange::PutGroup(group) => put_group(db, tenant, group)?,
                    DirectoryChange::PutComputer(computer) => put_computer(db, tenant, computer)?,
                    DirectoryChange::Delete(kind, guid) => delete(db, *kind, tenant, *guid)?,
                }
                Ok(true)
            };
            changes.iter().map(apply).collect()
        })
        .await
    }
}

#[async_trait]
impl Users for Sqlite {
    async fn user(&self, tenant: Guid, guid: Guid) -> Result<Option<User>> {
        self.read(move |db| {
            let row = db
                .prepare_cached("SELECT * FROM users WHERE tenant = ?1 AND guid = ?2")?
                .query_row(params![Text(tenant), Text(guid)], user);
            Ok(row.optional()?)
        })
        .await
    }

    async fn user_by_upn(&self, tenant: Guid, upn: &str) -> Result<Option<User>> {
        let upn = upn.to_lowercase();
        self.read(move |db| {
            let mut query = db
                .prepare_cached("SELECT * FROM users WHERE tenant = ?1 AND upn_key = ?2 LIMIT 2")?;
            let mut rows = query.query_map(params![Text(tenant), upn], user)?;
            let first = rows.next().transpose()?;
            Ok(if rows.next().is_some() { None } else { first })
        })
        .await
    }

    async fn users(&self, tenant: Guid) -> Result<Vec<User>> {
        self.read(move |db| {
            let mut query = db.prepare("SELECT * FROM users WHERE tenant = ?1 ORDER BY upn_key")?;
            let rows = query.query_map([Text(tenant)], user)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }
}

#[async_trait]
impl Groups for Sqlite {
    async fn groups(&self, tenant: Guid) -> Result<Vec<Group>> {
        self.read(move |db| {
            let mut members = db.prepare(
                r#"SELECT member FROM members WHERE tenant = ?1 AND "group" = ?2 ORDER BY member"#,
            )?;
            let mut query = db.prepare("SELECT * FROM groups WHERE tenant = ?1 ORDER BY name")?;
            let rows = query.query_map([Text(tenant)], |row| {
                let guid: Guid = text(row, "guid")?;
                let members = members
                    .query_map(params![Text(tenant), Text(guid)], |row| text(row, "member"))?
                    .collect::<rusqlite::Result<_>>()?;
                Ok(Group {
                    guid,
                    domain: text(row, "domain")?,
                    sid: text(row, "sid")?,
                    name: row.get("name")?,
                    dn: row.get("dn")?,
                    members,
                })
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    async fn is_member(&self, tenant: Guid, member: Guid, group: Guid) -> Result<bool> {
        self.read(move |db| {
            // UNION drops what was seen, so that groups within each other come to an end.
            let mut query = db.prepare_cached(
                r#"WITH RECURSIVE above (guid) AS (
                     SELECT "group" FROM members WHERE tenant = ?1 AND member = ?2
                     UNION
                     SELECT m."group" FROM members m JOIN above a ON m.member = a.guid
                     WHERE m.tenant = ?1
                   )
                   SELECT EXISTS (SELECT 1 FROM above WHERE guid = ?3)"#,
            )?;
            let found = query.query_row(params![Text(tenant), Text(member), Text(group)], |r| {
                r.get(0)
            })?;
            Ok(found)
        })
        .await
    }
}

#[async_trait]
impl Computers for Sqlite {
    async fn computer(&self, tenant: Guid, guid: Guid) -> Result<Option<Computer>> {
        self.read(move |db| {
            let mut certificates = db.prepare_cached(
                "SELECT der FROM computer_certificates WHERE tenant = ?1 AND computer = ?2
                 ORDER BY place",
            )?;
            let object = params![Text(tenant), Text(guid)];
            let certificates = certificates
                .query_map(object, |row| row.get(0))?
                .collect::<rusqlite::Result<_>>()?;
            let row = db
                .prepare_cached("SELECT * FROM computers WHERE tenant = ?1 AND guid = ?2")?
                .query_row(object, |row| {
                    Ok(Computer {
                        guid,
                        domain: text(row, "domain")?,
                        sid: text(row, "sid")?,
                        name: row.get("name")?,
                        dn: row.get("dn")?,
                        active: row.get("active")?,
                        certificates,
                    })
                });
            Ok(row.optional()?)
        })
        .await
    }
}

#[async_trait]
impl Devices for Sqlite {
    async fn join_device(&self, tenant: Guid, device: Device, row: Audit) -> Result<()> {
        self.write(Topic::Quiet, move |db| {
            db.execute(
                "INSERT INTO devices (tenant, id, domain, display_name, os_version, certificate,
                   transport_key, attestation_key, endorsement_key, endorsement_certificate,
                   enabled, joined)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
                 ON CONFLICT (tenant, id) DO UPDATE SET
                   domain = excluded.domain, display_name = excluded.display_name,
                   os_version = excluded.os_version, certificate = excluded.certificate,
                   transport_key = excluded.transport_key,
                   attestation_key = excluded.attestation_key,
                   endorsement_key = excluded.endorsement_key,
                   endorsement_certificate = excluded.endorsement_certificate,
                   joined = excluded.joined",
                params![
                    Text(tenant),
                    Text(device.id),
                    Text(device.domain),
                    device.display_name,
                    device.os_version,
                    device.certificate,
                    device.transport_key,
                    device.attestation_key,
                    device.endorsement_key,
                    device.endorsement_certificate,
                    device.enabled,
                    device.joined.0
                ],
            )?;
            audit(db, tenant, &row)
        })
        .await
    }

    async fn device(&self, tenant: Guid, id: Guid) -> Result<Option<Device>> {
        self.read(move |db| {
            let row = db
                .prepare_cached("SELECT * FROM devices WHERE tenant = ?1 AND id = ?2")?
                .query_row(params![Text(tenant), Text(id)], device);
            Ok(row.optional()?)
        })
        .await
    }

    async fn devices(&self, tenant: Guid) -> Result<Vec<Device>> {
        self.read(move |db| {
            let sql = "SELECT * FROM devices WHERE tenant = ?1 ORDER BY display_name, id";
            let mut query = db.prepare(sql)?;
            let rows = query.query_map([Text(tenant)], device)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    async fn remove_device(&self, tenant: Guid, id: Guid, row: Audit) -> Result<bool> {
        self.write(Topic::Quiet, move |db| {
            let sql = "DELETE FROM devices WHERE tenant = ?1 AND id = ?2";
            let removed = db.execute(sql, params![Text(tenant), Text(id)])? == 1;
            if removed {
                audit(db, tenant, &row)?;
            }
            Ok(removed)
        })
        .await
    }
}
