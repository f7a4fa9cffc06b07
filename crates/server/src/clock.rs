//! The clock, which tests may set, and times as protocols write them.

use std::{
    fmt,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use model::UnixTime;

/// Where the server takes the time from.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> i64 + Send + Sync>);

impl Clock {
    /// The machine's.
    pub fn system() -> Self {
        Self::new(|| {
            let since = SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default();
            i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
        })
    }

    /// One that answers unix milliseconds.
    pub fn new(now_ms: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(now_ms))
    }

    /// Unix milliseconds.
    pub fn now_ms(&self) -> i64 {
        (self.0)()
    }

    /// Unix seconds.
    pub fn now(&self) -> UnixTime {
        UnixTime(self.now_ms().div_euclid(1000))
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({})", self.now_ms())
    }
}

/// The same with milliseconds.
pub(crate) fn rfc3339_ms(ms: i64) -> String {
    let second = rfc3339(UnixTime(ms.div_euclid(1000)));
    let second = second.trim_end_matches('Z');
    format!("{second}.{:03}Z", ms.rem_euclid(1000))
}

/// `yyyy-MM-ddTHH:mm:ssZ` (RFC 3339).
pub(crate) fn rfc3339(time: UnixTime) -> String {
    let (days, second) = (time.0.div_euclid(86_400), time.0.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Reads `yyyy-MM-dd HH:mm:ss`, UTC, with a blank or `T` in the middle.
pub(crate) fn read_utc(text: &str) -> Option<UnixTime> {
    let (date, time) = text.split_once([' ', 'T'])?;
    let numbers = |text: &str, separator| {
        let mut parts = text.split(separator).map(|part| {
            let digits = part.bytes().all(|byte| byte.is_ascii_digit());
            part.parse::<i64>().ok().filter(|_| digits)
        });
        let three = (parts.next()??, parts.next()??, parts.next()??);
        parts.next().is_none().then_some(three)
    };
    let (year, month, day) = numbers(date, '-')?;
    let (hour, minute, second) = numbers(time, ':')?;
    let fits = (1970..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    let days = days(year, month, day);
    (fits && civil(days) == (year, month, day))
        .then(|| UnixTime(days * 86_400 + hour * 3600 + minute * 60 + second))
}

/// Days since 1970-01-01 of a date of the Gregorian calendar. The year is taken to begin in March,
/// so that the leap day is its last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The date so many days after 1970-01-01; the inverse of [`days`].
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_reads_and_writes_the_same() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (1_795_341_600, "2026-11-22T10:00:00Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(UnixTime(seconds)), text);
            assert_eq!(
                read_utc(text.trim_end_matches('Z')),
                Some(UnixTime(seconds)),
                "{text}"
            );
        }
    }

    #[test]
    fn a_date_that_does_not_exist_is_not_read() {
        for text in [
            "2023-02-29 00:00:00",
            "2024-13-01 00:00:00",
            "2024-00-01 00:00:00",
            "2024-01-01 24:00:00",
            "2024-01-01",
            "2024-01-01 00:00:00:00",
            "2024-01--1 00:00:00",
            "+2024-01-01 00:00:00",
        ] {
            assert_eq!(read_utc(text), None, "{text}");
        }
    }
}
