//! The scheduled cycle: import AD, import server, synchronise both, export server, export AD; and
//! maintenance, which has times of its own.
//!
//! The loops that follow changes as they happen own what a cycle needs, so that a cycle asks each for
//! its half and waits: nothing is compared by two at once. Whoever stops waiting stops the work at its
//! next wait; that is like a kill there, after which nothing is doubled or lost.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, bail};
use client::Agent;
use model::UnixTime;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::timeout,
};

use crate::{
    agent_key,
    history::{Connector, Half, History, Outcome, Run, RunResult, word},
    keys::now,
    lease::Lease,
    scheduler::{self, Change, PolicyType, Scheduler, Shown},
    state::Folder,
};

/// The longest that the scheduler sleeps: a clock that is set is noticed then.
const LOOK: Duration = Duration::from_secs(30);

/// How often it is asked whether maintenance is due.
const MAINTENANCE_LOOK: Duration = Duration::from_secs(3600);

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
    /// Changes when there is something new to look at.
    wake: watch::Sender<()>,
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
        self.0.wake.send_replace(());
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
            wake: watch::Sender::new(()),
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
        self.wake.send_replace(());
        Ok(self.shown())
    }

    /// The server's word on the interval.
    pub fn allow(&self, seconds: u32) {
        let mut state = self.state();
        if state.scheduler.allow(seconds) {
            tracing::info!(seconds, "the server allows cycles this often");
            self.keep(&state);
            self.wake.send_replace(());
        }
    }

    /// Begins a cycle; answers its kind, which may be more than was asked for, and what tells its end.
    pub fn start(
        &self,
        policy: Option<PolicyType>,
    ) -> Result<(PolicyType, watch::Receiver<u64>), Not> {
        let mut state = self.state();
        if state.scheduler.is_suspended() {
            return Err(Not::Suspended);
        }
        if state.scheduler.is_in_progress() || state.asked.is_some() {
            return Err(Not::InProgress);
        }
        let (scheduler, now) = (&state.scheduler, now());
        let policy = policy.map_or_else(
            || scheduler.policy(now),
            |policy| scheduler.at_least(policy, now),
        );
        state.asked = Some(policy);
        let ended = self.ended.subscribe();
        drop(state);
        self.wake.send_replace(());
        Ok((policy, ended))
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

    /// The steps of the last cycle.
    pub fn last_cycle(&self) -> Vec<Run> {
        self.state().history.last_cycle().cloned().collect()
    }

    /// Returns with the next cycle when it is to begin, which it has.
    async fn next(&self) -> (PolicyType, watch::Receiver<()>) {
        let mut news = self.wake.subscribe();
        loop {
            let sleep = {
                let mut state = self.state();
                let now = now();
                // What is asked for stays so while it cannot begin.
                if let Some(policy) = state.asked.or_else(|| state.scheduler.due(now))
                    && state.scheduler.begin(now)
                {
                    state.asked = None;
                    self.keep(&state);
                    return (policy, self.stop.subscribe());
                }
                let next = state.scheduler.next_start(now);
                let wait = next.map_or(i64::MAX, |next| next.0 - now.0).max(0) as u64;
                LOOK.min(Duration::from_secs(wait))
            };
            // It ends at once with news that came meanwhile.
            let _ = timeout(sleep, news.changed()).await;
        }
    }

    fn end(&self, policy: PolicyType, halves: &[(Half, bool)]) {
        let (mut state, now) = (self.state(), now());
        let good = |(half, _): &(Half, bool)| {
            matches!(
                half.result,
                RunResult::Success | RunResult::CompletedExportErrors
            )
        };
        let succeeded = halves.iter().all(good);
        state.scheduler.end(policy, succeeded, now);
        state.history.add(policy, halves);
        self.keep(&state);
        if let Err(error) = state.history.write(&self.folder) {
            tracing::warn!(code = "state_unwritable", error = format!("{error:#}"));
        }
        drop(state);
        self.ended.send_modify(|ended| *ended += 1);
    }

    /// Purges the run history where that is due. Tells whether maintenance is.
    fn maintain(&self, now: UnixTime) -> bool {
        let mut state = self.state();
        let Some(since) = state.scheduler.maintain(now) else {
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
        tokio::join!(self.cycles(), self.maintenance());
    }

    async fn cycles(&self) {
        loop {
            let (policy, stop) = self.desk.next().await;
            self.once(policy, stop).await;
        }
    }

    /// Looks by itself: cycles may be off, or a week apart.
    async fn maintenance(&self) {
        let mut news = self.desk.wake.subscribe();
        loop {
            if self.desk.maintain(now())
                && let Err(error) = agent_key::renew_if_old(&self.folder, &self.agent).await
            {
                tracing::warn!(code = "key_not_renewed", error = format!("{error:#}"));
            }
            let _ = timeout(MAINTENANCE_LOOK, news.changed()).await;
        }
    }

    async fn once(&self, policy: PolicyType, mut stop: watch::Receiver<()>) {
        let mut halves = Vec::new();
        for (from, asked) in [
            (Connector::Directory, &self.up),
            (Connector::Server, &self.down),
        ] {
            let (begun, exports) = (now(), self.lease.may_write());
            let done = tokio::select! {
                done = ask(asked, policy) => Some(done),
                _ = stop.changed() => None,
            };
            let (times, is_stopped) = ((begun, now()), done.is_none());
            let half = match done {
                Some(done) => Half::ended(from, times, done),
                None => Half::stopped(from, times),
            };
            tell(policy, &half);
            halves.push((half, exports && self.lease.may_write()));
            if is_stopped {
                break;
            }
        }
        self.desk.end(policy, &halves);
    }
}

fn tell(policy: PolicyType, half: &Half) {
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

/// The scheduler as its file was left, for when no agent runs: then no cycle begins.
pub fn at_rest(folder: &Folder, staging: bool) -> anyhow::Result<Shown> {
    let scheduler: Scheduler = folder.read(scheduler::FILE)?.unwrap_or_default();
    Ok(Shown {
        next_sync_cycle_start_time_in_utc: None,
        ..scheduler.shown(staging, now())
    })
}

/// Sets properties while no agent runs.
pub fn set_at_rest(folder: &Folder, staging: bool, change: &Change) -> anyhow::Result<Shown> {
    let Ok(_alone) = folder.take() else {
        bail!("the agent is starting or stopping: try again");
    };
    Desk::open(folder.clone(), staging)?.set(change)?;
    at_rest(folder, staging)
}

#[cfg(test)]
mod tests;
