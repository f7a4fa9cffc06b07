//! The server's persistence: one contract, SQLite behind one writer.
//!
//! [`Store`] is what the server may ask, one trait per noun. An answer to a write is given after its
//! commit: what a caller was told is there after a crash. Whatever must be true together is one
//! call, so that no caller ever sees or leaves half of it. Times and random ids are arguments: a
//! store reads no clock and draws nothing.
//!
//! Secrets come in sealed (factors, keys) or hashed (codes, sessions): the store never holds what
//! would open a door to whoever reads the file.

#![forbid(unsafe_code)]

mod agent;
mod attempt;
mod audit;
mod change;
mod computer;
mod device;
mod directory;
mod error;
mod factor;
mod group;
mod key;
mod sqlite;
mod tenant;
mod tries;
mod user;

pub use agent::{Agent, Agents, Domain, EnrollmentCode};
pub use attempt::{Attempt, Attempts, Code};
pub use audit::{Audit, AuditRow, Audits};
pub use change::{Change, ChangeOp, ChangeOutcome, ChangeResult, Changes};
pub use computer::{Computer, Computers};
pub use device::{Device, Devices};
pub use directory::{Directory, DirectoryChange, ObjectKind};
pub use error::{Error, Result};
pub use factor::{Factors, Totp};
pub use group::{Group, Groups};
pub use key::{Key, KeyState, Keys, NewKey, Registered};
pub use sqlite::Sqlite;
pub use tenant::{Administrator, Sealed, SealedName, Settings, Tenant, Tenants};
pub use tries::{Limit, Tries, Verdict};
pub use user::{User, Users};

/// SHA-256 of something that only its bearer may know: a code, a session, a token id.
pub type Digest = [u8; 32];

/// Everything that the server may ask of its store.
pub trait Store:
    Tenants
    + Agents
    + Directory
    + Users
    + Groups
    + Computers
    + Devices
    + Factors
    + Tries
    + Attempts
    + Keys
    + Changes
    + Audits
{
}

impl<T> Store for T where
    T: Tenants
        + Agents
        + Directory
        + Users
        + Groups
        + Computers
        + Devices
        + Factors
        + Tries
        + Attempts
        + Keys
        + Changes
        + Audits
{
}
