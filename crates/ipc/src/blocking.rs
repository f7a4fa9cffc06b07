//! A client that blocks, for modules and command lines.

use std::{
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    time::Duration,
};

use zeroize::Zeroizing;

use crate::{Failure, MAX_ANSWER, Request, SOCKET, decode_answer, encode_request};

/// Why a call brought no answer.
#[derive(Debug)]
pub enum CallError {
    /// The daemon is not there, hung up, or was too slow.
    Unreachable(io::Error),
    /// The daemon answered with a refusal.
    Refused(Failure),
}

impl std::fmt::Display for CallError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unreachable(error) => {
                write!(
                    f,
                    "latchkeyd does not answer on {SOCKET} ({error}); is the service running?"
                )
            }
            Self::Refused(failure) => f.write_str(&failure.sentence),
        }
    }
}

impl std::error::Error for CallError {}

impl From<Failure> for CallError {
    fn from(failure: Failure) -> Self {
        Self::Refused(failure)
    }
}

impl From<io::Error> for CallError {
    fn from(error: io::Error) -> Self {
        Self::Unreachable(error)
    }
}

/// One connection to the daemon.
pub struct Connection {
    stream: UnixStream,
    next_id: u64,
}

impl Connection {
    /// Connects to the daemon's fixed path. `patience` bounds each read and write.
    pub fn open(patience: Duration) -> Result<Self, CallError> {
        Self::over(UnixStream::connect(SOCKET)?, patience)
    }

    /// Speaks over a stream that is already connected.
    pub fn over(stream: UnixStream, patience: Duration) -> Result<Self, CallError> {
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        Ok(Self { stream, next_id: 1 })
    }

    /// Sends one request and waits for its answer.
    pub fn call<R: Request>(&mut self, request: &R) -> Result<R::Answer, CallError> {
        let id = self.next_id;
        self.next_id += 1;
        self.stream.write_all(&encode_request(id, request))?;
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        let length = u32::from_le_bytes(length) as usize;
        if length > MAX_ANSWER {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "oversized answer").into());
        }
        let mut text = Zeroizing::new(vec![0; length]);
        self.stream.read_exact(&mut text)?;
        Ok(decode_answer(id, &text)?)
    }
}
