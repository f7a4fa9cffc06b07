//! The scheduled cycle: import AD, import server, synchronise both, export server, export AD.
//!
//! The loops that follow changes as they happen own what a cycle needs, so that a cycle asks each for
//! its half and waits: nothing is compared by two at once. Whoever stops waiting stops the work at its
//! next wait; that is like a kill there, after which nothing is doubled or lost.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, bail};
use client::Agent;
use model::UnixTime;
use tokio::sync::{Notify, mpsc, oneshot, watch};

use crate::{
    agent_key,
    history::{Connector, Half, History, Outcome, Run, RunResult, word},
    keys::now,
    lease::Lease,
    scheduler::{self, Change, PolicyType, Scheduler, Shown},
    state::Folder,
};

/// The longest that the scheduler sleeps: a clock that is set is noticed then.
const LOOK: std::time::Duration = std::time::Duration::from_secs(30);

/// A half that is asked of the loop that owns it.
pub struct Asked {
    /// Of which kind.
    pub policy: PolicyType,
    done: oneshot::Sender<anyhow::Result<Outcome>>,
}

impl Asked {
    /// Does it, unless whoever asked stops waiting. Tells whether it came to a good end.
    pub async fn answer(self, work: impl Future<Output = anyhow::Result<Outcome>>) -> bool {
        let mut done = self.done;
        tokio::select! {
            outcome = work => {
                let good = outcome.is_ok();
                // Whoever asked may be gone in this moment: what was done is done.
                let _ = done.send(outcome);
                good
            }
            () = done.closed() => false,
        }
    }
}

/// Whom a cycle asks for a half.
pub type Halves = mpsc::Sender<Asked>;

async fn ask(half: &Halves, policy: PolicyType) -> anyhow::Result<Outcome> {
    let (done, answer) = oneshot::channel();
    half.send(Asked { policy, done })
        .await
        .map_err(|_| anyhow::anyhow!("the loop has ended"))?;
    answer.await.context("the loop has ended")?
}

/// Where the scheduler's state is, and whoever looks at it or changes it.
pub struct Desk {
    folder: Folder,
    staging: bool,
    state: Mutex<State>,
    wake: Notify,
    /// Changes when the cycle that runs is to stop.
    stop: watch::Sender<()>,
    /// How many cycles have ended.
    ended: watch::Sender<u64>,
}

struct State {
    scheduler: Scheduler,
    history: History,
    asked: Option<PolicyType>,
    suspended: usize,
}

/// Cycles are suspended while this lives.
pub struct Suspended(Arc<Desk>);

impl Drop for Suspended {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.suspended = state.suspended.saturating_sub(1);
        let suspended = state.suspended > 0;
        state.scheduler.suspend(suspended);
        drop(state);
        self.0.wake.notify_one();
    }
}

/// Why a cycle cannot begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Not {
    /// One runs.
    InProgress,
    /// Cycles are suspended.
    Suspended,
}

impl Desk {
    /// The desk, as its files were left.
    pub fn open(folder: Folder, staging: bool) -> anyhow::Result<Self> {
        let state = State {
            scheduler: folder.read(scheduler::FILE)?.unwrap_or_default(),
            history: History::read(&folder)?,
            asked: None,
            suspended: 0,
        };
        Ok(Self {
            folder,
            staging,
            state: Mutex::new(state),
            wake: Notify::new(),
            stop: watch::Sender::new(()),
            ended: watch::Sender::new(0),
        })
    }

    /// The properties.
    pub fn shown(&self) -> Shown {
        self.state().scheduler.shown(self.staging, now())
    }

    /// Sets properties.
    pub fn set(&self, change: &Change) -> anyhow::Result<Shown> {
        let mut state = self.state();
        state.scheduler.set(change)?;
        self.folder.write(scheduler::FILE, &state.scheduler)?;
        drop(state);
        self.wake.notify_one();
        Ok(self.shown())
    }

    /// The server's word on the interval.
    pub fn allow(&self, seconds: u32) {
        let mut state = self.state();
        if state.scheduler.allow(seconds) {
            tracing::info!(seconds, "the server allows cycles this often");
            self.keep(&state);
            self.wake.notify_one();
        }
    }

    /// Begins a cycle; answers what tells its end.
    pub fn start(&self, policy: Option<PolicyType>) -> Result<watch::Receiver<u64>, Not> {
        let mut state = self.state();
        if state.scheduler.is_suspended() {
            return Err(Not::Suspended);
        }
        if state.scheduler.is_in_progress() || state.asked.is_some() {
            return Err(Not::InProgress);
        }
        let policy = policy.unwrap_or_else(|| state.scheduler.policy(now()));
        state.asked = Some(policy);
        let ended = self.ended.subscribe();
        drop(state);
        self.wake.notify_one();
        Ok(ended)
    }

    /// Stops the cycle that runs. Tells whether one did.
    pub fn stop(&self) -> bool {
        let running = self.state().scheduler.is_in_progress();
        if running {
            self.stop.send_replace(());
        }
        running
    }

    /// No cycle begins while what is answered lives.
    pub fn suspend(self: &Arc<Self>) -> Suspended {
        let mut state = self.state();
        state.suspended += 1;
        state.scheduler.suspend(true);
        Suspended(self.clone())
    }

    /// When a cycle succeeded last.
    pub fn last_success(&self) -> Option<UnixTime> {
        self.state().scheduler.last_success()
    }

    /// The last rows of the history.
    pub fn last_runs(&self, count: usize) -> Vec<Run> {
        self.state().history.last(count).cloned().collect()
    }

    /// Returns with the next cycle when it is to begin, which it has.
    async fn next(&self) -> (PolicyType, watch::Receiver<()>) {
        loop {
            let sleep = {
                let mut state = self.state();
                let now = now();
                let asked = state.asked.take();
                if let Some(policy) = asked.or_else(|| state.scheduler.due(now))
                    && state.scheduler.begin(now)
                {
                    self.keep(&state);
                    return (policy, self.stop.subscribe());
                }
                let next = state.scheduler.next_start(now);
                let wait = next.map_or(i64::MAX, |next| next.0 - now.0).max(0) as u64;
                LOOK.min(std::time::Duration::from_secs(wait))
            };
            tokio::select! {
                () = tokio::time::sleep(sleep) => {}
                () = self.wake.notified() => {}
            }
        }
    }

    fn end(&self, policy: PolicyType, halves: &[Half], exports: bool) {
        let (mut state, now) = (self.state(), now());
        let good = |half: &Half| {
            matches!(
                half.result,
                RunResult::Success | RunResult::CompletedExportErrors
            )
        };
        let succeeded = halves.iter().all(good);
        state.scheduler.end(policy, succeeded, now);
        state.history.add(policy, halves, now, exports);
        self.keep(&state);
        if let Err(error) = state.history.write(&self.folder) {
            tracing::warn!(code = "state_unwritable", error = format!("{error:#}"));
        }
        drop(state);
        self.ended.send_modify(|ended| *ended += 1);
    }

    /// Purges the run history where that is due. Tells whether maintenance is.
    fn maintain(&self) -> bool {
        let mut state = self.state();
        let Some(since) = state.scheduler.maintain(now()) else {
            return false;
        };
        state.history.purge(since);
        self.keep(&state);
        if let Err(error) = state.history.write(&self.folder) {
            tracing::warn!(code = "state_unwritable", error = format!("{error:#}"));
        }
        true
    }

    fn keep(&self, state: &State) {
        if let Err(error) = self.folder.write(scheduler::FILE, &state.scheduler) {
            tracing::warn!(code = "state_unwritable", error = format!("{error:#}"));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What runs cycles.
pub struct Cycle {
    /// The scheduler's.
    pub desk: Arc<Desk>,
    /// Whether anything is exported.
    pub lease: Arc<Lease>,
    /// From AD to the server.
    pub up: Halves,
    /// From the server to AD.
    pub down: Halves,
    /// Whose key maintenance renews.
    pub agent: Arc<Agent>,
    /// Where its keys are.
    pub folder: Folder,
}

impl Cycle {
    /// Runs for ever.
    pub async fn run(self) {
        self.lease.first_word().await;
        loop {
            if self.desk.maintain()
                && let Err(error) = agent_key::renew_if_old(&self.folder, &self.agent).await
            {
                tracing::warn!(code = "key_not_renewed", error = format!("{error:#}"));
            }
            let (policy, stop) = self.desk.next().await;
            self.once(policy, stop).await;
        }
    }

    async fn once(&self, policy: PolicyType, mut stop: watch::Receiver<()>) {
        let exports = self.lease.may_write();
        let mut halves = Vec::new();
        let stopped = tokio::select! {
            () = self.halves(policy, &mut halves) => false,
            _ = stop.changed() => true,
        };
        if stopped {
            // The first half that is not there is the one that was stopped.
            let from = match halves.is_empty() {
                true => Connector::Directory,
                false => Connector::Server,
            };
            let mut half = Half::ended(from, now(), Ok(Outcome::default()));
            half.result = RunResult::StoppedUserTermination;
            halves.push(half);
        }
        for half in &halves {
            let Outcome {
                added,
                changed,
                removed,
                unchanged,
                errors,
            } = &half.outcome;
            let (from, result) = (word(&half.from), word(&half.result));
            let errors = errors.len();
            tracing::info!(
                ?policy,
                from,
                result,
                added,
                changed,
                removed,
                unchanged,
                errors,
                "cycle"
            );
        }
        self.desk.end(policy, &halves, exports);
    }

    async fn halves(&self, policy: PolicyType, halves: &mut Vec<Half>) {
        for (from, half) in [
            (Connector::Directory, &self.up),
            (Connector::Server, &self.down),
        ] {
            let begun = now();
            let done = ask(half, policy).await;
            halves.push(Half::ended(from, begun, done));
        }
    }
}

/// The scheduler as its file was left, for when no agent runs.
pub fn at_rest(folder: &Folder, staging: bool) -> anyhow::Result<Shown> {
    let scheduler: Scheduler = folder.read(scheduler::FILE)?.unwrap_or_default();
    Ok(scheduler.shown(staging, now()))
}

/// Sets properties while no agent runs.
pub fn set_at_rest(folder: &Folder, staging: bool, change: &Change) -> anyhow::Result<Shown> {
    let Ok(_alone) = folder.take() else {
        bail!("the agent is starting or stopping: try again");
    };
    Desk::open(folder.clone(), staging)?.set(change)
}

#[cfg(test)]
mod tests;
