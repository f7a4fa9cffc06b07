//! What stands before the next try after wrong PINs in a row: a phrase, and a wait that grows.
//!
//! The TPM counts and locks; it does not tell a person from a key that is stuck. So after three
//! wrong PINs a person has to type something else first, and each further one costs more patience.
//! It is counted by the user whose PIN is tried and never by who tries, on disk, so that neither a
//! second connection nor a restart of the daemon gives a try that should have waited. Nobody else
//! waits for it.

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use ipc::Failure;
use model::UnixTime;
use serde::{Deserialize, Serialize};

use crate::{Error, files};

/// What is typed. It is shown with the question: it proves that somebody reads and types.
pub(crate) const PHRASE: &str = "LATCHKEY";

/// Who tried how often.
pub(crate) struct Tries {
    folder: PathBuf,
    writing: Mutex<()>,
}

/// Wrong PINs of one user since the last right one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    wrong: u32,
    last: UnixTime,
}

/// What stands before the next try.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Demand {
    /// Is the phrase to be typed?
    pub(crate) phrase: bool,
    /// Seconds to wait.
    pub(crate) wait_s: u32,
}

impl Tries {
    /// In the daemon's folder.
    pub(crate) fn in_folder(folder: &Path) -> Result<Self, Error> {
        let folder = folder.join("tries");
        files::folder(&folder, 0o700)?;
        files::sweep(&folder)?;
        let writing = Mutex::default();
        Ok(Self { folder, writing })
    }

    /// What stands before the next try at this user's PIN.
    pub(crate) fn demand(&self, uid: u32, now: UnixTime) -> Result<Demand, Error> {
        let _alone = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let file = self.file(uid);
        let Some(mut record) = files::read::<Record>(&file)? else {
            return Ok(Demand::default());
        };
        // The clock was set back: from now on the wait runs by what it shows.
        if now < record.last {
            record.last = now;
            files::write(&file, &record)?;
        }
        Ok(record.demand(now))
    }

    /// Refuses a try that has to wait, or lacks the phrase.
    pub(crate) fn allow(&self, uid: u32, phrase: Option<&str>, now: UnixTime) -> Result<(), Error> {
        let demand = self.demand(uid, now)?;
        if demand.wait_s > 0 {
            return Err(Error::Refused(Failure {
                retry_after_s: Some(demand.wait_s),
                ..Failure::new(
                    "pin_paused",
                    format!(
                        "Too many wrong PINs: the next one is taken in {}.",
                        duration(demand.wait_s)
                    ),
                )
            }));
        }
        if demand.phrase && !phrase.is_some_and(is_phrase) {
            return Err(Error::Refused(Failure::new(
                "phrase_required",
                format!(
                    "After wrong PINs in a row, type {PHRASE} before the next; `latchkey signin` \
                     asks for it."
                ),
            )));
        }
        Ok(())
    }

    /// Counts a wrong one.
    pub(crate) fn wrong(&self, uid: u32, now: UnixTime) -> Result<Demand, Error> {
        let _alone = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let file = self.file(uid);
        let before: Option<Record> = files::read(&file)?;
        let record = Record {
            wrong: before.map_or(0, |record| record.wrong).saturating_add(1),
            last: now,
        };
        files::write(&file, &record)?;
        Ok(record.demand(now))
    }

    /// A right one, or a key that none was tried at.
    pub(crate) fn forget(&self, uid: u32) -> Result<(), Error> {
        let _alone = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let file = self.file(uid);
        // Most sign-ins find nothing, and sync no folder.
        if file.exists() {
            files::remove(&file)?;
        }
        Ok(())
    }

    fn file(&self, uid: u32) -> PathBuf {
        self.folder.join(format!("{uid}.json"))
    }
}

impl Record {
    fn demand(&self, now: UnixTime) -> Demand {
        let pause = pause(self.wrong);
        // A clock that was set back makes nobody wait for longer.
        let passed = now.0.saturating_sub(self.last.0).max(0);
        let left = i64::from(pause).saturating_sub(passed).max(0);
        Demand {
            phrase: self.wrong >= FREE,
            wait_s: u32::try_from(left).unwrap_or(pause),
        }
    }
}

fn is_phrase(typed: &str) -> bool {
    typed.trim().eq_ignore_ascii_case(PHRASE)
}

/// So many wrong PINs in a row need no phrase.
const FREE: u32 = 3;

/// Seconds from a wrong PIN to the next, by how many there were in a row.
fn pause(wrong: u32) -> u32 {
    match wrong {
        0..FREE => 0,
        3 => 5,
        4 => 15,
        5 => 30,
        6 => 60,
        7 => 120,
        8 => 300,
        _ => 600,
    }
}

/// As a person says it.
pub(crate) fn duration(seconds: u32) -> String {
    match seconds {
        1 => "1 second".to_owned(),
        0..=119 => format!("{seconds} seconds"),
        _ => format!("{} minutes", seconds.div_ceil(60)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demand(wrong: u32, after_s: i64) -> (bool, u32) {
        let last = UnixTime(1_800_000_000);
        let Demand { phrase, wait_s } = Record { wrong, last }.demand(last.plus(after_s));
        (phrase, wait_s)
    }

    #[test]
    fn the_third_wrong_pin_in_a_row_asks_for_the_phrase_and_each_for_more_patience() {
        for (wrong, asked) in [
            (0, (false, 0)),
            (1, (false, 0)),
            (2, (false, 0)),
            (3, (true, 5)),
            (4, (true, 15)),
            (8, (true, 300)),
            (9, (true, 600)),
            (u32::MAX, (true, 600)),
        ] {
            assert_eq!(demand(wrong, 0), asked, "{wrong}");
        }
        assert!((3..9).all(|wrong| pause(wrong) < pause(wrong + 1)));
    }

    #[test]
    fn the_wait_ends_when_it_was_said_to_and_the_phrase_stays() {
        assert_eq!(demand(4, 14), (true, 1));
        assert_eq!(demand(4, 15), (true, 0));
        assert_eq!(demand(4, 1_000_000), (true, 0));
        // The clock was set back by a year.
        assert_eq!(demand(4, -31_536_000), (true, 15));
    }

    #[test]
    fn a_wait_runs_down_by_a_clock_that_was_set_back() {
        let name = format!("latchkey-tries-back-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let tries = Tries::in_folder(&folder).unwrap();
        let (before, back) = (UnixTime(1_800_000_000), UnixTime(1_700_000_000));
        for _ in 0..4 {
            tries.wrong(1000, before).unwrap();
        }
        for (after_s, wait_s) in [(0, 15), (10, 5), (15, 0)] {
            let demand = tries.demand(1000, back.plus(after_s)).unwrap();
            assert_eq!(demand.wait_s, wait_s, "{after_s}");
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn the_phrase_is_taken_in_any_case_and_nothing_else_is() {
        for typed in ["LATCHKEY", "latchkey", " Latchkey\n"] {
            assert!(is_phrase(typed), "{typed:?}");
        }
        for typed in ["", "LATCH KEY", "LLLLLLLL", "LATCHKEY1"] {
            assert!(!is_phrase(typed), "{typed:?}");
        }
    }

    #[test]
    fn a_wait_is_said_in_words_and_never_as_less_than_it_is() {
        for (seconds, said) in [
            (1, "1 second"),
            (60, "60 seconds"),
            (120, "2 minutes"),
            (121, "3 minutes"),
            (600, "10 minutes"),
        ] {
            assert_eq!(duration(seconds), said);
        }
    }
}
