//! Agents, domains and enrollment codes.

use async_trait::async_trait;
use model::{Guid, UnixTime};
use rusqlite::{OptionalExtension, Row, params};

use super::{
    Sqlite, Text, Topic,
    tenant::audit,
    value::{text, time},
};
use crate::{Agent, Agents, Audit, Digest, Domain, EnrollmentCode, Error, Result};

fn agent(row: &Row<'_>) -> rusqlite::Result<Agent> {
    Ok(Agent {
        id: text(row, "id")?,
        domain: text(row, "domain")?,
        principal: row.get("principal")?,
        public_key: row.get("public_key")?,
        enrolled: time(row, "enrolled")?,
    })
}

fn domain(row: &Row<'_>) -> rusqlite::Result<Domain> {
    Ok(Domain {
        guid: text(row, "guid")?,
        sid: text(row, "sid")?,
        dns_name: row.get("dns_name")?,
        netbios_name: row.get("netbios_name")?,
    })
}

#[async_trait]
impl Agents for Sqlite {
    async fn add_enrollment_code(
        &self,
        tenant: Guid,
        code: EnrollmentCode,
        row: Audit,
    ) -> Result<()> {
        self.write(Topic::Quiet, move |db| {
            db.execute(
                "DELETE FROM enrollment_codes WHERE expires <= ?1",
                [row.at.0],
            )?;
            db.execute(
                "INSERT INTO enrollment_codes (tenant, digest, expires) VALUES (?1, ?2, ?3)",
                params![Text(tenant), code.digest, code.expires.0],
            )?;
            audit(db, tenant, &row)
        })
        .await
    }

    async fn enroll_agent(
        &self,
        tenant: Guid,
        code: Digest,
        domain: Domain,
        agent: Agent,
        row: Audit,
    ) -> Result<bool> {
        self.write(Topic::Quiet, move |db| {
            let spent = db.execute(
                "DELETE FROM enrollment_codes WHERE tenant = ?1 AND digest = ?2 AND expires > ?3",
                params![Text(tenant), code, agent.enrolled.0],
            )?;
            if spent == 0 {
                return Ok(false);
            }
            db.execute(
                "INSERT INTO domains (tenant, guid, sid, dns_name, netbios_name, added)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                 ON CONFLICT (tenant, guid) DO UPDATE
                 SET dns_name = excluded.dns_name, netbios_name = excluded.netbios_name",
                params![
                    Text(tenant),
                    Text(domain.guid),
                    Text(&domain.sid),
                    domain.dns_name,
                    domain.netbios_name,
                    agent.enrolled.0
                ],
            )?;
            let sid: Text<model::Sid> = db.query_row(
                "SELECT sid FROM domains WHERE tenant = ?1 AND guid = ?2",
                params![Text(tenant), Text(domain.guid)],
                |row| row.get(0),
            )?;
            if sid.0 != domain.sid {
                return Err(Error::Conflict("the domain is known with another SID"));
            }
            db.execute(
                "INSERT INTO agents (tenant, id, domain, principal, public_key, enrolled)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                params![
                    Text(tenant),
                    Text(agent.id),
                    Text(agent.domain),
                    agent.principal,
                    agent.public_key,
                    agent.enrolled.0
                ],
            )?;
            audit(db, tenant, &row)?;
            Ok(true)
        })
        .await
    }

    async fn agent(&self, tenant: Guid, id: Guid) -> Result<Option<Agent>> {
        self.read(move |db| {
            let row = db
                .prepare_cached("SELECT * FROM agents WHERE tenant = ?1 AND id = ?2")?
                .query_row(params![Text(tenant), Text(id)], agent);
            Ok(row.optional()?)
        })
        .await
    }

    async fn agents(&self, tenant: Guid) -> Result<Vec<Agent>> {
        self.read(move |db| {
            let mut query =
                db.prepare("SELECT * FROM agents WHERE tenant = ?1 ORDER BY enrolled, id")?;
            let rows = query.query_map([Text(tenant)], agent)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    async fn domains(&self, tenant: Guid) -> Result<Vec<Domain>> {
        self.read(move |db| {
            let mut query =
                db.prepare_cached("SELECT * FROM domains WHERE tenant = ?1 ORDER BY added, guid")?;
            let rows = query.query_map([Text(tenant)], domain)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    async fn spend_statement(
        &self,
        tenant: Guid,
        id: Digest,
        now: UnixTime,
        expires: UnixTime,
    ) -> Result<bool> {
        self.write(Topic::Quiet, move |db| {
            db.execute("DELETE FROM spent_statements WHERE expires <= ?1", [now.0])?;
            let new = db.execute(
                "INSERT OR IGNORE INTO spent_statements (tenant, id, expires) VALUES (?1, ?2, ?3)",
                params![Text(tenant), id, expires.0],
            )?;
            Ok(new == 1)
        })
        .await
    }
}
