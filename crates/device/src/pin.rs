//! A PIN's life after the enrollment: proven, slowed down, due, changed, reset.
//!
//! What must hold: a PIN that somebody gives is tried by [`Daemon::prove_pin_with`], which counts and
//! slows down, and only one that is kept from a right try by [`Daemon::try_kept_pin`]; a PIN that is due
//! opens nothing but the way to the next one; and none is kept once another has taken its place.

pub(crate) mod history;
pub(crate) mod reset;
pub(crate) mod tries;

use std::sync::Arc;

use ipc::{Done, Failure, PinChange, PinRulesAnswer};
use model::{Sid, UnixTime};
use policy::{PinDue, PinRules, days_left, merge::Effective};
use serde::{Deserialize, Serialize};
use tpm::{Unlocked, UserKey};

use crate::{
    Error,
    credential::Credential,
    daemon::{Daemon, no_credential, now},
    error::refused,
    events::{Event, Id},
    peer::Peer,
    policies::Subject,
    signin::account,
    turns::Time,
    unlock::secret,
};
use history::{History, Tag};

/// What is kept of a PIN that is not the one of the enrollment any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// When it was set.
    pub(crate) set: UnixTime,
    /// Those before it; none where no policy wants to know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) history: Option<History>,
}

/// What a new PIN must be.
pub(crate) async fn rules(
    daemon: &Arc<Daemon>,
    peer: &Peer,
    args: ipc::PinRules,
) -> Result<PinRulesAnswer, Error> {
    let only_root = "Only root may ask for another user.";
    let account = account(daemon, peer, args.user, only_root).await?;
    let sid = daemon.domain_sid(account.uid).await?;
    Ok(PinRulesAnswer {
        rules: daemon.pin_rules(&sid).sentences(),
    })
}

/// Changes a PIN.
pub(crate) async fn change(
    daemon: &Arc<Daemon>,
    peer: &Peer,
    args: PinChange,
) -> Result<Done, Error> {
    let only_root = "Only root may change another user's PIN.";
    let account = account(daemon, peer, args.user, only_root).await?;
    let credential = daemon.present_credential(account.uid).await?;
    // First of all: whoever does not know the PIN learns nothing of those before it.
    let phrase = args.phrase.as_deref();
    let right = daemon
        .prove_pin_with(&credential, &args.old, phrase)
        .await?;
    let credential = Credential {
        key: right.key().clone(),
        ..credential
    };
    let kept = daemon.next(&credential, &args.old, &args.new).await?;
    let (old, new) = (secret(&args.old), secret(&args.new));
    let (keeper, uid) = (Arc::clone(daemon), credential.uid);
    let changed = Event::about(Id::PinChanged, &credential);
    let change = move |tpm: &mut tpm::Tpm| {
        let (old, new) = (credential.value(&old)?, credential.value(&new)?);
        let key = tpm.change_pin(&credential.key, &old, &new, |key| {
            keeper.store(uid, key, None)
        })?;
        // Stored before anybody else has the TPM, lest a later change be overwritten.
        keeper.store(uid, &key, Some(kept.clone()))
    };
    daemon.chip.run(change).await?;
    daemon.events.tell(&changed);
    Ok(Done {})
}

impl Daemon {
    /// Proves a PIN to the TPM, unless wrong ones before it have to be paid for first. One try at a
    /// time: a second connection does not get in between the count and the wait.
    pub(crate) async fn prove_pin_with(
        &self,
        credential: &Credential,
        pin: &ipc::Secret,
        phrase: Option<&str>,
    ) -> Result<Unlocked, Error> {
        let uid = credential.uid;
        let _alone = self.turns.take(uid, Time::Tries).await;
        self.tries.allow(uid, phrase, now())?;
        match self.try_pin(credential, pin, || Ok(())).await {
            Ok(right) => {
                self.tries.forget(uid)?;
                Ok(right)
            }
            Err(error @ Error::Tpm(tpm::Error::WrongPin { tries_left: 1.. })) => {
                let demand = self.tries.wrong(uid, now())?;
                Err(slowed(error, demand))
            }
            Err(error) => Err(error),
        }
    }

    /// Refuses a right PIN that has to be replaced first, by what was in effect when it was tried.
    pub(crate) fn demand_fresh(
        &self,
        credential: &Credential,
        pin: &ipc::Secret,
        effective: Option<&Effective>,
    ) -> Result<(), Error> {
        // Rules that nobody has read make no PIN a wrong one.
        let Some(effective) = effective else {
            return Ok(());
        };
        let (rules, days) = (effective.pin_rules(), effective.pin_expiration_days());
        match PinDue::judge(&rules, days, pin.expose(), age(credential)) {
            None => Ok(()),
            Some(due) => Err(refused(
                "pin_change_required",
                format!("{due} `latchkey pin change` does it."),
            )),
        }
    }

    /// The days until a credential's PIN has to be changed, if ever.
    pub(crate) fn pin_days_left(&self, credential: &Credential) -> Option<u32> {
        let in_force = self
            .policies
            .in_force(&Subject::Person(credential.sid.clone()));
        let days = in_force.effective()?.pin_expiration_days()?;
        Some(days_left(days, age(credential)))
    }

    /// By which rules a PIN is changed: the policy's, as far as one was read.
    pub(crate) fn pin_rules(&self, sid: &Sid) -> PinRules {
        let in_force = self.policies.in_force(&Subject::Person(sid.clone()));
        in_force
            .effective()
            .map_or_else(PinRules::default, |effective| effective.pin_rules())
    }

    /// What is kept once `new` has taken the place of `old`; a refusal where it may not.
    async fn next(
        self: &Arc<Self>,
        credential: &Credential,
        old: &ipc::Secret,
        new: &ipc::Secret,
    ) -> Result<Kept, Error> {
        let rules = self.pin_rules(&credential.sid);
        let before = credential
            .kept
            .as_ref()
            .and_then(|kept| kept.history.clone());
        // The PIN of now is one of those that the policy counts.
        let earlier = rules.history.saturating_sub(1);
        let mut known = None;
        if let Some(history) = before.as_ref().filter(|kept| earlier > 0 && !kept.is_empty())
            // What breaks the rules anyhow is not worth the time.
            && rules.check(new.expose()).is_ok()
        {
            known = Some(self.tag(history, secret(new)).await?);
        }
        let was = |tag: &Tag| before.as_ref().is_some_and(|kept| kept.has(tag, earlier));
        let mut used =
            |text: &str, _: usize| text == old.expose() || known.as_ref().is_some_and(was);
        rules
            .check_new(new.expose(), &mut used)
            .map_err(|refusal| refused("pin_refused", refusal.to_string()))?;
        let history = match earlier {
            0 => None,
            _ => {
                let history = before.map_or_else(History::new, Ok)?;
                let tag = self.tag(&history, secret(old)).await?;
                Some(history.with(tag, earlier))
            }
        };
        Ok(Kept {
            set: now(),
            history,
        })
    }

    /// Keeps a key under another PIN, and with it what is known of the PIN once it is the one. The PIN
    /// that tickets were renewed with is not the one any more.
    fn store(&self, uid: u32, key: &UserKey, kept: Option<Kept>) -> Result<(), Error> {
        self.presence.wipe(Some(uid));
        let change = |credential: &mut Credential| {
            credential.key = key.clone();
            if kept.is_some() {
                credential.kept = kept;
            }
        };
        let stored = self.credentials.update(uid, key.public(), change)?;
        stored.map(drop).ok_or_else(no_credential)
    }
}

/// A wrong PIN, and what the next one waits for.
fn slowed(error: Error, demand: tries::Demand) -> Error {
    if demand.wait_s == 0 {
        return error;
    }
    let failure = error.failure();
    Error::Refused(Failure {
        sentence: format!(
            "{} The next one is taken in {}.",
            failure.sentence,
            tries::duration(demand.wait_s)
        ),
        retry_after_s: Some(demand.wait_s),
        ..failure
    })
}

fn age(credential: &Credential) -> i64 {
    let kept = credential.kept.as_ref();
    let set = kept.map_or(credential.created, |kept| kept.set);
    now().0.saturating_sub(set.0)
}
