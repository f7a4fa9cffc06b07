//! Typed ids, names, times and secrets: the nouns every other crate shares.
//!
//! Nothing here does I/O, reads a clock or draws randomness. Every type is parsed once, at the
//! edge where its bytes come in, and is right from then on.

mod guid;
mod secret;
mod sid;
mod time;

pub use guid::Guid;
pub use secret::Secret;
pub use sid::Sid;
pub use time::{Filetime, LogonHours, UnixTime};

/// SHA-256 of `bytes`.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    openssl::sha::sha256(bytes)
}

/// Why a text or byte string is not one of this crate's nouns.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a valid {noun}: {reason}")]
pub struct Malformed {
    /// What was expected, in the words of its specification.
    pub noun: &'static str,
    /// What is wrong with the input; never the input itself.
    pub reason: &'static str,
}

#[cfg(test)]
mod tests;
