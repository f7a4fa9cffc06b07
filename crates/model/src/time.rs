//! Points in time as the protocols write them. No clock is read here: time is an argument.

use openssl::asn1::Asn1Time;
use serde::{Deserialize, Serialize};

const EPOCH: &str = "19700101000000Z";
const DAY_S: i64 = 24 * 60 * 60;

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

    /// The whole seconds of a GeneralizedTime such as `20261128103148.0Z` (RFC 4517 3.3.13); other zones
    /// than UTC are not written.
    pub fn of_generalized(text: &str) -> Option<Self> {
        let (seconds, rest) = text.split_at_checked(14)?;
        if !rest.ends_with('Z') {
            return None;
        }
        let time = Asn1Time::from_str(&format!("{seconds}Z")).ok()?;
        let since = Asn1Time::from_str(EPOCH).ok()?.diff(&time).ok()?;
        Some(Self(i64::from(since.days) * DAY_S + i64::from(since.secs)))
    }
}

/// The hours of the week in which an account may sign in, a bit each from Sunday 0:00 UTC (logonHours,
/// MS-ADA1 2.376).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogonHours(pub [u8; 21]);

impl LogonHours {
    /// Whether this hour is one of them.
    pub fn allow(&self, now: UnixTime) -> bool {
        const HOUR_S: i64 = 3600;
        // The first of January 1970 was a Thursday.
        let hour = (now.0.div_euclid(HOUR_S) + 4 * 24).rem_euclid(7 * 24) as usize;
        let byte = self.0.get(hour / 8);
        byte.is_some_and(|byte| byte >> (hour % 8) & 1 == 1)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_of_the_week_is_found_in_every_week() {
        let mut hours = [0; 21];
        hours[12] = 0b10;
        // Thursday, from one to two o'clock.
        for (second, is_allowed) in [(3599, false), (3600, true), (7199, true), (7200, false)] {
            let week = 7 * 24 * 3600;
            for second in [second, second + week, second - week] {
                let allowed = LogonHours(hours).allow(UnixTime(second));
                assert_eq!(allowed, is_allowed, "{second}");
            }
        }
    }

    #[test]
    fn a_directorys_time_is_read_to_the_second() {
        assert_eq!(
            UnixTime::of_generalized("19700101000001.0Z"),
            Some(UnixTime(1))
        );
        assert_eq!(
            UnixTime::of_generalized("20261128103148.0Z"),
            Some(UnixTime(1_795_861_908))
        );
        for wrong in [
            "",
            "20261128103148",
            "20261328103148.0Z",
            "20261128103148+0100",
        ] {
            assert_eq!(UnixTime::of_generalized(wrong), None, "{wrong}");
        }
    }
}
