//! What cycles did: one row for each step, in the order of the run, and the objects that failed in it.
//!
//! Reading, comparing and sending is one stream, page by page, so that a hundred thousand accounts
//! need the memory of a page: the rows of one half of a cycle share its times and counts, and name what
//! it did under the names that an administrator looks for. What went wrong stands with the step in
//! which it did.

use std::collections::VecDeque;

use api::agent::{ChangeResult, ResultState};
use keycred::{KeySource, Timestamp};
use model::{Filetime, UnixTime};
use serde::{Deserialize, Serialize};

use crate::{scheduler::PolicyType, state::Folder};

/// The file's name.
const FILE: &str = "runs.json";

/// The most failed objects that a row keeps; it counts the others.
const MAX_ERRORS: usize = 100;

/// Rows kept, whatever the purge interval: a week at an interval of five minutes.
const MAX_RUNS: usize = 12_000;

/// What one half of a cycle did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Objects that the other side did not have.
    pub added: u64,
    /// Objects that it had otherwise.
    pub changed: u64,
    /// Objects that it had too many.
    pub removed: u64,
    /// Objects that were as they should be.
    pub unchanged: u64,
    /// Objects that could not be brought over. They are tried again.
    pub errors: Vec<ObjectError>,
}

/// Why one object could not be brought over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectError {
    /// Its name or id.
    pub object: String,
    /// Stable, for programs.
    pub code: String,
    /// The same in words.
    pub detail: String,
}

/// The code of the error that stands for a guard against deletions: then nothing was deleted.
pub const DELETION_THRESHOLD: &str = "deletion_threshold";

/// A step of a cycle, as run profiles are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Profile {
    #[serde(rename = "Full Import")]
    FullImport,
    #[serde(rename = "Delta Import")]
    DeltaImport,
    #[serde(rename = "Full Synchronization")]
    FullSynchronization,
    #[serde(rename = "Delta Synchronization")]
    DeltaSynchronization,
    Export,
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunResult {
    /// All of it was done.
    Success,
    /// Done but for some objects.
    CompletedExportErrors,
    /// More was to be deleted than the threshold allows: nothing was.
    StoppedDeletionThresholdExceeded,
    /// The directory or the server did not answer.
    StoppedServerDown,
    /// An administrator stopped it.
    StoppedUserTermination,
    /// This agent is not the active one.
    StoppedNotActive,
    /// Another step of the same half went wrong before this one was done.
    Aborted,
    /// Something else; the errors say it.
    StoppedError,
}

/// One step of a cycle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Counts up.
    pub number: u64,
    /// The cycle that it belongs to: the number of its first step.
    pub cycle: u64,
    /// `AD` or `server`.
    pub connector: Connector,
    /// What was done.
    pub profile: Profile,
    /// When it began.
    pub begun: UnixTime,
    /// When it ended.
    pub ended: UnixTime,
    /// How it ended.
    pub result: RunResult,
    /// Its counts, and failed objects as far as they are kept.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// How many objects failed.
    pub failed: u64,
}

/// A side of the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Connector {
    /// Active Directory.
    #[serde(rename = "AD")]
    Directory,
    /// The server.
    #[serde(rename = "server")]
    Server,
}

/// One half of a cycle: from the directory to the server, or back.
#[derive(Debug)]
pub struct Half {
    /// Where its objects come from.
    pub from: Connector,
    /// When it began.
    pub begun: UnixTime,
    /// When it ended.
    pub ended: UnixTime,
    /// How it ended.
    pub result: RunResult,
    /// Which step its errors belong to.
    step: Step,
    /// What it did.
    pub outcome: Outcome,
}

/// A step of a half.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Import,
    Synchronization,
    Export,
}

impl Half {
    /// How a half ended, by what came of it.
    pub fn ended(
        from: Connector,
        (begun, ended): (UnixTime, UnixTime),
        done: anyhow::Result<Outcome>,
    ) -> Self {
        let (result, step, outcome) = match done {
            // What the other side would not take stands with the export.
            Ok(outcome) => (outcome.result(), Step::Export, outcome),
            Err(error) => {
                let (result, code, side) = failure(&error);
                let step = match side {
                    Some(side) if side == from => Step::Import,
                    Some(_) => Step::Export,
                    None => Step::Synchronization,
                };
                let error = ObjectError {
                    object: String::new(),
                    code: code.to_owned(),
                    detail: format!("{error:#}"),
                };
                let errors = vec![error];
                let outcome = Outcome {
                    errors,
                    ..Outcome::default()
                };
                (result, step, outcome)
            }
        };
        Self {
            from,
            begun,
            ended,
            result,
            step,
            outcome,
        }
    }

    /// One that an administrator stopped.
    pub fn stopped(from: Connector, times: (UnixTime, UnixTime)) -> Self {
        Self {
            result: RunResult::StoppedUserTermination,
            ..Self::ended(from, times, Ok(Outcome::default()))
        }
    }

    /// How a step of it ended; none of an agent that is not the active one exports.
    fn result_of(&self, step: Step, exports: bool) -> RunResult {
        match self.result {
            RunResult::StoppedUserTermination => self.result,
            _ if step == self.step && self.result != RunResult::Success => self.result,
            _ if step == Step::Export && !exports => RunResult::StoppedNotActive,
            RunResult::Success
            | RunResult::CompletedExportErrors
            | RunResult::StoppedDeletionThresholdExceeded => RunResult::Success,
            _ => RunResult::Aborted,
        }
    }
}

/// How that is called, and at which side it happened, if at one.
fn failure(error: &anyhow::Error) -> (RunResult, &'static str, Option<Connector>) {
    let down = RunResult::StoppedServerDown;
    if let Some(client) = error.downcast_ref::<client::Error>() {
        let (result, code) = match client {
            client::Error::Unreachable(_) => (down, "server_unreachable"),
            _ => (RunResult::StoppedError, "failed"),
        };
        return (result, code, Some(Connector::Server));
    }
    if let Some(directory) = error.downcast_ref::<directory::Error>() {
        let (result, code) = match directory.is_broken() {
            true => (down, "directory_unreachable"),
            false => (RunResult::StoppedError, "failed"),
        };
        return (result, code, Some(Connector::Directory));
    }
    (RunResult::StoppedError, "failed", None)
}

impl Outcome {
    /// Counts what came of a change of a key.
    pub(crate) fn count(&mut self, object: String, result: &ChangeResult) {
        match result.state {
            ResultState::Confirmed => self.added += 1,
            ResultState::Removed => self.removed += 1,
            ResultState::Everywhere => {}
            ResultState::Refused | ResultState::NeedsProof | ResultState::Lost => {
                self.errors.push(ObjectError {
                    object,
                    code: result.code.clone().unwrap_or_default(),
                    detail: result.detail.clone().unwrap_or_default(),
                });
            }
        }
    }

    /// Takes another one in.
    pub(crate) fn take_in(&mut self, other: Self) {
        self.added += other.added;
        self.changed += other.changed;
        self.removed += other.removed;
        self.unchanged += other.unchanged;
        self.errors.extend(other.errors);
    }

    /// How a step with this outcome ended.
    pub fn result(&self) -> RunResult {
        let stopped = |error: &ObjectError| error.code == DELETION_THRESHOLD;
        match self.errors.is_empty() {
            true => RunResult::Success,
            false if self.errors.iter().any(stopped) => RunResult::StoppedDeletionThresholdExceeded,
            false => RunResult::CompletedExportErrors,
        }
    }
}

impl Connector {
    fn other(self) -> Self {
        match self {
            Self::Directory => Self::Server,
            Self::Server => Self::Directory,
        }
    }
}

impl Run {
    /// One line about it, and one for each failed object.
    pub fn said(&self) -> String {
        let connector = match self.connector {
            Connector::Directory => "AD",
            Connector::Server => "server",
        };
        let Outcome {
            added,
            changed,
            removed,
            unchanged,
            errors,
        } = &self.outcome;
        let mut said = format!(
            "{:6}  {}  {:4}s  {connector:6}  {:21}  {:34}  +{added} ~{changed} -{removed} ={unchanged}\n",
            self.number,
            utc(self.begun),
            self.ended.0 - self.begun.0,
            word(&self.profile),
            word(&self.result),
        );
        for error in errors {
            said += &format!(
                "        {}  {}  {}\n",
                crate::status::plain(&error.object),
                error.code,
                crate::status::plain(&error.detail)
            );
        }
        if self.failed > errors.len() as u64 {
            said += &format!("        … {} in all\n", self.failed);
        }
        said
    }
}

/// A time for people and programs, RFC 3339.
pub(crate) fn utc(time: UnixTime) -> String {
    Timestamp::from_filetime(Filetime::from(time), KeySource::Ad).to_string()
}

/// The name that something has in JSON.
pub(crate) fn word(value: &impl Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}

/// All rows that are kept, the oldest first.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct History {
    next: u64,
    runs: VecDeque<Run>,
}

impl History {
    /// As the file says.
    pub fn read(folder: &Folder) -> anyhow::Result<Self> {
        Ok(folder.read(FILE)?.unwrap_or_default())
    }

    /// Into the file.
    pub fn write(&self, folder: &Folder) -> anyhow::Result<()> {
        folder.write(FILE, self)
    }

    /// Takes a cycle in: import AD, import server, synchronise both, export server, export AD. With
    /// each half, whether it was one of the active agent, which exports.
    pub fn add(&mut self, policy: PolicyType, halves: &[(Half, bool)]) {
        let (import, synchronization) = match policy {
            PolicyType::Initial => (Profile::FullImport, Profile::FullSynchronization),
            PolicyType::Delta => (Profile::DeltaImport, Profile::DeltaSynchronization),
        };
        let cycle = self.next + 1;
        for (step, profile) in [
            (Step::Import, import),
            (Step::Synchronization, synchronization),
            (Step::Export, Profile::Export),
        ] {
            for (half, exports) in halves {
                let connector = match step {
                    Step::Export => half.from.other(),
                    Step::Import | Step::Synchronization => half.from,
                };
                let result = half.result_of(step, *exports);
                let outcome = match result {
                    RunResult::StoppedNotActive => Outcome::default(),
                    _ if step == half.step => half.outcome.clone(),
                    _ => half.outcome.without_errors(),
                };
                self.push(Run {
                    number: 0,
                    cycle,
                    connector,
                    profile,
                    begun: half.begun,
                    ended: half.ended,
                    result,
                    failed: outcome.errors.len() as u64,
                    outcome,
                });
            }
        }
    }

    fn push(&mut self, mut run: Run) {
        self.next += 1;
        run.number = self.next;
        run.outcome.errors.truncate(MAX_ERRORS);
        self.runs.push_back(run);
        if self.runs.len() > MAX_RUNS {
            self.runs.pop_front();
        }
    }

    /// Forgets rows that ended before `since`.
    pub fn purge(&mut self, since: UnixTime) {
        self.runs.retain(|run| run.ended >= since);
    }

    /// The rows of the last cycle.
    pub fn last_cycle(&self) -> impl Iterator<Item = &Run> {
        let last = self.runs.back().map(|run| run.cycle);
        self.runs.iter().filter(move |run| Some(run.cycle) == last)
    }

    /// The last `count` rows, the oldest first.
    pub fn last(&self, count: usize) -> impl Iterator<Item = &Run> {
        self.runs.iter().skip(self.runs.len().saturating_sub(count))
    }
}

impl Outcome {
    fn without_errors(&self) -> Self {
        Self {
            errors: Vec::new(),
            ..*self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THEN: UnixTime = UnixTime(1_800_000_000);

    fn half(from: Connector, errors: &[&str]) -> Half {
        let error = |code: &&str| ObjectError {
            object: "/Users/1".to_owned(),
            code: (*code).to_owned(),
            detail: String::new(),
        };
        let outcome = Outcome {
            added: 2,
            unchanged: 5,
            errors: errors.iter().map(error).collect(),
            ..Outcome::default()
        };
        Half::ended(from, (THEN, THEN.plus(2)), Ok(outcome))
    }

    fn rows(history: &History) -> Vec<String> {
        let row = |run: &Run| {
            format!(
                "{} {}: {}",
                word(&run.connector),
                word(&run.profile),
                word(&run.result)
            )
        };
        history.last(100).map(row).collect()
    }

    #[test]
    fn a_cycle_is_told_in_the_order_of_the_run() {
        let mut history = History::default();
        let mut down = half(Connector::Server, &["x"]);
        (down.begun, down.ended) = (THEN.plus(2), THEN.plus(5));
        let halves = [(half(Connector::Directory, &[]), true), (down, true)];
        history.add(PolicyType::Delta, &halves);
        assert_eq!(
            rows(&history),
            [
                "AD Delta Import: success",
                "server Delta Import: success",
                "AD Delta Synchronization: success",
                "server Delta Synchronization: success",
                "server Export: success",
                "AD Export: completed-export-errors",
            ]
        );
        let last = history.last(1).next().unwrap();
        assert_eq!((last.number, last.cycle, last.failed), (6, 1, 1));
        let took: Vec<_> = history.last(6).map(|run| run.ended.0 - THEN.0).collect();
        assert_eq!(took, [2, 5, 2, 5, 2, 5], "each half has its own end");
    }

    #[test]
    fn an_agent_that_only_looks_says_that_it_exports_nothing() {
        let mut history = History::default();
        let halves = [(half(Connector::Directory, &[]), false)];
        history.add(PolicyType::Initial, &halves);
        assert_eq!(
            rows(&history),
            [
                "AD Full Import: success",
                "AD Full Synchronization: success",
                "server Export: stopped-not-active"
            ]
        );
        assert_eq!(history.last(1).next().unwrap().outcome, Outcome::default());
    }

    #[test]
    fn an_error_stands_with_the_step_that_met_it_and_no_other_of_its_half_says_success() {
        let server = || client::Error::Unreachable("x".to_owned()).into();
        let directory = || directory::Error::Unreachable("x".to_owned()).into();
        for (from, error, expected) in [
            (
                Connector::Directory,
                server(),
                [
                    "AD Delta Import: aborted",
                    "AD Delta Synchronization: aborted",
                    "server Export: stopped-server-down",
                ],
            ),
            (
                Connector::Directory,
                directory(),
                [
                    "AD Delta Import: stopped-server-down",
                    "AD Delta Synchronization: aborted",
                    "server Export: aborted",
                ],
            ),
            (
                Connector::Server,
                anyhow::anyhow!("x"),
                [
                    "server Delta Import: aborted",
                    "server Delta Synchronization: stopped-error",
                    "AD Export: aborted",
                ],
            ),
        ] {
            let mut history = History::default();
            let half = Half::ended(from, (THEN, THEN), Err(error));
            history.add(PolicyType::Delta, &[(half, true)]);
            assert_eq!(rows(&history), expected);
            let failed = |run: &&Run| run.failed > 0;
            assert_eq!(history.last(3).filter(failed).count(), 1);
        }
    }

    #[test]
    fn a_result_has_the_name_of_what_happened() {
        let of = |error: anyhow::Error| {
            let half = Half::ended(Connector::Server, (THEN, THEN), Err(error));
            word(&half.result)
        };
        let unreachable = client::Error::Unreachable("x".to_owned());
        assert_eq!(of(unreachable.into()), "stopped-server-down");
        let unreachable = directory::Error::Unreachable("x".to_owned());
        assert_eq!(of(unreachable.into()), "stopped-server-down");
        assert_eq!(of(anyhow::anyhow!("x")), "stopped-error");
        let half = half(Connector::Server, &["x", DELETION_THRESHOLD]);
        assert_eq!(word(&half.result), "stopped-deletion-threshold-exceeded");
    }

    #[test]
    fn old_rows_are_purged_and_errors_are_counted_beyond_those_that_are_kept() {
        let mut history = History::default();
        history.add(PolicyType::Delta, &[(half(Connector::Server, &[]), true)]);
        let mut many = half(Connector::Server, &["x"; MAX_ERRORS + 1]);
        many.ended = THEN.plus(10);
        history.add(PolicyType::Delta, &[(many, true)]);
        history.purge(THEN.plus(3));
        assert_eq!(rows(&history).len(), 3);
        let last = history.last(1).next().unwrap();
        assert_eq!(
            (last.failed, last.outcome.errors.len()),
            (MAX_ERRORS as u64 + 1, MAX_ERRORS)
        );
    }
}
