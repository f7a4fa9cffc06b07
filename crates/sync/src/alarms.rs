//! What somebody must look at: told once in the log as an error, and kept for `status`.

use std::collections::BTreeMap;

use model::UnixTime;
use serde::{Deserialize, Serialize};

use crate::state::Folder;

/// The file's name.
pub const FILE: &str = "alarms.json";

/// How long an alarm is kept after it was last raised.
const KEPT_S: i64 = 7 * 24 * 3600;

/// The alarms of the last days, by their code.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Alarms {
    /// By code.
    pub alarms: BTreeMap<String, Alarm>,
    #[serde(skip)]
    changed: bool,
}

/// One alarm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alarm {
    /// How often it was raised.
    pub count: u64,
    /// For the first time.
    pub first: UnixTime,
    /// For the last time.
    pub last: UnixTime,
    /// What it was about the last time.
    pub detail: String,
}

impl Alarms {
    /// Raises an alarm.
    pub fn raise(&mut self, code: &str, event: u32, detail: String, now: UnixTime) {
        tracing::error!(code, event, detail, "alarm");
        let alarm = self.alarms.entry(code.to_owned()).or_insert(Alarm {
            count: 0,
            first: now,
            last: now,
            detail: String::new(),
        });
        alarm.count += 1;
        alarm.last = now;
        alarm.detail = detail;
        self.changed = true;
    }

    /// Those in the file that are not old.
    pub fn read(folder: &Folder, now: UnixTime) -> anyhow::Result<Self> {
        let mut alarms: Self = folder.read(FILE)?.unwrap_or_default();
        alarms.forget_old(now);
        Ok(alarms)
    }

    fn forget_old(&mut self, now: UnixTime) {
        let before = self.alarms.len();
        self.alarms
            .retain(|_, alarm| alarm.last.plus(KEPT_S) >= now);
        self.changed |= self.alarms.len() != before;
    }

    /// Writes what was raised, and forgets what is old.
    pub fn keep(&mut self, folder: &Folder, now: UnixTime) -> anyhow::Result<()> {
        self.forget_old(now);
        if !self.changed {
            return Ok(());
        }
        folder.write(FILE, self)?;
        self.changed = false;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Parts;

    #[test]
    fn an_alarm_that_is_old_is_neither_read_nor_kept_though_nothing_else_happens() {
        let parts = Parts::new("alarms", "");
        let (folder, now) = (&parts.folder, UnixTime(1_800_000_000));
        let codes = |alarms: Alarms| alarms.alarms.into_keys().collect::<Vec<_>>();
        let mut alarms = Alarms::default();
        alarms.raise("old", 1, "a".to_owned(), now);
        alarms.raise("new", 2, "b".to_owned(), now.plus(9));
        alarms.keep(folder, now).unwrap();
        assert_eq!(codes(Alarms::read(folder, now).unwrap()), ["new", "old"]);
        let later = now.plus(KEPT_S + 1);
        assert_eq!(codes(Alarms::read(folder, later).unwrap()), ["new"]);
        alarms.keep(folder, later).unwrap();
        let kept: Alarms = folder.read(FILE).unwrap().unwrap();
        assert_eq!(codes(kept), ["new"]);
    }
}
