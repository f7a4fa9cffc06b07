//! SYSVOL: the files of group policies, on the domain controller that also answers the LDAP
//! connection.
//!
//! *Invariant:* every message is signed with a key of a Kerberos session in SMB 3.1.1, whose
//! negotiation that key vouches for. A guest or anonymous session is refused.
//!
//! *Invariant:* whoever names a path in the directory does not choose a host or a share
//! ([`folder`]): a path is taken relative to the share of the connected controller.
//!
//! The ticket is brought by the caller, from libkrb5. The SMB library would get one itself, but
//! only out of a credential cache that is a file, and with a request that Samba's KDC refuses.

mod path;
pub mod policies;
mod security;
mod session;
mod ticket;

pub use path::{child, folder};
pub use session::{Found, Sysvol};

/// Why files could not be read or written, told apart by who can do something about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The network: the domain controller does not answer. Connect again.
    #[error("the domain controller's file server does not answer: {0}")]
    Unreachable(String),
    /// The administrator: no ticket for the file server.
    #[error("no Kerberos ticket for the domain controller's file server: {0}")]
    Kerberos(String),
    /// The administrator: the session would not be signed, or is a guest's.
    #[error("the domain controller's file server is not trusted: {0}")]
    NotTrusted(String),
    /// The administrator: the rights on a file.
    #[error("access to {0} is denied")]
    Denied(String),
    /// The file is larger than any that is taken.
    #[error("{0} is larger than 16 MiB")]
    TooLarge(String),
    /// Whoever wrote the path: it leaves the share.
    #[error("{0:?} is not a path in SYSVOL")]
    BadPath(String),
    /// The domain controller refused something else.
    #[error("{path}: {message}")]
    Refused {
        /// The file or folder.
        path: String,
        /// What the server said.
        message: String,
    },
}

impl Error {
    /// Whether the connection is of no more use.
    pub fn is_broken(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::NotTrusted(_))
    }
}

#[cfg(test)]
mod tests;
