//! Where programs stop at joints: a socket in each host's file system, with the test behind it.
//!
//! Everybody is let go at once, but for the first who comes to the joint that is aimed at. A name
//! in the file system reaches into the hosts, whose networks are their own.

use std::io::{BufRead as _, BufReader};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use protocol::Joint;
use testkit::lab::Host;

/// Where the programs of a host find the gate.
pub(super) const SOCKET: &str = "/run/joints.sock";

/// The gate of all hosts.
pub(super) struct Gate {
    aim: Arc<Mutex<Option<Joint>>>,
    arrivals: Sender<Stopped>,
    stopped: Receiver<Stopped>,
}

/// A part that waits at the joint that was aimed at; it goes on when this is dropped.
pub(super) struct Stopped {
    /// Which part.
    pub(super) part: String,
    _line: UnixStream,
}

impl Gate {
    /// A gate that lets everybody through.
    pub(super) fn open() -> Self {
        let (arrivals, stopped) = channel();
        Self {
            aim: Arc::default(),
            arrivals,
            stopped,
        }
    }

    /// Puts the socket into a host.
    pub(super) fn guard(&self, host: &Host) -> Result<()> {
        let path = host.path(SOCKET);
        let listener = UnixListener::bind(&path).with_context(|| path.display().to_string())?;
        let (aim, arrivals) = (Arc::clone(&self.aim), self.arrivals.clone());
        thread::spawn(move || {
            for line in listener.incoming().flatten() {
                receive(line, &aim, &arrivals);
            }
        });
        Ok(())
    }

    /// The next to come to `joint` is to be stopped.
    pub(super) fn aim(&self, joint: Joint) {
        *self.aim.lock().unwrap_or_else(PoisonError::into_inner) = Some(joint);
    }

    /// Waits for the one that is aimed at.
    pub(super) fn next(&self, within: Duration) -> Result<Stopped> {
        self.stopped
            .recv_timeout(within)
            .context("nobody came to the joint")
    }
}

/// Hears who it is, and where. A part that was killed before it had said so is not heard.
fn receive(line: UnixStream, aim: &Mutex<Option<Joint>>, arrivals: &Sender<Stopped>) {
    let mut said = String::new();
    if BufReader::new(&line).read_line(&mut said).is_err() {
        return;
    }
    let Some((part, joint)) = said.trim().split_once(' ') else {
        return;
    };
    let mut aim = aim.lock().unwrap_or_else(PoisonError::into_inner);
    if aim.is_some_and(|aimed| aimed.name() == joint) {
        *aim = None;
        // Without a test that waits, the line is dropped and the part goes on.
        let _gone = arrivals.send(Stopped {
            part: part.to_owned(),
            _line: line,
        });
    }
}
