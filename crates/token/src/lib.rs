//! Signed and sealed statements with pinned algorithms: compact JWS (RFC 7515) by RSA, compact
//! JWE (RFC 7516) by RSA-OAEP-256 and A256GCM, RSA keys as JWK (RFC 7517), and the session keys
//! of MS-OAPXBC with what is signed and sealed under them.
//!
//! What must always hold:
//! - The algorithm belongs to the key, not to the message. A header is compared with what the key
//!   is for and refused where it names anything else; it never chooses.
//! - Claims are out of reach until the signature was checked: [`Unverified`] shows a header, and what
//!   its reader finds the key by.
//! - A message has one meaning. Duplicate members, `crit`, padded or loose base64 and tails are
//!   refused, and so is every message of more than [`MAX_MESSAGE`] bytes, before it is parsed.
//! - Time is an argument.
//!
//! JOSE libraries offer every algorithm and leave the choice to options; this crate has a type of
//! key for each algorithm that the product speaks, so that there is nothing to misconfigure.

#![forbid(unsafe_code)]

mod compact;
mod hello;
mod json;
mod jwe;
mod jwk;
mod jwks;
mod jws;
mod prepared;
mod session_jwe;
mod session_jws;
mod session_key;

pub use hello::HelloAssertion;
pub use jwe::{open, seal};
pub use jwk::RsaJwk;
pub use jwks::{Jwks, SigningJwk};
pub use jws::{Draft, Header, NumericDate, Unverified, VerifyingKey, X5cForm, half_hash, sign};
pub use prepared::Prepared;
pub use session_jwe::{AnswerForm, open_answer, seal_answer};
pub use session_jws::{SessionRequest, sign_with_session_key};
pub use session_key::{KdfVersion, SessionKey, TransportKey};

/// The longest message, signed or sealed, in bytes.
pub const MAX_MESSAGE: usize = 16 * 1024;

/// How far two clocks may disagree before a statement counts as expired or not yet valid.
pub const LEEWAY_S: i64 = 60;

/// Why a message is refused or cannot be made; each says whose fault it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The sender's: the message is not what its specification says.
    #[error("malformed message: {0}")]
    Malformed(&'static str),
    /// The sender's: its header names another algorithm than the one the key is for.
    #[error("the message is not made with {0}")]
    Algorithm(&'static str),
    /// The sender's, or someone's on the way: not signed by this key, or changed since.
    #[error("the signature is not of this key over this message")]
    Signature,
    /// The sender's, or someone's on the way: not sealed to this key, or changed since.
    #[error("the message is not sealed to this key, or was changed")]
    Sealed,
    /// The sender's, or a clock's: its time is over.
    #[error("the message has expired")]
    Expired,
    /// The sender's, or a clock's: its time has not come.
    #[error("the message is not valid yet")]
    NotYetValid,
    /// Whose key it is: not an RSA key of 2,048 to 4,096 bits, or none at all.
    #[error("unusable key: {0}")]
    Key(&'static str),
    /// The caller's: what is to be sent cannot be.
    #[error("cannot make the message: {0}")]
    Unsendable(&'static str),
    /// This machine's: the cryptographic library failed at what it must not fail at.
    #[error("the cryptographic library failed: {0}")]
    Library(&'static str),
}
