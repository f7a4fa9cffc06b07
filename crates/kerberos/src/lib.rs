//! Kerberos as the programs need it, by MIT's libkrb5 and its GSS-API through hand-written
//! bindings: a ticket by the user's key (PKINIT), by password or by keytab; the proof that a
//! ticket came from a KDC that knows this host; and signed statements in a user's name.
//!
//! Everything here blocks and belongs on a thread or in a process of its own. The profile is the
//! one `KRB5_CONFIG` names, set by a program before its first thread; [`Profile`] writes the part
//! of it that a login needs.
//!
//! *Invariant:* no call here asks anybody anything. There is no prompter, so a PKINIT login can
//! never become a request for the directory password.
//!
//! *Invariant:* a ticket is proof of identity only after [`Context::verify`] or
//! [`Context::password_check`]: the KDC's certificate alone does not convince, because the anchors
//! of a PKINIT call contain the device root, which libkrb5 would also accept for a KDC.
//!
//! Crates that already bind libkrb5 lack the PKINIT options, and Rust implementations of PKINIT
//! lack the checks of the KDC's certificate; MIT's client has both.

mod context;
mod error;
mod ffi;
pub mod gss;
mod heard;
mod opened;
mod profile;

pub use context::{Context, PkinitRequest, Tgt};
pub use error::{Closed, Error};
pub use profile::Profile;

#[cfg(test)]
mod tests;
