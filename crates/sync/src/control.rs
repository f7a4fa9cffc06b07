//! The socket by which an administrator speaks to the agent that runs.
//!
//! For root and the agent's own user, by the kernel's word on who is at the other end.

use std::{
    fs,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    os::unix::{fs::PermissionsExt as _, net},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader as Buffered},
    net::{UnixListener, UnixStream},
    sync::Semaphore,
    time::timeout,
};

use crate::{
    cycle::{Desk, Not},
    ffi,
    history::utc,
    lease::Lease,
    pending::{Pending, Wanted},
    scheduler::{Change, PolicyType},
    state::WHO,
};

/// No answer came.
const STOPPED: &str = "the agent stopped before it answered: journalctl -u latchkey-sync";

const VERSION: u32 = 1;
const MAX_LINE: u64 = 64 * 1024;
const MAX_ANSWER: u64 = 64 * 1024 * 1024;
const CONNECTIONS: usize = 8;

/// How long a connection may be idle.
const IDLE: Duration = Duration::from_secs(3600);

/// What may be asked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Request {
    /// What the agent is about.
    Status,
    /// The scheduler's properties.
    SchedulerShow,
    /// Sets some of them.
    SchedulerSet {
        /// Which.
        change: Change,
    },
    /// Begins a cycle.
    SchedulerStart {
        /// Of this kind, or the one that is next.
        #[serde(default)]
        policy: Option<PolicyType>,
        /// Answers after its end.
        #[serde(default)]
        wait: bool,
    },
    /// Stops the cycle that runs.
    SchedulerStop,
    /// Lets no cycle begin until the connection ends.
    Suspend,
    /// What waits on either side.
    Pending(Wanted),
}

#[derive(Serialize, Deserialize)]
struct Versioned<T> {
    v: u32,
    #[serde(flatten)]
    content: T,
}

/// Why not.
#[derive(Debug, Serialize, Deserialize)]
struct Refusal {
    code: String,
    sentence: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Ok(Value),
    Error(Refusal),
}

/// What requests are about.
pub struct Control {
    /// The scheduler.
    pub desk: Arc<Desk>,
    /// The lease.
    pub lease: Arc<Lease>,
    /// What waits.
    pub pending: Arc<Pending>,
}

/// The socket's path.
pub fn path(folder: &Path) -> PathBuf {
    folder.join("control.sock")
}

/// Opens the socket, in place of one that was left.
pub fn listen(folder: &Path) -> anyhow::Result<UnixListener> {
    let path = path(folder);
    if net::UnixStream::connect(&path).is_ok() {
        bail!(
            "another latchkey-sync runs with {}: stop it first, or name another `runtime`",
            path.display()
        );
    }
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot remove {}", path.display()));
        }
        _ => {}
    }
    let listener = UnixListener::bind(&path)
        .with_context(|| format!("cannot listen at {}", path.display()))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

impl Control {
    /// Answers for ever.
    pub async fn run(self, listener: UnixListener) {
        let (control, places) = (Arc::new(self), Arc::new(Semaphore::new(CONNECTIONS)));
        loop {
            let Ok(place) = places.clone().acquire_owned().await else {
                return;
            };
            let Ok((stream, _)) = listener.accept().await else {
                // Out of descriptors: others must end first.
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            };
            let control = control.clone();
            tokio::spawn(async move {
                if let Err(error) = control.serve(stream).await {
                    tracing::debug!(error = format!("{error:#}"), "control connection");
                }
                drop(place);
            });
        }
    }

    async fn serve(&self, mut stream: UnixStream) -> anyhow::Result<()> {
        let uid = stream.peer_cred()?.uid();
        if uid != 0 && uid != ffi::user() {
            bail!("uid {uid} may not ask");
        }
        let (reader, mut writer) = stream.split();
        let mut reader = Buffered::new(reader);
        let mut suspended = None;
        loop {
            let mut line = Vec::new();
            let mut bounded = (&mut reader).take(MAX_LINE);
            let read = bounded.read_until(b'\n', &mut line);
            // A connection that holds the scheduler up may be silent for long.
            let read = match suspended {
                Some(_) => read.await?,
                None => timeout(IDLE, read).await??,
            };
            if read == 0 {
                return Ok(());
            }
            let answer = match serde_json::from_slice::<Versioned<Request>>(&line) {
                Ok(Versioned {
                    v: VERSION,
                    content,
                }) => {
                    if matches!(content, Request::Suspend) {
                        suspended = Some(self.desk.suspend());
                    }
                    self.answer(content).await
                }
                Ok(_) => refused("bad_version", "this agent speaks version 1"),
                Err(error) => refused("bad_request", &error.to_string()),
            };
            let mut line = serde_json::to_vec(&Versioned {
                v: VERSION,
                content: answer,
            })?;
            line.push(b'\n');
            writer.write_all(&line).await?;
        }
    }

    async fn answer(&self, request: Request) -> Answer {
        let desk = &self.desk;
        match request {
            Request::Status => Answer::Ok(json!({
                "lease": self.lease.said(),
                "scheduler": desk.shown(),
                "last_success": desk.last_success().map(utc),
                "pending": {
                    "server": self.pending.count(crate::history::Connector::Server),
                    "AD": self.pending.count(crate::history::Connector::Directory),
                },
            })),
            Request::SchedulerShow => Answer::Ok(json!(desk.shown())),
            Request::SchedulerSet { change } => match desk.set(&change) {
                Ok(shown) => Answer::Ok(json!(shown)),
                Err(error) => refused("bad_request", &format!("{error:#}")),
            },
            Request::SchedulerStart { policy, wait } => match desk.start(policy) {
                Err(Not::InProgress) => refused(
                    "cycle_in_progress",
                    "a cycle is in progress: wait for its end, or `latchkey-sync scheduler stop`",
                ),
                Err(Not::Suspended) => refused(
                    "scheduler_suspended",
                    "the scheduler is suspended while `latchkey-sync init` runs",
                ),
                Ok((policy, _)) if !wait => Answer::Ok(json!({ "policy": policy })),
                Ok((policy, mut ended)) => match ended.changed().await {
                    Ok(()) => Answer::Ok(json!({ "policy": policy, "steps": desk.last_cycle() })),
                    Err(_) => refused("stopping", "the agent is stopping"),
                },
            },
            Request::SchedulerStop => Answer::Ok(json!({ "stopped": desk.stop() })),
            Request::Suspend => Answer::Ok(json!({})),
            Request::Pending(wanted) => Answer::Ok(json!(self.pending.told(&wanted))),
        }
    }
}

fn refused(code: &str, sentence: &str) -> Answer {
    Answer::Error(Refusal {
        code: code.to_owned(),
        sentence: sentence.to_owned(),
    })
}

/// A connection to the agent that runs.
pub struct Line(BufReader<net::UnixStream>);

impl Line {
    /// The agent of this folder; none where none runs.
    pub fn open(folder: &Path) -> anyhow::Result<Option<Self>> {
        let path = path(folder);
        match net::UnixStream::connect(&path) {
            Ok(stream) => Ok(Some(Self(BufReader::new(stream)))),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
                ) =>
            {
                Ok(None)
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                Err(error).with_context(|| format!("cannot open {}: {WHO}", path.display()))
            }
            Err(error) => Err(error).with_context(|| format!("cannot open {}", path.display())),
        }
    }

    /// The agent of this folder, which must run.
    pub fn to(folder: &Path) -> anyhow::Result<Self> {
        Self::open(folder)?.context(
            "the agent does not run: systemctl start latchkey-sync, which does nothing before \
             `latchkey-sync init` has enrolled it",
        )
    }

    /// Asks.
    pub fn ask<T: DeserializeOwned>(&mut self, content: Request) -> anyhow::Result<T> {
        let mut line = serde_json::to_vec(&Versioned {
            v: VERSION,
            content,
        })?;
        line.push(b'\n');
        let written = self.0.get_mut().write_all(&line);
        let mut line = String::new();
        let read = written.and_then(|()| (&mut self.0).take(MAX_ANSWER).read_line(&mut line));
        if read.context(STOPPED)? == 0 {
            bail!(STOPPED);
        }
        let answer: Versioned<Answer> =
            serde_json::from_str(&line).context("the agent's answer is not understood")?;
        match answer.content {
            Answer::Ok(value) => Ok(serde_json::from_value(value)?),
            Answer::Error(Refusal { code, sentence }) => bail!("{sentence} [{code}]"),
        }
    }
}

#[cfg(test)]
mod tests;
