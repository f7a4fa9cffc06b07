//! Typed calls to the server, for workstations and for the agent.
//!
//! *Invariant:* one anchor is trusted and nothing else, no matter what the system trusts: the
//! certificate that [`fetch_anchor`] found by the fingerprint from the directory or from a person.
//! The host name is checked all the same.
//!
//! Answers are bounded in size and time. Secrets in request bodies are in buffers that are wiped.
//! Nothing is repeated here: whether a call may be made twice is its caller's to know.

mod agent;
mod deletion;
mod device;
mod form;
mod http;
pub mod plain;
mod tls;

pub use agent::{Agent, AgentIdentity};
pub use deletion::{Deletion, Expected};
pub use device::{Challenge, CodeExchange};
pub use http::Client;
pub use tls::fetch_anchor;

/// Why a call failed, told apart by who can do something about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The network or the server's administrator: no answer came. Try again later.
    #[error("the server cannot be reached: {0}")]
    Unreachable(String),
    /// The server understood and said no.
    #[error("the server refused: {0}")]
    Refused(Refusal),
    /// The server does not know this device any more, and gives its word on it.
    #[error("the server says that this device was deleted: {refusal}")]
    DeviceDeleted {
        /// What it says besides.
        refusal: Refusal,
        /// Its word, to be verified.
        statement: Deletion,
    },
    /// The server, or something in its place, answered what the interface does not know.
    #[error("the server's answer is not understood: {0}")]
    Protocol(String),
}

/// The server's no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// Stable, for programs; of the token endpoints the AADSTS number where there is one.
    pub code: String,
    /// For the person.
    pub sentence: String,
    /// Seconds after which trying again makes sense.
    pub retry_after_s: Option<u32>,
    /// Tries left of whatever was counted.
    pub tries_left: Option<u32>,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} [{}, HTTP {}]", self.sentence, self.code, self.status)
    }
}

impl Error {
    /// The code of a refusal.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused(refusal) | Self::DeviceDeleted { refusal, .. } => Some(&refusal.code),
            _ => None,
        }
    }
}

impl From<token::Error> for Error {
    fn from(error: token::Error) -> Self {
        Self::Protocol(error.to_string())
    }
}

#[cfg(test)]
mod tests;
