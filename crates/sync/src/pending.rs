//! What waits on either side, and why.
//!
//! It is in memory: what is true after a restart, the next comparison finds.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use model::UnixTime;
use serde::{Deserialize, Serialize};

use crate::{
    history::{Connector, utc, word},
    keys::now,
    status::plain,
};

/// The most that is kept by name: what waits beyond is counted.
const MAX: usize = 100_000;

/// The most that is told at once.
const MAX_TOLD: usize = 200;

/// What waits.
#[derive(Default)]
pub struct Pending(Mutex<Board>);

#[derive(Default)]
struct Board {
    waiting: BTreeMap<(Connector, String), Reason>,
}

struct Reason {
    account: Option<String>,
    change: Action,
    since: UnixTime,
    error: Option<(String, String)>,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// The object is to be there as it is on the other side.
    Put,
    /// It is to go.
    Delete,
}

/// One that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// Where it is to be done.
    pub side: Connector,
    /// On what.
    pub object: String,
    /// What people call it, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// What.
    pub change: Action,
    /// Since when.
    pub since: UnixTime,
    /// Why it was not done, if it was tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The same in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// Of what waits, what is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Wanted {
    /// All of it, and not only the first.
    pub all: bool,
    /// What says this, in any case of letters, or has one of the ids as a word.
    pub text: Option<String>,
    /// SIDs or objectGUIDs.
    pub ids: Vec<String>,
}

/// What is told of what waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// The first of them.
    pub waiting: Vec<Waiting>,
    /// How many more there are.
    pub more: usize,
}

impl Pending {
    /// It waits; with the code and words of an error where it was tried. Whether that is news.
    pub fn wait(
        &self,
        side: Connector,
        object: &str,
        change: Action,
        error: Option<(&str, String)>,
    ) -> bool {
        self.wait_as(side, (object, None), change, error)
    }

    /// As [`Pending::wait`], with what people call the object.
    pub fn wait_as(
        &self,
        side: Connector,
        (object, account): (&str, Option<&str>),
        change: Action,
        error: Option<(&str, String)>,
    ) -> bool {
        let mut board = self.board();
        let key = (side, object.to_owned());
        let since = board.waiting.get(&key).map(|reason| reason.since);
        if since.is_none() && board.waiting.len() >= MAX {
            return false;
        }
        let reason = Reason {
            account: account.map(str::to_owned),
            change,
            since: since.unwrap_or_else(now),
            error: error.map(|(code, detail)| (code.to_owned(), detail)),
        };
        board.waiting.insert(key, reason).is_none()
    }

    /// It waits no more.
    pub fn settled(&self, side: Connector, object: &str) {
        let mut board = self.board();
        if !board.waiting.is_empty() {
            board.waiting.remove(&(side, object.to_owned()));
        }
    }

    /// Of the deletions of a side these wait, and no others.
    pub fn keep_deletions(&self, side: Connector, objects: &HashSet<String>) {
        self.keep(side, |object, reason| {
            reason.change != Action::Delete || objects.contains(object)
        });
    }

    /// Of what was only seen on a side these wait, and no others.
    pub fn keep_untried(&self, side: Connector, objects: &HashSet<String>) {
        self.keep(side, |object, reason| {
            reason.error.is_some() || objects.contains(object)
        });
    }

    /// All of a side is compared anew.
    pub fn clear(&self, side: Connector) {
        self.keep(side, |_, _| false);
    }

    fn keep(&self, side: Connector, stays: impl Fn(&String, &Reason) -> bool) {
        let stays = |(of, object): &(Connector, String), reason: &mut Reason| {
            *of != side || stays(object, reason)
        };
        self.board().waiting.retain(stays);
    }

    /// How much waits on a side.
    pub fn count(&self, side: Connector) -> usize {
        let board = self.board();
        board.waiting.keys().filter(|(of, _)| *of == side).count()
    }

    /// What waits and is wanted; what was tried and failed first.
    pub fn told(&self, wanted: &Wanted) -> Told {
        let board = self.board();
        let waiting = |((side, object), reason): (&(Connector, String), &Reason)| Waiting {
            side: *side,
            object: object.clone(),
            account: reason.account.clone(),
            change: reason.change,
            since: reason.since,
            code: reason.error.as_ref().map(|(code, _)| code.clone()),
            detail: reason.error.as_ref().map(|(_, detail)| detail.clone()),
        };
        let rows = |is_failed: bool| {
            let rows = board.waiting.iter();
            rows.filter(move |(_, reason)| reason.error.is_some() == is_failed)
        };
        let most = if wanted.all { MAX } else { MAX_TOLD };
        let mut told = Vec::new();
        let mut more = 0;
        for row in rows(true).chain(rows(false)).map(waiting) {
            match wanted.has(&row) {
                false => {}
                true if told.len() < most => told.push(row),
                true => more += 1,
            }
        }
        Told {
            waiting: told,
            more,
        }
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wanted {
    fn has(&self, row: &Waiting) -> bool {
        let is_about = |id: &String| row.is_about(id);
        let says = |text: &String| row.says(&text.to_lowercase());
        let is_everything = self.text.is_none() && self.ids.is_empty();
        is_everything || self.ids.iter().any(is_about) || self.text.as_ref().is_some_and(says)
    }
}

impl Waiting {
    /// Whether it is about the account with this SID or objectGUID.
    pub fn is_about(&self, id: &str) -> bool {
        let mut words = self.object.split(['/', ' ']);
        words.any(|word| word.eq_ignore_ascii_case(id))
    }

    fn says(&self, lower: &str) -> bool {
        let texts = [
            Some(&self.object),
            self.account.as_ref(),
            self.detail.as_ref(),
        ];
        let mut texts = texts.into_iter().flatten();
        texts.any(|text| text.to_lowercase().contains(lower))
    }
}

impl Told {
    /// One line for each.
    pub fn said(&self) -> String {
        let line = |waiting: &Waiting| {
            let code = waiting.code.as_deref().unwrap_or("");
            let detail = waiting.detail.as_deref().unwrap_or("");
            let (side, change) = (word(&waiting.side), word(&waiting.change));
            let since = utc(waiting.since);
            let account = waiting.account.as_ref();
            let account = account.map_or_else(String::new, |account| format!(" ({account})"));
            let line = format!(
                "{side:6}  {change:6}  {}{account}  since {since}  {code}  {detail}",
                waiting.object
            );
            plain(line.trim_end()) + "\n"
        };
        let mut said: String = self.waiting.iter().map(line).collect();
        match (self.waiting.len(), self.more) {
            (0, _) => said += "Nothing waits.\n",
            (_, 0) => {}
            (_, more) => said += &format!("… and {more} more\n"),
        }
        said
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_tried_is_told_first_and_what_is_settled_no_more() {
        let pending = Pending::default();
        pending.wait(Connector::Server, "/Users/1", Action::Put, None);
        let deletion = |side, object| pending.wait(side, object, Action::Delete, None);
        assert!(deletion(Connector::Directory, "alice 1"));
        assert!(deletion(Connector::Server, "/Users/9"));
        assert!(!deletion(Connector::Server, "/Users/9"), "no news");
        pending.keep_deletions(Connector::Server, &HashSet::new());
        pending.wait(Connector::Directory, "bob 2", Action::Put, None);
        pending.keep_untried(Connector::Directory, &HashSet::from(["alice 1".to_owned()]));
        let error = Some(("conflict", "another has the name".to_owned()));
        pending.wait(Connector::Server, "/Users/2", Action::Put, error);
        let objects = |told: Told| {
            let objects = told.waiting.into_iter().map(|waiting| waiting.object);
            objects.collect::<Vec<_>>()
        };
        let all = Wanted::default();
        assert_eq!(
            objects(pending.told(&all)),
            ["/Users/2", "alice 1", "/Users/1"]
        );
        pending.settled(Connector::Server, "/Users/2");
        pending.settled(Connector::Server, "/Users/3");
        pending.clear(Connector::Directory);
        assert_eq!(objects(pending.told(&all)), ["/Users/1"]);
        assert_eq!(pending.count(Connector::Server), 1);
        assert_eq!(pending.count(Connector::Directory), 0);
    }

    #[test]
    fn much_that_waits_is_told_in_part() {
        let pending = Pending::default();
        for number in 0..MAX_TOLD + 7 {
            pending.wait(Connector::Server, &number.to_string(), Action::Put, None);
        }
        let mut wanted = Wanted::default();
        let told = pending.told(&wanted);
        assert_eq!((told.waiting.len(), told.more), (MAX_TOLD, 7));
        assert!(told.said().ends_with("… and 7 more\n"));
        wanted.all = true;
        let told = pending.told(&wanted);
        assert_eq!((told.waiting.len(), told.more), (MAX_TOLD + 7, 0));
        let nothing = Pending::default().told(&wanted);
        assert_eq!(nothing.said(), "Nothing waits.\n");
    }

    #[test]
    fn what_waits_is_found_by_the_account_its_sid_and_its_guid() {
        let pending = Pending::default();
        let up = |object, account| {
            pending.wait_as(Connector::Server, (object, account), Action::Put, None);
        };
        up("/Users/aa-1", Some("Alice@corp.test"));
        up("/Users/aa-11", None);
        for object in ["key K of S-1-5-21-1", "key K of S-1-5-21-11"] {
            pending.wait(Connector::Directory, object, Action::Put, None);
        }
        let found = |text: Option<&str>, ids: &[&str]| {
            let wanted = Wanted {
                all: false,
                text: text.map(str::to_owned),
                ids: ids.iter().map(|id| (*id).to_owned()).collect(),
            };
            let rows = pending.told(&wanted).waiting.into_iter();
            rows.map(|row| row.object).collect::<Vec<_>>()
        };
        assert_eq!(found(Some("aLICE"), &[]), ["/Users/aa-1"]);
        assert_eq!(
            found(None, &["S-1-5-21-1", "AA-1"]),
            ["key K of S-1-5-21-1", "/Users/aa-1"]
        );
        assert_eq!(found(Some("nobody"), &[]), [""; 0]);
        let said = pending.told(&Wanted::default()).said();
        assert!(
            said.contains("/Users/aa-1 (Alice@corp.test)  since"),
            "{said}"
        );
    }
}
