//! What this device learned when the directory got its people's keys: how long that takes, and which
//! domain controller has the newest.
//!
//! What must hold: a controller is named by the server, and is asked first only where the domain itself lists
//! it as one of its controllers. So a server that lies chooses among the domain's own, and nothing more.

use std::{
    path::{Path, PathBuf},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use api::device::{KeyState, KeyStatus};
use model::UnixTime;
use serde::{Deserialize, Serialize};

use crate::{
    Error,
    daemon::{Daemon, now},
    files,
};

/// What `confirmations.json` holds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    /// From registered to confirmed, milliseconds, the newest last.
    took_ms: Vec<u64>,
    newest: Option<Newest>,
}

/// Where the newest key is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Newest {
    dc: String,
    at: UnixTime,
}

/// What was learned.
pub(crate) struct Confirmations {
    path: PathBuf,
    kept: Mutex<Kept>,
    /// Is a controller preferred in what login helpers read?
    guides: AtomicBool,
}

impl Confirmations {
    /// In the daemon's folder. What cannot be read is as good as nothing, and is replaced.
    pub(crate) fn in_folder(folder: &Path) -> Self {
        let path = folder.join("confirmations.json");
        let kept = files::read(&path).unwrap_or_else(|error| {
            tracing::warn!(%error, "how long the directory takes is not known any more");
            None
        });
        Self {
            path,
            kept: Mutex::new(kept.unwrap_or_default()),
            guides: AtomicBool::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that the directory has a key, and how long that took where somebody waited for it.
    fn note(&self, took_ms: Option<u64>, dc: Option<&str>, now: UnixTime) -> Result<(), Error> {
        let mut kept = self.lock();
        if let Some(took_ms) = took_ms {
            kept.took_ms.push(took_ms);
            let surplus = kept.took_ms.len().saturating_sub(MOST);
            kept.took_ms.drain(..surplus);
        }
        if let Some(dc) = dc {
            let (dc, at) = (dc.to_ascii_lowercase(), now);
            kept.newest = Some(Newest { dc, at });
        }
        files::write(&self.path, &*kept)
    }

    /// In about how many seconds the directory will have a key: the median of what was measured here.
    pub(crate) fn about_s(&self) -> u32 {
        let mut took_ms = self.lock().took_ms.clone();
        took_ms.sort_unstable();
        let median = took_ms.get(took_ms.len() / 2);
        let seconds = median.map_or(UNMEASURED_S, |ms| ms.div_ceil(1000).max(1));
        u32::try_from(seconds).unwrap_or(u32::MAX)
    }

    /// The KDCs to ask, the one with the newest key first while the others may not have it: `configured`,
    /// or where there are none and the DNS would tell, `domain`'s.
    pub(crate) fn order(
        &self,
        configured: &[String],
        domain: &[String],
        now: UnixTime,
    ) -> Vec<String> {
        let first = self.first(domain, now);
        let all = match configured {
            [] => domain,
            configured => configured,
        };
        let is_first = |name: &&String| first.as_deref() == Some(&*name.to_ascii_lowercase());
        let guides = all.iter().any(|name| is_first(&name));
        self.guides.store(guides, Ordering::Relaxed);
        if !guides {
            return configured.to_vec();
        }
        let (first, others): (Vec<_>, Vec<_>) = all.iter().partition(is_first);
        first.into_iter().chain(others).cloned().collect()
    }

    fn first(&self, domain: &[String], now: UnixTime) -> Option<String> {
        let newest = self.lock().newest.clone()?;
        let is_recent = (0..SPREAD_S).contains(&(now.0 - newest.at.0));
        let is_of_domain = domain
            .iter()
            .any(|name| name.eq_ignore_ascii_case(&newest.dc));
        (is_recent && is_of_domain).then_some(newest.dc)
    }

    /// Is a controller preferred that has no need of it any more?
    pub(crate) fn is_over(&self, now: UnixTime) -> bool {
        let newest = self.lock().newest.clone();
        let is_recent = |newest: Newest| (0..SPREAD_S).contains(&(now.0 - newest.at.0));
        self.guides.load(Ordering::Relaxed) && !newest.is_some_and(is_recent)
    }
}

impl Daemon {
    /// Takes in what the server says of a key of this device: where it has just come into the directory,
    /// sign-ins ask the controller first that has it. `watched`: somebody waited for it.
    pub(crate) fn note_status(&self, status: &KeyStatus, watched: bool) {
        if status.state != KeyState::Confirmed {
            return;
        }
        let took = status
            .confirmed_ms
            .and_then(|ms| u64::try_from(ms - status.registered_ms).ok());
        let took = took.filter(|_| watched);
        let noted = self.confirmations.note(took, status.dc.as_deref(), now());
        if let Err(error) = noted.and_then(|()| self.publish_known()) {
            tracing::warn!(%error, "which domain controller has a key could not be noted");
        }
    }
}

/// How many measurements are kept.
const MOST: usize = 9;

/// What is told where nothing was measured.
const UNMEASURED_S: u64 = 5;

/// After this every controller has the key: replication between sites takes a quarter of an hour or more.
const SPREAD_S: i64 = 3600;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::tests::Folder;

    const NOW: UnixTime = UnixTime(1_800_000_000);

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn the_time_that_is_told_is_the_median_of_the_last_ones_also_after_a_restart() {
        let folder = Folder::new("confirmations-median");
        let learned = Confirmations::in_folder(folder.path());
        assert_eq!(learned.about_s(), 5);
        for (took_ms, about_s) in [(200, 1), (7_001, 8), (3_000, 3), (60_000, 8)] {
            learned.note(Some(took_ms), None, NOW).unwrap();
            assert_eq!(learned.about_s(), about_s, "{took_ms}");
        }
        for _ in 0..9 {
            learned.note(Some(1_500), None, NOW).unwrap();
        }
        learned.note(None, Some("dc1"), NOW).unwrap();
        assert_eq!(learned.about_s(), 2);
        assert_eq!(Confirmations::in_folder(folder.path()).about_s(), 2);
    }

    #[test]
    fn the_controller_with_the_key_comes_first_for_an_hour_and_is_never_a_stranger() {
        let folder = Folder::new("confirmations-order");
        let learned = Confirmations::in_folder(folder.path());
        let domain = names(&["dc1.corp.test", "DC2.corp.test", "dc3.corp.test"]);
        assert!(learned.order(&[], &domain, NOW).is_empty());
        learned.note(None, Some("dc2.corp.test"), NOW).unwrap();
        let first = names(&["DC2.corp.test", "dc1.corp.test", "dc3.corp.test"]);
        let two = names(&["dc3.corp.test", "dc2.corp.test"]);
        let one = names(&["dc1.corp.test"]);
        let turned = names(&["dc2.corp.test", "dc3.corp.test"]);
        let last = NOW.plus(3599);
        for (configured, at, expected) in [
            (&[][..], NOW, &first[..]),
            (&[], last, &first),
            (&[], NOW.plus(3600), &[]),
            // The clock was set back.
            (&[], NOW.plus(-1), &[]),
            // What an administrator wrote down is reordered and not added to.
            (&two, NOW, &turned),
            (&one, NOW, &one),
        ] {
            assert_eq!(learned.order(configured, &domain, at), expected, "{at:?}");
        }
        assert!(!learned.is_over(NOW.plus(3600)));
        learned.order(&[], &domain, last);
        assert!(!learned.is_over(last) && learned.is_over(NOW.plus(3600)));
        learned.note(None, Some("kdc.evil.test"), NOW).unwrap();
        assert!(learned.order(&[], &domain, NOW).is_empty());
    }
}
