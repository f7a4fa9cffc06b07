//! `status`: what the agent's files say about it.

use std::fmt::Write;

use model::Guid;
use serde::Serialize;

use crate::{
    config::Config,
    known,
    ledger::{self, Ledger},
    state::Folder,
};

/// The agent at a glance.
#[derive(Debug, Serialize)]
pub struct Status {
    agent: Guid,
    tenant: Guid,
    server: String,
    /// Where it is in the feed.
    feed: String,
    /// Devices and users whose last statement is remembered.
    statements: usize,
    users: usize,
    groups: usize,
    computers: usize,
}

/// Reads the files; answers what to say.
pub fn status(config: &Config, json: bool) -> anyhow::Result<String> {
    let folder = Folder::open(&config.state)?;
    let (enrolled, _) = folder.enrolled()?;
    let ledger: Ledger = folder.read(ledger::FILE)?.unwrap_or_default();
    let ids: known::Ids = folder.read(known::FILE)?.unwrap_or_default();
    let known = known::Known::from_ids(ids);
    let status = Status {
        agent: enrolled.agent,
        tenant: enrolled.tenant,
        server: enrolled.server,
        statements: ledger.statements(),
        feed: ledger.feed,
        users: known.count(directory::Kind::User),
        groups: known.count(directory::Kind::Group),
        computers: known.count(directory::Kind::Computer),
    };
    if json {
        return Ok(serde_json::to_string(&status)? + "\n");
    }
    let mut said = String::new();
    writeln!(said, "agent      {}", status.agent)?;
    writeln!(said, "tenant     {}", status.tenant)?;
    writeln!(said, "server     {}", status.server)?;
    writeln!(
        said,
        "imported   {} users, {} groups, {} computers",
        status.users, status.groups, status.computers
    )?;
    writeln!(said, "feed       {}", status.feed)?;
    Ok(said)
}
