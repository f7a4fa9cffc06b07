//! Policies of the server: asked for, kept, and answered with what became of them.
//!
//! What must hold: a delivery takes the place of the one before as a whole, or not at all; a server that
//! does not answer takes nothing away. The device holds a poll, so that a change is there at once; whoever
//! signs in cuts it short, because the answer is about other people then.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use api::{
    MAX_WAIT_S,
    policies::{MAX_OUTCOMES, MAX_POLICY_USERS, Policies, PolicyReport, PolicyStatus},
};
use model::Sid;
use policy::merge::{Layer, Outcome, State};
use tokio::{
    sync::Notify,
    time::{Instant, timeout},
};

use super::{
    Subject,
    delivered::{self, Delivered},
};
use crate::{
    Error,
    daemon::{Daemon, now},
    server::Server,
};

/// Whom the server is asked about, and what it was told last.
#[derive(Default)]
pub(super) struct CheckIn {
    /// Whoever came last is first.
    people: Mutex<VecDeque<Sid>>,
    /// Somebody came, or what counts has changed.
    changed: Notify,
    /// One delivery at a time.
    turn: tokio::sync::Mutex<()>,
    told: tokio::sync::Mutex<Option<PolicyStatus>>,
}

impl CheckIn {
    /// Asks about a person from now on; whether it did not before.
    fn add(&self, sid: &Sid) -> bool {
        let mut people = self.people.lock().unwrap_or_else(PoisonError::into_inner);
        let was_there = people.iter().position(|known| known == sid);
        if let Some(place) = was_there {
            people.remove(place);
        }
        people.push_front(sid.clone());
        people.truncate(MAX_POLICY_USERS);
        was_there.is_none()
    }

    fn people(&self) -> Vec<Sid> {
        let people = self.people.lock().unwrap_or_else(PoisonError::into_inner);
        let mut people: Vec<_> = people.iter().cloned().collect();
        // The order says who came last, and is not part of the question.
        people.sort();
        people
    }
}

impl Daemon {
    /// Asks the server once, about a person too who is about to begin something. A failure changes
    /// nothing.
    pub(crate) async fn check_in_for(self: &Arc<Self>, sid: &Sid) {
        if self.identity.joined().is_err() {
            return;
        }
        let is_new = self.policies.check_in.add(sid);
        let outcome = async {
            let server = self.server()?;
            let asked = timeout(PATIENCE, self.ask_for_policies(&server, 0)).await;
            match asked.unwrap_or(Ok(None))? {
                Some(answer) => self.take_policies(&server, answer).await,
                None => Ok(false),
            }
        };
        let came = outcome.await.unwrap_or_else(|error| {
            tracing::debug!(%error, "the server was not asked for policies");
            false
        });
        // The poll that is held does not ask about this person, or about what is there by now.
        if is_new || came {
            self.policies.changed();
        }
    }

    /// Asks for policies, for which the server waits up to `wait_s` while they are the same; what came is
    /// to be taken. May be given up at any moment.
    async fn ask_for_policies(
        &self,
        server: &Server,
        wait_s: u32,
    ) -> Result<Option<(String, Policies)>, Error> {
        let bearer = self.bearer(server).await?;
        let people = self.policies.check_in.people();
        // What cannot be read is asked for as a whole.
        let former = delivered::read(&self.policies.folder).ok().flatten();
        let etag = former.as_ref().map(|former| former.etag.as_str());
        let asked = server.client.policies(&bearer, &people, etag, wait_s);
        Ok(asked.await?)
    }

    /// Keeps what came, and acts on it; whether it was taken.
    async fn take_policies(
        self: &Arc<Self>,
        server: &Server,
        (etag, came): (String, Policies),
    ) -> Result<bool, Error> {
        if came.version != 1 {
            return Err(Error::Bug("policies of a version that is not known"));
        }
        let policies = &self.policies;
        let turn = policies.check_in.turn.lock().await;
        // The device may have left, or joined another server, meanwhile.
        if self.identity.joined()?.1.url != server.joined.url {
            return Ok(false);
        }
        let former = delivered::read(&policies.folder).ok().flatten();
        let next = Delivered::after(former.as_ref(), came, etag, now());
        delivered::write(&policies.folder, &next)?;
        drop(turn);
        tracing::info!(
            device = next.policies.device.len(),
            people = next.policies.users.len(),
            conflicts = next.policies.conflicts.len(),
            "policies of the server came"
        );
        for sid in next.policies.users.keys() {
            self.withdraw(sid).await;
        }
        // What helpers demand of a KDC's certificate is a policy too.
        self.publish_known()?;
        Ok(true)
    }

    /// Tells the server what became of its values, where that is other than it was told last.
    async fn tell_outcomes(&self, server: &Server) -> Result<(), Error> {
        let Some(delivered) = delivered::read(&self.policies.folder)? else {
            return Ok(());
        };
        let mut told = self.policies.check_in.told.lock().await;
        let status = self.policies.status(&delivered);
        if told.as_ref() == Some(&status) {
            return Ok(());
        }
        let bearer = self.bearer(server).await?;
        server.client.tell_policy_status(&bearer, &status).await?;
        *told = Some(status);
        Ok(())
    }

    /// One poll, up to an answer or somebody's word, and what follows from it. `untold` is whether
    /// something may have changed that the server does not know yet.
    async fn poll_once(self: &Arc<Self>, server: &Server, untold: &mut bool) -> Result<(), Error> {
        let came = tokio::select! {
            came = self.ask_for_policies(server, MAX_WAIT_S) => came?,
            () = self.policies.check_in.changed.notified() => {
                *untold = true;
                None
            }
        };
        if let Some(answer) = came {
            *untold |= self.take_policies(server, answer).await?;
        }
        if *untold {
            self.tell_outcomes(server).await?;
            *untold = false;
        }
        Ok(())
    }
}

impl super::Policies {
    /// What became of a delivery, by the group policy of now. Whoever was asked about is in it, because the
    /// tag is of an answer about all of them: with nothing, where no group policy was read.
    fn status(&self, delivered: &Delivered) -> PolicyStatus {
        let subjects = delivered.policies.users.keys().cloned();
        let subjects = [Subject::Computer]
            .into_iter()
            .chain(subjects.map(Subject::Person));
        let mut left = MAX_OUTCOMES;
        let reports = subjects.map(|subject| {
            let mut outcomes = self.outcomes(&subject, delivered).unwrap_or_default();
            outcomes.truncate(left);
            left = left.saturating_sub(outcomes.len());
            let user = subject.person().cloned();
            PolicyReport { user, outcomes }
        });
        PolicyStatus {
            etag: delivered.etag.clone(),
            reports: reports.collect(),
        }
    }

    fn outcomes(&self, subject: &Subject, delivered: &Delivered) -> Option<Vec<Outcome>> {
        let effective = self.in_force(subject).effective()?;
        let person = subject.person();
        let layers = [
            (Layer::UserPolicy, delivered.user(person)),
            (Layer::DevicePolicy, delivered.device(person)),
            (Layer::Tenant, &delivered.policies.tenant),
        ];
        let told = layers
            .into_iter()
            .flat_map(|(layer, values)| effective.outcomes(layer, values));
        let conflicts = delivered.policies.conflicts.iter();
        let conflicts = conflicts
            .filter(|conflict| conflict.user.as_ref() == person)
            .map(|conflict| Outcome {
                loc_uri: conflict.loc_uri.clone(),
                state: State::Conflict,
                by: Some(conflict.policies.join(", ")),
            });
        let mut outcomes: Vec<_> = conflicts.collect();
        for outcome in told {
            let is_told = outcomes
                .iter()
                .any(|other| other.loc_uri == outcome.loc_uri && other.state == State::Conflict);
            if !is_told {
                outcomes.push(outcome);
            }
        }
        Some(outcomes)
    }

    /// What counts has changed by group policy: the server is told.
    pub(super) fn changed(&self) {
        self.check_in.changed.notify_one();
    }
}

/// Holds the poll for as long as the daemon lives, and tells what became of what came.
pub(crate) async fn keep_checked_in(daemon: Arc<Daemon>) {
    if let Err(error) = daemon.ask_about_those_known() {
        tracing::warn!(%error, "whose policies to ask for is not known yet");
    }
    let mut pause = LEAST_PAUSE;
    let mut untold = true;
    // Kept from poll to poll with its connection: a handshake each time is most of an idle day's work.
    let mut kept: Option<Server> = None;
    loop {
        let Ok((_, joined)) = daemon.identity.joined() else {
            kept = None;
            let _ = timeout(NOT_JOINED, daemon.policies.check_in.changed.notified()).await;
            continue;
        };
        kept.take_if(|server| server.joined != joined);
        let begun = Instant::now();
        let outcome = async {
            let server = match kept.take() {
                Some(server) => server,
                None => daemon.server()?,
            };
            daemon.poll_once(kept.insert(server), &mut untold).await
        };
        match outcome.await {
            Ok(()) => {
                pause = LEAST_PAUSE;
                // A server that does not wait is not asked without end.
                if begun.elapsed() < LEAST_TURN {
                    tokio::time::sleep(LEAST_TURN).await;
                }
            }
            Err(error) => {
                tracing::debug!(%error, "the server gives no policies");
                let roused = timeout(pause, daemon.policies.check_in.changed.notified()).await;
                untold |= roused.is_ok();
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

impl Daemon {
    /// Those whom the last delivery was about, and those who have a key here.
    fn ask_about_those_known(&self) -> Result<(), Error> {
        let check_in = &self.policies.check_in;
        let delivered = delivered::read(&self.policies.folder).ok().flatten();
        for sid in delivered.iter().flat_map(|last| last.policies.users.keys()) {
            check_in.add(sid);
        }
        for uid in self.credentials.uids()? {
            if let Some(credential) = self.credentials.read(uid)? {
                check_in.add(&credential.sid);
            }
        }
        Ok(())
    }
}

/// For the server's answer to somebody who waits: one that is away holds no session up.
const PATIENCE: Duration = Duration::from_secs(2);

const LEAST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(15 * 60);

/// Between two polls that were answered at once.
const LEAST_TURN: Duration = Duration::from_millis(500);

/// How often a device that has not joined looks whether it has.
const NOT_JOINED: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    fn sid(n: usize) -> Sid {
        format!("S-1-5-21-1-2-3-{}", 1000 + n).parse().unwrap()
    }

    #[test]
    fn the_server_is_asked_about_those_who_came_last() {
        let check_in = CheckIn::default();
        for n in 0..MAX_POLICY_USERS {
            assert!(check_in.add(&sid(n)));
        }
        assert!(!check_in.add(&sid(0)));
        assert!(check_in.add(&sid(99)));
        let people = check_in.people();
        assert_eq!(people.len(), MAX_POLICY_USERS);
        assert!(people.contains(&sid(0)) && people.contains(&sid(99)));
        assert!(!people.contains(&sid(1)));
        assert!(people.is_sorted());
    }
}
