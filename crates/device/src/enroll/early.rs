//! A key that is made while the person confirms who they are.
//!
//! It has no PIN, so that nobody can use it, and is nowhere but in memory ([`tpm::NewKey`]): whatever
//! becomes of the enrollment, dropping this is all there is to do, and a daemon that dies leaves
//! nothing. It is used where what was settled when it was begun (whom it is for, and who may recover its PIN) is
//! settled so still.

use std::sync::Arc;

use tokio::task::JoinHandle;
use tpm::{Holder, Keeper, NewKey};

use crate::{Error, daemon::Daemon, recovery::Authority, turns::Time};

/// A key that is being made.
pub(super) struct Early(JoinHandle<Result<NewKey, Error>>);

impl Early {
    /// Begins one in the background, as the one thing that the person wants of the TPM until it is made:
    /// also where nobody wants it any more by then.
    pub(super) fn begin(
        daemon: &Arc<Daemon>,
        uid: u32,
        (holder, keeper): (Holder, Keeper),
    ) -> Self {
        let daemon = Arc::clone(daemon);
        Self(tokio::spawn(async move {
            let turn = daemon.turns.take(uid, Time::Chip).await;
            tracing::info!(uid, "a key is begun while its person confirms who they are");
            let make = move |tpm: &mut tpm::Tpm| {
                let _until_made = &turn;
                Ok(tpm.begin_user_key(&holder, &keeper)?)
            };
            daemon.chip.run(make).await
        }))
    }

    /// The key, where it is one for `holder` that `authority` could recover, or nobody.
    pub(super) async fn take(
        mut self,
        holder: &Holder,
        authority: Option<&Authority>,
    ) -> Option<NewKey> {
        let new = match (&mut self.0).await {
            Ok(Ok(new)) => new,
            Ok(Err(error)) => {
                tracing::warn!(%error, "the key that was begun came to nothing");
                return None;
            }
            Err(_) => return None,
        };
        let is_right = new.holder() == *holder
            && new.is_recoverable() == authority.is_some()
            && authority.is_none_or(|server| server.public == new.recovery_public());
        is_right.then_some(new)
    }
}

impl Drop for Early {
    fn drop(&mut self) {
        // What the TPM is making already, it makes to the end, for nobody.
        self.0.abort();
    }
}
