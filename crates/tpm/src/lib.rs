//! Making, using and attesting keys in a TPM 2.0.
//!
//! A [`Tpm`] is one open channel to one TPM. Keys live outside it, wrapped: a [`KeyBlob`] for each
//! key of the device, a [`UserKey`] for each user, loaded for one operation and flushed again.
//!
//! What must hold:
//! - A PIN never reaches the TPM, nor this crate's memory for longer than a hash takes: what is
//!   proven is SHA-256 over the PIN and the user it belongs to.
//! - No authorisation value is ever sent. Every session is salted, and encrypts what it can. The
//!   one command without such a session makes the storage key that salts them, and carries the
//!   empty password.
//! - Wrong PINs are counted by the TPM, per user. [`policy`] says how, and why no copy of a blob
//!   and no owner of the TPM gets past it.
//! - Nothing is left in the TPM between two calls but the storage key and one session. A user's
//!   key is one NV index; everything else is on disk.
//!
//! The TPM's commands are spoken here directly and not through libtss2: its context keeps copies
//! of authorisation values that cannot be wiped, and its Rust wrapper lacks three commands of the
//! key policy without letting others use its context.

#![forbid(unsafe_code)]

mod activate;
mod attestation;
mod command;
mod error;
mod info;
mod keys;
mod lockout;
mod new_key;
mod session;
mod spec;
mod text;
mod tpm;
mod transport;
mod user_index;
mod user_key;
mod wire;

pub use attest::{Act, Holder, Permit, policy};
pub use attestation::Attestation;
pub use error::Error;
pub use info::{DictionaryAttack, Info};
pub use keys::{KeyBlob, Role};
pub use lockout::{Lockout, Reset};
pub use new_key::{Keeper, NewKey, Recovery, Signer};
pub use tpm::Tpm;
pub use user_key::{Tries, Unlocked, UserKey};

#[cfg(test)]
mod tests;
