//! What somebody must look at: told once in the log as an error, and kept for `status`.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use model::UnixTime;
use serde::{Deserialize, Serialize};

use crate::state::Folder;

/// The file's name.
pub const FILE: &str = "alarms.json";

/// How long an alarm is kept after it was last raised.
const KEPT_S: i64 = 7 * 24 * 3600;

/// The alarms of the last days, by their code; in memory those that are not in the file yet.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Alarms {
    /// By code.
    pub alarms: BTreeMap<String, Alarm>,
}

/// Whoever raises alarms adds his to the file, one after the other.
static TURN: Mutex<()> = Mutex::new(());

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
    /// Those in the file that are not old.
    pub fn read(folder: &Folder, now: UnixTime) -> anyhow::Result<Self> {
        let mut kept: Self = folder.read(FILE)?.unwrap_or_default();
        kept.alarms
            .retain(|_, alarm| alarm.last.plus(KEPT_S) >= now);
        Ok(kept)
    }

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
    }

    /// Adds what was raised to the file, which others add to as well, and takes out what is old.
    pub fn keep(&mut self, folder: &Folder, now: UnixTime) -> anyhow::Result<()> {
        if self.alarms.is_empty() {
            return Ok(());
        }
        let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let mut kept: Self = folder.read(FILE)?.unwrap_or_default();
        for (code, alarm) in &self.alarms {
            let former = kept.alarms.insert(code.clone(), alarm.clone());
            if let (Some(former), Some(now)) = (former, kept.alarms.get_mut(code)) {
                now.count += former.count;
                now.first = former.first;
            }
        }
        kept.alarms
            .retain(|_, alarm| alarm.last.plus(KEPT_S) >= now);
        folder.write(FILE, &kept)?;
        self.alarms.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Parts;

    #[test]
    fn what_two_raise_is_in_the_file_for_a_week() {
        let parts = Parts::new("alarms", "");
        let now = UnixTime(1_800_000_000);
        let (mut one, mut two) = (Alarms::default(), Alarms::default());
        let raise = |alarms: &mut Alarms, code: &str, at| {
            alarms.raise(code, 1, format!("at {}", at), UnixTime(at));
            alarms.keep(&parts.folder, UnixTime(at)).unwrap();
            let kept: Alarms = parts.folder.read(FILE).unwrap().unwrap();
            kept.alarms
        };
        raise(&mut one, "a", now.0);
        raise(&mut two, "b", now.0 + 1);
        let kept = raise(&mut two, "a", now.0 + 2);
        assert_eq!(kept.len(), 2);
        let expected = Alarm {
            count: 2,
            first: now,
            last: now.plus(2),
            detail: format!("at {}", now.0 + 2),
        };
        assert_eq!(kept["a"], expected);
        let kept = raise(&mut one, "a", now.0 + 2 + KEPT_S);
        assert_eq!(kept["a"].count, 3);
        assert!(!kept.contains_key("b"));
    }
}
