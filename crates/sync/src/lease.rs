//! Whether this agent may write: one of a domain does, by the server's lease.
//!
//! *What must hold:* an agent that was stopped for a while, or whose machine slept, writes nothing
//! when it wakes before it has asked again. The end of a lease is counted from before it was asked
//! for, by two clocks: one that goes on while the machine sleeps and that nobody sets, and the wall
//! clock, for a virtual machine that was stopped with all its clocks and is set right when it wakes.
//! The earlier end counts.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use api::agent::{LeaseAnswer, LeaseAsk};
use client::Agent;
use model::Guid;
use tokio::{sync::watch, time::timeout};

use crate::{agent_key, cycle::Desk, ffi, keys::now, retry::Backoff, state::Folder};

/// How often a lease is renewed, and asked for at least.
const RENEWAL: Duration = Duration::from_secs(20);

/// How long an answer is waited for: a renewal that hangs must leave time for another.
const PATIENCE: Duration = Duration::from_secs(10);

/// The longest lease that is believed.
const LONGEST: Duration = Duration::from_secs(300);

/// A moment by both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Moment {
    since_start: Duration,
    wall_s: i64,
}

impl Moment {
    fn now() -> Self {
        Self {
            since_start: ffi::since_start(),
            wall_s: now().0,
        }
    }

    fn plus(self, time: Duration) -> Self {
        Self {
            since_start: self.since_start.saturating_add(time),
            wall_s: self.wall_s.saturating_add(time.as_secs() as i64),
        }
    }

    /// By both clocks.
    fn is_before(self, other: Self) -> bool {
        self.since_start < other.since_start && self.wall_s < other.wall_s
    }
}

/// What the server said last.
#[derive(Debug, Clone, Default)]
struct State {
    until: Option<Moment>,
    /// Where the agent that holds it runs.
    holder: Option<String>,
    /// Why the server could not be asked.
    trouble: Option<String>,
    /// The server has answered once.
    known: bool,
    /// Counts up whenever it was not held in between.
    term: u64,
}

/// The lease.
pub struct Lease {
    staging: bool,
    state: Mutex<State>,
    /// Tells whether it is held each time that this changes.
    held: watch::Sender<bool>,
}

/// What the lease is asked for with.
pub struct Asker {
    /// Who asks.
    pub agent: Arc<Agent>,
    /// What it says.
    pub ask: LeaseAsk,
    /// Who is told what the server allows.
    pub desk: Arc<Desk>,
    /// Where the agent's keys are.
    pub folder: Folder,
}

/// What there is to say of it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Said {
    /// It may write now.
    pub held: bool,
    /// It only looks on.
    pub staging: bool,
    /// The other agent's host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub holder: Option<String>,
    /// Why the server could not be asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

impl Lease {
    /// Not held yet; in staging it never is.
    pub fn new(staging: bool) -> Self {
        Self {
            staging,
            state: Mutex::default(),
            held: watch::Sender::new(false),
        }
    }

    /// One that is held until the test ends.
    #[cfg(test)]
    pub(crate) fn held() -> Arc<Self> {
        let lease = Self::new(false);
        lease.told(Moment::now(), &tests::answer(true, 300));
        Arc::new(lease)
    }

    /// Whether a write may begin now.
    pub fn may_write(&self) -> bool {
        self.may_write_at(Moment::now())
    }

    /// An error where no write may begin now.
    pub fn check(&self) -> anyhow::Result<()> {
        ensure!(self.may_write(), "nothing is written: {}", self.why_not());
        Ok(())
    }

    fn may_write_at(&self, moment: Moment) -> bool {
        let until = self.state().until;
        !self.staging && until.is_some_and(|until| moment.is_before(until))
    }

    /// Counts up whenever another agent may have written in between.
    pub fn term(&self) -> u64 {
        self.state().term
    }

    /// Returns as soon as a write may begin.
    pub async fn wait(&self) {
        let mut held = self.held.subscribe();
        while !self.may_write() {
            // What was held has run out meanwhile: the next change is the one to wait for.
            if held.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    /// Returns when the server has said who writes, or does not say so in time: what is read before
    /// that would be read once more.
    pub async fn first_word(&self) {
        let mut held = self.held.subscribe();
        if !self.state().known {
            let _ = timeout(PATIENCE, held.changed()).await;
        }
    }

    /// Why nothing is written, for people.
    pub fn why_not(&self) -> String {
        let state = self.state();
        match (self.staging, &state.holder, &state.trouble) {
            (true, ..) => "this agent is in staging mode".to_owned(),
            (_, Some(holder), _) => format!("the agent on {holder} holds the lease"),
            (_, _, Some(trouble)) => format!("the lease could not be renewed: {trouble}"),
            _ => "the server has not granted the lease yet".to_owned(),
        }
    }

    /// What there is to say.
    pub fn said(&self) -> Said {
        let held = self.may_write();
        let state = self.state();
        Said {
            held,
            staging: self.staging,
            holder: state.holder.clone().filter(|_| !held),
            trouble: state.trouble.clone(),
        }
    }

    /// Asks for ever, and tells the scheduler what the server allows.
    pub async fn run(self: Arc<Self>, asker: Asker) {
        let Asker {
            agent,
            ask,
            desk,
            folder,
        } = asker;
        let mut backoff = Backoff::default();
        loop {
            let asked = Moment::now();
            let error = match timeout(PATIENCE, agent.lease(&ask)).await {
                Ok(Ok(answer)) => {
                    backoff.reset();
                    desk.allow(answer.allowed_interval_s);
                    self.told(asked, &answer);
                    tokio::time::sleep(next(&answer)).await;
                    continue;
                }
                Ok(Err(error @ client::Error::Refused(_))) => {
                    // It may know another key: one whose answer was lost.
                    if let Err(error) = agent_key::settle(&folder, &agent).await {
                        tracing::debug!(error = format!("{error:#}"), "the key");
                    }
                    error.to_string()
                }
                Ok(Err(error)) => error.to_string(),
                Err(_) => "the server does not answer in time".to_owned(),
            };
            tracing::warn!(code = "lease_unknown", error);
            self.state().trouble = Some(error);
            backoff.wait().await;
        }
    }

    /// Gives it back, so that another need not wait until it runs out.
    pub async fn give_back(&self, agent: &Agent, ask: LeaseAsk) {
        self.state().until = None;
        let ask = LeaseAsk {
            staging: true,
            ..ask
        };
        if let Ok(Err(error)) = timeout(PATIENCE / 5, agent.lease(&ask)).await {
            tracing::debug!(%error, "the lease runs out by itself");
        }
    }

    fn told(&self, asked: Moment, answer: &LeaseAnswer) {
        let time = Duration::from_secs(answer.until_s.into()).min(LONGEST);
        let held = answer.held && !self.staging;
        {
            let mut state = self.state();
            if state.holder != answer.holder
                && let Some(holder) = &answer.holder
            {
                tracing::warn!(code = "lease_held", holder, "another agent writes");
            }
            if held && !state.until.is_some_and(|until| asked.is_before(until)) {
                state.term += 1;
            }
            state.until = held.then(|| asked.plus(time));
            state.holder = answer.holder.clone();
            state.trouble = None;
            state.known = true;
        }
        if self.held.send_replace(held) != held && held {
            tracing::info!("this agent writes: it holds the lease");
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When to ask again: another's lease is asked for as soon as it runs out.
fn next(answer: &LeaseAnswer) -> Duration {
    match (answer.held, &answer.holder) {
        (false, Some(_)) => {
            Duration::from_secs(answer.until_s.into()).clamp(Duration::from_secs(1), RENEWAL)
        }
        _ => RENEWAL,
    }
}

/// What this process asks with. The folder is emptied when the machine starts, so that a copy of the
/// machine is told from this one, and a program that is started again is not.
pub fn ask(folder: &Path, staging: bool) -> anyhow::Result<LeaseAsk> {
    let path = folder.join("instance");
    let kept = std::fs::read_to_string(&path)
        .ok()
        .and_then(|text| text.trim().parse::<Guid>().ok());
    let instance = match kept {
        Some(instance) => instance,
        None => {
            let mut random = [0; 16];
            getrandom::fill(&mut random).map_err(|error| anyhow::anyhow!("{error}"))?;
            let instance = Guid::from_random(random);
            std::fs::write(&path, instance.to_string())
                .with_context(|| format!("cannot write {}", path.display()))?;
            instance
        }
    };
    Ok(LeaseAsk {
        staging,
        instance,
        host: ffi::host_name(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn answer(held: bool, until_s: u32) -> LeaseAnswer {
        LeaseAnswer {
            held,
            until_s,
            holder: (!held).then(|| "other".to_owned()),
            allowed_interval_s: 1800,
        }
    }

    const ASKED: Moment = Moment {
        since_start: Duration::from_secs(1000),
        wall_s: 1_800_000_000,
    };

    fn later(since_start: u64, wall: i64) -> Moment {
        Moment {
            since_start: ASKED.since_start + Duration::from_secs(since_start),
            wall_s: ASKED.wall_s + wall,
        }
    }

    #[test]
    fn a_lease_counts_from_before_it_was_asked_for_and_ends_by_either_clock() {
        let lease = Lease::new(false);
        assert!(!lease.may_write_at(ASKED), "nobody has granted it");
        lease.told(ASKED, &answer(true, 60));
        assert!(lease.may_write_at(later(59, 59)));
        assert!(!lease.may_write_at(later(60, 59)), "the clock was set back");
        assert!(!lease.may_write_at(later(1, 60)), "the machine was stopped");
        lease.told(later(20, 20), &answer(true, 60));
        assert!(lease.may_write_at(later(79, 79)));
        assert_eq!(lease.term(), 1);
        lease.told(later(80, 80), &answer(true, 60));
        assert_eq!(lease.term(), 2, "somebody else may have held it");
    }

    #[test]
    fn what_another_got_is_over_here_at_once() {
        let lease = Lease::new(false);
        lease.told(ASKED, &answer(true, 60));
        lease.told(ASKED, &answer(false, 65));
        assert!(!lease.may_write_at(ASKED));
        assert_eq!(lease.why_not(), "the agent on other holds the lease");
    }

    #[test]
    fn in_staging_nothing_is_written_whatever_the_server_says() {
        let lease = Lease::new(true);
        lease.told(ASKED, &answer(true, 60));
        assert!(!lease.may_write_at(ASKED));
    }

    #[test]
    fn no_lease_is_believed_to_be_for_ever() {
        let lease = Lease::new(false);
        lease.told(ASKED, &answer(true, u32::MAX));
        assert!(!lease.may_write_at(later(300, 300)));
    }

    #[test]
    fn anothers_lease_is_asked_for_when_it_runs_out() {
        assert_eq!(next(&answer(false, 65)), RENEWAL);
        assert_eq!(next(&answer(false, 3)), Duration::from_secs(3));
        assert_eq!(next(&answer(true, 60)), RENEWAL);
    }

    #[tokio::test]
    async fn whoever_waits_goes_on_when_it_is_granted() {
        let lease = Arc::new(Lease::new(false));
        let waiting = {
            let lease = lease.clone();
            tokio::spawn(async move { lease.wait().await })
        };
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        lease.told(Moment::now(), &answer(true, 60));
        waiting.await.unwrap();
    }

    #[test]
    fn a_program_that_is_started_again_is_the_same_instance() {
        let folder = std::env::temp_dir().join(format!("latchkey-lease-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let first = ask(&folder, false).unwrap();
        assert_eq!(ask(&folder, false).unwrap(), first);
        std::fs::remove_file(folder.join("instance")).unwrap();
        assert_ne!(ask(&folder, false).unwrap().instance, first.instance);
        std::fs::remove_dir_all(folder).unwrap();
    }
}
