//! What K signs, so that one session with one TPM may do what K's branches allow
//! (TPM2_PolicySigned, part 3).
//!
//! K opens three things with one policy: it sets the limit of a PIN index, changes the PIN of the
//! index (TPM2_NV_ChangeAuth) and that of the key (TPM2_ObjectChangeAuth). The policyRef bounds a
//! signature to one holder's key and index; which of the three it allows, and with which values, is
//! for [`command_hash`] of the very command to say. [`Permit`](crate::Permit) always says it.

use crate::bytes::Writer;

/// What one signature of K is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Authorization<'a> {
    /// The TPM's nonce of the session: no other session can use the signature.
    pub nonce_tpm: &'a [u8],
    /// Seconds from the nonce on for which it is good; nothing is for ever.
    pub expiration: i32,
    /// The only command that it is good for, by [`command_hash`]; nothing leaves it open.
    pub command_hash: Option<[u8; 32]>,
    /// What the policy names besides K: [`Holder::policy_ref`](crate::Holder::policy_ref).
    pub policy_ref: &'a [u8],
}

impl Authorization<'_> {
    /// The bytes to sign with SHA-256: the TPM hashes the same.
    pub fn to_bytes(&self) -> Vec<u8> {
        let command = self.command_hash.as_ref().map_or(&[][..], |hash| hash);
        Writer::new()
            .bytes(self.nonce_tpm)
            .bytes(&self.expiration.to_be_bytes())
            .bytes(command)
            .bytes(self.policy_ref)
            .done()
    }

    /// SHA-256 of the bytes: aHash.
    pub fn digest(&self) -> [u8; 32] {
        model::sha256(&self.to_bytes())
    }
}

/// cpHash of a command: its code, the names of what it acts on, and its parameters as they are sent,
/// encrypted where the session encrypts them.
pub fn command_hash(code: u32, names: &[&[u8]], parameters: &[u8]) -> [u8; 32] {
    let head = Writer::new().u32(code).bytes(&names.concat());
    model::sha256(&head.bytes(parameters).done())
}
