//! The device's own record of what was decided at sign-ins, for administrators who ask later.
//!
//! `events.jsonl` in the daemon's folder holds one JSON object a line, the newest last. When it is
//! full it becomes `events.old.jsonl`, whose place it takes; so the two never grow beyond a bound.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use ipc::Prerequisites;
use model::Sid;
use serde::Serialize;

use crate::{daemon::now, session::Judged};

/// What the prerequisites of an enrollment came to.
#[derive(Debug, Serialize)]
pub(crate) struct Event<'a> {
    time: i64,
    event: u16,
    level: &'static str,
    uid: u32,
    user: &'a str,
    sid: String,
    #[serde(flatten)]
    prerequisites: Prerequisites,
    #[serde(rename = "CertificateTrustEnabled")]
    certificate_trust: bool,
    #[serde(rename = "CloudTrustEnabled")]
    cloud_trust: bool,
    #[serde(rename = "GovernedByGroupPolicy")]
    governed_by_group_policy: bool,
    reason: &'a str,
}

impl<'a> Event<'a> {
    pub(crate) fn new(uid: u32, user: &'a str, sid: &Sid, judged: &'a Judged) -> Self {
        Self {
            time: now().0,
            event: judged.event,
            level: if judged.event == 358 {
                "info"
            } else {
                "warning"
            },
            uid,
            user,
            sid: sid.to_string(),
            prerequisites: judged.prerequisites,
            certificate_trust: judged.certificate_trust,
            cloud_trust: judged.cloud_trust,
            governed_by_group_policy: judged.governed_by_group_policy,
            reason: &judged.why,
        }
    }

    pub(crate) fn log(&self) {
        let Self {
            event,
            uid,
            user,
            reason,
            ..
        } = *self;
        match event {
            358 => tracing::info!(event, uid, user, reason, "an enrollment is offered"),
            _ => tracing::warn!(event, uid, user, reason, "no enrollment is offered"),
        }
    }
}

/// The record.
pub(crate) struct Events {
    path: PathBuf,
    limit: u64,
    turn: Mutex<()>,
}

impl Events {
    /// In the daemon's folder.
    pub(crate) fn in_folder(folder: &Path) -> Self {
        Self {
            path: folder.join("events.jsonl"),
            limit: LIMIT,
            turn: Mutex::default(),
        }
    }

    /// Appends one.
    pub(crate) fn keep(&self, event: &impl Serialize) -> io::Result<()> {
        let _one = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let mut line = serde_json::to_vec(event)?;
        line.push(b'\n');
        let size = fs::metadata(&self.path).map_or(0, |metadata| metadata.len());
        if size + line.len() as u64 > self.limit {
            fs::rename(&self.path, self.path.with_extension("old.jsonl"))?;
        }
        let mut options = OpenOptions::new();
        options.append(true).create(true).mode(0o600);
        options.open(&self.path)?.write_all(&line)
    }
}

/// Of one file, in bytes: some thousand sign-ins.
const LIMIT: u64 = 512 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_record_keeps_the_newest_and_stays_within_its_bound() {
        let folder = std::env::temp_dir().join(format!("latchkey-events-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let events = Events {
            limit: 100,
            ..Events::in_folder(&folder)
        };
        for number in 0..50 {
            events.keep(&format!("event {number:04}")).unwrap();
        }
        let kept = fs::read_to_string(folder.join("events.jsonl")).unwrap();
        let old = fs::read_to_string(folder.join("events.old.jsonl")).unwrap();
        fs::remove_dir_all(&folder).unwrap();
        assert!(kept.len() <= 100 && old.len() <= 100);
        let lines: Vec<_> = old.lines().chain(kept.lines()).collect();
        assert_eq!(lines.last(), Some(&"\"event 0049\""));
        let first = 50 - lines.len();
        assert_eq!(lines[0], format!("\"event {first:04}\""));
    }
}
