//! The two ways a key credential writes a time.
//!
//! KeySource decides: values from Active Directory hold a FILETIME, values from Entra ID the
//! outcome of .NET's `DateTime.ToBinary`, 100 ns steps since the year 1 in the lower 62 bits and
//! the kind of clock in the upper two.

use std::fmt;

use model::{Filetime, UnixTime};

use crate::KeySource;

/// A time of a key credential with the bits it was read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timestamp {
    raw: u64,
    dot_net: bool,
}

/// 100 ns steps from 0001-01-01 to 1601-01-01.
const FILETIME_EPOCH_TICKS: u64 = 504_911_232_000_000_000;
/// The last tick of the year 9999, where .NET's calendar ends.
const MAX_TICKS: u64 = 3_155_378_975_999_999_999;
/// Days from 0001-01-01 to 1970-01-01.
const UNIX_EPOCH_DAYS: u64 = 719_162;
const TICKS_PER_SECOND: u64 = 10_000_000;
const SECONDS_PER_DAY: u64 = 86_400;
const KIND_SHIFT: u32 = 62;
const KIND_UTC: u64 = 1;

impl Timestamp {
    /// From the eight bytes of an entry, little-endian, in a value with this source.
    pub fn new(raw: u64, source: KeySource) -> Self {
        Self {
            raw,
            dot_net: source == KeySource::Entra,
        }
    }

    /// The time as a value with this source writes it.
    pub fn from_filetime(time: Filetime, source: KeySource) -> Self {
        if source != KeySource::Entra {
            return Self::new(time.0, source);
        }
        let ticks = time.0.saturating_add(FILETIME_EPOCH_TICKS).min(MAX_TICKS);
        Self::new(KIND_UTC << KIND_SHIFT | ticks, source)
    }

    /// What the entry holds.
    pub fn raw(self) -> u64 {
        self.raw
    }

    /// Seconds since 1970; `None` after the year 9999.
    pub fn to_unix(self) -> Option<UnixTime> {
        let seconds = i64::try_from(self.ticks()? / TICKS_PER_SECOND).ok()?;
        Some(UnixTime(
            seconds - (UNIX_EPOCH_DAYS * SECONDS_PER_DAY) as i64,
        ))
    }

    fn ticks(self) -> Option<u64> {
        let ticks = if self.dot_net {
            self.raw & ((1 << KIND_SHIFT) - 1)
        } else {
            self.raw.checked_add(FILETIME_EPOCH_TICKS)?
        };
        (ticks <= MAX_TICKS).then_some(ticks)
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC, to the millisecond.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(ticks) = self.ticks() else {
            return write!(f, "{:#018x}, after the year 9999", self.raw);
        };
        let seconds = ticks / TICKS_PER_SECOND;
        let millis = ticks % TICKS_PER_SECOND / 10_000;
        let (year, month, day) = civil(seconds / SECONDS_PER_DAY);
        let of_day = seconds % SECONDS_PER_DAY;
        let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z"
        )
    }
}

/// Year, month and day of the Gregorian calendar, `days` after 0001-01-01.
///
/// Years are counted from March, so that a leap day is the last of its year.
fn civil(days: u64) -> (u64, u64, u64) {
    const DAYS_400_YEARS: u64 = 146_097;
    // 0001-01-01 is day 306 of the year that began on 0000-03-01.
    let since_march = days + 306;
    let of_cycle = since_march % DAYS_400_YEARS;
    let year_of_cycle =
        (of_cycle - of_cycle / 1_460 + of_cycle / 36_524 - of_cycle / 146_096) / 365;
    let of_year = of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = since_march / DAYS_400_YEARS * 400 + year_of_cycle + u64::from(month <= 2);
    (year, month, day)
}
