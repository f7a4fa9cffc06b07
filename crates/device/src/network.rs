//! The network has changed: a link, an address or a route came or went.
//!
//! The kernel says that something changed; what, is not read: whoever waits tries again what failed.

mod ffi;

use std::{
    io::{self, ErrorKind},
    os::fd::OwnedFd,
};

use tokio::io::unix::AsyncFd;

/// The kernel's word about links, addresses and routes.
pub(crate) struct Network(AsyncFd<OwnedFd>);

impl Network {
    /// From now on.
    pub(crate) fn watch() -> io::Result<Self> {
        Ok(Self(crate::ffi::awaited(ffi::open()?)?))
    }

    /// Waits until something changes, and takes what has changed until now as one change.
    pub(crate) async fn changed(&self) -> io::Result<()> {
        let mut ready = self.0.readable().await?;
        loop {
            match ffi::take(ready.get_inner()) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    ready.clear_ready();
                    return Ok(());
                }
                // More changed than the kernel could remember: a change all the same.
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
                Ok(()) => {}
            }
        }
    }
}
