//! What the daemon and its login helper say to each other over the socket the helper inherits.
//!
//! The helper is a process of the user's that runs libkrb5 once: it logs in with the key that the
//! daemon has just opened for it, shows the ticket to the daemon, and keeps it only after the
//! daemon has proven it against the host's keytab, which the user may not read:
//!
//! ```text
//! daemon                                helper (the user's uid)
//!   Request            ─────────────▶   PKINIT; C_Sign comes back to the daemon's public socket
//!   Obtained, ticket   ◀─────────────
//!   Verdict            ─────────────▶   default cache of the user
//!   Stored             ◀─────────────
//! ```
//!
//! It starts as what the daemon is, root, and becomes the user before it does anything but read who
//! that is. So there is no moment in which the user's other processes may look into it, and the
//! daemon is not copied to change the ids of the copy.
//!
//! A frame is a little-endian `u32` length of at most [`MAX_FRAME`] and that many bytes: JSON,
//! except for the one that is the ticket. In place of `Obtained` and `Stored` the helper may answer
//! [`Failed`], and is gone then.
//!
//! *Invariant:* a ticket that the daemon did not confirm reaches no cache.

mod deadline;
pub mod ffi;
mod kdc_certificate;

use std::io::{self, ErrorKind, Read, Write};

pub use deadline::Deadline;
pub use kdc_certificate::kdc_certificate;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use zeroize::Zeroizing;

/// The login that is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Who the helper becomes, where it is root.
    pub ids: Ids,
    /// `name@REALM`.
    pub principal: String,
    /// The PKCS#11 module.
    pub module: String,
    /// PEM files, readable by the user: the KDCs' authorities and the device root.
    pub anchors: Vec<String>,
}

/// A user as the kernel knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ids {
    /// The user.
    pub uid: u32,
    /// The primary group.
    pub gid: u32,
    /// Every group.
    pub groups: Vec<u32>,
}

/// The login worked; the ticket follows as a frame of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Obtained {
    /// The client, as the KDC names it.
    pub principal: String,
    /// The ticket's service principal.
    pub server: String,
    /// The ticket's end, seconds since 1970.
    pub end: u64,
    /// Base64 DER of the certificate that the KDC signed its answer with, as the helper saw it: for
    /// a diagnosis only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kdc_certificate: Option<String>,
}

/// What the host's keytab says of the ticket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verdict {
    /// Comes it from a KDC that knows this host?
    pub verified: bool,
}

/// The ticket is where the user's programs look for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// As for `KRB5CCNAME`.
    pub ccache: String,
}

/// Why there is no ticket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Failed {
    /// [`kerberos::Error::code`], or `helper` where the helper itself broke.
    pub code: String,
    /// For the log.
    pub message: String,
}

impl From<kerberos::Error> for Failed {
    fn from(error: kerberos::Error) -> Self {
        Self {
            code: error.code().to_owned(),
            message: error.to_string(),
        }
    }
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        // The helper's time is spent looking for a KDC.
        let is_late = matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock);
        Self {
            code: if is_late { "kdc_unreachable" } else { "helper" }.to_owned(),
            message: format!("the login helper broke off: {error}"),
        }
    }
}

/// The daemon's side of one login. Blocks; a [`Deadline`] bounds it. What `prepare` makes while the
/// helper is at work gets the client's name and the ticket, and refuses what does not prove itself
/// against the keytab.
pub fn log_in<S: Read + Write, P>(
    helper: &mut S,
    request: &Request,
    prepare: impl FnOnce() -> P,
) -> Result<(Obtained, Stored), Failed>
where
    P: FnOnce(&Obtained, &[u8]) -> Result<(), Failed>,
{
    send(helper, request)?;
    let prove = prepare();
    let obtained = receive::<Result<Obtained, Failed>>(helper)??;
    let ticket = receive_bytes(helper)?;
    let proven = prove(&obtained, &ticket);
    send(
        helper,
        &Verdict {
            verified: proven.is_ok(),
        },
    )?;
    proven?;
    let stored = receive::<Result<Stored, Failed>>(helper)??;
    Ok((obtained, stored))
}

/// Sends one message.
pub fn send<T: Serialize>(stream: &mut impl Write, message: &T) -> io::Result<()> {
    send_bytes(stream, &serde_json::to_vec(message)?)
}

/// Waits for one message.
pub fn receive<T: DeserializeOwned>(stream: &mut impl Read) -> io::Result<T> {
    Ok(serde_json::from_slice(&receive_bytes(stream)?)?)
}

/// Sends one frame.
pub fn send_bytes(stream: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    if bytes.len() > MAX_FRAME {
        return Err(io::Error::new(ErrorKind::InvalidInput, "oversized frame"));
    }
    stream.write_all(&(bytes.len() as u32).to_le_bytes())?;
    stream.write_all(bytes)
}

/// Waits for one frame.
pub fn receive_bytes(stream: &mut impl Read) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length) as usize;
    if length > MAX_FRAME {
        return Err(io::Error::new(ErrorKind::InvalidData, "oversized frame"));
    }
    let mut bytes = Zeroizing::new(vec![0; length]);
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Room for a ticket with the largest authorisation data a domain issues.
pub const MAX_FRAME: usize = 64 * 1024;

/// The descriptor that the helper inherits its end of the socket on: standard input.
pub const SOCKET_FD: i32 = 0;

#[cfg(test)]
mod tests;
