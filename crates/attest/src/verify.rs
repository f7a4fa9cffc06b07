//! Whether a user's key is what its device says it is.
//!
//! What an accepted key is: RSA-2048, born in the TPM that has the attestation key, unable to leave
//! it, and open only by the branches in [`policy`](crate::policy): with a PIN that an index of that
//! TPM counts and whose count its owner cannot set back, or by the recovery authority, which is named
//! in the verdict. Every bit of the key's, the index's and the authority's public areas is fixed but
//! the modulus, the index's handle and the authority's point.
//!
//! What cannot be proven, by no attestation of a key:
//! - The limit of wrong PINs. It is the content of the index and not of its public area; the
//!   daemon writes ten, and whoever holds the private half of K when the key is made may write
//!   another. K of the server signs no other.
//! - That K was destroyed, where the device says so. An honest daemon destroys it; a hostile root can
//!   keep it, from the moment of enrollment, and then reset the PIN of that key. K of the server is
//!   proven by its name.
//! - That a PIN is long, or that nobody sees it while it is typed.
//! - That the TPM is a chip. That is what the trust in its endorsement key says, or nothing does.
//! - When the key was certified: the TPM's clock is its own. `qualifying_data` says for what.

use keycred::RsaPublicKey;

use crate::policy::{self, INDEX_ATTRIBUTES, IndexBranches, KeyBranches, PIN_DATA};
use crate::spec::{nv, object};
use crate::{AttestationKey, Certified, Holder, Key, NvPublic, Public, Refusal, Signature};

/// What a device sends to show that a key is in its TPM.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    /// TPMT_PUBLIC of the key.
    pub public: &'a [u8],
    /// TPMS_NV_PUBLIC of its PIN index.
    pub nv_public: &'a [u8],
    /// TPMT_PUBLIC of the recovery authority K.
    pub recovery_public: &'a [u8],
    /// The digests of the policy's branches, joined, 32 bytes each.
    pub branches: &'a [u8],
    /// TPMS_ATTEST of TPM2_Certify.
    pub certify: &'a [u8],
    /// The attestation key's signature over SHA-256 of `certify`.
    pub signature: Signature<'a>,
}

/// What the claim is held to.
#[derive(Clone, Copy)]
pub struct Expected<'a> {
    /// The device's attestation key, as trusted when it joined.
    pub attestation_key: &'a AttestationKey,
    /// The key that is being registered.
    pub key: &'a RsaPublicKey,
    /// Whose it is to be.
    pub holder: &'a Holder,
    /// What the device was to have certified along with the key.
    pub qualifying_data: &'a [u8],
}

/// A key that is what it claims to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Who may reset its PIN: the name of K.
    pub recovery_name: Vec<u8>,
}

/// Judges a claim; without one the key is not attested.
pub fn verify_key(claim: Option<&Claim<'_>>, expected: &Expected<'_>) -> Result<Verdict, Refusal> {
    let claim = claim.ok_or(Refusal::NotAttested)?;
    let public = Public::read(claim.public)?;
    let index = NvPublic::read(claim.nv_public)?;
    let recovery = Public::read(claim.recovery_public)?;
    let certified = Certified::read(claim.certify)?;

    require(is_registered(&public, expected.key), Refusal::WrongKey)?;
    let signed = expected
        .attestation_key
        .signed(claim.certify, claim.signature);
    require(signed, Refusal::OtherTpm)?;
    require(
        certified.extra_data == expected.qualifying_data,
        Refusal::Stale,
    )?;
    require(certified.name == public.name(), Refusal::OtherObject)?;

    judge_attributes(&public)?;
    judge_recovery(&recovery, claim.recovery_public)?;
    let recovery_name = recovery.name();
    judge_index(&index, &recovery_name, expected.holder)?;

    let index_name = policy::name(claim.nv_public);
    let branches = KeyBranches::new(&index_name, &recovery_name, expected.holder);
    let listed: Vec<u8> = branches.list().iter().flat_map(|branch| branch.0).collect();
    require(claim.branches == listed, Refusal::OtherBranches)?;
    let digest = branches.policy();
    require(public.policy == digest.0, Refusal::OtherPolicy)?;
    // Size, exponent and scheme, and whatever no rule above has looked at.
    let template = policy::user_key_public(digest, expected.key.modulus());
    let fits = claim.public == template && expected.key.bits() == 2048;
    require(fits, Refusal::OtherKind)?;
    Ok(Verdict { recovery_name })
}

fn require(holds: bool, refusal: Refusal) -> Result<(), Refusal> {
    if holds { Ok(()) } else { Err(refusal) }
}

fn is_registered(public: &Public<'_>, registered: &RsaPublicKey) -> bool {
    let Key::Rsa {
        exponent, modulus, ..
    } = public.key
    else {
        return false;
    };
    RsaPublicKey::from_components(modulus, &exponent.to_be_bytes())
        .is_ok_and(|key| key == *registered)
}

fn judge_attributes(public: &Public<'_>) -> Result<(), Refusal> {
    let born_here = object::FIXED_TPM | object::FIXED_PARENT | object::SENSITIVE_DATA_ORIGIN;
    require(public.has(born_here), Refusal::Imported)?;
    require(
        !public.has(object::NO_DA),
        Refusal::NoDictionaryAttackProtection,
    )?;
    require(
        !public.has(object::USER_WITH_AUTH) && public.has(object::ADMIN_WITH_POLICY),
        Refusal::OpensWithoutPolicy,
    )?;
    require(
        public.attributes == born_here | object::ADMIN_WITH_POLICY | object::SIGN,
        Refusal::OtherPurpose,
    )
}

fn judge_recovery(recovery: &Public<'_>, bytes: &[u8]) -> Result<(), Refusal> {
    let Key::P256 { x, y } = recovery.key else {
        return Err(Refusal::RecoveryKey);
    };
    let (Ok(x), Ok(y)) = (x.try_into(), y.try_into()) else {
        return Err(Refusal::RecoveryKey);
    };
    let is_template = policy::recovery_public(x, y) == bytes;
    require(
        is_template && recovery.key.to_openssl().is_ok(),
        Refusal::RecoveryKey,
    )
}

fn judge_index(index: &NvPublic<'_>, recovery_name: &[u8], holder: &Holder) -> Result<(), Refusal> {
    require(
        index.attributes == INDEX_ATTRIBUTES | nv::WRITTEN && index.size == PIN_DATA,
        Refusal::NotAPinIndex,
    )?;
    require(
        index.policy == IndexBranches::new(recovery_name, holder).policy().0,
        Refusal::OtherIndexPolicy,
    )
}
