//! When the next cycle runs, and of which kind.
//!
//! The names and their meanings are those of `Get-ADSyncScheduler`. What happens between the cycles
//! does not wait for them: they are the net below it, and find what was missed.
//!
//! *What must hold:* a clock that is set back never puts a cycle off by more than one interval.

use std::{fmt, str::FromStr};

use anyhow::{bail, ensure};
use model::UnixTime;
use serde::{Deserialize, Serialize};

use crate::history::{utc, word};

/// The file's name.
pub const FILE: &str = "scheduler.json";

const DAY_S: u32 = 86_400;

/// A delta cycle must succeed so long after the last one that did, or all is read once more.
const MAX_GAP_S: i64 = 7 * DAY_S as i64;

/// How often maintenance runs.
const MAINTENANCE_S: i64 = DAY_S as i64;

/// What a server allows that never said so.
const ALLOWED: Interval = Interval(30 * 60);

/// The shortest interval that a server may allow, as its configuration has it: a hostile one must not
/// make the agent compare everything without a pause.
const LEAST_ALLOWED_S: u32 = 60;

/// What goes on where no cycle runs.
pub const GO_ON: &str = "changes still go at once; `staging = true` in sync.toml and a restart stop \
                         all writing";

/// Seconds, written `d.HH:mm:ss`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Interval(pub u32);

/// What is compared: what changed, or everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
pub enum PolicyType {
    /// What changed.
    Delta,
    /// Everything.
    Initial,
}

/// The state, as the file keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Scheduler {
    customized: Option<Interval>,
    purge: Interval,
    cycle_enabled: bool,
    maintenance_enabled: bool,
    next: PolicyType,
    allowed: Interval,
    last_begun: Option<UnixTime>,
    last_delta: Option<UnixTime>,
    last_initial: Option<UnixTime>,
    maintained: Option<UnixTime>,
    #[serde(skip)]
    in_progress: bool,
    #[serde(skip)]
    suspended: bool,
}

/// What an administrator may set; what is not named stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, clap::Args)]
#[serde(default, deny_unknown_fields)]
#[group(required = true, multiple = true)]
pub struct Change {
    /// The time between cycles, `d.HH:mm:ss`; `none` for what the server allows. A shorter one than
    /// that has no effect.
    #[arg(long, value_name = "INTERVAL|none")]
    customized_sync_cycle_interval: Option<String>,
    /// Of which kind the next cycle is.
    #[arg(long, ignore_case = true)]
    next_sync_cycle_policy_type: Option<PolicyType>,
    /// How long rows of the run history are kept, `d.HH:mm:ss`.
    #[arg(long, value_name = "INTERVAL")]
    purge_run_history_interval: Option<String>,
    /// Whether cycles begin by themselves. Changes still go at once: what stops all writing is
    /// `staging = true` in the configuration and a restart.
    #[arg(long, value_name = "true|false")]
    sync_cycle_enabled: Option<bool>,
    /// Whether maintenance runs: it purges the run history and renews the agent's key.
    #[arg(long, value_name = "true|false")]
    maintenance_enabled: Option<bool>,
}

/// What there is to see of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names are those of Get-ADSyncScheduler")]
pub struct Shown {
    pub allowed_sync_cycle_interval: Interval,
    pub currently_effective_sync_cycle_interval: Interval,
    pub customized_sync_cycle_interval: Option<Interval>,
    pub next_sync_cycle_policy_type: PolicyType,
    #[serde(rename = "NextSyncCycleStartTimeInUTC")]
    pub next_sync_cycle_start_time_in_utc: Option<String>,
    pub purge_run_history_interval: Interval,
    pub sync_cycle_enabled: bool,
    pub maintenance_enabled: bool,
    pub staging_mode_enabled: bool,
    pub scheduler_suspended: bool,
    pub sync_cycle_in_progress: bool,
}

impl Default for Scheduler {
    /// A new agent reads everything first.
    fn default() -> Self {
        Self {
            customized: None,
            purge: Interval(7 * DAY_S),
            cycle_enabled: true,
            maintenance_enabled: true,
            next: PolicyType::Initial,
            allowed: ALLOWED,
            last_begun: None,
            last_delta: None,
            last_initial: None,
            maintained: None,
            in_progress: false,
            suspended: false,
        }
    }
}

impl Scheduler {
    /// The time between cycles: the customized one, where it is not below the allowed one.
    pub fn effective(&self) -> Interval {
        self.customized
            .filter(|customized| *customized >= self.allowed)
            .unwrap_or(self.allowed)
    }

    /// What the server allows. Tells whether that is news.
    pub fn allow(&mut self, seconds: u32) -> bool {
        let allowed = Interval(seconds.clamp(LEAST_ALLOWED_S, MAX_GAP_S as u32));
        std::mem::replace(&mut self.allowed, allowed) != allowed
    }

    /// When the next cycle begins by itself, if it does.
    pub fn next_start(&self, now: UnixTime) -> Option<UnixTime> {
        if !self.cycle_enabled || self.suspended {
            return None;
        }
        let effective = i64::from(self.effective().0);
        let last = self.last_begun.filter(|last| *last <= now);
        Some(last.map_or(now, |last| last.plus(effective)).max(now))
    }

    /// The cycle that is due.
    pub fn due(&self, now: UnixTime) -> Option<PolicyType> {
        let is_due = !self.in_progress && self.next_start(now)? <= now;
        is_due.then(|| self.policy(now))
    }

    /// Of which kind the next cycle is.
    pub fn policy(&self, now: UnixTime) -> PolicyType {
        self.at_least(self.next, now)
    }

    /// Of which kind a cycle must be that is to be of this kind: after a week without one that
    /// succeeded, what changed is not enough.
    pub fn at_least(&self, policy: PolicyType, now: UnixTime) -> PolicyType {
        match self.last_success() {
            Some(last) if now.0 - last.0 <= MAX_GAP_S => policy,
            _ => PolicyType::Initial,
        }
    }

    /// When the last cycle succeeded.
    pub fn last_success(&self) -> Option<UnixTime> {
        self.last_delta.max(self.last_initial)
    }

    /// A cycle begins; no while one runs, or while cycles are suspended.
    pub fn begin(&mut self, now: UnixTime) -> bool {
        if self.in_progress || self.suspended {
            return false;
        }
        self.in_progress = true;
        self.last_begun = Some(now);
        true
    }

    /// The cycle that ran has ended.
    pub fn end(&mut self, policy: PolicyType, succeeded: bool, now: UnixTime) {
        self.in_progress = false;
        match policy {
            _ if !succeeded => return,
            PolicyType::Delta => self.last_delta = Some(now),
            PolicyType::Initial => self.last_initial = Some(now),
        }
        // One that was a delta by hand does not take the place of the initial one that is to come.
        if policy == PolicyType::Initial {
            self.next = PolicyType::Delta;
        }
    }

    /// Somebody changes the agent's ground, or has ended that.
    pub fn suspend(&mut self, suspended: bool) {
        self.suspended = suspended;
    }

    /// Whether cycles are suspended.
    pub fn is_suspended(&self) -> bool {
        self.suspended
    }

    /// Whether a cycle runs.
    pub fn is_in_progress(&self) -> bool {
        self.in_progress
    }

    /// Begins maintenance where it is due: answers since when the run history is kept.
    pub fn maintain(&mut self, now: UnixTime) -> Option<UnixTime> {
        let is_fresh = |last: UnixTime| last <= now && now.0 - last.0 < MAINTENANCE_S;
        if !self.maintenance_enabled || self.suspended || self.maintained.is_some_and(is_fresh) {
            return None;
        }
        self.maintained = Some(now);
        Some(now.plus(-i64::from(self.purge.0)))
    }

    /// Sets what is named: all of it or nothing.
    pub fn set(&mut self, change: &Change) -> anyhow::Result<()> {
        let mut new = self.clone();
        match change.customized_sync_cycle_interval.as_deref() {
            None => {}
            Some(none) if none.eq_ignore_ascii_case("none") => new.customized = None,
            Some(text) => {
                let interval: Interval = text.parse()?;
                ensure!(
                    i64::from(interval.0) <= MAX_GAP_S,
                    "cycles must be at most seven days apart, {interval} is more"
                );
                new.customized = Some(interval);
            }
        }
        if let Some(text) = &change.purge_run_history_interval {
            new.purge = text.parse()?;
        }
        new.next = change.next_sync_cycle_policy_type.unwrap_or(new.next);
        new.cycle_enabled = change.sync_cycle_enabled.unwrap_or(new.cycle_enabled);
        new.maintenance_enabled = change
            .maintenance_enabled
            .unwrap_or(new.maintenance_enabled);
        *self = new;
        Ok(())
    }

    /// What there is to see.
    pub fn shown(&self, staging: bool, now: UnixTime) -> Shown {
        Shown {
            allowed_sync_cycle_interval: self.allowed,
            currently_effective_sync_cycle_interval: self.effective(),
            customized_sync_cycle_interval: self.customized,
            next_sync_cycle_policy_type: self.policy(now),
            next_sync_cycle_start_time_in_utc: self.next_start(now).map(utc),
            purge_run_history_interval: self.purge,
            sync_cycle_enabled: self.cycle_enabled,
            maintenance_enabled: self.maintenance_enabled,
            staging_mode_enabled: staging,
            scheduler_suspended: self.suspended,
            sync_cycle_in_progress: self.in_progress,
        }
    }
}

impl Shown {
    /// One line for each property, in the order of the JSON.
    pub fn said(&self) -> String {
        let or_empty = |interval: Option<Interval>| {
            interval.map_or_else(String::new, |interval| interval.to_string())
        };
        let line = |(name, value): (&str, String)| format!("{name:39} : {value}\n");
        [
            (
                "AllowedSyncCycleInterval",
                self.allowed_sync_cycle_interval.to_string(),
            ),
            (
                "CurrentlyEffectiveSyncCycleInterval",
                self.currently_effective_sync_cycle_interval.to_string(),
            ),
            (
                "CustomizedSyncCycleInterval",
                or_empty(self.customized_sync_cycle_interval),
            ),
            (
                "NextSyncCyclePolicyType",
                word(&self.next_sync_cycle_policy_type),
            ),
            (
                "NextSyncCycleStartTimeInUTC",
                self.next_sync_cycle_start_time_in_utc
                    .clone()
                    .unwrap_or_default(),
            ),
            (
                "PurgeRunHistoryInterval",
                self.purge_run_history_interval.to_string(),
            ),
            ("SyncCycleEnabled", self.sync_cycle_enabled.to_string()),
            ("MaintenanceEnabled", self.maintenance_enabled.to_string()),
            ("StagingModeEnabled", self.staging_mode_enabled.to_string()),
            ("SchedulerSuspended", self.scheduler_suspended.to_string()),
            (
                "SyncCycleInProgress",
                self.sync_cycle_in_progress.to_string(),
            ),
        ]
        .map(line)
        .concat()
    }
}

impl Change {
    /// What an administrator should know who set this, and now sees the properties.
    pub fn warnings(&self, shown: &Shown) -> Vec<String> {
        let mut warnings = Vec::new();
        let allowed = shown.allowed_sync_cycle_interval;
        if self.customized_sync_cycle_interval.is_some()
            && let Some(interval) = shown.customized_sync_cycle_interval
            && interval < allowed
        {
            warnings.push(format!(
                "{interval} is below the allowed {allowed} and has no effect"
            ));
        }
        if self.sync_cycle_enabled == Some(false) {
            warnings.push(GO_ON.to_owned());
        }
        warnings
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, seconds) = (self.0 / DAY_S, self.0 % DAY_S);
        if days > 0 {
            write!(f, "{days}.")?;
        }
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        write!(f, "{hour:02}:{minute:02}:{second:02}")
    }
}

impl FromStr for Interval {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let read = || {
            let (days, time) = match text.split_once('.') {
                Some((days, time)) => (number(days, 999)?, time),
                None => (0, text),
            };
            let mut parts = time.split(':');
            let hours = number(parts.next()?, 23)?;
            let minutes = number(parts.next()?, 59)?;
            let seconds = number(parts.next()?, 59)?;
            let all = days * DAY_S + hours * 3600 + minutes * 60 + seconds;
            (all > 0 && parts.next().is_none()).then_some(Self(all))
        };
        let Some(interval) = read() else {
            bail!("{text:?} is no interval: d.HH:mm:ss, as 00:30:00 or 1.12:00:00");
        };
        Ok(interval)
    }
}

fn number(text: &str, most: u32) -> Option<u32> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| digits && *number <= most)
}

impl TryFrom<String> for Interval {
    type Error = anyhow::Error;

    fn try_from(text: String) -> anyhow::Result<Self> {
        text.parse()
    }
}

impl From<Interval> for String {
    fn from(interval: Interval) -> Self {
        interval.to_string()
    }
}

#[cfg(test)]
mod tests;
