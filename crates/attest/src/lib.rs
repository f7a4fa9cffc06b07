//! TPM structures and their verification, and what a server says to a TPM; no TPM needed.
//!
//! What must hold:
//! - The policy of a key is in [`policy`], once, for the device that makes a key and for whoever
//!   checks it.
//! - A structure has one form in bytes. A reader goes to the end, and says which field is wrong; what
//!   is not known here is refused and not passed over.
//! - Time and randomness are arguments; nothing here panics, whatever the input.

#![forbid(unsafe_code)]

mod authorization;
mod bytes;
pub mod kdf;
mod nv_public;
pub mod policy;
mod shared;
pub mod spec;

pub use authorization::{Authorization, command_hash};
pub use bytes::Malformed;
pub use nv_public::NvPublic;
pub use shared::{Shared, coordinates};
