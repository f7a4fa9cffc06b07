//! Why a device's word is not taken.

use openssl::error::ErrorStack;

use crate::Malformed;

/// Why a device's word is not taken. The sentence is for the administrator who reads why a key or a
/// device is not of the level that they demand.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nothing says that the key is in a TPM.
    #[error(
        "no TPM vouches for the key: it was made in software, or by a client that does not attest"
    )]
    NotAttested,
    /// A structure is not what the specification says.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The attestation is for a key that is not being registered.
    #[error("the attestation is for another key than the one that is registered")]
    WrongKey,
    /// The statement is not by the attestation key on record.
    #[error(
        "the attestation is not signed by the attestation key of this device: the key is in another TPM, \
         the device must join again, or the statement was changed"
    )]
    OtherTpm,
    /// The statement answers another question.
    #[error("the attestation was made for another request")]
    Stale,
    /// The statement is on another object.
    #[error("the TPM vouched for another object than the one whose public area was sent")]
    OtherObject,
    /// The private half was or may be somewhere else.
    #[error("the key was imported into the TPM, or may leave it: copies may exist outside")]
    Imported,
    /// Wrong values are not counted.
    #[error("the key is outside the TPM's protection against guessing (noDA)")]
    NoDictionaryAttackProtection,
    /// The policy can be passed by.
    #[error("the key opens by a password, past its policy (userWithAuth, or no adminWithPolicy)")]
    OpensWithoutPolicy,
    /// The key is for something else than signing, or for more.
    #[error("the key is not one for signing alone (decrypt, restricted, or an unknown attribute)")]
    OtherPurpose,
    /// The key is of another kind.
    #[error("the key is not RSA-2048 with exponent 65537 and RSASSA over SHA-256")]
    OtherKind,
    /// The recovery authority is not one that can be judged.
    #[error("the recovery authority is not an ECDSA key on P-256 by the usual template")]
    RecoveryKey,
    /// The index counts no wrong PINs, or its owner may set the count back.
    #[error(
        "the index beside the key does not count wrong PINs as it must (its attributes or size)"
    )]
    NotAPinIndex,
    /// The index opens in other ways than the known three.
    #[error("the index beside the key opens by another policy than that of its recovery authority")]
    OtherIndexPolicy,
    /// The listed branches are not those of this index and this recovery authority.
    #[error(
        "the branches that were sent are not those of the key's PIN index and recovery authority"
    )]
    OtherBranches,
    /// The key opens in other ways than the known ones.
    #[error("the key opens by another policy than its PIN index and recovery authority make")]
    OtherPolicy,
    /// What is shown as an attestation key could sign what no TPM said.
    #[error("the attestation key is not a restricted signing key that stays in its TPM")]
    AttestationKey,
    /// The device has not shown that its attestation key is in the TPM that is trusted.
    #[error(
        "the device has not proven that its attestation key is in its TPM: it does so when it joins and \
         before it makes a key"
    )]
    NotActivated,
    /// What is shown as an endorsement key is none that a credential can be made for.
    #[error("the endorsement key is neither RSA-2048 with exponent 65537 nor on P-256")]
    EndorsementKey,
    /// Nothing that was configured vouches for the endorsement key.
    #[error(
        "the endorsement key is unknown: no certificate of a configured manufacturer, not approved \
         beforehand, and first use is not trusted"
    )]
    UnknownTpm,
    /// The certificate belongs to another key.
    #[error("the endorsement certificate is for another key")]
    OtherCertificate,
    /// The certificate is not one for an endorsement key.
    #[error("the endorsement certificate is not one: {0}")]
    NotAnEndorsementCertificate(&'static str),
    /// No configured manufacturer vouches for the certificate.
    #[error("the endorsement certificate leads to no configured manufacturer: {0}")]
    UnknownManufacturer(String),
    /// The administrator's: what was configured is not readable.
    #[error("the list of manufacturers is not certificates")]
    Manufacturers,
    /// This machine's: the cryptographic library failed at what it must not fail at.
    #[error("the cryptographic library failed: {0}")]
    Library(String),
}

impl From<ErrorStack> for Refusal {
    fn from(stack: ErrorStack) -> Self {
        Self::Library(stack.to_string())
    }
}
