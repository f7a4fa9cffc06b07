//! The TPM's lockout value, which sets its count of failures back where it refuses everybody's PIN: set by
//! this device, left with the server, and used.
//!
//! What must hold: a value that the TPM found wrong is never tried again, because each such try closes the
//! lockout hierarchy for a day, for the right value too. The value is on disk before the TPM has it, and stays
//! there whatever comes of it: lost, it would be lost for good.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use api::lockout::{LockoutCode, LockoutValue};
use ipc::{TpmUnlock, TpmUnlockAnswer};
use model::{Guid, Secret};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tpm::{Reset, Tpm};
use zeroize::Zeroizing;

use crate::{
    Error,
    chip::Chip,
    daemon::Daemon,
    error::refused,
    events::{Event, Id},
    files,
    peer::Peer,
    text::{self, base64_bytes},
    unlock::secret,
};

/// Where the value is, and who knows it.
pub(crate) struct Lockout {
    value: PathBuf,
    known: PathBuf,
    /// The device has joined, so that there may be somebody to leave the value with.
    joined: Notify,
}

/// What `tpm-lockout.json` holds. Values are known by their SHA-256.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Known {
    /// The server that has it.
    left: Option<Left>,
    /// The last one that the TPM found wrong.
    #[serde(with = "base64_bytes", default)]
    wrong: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Left {
    tenant: Guid,
    #[serde(with = "base64_bytes")]
    value: Vec<u8>,
}

impl Lockout {
    /// In the daemon's folder.
    pub(crate) fn in_folder(folder: &Path) -> Self {
        Self {
            value: folder.join("tpm-lockout.auth"),
            known: folder.join("tpm-lockout.json"),
            joined: Notify::new(),
        }
    }

    /// Sets the TPM's protection against guessing, and closes the way to reset it.
    pub(crate) async fn close(&self, chip: &Arc<Chip>) -> Result<(), Error> {
        if !self.value.exists() && chip.run(|tpm| Ok(tpm.info()?.lockout_auth_set)).await? {
            tracing::warn!(
                "the TPM's lockout value is somebody else's; its limits stay as they are"
            );
            return Ok(());
        }
        let value = files::secret(&self.value)?;
        // Where the TPM has a value by now, an earlier call of ours broke off after setting it.
        let close = move |tpm: &mut Tpm| Ok(tpm.set_dictionary_attack(&value)?);
        match chip.run(close).await? {
            // Whatever was wrong before is right now.
            tpm::Lockout::Taken => self.update(|known| known.wrong.clear()),
            tpm::Lockout::Owned => Ok(()),
        }
    }

    /// The device has joined.
    pub(crate) fn joined(&self) {
        self.joined.notify_one();
    }

    /// The device has left: nobody has the value any more.
    pub(crate) fn left(&self) -> Result<(), Error> {
        self.update(|known| known.left = None)
    }

    /// The value, if this device set one.
    fn value(&self) -> Result<Option<Secret<[u8; 32]>>, Error> {
        match self.value.exists() {
            true => files::secret(&self.value).map(Some),
            false => Ok(None),
        }
    }

    fn known(&self) -> Result<Known, Error> {
        Ok(files::read(&self.known)?.unwrap_or_default())
    }

    fn update(&self, change: impl FnOnce(&mut Known)) -> Result<(), Error> {
        let before = self.known()?;
        let mut known = before.clone();
        change(&mut known);
        match known == before {
            true => Ok(()),
            false => files::write(&self.known, &known),
        }
    }

    fn is_wrong(&self, value: &Secret<[u8; 32]>) -> Result<bool, Error> {
        Ok(self.known()?.wrong == model::sha256(value.expose()))
    }

    /// Uses a value, unless it was wrong before. Did the TPM refuse everybody?
    async fn reset(&self, chip: &Arc<Chip>, value: &Secret<[u8; 32]>) -> Result<bool, Error> {
        if self.is_wrong(value)? {
            return Err(refused(
                WRONG,
                "The TPM of this machine does not take the lockout value that is known here: somebody \
                 has changed it. It is not tried again.",
            ));
        }
        let tried = value.clone();
        let reset = move |tpm: &mut Tpm| {
            let was_locked = tpm.info()?.dictionary_attack.in_lockout;
            Ok((was_locked, tpm.reset_lockout(&tried)?))
        };
        match chip.run(reset).await? {
            (was_locked, Reset::Done) => Ok(was_locked),
            (_, Reset::WrongValue) => {
                let name = model::sha256(value.expose()).to_vec();
                self.update(|known| known.wrong = name)?;
                Err(refused(
                    WRONG,
                    "The TPM of this machine does not take the lockout value that is known here: \
                     somebody has changed it. It is not tried again; the TPM takes no other for a day \
                     now.",
                ))
            }
            (_, Reset::Closed) => Err(refused(
                "lockout_closed",
                "The TPM of this machine was given a wrong lockout value, and takes none for a day from \
                 then. Wait for it, or for the TPM to forget its failures.",
            )),
        }
    }
}

/// Sets the TPM's count of failures back.
pub(crate) async fn unlock(
    daemon: &Arc<Daemon>,
    peer: &Peer,
    args: TpmUnlock,
) -> Result<TpmUnlockAnswer, Error> {
    let by = match &args.code {
        Some(_) => "code",
        None => "root",
    };
    let outcome = match args.code {
        None if !peer.is_root() => {
            return Err(refused(
                "not_allowed",
                "Only root may do this without a code; have an administrator make one.",
            ));
        }
        None => daemon.unlock_by_own_value().await,
        Some(code) => daemon.unlock_by_code(&code).await,
    };
    let told = |id| Event::new(id).with("By", by);
    daemon.events.tell(&match &outcome {
        Ok(was_locked) => told(Id::TpmUnlocked).with("WasLocked", was_locked),
        Err(error) => told(Id::TpmNotUnlocked).because(&error.failure()),
    });
    outcome.map(|was_locked| TpmUnlockAnswer { was_locked })
}

impl Daemon {
    async fn unlock_by_own_value(&self) -> Result<bool, Error> {
        let value = self.lockout.value()?.ok_or_else(|| {
            refused(
                "no_lockout_value",
                "This machine does not have the lockout value of its TPM. Have an administrator make a \
                 code, if the server has it.",
            )
        })?;
        self.lockout.reset(&self.chip, &value).await
    }

    /// The server takes the code, and gives what the device left there. What is here counts first: it is
    /// what was set last.
    async fn unlock_by_code(&self, code: &ipc::Secret) -> Result<bool, Error> {
        let server = self.server()?;
        let bearer = self.bearer(&server).await?;
        let code = LockoutCode { code: secret(code) };
        let given = server.client.lockout(&bearer, &code).await?;
        let given = bytes(&given).ok_or_else(|| {
            refused(
                "server_unfit",
                "The Latchkey server has a lockout value that is none.",
            )
        })?;
        // One try is all there is.
        let own = self.lockout.value()?;
        let value = match own {
            Some(own) if !self.lockout.is_wrong(&own)? => own,
            _ => given,
        };
        let was_locked = self.lockout.reset(&self.chip, &value).await?;
        // It is right, and may have been lost here.
        files::write_bytes(&self.lockout.value, value.expose(), 0o600)?;
        Ok(was_locked)
    }

    /// Leaves the value with the server, where that has not got it yet.
    async fn leave_lockout_value(&self) -> Result<(), Error> {
        let (Ok((_, joined)), Some(value)) = (self.identity.joined(), self.lockout.value()?) else {
            return Ok(());
        };
        let left = Left {
            tenant: joined.tenant,
            value: model::sha256(value.expose()).to_vec(),
        };
        let known = self.lockout.known()?;
        if known.left.as_ref() == Some(&left) || known.wrong == left.value {
            return Ok(());
        }
        let server = self.server()?;
        let bearer = self.bearer(&server).await?;
        let sent = LockoutValue {
            value: Secret::new(text::base64(value.expose())),
        };
        server.client.keep_lockout(&bearer, &sent).await?;
        self.lockout.update(|known| known.left = Some(left))?;
        let event = Event::new(Id::LockoutValueLeft).with("Server", &joined.url);
        self.events.tell(&event);
        Ok(())
    }
}

/// Leaves the value with the server after a join, and at the start where that did not succeed before.
pub(crate) async fn keep_left(daemon: Arc<Daemon>) {
    let mut pause = FIRST_PAUSE;
    loop {
        let joined = daemon.lockout.joined.notified();
        match daemon.leave_lockout_value().await {
            Ok(()) => {
                joined.await;
                pause = FIRST_PAUSE;
            }
            Err(error) => {
                tracing::warn!(%error, "the TPM's lockout value could not be left with the server");
                let again = tokio::time::timeout(pause, joined).await;
                pause = match again {
                    Ok(()) => FIRST_PAUSE,
                    Err(_) => (pause * 2).min(LONGEST_PAUSE),
                };
            }
        }
    }
}

fn bytes(given: &LockoutValue) -> Option<Secret<[u8; 32]>> {
    let bytes = Zeroizing::new(text::from_base64(given.value.expose())?);
    Some(Secret::new(bytes.as_slice().try_into().ok()?))
}

const WRONG: &str = "lockout_value_wrong";

/// Between two tries to leave the value with the server.
const FIRST_PAUSE: Duration = Duration::from_secs(60);
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);
