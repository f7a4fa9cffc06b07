//! Credentials: one key of one user on this device, from its making to its removal.

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use api::device::{KeyState, KeyStatus};
use keycred::RsaPublicKey;
use model::{Secret, Sid, UnixTime};
use serde::{Deserialize, Serialize};
use tpm::UserKey;

use crate::{Error, files, pin::Kept, stretch::Stretch, text::base64_bytes};

/// What `credentials/<uid>.json` holds; nothing in it is secret.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credential {
    /// The local uid.
    pub uid: u32,
    /// The account. The uid alone would let a local account inherit the key.
    pub sid: Sid,
    /// The account's principal name, for the certificate.
    pub upn: String,
    /// The account's Kerberos principal.
    pub principal: String,
    /// The key, wrapped by the TPM.
    pub key: UserKey,
    /// How the TPM's value is made of the PIN where the TPM is a program; else it is the PIN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stretch: Option<Stretch>,
    /// When it was made, and its first PIN set.
    pub created: UnixTime,
    /// What is known of the PIN that it has now; none while that is the first.
    #[serde(default, rename = "pin", skip_serializing_if = "Option::is_none")]
    pub kept: Option<Kept>,
    /// Where it is on its way.
    pub state: State,
    /// The user's leaf.
    pub leaf: Option<Leaf>,
}

/// A certificate on the user's key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leaf {
    /// DER.
    #[serde(with = "base64_bytes")]
    pub certificate: Vec<u8>,
    /// SHA-256 of the device root that issued it.
    #[serde(with = "base64_bytes")]
    pub issuer: Vec<u8>,
    /// When it is to be renewed.
    pub renew: UnixTime,
}

/// Where a key is on its way to the directory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum State {
    /// In the TPM and on disk; the server may or may not know it.
    Made,
    /// At the server, whose last word on it was `last`.
    Registered {
        /// The key's id at the server.
        kid: String,
        /// Its state when the server was last asked.
        last: KeyState,
        /// Why, where it failed.
        detail: Option<String>,
    },
}

impl State {
    /// As the server told it.
    pub fn of_status(status: KeyStatus) -> Self {
        Self::Registered {
            kid: status.kid,
            last: status.state,
            detail: status.detail.or(status.code),
        }
    }

    /// The key's id at the server.
    pub fn kid(&self) -> Option<&str> {
        match self {
            Self::Made => None,
            Self::Registered { kid, .. } => Some(kid),
        }
    }

    /// The word for `status`.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Made => "made",
            Self::Registered { last, .. } => word(*last),
        }
    }

    /// The reason where it failed.
    pub fn detail(&self) -> Option<&str> {
        match self {
            Self::Made => None,
            Self::Registered { detail, .. } => detail.as_deref(),
        }
    }
}

/// A key's state as the socket's messages name it.
pub(crate) fn word(state: KeyState) -> &'static str {
    match state {
        KeyState::Registered | KeyState::NeedsProof => "registered",
        KeyState::Confirmed => "confirmed",
        KeyState::Failed => "failed",
        KeyState::Removing | KeyState::Removed => "removed",
    }
}

impl Credential {
    /// What proves this PIN to the TPM. Blocks for a while where a program keeps the key.
    pub(crate) fn value(&self, pin: &Secret<String>) -> Result<Secret<String>, Error> {
        match &self.stretch {
            Some(stretch) => stretch.apply(pin),
            None => Ok(pin.clone()),
        }
    }

    /// The public half of the key.
    pub fn public_key(&self) -> Result<RsaPublicKey, Error> {
        let spki = self.key.public_key()?.public_key_to_der()?;
        RsaPublicKey::from_spki_der(&spki).map_err(|_| Error::Bug("a user's key is not RSA"))
    }
}

/// The folder of credentials.
///
/// Sign-ins, enrollments and changes of PIN write the same file, each a part of its own. So a
/// writer never brings a whole record that it read a while ago: it changes its part of what is on
/// disk now, and nothing of a credential that is another by then.
pub struct Credentials {
    folder: PathBuf,
    writing: Mutex<()>,
}

impl Credentials {
    /// In the daemon's folder.
    pub fn in_folder(folder: &Path) -> Self {
        Self {
            folder: folder.join("credentials"),
            writing: Mutex::default(),
        }
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// The credential of that uid.
    pub fn read(&self, uid: u32) -> Result<Option<Credential>, Error> {
        files::read(&self.file(uid))
    }

    /// Keeps a new one in place of whatever the uid had.
    pub fn keep(&self, credential: &Credential) -> Result<(), Error> {
        let _alone = self.lock();
        files::write(&self.file(credential.uid), credential)
    }

    /// Changes a part of one that is kept, and gives it as it is now. Where it was removed, or the
    /// uid has another key by now, nothing is changed and the answer is none.
    pub fn update(
        &self,
        uid: u32,
        key_public: &[u8],
        change: impl FnOnce(&mut Credential),
    ) -> Result<Option<Credential>, Error> {
        let _alone = self.lock();
        let kept = self.read(uid)?;
        let Some(mut credential) = kept.filter(|kept| kept.key.public() == key_public) else {
            return Ok(None);
        };
        let before = credential.clone();
        change(&mut credential);
        if credential != before {
            files::write(&self.file(uid), &credential)?;
        }
        Ok(Some(credential))
    }

    /// Removes one, if the uid still has this key.
    pub fn remove(&self, uid: u32, key_public: &[u8]) -> Result<(), Error> {
        let _alone = self.lock();
        match self.read(uid)? {
            Some(kept) if kept.key.public() == key_public => files::remove(&self.file(uid)),
            _ => Ok(()),
        }
    }

    /// Every uid that has one.
    pub fn uids(&self) -> Result<Vec<u32>, Error> {
        let mut uids: Vec<u32> = std::fs::read_dir(&self.folder)?
            .filter_map(|entry| {
                let name = entry.ok()?.file_name();
                name.to_str()?.strip_suffix(".json")?.parse().ok()
            })
            .collect();
        uids.sort_unstable();
        Ok(uids)
    }

    fn file(&self, uid: u32) -> PathBuf {
        self.folder.join(format!("{uid}.json"))
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
pub(crate) mod tests;
