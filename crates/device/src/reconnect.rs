//! Tickets without a question: anew before they end, and as soon as the network is back; and the
//! primary refresh token that a server was away for, or had not yet heard enough to give.
//!
//! Only for people whose PIN is kept (`presence`), so only while their session is unlocked. What is
//! waited for are events, a moment that was worked out, or the next try of a row that slows down;
//! nothing is polled. The domain's own no ends it and wipes the PIN: it is asked for again, and then
//! the person reads why. The server's no ends nothing: it knows of accounts and keys by hearsay, later
//! than the domain, and `status` tells it meanwhile.

use std::{io, sync::Arc, time::Duration};

use model::UnixTime;

use crate::{
    Error,
    credential::Credential,
    daemon::{Daemon, now},
    error::refused,
    login::Login,
    network::Network,
    offline::is_unheard,
    presence::Usable,
    renamed::RENAMED,
};

/// When one person's next tickets are got.
#[derive(Default)]
pub(crate) struct Courses {
    pub(crate) ticket: Course,
    /// Due only where the last try has failed: `primary` renews what is held.
    pub(crate) primary: Course,
}

/// When the next one is got.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Course {
    end: Option<UnixTime>,
    due: Option<UnixTime>,
    /// No try was meant to be further away than that.
    furthest_s: i64,
    failures: u32,
}

impl Course {
    /// A ticket was got, good until `end`.
    pub(crate) fn got(&mut self, end: UnixTime, now: UnixTime) {
        let life = end.0.saturating_sub(now.0).max(0);
        // A quarter of its life is left then: time for tries, and for a clock that is a bit off.
        let due = Some(now.plus((life - life / 4).max(LEAST_PAUSE_S)));
        *self = Self {
            end: Some(end),
            due,
            furthest_s: life.max(LEAST_PAUSE_S),
            failures: 0,
        };
    }

    /// A try is under way: none is due until it has an end.
    pub(crate) fn begun(&mut self) {
        self.due = None;
    }

    /// None was got; the next try comes later each time.
    pub(crate) fn failed(&mut self, now: UnixTime) {
        let pause = LEAST_PAUSE_S << self.failures.min(16);
        self.due = Some(now.plus(pause.min(LONGEST_PAUSE_S)));
        self.furthest_s = LONGEST_PAUSE_S;
        self.failures = self.failures.saturating_add(1);
    }

    /// The network has changed: what failed is tried again soon, and as patiently as at first.
    pub(crate) fn network_changed(&mut self, now: UnixTime) {
        if self.failures > 0 {
            self.failures = 1;
            self.due = self.due.min(Some(now.plus(SETTLING_S)));
        }
    }

    /// Until when there is a ticket.
    pub(crate) fn end(&self) -> Option<UnixTime> {
        self.end
    }

    /// Is it due? So it is where the clock was set back, rather than to wait for the old one.
    pub(crate) fn is_due(&self, now: UnixTime) -> bool {
        self.due
            .is_some_and(|due| due <= now || due.0.saturating_sub(now.0) > self.furthest_s)
    }

    /// When it is due; never, before there was a first try.
    pub(crate) fn due(&self) -> Option<UnixTime> {
        self.due
    }
}

/// Keeps tickets for as long as the daemon lives.
pub(crate) async fn keep_tickets(daemon: Arc<Daemon>) {
    let network = Network::watch();
    if let Err(error) = &network {
        tracing::warn!(%error, "the network cannot be watched: tickets are tried for now and then");
    }
    let mut network = network.ok();
    loop {
        let due = daemon.presence.due(now());
        for uid in due.tickets {
            daemon.renew_ticket(uid).await;
        }
        for uid in due.primaries {
            daemon.retry_primary(uid).await;
        }
        let pause = due.next.map_or(IDLE, |next| {
            Duration::from_secs(next.0.saturating_sub(now().0).max(1) as u64).min(IDLE)
        });
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = daemon.presence.changed() => {}
            heard = changed(network.as_ref()) => match heard {
                Ok(()) => daemon.presence.steer(None, |courses| {
                    courses.ticket.network_changed(now());
                    courses.primary.network_changed(now());
                }),
                Err(error) => {
                    tracing::warn!(%error, "the network is not watched any more");
                    network = None;
                }
            },
        }
    }
}

async fn changed(network: Option<&Network>) -> io::Result<()> {
    match network {
        Some(network) => network.changed().await,
        None => std::future::pending().await,
    }
}

impl Daemon {
    /// One person's next ticket, by the PIN that is kept.
    async fn renew_ticket(self: &Arc<Self>, uid: u32) {
        let Some(usable) = self.presence.usable(uid) else {
            return;
        };
        match self.try_ticket(uid, usable).await {
            Ok(Tried::Got(end)) => {
                tracing::info!(uid, "a ticket was got without a question");
                self.presence
                    .steer(Some(uid), |courses| courses.ticket.got(end, now()));
            }
            Ok(Tried::Later) => {
                self.presence
                    .steer(Some(uid), |courses| courses.ticket.failed(now()));
            }
            Ok(Tried::Never(why)) => {
                tracing::warn!(uid, why, "no more tickets without a question");
                self.presence.wipe(Some(uid));
            }
            Err(error) if is_final(&error) => {
                tracing::warn!(uid, %error, "no more tickets without a question");
                self.presence.wipe(Some(uid));
            }
            // The identity service or the TPM is busy with itself.
            Err(error) => {
                tracing::warn!(uid, %error, "no ticket without a question, this time");
                self.presence
                    .steer(Some(uid), |courses| courses.ticket.failed(now()));
            }
        }
    }

    async fn try_ticket(self: &Arc<Self>, uid: u32, usable: Usable) -> Result<Tried, Error> {
        let (Some(account), Some(credential)) =
            (self.account_by_uid(uid).await?, self.credential(uid).await?)
        else {
            return Ok(Tried::Later);
        };
        self.allow_kept_pin(&credential, &usable)?;
        let right = self.try_kept_pin(&credential, &usable.pin).await?;
        self.leaf(credential.clone()).await?;
        let login = Login::begin(self, &account, &credential, PATIENCE)?;
        match self.obtain(&account, &credential, login, right).await? {
            Ok((obtained, _)) => {
                if !self.primaries.is_held(uid) {
                    self.get_primary(credential, usable.pin);
                }
                Ok(Tried::Got(UnixTime(obtained.end as i64)))
            }
            Err(failure) if is_unheard(&failure) || TEMPORARY.contains(&&*failure.code) => {
                Ok(Tried::Later)
            }
            Err(failure) => Ok(Tried::Never(failure.code)),
        }
    }

    /// May the kept PIN be tried with this credential?
    fn allow_kept_pin(&self, credential: &Credential, usable: &Usable) -> Result<(), Error> {
        // Another key, or another PIN: the TPM would count a try with this one as a wrong one.
        if credential.key != usable.key {
            return Err(refused("pin_required", "The credential has changed."));
        }
        self.allow_sign_in(&credential.sid, false)?;
        if !self.keeps_pin(&credential.sid) {
            let sentence = "A policy forbids keeping the PIN.";
            return Err(refused("pin_required", sentence));
        }
        Ok(())
    }

    /// One person's primary refresh token, which could not be got before.
    async fn retry_primary(self: &Arc<Self>, uid: u32) {
        let Some(usable) = self.presence.usable(uid) else {
            return;
        };
        if self.primaries.is_held(uid) {
            return self.primary_came(uid, Ok(true));
        }
        let allowed = async {
            let credential = self.credential(uid).await?;
            if let Some(credential) = &credential {
                self.allow_kept_pin(credential, &usable)?;
            }
            Ok(credential)
        };
        match allowed.await {
            Ok(Some(credential)) => self.get_primary(credential, usable.pin),
            Ok(None) => self.primary_came(uid, Ok(false)),
            Err(error) => self.primary_came(uid, Err(&error)),
        }
    }

    /// Steers by how a try for a primary refresh token has ended: was one got?
    pub(crate) fn primary_came(&self, uid: u32, outcome: Result<bool, &Error>) {
        if let Err(error) = outcome
            && is_final(error)
        {
            tracing::warn!(uid, %error, "no more tickets without a question");
            self.presence.wipe(Some(uid));
        }
        self.presence.steer(Some(uid), |courses| match outcome {
            Ok(true) => courses.primary = Course::default(),
            Ok(false) | Err(_) => courses.primary.failed(now()),
        });
    }
}

/// Whether the same PIN would fail again: it is not the PIN any more, its key does not open, or a
/// policy does not take it.
fn is_final(error: &Error) -> bool {
    match error {
        Error::Tpm(error) => !matches!(error, tpm::Error::Unavailable(_)),
        Error::Refused(failure) => failure.code != "identity_unreachable",
        _ => false,
    }
}

enum Tried {
    Got(UnixTime),
    Later,
    Never(String),
}

/// Failures beside silence that pass by themselves.
const TEMPORARY: [&str; 4] = [
    "clock_skew",
    "kerberos_failed",
    "key_not_in_directory",
    RENAMED,
];

/// For one ticket.
const PATIENCE: Duration = Duration::from_secs(30);

/// Without anything due.
const IDLE: Duration = Duration::from_secs(3600);

const LEAST_PAUSE_S: i64 = 5;
const LONGEST_PAUSE_S: i64 = 15 * 60;

/// An address comes before its routes and the resolver.
const SETTLING_S: i64 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    const T0: UnixTime = UnixTime(1_700_000_000);

    fn due(course: &Course) -> i64 {
        course.due().unwrap().0 - T0.0
    }

    #[test]
    fn a_ticket_is_got_anew_with_a_quarter_of_its_life_left() {
        let mut course = Course::default();
        assert_eq!(course.due(), None);
        for (life, after) in [(36_000, 27_000), (60, 45), (0, 5), (-100, 5)] {
            course.got(T0.plus(life), T0);
            assert_eq!(due(&course), after, "{life}");
        }
    }

    #[test]
    fn tries_slow_down_and_are_quick_again_when_the_network_changes() {
        let mut course = Course::default();
        let mut pauses = Vec::new();
        for _ in 0..40 {
            course.failed(T0);
            pauses.push(due(&course));
        }
        assert_eq!(pauses[..9], [5, 10, 20, 40, 80, 160, 320, 640, 900]);
        assert_eq!(pauses.last(), Some(&900));
        course.network_changed(T0);
        assert_eq!(due(&course), 1);
        course.failed(T0);
        assert_eq!(due(&course), 10);
    }

    #[test]
    fn nothing_waits_for_a_clock_that_was_set_back() {
        let mut course = Course::default();
        assert!(!course.is_due(T0));
        course.got(T0.plus(36_000), T0);
        for (at, is_due) in [
            (0, false),
            (26_999, false),
            (27_000, true),
            // Set back by less than what was left after it.
            (-9_000, false),
            (-9_001, true),
            (-31_536_000, true),
        ] {
            assert_eq!(course.is_due(T0.plus(at)), is_due, "{at}");
        }
        course.failed(T0);
        for (at, is_due) in [(4, false), (5, true), (-895, false), (-896, true)] {
            assert_eq!(course.is_due(T0.plus(at)), is_due, "{at}");
        }
    }

    #[test]
    fn a_change_of_the_network_disturbs_no_ticket_that_is_good() {
        let mut course = Course::default();
        course.network_changed(T0);
        assert_eq!(course.due(), None);
        course.got(T0.plus(36_000), T0);
        course.network_changed(T0);
        assert_eq!(due(&course), 27_000);
    }
}
