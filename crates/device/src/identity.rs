//! The device: which computer it is, which server it belongs to, and its own keys.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use keycred::RsaPublicKey;
use model::{Guid, Secret, Sid};
use serde::{Deserialize, Serialize};
use token::RsaJwk;
use tpm::KeyBlob;

use crate::{
    Error, certificate::Signer, chip::Chip, error::refused, files, key_storage::KeyStorage,
    text::base64_bytes,
};

/// What `device.json` holds. The keys are wrapped by the TPM; their authorisation value lies
/// beside the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Device {
    /// The computer's objectGUID.
    pub id: Guid,
    /// The computer's SID.
    pub sid: Sid,
    /// The Kerberos realm.
    pub realm: String,
    /// The domain's DNS name.
    pub domain: String,
    /// What keeps the keys, and with them everybody's on this device.
    #[serde(default)]
    pub key_storage: KeyStorage,
    /// The keys.
    pub keys: Keys,
    /// DER of the device root's certificate.
    #[serde(with = "base64_bytes")]
    pub root_certificate: Vec<u8>,
    /// The last sequence number that a statement of this device carries.
    pub sequence: u64,
    /// The server, once joined.
    pub server: Option<Joined>,
}

/// The device's own keys.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keys {
    /// Proves which device this is: behind `userCertificate` in AD and the server's certificate.
    pub device: KeyBlob,
    /// Receives session keys.
    pub transport: KeyBlob,
    /// Attests user keys.
    pub attestation: KeyBlob,
    /// Issues the users' leaves.
    pub root: KeyBlob,
}

/// The server that the device belongs to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Joined {
    /// Its URL.
    pub url: String,
    /// PEM of the certificate that its TLS must lead to.
    pub anchor: String,
    /// The tenant.
    pub tenant: Guid,
    /// The agent's service principal, for the user's proof.
    pub agent: Option<String>,
    /// DER of the device certificate.
    #[serde(with = "base64_bytes")]
    pub certificate: Vec<u8>,
    /// TPMT_PUBLIC of the server's recovery key K; nothing where the server told none.
    #[serde(default, with = "base64_bytes", skip_serializing_if = "Vec::is_empty")]
    pub recovery_public: Vec<u8>,
    /// The keys by which the server signs statements to this device.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub statement_keys: Vec<RsaJwk>,
}

/// The device's state on disk, with a copy in memory.
pub struct Identity {
    folder: PathBuf,
    device: Mutex<Option<Device>>,
}

impl Identity {
    /// Reads it from `folder`.
    pub fn read(folder: &Path) -> Result<Self, Error> {
        Ok(Self {
            folder: folder.to_owned(),
            device: Mutex::new(files::read(&folder.join(FILE))?),
        })
    }

    /// The device, if it has keys.
    pub fn device(&self) -> Option<Device> {
        self.lock().clone()
    }

    /// The device and its server, or the sentence that says it has none.
    pub fn joined(&self) -> Result<(Device, Joined), Error> {
        let device = self.device();
        let server = device.as_ref().and_then(|device| device.server.clone());
        device.zip(server).ok_or_else(|| {
            refused(
                "not_joined",
                "This machine belongs to no Latchkey server yet; an administrator runs \
                 `latchkey join`.",
            )
        })
    }

    /// Keeps the device as it is now.
    pub fn keep(&self, device: Device) -> Result<(), Error> {
        let mut kept = self.lock();
        files::write(&self.folder.join(FILE), &device)?;
        *kept = Some(device);
        Ok(())
    }

    /// Keeps the server that the device belongs to now. What else the device holds may have moved
    /// on while it joined, its sequence number above all, and stays.
    pub(crate) fn keep_server(&self, server: Joined) -> Result<(), Error> {
        let mut kept = self.lock();
        let mut device = kept
            .clone()
            .ok_or(Error::Bug("a server without a device"))?;
        device.server = Some(server);
        files::write(&self.folder.join(FILE), &device)?;
        *kept = Some(device);
        Ok(())
    }

    /// Forgets the device and its keys' authorisation value.
    pub fn forget(&self) -> Result<(), Error> {
        let mut kept = self.lock();
        files::remove(&self.folder.join(FILE))?;
        files::remove(&self.folder.join(AUTH_FILE))?;
        *kept = None;
        Ok(())
    }

    /// The next sequence number of a statement. It is on disk before it is used, so that no two
    /// statements of this device ever carry the same.
    pub fn next_sequence(&self) -> Result<u64, Error> {
        let mut kept = self.lock();
        let mut device = kept
            .clone()
            .ok_or(Error::Bug("a statement without a device"))?;
        device.sequence += 1;
        files::write(&self.folder.join(FILE), &device)?;
        let sequence = device.sequence;
        *kept = Some(device);
        Ok(sequence)
    }

    /// The authorisation value of the device's keys; made when there is none.
    pub fn auth(&self) -> Result<Secret<[u8; 32]>, Error> {
        files::secret(&self.folder.join(AUTH_FILE))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Device>> {
        self.device.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The public half of a wrapped key.
pub(crate) fn public_key(blob: &KeyBlob) -> Result<RsaPublicKey, Error> {
    let spki = blob.public_key()?.public_key_to_der()?;
    RsaPublicKey::from_spki_der(&spki).map_err(|_| Error::Bug("a TPM key is not RSA"))
}

/// Signs a digest with one of the device's own keys.
pub(crate) async fn sign(
    chip: &Arc<Chip>,
    key: &KeyBlob,
    auth: &Secret<[u8; 32]>,
    digest: [u8; 32],
) -> Result<Vec<u8>, Error> {
    let (key, auth) = (key.clone(), auth.clone());
    chip.run(move |tpm| Ok(tpm.sign(&key, &auth, &digest)?))
        .await
}

/// Has `build` make a certificate or a request that is signed with one of the device's own keys.
pub(crate) async fn with_signer<T: Send + 'static>(
    chip: &Arc<Chip>,
    key: &KeyBlob,
    auth: &Secret<[u8; 32]>,
    build: impl Fn(&Signer<'_>) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let (key, auth) = (key.clone(), auth.clone());
    chip.run(move |tpm| {
        let tpm = std::cell::RefCell::new(tpm);
        let sign = |digest: &[u8; 32]| Ok(tpm.borrow_mut().sign(&key, &auth, digest)?);
        build(&Signer::new(&public_key(&key)?, &sign)?)
    })
    .await
}

const FILE: &str = "device.json";
const AUTH_FILE: &str = "device-keys.auth";
