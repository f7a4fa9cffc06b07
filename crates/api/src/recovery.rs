//! What a device asks of the server's recovery key K: one command, in one session of its TPM.
//!
//! The bearer of every request is the user's, with both factors given a moment ago.

use serde::{Deserialize, Serialize};

/// `POST` [`LimitRequest`] → [`Permission`]: the limit of a new key's PIN counter, before the key is
/// registered.
pub const LIMIT_PATH: &str = "/device/v1/recovery/limit";

/// `POST` [`RecoveryRequest`] → [`Permission`]: a step of a PIN reset.
pub fn recovery_path(kid: &str) -> String {
    format!("{}/{kid}/recovery", crate::device::KEYS_PATH)
}

/// Asks for the limit of a new index.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LimitRequest {
    /// The handle of the index.
    pub index: u32,
    /// Base64 of the TPM's nonce of the session.
    pub nonce: String,
}

/// A step of a PIN reset. The names are those on record; what changes a PIN is encrypted by the TPM's
/// session, so that the server does not see it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RecoveryRequest {
    /// Base64 of the TPM's nonce of the session.
    pub nonce: String,
    /// The step.
    pub step: RecoveryStep,
}

/// A command of a PIN reset; all base64.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecoveryStep {
    /// TPM2_ObjectChangeAuth.
    ChangeKey {
        /// The name of the key above.
        parent_name: String,
        /// The parameters as they are sent.
        parameters: String,
    },
    /// TPM2_NV_ChangeAuth.
    ChangeIndex {
        /// The parameters as they are sent.
        parameters: String,
    },
    /// TPM2_NV_Write.
    SetLimit,
}

/// K's word.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Permission {
    /// Base64 of an ECDSA signature in DER.
    pub signature: String,
}
