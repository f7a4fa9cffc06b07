//! A statement in a user's name: one GSS-API token and a checksum over the statement.
//!
//! The user's process makes both with the user's own ticket for a service; the service opens them
//! with its key and learns who made them. One token is enough because nothing is sent back: no
//! mutual authentication.
//!
//! *Invariant:* accepting the same token twice works. The statement it belongs to is stored and
//! may be delivered again after a crash, so the acceptor keeps no replay cache; that the statement
//! carries its own sequence number and is acted upon once is the caller's affair.

mod ffi;

use std::path::Path;

use crate::Error;
use ffi::{Acceptor, Security, Service};

/// A statement's proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// The initial context token.
    pub token: Vec<u8>,
    /// The checksum over the statement.
    pub mic: Vec<u8>,
}

/// Vouches for `statement` towards `service` (a principal, `latchkey-sync/host`) with the ticket
/// in the default cache of this user and process.
pub fn initiate(service: &str, statement: &[u8]) -> Result<Proof, Error> {
    let service = Service::parse(service)?;
    let (security, token) = Security::initiate(&service)?;
    let mic = security.checksum(statement)?;
    Ok(Proof { token, mic })
}

/// Who vouched for `statement`, as `name@REALM`, or why that is not proven. The keytab holds the
/// key of the service that the proof was made for.
pub fn accept(keytab: &Path, proof: &Proof, statement: &[u8]) -> Result<String, Error> {
    let acceptor = Acceptor::open(keytab)?;
    let (security, client) = Security::accept(&acceptor, &proof.token)?;
    security.confirm(statement, &proof.mic)?;
    client.text()
}
