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
        self.changed = true;
    }

    /// Writes what was raised, and forgets what is old.
    pub fn keep(&mut self, folder: &Folder, now: UnixTime) -> anyhow::Result<()> {
        if !self.changed {
            return Ok(());
        }
        self.alarms
            .retain(|_, alarm| alarm.last.plus(KEPT_S) >= now);
        folder.write(FILE, self)?;
        self.changed = false;
        Ok(())
    }
}
