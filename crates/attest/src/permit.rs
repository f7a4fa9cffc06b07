//! What a device asks of K, and what K signs about it: one command, in one session, for one holder.
//!
//! Whoever has K makes the signed bytes here, of what it has on record, and never of a hash that
//! somebody else computed. The values of the commands that change a PIN are encrypted by the session
//! between daemon and TPM: who signs sees that a PIN is changed, and not to which.

use crate::bytes::Writer;
use crate::policy::{self, LIMIT_OFFSET, limit_data};
use crate::spec::cc;
use crate::{Authorization, Holder, command_hash};

/// Seconds from the session's beginning for which the signature is good.
pub const PERMIT_S: i32 = 300;

/// One command in one session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permit<'a> {
    /// The TPM's nonce of the session: no other session can use the signature.
    pub nonce_tpm: &'a [u8],
    /// The command.
    pub act: Act<'a>,
}

/// A command that K's branches allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act<'a> {
    /// TPM2_NV_Write: sets the count of wrong PINs to nothing and the limit to
    /// [`PIN_LIMIT`](policy::PIN_LIMIT).
    SetLimit {
        /// TPMS_NV_PUBLIC of the index.
        nv_public: &'a [u8],
    },
    /// TPM2_ObjectChangeAuth: the key, in a new blob, under another PIN.
    ChangeKey {
        /// TPMT_PUBLIC of the key.
        public: &'a [u8],
        /// The name of the key above it.
        parent_name: &'a [u8],
        /// The parameters as they are sent.
        parameters: &'a [u8],
    },
    /// TPM2_NV_ChangeAuth: another PIN for the index.
    ChangeIndex {
        /// TPMS_NV_PUBLIC of the index.
        nv_public: &'a [u8],
        /// The parameters as they are sent.
        parameters: &'a [u8],
    },
}

impl Act<'_> {
    /// cpHash of the command.
    pub fn command_hash(&self) -> [u8; 32] {
        match *self {
            Self::SetLimit { nv_public } => {
                let name = policy::name(nv_public);
                let parameters = Writer::new().sized(&limit_data()).u16(LIMIT_OFFSET).done();
                command_hash(cc::NV_WRITE, &[&name, &name], &parameters)
            }
            Self::ChangeKey {
                public,
                parent_name,
                parameters,
            } => {
                let names = [&policy::name(public)[..], parent_name];
                command_hash(cc::OBJECT_CHANGE_AUTH, &names, parameters)
            }
            Self::ChangeIndex {
                nv_public,
                parameters,
            } => command_hash(cc::NV_CHANGE_AUTH, &[&policy::name(nv_public)], parameters),
        }
    }
}

impl Permit<'_> {
    /// What K signs: SHA-256 of the bytes that the TPM hashes too.
    pub fn digest(&self, holder: &Holder) -> [u8; 32] {
        let authorization = Authorization {
            nonce_tpm: self.nonce_tpm,
            expiration: PERMIT_S,
            command_hash: Some(self.act.command_hash()),
            policy_ref: &holder.policy_ref(),
        };
        authorization.digest()
    }
}
