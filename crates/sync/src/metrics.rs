//! Numbers for a monitoring system, in a file that a collector of text files reads.
//!
//! A file and no listener: the agent takes no connection from the network.

use std::{
    fmt::Write as _,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::Context as _;
use api::agent::{ChangeResult, ResultState};
use model::UnixTime;

use crate::{
    alarms::Alarms, cycle::Desk, held, history::Connector, keys::now, lease::Lease,
    pending::Pending, state::Folder,
};

/// How often the file is written.
const PERIOD: Duration = Duration::from_secs(15);

/// What is counted since the start.
#[derive(Default)]
pub struct Counters {
    confirmed: AtomicU64,
    removed: AtomicU64,
    refused: AtomicU64,
    lag_s: AtomicU64,
    work: AtomicU64,
}

impl Counters {
    /// A change of a key, made at a time, came to an end.
    pub fn settled(&self, result: &ChangeResult, made: UnixTime, now: UnixTime) {
        let counter = match result.state {
            ResultState::Confirmed => &self.confirmed,
            ResultState::Removed => &self.removed,
            ResultState::Refused | ResultState::NeedsProof => &self.refused,
            ResultState::Lost | ResultState::Everywhere => return,
        };
        counter.fetch_add(1, Relaxed);
        if result.state == ResultState::Confirmed {
            let lag = (now.0 - made.0).max(0) as u64;
            self.lag_s.store(lag, Relaxed);
        }
    }

    /// A piece of work was done for the server.
    pub fn worked(&self) {
        self.work.fetch_add(1, Relaxed);
    }
}

/// Where the numbers come from.
pub struct Metrics {
    /// The counters.
    pub counters: Arc<Counters>,
    /// The scheduler.
    pub desk: Arc<Desk>,
    /// The lease.
    pub lease: Arc<Lease>,
    /// What waits.
    pub pending: Arc<Pending>,
    /// What is kept.
    pub folder: Folder,
}

/// The file. It goes with the agent: what is true no more is not read as if it were.
struct Written(PathBuf);

impl Drop for Written {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

impl Metrics {
    /// Writes the file for ever.
    pub async fn run(self, folder: PathBuf) {
        let written = Written(folder.join("metrics.prom"));
        loop {
            if let Err(error) = write(&written.0, &self.text()) {
                tracing::warn!(code = "metrics_unwritable", error = format!("{error:#}"));
            }
            tokio::time::sleep(PERIOD).await;
        }
    }

    fn text(&self) -> String {
        let (shown, lease) = (self.desk.shown(), self.lease.said());
        let last_success = self.desk.last_success().map_or(0, |last| last.0 as u64);
        let waiting = |side| self.pending.count(side) as u64;
        let one = |counter: &AtomicU64| counter.load(Relaxed);
        let counters = &self.counters;
        // What cannot be read says so elsewhere.
        let alarms = Alarms::read(&self.folder, now()).unwrap_or_default().alarms;
        let alarms: Vec<(String, u64)> = alarms
            .iter()
            .map(|(code, alarm)| (format!("{{code=\"{code}\"}}"), alarm.count))
            .collect();
        let held: held::Rows = self
            .folder
            .read(held::FILE)
            .ok()
            .flatten()
            .unwrap_or_default();
        let mut text = String::new();
        for (name, kind, help, rows) in [
            (
                "written_timestamp_seconds",
                "gauge",
                "When these numbers were written: an agent that was killed leaves them.",
                vec![("", now().0 as u64)],
            ),
            (
                "lease_held",
                "gauge",
                "Whether this agent is the one that writes.",
                vec![("", u64::from(lease.held))],
            ),
            (
                "staging",
                "gauge",
                "Whether it only looks on.",
                vec![("", u64::from(lease.staging))],
            ),
            (
                "cycle_in_progress",
                "gauge",
                "Whether a cycle runs.",
                vec![("", u64::from(shown.sync_cycle_in_progress))],
            ),
            (
                "last_success_timestamp_seconds",
                "gauge",
                "When a cycle succeeded last.",
                vec![("", last_success)],
            ),
            (
                "pending",
                "gauge",
                "Objects that wait for a side.",
                vec![
                    ("{side=\"server\"}", waiting(Connector::Server)),
                    ("{side=\"ad\"}", waiting(Connector::Directory)),
                ],
            ),
            (
                "key_changes_total",
                "counter",
                "Changes of keys that came to an end.",
                vec![
                    ("{result=\"confirmed\"}", one(&counters.confirmed)),
                    ("{result=\"removed\"}", one(&counters.removed)),
                    ("{result=\"refused\"}", one(&counters.refused)),
                ],
            ),
            (
                "key_lag_seconds",
                "gauge",
                "From the registration of the last key to its value in AD.",
                vec![("", one(&counters.lag_s))],
            ),
            (
                "work_total",
                "counter",
                "Pieces of work done for the server.",
                vec![("", one(&counters.work))],
            ),
            (
                "held_accounts",
                "gauge",
                "Accounts that the server did not take.",
                vec![("", held.held.len() as u64)],
            ),
            (
                "alarms",
                "gauge",
                "How often an alarm of the last seven days was raised.",
                alarms
                    .iter()
                    .map(|(code, count)| (code.as_str(), *count))
                    .collect(),
            ),
        ] {
            let name = format!("latchkey_sync_{name}");
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
            for (labels, value) in rows {
                let _ = writeln!(text, "{name}{labels} {value}");
            }
        }
        text
    }
}

/// Readable by everybody: the numbers name nobody.
fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let fresh = path.with_extension("prom.new");
    let write = || {
        fs::write(&fresh, text)?;
        fs::set_permissions(&fresh, fs::Permissions::from_mode(0o644))?;
        fs::rename(&fresh, path)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{pending::Action, testing::Parts};

    fn metrics(parts: &Parts) -> Metrics {
        Metrics {
            counters: Arc::default(),
            desk: Arc::new(Desk::open(parts.folder.clone(), false).unwrap()),
            lease: Lease::held(),
            pending: Arc::default(),
            folder: parts.folder.clone(),
        }
    }

    #[test]
    fn the_file_says_what_was_counted() {
        let parts = Parts::new("metrics", "");
        let metrics = metrics(&parts);
        let mut alarms = Alarms::default();
        alarms.raise("refused", 1, "alice".to_owned(), now());
        alarms.keep(&parts.folder, now()).unwrap();
        let result = ChangeResult::new(1, ResultState::Confirmed);
        let made = UnixTime(1_800_000_000);
        metrics.counters.settled(&result, made, made.plus(3));
        metrics
            .pending
            .wait(Connector::Server, "/Users/1", Action::Put, None);
        let text = metrics.text();
        for line in [
            "latchkey_sync_lease_held 1",
            "latchkey_sync_pending{side=\"server\"} 1",
            "latchkey_sync_pending{side=\"ad\"} 0",
            "latchkey_sync_key_changes_total{result=\"confirmed\"} 1",
            "latchkey_sync_key_lag_seconds 3",
            "# TYPE latchkey_sync_work_total counter",
            "latchkey_sync_held_accounts 0",
            "latchkey_sync_alarms{code=\"refused\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}: {text}");
        }
        assert!(!text.contains("Users") && !text.contains("alice"));
        let written = text.lines().find_map(|line| {
            let time = line.strip_prefix("latchkey_sync_written_timestamp_seconds ")?;
            time.parse::<i64>().ok()
        });
        assert!(now().0 - written.unwrap() < 60, "{text}");
    }

    #[tokio::test]
    async fn an_agent_that_ends_leaves_no_numbers() {
        let parts = Parts::new("metrics-end", "");
        let metrics = metrics(&parts);
        let runtime = std::env::temp_dir().join(format!("latchkey-prom-{}", std::process::id()));
        fs::create_dir_all(&runtime).unwrap();
        let file = runtime.join("metrics.prom");
        let running = tokio::spawn(metrics.run(runtime.clone()));
        while !file.exists() {
            tokio::task::yield_now().await;
        }
        running.abort();
        assert!(running.await.unwrap_err().is_cancelled());
        assert!(!file.exists());
        fs::remove_dir_all(runtime).unwrap();
    }
}
