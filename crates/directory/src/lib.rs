//! Active Directory by LDAP: what Latchkey reads and the few values it writes.
//!
//! *Invariant:* nothing but the bind itself crosses the network unsealed. Every message is wrapped
//! by GSS-API with confidentiality, and a received one for which the mechanism does not report
//! confidentiality ends the connection ([`Error::NotSealed`]).
//!
//! *Invariant:* writes are of single values. A value of another product's is never touched: an
//! attribute is never replaced as a whole, but for an object's descriptor, which is one value.
//!
//! Everything is parsed here, once, and bounded; callers see typed accounts. The LDAP client is
//! our own because the one at hand takes each sealed buffer for whole messages, while domain
//! controllers cut the stream of messages into buffers wherever 64 KiB end.

mod accounts;
mod authorities;
mod ber;
mod connection;
mod descriptors;
mod dns;
mod entry;
mod ffi;
mod filter;
mod gpo;
mod gpo_write;
mod groups;
mod keys;
mod locate;
mod message;
mod netlogon;
mod seal;
mod search;
mod trust;

pub use accounts::{By, Changed, Computer, Kind, Protection, User};
pub use authorities::{Authorities, DomainController};
pub use descriptors::{Guarded, Identity, Property};
pub use gpo_write::Principal;
pub use groups::Group;
pub use keys::{KeyHolder, KeyValue};
pub use locate::{Locator, Need};
pub use search::{Directory, Domain};
pub use trust::ServicePoint;

/// Why the directory could not be asked, told apart by who can do something about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The network: no domain controller was found or it stopped answering. Connect again.
    #[error("no domain controller answers: {0}")]
    Unreachable(String),
    /// The administrator: no ticket for the domain controller.
    #[error("no Kerberos ticket for the domain controller: {0}")]
    Kerberos(String),
    /// The administrator: the connection would not be confidential.
    #[error("the domain controller's connection is not sealed: {0}")]
    NotSealed(&'static str),
    /// The administrator: the domain controller said no.
    #[error("the domain controller refused ({code}): {message}")]
    Refused {
        /// The LDAP result code (RFC 4511 4.1.9).
        code: u32,
        /// The diagnostic message.
        message: String,
    },
    /// The administrator: only read-only domain controllers answer, and something is to be written.
    #[error("no writable domain controller: {0} is read-only")]
    ReadOnly(String),
    /// The administrator: the controller that is named belongs elsewhere. One agent, one domain.
    #[error("{host} is a domain controller of {domain}, not of {expected}")]
    AnotherDomain {
        /// The controller.
        host: String,
        /// Its domain.
        domain: String,
        /// The one that was to be asked.
        expected: String,
    },
    /// The domain controller sent what the protocol does not allow, or more than we take.
    #[error("the domain controller's answer is not understood: {0}")]
    Malformed(&'static str),
    /// The administrator: an object or attribute that every domain has is not there.
    #[error("not in the directory: {0}")]
    Missing(&'static str),
}

/// insufficientAccessRights.
const INSUFFICIENT_ACCESS: u32 = 50;

impl Error {
    /// Whether a right is missing that an administrator can give.
    pub fn is_of_rights(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if *code == INSUFFICIENT_ACCESS)
    }

    /// Whether the connection is of no more use.
    pub fn is_broken(&self) -> bool {
        matches!(
            self,
            Self::Unreachable(_) | Self::NotSealed(_) | Self::Malformed(_)
        )
    }
}

#[cfg(test)]
mod tests;
