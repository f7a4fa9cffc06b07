//! How many passwords were checked in the last hour.
//!
//! The server counts a person's tries; this cap is for a server that does not. It is kept on disk
//! before the domain controller is asked, so that no restart makes room for more.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use model::UnixTime;
use serde::{Deserialize, Serialize};

use crate::{config::Limits, ledger::exhausted, state::Folder};

/// The file's name.
const FILE: &str = "checks.json";

/// The count.
pub struct Checks {
    folder: Folder,
    past: Mutex<Past>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Past {
    times: VecDeque<UnixTime>,
}

impl Checks {
    /// The count, from where it ended the last time.
    pub fn new(folder: Folder) -> anyhow::Result<Self> {
        let past = folder.read(FILE)?.unwrap_or_default();
        Ok(Self {
            folder,
            past: Mutex::new(past),
        })
    }

    /// Counts one check more; no if it would be too many this hour.
    pub fn admit(&self, limits: &Limits, now: UnixTime) -> anyhow::Result<bool> {
        let mut past = self.past.lock().unwrap_or_else(PoisonError::into_inner);
        if exhausted(&mut past.times, limits.password_checks_per_hour, now) {
            return Ok(false);
        }
        past.times.push_back(now);
        self.folder.write(FILE, &*past)?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Parts;

    #[test]
    fn the_cap_of_password_checks_holds_for_an_hour_and_over_a_restart() {
        let parts = Parts::new("checks", "password_checks_per_hour = 2");
        let limits = parts.config.limits;
        let now = UnixTime(1_800_000_000);
        let checks = Checks::new(parts.folder.clone()).unwrap();
        assert!(checks.admit(&limits, now).unwrap());
        let checks = Checks::new(parts.folder.clone()).unwrap();
        assert!(checks.admit(&limits, now.plus(1)).unwrap());
        assert!(!checks.admit(&limits, now.plus(2)).unwrap());
        let checks = Checks::new(parts.folder.clone()).unwrap();
        assert!(!checks.admit(&limits, now.plus(3)).unwrap());
        assert!(checks.admit(&limits, now.plus(3600)).unwrap());
    }
}
