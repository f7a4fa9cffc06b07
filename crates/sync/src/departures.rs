//! Accounts that the directory has no more, until they count as gone.
//!
//! *Invariant:* nothing is taken out while more and more is going. Whoever deletes many accounts
//! does so one by one, over seconds: counted is only what a second look, a while later, finds
//! unchanged, and what went in the half hour before counts with it. Where the directory tells of each
//! deletion, there is such a look every second. Where more goes without end, what went in ten minutes
//! is decided about, so that nobody stays because others go.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use directory::Kind;
use model::Guid;

use crate::threshold::Lately;

/// How long nothing more must have gone.
const SETTLING: Duration = Duration::from_secs(5);
/// How long that is waited for.
const PATIENCE: Duration = Duration::from_secs(10 * 60);

/// The accounts.
#[derive(Debug, Default)]
pub(crate) struct Departures {
    accounts: HashMap<Guid, Kind>,
    /// When there was the first.
    begun: Option<Instant>,
    /// When there was one more.
    grown: Option<Instant>,
    /// Since then nobody has looked through the directory.
    is_unsure: bool,
    /// They were too many, and are to stay.
    stopped: Option<Stop>,
    went: Lately,
}

#[derive(Debug)]
struct Stop {
    count: usize,
    /// What an administrator reads of it.
    why: String,
    /// The server has heard of it.
    is_told: bool,
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
            self.begun = self.begun.or(self.grown);
            // One more does not let those go that were stopped.
            self.is_unsure |= self.are_stopped();
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
        let is_overdue = self.begun.is_some_and(|begun| begun.elapsed() >= PATIENCE);
        self.is_empty() || is_overdue || (!self.is_unsure && self.is_quiet())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.accounts.is_empty()
    }

    /// All of them, to be decided about.
    pub(crate) fn all(&self) -> Vec<(Kind, Guid)> {
        let all = self.accounts.iter();
        all.map(|(guid, kind)| (*kind, *guid)).collect()
    }

    /// It is decided about all of them.
    pub(crate) fn decided(&mut self) {
        self.accounts.clear();
        self.begun = None;
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
    pub(crate) fn stop(&mut self, count: usize, why: String) -> bool {
        let is_news = self.stopped.as_ref().is_none_or(|stop| stop.count != count);
        let is_told = !is_news && self.is_told();
        let stop = Stop {
            count,
            why,
            is_told,
        };
        self.stopped = Some(stop);
        is_news
    }

    /// Why they stay, where they were too many.
    pub(crate) fn why(&self) -> Option<&str> {
        self.stopped.as_ref().map(|stop| stop.why.as_str())
    }

    /// Whether the server has heard of what was stopped.
    pub(crate) fn is_told(&self) -> bool {
        self.stopped.as_ref().is_none_or(|stop| stop.is_told)
    }

    /// The server has heard of it.
    pub(crate) fn tell(&mut self) {
        if let Some(stop) = &mut self.stopped {
            stop.is_told = true;
        }
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
        assert_eq!(departures.all().len(), 2);
        assert!(!departures.is_empty(), "until it is done");
        departures.decided();
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
        let mut stop = |count| departures.stop(count, "too many".to_owned());
        assert!(stop(501));
        assert!(!stop(501), "no news");
        assert!(!departures.is_told());
        departures.tell();
        assert!(!departures.stop(501, String::new()));
        assert!(departures.is_told(), "once");
        assert!(departures.stop(502, String::new()));
        assert!(!departures.is_told(), "of one more");
        departures.went(501, true);
        assert!(!departures.are_stopped());
        assert_eq!(departures.lately(), 0);
    }

    #[test]
    fn one_that_is_told_of_does_not_go_alone_while_others_are_stopped() {
        let mut departures = Departures::default();
        departures.stop(501, String::new());
        departures.told([(Kind::User, guid(1))]);
        departures.grown = Instant::now().checked_sub(SETTLING);
        assert!(!departures.are_settled());
        assert!(departures.wants_a_look(), "which finds the others too");
    }

    #[test]
    fn what_has_waited_long_is_decided_about_though_more_goes() {
        let mut departures = Departures::default();
        departures.told([(Kind::User, guid(1))]);
        departures.begun = Instant::now().checked_sub(PATIENCE);
        departures.see([(Kind::User, guid(2))]);
        assert!(departures.are_settled());
        departures.decided();
        departures.told([(Kind::User, guid(3))]);
        assert!(!departures.are_settled(), "the next ones have their own");
    }
}
