//! The device at its server: joining, leaving, the keys there, and the domain controllers it met.

use serde::{Deserialize, Serialize};

use super::{Done, Request};
use crate::Secret;

operation! {
    /// Joins this device to a server. Root only.
    "join" Join {
        /// None: by the service connection point in AD.
        url: Option<String>,
        /// `sha256:` and the hexadecimal SHA-256 of a public key in the server's chain; with `url`.
        fingerprint: Option<String>,
    } -> JoinAnswer
}

/// A joined device.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct JoinAnswer {
    /// The computer's objectGUID.
    pub device_id: String,
    /// The server's URL.
    pub server: String,
    /// Thumbprint of the device certificate, SHA-1 in upper case.
    pub thumbprint: String,
}

operation! {
    /// Leaves the server and removes every credential of this device. Root only.
    "leave" Leave {} -> Done
}

operation! {
    /// The caller's keys as the server knows them; root: with `uid`, that user's.
    "keys.list" KeysList { /// None: the caller.
        uid: Option<u32> } -> KeysListAnswer
}

/// A user's registered keys.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct KeysListAnswer {
    /// One entry a key, the newest first.
    pub keys: Vec<KeyInfo>,
}

/// A registered key.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct KeyInfo {
    /// Key id at the server.
    pub kid: String,
    /// The device that made it.
    pub device_id: String,
    /// Is that this device?
    pub here: bool,
    /// RFC 3339.
    pub created: String,
    /// As [`CredentialInfo::state`](super::CredentialInfo::state).
    pub state: String,
    /// The reason where it failed.
    pub detail: Option<String>,
}

operation! {
    /// Deletes one of the caller's keys at the server, hence in AD. The user itself or root.
    "keys.delete" KeysDelete { /// At the server.
        kid: String } -> Done
}

operation! {
    /// Sets the TPM's count of failures back, where it refuses everybody's PIN. Root by the value that this
    /// machine has; anyone with a code that an administrator had made.
    "tpm.unlock" TpmUnlock {
        /// The code.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<Secret>,
    } -> TpmUnlockAnswer
}

/// The count is nothing again.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TpmUnlockAnswer {
    /// Did the TPM refuse everybody before?
    pub was_locked: bool,
}

operation! {
    /// The certificates by which domain controllers answered at sign-ins here. Root only.
    "kdc.list" KdcList {} -> KdcListAnswer
}

/// What login helpers saw; a diagnosis, and no proof.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct KdcListAnswer {
    /// One entry a domain controller.
    pub kdcs: Vec<KdcInfo>,
}

/// A domain controller that answered.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct KdcInfo {
    /// Its DNS name.
    pub host: String,
    /// Base64 DER of its certificate.
    pub certificate: String,
    /// When that was seen last, to an hour: unix seconds.
    pub seen: i64,
}
