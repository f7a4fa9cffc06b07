//! Tries at a factor, counted so that guessing does not pay.
//!
//! A try is counted before the factor is looked at and taken back where it was not wrong: counting
//! afterwards would let any number of guesses run side by side.

use model::{Guid, UnixTime};
use serde::{Deserialize, Serialize};

use crate::{
    Result, Store,
    sql::{args, fields},
    store::Touches,
};

/// How many tries are let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// So many failed tries …
    pub tries: usize,
    /// … within so many seconds …
    pub window_s: i64,
    /// … shut the door for so many seconds after the last one.
    pub pause_s: i64,
}

/// Whether a try may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It may, and it is counted.
    Go,
    /// Not before so many seconds have passed.
    Wait(i64),
}

impl Limit {
    /// Judges one more try at `now` after tries at `earlier` times, oldest first.
    pub fn judge(&self, earlier: &[UnixTime], now: UnixTime) -> Verdict {
        let recent: Vec<i64> = earlier
            .iter()
            .map(|t| t.0)
            .filter(|t| now.0 - t < self.window_s)
            .collect();
        let Some(oldest_that_counts) = recent
            .len()
            .checked_sub(self.tries)
            .and_then(|n| recent.get(n))
        else {
            return Verdict::Go;
        };
        let last = recent.last().copied().unwrap_or(now.0);
        let opens = (last + self.pause_s).min(oldest_that_counts + self.window_s);
        if opens <= now.0 {
            Verdict::Go
        } else {
            Verdict::Wait(opens - now.0)
        }
    }
}

impl Store {
    /// Judges a try of `subject` at `factor` and counts it where it may be made.
    pub async fn begin_try(
        &self,
        tenant: Guid,
        factor: &'static str,
        subject: &str,
        now: UnixTime,
        limit: Limit,
    ) -> Result<Verdict> {
        self.sweep(now).await?;
        let subject = subject.to_owned();
        self.write(Touches::Rows, move |db| {
            let sql = "SELECT at FROM tries WHERE tenant = ?1 AND factor = ?2 AND subject = ?3
                 AND at > ?4 ORDER BY at";
            let since = now.plus(-limit.window_s);
            let earlier: Vec<UnixTime> =
                db.all(sql, args![tenant, factor, subject, since], |row| {
                    row.get("at")
                })?;
            let verdict = limit.judge(&earlier, now);
            if verdict == Verdict::Go {
                let row = fields! { tenant: tenant, factor: factor, subject: subject, at: now };
                db.insert("tries", row)?;
            }
            Ok(verdict)
        })
        .await
    }

    /// Takes back the try that was counted at `at`: nobody could say whether it was wrong.
    pub async fn take_back_try(
        &self,
        tenant: Guid,
        factor: &'static str,
        subject: &str,
        at: UnixTime,
    ) -> Result<()> {
        let subject = subject.to_owned();
        self.write(Touches::Rows, move |db| {
            let sql = "DELETE FROM tries WHERE id = (SELECT max(id) FROM tries
                 WHERE tenant = ?1 AND factor = ?2 AND subject = ?3 AND at = ?4)";
            db.execute(sql, args![tenant, factor, subject, at])
                .map(|_| ())
        })
        .await
    }

    /// Forgets all tries: the subject has shown the right factor.
    pub async fn forget_tries(
        &self,
        tenant: Guid,
        factor: &'static str,
        subject: &str,
    ) -> Result<()> {
        let subject = subject.to_owned();
        self.write(Touches::Rows, move |db| {
            let sql = "DELETE FROM tries WHERE tenant = ?1 AND factor = ?2 AND subject = ?3";
            db.execute(sql, args![tenant, factor, subject]).map(|_| ())
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Limit = Limit {
        tries: 3,
        window_s: 600,
        pause_s: 60,
    };

    fn judge(earlier: &[i64], now: i64) -> Verdict {
        let earlier: Vec<UnixTime> = earlier.iter().copied().map(UnixTime).collect();
        LIMIT.judge(&earlier, UnixTime(now))
    }

    #[test]
    fn tries_below_the_limit_go_through() {
        assert_eq!(judge(&[], 0), Verdict::Go);
        assert_eq!(judge(&[1, 2], 3), Verdict::Go);
    }

    #[test]
    fn the_try_after_the_last_allowed_one_waits_for_the_pause() {
        assert_eq!(judge(&[1, 2, 3], 4), Verdict::Wait(59));
        assert_eq!(judge(&[1, 2, 3], 62), Verdict::Wait(1));
        assert_eq!(judge(&[1, 2, 3], 63), Verdict::Go);
    }

    #[test]
    fn one_more_failure_after_the_pause_shuts_the_door_again() {
        assert_eq!(judge(&[1, 2, 3, 63], 64), Verdict::Wait(59));
    }

    #[test]
    fn tries_older_than_the_window_do_not_count() {
        assert_eq!(judge(&[1, 2, 3], 602), Verdict::Go);
        assert_eq!(judge(&[1, 590, 599], 600), Verdict::Wait(1));
    }
}
