//! TPM structures and their verification, and what a server says to a TPM; no TPM needed.
//!
//! A device says that a key is in its TPM, and its TPM signs it. This crate is how the other side
//! finds out whether that is so: [`verify_key`] for a user's key, [`trust`] for the TPM as such,
//! [`Challenge`] to learn that the TPM and the key that signs are one.
//!
//! What must hold:
//! - The policy of a key is in [`policy`], once, for the device that makes a key and for whoever
//!   checks it.
//! - A structure has one form in bytes. A reader goes to the end, and says which field is wrong; what
//!   is not known here is refused and not passed over.
//! - Whatever differs from the template is refused, and each difference that means something has a
//!   [`Refusal`] of its own.
//! - Time and randomness are arguments; nothing here panics, whatever the input.

#![forbid(unsafe_code)]

mod attestation_key;
mod attested;
mod authorization;
mod bytes;
mod credential;
mod endorsement;
mod holder;
pub mod kdf;
mod nv_public;
mod permit;
pub mod policy;
mod public;
mod refusal;
mod shared;
pub mod spec;
mod verify;

pub use attestation_key::AttestationKey;
pub use attested::{Certified, Signature};
pub use authorization::{Authorization, command_hash};
pub use bytes::Malformed;
pub use credential::Challenge;
pub use endorsement::{EndorsementKey, Manufacturers, Model, Rules, Trust, trust};
pub use holder::Holder;
pub use nv_public::NvPublic;
pub use permit::{Act, PERMIT_S, Permit};
pub use public::{Key, Public, Scheme};
pub use refusal::Refusal;
pub use shared::{Shared, coordinates};
pub use verify::{Claim, Expected, Verdict, verify_key};
