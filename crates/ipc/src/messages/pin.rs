//! Another PIN, known or forgotten.

use serde::{Deserialize, Serialize};

use super::{Done, EnrollAnswer, Request};
use crate::Secret;

operation! {
    /// What a new PIN must be. Root for anyone, a user for itself.
    "pin.rules" PinRules {
        /// A local account's name. None: the caller.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user: Option<String>,
    } -> PinRulesAnswer
}

/// The rules for a new PIN.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PinRulesAnswer {
    /// One sentence each.
    pub rules: Vec<String>,
}

operation! {
    /// Changes a PIN. Root (PAM) for anyone, a user for itself.
    "pin.change" PinChange {
        /// A local account's name. None: the caller.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user: Option<String>,
        /// The PIN as it is.
        old: Secret,
        /// The PIN to be.
        new: Secret,
        /// As in [`Signin`](super::Signin).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        phrase: Option<String>,
    } -> Done
}

operation! {
    /// Begins the replacement of a PIN that nobody knows any more. The caller's own; its steps are
    /// those of an enrollment, and so are the operations that answer them.
    "pin.reset" PinReset {
        /// By a new key, in place of the old one; else the key stays and the server's recovery key
        /// gives its word.
        #[serde(default)]
        new_key: bool,
    } -> EnrollAnswer
}
