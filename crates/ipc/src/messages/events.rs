//! What happened on a device.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::Request;

operation! {
    /// What happened on this device: root everything, anyone else what happened to them.
    "events" EventsShow {
        /// Those of this number.
        #[serde(default)]
        id: Option<u16>,
        /// Those since then: unix seconds.
        #[serde(default)]
        since: Option<i64>,
        /// Those behind this place; 0 for all.
        #[serde(default)]
        after: u64,
    } -> EventsAnswer
}

/// Events, the oldest first.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EventsAnswer {
    /// One object an event: `seq`, `time` (unix seconds), `event`, `level`, `message`, to whom it
    /// happened as `uid`, `user` and `sid`, and its fields in their order.
    pub events: Vec<Box<RawValue>>,
    /// Where to go on, where there is more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}
