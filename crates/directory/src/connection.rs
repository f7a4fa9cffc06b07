//! One connection to a domain controller: bound, sealed, one request at a time.

use std::{net::SocketAddr, time::Duration};

use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::spawn_blocking,
    time::{sleep, timeout},
};

use crate::{
    Error,
    entry::Entry,
    locate,
    message::{Body, Outcome, Request, Response, first_message},
    seal::{Handshake, MAX_SEALED, Next, Seal},
};

const CONNECT: Duration = Duration::from_secs(2);
/// How long a host may be silent. Its kernel answers for a busy domain controller, so that this is not
/// about how long an answer takes.
const SILENT: Duration = Duration::from_secs(3);
const PROBE: Duration = Duration::from_secs(1);
/// How long it may keep an answer back before it is asked whether it is there.
const BUSY: Duration = Duration::from_secs(1);
/// For each piece of an answer, not for the whole of it.
const ANSWER: Duration = Duration::from_secs(30);
/// The longest LDAP message that is taken.
const MAX_MESSAGE: usize = 64 * 1024 * 1024;

const SUCCESS: u32 = 0;
const SASL_IN_PROGRESS: u32 = 14;

/// The connection.
pub(crate) struct Connection {
    stream: TcpStream,
    /// Where it is pinged, if it ever answered one: a wall may keep out pings and nothing else.
    pings: Option<SocketAddr>,
    /// None until the bind is done.
    seal: Option<Seal>,
    /// Bytes as they came.
    raw: Vec<u8>,
    /// Messages after their seal was opened; the last one may be incomplete.
    clear: Vec<u8>,
    /// How much of `clear` has been read.
    read: usize,
    id: i32,
    /// A request was given up between its first and its last byte.
    torn: bool,
}

impl Connection {
    /// Connects and binds with the process's Kerberos credentials to a host that answers pings, or not.
    pub(crate) async fn open(
        address: SocketAddr,
        host: &str,
        realm: &str,
        is_pinged: bool,
    ) -> Result<Self, Error> {
        let stream = timeout(CONNECT, TcpStream::connect(address))
            .await
            .map_err(|_| Error::Unreachable(format!("{host}: no connection in time")))?
            .map_err(|error| Error::Unreachable(format!("{host}: {error}")))?;
        stream.set_nodelay(true).map_err(broken)?;
        notice_death(&stream).map_err(broken)?;
        let mut connection = Self {
            stream,
            pings: is_pinged.then_some(address),
            seal: None,
            raw: Vec::new(),
            clear: Vec::new(),
            read: 0,
            id: 0,
            torn: false,
        };
        connection.bind(host.to_owned(), realm.to_owned()).await?;
        Ok(connection)
    }

    async fn bind(&mut self, host: String, realm: String) -> Result<(), Error> {
        let (handshake, mut token) = spawn_blocking(move || Handshake::begin(&host, &realm))
            .await
            .map_err(joined)??;
        let mut handshake = Some(handshake);
        let mut seal = None;
        for _ in 0..MAX_STEPS {
            let outcome = self.call(&Request::Bind(&token), |_| Ok(())).await?;
            match (outcome.code, handshake.take(), seal.take()) {
                (SUCCESS, _, Some(agreed)) => {
                    self.seal = Some(agreed);
                    return Ok(());
                }
                (SASL_IN_PROGRESS, Some(current), None) => {
                    let answer = outcome.value;
                    let (rest, next) = spawn_blocking(move || current.next(&answer))
                        .await
                        .map_err(joined)??;
                    handshake = rest;
                    match next {
                        Next::Send(next) => token = next,
                        Next::Last(next, agreed) => {
                            token = next;
                            seal = Some(agreed);
                        }
                    }
                }
                (SUCCESS, ..) => {
                    return Err(Error::NotSealed("the bind ended without a security layer"));
                }
                (code, ..) => {
                    return Err(Error::Refused {
                        code,
                        message: outcome.message,
                    });
                }
            }
        }
        Err(Error::Malformed("a bind without end"))
    }

    /// Sends a request, gives every entry of the answer to `each`, and returns its end.
    pub(crate) async fn call(
        &mut self,
        request: &Request<'_>,
        mut each: impl FnMut(Entry) -> Result<(), Error>,
    ) -> Result<Outcome, Error> {
        if self.torn {
            return Err(Error::Unreachable(
                "an earlier request was given up".to_owned(),
            ));
        }
        self.torn = true;
        self.id = if self.id == i32::MAX { 1 } else { self.id + 1 };
        let mut bytes = request.encode(self.id);
        if let Some(seal) = &mut self.seal {
            bytes = seal.seal(&bytes)?;
        }
        timeout(ANSWER, self.stream.write_all(&bytes))
            .await
            .map_err(late)?
            .map_err(broken)?;
        let mut failed = None;
        loop {
            let response = self.response().await?;
            if response.id != self.id as u32 {
                return Err(Error::Unreachable(
                    "the domain controller hangs up".to_owned(),
                ));
            }
            match response.body {
                Body::Done(outcome) => {
                    self.torn = false;
                    return match failed {
                        Some(error) => Err(error),
                        None => Ok(outcome),
                    };
                }
                // An entry that is not understood fails the search, not the connection: the rest
                // of the answer is still read.
                Body::Entry(entry) if failed.is_none() => failed = each(entry).err(),
                Body::Entry(_) | Body::Referral => {}
            }
        }
    }

    /// The next message.
    async fn response(&mut self) -> Result<Response, Error> {
        loop {
            let waiting = self.clear.get(self.read..).unwrap_or_default();
            if let Some((content, length)) = first_message(waiting)? {
                let response = Response::decode(content);
                self.read += length;
                return response;
            }
            self.clear.drain(..self.read);
            self.read = 0;
            if self.clear.len() > MAX_MESSAGE {
                return Err(Error::Malformed("a message longer than 64 MiB"));
            }
            self.receive().await?;
        }
    }

    /// Moves what arrives to the clear bytes, through the seal where there is one.
    async fn receive(&mut self) -> Result<(), Error> {
        let Some(seal) = &mut self.seal else {
            return fill(&mut self.stream, self.pings, &mut self.clear).await;
        };
        loop {
            if let Some((length, rest)) = self.raw.split_first_chunk::<4>() {
                let length = u32::from_be_bytes(*length) as usize;
                if length > MAX_SEALED {
                    return Err(Error::Malformed("a sealed buffer longer than agreed"));
                }
                if let Some(sealed) = rest.get(..length) {
                    self.clear.extend(seal.open(sealed)?);
                    self.raw.drain(..4 + length);
                    return Ok(());
                }
            }
            fill(&mut self.stream, self.pings, &mut self.raw).await?;
        }
    }
}

const MAX_STEPS: usize = 8;

/// A host that is gone without a word must not be waited for as long as a busy one.
fn notice_death(stream: &TcpStream) -> std::io::Result<()> {
    let socket = SockRef::from(stream);
    let alive = TcpKeepalive::new().with_time(PROBE).with_interval(PROBE);
    socket.set_tcp_keepalive(&alive)?;
    socket.set_tcp_user_timeout(Some(SILENT))
}

async fn fill(
    stream: &mut TcpStream,
    pings: Option<SocketAddr>,
    bytes: &mut Vec<u8>,
) -> Result<(), Error> {
    bytes.reserve(64 * 1024);
    let read = tokio::select! {
        read = stream.read_buf(bytes) => read,
        error = hangs(pings) => return Err(error),
    };
    match read.map_err(broken)? {
        0 => Err(Error::Unreachable(
            "the domain controller closed the connection".to_owned(),
        )),
        _ => Ok(()),
    }
}

/// Waits until a domain controller is to be given up: it may take its time, as long as it says that it
/// is there. Behind a kernel that answers, its processes may hang.
async fn hangs(pings: Option<SocketAddr>) -> Error {
    let is_gone = async {
        let Some(address) = pings else {
            return std::future::pending().await;
        };
        loop {
            sleep(BUSY).await;
            if !locate::is_there(address).await {
                return Error::Unreachable("it answers neither a request nor a ping".to_owned());
            }
        }
    };
    timeout(ANSWER, is_gone).await.unwrap_or_else(late)
}

fn late(_: tokio::time::error::Elapsed) -> Error {
    Error::Unreachable("no answer in time".to_owned())
}

fn broken(error: std::io::Error) -> Error {
    Error::Unreachable(error.to_string())
}

fn joined(error: tokio::task::JoinError) -> Error {
    Error::Unreachable(error.to_string())
}
