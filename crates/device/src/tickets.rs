//! Tickets: the right to one signature, for one process, for half a minute.
//!
//! What must hold: a ticket is used at most once, by the process it was given to (process id,
//! start time and uid), before it lapses. What it carries is dropped, and so wiped, with it.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

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

/// All open tickets, and the rights that wait for a login helper to fetch them. `T` is the right
/// to one signature.
pub struct Tickets<T> {
    open: HashMap<String, Ticket<T>>,
    waiting: HashMap<Process, Ticket<T>>,
}

impl<T> Default for Tickets<T> {
    fn default() -> Self {
        Self {
            open: HashMap::new(),
            waiting: HashMap::new(),
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

    /// Keeps a right for a process that the daemon has started and that will ask without a PIN.
    pub fn hold(&mut self, process: Process, right: T, now: Instant) {
        self.drop_lapsed(now);
        let until = now + LIFETIME;
        let ticket = Ticket {
            process,
            until,
            right,
        };
        self.waiting.insert(process, ticket);
    }

    /// Hands the kept right to its process, once.
    pub fn fetch(&mut self, process: &Process, now: Instant) -> Option<T> {
        self.drop_lapsed(now);
        self.waiting.remove(process).map(|ticket| ticket.right)
    }

    /// Is a right kept for this process?
    pub fn is_held(&self, process: &Process, now: Instant) -> bool {
        self.waiting
            .get(process)
            .is_some_and(|ticket| now < ticket.until)
    }

    /// Takes back whatever the process has not used.
    pub fn revoke(&mut self, process: &Process) {
        self.waiting.remove(process);
        self.open.retain(|_, ticket| ticket.process != *process);
    }

    /// Drops what has lapsed; called now and then, so that nothing outlives its time in memory.
    pub fn drop_lapsed(&mut self, now: Instant) {
        self.open.retain(|_, ticket| now < ticket.until);
        self.waiting.retain(|_, ticket| now < ticket.until);
    }
}

#[cfg(test)]
mod tests {
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
    fn a_kept_right_goes_to_its_process_once() {
        let now = Instant::now();
        let mut tickets = Tickets::default();
        tickets.hold(process(1), 5, now);
        assert!(!tickets.is_held(&process(2), now));
        assert_eq!(tickets.fetch(&process(2), now), None);
        assert!(tickets.is_held(&process(1), now));
        assert_eq!(tickets.fetch(&process(1), now), Some(5));
        assert_eq!(tickets.fetch(&process(1), now), None);
    }

    #[test]
    fn what_a_process_did_not_use_can_be_taken_back() {
        let now = Instant::now();
        let mut tickets = Tickets::default();
        tickets.hold(process(1), 5, now);
        tickets.issue("a".into(), process(1), 6, now);
        tickets.issue("b".into(), process(2), 7, now);
        tickets.revoke(&process(1));
        assert_eq!(tickets.fetch(&process(1), now), None);
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
