//! How many deletions at once are more than anybody can have meant.
//!
//! Whoever is about to delete counts first, and asks here before the first deletion. An
//! administrator who meant it confirms what was stopped, on one side: who looked at the accounts that
//! are to go has not looked at keys. As many as were stopped do not count then; what comes on top
//! does.

use std::{
    collections::VecDeque,
    fmt::Write,
    time::{Duration, Instant},
};

use anyhow::ensure;
use clap::{Args, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};

use crate::{config::Config, state::Folder};

/// The file's name.
pub const FILE: &str = "threshold.json";

/// Where it says what was stopped last.
pub const STOPPED_FILE: &str = "stopped.json";

/// The number under which Entra Connect writes the same into its event log.
pub const EVENT: u32 = 116;

/// How long what went counts with what goes.
const LATELY: Duration = Duration::from_secs(30 * 60);

/// More deletions than this stop before the first of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Threshold {
    /// So many objects; none: any number.
    pub objects: Option<u32>,
    /// So many of a hundred; none: any share.
    pub percent: Option<u8>,
    /// So many deletions an administrator has confirmed, and they are not done yet.
    pub meant: Sides<usize>,
}

/// Which deletions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Side {
    /// Of accounts at the server.
    Accounts,
    /// Of keys in AD.
    Keys,
    /// Of keys that somebody else took out of AD: they are to count as revoked.
    Lost,
}

/// Something of each side.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sides<T> {
    accounts: T,
    keys: T,
    lost: T,
}

impl<T> Sides<T> {
    /// That of one side.
    pub fn of(&self, side: Side) -> &T {
        match side {
            Side::Accounts => &self.accounts,
            Side::Keys => &self.keys,
            Side::Lost => &self.lost,
        }
    }

    fn of_mut(&mut self, side: Side) -> &mut T {
        match side {
            Side::Accounts => &mut self.accounts,
            Side::Keys => &mut self.keys,
            Side::Lost => &mut self.lost,
        }
    }
}

/// What is to be deleted; written down where it is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deletions {
    /// So many.
    pub deletions: usize,
    /// And so many went in the half hour before.
    #[serde(default)]
    pub lately: usize,
    /// Of so many, with those that went lately.
    pub total: usize,
}

/// What went in the last half hour, and nobody had to confirm.
#[derive(Debug, Default)]
pub struct Lately(VecDeque<(Instant, usize)>);

impl Lately {
    /// How many went.
    pub fn count(&mut self) -> usize {
        let is_over = |(at, _): &(Instant, usize)| at.elapsed() >= LATELY;
        while self.0.front().is_some_and(is_over) {
            self.0.pop_front();
        }
        self.0.iter().map(|(_, count)| count).sum()
    }

    /// So many went. Where some were confirmed, what comes next is counted anew.
    pub fn went(&mut self, count: usize, is_confirmed: bool) {
        match is_confirmed {
            true => self.0.clear(),
            false if count > 0 => self.0.push_back((Instant::now(), count)),
            false => {}
        }
    }
}

impl Default for Threshold {
    fn default() -> Self {
        Self {
            objects: Some(500),
            percent: None,
            meant: Sides::default(),
        }
    }
}

impl Threshold {
    /// What the folder says.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read(folder: &Folder) -> anyhow::Result<Self> {
        Ok(folder.read(FILE)?.unwrap_or_default())
    }

    /// Whether so many deletions are too many.
    pub fn stops(&self, side: Side, going: &Deletions) -> bool {
        let unmeant = going.deletions.saturating_sub(*self.meant.of(side));
        let many = if unmeant == 0 {
            0
        } else {
            unmeant + going.lately
        };
        let objects = self.objects.is_some_and(|most| many > most as usize);
        let percent = self
            .percent
            .is_some_and(|most| many * 100 > going.total * usize::from(most));
        objects || percent
    }

    /// What an administrator reads of it.
    pub fn sentence(&self, side: Side, stopped: &Deletions) -> String {
        let limits = [
            self.objects.map(|objects| format!("{objects} objects")),
            self.percent.map(|percent| format!("{percent} percent")),
        ];
        let limits: Vec<_> = limits.into_iter().flatten().collect();
        let limits = limits.join(" or ");
        let Deletions {
            deletions,
            lately,
            total,
        } = stopped;
        let lately = match lately {
            0 => String::new(),
            lately => format!(", after {lately} in the half hour before"),
        };
        match side {
            Side::Accounts => format!(
                "{deletions} of {total} accounts are gone from the directory or from the scope{lately}, \
                 which is more than the deletion threshold of {limits}: none was deleted at the \
                 server. If that is meant, run `latchkey-sync threshold confirm accounts`; if not, put \
                 them back"
            ),
            Side::Keys => format!(
                "{deletions} of {total} keys are to be taken out of the directory{lately}, which is \
                 more than the deletion threshold of {limits}: none was. If that is meant, run \
                 `latchkey-sync threshold confirm keys`"
            ),
            Side::Lost => format!(
                "{deletions} of {total} keys are missing in the directory{lately}, and nobody asked for \
                 that, which is more than the deletion threshold of {limits}: none counts as revoked. \
                 If a domain controller was put back from a backup, wait for replication; if they are \
                 to be gone, run `latchkey-sync threshold confirm lost` and `latchkey-sync scheduler \
                 start`"
            ),
        }
    }
}

/// What is stopped.
///
/// # Errors
/// When the file cannot be read.
pub fn is_stopped(folder: &Folder, side: Side) -> anyhow::Result<Option<Deletions>> {
    let all: Stopped = folder.read(STOPPED_FILE)?.unwrap_or_default();
    Ok(*all.of(side))
}

/// Notes what is stopped.
///
/// # Errors
/// When the file cannot be written.
pub fn stopped(folder: &Folder, side: Side, stopped: Deletions) -> anyhow::Result<()> {
    let mut all: Stopped = folder.read(STOPPED_FILE)?.unwrap_or_default();
    if all.of(side) != &Some(stopped) {
        *all.of_mut(side) = Some(stopped);
        folder.write(STOPPED_FILE, &all)?;
    }
    Ok(())
}

/// Nothing is stopped any more. Of what was confirmed, so many deletions are left to do.
///
/// # Errors
/// When a file cannot be read or written.
pub fn passed(folder: &Folder, side: Side, left: usize) -> anyhow::Result<()> {
    let mut all: Stopped = folder.read(STOPPED_FILE)?.unwrap_or_default();
    if all.of_mut(side).take().is_some() {
        folder.write(STOPPED_FILE, &all)?;
    }
    let mut threshold = Threshold::read(folder)?;
    if *threshold.meant.of(side) > left {
        *threshold.meant.of_mut(side) = left;
        folder.write(FILE, &threshold)?;
    }
    Ok(())
}

type Stopped = Sides<Option<Deletions>>;

/// `threshold`.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Says how many deletions stop, and what was stopped.
    Show {
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Changes how many deletions stop.
    Set(New),
    /// Lets the deletions of one side that were stopped be done.
    Confirm {
        /// Which.
        side: Side,
    },
}

/// What is to be other.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub struct New {
    /// Stop where more than so many would be deleted; `none` for no such limit.
    #[arg(long, value_parser = number_or_none::<u32>)]
    objects: Option<Most<u32>>,
    /// Stop where a larger share would be deleted, 0 to 99 of a hundred; `none` for no such limit.
    #[arg(long, value_parser = percent_or_none)]
    percent: Option<Most<u8>>,
}

#[derive(Debug, Clone, Copy)]
struct Most<T>(Option<T>);

fn number_or_none<T: std::str::FromStr>(word: &str) -> Result<Most<T>, String> {
    match word {
        "none" => Ok(Most(None)),
        word => word
            .parse()
            .map(|number| Most(Some(number)))
            .map_err(|_| "a number, or none".to_owned()),
    }
}

fn percent_or_none(word: &str) -> Result<Most<u8>, String> {
    match number_or_none::<u8>(word) {
        Ok(Most(Some(100..))) => Err("0 to 99, or none".to_owned()),
        other => other,
    }
}

#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    threshold: Threshold,
    stopped: Stopped,
}

/// Does what the verb says; answers what to say.
///
/// # Errors
/// When there is nothing to confirm, or a file cannot be read or written.
pub fn run(config: &Config, verb: Verb) -> anyhow::Result<String> {
    let folder = Folder::open(&config.state)?;
    let mut threshold = Threshold::read(&folder)?;
    match verb {
        Verb::Show { json } => return show(&folder, threshold, json),
        Verb::Set(new) => {
            if let Some(Most(objects)) = new.objects {
                threshold.objects = objects;
            }
            if let Some(Most(percent)) = new.percent {
                threshold.percent = percent;
            }
        }
        Verb::Confirm { side } => {
            let stopped = is_stopped(&folder, side)?.map_or(0, |stopped| stopped.deletions);
            ensure!(
                stopped > 0,
                "nothing is stopped that could be confirmed; to let more go from the start, run \
                 `latchkey-sync threshold set --objects N`"
            );
            *threshold.meant.of_mut(side) = stopped;
        }
    }
    folder.write(FILE, &threshold)?;
    show(&folder, threshold, false)
}

fn show(folder: &Folder, threshold: Threshold, json: bool) -> anyhow::Result<String> {
    let stopped: Stopped = folder.read(STOPPED_FILE)?.unwrap_or_default();
    if json {
        return Ok(serde_json::to_string(&Shown { threshold, stopped })? + "\n");
    }
    let mut said = String::new();
    let any = || "any".to_owned();
    let objects = threshold.objects.map_or_else(any, |n| n.to_string());
    let percent = threshold.percent.map_or_else(any, |n| n.to_string());
    writeln!(said, "objects    {objects}")?;
    writeln!(said, "percent    {percent}")?;
    for (side, what) in [
        (Side::Accounts, "deletions of accounts"),
        (Side::Keys, "removals of keys"),
        (Side::Lost, "losses of keys"),
    ] {
        match (threshold.meant.of(side), stopped.of(side)) {
            (0, Some(stopped)) => {
                writeln!(said, "stopped    {}", threshold.sentence(side, stopped))?;
            }
            (0, None) => {}
            (meant, _) => writeln!(said, "confirmed  {meant} {what}")?,
        }
    }
    Ok(said)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Parts;

    fn going(deletions: usize, lately: usize, total: usize) -> Deletions {
        Deletions {
            deletions,
            lately,
            total,
        }
    }

    #[test]
    fn one_more_than_the_threshold_stops_and_what_went_lately_counts_with_it() {
        let threshold = Threshold::default();
        for side in [Side::Accounts, Side::Keys] {
            assert!(!threshold.stops(side, &going(500, 0, 500)));
            assert!(threshold.stops(side, &going(501, 0, 100_000)));
            assert!(threshold.stops(side, &going(1, 500, 100_000)));
            assert!(!threshold.stops(side, &going(0, 501, 100_000)));
        }
    }

    #[test]
    fn as_many_as_were_confirmed_do_not_count_and_those_on_top_do() {
        let mut threshold = Threshold::default();
        *threshold.meant.of_mut(Side::Keys) = 5000;
        assert!(!threshold.stops(Side::Keys, &going(5000, 501, 100_000)));
        assert!(!threshold.stops(Side::Keys, &going(5500, 0, 100_000)));
        assert!(threshold.stops(Side::Keys, &going(5501, 0, 100_000)));
        assert!(threshold.stops(Side::Accounts, &going(501, 0, 100_000)));
    }

    #[test]
    fn a_share_counts_beside_the_number() {
        let threshold = Threshold {
            objects: None,
            percent: Some(10),
            ..Threshold::default()
        };
        assert!(!threshold.stops(Side::Keys, &going(10, 0, 100)));
        assert!(threshold.stops(Side::Keys, &going(11, 0, 100)));
        assert!(percent_or_none("100").is_err());
        assert!(matches!(percent_or_none("99"), Ok(Most(Some(99)))));
        assert!(matches!(percent_or_none("none"), Ok(Most(None))));
    }

    #[test]
    fn what_was_stopped_is_shown_until_it_passed_and_a_confirmation_lasts_until_it_is_done() {
        let parts = Parts::new("threshold", "");
        let (config, folder) = (&parts.config, &parts.folder);
        let new = New {
            objects: Some(Most(Some(3))),
            percent: None,
        };
        let said = run(config, Verb::Set(new)).unwrap();
        assert!(said.contains("objects    3\n"), "{said}");
        let confirm = |side| run(config, Verb::Confirm { side });
        let refused = confirm(Side::Accounts).unwrap_err().to_string();
        assert!(refused.contains("nothing is stopped"), "{refused}");

        stopped(folder, Side::Accounts, going(4, 2, 9)).unwrap();
        stopped(folder, Side::Keys, going(1500, 0, 2000)).unwrap();
        let said = run(config, Verb::Show { json: false }).unwrap();
        assert!(said.contains("4 of 9 accounts"), "{said}");
        assert!(said.contains("after 2 in the half hour"), "{said}");
        assert!(said.contains("threshold of 3 objects"), "{said}");
        assert!(said.contains("1500 of 2000 keys"), "{said}");
        let said = confirm(Side::Keys).unwrap();
        assert!(said.contains("confirmed  1500 removals of keys"), "{said}");
        assert!(said.contains("4 of 9 accounts"), "still stopped: {said}");
        passed(folder, Side::Keys, 1000).unwrap();
        assert_eq!(is_stopped(folder, Side::Keys).unwrap(), None);
        let after = Threshold::read(folder).unwrap();
        assert_eq!(*after.meant.of(Side::Keys), 1000, "the rest may go later");

        confirm(Side::Accounts).unwrap();
        let confirmed = Threshold::read(folder).unwrap();
        assert!(!confirmed.stops(Side::Accounts, &going(4, 2, 9)));
        passed(folder, Side::Accounts, 0).unwrap();
        let after = Threshold::read(folder).unwrap();
        assert!(after.stops(Side::Accounts, &going(4, 0, 9)));
        assert_eq!(*after.meant.of(Side::Keys), 1000, "keys are another matter");
    }

    #[test]
    fn files_of_before_are_read() {
        let parts = Parts::new("threshold-before", "");
        let old = serde_json::json!({"objects": 7, "percent": null, "confirmed": true});
        parts.folder.write(FILE, &old).unwrap();
        let old = serde_json::json!({"deletions": 8, "total": 9});
        parts.folder.write(STOPPED_FILE, &old).unwrap();
        assert_eq!(Threshold::read(&parts.folder).unwrap().objects, Some(7));
        assert_eq!(is_stopped(&parts.folder, Side::Accounts).unwrap(), None);
    }
}
