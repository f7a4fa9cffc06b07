//! latchkeyd, the daemon that owns a workstation's credentials, and its login helper.
//!
//! ```text
//!   PAM, PKCS#11, CLI ──▶ socket ──▶ unlock   one signature for one process
//!                           │    ──▶ signin   PIN → helper as the user → ticket, proven; or offline, for a while
//!                           │    ──▶ session  who is here: PIN kept, ticket and server token got anew
//!                           │    ──▶ enroll   factors → key → proof → registered → in AD
//!                           │    ──▶ join     AD → server
//!                           │    ──▶ policies AD → what is allowed, offered, demanded
//!                           └──▶ chip (TPM, or a program in its place) · domain (AD) · server (HTTPS) · files
//! ```
//!
//! *Invariant:* who a caller is, the kernel says; what it says of itself decides nothing.
//! *Invariant:* a credential belongs to a SID; a name or uid without that SID gets nothing.
//! *Invariant:* a PIN goes into the TPM's arithmetic and nowhere else: no file, log or other
//! process gets it. In memory it stays while its person's session is unlocked, and no longer.
//! *Invariant:* nothing is believed about a server, a KDC or a ticket before it has proven itself
//! by the key that the directory or the administrator named.

pub mod accounts;
mod attestation;
mod certificate;
mod chip;
pub mod config;
mod confirmations;
mod credential;
pub mod daemon;
mod deleted;
mod domain;
mod enroll;
pub mod error;
mod events;
mod factors;
mod ffi;
mod files;
pub mod helper;
mod identity;
mod join;
mod kdcs;
pub mod key_storage;
mod keys;
mod keytab;
mod lockout;
mod login;
mod logind;
mod network;
mod offline;
mod peer;
mod pin;
mod policies;
mod presence;
mod primary;
mod reconnect;
mod recovery;
mod renamed;
mod renewal;
pub mod revocation;
pub mod run;
mod server;
mod session;
mod signin;
pub mod socket;
mod software_tpm;
mod status;
mod stretch;
mod text;
mod tickets;
mod turns;
pub mod unasked;
mod unlock;

pub use error::Error;
