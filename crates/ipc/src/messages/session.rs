//! Sign-ins, and the sessions that they open.

use serde::{Deserialize, Serialize};

use super::{Done, PreReqResult, Request};
use crate::Secret;

operation! {
    /// Checks a PIN and gets a Kerberos ticket into the user's default cache. Root (PAM) for anyone,
    /// a user for itself.
    "signin" Signin {
        /// A local account's name; resolved by the daemon. None: the caller.
        user: Option<String>,
        /// The PIN.
        pin: Secret,
        /// The PAM service, or `latchkey`.
        service: String,
        /// Comes the person over the network? Then the PIN is refused, unless a policy takes it.
        remote: bool,
        /// Is a session wanted even where no domain controller answers and there is no ticket?
        #[serde(default)]
        offline: bool,
        /// What a person typed because [`TokenInfoAnswer::phrase`](super::TokenInfoAnswer::phrase) asked for it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        phrase: Option<String>,
    } -> SigninAnswer
}

/// How a sign-in went when the PIN was right.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SigninAnswer {
    /// The account's uid.
    pub uid: u32,
    /// The client principal.
    pub principal: String,
    /// The cache that now holds the ticket, as for `KRB5CCNAME`; none where there is no ticket.
    pub ccache: Option<String>,
    /// The ticket's service principal.
    pub ticket_server: Option<String>,
    /// What the person is to know, as a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notice: Option<String>,
    /// Milliseconds spent in the whole, as the daemon measured.
    pub took_ms: u64,
}

operation! {
    /// A person's session has begun: reads its policies and judges whether an enrollment is
    /// offered. Root (PAM).
    "session.open" SessionOpen {
        /// A local account's name.
        user: String,
        /// Does the person come over the network?
        remote: bool,
    } -> SessionOpenAnswer
}

operation! {
    /// A person's session is over: with the last one, the PIN is wiped. Root (PAM), in the process
    /// that opened it; the end of that process means the same.
    "session.close" SessionClose {
        /// A local account's name.
        user: String,
    } -> Done
}

operation! {
    /// The caller's session is locked: the PIN is wiped, until the next sign-in. Root: everybody's.
    "lock" Lock {} -> Done
}

/// Is something to be offered?
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SessionOpenAnswer {
    /// What the prerequisites amount to.
    pub result: PreReqResult,
}
