//! Points in time as the protocols write them. No clock is read here: time is an argument.

use serde::{Deserialize, Serialize};

/// Seconds between 1601-01-01 and 1970-01-01, both UTC.
const FILETIME_EPOCH_OFFSET_S: i64 = 11_644_473_600;

/// Whole seconds since 1970-01-01 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixTime(pub i64);

impl UnixTime {
    /// This time moved by `seconds`, held at the ends of the range.
    pub fn plus(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds))
    }
}

/// 100 ns steps since 1601-01-01 UTC (MS-DTYP 2.3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Filetime(pub u64);

impl From<UnixTime> for Filetime {
    /// Times before 1601 become 0.
    fn from(time: UnixTime) -> Self {
        let seconds = time.0.saturating_add(FILETIME_EPOCH_OFFSET_S).max(0) as u64;
        Self(seconds.saturating_mul(10_000_000))
    }
}

impl From<Filetime> for UnixTime {
    fn from(time: Filetime) -> Self {
        Self((time.0 / 10_000_000) as i64 - FILETIME_EPOCH_OFFSET_S)
    }
}
