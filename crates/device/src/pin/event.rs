//! What happened to a PIN, for administrators who ask later: 383 where one that was forgotten got a
//! successor, 384 where that failed, as in the event log of User Device Registration; and `pin_changed`
//! without a number of theirs.

use model::Sid;
use serde::Serialize;

use crate::daemon::{Daemon, now};

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What<'a> {
    /// Somebody who knew it gave it a successor.
    Changed,
    /// Somebody who did not.
    Recovered,
    /// Nobody could.
    NotRecovered(&'a str),
}

#[derive(Serialize)]
struct Event<'a> {
    time: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<u16>,
    what: &'static str,
    level: &'static str,
    uid: u32,
    sid: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

impl Daemon {
    /// Logs it and keeps it.
    pub(crate) fn tell_pin(&self, uid: u32, sid: &Sid, happened: What<'_>) {
        let (event, what, level, reason) = match happened {
            What::Changed => (None, "pin_changed", "info", None),
            What::Recovered => (Some(383), "pin_recovered", "info", None),
            What::NotRecovered(reason) => (Some(384), "pin_not_recovered", "warning", Some(reason)),
        };
        tracing::info!(uid, event, what, reason, "a PIN");
        let kept = self.events.keep(&Event {
            time: now().0,
            event,
            what,
            level,
            uid,
            sid: sid.to_string(),
            reason,
        });
        if let Err(error) = kept {
            tracing::warn!(%error, "an event could not be kept");
        }
    }
}
