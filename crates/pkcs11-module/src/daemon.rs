//! The daemon as the token needs it.

use std::time::Duration;

use ipc::{
    CallError, Cert, CertAnswer, Connection, Request, Secret, Sign, Ticket, TokenInfo,
    TokenInfoAnswer, Unlock,
};

/// What the token asks of the daemon, always for one user.
pub(crate) trait Daemon {
    /// Is there a credential, and how many tries has it left?
    fn token_info(&self) -> Result<TokenInfoAnswer, CallError>;
    /// Certificate and public key.
    fn cert(&self) -> Result<CertAnswer, CallError>;
    /// Opens the key for one signature.
    fn unlock(&self, pin: Option<Secret>) -> Result<Ticket, CallError>;
    /// Spends a ticket; both hexadecimal.
    fn sign(&self, ticket: String, digest_info: String) -> Result<String, CallError>;
}

/// The daemon behind the socket. Each call has a connection of its own: tickets are bound to the
/// process, not to a connection, and a process that forks leaves nothing open in the child.
pub(crate) struct Socket {
    /// The real user id of this process.
    pub(crate) uid: u32,
}

impl Socket {
    fn call<R: Request>(request: &R) -> Result<R::Answer, CallError> {
        Connection::open(PATIENCE)?.call(request)
    }
}

impl Daemon for Socket {
    fn token_info(&self) -> Result<TokenInfoAnswer, CallError> {
        Self::call(&TokenInfo {
            uid: self.uid,
            remote: false,
        })
    }

    fn cert(&self) -> Result<CertAnswer, CallError> {
        Self::call(&Cert { uid: self.uid })
    }

    fn unlock(&self, pin: Option<Secret>) -> Result<Ticket, CallError> {
        Self::call(&Unlock { uid: self.uid, pin })
    }

    fn sign(&self, ticket: String, digest_info: String) -> Result<String, CallError> {
        Self::call(&Sign {
            ticket,
            digest_info,
        })
        .map(|answer| answer.signature)
    }
}

/// A TPM that other users keep busy takes its time.
const PATIENCE: Duration = Duration::from_secs(20);
