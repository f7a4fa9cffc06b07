//! Another PIN for whoever has forgotten theirs: for the key that is there, or with a new key.
//!
//! What must hold: either way the person gives both factors to the server first, on this device. The
//! key that is there takes a PIN from nobody but the holder of its recovery key K, which is fixed when
//! a key is made; so what can be done for one key does not follow from what policy wants today.

use std::sync::Arc;

use ipc::{CanReset, EnrollAnswer, PinReset};
use model::Secret;
use policy::merge::Effective;
use tpm::Permit;

use super::Kept;
use crate::{
    Error,
    credential::Credential,
    daemon::{Daemon, now},
    enroll::{self, Purpose},
    error::refused,
    events::{Event, Id},
    key_storage::KeyStorage,
    peer::Peer,
    policies::Subject,
    recovery::Authority,
};

/// Begins one.
pub(crate) async fn start(
    daemon: &Arc<Daemon>,
    peer: &Peer,
    args: PinReset,
) -> Result<EnrollAnswer, Error> {
    let credential = daemon.present_credential(peer.process.uid).await?;
    if args.new_key {
        return enroll::begin(daemon, peer, Purpose::NewKey).await;
    }
    daemon.identity.joined()?;
    daemon.recoverable(&credential).ok_or_else(|| {
        refused(
            "not_recoverable",
            "The PIN of this key cannot be reset: that was off when the key was made. \
             `latchkey pin reset --new-key` makes another key.",
        )
    })?;
    daemon.allow_sign_in(&credential.sid, false)?;
    enroll::begin(daemon, peer, Purpose::NewPin).await
}

impl Daemon {
    /// How a forgotten PIN of this very key can be replaced now.
    pub(crate) fn can_reset(&self, credential: &Credential) -> CanReset {
        let in_force = self
            .policies
            .in_force(&Subject::Person(credential.sid.clone()));
        let software = self.chip.storage() == KeyStorage::Software;
        let may_enroll = |effective: &Effective| {
            effective.provision().is_allowed() && !(software && effective.requires_hardware())
        };
        let joined = self.identity.joined().is_ok();
        let destructive = joined && in_force.effective().as_ref().is_some_and(may_enroll);
        match (destructive, self.recoverable(credential).is_some()) {
            (true, true) => CanReset::DestructiveAndNonDestructive,
            (true, false) => CanReset::DestructiveOnly,
            (false, true) => CanReset::NonDestructiveOnly,
            (false, false) => CanReset::Unknown,
        }
    }

    /// The id of a key that the server's K may give another PIN. The server gives its word for keys
    /// that were shown to be in a TPM, and a program shows nothing.
    pub(crate) fn recoverable(&self, credential: &Credential) -> Option<String> {
        let (_, joined) = self.identity.joined().ok()?;
        let known = &joined.recovery_public;
        let by_k = !known.is_empty() && credential.key.recovery_public() == known;
        if !by_k || self.chip.storage() == KeyStorage::Software {
            return None;
        }
        credential.state.kid().map(str::to_owned)
    }

    /// Gives the key of a credential another PIN, by the word of K for the bearer's user.
    pub(crate) async fn recover_pin(
        self: &Arc<Self>,
        credential: &Credential,
        bearer: Secret<String>,
        pin: Secret<String>,
    ) -> Result<(), Error> {
        let outcome = self.recover(credential.clone(), bearer, pin).await;
        self.events.tell(&match &outcome {
            Ok(()) => Event::about(Id::PinRecovered, credential),
            Err(error) => Event::about(Id::PinNotRecovered, credential).because(&error.failure()),
        });
        outcome
    }

    async fn recover(
        self: &Arc<Self>,
        credential: Credential,
        bearer: Secret<String>,
        pin: Secret<String>,
    ) -> Result<(), Error> {
        let lost = || refused("not_recoverable", "The key cannot be reset any more.");
        let kid = self.recoverable(&credential).ok_or_else(lost)?;
        let server = self.server()?;
        let authority = Authority {
            client: server.client,
            bearer,
            runtime: tokio::runtime::Handle::current(),
            public: server.joined.recovery_public,
        };
        let (keeper, uid) = (Arc::clone(self), credential.uid);
        // The PINs before it are forgotten with it: nobody can say which they were.
        let kept = Kept {
            set: now(),
            history: None,
        };
        let reset = move |tpm: &mut tpm::Tpm| {
            let value = credential.value(&pin)?;
            let mut sign = |permit: &Permit<'_>| authority.allow_reset(&kid, permit);
            let store = |key: &tpm::UserKey| keeper.store(uid, key, None);
            let key = tpm.reset_pin(&credential.key, &value, &mut sign, store)?;
            keeper.store(uid, &key, Some(kept.clone()))
        };
        self.chip.run(reset).await?;
        self.tries.forget(uid)
    }
}
