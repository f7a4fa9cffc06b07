//! Accounts that the directory has no more, until they count as gone.
//!
//! *Invariant:* nothing is taken out while more and more is going. Whoever deletes many accounts
//! does so one by one, over seconds: counted is only what a second look, a while later, finds
//! unchanged, and what went in the half hour before counts with it. Where the directory tells of each
//! deletion, there is such a look every second.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use directory::Kind;
use model::Guid;

use crate::threshold::Lately;

/// How long nothing more must have gone.
const SETTLING: Duration = Duration::from_secs(5);

/// The accounts.
#[derive(Debug, Default)]
pub(crate) struct Departures {
    accounts: HashMap<Guid, Kind>,
    /// When there was one more.
    grown: Option<Instant>,
    /// Since then nobody has looked through the directory.
    is_unsure: bool,
    /// They were too many, and are to stay.
    stopped: Option<usize>,
    went: Lately,
}

impl Departures {
    /// These are not there.
    pub(crate) fn see(&mut self, missing: impl IntoIterator<Item = (Kind, Guid)>) {
        self.is_unsure |= self.told(missing);
    }

    /// The directory told that these were deleted. Whether that is news.
    pub(crate) fn told(&mut self, gone: impl IntoIterator<Item = (Kind, Guid)>) -> bool {
        let before = self.accounts.len();
        let gone = gone.into_iter().map(|(kind, guid)| (guid, kind));
        self.accounts.extend(gone);
        let is_news = self.accounts.len() > before;
        if is_news {
            self.grown = Some(Instant::now());
        }
        is_news
    }

    /// Who decides next has not looked every second.
    pub(crate) fn doubt(&mut self) {
        self.is_unsure |= !self.are_settled();
    }

    /// The directory is being looked through: what it does not have comes next.
    pub(crate) fn looked(&mut self) {
        self.is_unsure = false;
    }

    /// Whether it is time to look through the directory once more.
    pub(crate) fn wants_a_look(&self) -> bool {
        self.is_unsure && self.is_quiet()
    }

    fn is_quiet(&self) -> bool {
        self.grown.is_none_or(|grown| grown.elapsed() >= SETTLING)
    }

    /// Whether nothing more goes.
    pub(crate) fn are_settled(&self) -> bool {
        self.is_empty() || (!self.is_unsure && self.is_quiet())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.accounts.is_empty()
    }

    /// All of them, to be decided about.
    pub(crate) fn take(&mut self) -> Vec<(Kind, Guid)> {
        let taken = self.accounts.drain();
        taken.map(|(guid, kind)| (kind, guid)).collect()
    }

    /// How many went lately.
    pub(crate) fn lately(&mut self) -> usize {
        self.went.count()
    }

    /// So many went.
    pub(crate) fn went(&mut self, count: usize, is_confirmed: bool) {
        self.stopped = None;
        self.went.went(count, is_confirmed);
    }

    /// They are too many: they stay. Whether that is news.
    pub(crate) fn stop(&mut self, count: usize) -> bool {
        self.stopped.replace(count) != Some(count)
    }

    /// The directory was looked through, and has what was stopped again.
    pub(crate) fn are_back(&mut self) -> bool {
        self.is_empty() && self.stopped.take().is_some()
    }

    pub(crate) fn are_stopped(&self) -> bool {
        self.stopped.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guid(byte: u8) -> Guid {
        Guid::from_le_bytes([byte; 16])
    }

    #[test]
    fn what_goes_is_settled_only_by_a_second_look_that_finds_no_more() {
        let mut departures = Departures::default();
        departures.looked();
        departures.see([(Kind::User, guid(1))]);
        assert!(!departures.are_settled());
        assert!(!departures.wants_a_look(), "not so soon");
        departures.grown = Instant::now().checked_sub(SETTLING);
        assert!(departures.wants_a_look());
        departures.looked();
        departures.see([1, 2].map(|byte| (Kind::User, guid(byte))));
        assert!(!departures.are_settled(), "one more");
        departures.grown = Instant::now().checked_sub(SETTLING);
        departures.looked();
        departures.see([1, 2].map(|byte| (Kind::User, guid(byte))));
        assert!(departures.are_settled());
        assert_eq!(departures.take().len(), 2);
        assert!(departures.is_empty());
    }

    #[test]
    fn what_is_told_is_settled_when_a_while_nothing_more_is() {
        let mut departures = Departures::default();
        departures.told([(Kind::User, guid(1))]);
        assert!(!departures.are_settled());
        departures.doubt();
        departures.grown = Instant::now().checked_sub(SETTLING);
        assert!(departures.wants_a_look(), "a cycle looks only once more");
        departures.looked();
        assert!(departures.are_settled());
        departures.told([(Kind::User, guid(2))]);
        assert!(!departures.are_settled());
        departures.grown = Instant::now().checked_sub(SETTLING);
        assert!(departures.are_settled(), "nobody needs to look");
    }

    #[test]
    fn what_went_lately_counts_until_a_stop_was_confirmed() {
        let mut departures = Departures::default();
        departures.went(3, false);
        assert_eq!(departures.lately(), 3);
        assert!(departures.stop(501));
        assert!(!departures.stop(501), "no news");
        departures.went(501, true);
        assert!(!departures.are_stopped());
        assert_eq!(departures.lately(), 0);
    }
}
