//! The authorisation policy of a user key, computed without a TPM.
//!
//! The policy is fixed when the key is made, so it is written here once, as pure functions of two
//! names and the holder: the NV index that counts wrong PINs, the recovery authority K, and whose key
//! it is. The device uses them to make the key; whoever checks an attestation uses the same functions
//! to see that the key is what it claims to be.
//!
//! The key opens by any one of four branches:
//!
//! | branch | what it takes | for |
//! |---|---|---|
//! | use | the index's PIN, then the key's own PIN | signing |
//! | change | the same, and only for TPM2_ObjectChangeAuth | a new PIN |
//! | certify | the same, and only for TPM2_Certify | attestation |
//! | recover | a signature of K, and only for TPM2_ObjectChangeAuth | a forgotten PIN |
//!
//! The index alone is not enough, because its owner could redefine it; the key's own value alone
//! is not enough, because an old copy of the blob keeps its old PIN for ever. Together, an old
//! blob fails at the index and a new index fails at the blob.
//!
//! What remains: somebody with the blob can try PINs against its own value, in a session bound to
//! it. The TPM counts those as a dictionary attack, which allows 144 a day. A session bound to the
//! index is refused.
//!
//! Wherever K is named the holder is named with it (the policyRef of TPM2_PolicySigned), so that what K
//! signed for one user's key opens no other's on that TPM.
//!
//! The index opens by any one of three: a signature of K to write it (which happens once, to set
//! the limit, and again in a recovery), a signature of K to change its PIN, or its PIN to change
//! its PIN. The owner of the TPM can delete it and define it anew, but not write it: until it is
//! written its name differs from the one in the key's policy.

use crate::bytes::Writer;
use crate::spec::{alg, cc, nv, object};
use crate::{Holder, NvPublic};

/// Wrong PINs that one user's index takes.
pub const PIN_LIMIT: u32 = 10;

/// Bytes in a PIN index: the count and the limit.
pub(crate) const PIN_DATA: u16 = 8;

/// Where in the index they stand.
pub const LIMIT_OFFSET: u16 = 0;

/// What K writes into a PIN index: nothing counted, and the limit.
pub fn limit_data() -> Vec<u8> {
    Writer::new().u32(0).u32(PIN_LIMIT).done()
}

/// No OWNERWRITE: with it the owner of the TPM could set the count back and guess for ever.
pub(crate) const INDEX_ATTRIBUTES: u32 =
    nv::TYPE_PIN_FAIL | nv::POLICY_WRITE | nv::OWNER_READ | nv::AUTH_READ | nv::NO_DA;

/// A policy digest, SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The policy that asks for nothing; every branch begins here.
    pub const EMPTY: Self = Self([0; 32]);

    /// TPM2_PolicySecret with the entity of this name.
    pub fn secret(self, name: &[u8]) -> Self {
        self.extend(cc::POLICY_SECRET, name).reference(&[])
    }

    /// TPM2_PolicySigned with the key of this name, about this holder.
    pub fn signed(self, name: &[u8], holder: &Holder) -> Self {
        self.extend(cc::POLICY_SIGNED, name)
            .reference(&holder.policy_ref())
    }

    /// TPM2_PolicyAuthValue.
    pub fn auth_value(self) -> Self {
        self.extend(cc::POLICY_AUTH_VALUE, &[])
    }

    /// TPM2_PolicyCommandCode.
    pub fn command_code(self, code: u32) -> Self {
        self.extend(cc::POLICY_COMMAND_CODE, &code.to_be_bytes())
    }

    /// TPM2_PolicyOR of these branches.
    pub fn or(branches: &[Self]) -> Self {
        let joined: Vec<u8> = branches.iter().flat_map(|branch| branch.0).collect();
        Self::EMPTY.extend(cc::POLICY_OR, &joined)
    }

    fn extend(self, code: u32, argument: &[u8]) -> Self {
        Self(model::sha256(
            &Writer::new()
                .bytes(&self.0)
                .u32(code)
                .bytes(argument)
                .done(),
        ))
    }

    /// Signed and secret assertions hash a policyRef in a second step, also where it is empty.
    fn reference(self, policy_ref: &[u8]) -> Self {
        Self(model::sha256(&[&self.0[..], policy_ref].concat()))
    }
}

/// The branches of a user key's policy, in the order in which TPM2_PolicyOR gets them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyBranches {
    /// Sign, with the PIN.
    pub sign: Digest,
    /// Change the PIN, with the PIN.
    pub change: Digest,
    /// Certify, with the PIN.
    pub certify: Digest,
    /// Change the PIN, with a signature of K.
    pub recover: Digest,
}

impl KeyBranches {
    /// The branches that belong to an index and a recovery authority, by their names, and a holder.
    pub fn new(index_name: &[u8], recovery_name: &[u8], holder: &Holder) -> Self {
        let sign = Digest::EMPTY.secret(index_name).auth_value();
        Self {
            sign,
            change: sign.command_code(cc::OBJECT_CHANGE_AUTH),
            certify: sign.command_code(cc::CERTIFY),
            recover: Digest::EMPTY
                .signed(recovery_name, holder)
                .command_code(cc::OBJECT_CHANGE_AUTH),
        }
    }

    /// The list for TPM2_PolicyOR.
    pub fn list(&self) -> [Digest; 4] {
        [self.sign, self.change, self.certify, self.recover]
    }

    /// The authPolicy of the key.
    pub fn policy(&self) -> Digest {
        Digest::or(&self.list())
    }
}

/// The branches of the index's policy, in the order in which TPM2_PolicyOR gets them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexBranches {
    /// Write count and limit, with a signature of K.
    pub write: Digest,
    /// Change the PIN, with a signature of K.
    pub recover: Digest,
    /// Change the PIN, with the PIN.
    pub change: Digest,
}

impl IndexBranches {
    /// The branches that belong to a recovery authority, by its name, and a holder.
    pub fn new(recovery_name: &[u8], holder: &Holder) -> Self {
        let recovery = Digest::EMPTY.signed(recovery_name, holder);
        Self {
            write: recovery.command_code(cc::NV_WRITE),
            recover: recovery.command_code(cc::NV_CHANGE_AUTH),
            change: Digest::EMPTY.auth_value().command_code(cc::NV_CHANGE_AUTH),
        }
    }

    /// The list for TPM2_PolicyOR.
    pub fn list(&self) -> [Digest; 3] {
        [self.write, self.recover, self.change]
    }

    /// The authPolicy of the index.
    pub fn policy(&self) -> Digest {
        Digest::or(&self.list())
    }
}

/// The public area of a user's index (TPMS_NV_PUBLIC): a PIN-fail counter outside the dictionary
/// attack protection, which nobody but K can write once it is set.
pub fn index_public(handle: u32, recovery_name: &[u8], holder: &Holder, written: bool) -> Vec<u8> {
    let attributes = if written {
        INDEX_ATTRIBUTES | nv::WRITTEN
    } else {
        INDEX_ATTRIBUTES
    };
    Writer::new()
        .u32(handle)
        .u16(alg::SHA256)
        .u32(attributes)
        .sized(&IndexBranches::new(recovery_name, holder).policy().0)
        .u16(PIN_DATA)
        .done()
}

/// The public area of K as TPM2_LoadExternal gets it: an ECDSA key on P-256.
pub fn recovery_public(x: &[u8; 32], y: &[u8; 32]) -> Vec<u8> {
    Writer::new()
        .u16(alg::ECC)
        .u16(alg::SHA256)
        .u32(object::SIGN | object::USER_WITH_AUTH)
        .sized(&[])
        .u16(alg::NULL)
        .u16(alg::NULL)
        .u16(alg::CURVE_P256)
        .u16(alg::NULL)
        .sized(x)
        .sized(y)
        .done()
}

/// The public area of a user key (TPMT_PUBLIC) under `policy`, with an empty or a real modulus.
pub fn user_key_public(policy: Digest, modulus: &[u8]) -> Vec<u8> {
    let attributes = object::FIXED_TPM
        | object::FIXED_PARENT
        | object::SENSITIVE_DATA_ORIGIN
        | object::ADMIN_WITH_POLICY
        | object::SIGN;
    Writer::new()
        .u16(alg::RSA)
        .u16(alg::SHA256)
        .u32(attributes)
        .sized(&policy.0)
        .u16(alg::NULL)
        .u16(alg::RSASSA)
        .u16(alg::SHA256)
        .u16(2048)
        .u32(0)
        .sized(modulus)
        .done()
}

/// Whether a public area is that of a user key under `policy`, whatever its modulus.
pub fn is_user_key(public: &[u8], policy: Digest) -> bool {
    let empty = user_key_public(policy, &[]);
    let modulus = public.get(empty.len()..).unwrap_or_default();
    public == user_key_public(policy, modulus)
}

/// The name of an object or an index: the hash algorithm, then the hash of its public area.
pub fn name(public: &[u8]) -> Vec<u8> {
    Writer::new()
        .u16(alg::SHA256)
        .bytes(&model::sha256(public))
        .done()
}

/// Whether an index has the attributes of a user's, written yet or not.
pub fn is_user_index(public: &[u8]) -> bool {
    NvPublic::read(public).is_ok_and(|index| index.attributes & !nv::WRITTEN == INDEX_ATTRIBUTES)
}
