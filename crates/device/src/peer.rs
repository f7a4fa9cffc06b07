//! Who is at the other end of a connection, as the kernel says and nobody else.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
};

use serde::{Deserialize, Serialize};
use tokio::net::UnixStream;

use crate::ffi;

/// One process, once: a process id alone is given out again after the process has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Process {
    /// Its user when it connected.
    pub uid: u32,
    /// Its id.
    pub pid: i32,
    /// When it started, in clock ticks since the machine did.
    pub start: u64,
}

/// The other end of a connection.
pub(crate) struct Peer {
    /// The process.
    pub process: Process,
    pidfd: OwnedFd,
}

impl Peer {
    /// Reads the peer of a connection that has just been accepted.
    pub(crate) fn of(stream: &UnixStream) -> io::Result<Self> {
        let credentials = stream.peer_cred()?;
        let pid = credentials.pid().unwrap_or(0);
        if pid <= 0 {
            return Err(io::Error::other(
                "the peer lives in a foreign process namespace",
            ));
        }
        let pidfd = ffi::peer_pidfd(stream.as_fd(), pid)?;
        let process = Process {
            uid: credentials.uid(),
            pid,
            start: start_of(pid)?,
        };
        let peer = Self { process, pidfd };
        // Alive now means alive while its start was read: then the start is this process's own.
        if peer.has_ended() {
            return Err(io::Error::other("the peer has ended"));
        }
        Ok(peer)
    }

    /// Is it root?
    pub(crate) fn is_root(&self) -> bool {
        self.process.uid == 0
    }

    /// May it act for the user `uid`?
    pub(crate) fn may_act_for(&self, uid: u32) -> bool {
        self.is_root() || self.process.uid == uid
    }

    /// A handle of its own on the process, which becomes readable at its end.
    pub(crate) fn handle(&self) -> io::Result<OwnedFd> {
        self.pidfd.try_clone()
    }

    /// Has it ended, although its connection may live on in a child?
    pub(crate) fn has_ended(&self) -> bool {
        ffi::has_ended(self.pidfd.as_fd())
    }
}

impl Process {
    /// A child that was just started for `uid`, and is not waited for yet.
    pub fn of_child(pid: i32, uid: u32) -> io::Result<Self> {
        let start = start_of(pid)?;
        Ok(Self { uid, pid, start })
    }

    /// A handle on it, if it still runs.
    pub(crate) fn find(&self) -> Option<OwnedFd> {
        let handle = ffi::pidfd(self.pid).ok()?;
        // The id is this process's now, and the handle's has not ended since it was opened: one and the same.
        let is_it = start_of(self.pid).ok()? == self.start && !ffi::has_ended(handle.as_fd());
        is_it.then_some(handle)
    }
}

/// Field 22 of `/proc/PID/stat`, counted behind the command name, which may hold anything.
fn start_of(pid: i32) -> io::Result<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    stat.rsplit_once(") ")
        .and_then(|(_, rest)| rest.split(' ').nth(19))
        .and_then(|field| field.parse().ok())
        .ok_or_else(|| io::Error::other("/proc tells no start time"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_peer_of_an_own_connection_is_this_process() {
        let (one, _other) = UnixStream::pair().unwrap();
        let peer = Peer::of(&one).unwrap();
        assert_eq!(peer.process.pid, std::process::id() as i32);
        let own = std::fs::metadata("/proc/self").unwrap();
        assert_eq!(peer.process.uid, std::os::unix::fs::MetadataExt::uid(&own));
        assert_eq!(peer.process.start, start_of(peer.process.pid).unwrap());
        assert!(!peer.has_ended());
    }

    #[test]
    fn a_process_that_has_ended_has_no_start_and_is_not_found() {
        let mut child = std::process::Command::new("cat")
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let process = Process::of_child(child.id() as i32, 0).unwrap();
        assert!(process.find().is_some());
        let another = Process {
            start: process.start + 1,
            ..process
        };
        assert!(another.find().is_none());
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(start_of(process.pid).is_err() && process.find().is_none());
    }
}
