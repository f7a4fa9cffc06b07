//! `scheduler`, `runs` and `pending`: what an administrator asks of the agent that runs.

use std::{
    fmt,
    io::{Write as _, stderr},
};

use anyhow::bail;
use directory::{By, User};
use model::Sid;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    config::Config,
    control::{Line, Request},
    cycle,
    door::{self, Tickets},
    history::{History, Run, RunResult},
    pending::{Told, Wanted},
    scheduler::{Change, GO_ON, PolicyType, Shown},
    state::Folder,
};

/// What to do about the scheduler.
#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// Shows its properties.
    Show {
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Sets properties, and shows all.
    Set {
        /// Which.
        #[command(flatten)]
        change: Change,
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Begins a cycle now: of what changed, or of everything.
    ///
    /// A delta becomes an initial one where none succeeded for seven days.
    Start {
        /// Of this kind; of the one that is next unless it is given.
        #[arg(ignore_case = true)]
        policy: Option<PolicyType>,
        /// Waits for its end, and shows its steps. Fails unless each step ended with `success`, or with
        /// `stopped-not-active` where another agent is the one that writes.
        #[arg(long)]
        wait: bool,
        /// One JSON object: its kind, and with `--wait` its steps.
        #[arg(long)]
        json: bool,
    },
    /// Stops the cycle that runs; changes still go at once. That is harmless: the next one does the rest.
    Stop {
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
}

/// A cycle that was begun.
#[derive(Debug, Serialize, Deserialize)]
pub struct Started {
    policy: PolicyType,
    /// What it did, where its end was waited for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    steps: Vec<Run>,
}

impl Started {
    /// Whether all was done that is this agent's to do.
    fn is_good(&self) -> bool {
        self.steps.iter().all(|step| {
            matches!(
                step.result,
                RunResult::Success | RunResult::StoppedNotActive
            )
        })
    }

    fn said(&self) -> String {
        match self.steps.is_empty() {
            true => "A cycle begins.\n".to_owned(),
            false => self.steps.iter().map(Run::said).collect(),
        }
    }
}

/// What there is to say of a cycle in which not all was done.
#[derive(Debug)]
pub struct Unfinished(String);

impl fmt::Display for Unfinished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unfinished {}

/// Does it; answers what to say.
pub fn scheduler(config: &Config, verb: Verb) -> anyhow::Result<String> {
    let running = Line::open(&config.runtime)?;
    let folder = || Folder::open(&config.state);
    match verb {
        Verb::Show { json } => {
            let shown = match running {
                Some(mut line) => line.ask(Request::SchedulerShow)?,
                None => cycle::at_rest(&folder()?, config.staging)?,
            };
            told(&shown, json, Shown::said)
        }
        Verb::Set { change, json } => {
            let request = Request::SchedulerSet {
                change: change.clone(),
            };
            let shown = match running {
                Some(mut line) => line.ask(request)?,
                None => cycle::set_at_rest(&folder()?, config.staging, &change)?,
            };
            change.warnings(&shown).iter().for_each(|text| warn(text));
            told(&shown, json, Shown::said)
        }
        Verb::Start { policy, wait, json } => {
            let request = Request::SchedulerStart { policy, wait };
            let started: Started = Line::to(&config.runtime)?.ask(request)?;
            if policy.is_some_and(|policy| policy != started.policy) {
                warn("no cycle succeeded for seven days: it is an initial one");
            }
            let said = told(&started, json, Started::said)?;
            match started.is_good() {
                true => Ok(said),
                false => bail!(Unfinished(said)),
            }
        }
        Verb::Stop { json } => {
            let stopped: Value = Line::to(&config.runtime)?.ask(Request::SchedulerStop)?;
            warn(GO_ON);
            told(&stopped, json, |stopped| {
                match stopped.pointer("/stopped") {
                    Some(Value::Bool(true)) => "The cycle stops.\n".to_owned(),
                    _ => "No cycle is in progress.\n".to_owned(),
                }
            })
        }
    }
}

/// What does not belong to the answer.
fn warn(text: &str) {
    let _ = writeln!(stderr(), "latchkey-sync: {text}");
}

/// The last rows of the run history.
pub fn runs(config: &Config, last: usize, json: bool) -> anyhow::Result<String> {
    let history = History::read(&Folder::open(&config.state)?)?;
    told(&history.last(last).collect::<Vec<_>>(), json, said)
}

/// Of what waits, what is asked for.
#[derive(Debug, clap::Args)]
pub struct Sought {
    /// Only what is about this user: the account's name, its SID or its objectGUID.
    #[arg(long, value_name = "NAME|SID|GUID")]
    user: Option<String>,
    /// All of it, and not only the first 200.
    #[arg(long)]
    all: bool,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

/// What waits on either side.
pub async fn pending(config: &Config, sought: Sought) -> anyhow::Result<String> {
    let mut line = Line::to(&config.runtime)?;
    let user = match &sought.user {
        Some(name) => look_up(config, name).await,
        None => None,
    };
    let named = sought.user.clone().into_iter();
    let wanted = Wanted {
        all: sought.all,
        ids: named.chain(user.iter().flat_map(ids)).collect(),
        // A SID is the beginning of another one.
        text: sought.user.filter(|name| name.parse::<Sid>().is_err()),
    };
    let mut told_by: Told = line.ask(Request::Pending(wanted))?;
    if let Some(user) = &user {
        for row in &mut told_by.waiting {
            if row.account.is_none() && ids(user).iter().any(|id| row.is_about(id)) {
                row.account = Some(user.account.clone());
            }
        }
    }
    told(&told_by, sought.json, Told::said)
}

/// How a user's rows name it.
fn ids(user: &User) -> [String; 2] {
    [user.sid.to_string(), user.guid.to_string()]
}

/// The user of this name. Without the directory only what a row says is looked at.
async fn look_up(config: &Config, name: &str) -> Option<User> {
    let by = match (name.parse(), name.parse()) {
        (Ok(sid), _) => By::Sid(sid),
        (_, Ok(guid)) => By::Guid(guid),
        _ if name.contains('@') => By::Principal(name.to_owned()),
        _ => By::Account(name.to_owned()),
    };
    let found = async {
        let directory = door::connect(config, &Tickets::default()).await?;
        directory.user(&by).await
    };
    let why = match found.await {
        Ok(Some(user)) => return Some(user),
        Ok(None) => "no user is called so".to_owned(),
        Err(error) => error.to_string(),
    };
    warn(&format!("{name} is looked for in what the rows say: {why}"));
    None
}

fn said(runs: &Vec<&Run>) -> String {
    match runs.is_empty() {
        true => "Nothing ran yet.\n".to_owned(),
        false => runs.iter().map(|run| run.said()).collect(),
    }
}

fn told<T: Serialize>(
    value: &T,
    json: bool,
    said: impl FnOnce(&T) -> String,
) -> anyhow::Result<String> {
    Ok(match json {
        true => serde_json::to_string(value)? + "\n",
        false => said(value),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cycle_is_good_whose_steps_succeeded_or_are_another_agents() {
        let started = |results: &[&str]| {
            let step = |result: &&str| {
                let step = r#"{"number":1,"cycle":1,"connector":"AD","profile":"Export","begun":1,
                    "ended":2,"added":0,"changed":0,"removed":0,"unchanged":0,"errors":[],"failed":0}"#;
                let mut step: Value = serde_json::from_str(step).unwrap();
                step["result"] = Value::from(*result);
                step
            };
            let steps: Vec<_> = results.iter().map(step).collect();
            let started = serde_json::json!({ "policy": "Delta", "steps": steps });
            serde_json::from_value::<Started>(started).unwrap()
        };
        assert!(started(&[]).is_good(), "nobody waited for its end");
        assert!(started(&["success", "stopped-not-active"]).is_good());
        for result in ["completed-export-errors", "aborted", "stopped-server-down"] {
            assert!(!started(&["success", result]).is_good(), "{result}");
        }
    }
}
