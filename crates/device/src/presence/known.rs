//! The open sessions, written down for the daemon that comes after this one: an upgrade ends nobody's, and
//! whoever types a PIN in one is to have a ticket that is renewed.
//!
//! No PIN is in it. It lies beside the socket, in a folder that does not outlive the machine's run, for
//! after that another process could have the number and the start of one of before.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::Presence;
use crate::{Error, daemon::Daemon, files, peer::Process};

/// An open session: whose it is, and what opened it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Open {
    person: u32,
    process: Process,
}

impl Presence {
    /// Keeps the list at `path`; two changes at once leave the later one's.
    fn write_down(&self, path: &Path) -> Result<(), Error> {
        let people = self.lock();
        let open: Vec<Open> = people
            .iter()
            .flat_map(|(uid, person)| {
                let of = |process| Open {
                    person: *uid,
                    process,
                };
                let sessions = person.sessions.iter();
                sessions.flat_map(move |session| {
                    std::iter::repeat_with(move || of(session.process)).take(session.open)
                })
            })
            .collect();
        files::write(path, &open)
    }
}

impl Daemon {
    fn sessions_path(&self) -> PathBuf {
        self.config.socket.with_file_name("sessions.json")
    }

    /// Writes down which sessions are open.
    pub(super) fn note_sessions(&self) {
        if let Err(error) = self.presence.write_down(&self.sessions_path()) {
            tracing::warn!(%error, "the open sessions could not be written down");
        }
    }

    /// Finds the sessions again that the last daemon knew and that still go on.
    pub(crate) fn find_sessions(self: &Arc<Self>) {
        let known: Vec<Open> = match files::read(&self.sessions_path()) {
            Ok(known) => known.unwrap_or_default(),
            Err(error) => {
                tracing::warn!(%error, "nobody knows which sessions are open");
                Vec::new()
            }
        };
        for Open { person, process } in known {
            if let Some(handle) = process.find() {
                self.watch_session(person, process, Ok(handle));
            }
        }
        self.note_sessions();
    }
}
