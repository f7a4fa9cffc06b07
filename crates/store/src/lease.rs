//! Which agent of a domain may write.
//!
//! The times are those of the server that is asked. Servers that share a database have clocks that
//! differ: whoever comes after another waits some seconds longer than that one was promised.

use model::{Guid, UnixTime};

use crate::{
    Result, Store,
    sql::{Row, Sql, args, fields},
    store::Touches,
};

/// How long a lease is good.
const LEASE_S: i64 = 60;

/// How much longer others wait.
const GRACE_S: i64 = 5;

/// What an agent says of itself when it asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseRequest {
    /// It wants to look on only.
    pub staging: bool,
    /// Which start of which machine it runs on.
    pub instance: Guid,
    /// The machine.
    pub host: String,
    /// Its release.
    pub version: String,
}

/// Who has the lease, and how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lease {
    /// Whoever asked, for so many seconds.
    Held(i64),
    /// The agent on this host; asking again makes sense after so many seconds.
    Other(String, i64),
    /// Nobody.
    Free,
}

struct Holder {
    agent: Guid,
    instance: Guid,
    host: String,
    until: UnixTime,
}

fn holder(row: &Row) -> Result<Holder> {
    Ok(Holder {
        agent: row.get("agent")?,
        instance: row.get("instance")?,
        host: row.get("host")?,
        until: row.get("until")?,
    })
}

fn of(db: &dyn Sql, tenant: Guid, domain: Guid) -> Result<Option<Holder>> {
    let sql = "SELECT * FROM agent_leases WHERE tenant = ?1 AND domain = ?2";
    db.one(sql, args![tenant, domain], holder)
}

impl Store {
    /// Grants the lease of a domain to an agent that may have it, and keeps what it says of itself.
    pub async fn lease(
        &self,
        tenant: Guid,
        domain: Guid,
        agent: Guid,
        asked: LeaseRequest,
        now: UnixTime,
    ) -> Result<Lease> {
        self.write(Touches::Rows, move |db| {
            let LeaseRequest {
                staging,
                instance,
                host,
                version,
            } = &asked;
            let holder = of(db, tenant, domain)?;
            let is_own = |holder: &Holder| holder.agent == agent && holder.instance == *instance;
            let gives_back = *staging && holder.as_ref().is_some_and(is_own);
            // One that ends gives it back, and is not in staging for that.
            let looks_on = *staging && !gives_back;
            let sql = "UPDATE agents SET host = ?3, version = ?4, staging = ?5, seen = ?6
                 WHERE tenant = ?1 AND id = ?2";
            db.execute(sql, args![tenant, agent, host, version, looks_on, now])?;
            if gives_back {
                let sql = "DELETE FROM agent_leases WHERE tenant = ?1 AND domain = ?2";
                db.execute(sql, args![tenant, domain])?;
                return Ok(Lease::Free);
            }
            if let Some(holder) = holder.filter(|holder| !is_own(holder)) {
                // A clock that was set back keeps nobody out for longer than one lease more.
                let until = holder.until.min(now.plus(LEASE_S));
                if until < holder.until {
                    let sql = "UPDATE agent_leases SET until = ?3
                         WHERE tenant = ?1 AND domain = ?2";
                    db.execute(sql, args![tenant, domain, until])?;
                }
                let wait_s = until.plus(GRACE_S).0 - now.0;
                if wait_s > 0 {
                    return Ok(Lease::Other(holder.host, wait_s));
                }
            }
            if *staging {
                return Ok(Lease::Free);
            }
            db.put(
                "agent_leases",
                "tenant, domain",
                fields! {
                    tenant: tenant,
                    domain: domain,
                    agent: agent,
                    instance: *instance,
                    host: host,
                    until: now.plus(LEASE_S),
                },
            )?;
            Ok(Lease::Held(LEASE_S))
        })
        .await
    }

    /// The agent that holds the lease of a domain.
    pub async fn lease_holder(
        &self,
        tenant: Guid,
        domain: Guid,
        now: UnixTime,
    ) -> Result<Option<Guid>> {
        self.look_up(move |db| {
            let holder = of(db, tenant, domain)?;
            Ok(holder
                .filter(|holder| now < holder.until)
                .map(|holder| holder.agent))
        })
        .await
    }
}
