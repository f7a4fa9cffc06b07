//! The server's persistence: one contract, in SQLite or PostgreSQL.
//!
//! [`Store`] is what the server may ask; each noun's file has its types, its calls and its SQL. An
//! answer to a write is given after its commit: what a caller was told is there after a crash.
//! Whatever must be true together is one call, so that no caller ever sees or leaves half of it.
//! Times and random ids are arguments: a store reads no clock and draws nothing. Every row carries
//! its tenant. What a request does costs the same with a hundred thousand users as with ten: an
//! index leads to every row that it looks for.
//!
//! Secrets come in sealed (factors, keys) or hashed (codes, sessions): the store never holds what
//! would open a door to whoever reads the file.

#![forbid(unsafe_code)]

mod access_pass;
mod agent;
mod app;
mod approval;
mod attempt;
mod audit;
mod change;
mod code;
mod computer;
mod device;
mod device_code;
mod directory;
mod endorsement;
mod enrollment;
mod error;
mod evaluation;
mod factor;
mod group;
mod host;
mod key;
mod key_sign_in;
mod lease;
mod lockout;
mod matching;
mod news;
mod policies;
mod policy_report;
mod postgres;
mod prt;
mod refresh;
mod role;
mod security_key;
mod session;
mod settings;
mod sign_in;
mod signing_key;
mod source;
mod spend;
mod sql;
mod sqlite;
mod store;
mod tenant;
mod together;
mod totp;
mod tries;
mod user;

pub use access_pass::AccessPass;
pub use agent::{Agent, AgentSaid, Domain, EnrollmentCode};
pub use app::{App, AppKind, Compat};
pub use approval::{Approval, ApprovalState};
pub use attempt::{Attempt, AttemptKind, Shown};
pub use audit::{Audit, AuditRow, Chain};
pub use change::{Change, ChangeOp, ChangeOutcome, ChangeResult};
pub use code::Code;
pub use computer::Computer;
pub use device::{AttestationTrust, Device, Tombstone, TransportKey};
pub use device_code::{DeviceCode, DeviceCodeState, Poll, SignedIn};
pub use directory::{Applied, DirectoryChange, ObjectKind};
pub use endorsement::{Endorsement, TpmRoot};
pub use enrollment::{DeviceEnrollment, EnrollmentConfiguration, EnrollmentContent};
pub use error::{Error, Result};
pub use evaluation::Evaluation;
pub use factor::Factors;
pub use group::{Group, GroupKind};
pub use key::{AttestationLevel, Attested, Key, KeyState, NewKey, Registered};
pub use key_sign_in::{AskedByKey, KeySignIn};
pub use lease::{Lease, LeaseRequest};
pub use lockout::LockoutCode;
pub use matching::Withheld;
pub use policies::{FormerPolicy, Policy, PolicyContent, Reached};
pub use policy_report::PolicyReport;
pub use postgres::PostgresAddress;
pub use prt::{Prt, Renewal};
pub use refresh::{Redeemed, RefreshFamily, RefreshToken};
pub use role::{Role, RoleAssignment, ScopeTag};
pub use security_key::SecurityKey;
pub use session::Session;
pub use settings::{Attestation, Settings};
pub use sign_in::{SignIn, SignInRow};
pub use signing_key::SigningKey;
pub use spend::Spend;
pub use sql::{Listing, Page};
pub use store::Store;
pub use tenant::{Sealed, SealedName, Tenant};
pub use totp::Totp;
pub use tries::{Limit, Verdict};
pub use user::{Password, User, UserKind};

/// SHA-256 of something that only its bearer may know: a code, a session, a token id.
pub type Digest = [u8; 32];
