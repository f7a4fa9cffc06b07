//! `status`: what the agent's files say about it, and the agent that runs.

use std::{collections::BTreeMap, fmt::Write};

use model::Guid;
use serde::Serialize;
use serde_json::Value;

use crate::{
    alarms::{Alarm, Alarms},
    config::Config,
    control::{Line, Request},
    held,
    history::utc,
    keys::now,
    known,
    ledger::{self, Ledger},
    state::{Folder, Journal},
    written::{self, Written},
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
    /// Accounts that the server did not take, and why.
    held: Vec<held::Row>,
    /// What the agent that runs says: lease, scheduler, what waits.
    running: Option<Value>,
    /// Keys that it has written.
    keys: usize,
    /// What somebody must look at, by its code.
    alarms: BTreeMap<String, Alarm>,
}

/// Reads the files; answers what to say.
pub fn status(config: &Config, json: bool) -> anyhow::Result<String> {
    let folder = Folder::open(&config.state)?;
    let (enrolled, _) = folder.enrolled()?;
    let ledger = Journal::<Ledger>::open(&folder, ledger::FILE)?;
    let ids: known::Ids = folder.read(known::FILE)?.unwrap_or_default();
    let known = known::Known::from_ids(ids);
    let written = Journal::<Written>::open(&folder, written::FILE)?;
    let alarms = Alarms::read(&folder, now())?;
    let status = Status {
        agent: enrolled.agent,
        tenant: enrolled.tenant,
        server: enrolled.server,
        statements: ledger.statements(),
        feed: ledger.feed().to_owned(),
        keys: written.count(),
        alarms: alarms.alarms,
        users: known.count(directory::Kind::User),
        groups: known.count(directory::Kind::Group),
        computers: known.count(directory::Kind::Computer),
        held: folder
            .read::<held::Rows>(held::FILE)?
            .unwrap_or_default()
            .held,
        running: match Line::open(&config.runtime)? {
            Some(mut line) => Some(line.ask(Request::Status)?),
            None => None,
        },
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
    for held::Row { error, .. } in &status.held {
        let line = format!("held       {}: {}", error.object, error.detail);
        writeln!(said, "{}", plain(&line))?;
    }
    writeln!(said, "keys       {} written", status.keys)?;
    for (code, alarm) in &status.alarms {
        let Alarm {
            count,
            last,
            detail,
            ..
        } = alarm;
        let (last, detail) = (utc(*last), plain(detail));
        writeln!(
            said,
            "alarm      {code}, {count} times, lastly {last}: {detail}"
        )?;
    }
    let Some(running) = &status.running else {
        writeln!(said, "running    no")?;
        return Ok(said);
    };
    let of = |pointer: &str| match running.pointer(pointer) {
        Some(Value::String(text)) => plain(text),
        None | Some(Value::Null) => "none".to_owned(),
        Some(other) => other.to_string(),
    };
    let writes = match (of("/lease/held").as_str(), of("/lease/staging").as_str()) {
        ("true", _) => "this agent".to_owned(),
        (_, "true") => format!("{}; this agent is in staging mode", of("/lease/holder")),
        _ => of("/lease/holder"),
    };
    writeln!(said, "running    yes")?;
    writeln!(said, "writes     {writes}")?;
    if of("/lease/trouble") != "none" {
        writeln!(said, "lease      {}", of("/lease/trouble"))?;
    }
    writeln!(said, "succeeded  {}", of("/last_success"))?;
    writeln!(
        said,
        "next       {} at {}",
        of("/scheduler/NextSyncCyclePolicyType"),
        of("/scheduler/NextSyncCycleStartTimeInUTC")
    )?;
    writeln!(
        said,
        "pending    {} for the server, {} for AD",
        of("/pending/server"),
        of("/pending/AD")
    )?;
    Ok(said)
}

/// What the directory or the server says, for a terminal: it moves no cursor, begins no line, and is
/// not read from right to left by its own word.
pub(crate) fn plain(text: &str) -> String {
    let is_command = |char: char| {
        char.is_control() || matches!(char, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.replace(is_command, "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Parts;

    #[test]
    fn an_alarm_is_shown_with_its_last_time_for_a_week_and_moves_no_cursor() {
        let parts = Parts::new("status", "");
        let folder = &parts.folder;
        let id = Guid::from_le_bytes([1; 16]);
        let enrolled = crate::state::Enrolled {
            agent: id,
            tenant: id,
            server: "https://server.corp.test".to_owned(),
            anchor: String::new(),
        };
        let key = crate::agent_key::make().unwrap();
        folder.keep_enrolled(&enrolled, &key).unwrap();
        let (now, days) = (now(), |days: i64| days * 24 * 3600);
        let mut alarms = Alarms::default();
        alarms.raise("new", 2, "b\u{1b}[2J".to_owned(), now.plus(-days(6)));
        alarms.keep(folder, now).unwrap();
        alarms.raise("old", 1, "a".to_owned(), now.plus(-days(8)));
        alarms.keep(folder, now.plus(-days(8))).unwrap();
        let config = Config {
            runtime: "/nonexistent".into(),
            ..(*parts.config).clone()
        };
        let said = status(&config, false).unwrap();
        let shown: Vec<&str> = said
            .lines()
            .filter_map(|line| line.strip_prefix("alarm      "))
            .collect();
        let last = utc(now.plus(-days(6)));
        assert_eq!(
            shown,
            [format!("new, 1 times, lastly {last}: b\u{fffd}[2J")]
        );
        let said = status(&config, true).unwrap();
        assert!(
            said.contains("\"new\"") && !said.contains("\"old\""),
            "{said}"
        );
    }
}
