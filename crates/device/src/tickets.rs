//! Tickets: the right to one signature, for one process, for half a minute.
//!
//! What must hold: a ticket is used at most once, by the process it was given to (process id,
//! start time and uid), before it lapses. What it carries is dropped, and so wiped, with it.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use tokio::sync::oneshot::Receiver;

use crate::peer::Process;

/// How long a ticket lives.
pub(crate) const LIFETIME: Duration = Duration::from_secs(30);

/// The most open tickets of one user: a process that never signs must not fill the memory.
const MAX_PER_USER: usize = 16;

struct Ticket<T> {
    process: Process,
    until: Instant,
    right: T,
}

/// A right that a login helper will ask for, and where it comes once the PIN is proven.
struct Expected<T> {
    until: Instant,
    right: Receiver<T>,
}

/// All open tickets, and the rights that login helpers are expected to fetch. `T` is the right to
/// one signature.
pub struct Tickets<T> {
    open: HashMap<String, Ticket<T>>,
    expected: HashMap<Process, Expected<T>>,
}

impl<T> Default for Tickets<T> {
    fn default() -> Self {
        Self {
            open: HashMap::new(),
            expected: HashMap::new(),
        }
    }
}

impl<T> Tickets<T> {
    /// Issues a ticket under the random name `name`. The user's own oldest one makes room.
    pub fn issue(&mut self, name: String, process: Process, right: T, now: Instant) {
        self.drop_lapsed(now);
        let mut own: Vec<_> = self
            .open
            .iter()
            .filter(|(_, ticket)| ticket.process.uid == process.uid)
            .map(|(name, ticket)| (ticket.until, name.clone()))
            .collect();
        if own.len() >= MAX_PER_USER {
            own.sort();
            if let Some((_, oldest)) = own.first() {
                self.open.remove(oldest);
            }
        }
        let until = now + LIFETIME;
        let ticket = Ticket {
            process,
            until,
            right,
        };
        self.open.insert(name, ticket);
    }

    /// Uses the ticket up. A foreign or lapsed one brings nothing; a foreign try leaves the
    /// owner's ticket as it is.
    pub fn redeem(&mut self, name: &str, process: &Process, now: Instant) -> Option<T> {
        self.drop_lapsed(now);
        if self.open.get(name)?.process != *process {
            return None;
        }
        self.open.remove(name).map(|ticket| ticket.right)
    }

    /// Expects a process that the daemon has started to ask without a PIN for what comes in `right`.
    pub fn expect(&mut self, process: Process, right: Receiver<T>, now: Instant) {
        self.drop_lapsed(now);
        let until = now + LIFETIME;
        self.expected.insert(process, Expected { until, right });
    }

    /// Hands its process the place where the right comes, once. What is dropped there never comes.
    pub fn fetch(&mut self, process: &Process, now: Instant) -> Option<Receiver<T>> {
        self.drop_lapsed(now);
        self.expected.remove(process).map(|expected| expected.right)
    }

    /// Is this process expected to ask?
    pub fn is_expected(&self, process: &Process, now: Instant) -> bool {
        self.expected
            .get(process)
            .is_some_and(|expected| now < expected.until)
    }

    /// Has this process the right to a signature, or is it to fetch one?
    pub fn may_sign(&self, process: &Process, now: Instant) -> bool {
        let mut open = self.open.values();
        self.is_expected(process, now)
            || open.any(|ticket| ticket.process == *process && now < ticket.until)
    }

    /// Takes back whatever the process has not used.
    pub fn revoke(&mut self, process: &Process) {
        self.expected.remove(process);
        self.open.retain(|_, ticket| ticket.process != *process);
    }

    /// Drops what has lapsed; called now and then, so that nothing outlives its time in memory.
    pub fn drop_lapsed(&mut self, now: Instant) {
        self.open.retain(|_, ticket| now < ticket.until);
        self.expected.retain(|_, expected| now < expected.until);
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    fn process(pid: i32) -> Process {
        Process {
            uid: 1000,
            pid,
            start: 7,
        }
    }

    #[test]
    fn a_ticket_is_good_once() {
        let now = Instant::now();
        let mut tickets = Tickets::default();
        tickets.issue("a".into(), process(1), 5, now);
        assert_eq!(tickets.redeem("a", &process(1), now), Some(5));
        assert_eq!(tickets.redeem("a", &process(1), now), None);
    }

    #[test]
    fn a_ticket_is_good_for_its_process_only() {
        let now = Instant::now();
        let mut tickets = Tickets::default();
        tickets.issue("a".into(), process(1), 5, now);
        let reborn = Process {
            start: 8,
            ..process(1)
        };
        let other_user = Process {
            uid: 1001,
            ..process(1)
        };
        for thief in [process(2), reborn, other_user] {
            assert_eq!(tickets.redeem("a", &thief, now), None, "{thief:?}");
        }
        assert_eq!(tickets.redeem("a", &process(1), now), Some(5));
    }

    #[test]
    fn a_ticket_lapses() {
        let now = Instant::now();
        let mut tickets = Tickets::default();
        tickets.issue("a".into(), process(1), 5, now);
        assert_eq!(tickets.redeem("a", &process(1), now + LIFETIME), None);
    }

    #[test]
    fn an_expected_process_gets_its_right_once_and_nobody_else_does() {
        let now = Instant::now();
        let mut tickets = Tickets::default();
        let (give, right) = oneshot::channel();
        tickets.expect(process(1), right, now);
        assert!(!tickets.is_expected(&process(2), now));
        assert!(tickets.fetch(&process(2), now).is_none());
        assert!(tickets.is_expected(&process(1), now));
        let mut right = tickets.fetch(&process(1), now).unwrap();
        assert!(right.try_recv().is_err());
        give.send(5).unwrap();
        assert_eq!(right.try_recv(), Ok(5));
        assert!(tickets.fetch(&process(1), now).is_none());
    }

    #[test]
    fn a_right_that_is_not_fetched_in_time_is_gone() {
        let now = Instant::now();
        let mut tickets = Tickets::default();
        let (give, right) = oneshot::channel::<u8>();
        tickets.expect(process(1), right, now);
        assert!(!tickets.is_expected(&process(1), now + LIFETIME));
        tickets.drop_lapsed(now + LIFETIME);
        assert!(give.is_closed());
    }

    #[test]
    fn what_a_process_did_not_use_can_be_taken_back() {
        let now = Instant::now();
        let mut tickets = Tickets::default();
        let (give, right) = oneshot::channel();
        tickets.expect(process(1), right, now);
        tickets.issue("a".into(), process(1), 6, now);
        tickets.issue("b".into(), process(2), 7, now);
        tickets.revoke(&process(1));
        assert!(give.is_closed());
        assert!(tickets.fetch(&process(1), now).is_none());
        assert_eq!(tickets.redeem("a", &process(1), now), None);
        assert_eq!(tickets.redeem("b", &process(2), now), Some(7));
    }

    #[test]
    fn a_user_s_oldest_ticket_makes_room() {
        let now = Instant::now();
        let mut tickets = Tickets::default();
        for n in 0..=MAX_PER_USER {
            let at = now + Duration::from_millis(n as u64);
            tickets.issue(n.to_string(), process(1), n, at);
        }
        assert_eq!(tickets.redeem("0", &process(1), now), None);
        assert_eq!(tickets.redeem("1", &process(1), now), Some(1));
    }
}
