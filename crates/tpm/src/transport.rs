//! One byte channel to one TPM: the resource-managed device, or swtpm over TCP or a socket pair.
//!
//! All carry bare TPM commands and answers, so a channel is a file or a socket and nothing more.
//! `/dev/tpm0` is refused: without the kernel's resource manager a crash leaks the TPM's slots.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::Error;

/// The header of every answer: tag, length, response code.
pub(crate) const HEADER: usize = 10;

/// No TPM takes or answers more.
pub(crate) const LARGEST: usize = 4096;

/// Making an RSA key may take most of a minute; swtpm that serves someone else never answers.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) enum Transport {
    Device(File),
    Swtpm(TcpStream),
    /// The same program, as a child of whoever holds the other end.
    Child(UnixStream),
}

impl Transport {
    /// Opens what a TCTI string names: `device:/dev/tpmrm0` or `swtpm:host=…,port=…`.
    pub(crate) fn open(tcti: &str) -> Result<Self, Error> {
        let unavailable = |error: io::Error| Error::Unavailable(format!("{tcti}: {error}"));
        if let Some(path) = tcti.strip_prefix("device:") {
            if !path.starts_with("/dev/tpmrm") {
                return Err(Error::Unavailable(format!(
                    "{tcti}: only a resource-managed device (/dev/tpmrm…) is used"
                )));
            }
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .open(path)
                .map_err(unavailable)?;
            return Ok(Self::Device(file));
        }
        let (host, port) = swtpm_address(tcti).ok_or_else(|| {
            Error::Unavailable(format!(
                "{tcti}: neither device:/dev/tpmrm… nor swtpm:host=…,port=…"
            ))
        })?;
        let stream = TcpStream::connect((host, port)).map_err(unavailable)?;
        stream.set_nodelay(true).map_err(unavailable)?;
        stream
            .set_read_timeout(Some(PATIENCE))
            .map_err(unavailable)?;
        Ok(Self::Swtpm(stream))
    }

    /// Speaks over a channel that is open already.
    pub(crate) fn over(channel: UnixStream) -> Result<Self, Error> {
        channel
            .set_read_timeout(Some(PATIENCE))
            .map_err(|error| Error::Unavailable(error.to_string()))?;
        Ok(Self::Child(channel))
    }

    /// Has it no resource manager?
    pub(crate) fn is_bare(&self) -> bool {
        match self {
            Self::Device(_) => false,
            Self::Swtpm(_) | Self::Child(_) => true,
        }
    }

    /// Sends one command and reads its whole answer.
    pub(crate) fn exchange(&mut self, command: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Self::Device(file) => {
                file.write_all(command)?;
                let mut answer = vec![0; LARGEST];
                let length = file.read(&mut answer)?;
                answer.truncate(length);
                Ok(answer)
            }
            Self::Swtpm(stream) => exchange(stream, command),
            Self::Child(stream) => exchange(stream, command),
        }
    }
}

/// Over a stream, where an answer may come in pieces.
fn exchange(stream: &mut (impl Read + Write), command: &[u8]) -> io::Result<Vec<u8>> {
    stream.write_all(command)?;
    let mut answer = vec![0; HEADER];
    stream.read_exact(&mut answer)?;
    let length = answer
        .get(2..6)
        .and_then(|field| field.try_into().ok())
        .map_or(0, u32::from_be_bytes);
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if !(HEADER..=LARGEST).contains(&length) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    answer.resize(length, 0);
    let (_, body) = answer.split_at_mut(HEADER);
    stream.read_exact(body)?;
    Ok(answer)
}

fn swtpm_address(tcti: &str) -> Option<(&str, u16)> {
    let mut host = None;
    let mut port = None;
    for pair in tcti.strip_prefix("swtpm:")?.split(',') {
        match pair.split_once('=')? {
            ("host", value) => host = Some(value),
            ("port", value) => port = Some(value.parse().ok()?),
            _ => return None,
        }
    }
    Some((host?, port?))
}

/// The TPM asked to be asked again; it names no event to wait for.
#[expect(
    clippy::disallowed_methods,
    reason = "the one polling helper of this crate"
)]
pub(crate) fn wait_before_asking_again() {
    std::thread::sleep(Duration::from_millis(20));
}
