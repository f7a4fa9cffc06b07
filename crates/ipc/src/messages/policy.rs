//! What policies make of a person.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::Request;

operation! {
    /// What the policies make of a person on this device, and why. A user for itself, root for
    /// anyone.
    "policy.show" PolicyShow {
        /// A local account's name. None: the caller; where that is root, the device alone.
        user: Option<String>,
    } -> PolicyAnswer
}

/// What is in effect.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PolicyAnswer {
    /// JSON of `policy::Report`; the socket's other users need not know it.
    pub report: Box<RawValue>,
}

operation! {
    /// Reads the policies of the device and of the caller from the domain now. Anyone.
    "policy.refresh" PolicyRefresh {
        /// Files too that have not changed; root only.
        force: bool,
    } -> PolicyRefreshAnswer
}

/// How a refresh went.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PolicyRefreshAnswer {
    /// Milliseconds, as the daemon measured.
    pub took_ms: u64,
    /// Group policy objects that were found linked.
    pub objects: u32,
    /// Files that were fetched; whatever had not changed was not.
    pub fetched: u32,
}
