//! Who is here: the sessions that are open, and the PIN of each person while one of theirs is unlocked.
//!
//! A ticket ends, and a network comes back, while nobody types a PIN. So a PIN that was right is kept
//! for as long as the person's session lasts, in memory that is neither swapped nor dumped, and wiped
//! at lock, at the end of the person's last session (however its program ends), after a sleep of the
//! machine, after [`LONGEST`], once another PIN is set, and where a policy does not want it kept at all.
//!
//! *Invariant:* a kept PIN opens the very key that it was proven for; after a change of the PIN it is
//! of no use, and costs no try.

mod ffi;
mod known;

use std::{
    collections::HashMap,
    io,
    os::fd::OwnedFd,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use model::UnixTime;
use tokio::sync::{Notify, oneshot};
use tpm::UserKey;

use crate::{
    daemon::Daemon,
    peer::{Peer, Process},
    reconnect::{Course, Courses},
};
use ffi::Locked;
pub(crate) use ffi::slept;

/// Everybody who is here.
#[derive(Default)]
pub(crate) struct Presence {
    people: Mutex<HashMap<u32, Person>>,
    /// Is told where a ticket may be due earlier than it was.
    changed: Notify,
}

/// One person.
#[derive(Default)]
struct Person {
    sessions: Vec<Session>,
    kept: Option<Kept>,
}

/// One session.
struct Session {
    /// What opened it.
    process: Process,
    /// How many times: one process may open several, such as one greeter's worker.
    open: usize,
    /// Dropped with it, which ends the watch over the process.
    _over: oneshot::Sender<()>,
}

/// A PIN that was right.
pub(crate) struct Kept {
    /// The key that it opens, as it was wrapped then.
    pub(crate) key: UserKey,
    pin: Arc<Locked>,
    until: Instant,
    /// A session must have begun by then; none: one has.
    unless_begun: Option<Instant>,
    courses: Courses,
}

/// What is due.
pub(crate) struct Due {
    /// Whose tickets.
    pub(crate) tickets: Vec<u32>,
    /// Whose primary refresh tokens.
    pub(crate) primaries: Vec<u32>,
    /// When the next of the others is.
    pub(crate) next: Option<UnixTime>,
}

/// What getting a ticket needs.
pub(crate) struct Usable {
    pub(crate) key: UserKey,
    pub(crate) pin: ipc::Secret,
}

impl Presence {
    fn lock(&self) -> MutexGuard<'_, HashMap<u32, Person>> {
        self.people.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a PIN that was right: for the sessions that are open, or for the one that is about to
    /// begin. Without memory that can be locked, nothing is kept.
    pub(crate) fn keep(&self, uid: u32, key: &UserKey, pin: &ipc::Secret, now: Instant) {
        let Ok(pin) = Locked::new(pin.expose().as_bytes()) else {
            tracing::warn!(uid, "no memory can be locked: tickets are not renewed");
            return;
        };
        let mut people = self.lock();
        let person = people.entry(uid).or_default();
        person.kept = Some(Kept {
            key: key.clone(),
            pin: Arc::new(pin),
            until: now + LONGEST,
            unless_begun: person.sessions.is_empty().then(|| now + BEGINNING),
            courses: Courses::default(),
        });
    }

    /// A session has begun. What was kept for it stays. One that is new here is to be watched until
    /// the answer says that it is over.
    pub(crate) fn opened(&self, uid: u32, process: Process) -> Option<oneshot::Receiver<()>> {
        let mut people = self.lock();
        let person = people.entry(uid).or_default();
        let has_room = person.sessions.len() < MOST_SESSIONS;
        let mut known = person.sessions.iter_mut();
        let watch = match known.find(|session| session.process == process) {
            Some(session) => {
                session.open += 1;
                None
            }
            None if !has_room => None,
            None => {
                let (over, watch) = oneshot::channel();
                person.sessions.push(Session {
                    process,
                    open: 1,
                    _over: over,
                });
                Some(watch)
            }
        };
        if let Some(kept) = &mut person.kept {
            kept.unless_begun = None;
        }
        drop(people);
        // From now on a ticket may be due.
        self.changed.notify_one();
        watch
    }

    /// A session is over. With the last one the PIN goes.
    pub(crate) fn closed(&self, uid: u32, process: &Process) {
        self.close(uid, process, 1);
    }

    /// A process has ended, and every session that it had opened.
    pub(crate) fn ended(&self, uid: u32, process: &Process) {
        self.close(uid, process, usize::MAX);
    }

    fn close(&self, uid: u32, process: &Process, how_many: usize) {
        let mut people = self.lock();
        if let Some(person) = people.get_mut(&uid) {
            for session in &mut person.sessions {
                if session.process == *process {
                    session.open = session.open.saturating_sub(how_many);
                }
            }
            person.sessions.retain(|session| session.open > 0);
            let awaited = |kept: &mut Kept| kept.unless_begun.is_some();
            if person.sessions.is_empty() {
                person.kept.take_if(|kept| !awaited(kept));
            }
        }
    }

    /// The person has locked the session, or nobody's PIN is to be kept any more.
    pub(crate) fn wipe(&self, whose: Option<u32>) {
        let mut people = self.lock();
        for (uid, person) in people.iter_mut() {
            if whose.is_none_or(|whose| whose == *uid) {
                person.kept = None;
            }
        }
    }

    /// Wipes what has lapsed; called now and then.
    pub(crate) fn drop_lapsed(&self, now: Instant) {
        let mut people = self.lock();
        for person in people.values_mut() {
            let is_over = |kept: &mut Kept| {
                now >= kept.until || kept.unless_begun.is_some_and(|end| now >= end)
            };
            person.kept.take_if(is_over);
        }
        people.retain(|_, person| person.kept.is_some() || !person.sessions.is_empty());
    }

    /// Has the person a session, or is one about to begin?
    pub(crate) fn is_here(&self, uid: u32) -> bool {
        self.lock().contains_key(&uid)
    }

    /// Is a session of the person's open?
    pub(crate) fn has_session(&self, uid: u32) -> bool {
        let people = self.lock();
        people
            .get(&uid)
            .is_some_and(|person| !person.sessions.is_empty())
    }

    /// Is the PIN of that person kept, and until when has it a ticket?
    pub(crate) fn ticket(&self, uid: u32) -> Option<Option<UnixTime>> {
        let people = self.lock();
        let kept = people.get(&uid)?.kept.as_ref()?;
        Some(kept.courses.ticket.end())
    }

    /// What is due at `now`.
    pub(crate) fn due(&self, now: UnixTime) -> Due {
        let people = self.lock();
        let all = people.iter().filter_map(|(uid, person)| {
            let begun = |kept: &&Kept| kept.unless_begun.is_none();
            Some((*uid, &person.kept.as_ref().filter(begun)?.courses))
        });
        let all: Vec<_> = all.collect();
        let whose = |course: fn(&Courses) -> &Course| {
            let due = all.iter().filter(|(_, all)| course(all).is_due(now));
            due.map(|(uid, _)| *uid).collect()
        };
        let both = all.iter().flat_map(|(_, all)| [&all.ticket, &all.primary]);
        Due {
            tickets: whose(|all| &all.ticket),
            primaries: whose(|all| &all.primary),
            next: both
                .filter(|course| !course.is_due(now))
                .filter_map(Course::due)
                .min(),
        }
    }

    /// What is kept of that person.
    pub(crate) fn usable(&self, uid: u32) -> Option<Usable> {
        let people = self.lock();
        let kept = people.get(&uid)?.kept.as_ref()?;
        let text = kept.pin.text()?;
        Some(Usable {
            key: kept.key.clone(),
            pin: ipc::Secret::new(text),
        })
    }

    /// Changes when tickets are got, of one person or of everybody.
    pub(crate) fn steer(&self, whose: Option<u32>, mut change: impl FnMut(&mut Courses)) {
        let mut people = self.lock();
        for (uid, person) in people.iter_mut() {
            if whose.is_none_or(|whose| whose == *uid)
                && let Some(kept) = &mut person.kept
            {
                change(&mut kept.courses);
            }
        }
        drop(people);
        self.changed.notify_one();
    }

    /// Until something is steered.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }
}

impl Daemon {
    /// Notes a session that the caller has opened, and its end, however that comes.
    pub(crate) fn session_opened(self: &Arc<Self>, uid: u32, peer: &Peer) {
        self.watch_session(uid, peer.process, peer.handle());
        self.note_sessions();
    }

    /// Notes one, and sees its process's end by the handle.
    fn watch_session(self: &Arc<Self>, uid: u32, process: Process, handle: io::Result<OwnedFd>) {
        let ends = match handle.and_then(crate::ffi::awaited) {
            Ok(ends) => ends,
            Err(error) => {
                tracing::warn!(%error, uid, "a session cannot be watched: no PIN is kept for it");
                return;
            }
        };
        let Some(over) = self.presence.opened(uid, process) else {
            return;
        };
        let daemon = Arc::clone(self);
        tokio::spawn(async move {
            tokio::select! {
                // A handle of a process is readable once the process has ended.
                _ = ends.readable() => {
                    daemon.presence.ended(uid, &process);
                    daemon.note_sessions();
                }
                _ = over => {}
            }
        });
    }

    /// A session is over.
    pub(crate) fn session_closed(&self, uid: u32, process: &Process) {
        self.presence.closed(uid, process);
        self.note_sessions();
    }
}

/// The longest that a PIN is kept.
pub(crate) const LONGEST: Duration = Duration::from_secs(12 * 3600);

/// Between a right PIN and the session that it is for.
const BEGINNING: Duration = Duration::from_secs(120);

/// Of one person: more than anybody has.
const MOST_SESSIONS: usize = 256;

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    const ALICE: u32 = 1000;

    fn process(pid: i32) -> Process {
        Process {
            uid: 0,
            pid,
            start: 7,
        }
    }

    pub(crate) fn key() -> UserKey {
        let key = serde_json::json!({
            "version": 2,
            "device": "fceee2df-8091-45de-a791-057f1d1abdcc",
            "user": "S-1-5-21-1-2-3-1000",
            "parent": "AA==",
            "public": "AA==",
            "private": "AA==",
            "pending": null,
            "nv_public": "AA==",
            "recovery_public": "AA==",
        });
        serde_json::from_value(key).unwrap()
    }

    fn kept(now: Instant) -> Presence {
        let presence = Presence::default();
        presence.keep(ALICE, &key(), &ipc::Secret::new("161803".into()), now);
        presence
    }

    fn is_kept(presence: &Presence) -> bool {
        presence
            .usable(ALICE)
            .is_some_and(|usable| usable.pin.expose() == "161803")
    }

    #[test]
    fn a_pin_goes_with_the_last_session() {
        let now = Instant::now();
        let presence = kept(now);
        presence.opened(ALICE, process(1));
        presence.opened(ALICE, process(2));
        presence.drop_lapsed(now + BEGINNING);
        presence.closed(ALICE, &process(1));
        presence.closed(ALICE, &process(3));
        assert!(is_kept(&presence));
        presence.closed(ALICE, &process(2));
        assert!(!is_kept(&presence));
    }

    #[test]
    fn a_session_is_watched_once_and_until_it_is_over() {
        let presence = Presence::default();
        let mut over = presence.opened(ALICE, process(1)).unwrap();
        assert!(presence.opened(ALICE, process(1)).is_none());
        presence.closed(ALICE, &process(2));
        assert_eq!(over.try_recv(), Err(oneshot::error::TryRecvError::Empty));
        presence.closed(ALICE, &process(1));
        presence.closed(ALICE, &process(1));
        assert_eq!(over.try_recv(), Err(oneshot::error::TryRecvError::Closed));
        assert!(presence.opened(ALICE, process(1)).is_some());
    }

    #[test]
    fn a_process_that_opened_two_sessions_closes_two_or_ends_both() {
        let now = Instant::now();
        for ends in [false, true] {
            let presence = kept(now);
            presence.opened(ALICE, process(1));
            presence.opened(ALICE, process(1));
            if !ends {
                presence.closed(ALICE, &process(1));
                assert!(is_kept(&presence));
                presence.closed(ALICE, &process(1));
            } else {
                presence.ended(ALICE, &process(1));
            }
            assert!(!is_kept(&presence));
        }
    }

    #[test]
    fn a_primary_refresh_token_that_was_not_got_is_due_again_by_itself_and_no_ticket_with_it() {
        let (start, now) = (Instant::now(), UnixTime(1_700_000_000));
        let presence = kept(start);
        let due = |after: i64| {
            let due = presence.due(now.plus(after));
            (
                due.tickets,
                due.primaries,
                due.next.map(|next| next.0 - now.0),
            )
        };
        presence.steer(Some(ALICE), |courses| {
            courses.ticket.got(now.plus(36_000), now)
        });
        presence.steer(Some(ALICE), |courses| courses.primary.failed(now));
        // The session has not begun.
        assert_eq!(due(5), (vec![], vec![], None));
        presence.opened(ALICE, process(1));
        assert_eq!(due(4), (vec![], vec![], Some(5)));
        assert_eq!(due(5), (vec![], vec![ALICE], Some(27_000)));
        // One at a time, and later the next time.
        presence.steer(Some(ALICE), |courses| courses.primary.begun());
        assert_eq!(due(5), (vec![], vec![], Some(27_000)));
        presence.steer(None, |courses| courses.primary.failed(now));
        assert_eq!(due(5), (vec![], vec![], Some(10)));
        presence.steer(None, |courses| courses.primary.network_changed(now));
        assert_eq!(due(1), (vec![], vec![ALICE], Some(27_000)));
        presence.steer(None, |courses| courses.primary = Course::default());
        assert_eq!(due(26_999), (vec![], vec![], Some(27_000)));
        presence.steer(None, |courses| courses.primary.failed(now));
        presence.wipe(Some(ALICE));
        assert_eq!(due(5), (vec![], vec![], None));
    }

    #[test]
    fn a_pin_goes_where_no_session_begins() {
        let now = Instant::now();
        let presence = kept(now);
        presence.drop_lapsed(now + BEGINNING - Duration::from_secs(1));
        assert!(is_kept(&presence));
        presence.drop_lapsed(now + BEGINNING);
        assert!(!is_kept(&presence));
    }

    #[test]
    fn a_pin_goes_at_lock_and_after_its_longest_time_and_comes_with_the_next_unlock() {
        let now = Instant::now();
        let presence = kept(now);
        presence.opened(ALICE, process(1));
        presence.wipe(Some(ALICE + 1));
        assert!(is_kept(&presence));
        presence.wipe(Some(ALICE));
        assert!(!is_kept(&presence));
        presence.keep(ALICE, &key(), &ipc::Secret::new("161803".into()), now);
        presence.drop_lapsed(now + LONGEST - Duration::from_secs(1));
        assert!(is_kept(&presence));
        presence.drop_lapsed(now + LONGEST);
        assert!(!is_kept(&presence));
    }
}
