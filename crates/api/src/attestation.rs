//! How a device shows that its keys are in a TPM, and what it is told when it joins.

use serde::{Deserialize, Serialize};

/// `GET`: where a device's attestation stands, and a challenge where one is wanted
/// ([`AttestationStatus`]); `PUT`: the answer to a challenge ([`ChallengeReply`]).
pub const ATTESTATION_PATH: &str = "/device/v1/attestation";

/// A secret that only the TPM with the endorsement key and the attestation key reads
/// (TPM2_ActivateCredential).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttestationChallenge {
    /// Comes back with the answer; opaque, good for ten minutes.
    pub state: String,
    /// Base64 of the contents of TPM2B_ID_OBJECT.
    pub blob: String,
    /// Base64 of the contents of TPM2B_ENCRYPTED_SECRET.
    pub secret: String,
}

/// Where a device's attestation stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttestationStatus {
    /// `none`, `first_use`, `preapproved` or `chain`: why the TPM is believed to be one.
    pub trust: String,
    /// Why it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// To be answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub challenge: Option<AttestationChallenge>,
}

/// The answer to a challenge.
#[derive(Serialize, Deserialize)]
pub struct ChallengeReply {
    /// As it came.
    pub state: String,
    /// Base64 of what the TPM opened.
    pub secret: String,
}
