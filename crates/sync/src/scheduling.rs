//! `scheduler`, `runs` and `pending`: what an administrator asks of the agent that runs.

use serde::Serialize;
use serde_json::Value;

use crate::{
    config::Config,
    control::{Line, Request},
    cycle,
    history::{History, Run},
    pending::Told,
    scheduler::{Change, PolicyType, Shown},
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
    Start {
        /// Of this kind; of the one that is next unless it is given.
        #[arg(ignore_case = true)]
        policy: Option<PolicyType>,
        /// Waits for its end, and shows what it did.
        #[arg(long)]
        wait: bool,
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Stops the cycle that runs. That is harmless: the next one does the rest.
    Stop {
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
}

/// Steps of one cycle.
const STEPS: usize = 6;

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
            let shown = match running {
                Some(mut line) => line.ask(Request::SchedulerSet { change })?,
                None => cycle::set_at_rest(&folder()?, config.staging, &change)?,
            };
            told(&shown, json, Shown::said)
        }
        Verb::Start { policy, wait, json } => {
            let request = Request::SchedulerStart { policy, wait };
            Line::to(&config.runtime)?.ask::<Value>(request)?;
            if !wait {
                return told(&Value::Object(Default::default()), json, |_| {
                    Ok("A cycle begins.\n".to_owned())
                });
            }
            let history = History::read(&folder()?)?;
            let cycle = history.last(1).next().map(|run| run.cycle);
            let steps = history.last(STEPS).filter(|run| Some(run.cycle) == cycle);
            told(&steps.collect::<Vec<_>>(), json, said)
        }
        Verb::Stop { json } => {
            let stopped: Value = Line::to(&config.runtime)?.ask(Request::SchedulerStop)?;
            told(&stopped, json, |stopped| {
                Ok(match stopped.pointer("/stopped") {
                    Some(Value::Bool(true)) => "The cycle stops.\n".to_owned(),
                    _ => "No cycle is in progress.\n".to_owned(),
                })
            })
        }
    }
}

/// The last rows of the run history.
pub fn runs(config: &Config, last: usize, json: bool) -> anyhow::Result<String> {
    let history = History::read(&Folder::open(&config.state)?)?;
    told(&history.last(last).collect::<Vec<_>>(), json, said)
}

/// What waits on either side.
pub fn pending(config: &Config, json: bool) -> anyhow::Result<String> {
    let told_by: Told = Line::to(&config.runtime)?.ask(Request::Pending)?;
    told(&told_by, json, |told| Ok(told.said()))
}

fn said(runs: &Vec<&Run>) -> anyhow::Result<String> {
    Ok(match runs.is_empty() {
        true => "Nothing ran yet.\n".to_owned(),
        false => runs.iter().map(|run| run.said()).collect(),
    })
}

fn told<T: Serialize>(
    value: &T,
    json: bool,
    said: impl FnOnce(&T) -> anyhow::Result<String>,
) -> anyhow::Result<String> {
    match json {
        true => Ok(serde_json::to_string(value)? + "\n"),
        false => said(value),
    }
}
