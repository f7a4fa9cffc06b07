//! A stream that ends at one moment, however busy it is.
//!
//! A timeout of each read would let a helper that sends a byte now and then, which its user may
//! have taken over, hold a thread of the daemon for as long as it likes.

use std::{
    io::{self, ErrorKind, Read, Write},
    os::unix::net::UnixStream,
    time::{Duration, Instant},
};

/// A stream with the moment when it ends.
pub struct Deadline {
    stream: UnixStream,
    end: Instant,
}

impl Deadline {
    /// Until `end`.
    pub fn until(stream: UnixStream, end: Instant) -> Self {
        Self { stream, end }
    }

    fn left(&self) -> io::Result<Duration> {
        match self.end.saturating_duration_since(Instant::now()) {
            Duration::ZERO => Err(ErrorKind::TimedOut.into()),
            left => Ok(left),
        }
    }
}

impl Read for Deadline {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(self.left()?))?;
        self.stream.read(buffer)
    }
}

impl Write for Deadline {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(self.left()?))?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}
