//! How many deletions at once are more than anybody can have meant.
//!
//! Whoever is about to delete counts first, and asks here before the first deletion. An
//! administrator who meant it confirms it, for one run and one side: who looked at the accounts that
//! are to go has not looked at keys.

use std::fmt::Write;

use clap::{Args, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};

use crate::{config::Config, state::Folder};

/// The file's name.
pub const FILE: &str = "threshold.json";

/// Where it says what was stopped last.
pub const STOPPED_FILE: &str = "stopped.json";

/// The number under which Entra Connect writes the same into its event log.
pub const EVENT: u32 = 116;

/// More deletions than this stop before the first of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Threshold {
    /// So many objects; none: any number.
    pub objects: Option<u32>,
    /// So many of a hundred; none: any share.
    pub percent: Option<u8>,
    /// An administrator has confirmed the next removals of keys, whatever their number.
    pub confirmed: bool,
    /// The same of accounts at the server.
    pub confirmed_accounts: bool,
}

/// Which deletions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Side {
    /// Of accounts at the server.
    Accounts,
    /// Of keys in AD.
    Keys,
}

impl Default for Threshold {
    fn default() -> Self {
        Self {
            objects: Some(500),
            percent: None,
            confirmed: false,
            confirmed_accounts: false,
        }
    }
}

impl Threshold {
    /// Whether so many removals of keys out of `total` are too many.
    pub fn stops(&self, deletions: usize, total: usize) -> bool {
        !self.confirmed && self.are_many(deletions, total)
    }

    /// Whether so many deletions of accounts out of `total` are too many.
    pub fn stops_accounts(&self, deletions: usize, total: usize) -> bool {
        !self.confirmed_accounts && self.are_many(deletions, total)
    }

    fn are_many(&self, deletions: usize, total: usize) -> bool {
        let objects = self.objects.is_some_and(|most| deletions > most as usize);
        let percent = self
            .percent
            .is_some_and(|most| deletions * 100 > total * usize::from(most));
        objects || percent
    }

    /// What an administrator reads of it.
    pub fn sentence(&self, stopped: &Stopped) -> String {
        let limits = [
            self.objects.map(|objects| format!("{objects} objects")),
            self.percent.map(|percent| format!("{percent} percent")),
        ];
        let limits: Vec<_> = limits.into_iter().flatten().collect();
        format!(
            "{} of {} accounts are gone from the directory or from the scope, which is more than the \
             deletion threshold of {}: none was deleted at the server. If that is meant, run \
             `latchkey-sync threshold confirm accounts`; if not, put them back",
            stopped.deletions,
            stopped.total,
            limits.join(" and ")
        )
    }
}

/// What was to be deleted, and was not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopped {
    /// So many accounts.
    pub deletions: usize,
    /// Of so many.
    pub total: usize,
}

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
    /// Lets the next deletions of one side be done whatever their number, once.
    Confirm {
        /// Which.
        side: Side,
    },
}

/// What is to be other.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub struct New {
    /// So many objects, or none for any number.
    #[arg(long, value_parser = number_or_none::<u32>)]
    objects: Option<Most<u32>>,
    /// So many of a hundred, or none for any share.
    #[arg(long, value_parser = number_or_none::<u8>)]
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

#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    threshold: Threshold,
    stopped: Option<Stopped>,
}

/// Does what the verb says; answers what to say.
pub fn run(config: &Config, verb: Verb) -> anyhow::Result<String> {
    let folder = Folder::open(&config.state)?;
    let mut threshold: Threshold = folder.read(FILE)?.unwrap_or_default();
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
        Verb::Confirm { side } => match side {
            Side::Accounts => threshold.confirmed_accounts = true,
            Side::Keys => threshold.confirmed = true,
        },
    }
    folder.write(FILE, &threshold)?;
    show(&folder, threshold, false)
}

fn show(folder: &Folder, threshold: Threshold, json: bool) -> anyhow::Result<String> {
    let stopped: Option<Stopped> = folder.read(STOPPED_FILE)?;
    if json {
        return Ok(serde_json::to_string(&Shown { threshold, stopped })? + "\n");
    }
    let mut said = String::new();
    let objects = threshold
        .objects
        .map_or("any".to_owned(), |n| n.to_string());
    let percent = threshold
        .percent
        .map_or("any".to_owned(), |n| n.to_string());
    writeln!(said, "objects    {objects}")?;
    writeln!(said, "percent    {percent}")?;
    for (is_confirmed, what) in [
        (threshold.confirmed_accounts, "deletions of accounts"),
        (threshold.confirmed, "removals of keys"),
    ] {
        if is_confirmed {
            writeln!(
                said,
                "confirmed  the next {what} are done, whatever their number"
            )?;
        }
    }
    if let Some(stopped) = stopped.filter(|_| !threshold.confirmed_accounts) {
        writeln!(said, "stopped    {}", threshold.sentence(&stopped))?;
    }
    Ok(said)
}

/// Accounts were deleted: what was confirmed was confirmed once.
pub fn passed(folder: &Folder) -> anyhow::Result<()> {
    folder.remove(STOPPED_FILE)?;
    let threshold: Threshold = folder.read(FILE)?.unwrap_or_default();
    if threshold.confirmed_accounts {
        let confirmed_accounts = false;
        folder.write(
            FILE,
            &Threshold {
                confirmed_accounts,
                ..threshold
            },
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Parts;

    #[test]
    fn one_more_than_the_threshold_stops_unless_that_side_was_confirmed() {
        let threshold = Threshold::default();
        assert!(!threshold.stops(500, 500) && !threshold.stops_accounts(500, 500));
        assert!(threshold.stops(501, 100_000) && threshold.stops_accounts(501, 100_000));
        let keys = Threshold {
            confirmed: true,
            ..threshold.clone()
        };
        assert!(!keys.stops(501, 100_000) && keys.stops_accounts(501, 100_000));
        let accounts = Threshold {
            confirmed_accounts: true,
            ..threshold
        };
        assert!(accounts.stops(501, 100_000) && !accounts.stops_accounts(501, 100_000));
    }

    #[test]
    fn a_share_counts_beside_the_number() {
        let threshold = Threshold {
            objects: None,
            percent: Some(10),
            ..Threshold::default()
        };
        assert!(!threshold.stops(10, 100));
        assert!(threshold.stops(11, 100));
    }

    #[test]
    fn what_was_stopped_is_shown_until_it_passed_and_confirmed_once() {
        let parts = Parts::new("threshold", "");
        let (config, folder) = (&parts.config, &parts.folder);
        let new = New {
            objects: Some(Most(Some(3))),
            percent: None,
        };
        assert!(
            run(config, Verb::Set(new))
                .unwrap()
                .contains("objects    3\n")
        );
        let stopped = Stopped {
            deletions: 4,
            total: 9,
        };
        folder.write(STOPPED_FILE, &stopped).unwrap();
        let said = run(config, Verb::Show { json: false }).unwrap();
        assert!(said.contains("4 of 9 accounts"), "{said}");
        assert!(said.contains("threshold of 3 objects"), "{said}");
        let confirm = |side| run(config, Verb::Confirm { side }).unwrap();
        let said = confirm(Side::Keys);
        assert!(said.contains("next removals of keys"), "{said}");
        assert!(said.contains("4 of 9 accounts"), "still stopped: {said}");
        let said = confirm(Side::Accounts);
        assert!(said.contains("next deletions of accounts"), "{said}");
        let confirmed: Threshold = folder.read(FILE).unwrap().unwrap();
        assert!(!confirmed.stops_accounts(4, 9));
        passed(folder).unwrap();
        let after: Threshold = folder.read(FILE).unwrap().unwrap();
        assert!(after.stops_accounts(4, 9));
        assert!(!after.stops(4, 9), "keys are another matter");
        assert_eq!(folder.read::<Stopped>(STOPPED_FILE).unwrap(), None);
    }
}
