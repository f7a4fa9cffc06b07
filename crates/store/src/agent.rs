//! Agents: who brings the directory in and carries keys out, and the domain each stands beside.

use model::{Guid, Sid, UnixTime};

use crate::{
    Audit, Digest, Error, Result, Store,
    sql::{Row, args, fields},
};

/// A domain of the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Domain {
    /// objectGUID.
    pub guid: Guid,
    /// Its SID.
    pub sid: Sid,
    /// Its DNS name.
    pub dns_name: String,
    /// Its NetBIOS name.
    pub netbios_name: String,
}

/// An enrolled agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    /// Its id.
    pub id: Guid,
    /// Its domain.
    pub domain: Guid,
    /// Its service principal.
    pub principal: String,
    /// DER SubjectPublicKeyInfo.
    pub public_key: Vec<u8>,
    /// When it was enrolled.
    pub enrolled: UnixTime,
    /// What it said last, if it ever asked for the lease.
    pub said: Option<AgentSaid>,
}

/// What an agent says of itself with each request for the lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentSaid {
    /// The machine that it runs on.
    pub host: String,
    /// Its release.
    pub version: String,
    /// It only looks on.
    pub staging: bool,
    /// When it said so.
    pub at: UnixTime,
}

/// A code that enrolls one agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnrollmentCode {
    /// SHA-256 of the code.
    pub digest: Digest,
    /// From then on it is worth nothing.
    pub expires: UnixTime,
}

fn agent(row: &Row) -> Result<Agent> {
    Ok(Agent {
        id: row.get("id")?,
        domain: row.get("domain")?,
        principal: row.get("principal")?,
        public_key: row.get("public_key")?,
        enrolled: row.get("enrolled")?,
        said: match row.get("seen")? {
            None => None,
            Some(at) => Some(AgentSaid {
                host: row.get("host")?,
                version: row.get("version")?,
                staging: row.get("staging")?,
                at,
            }),
        },
    })
}

fn domain(row: &Row) -> Result<Domain> {
    Ok(Domain {
        guid: row.get("guid")?,
        sid: row.get("sid")?,
        dns_name: row.get("dns_name")?,
        netbios_name: row.get("netbios_name")?,
    })
}

impl Store {
    /// Keeps a one-time code.
    pub async fn add_enrollment_code(
        &self,
        tenant: Guid,
        code: EnrollmentCode,
        audit: Audit,
    ) -> Result<()> {
        self.sweep(audit.at).await?;
        self.audited(tenant, audit, move |db| {
            let row = fields! { tenant: tenant, digest: code.digest, expires: code.expires };
            db.insert("enrollment_codes", row)
        })
        .await
    }

    /// Spends the code and takes the agent and its domain in; false where the code is unknown,
    /// spent or expired, and then nothing has changed. A domain that is known keeps its SID: the
    /// call contradicts what is stored where the SID is another.
    pub async fn enroll_agent(
        &self,
        tenant: Guid,
        code: Digest,
        domain: Domain,
        agent: Agent,
        audit: Audit,
    ) -> Result<bool> {
        self.audited(tenant, audit, move |db| {
            let sql = "DELETE FROM enrollment_codes
                 WHERE tenant = ?1 AND digest = ?2 AND expires > ?3";
            if !db.touched(sql, args![tenant, code, agent.enrolled])? {
                return Ok(false);
            }
            let sql = "SELECT sid, added FROM domains WHERE tenant = ?1 AND guid = ?2";
            let known: Option<(Sid, UnixTime)> =
                db.one(sql, args![tenant, domain.guid], |row| {
                    Ok((row.get("sid")?, row.get("added")?))
                })?;
            if known.as_ref().is_some_and(|(sid, _)| *sid != domain.sid) {
                return Err(Error::Conflict("the domain is known with another SID"));
            }
            db.put(
                "domains",
                "tenant, guid",
                fields! {
                    tenant: tenant,
                    guid: domain.guid,
                    sid: domain.sid,
                    dns_name: domain.dns_name,
                    netbios_name: domain.netbios_name,
                    added: known.map_or(agent.enrolled, |(_, added)| added),
                },
            )?;
            db.insert(
                "agents",
                fields! {
                    tenant: tenant,
                    id: agent.id,
                    domain: agent.domain,
                    principal: agent.principal,
                    public_key: agent.public_key,
                    enrolled: agent.enrolled,
                },
            )?;
            Ok(true)
        })
        .await
    }

    /// One agent.
    pub async fn agent(&self, tenant: Guid, id: Guid) -> Result<Option<Agent>> {
        self.read(move |db| {
            let sql = "SELECT * FROM agents WHERE tenant = ?1 AND id = ?2";
            db.one(sql, args![tenant, id], agent)
        })
        .await
    }

    /// Gives an agent another key; false where there is no such agent, or it has that key already.
    pub async fn set_agent_key(
        &self,
        tenant: Guid,
        id: Guid,
        public_key: Vec<u8>,
        audit: Audit,
    ) -> Result<bool> {
        self.audited(tenant, audit, move |db| {
            let sql = "UPDATE agents SET public_key = ?3
                 WHERE tenant = ?1 AND id = ?2 AND public_key <> ?3";
            db.touched(sql, args![tenant, id, public_key])
        })
        .await
    }

    /// Takes an agent out, and its lease; false where there is none. Whoever waits is woken: the agent
    /// is refused at once.
    pub async fn delete_agent(&self, tenant: Guid, id: Guid, audit: Audit) -> Result<bool> {
        self.audited_keys(tenant, audit, move |db| {
            let sql = "SELECT domain FROM agents WHERE tenant = ?1 AND id = ?2";
            let Some(domain) = db.one(sql, args![tenant, id], |row| row.get::<Guid>("domain"))?
            else {
                return Ok(false);
            };
            let sql = "DELETE FROM agent_leases WHERE tenant = ?1 AND domain = ?2 AND agent = ?3";
            db.execute(sql, args![tenant, domain, id])?;
            let sql = "DELETE FROM agents WHERE tenant = ?1 AND id = ?2";
            db.touched(sql, args![tenant, id])
        })
        .await
    }

    /// Every agent, in the order of enrollment.
    pub async fn agents(&self, tenant: Guid) -> Result<Vec<Agent>> {
        self.read(move |db| {
            let sql = "SELECT * FROM agents WHERE tenant = ?1 ORDER BY enrolled, id";
            db.all(sql, args![tenant], agent)
        })
        .await
    }

    /// Every domain, in the order of enrollment.
    pub async fn domains(&self, tenant: Guid) -> Result<Vec<Domain>> {
        self.look_up(move |db| {
            let sql = "SELECT * FROM domains WHERE tenant = ?1 ORDER BY added, guid";
            db.all(sql, args![tenant], domain)
        })
        .await
    }
}
