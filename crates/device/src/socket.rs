//! The local socket: connections, frames and the table of operations.
//!
//! Anyone may connect; what a caller may do depends on who the kernel says it is. A caller that
//! sends too much, too slowly or too often loses its connection and nobody else does.

use std::{
    collections::HashMap,
    fs,
    io::{self, ErrorKind},
    os::unix::fs::PermissionsExt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use ipc::{MAX_REQUEST, Request, decode_request, encode_answer};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    time::timeout,
};
use zeroize::Zeroizing;

use crate::{
    Error, daemon::Daemon, enroll, events, files, join, kdcs, keys, lockout, peer::Peer, pin,
    policies, session, signin, status, turns::Time, unlock,
};

/// The most connections of one user at once. Root's are not limited: every sign-in on the machine
/// is one, and root has other ways to be in its own way.
const MAX_CONNECTIONS: u32 = 32;

/// So many more are for whoever has the right to a signature: what a user's other programs do keeps no
/// login helper from it.
const MORE_CONNECTIONS: u32 = 8;

/// How long a caller may take to send the rest of a frame, or to read an answer.
const FRAME_PATIENCE: Duration = Duration::from_secs(5);

/// How long a connection may be idle between frames.
const IDLE_PATIENCE: Duration = Duration::from_secs(300);

/// Makes the socket. One that a dead daemon left behind is replaced.
pub fn listen(daemon: &Daemon) -> Result<UnixListener, Error> {
    let path = &daemon.config.socket;
    if let Some(folder) = path.parent() {
        // Also where it is there already: nobody would reach the socket in a closed one.
        files::folder(folder, 0o755)?;
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o666))?;
    Ok(listener)
}

/// Serves the socket for ever.
pub async fn serve(daemon: Arc<Daemon>, listener: UnixListener) {
    let counts = Counts::default();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(connection(Arc::clone(&daemon), stream, counts.clone()));
            }
            Err(error) => {
                // Out of descriptors, most likely: connections that end free some.
                tracing::error!(%error, "no connection could be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn connection(daemon: Arc<Daemon>, mut stream: UnixStream, counts: Counts) {
    let peer = match Peer::of(&stream) {
        Ok(peer) => peer,
        Err(error) => {
            tracing::warn!(%error, "a peer is not known");
            return;
        }
    };
    let most = match daemon.tickets().may_sign(&peer.process, Instant::now()) {
        true => MAX_CONNECTIONS + MORE_CONNECTIONS,
        false => MAX_CONNECTIONS,
    };
    let Some(_counted) = counts.count(peer.process.uid, most) else {
        tracing::warn!(uid = peer.process.uid, "too many connections of one user");
        return;
    };
    match converse(&daemon, &peer, &mut stream).await {
        Err(error) if error.kind() != ErrorKind::UnexpectedEof => {
            tracing::debug!(%error, "a connection broke");
        }
        _ => {}
    }
}

async fn converse(daemon: &Arc<Daemon>, peer: &Peer, stream: &mut UnixStream) -> io::Result<()> {
    loop {
        let mut length = [0; 4];
        timeout(IDLE_PATIENCE, stream.read_exact(&mut length)).await??;
        let length = u32::from_le_bytes(length) as usize;
        if length > MAX_REQUEST {
            return Err(io::Error::new(ErrorKind::InvalidData, "an oversized frame"));
        }
        let mut text = Zeroizing::new(vec![0; length]);
        timeout(FRAME_PATIENCE, stream.read_exact(&mut text)).await??;
        let answer = answer(daemon, peer, &text).await;
        drop(text);
        timeout(FRAME_PATIENCE, stream.write_all(&answer)).await??;
    }
}

macro_rules! operations {
    ($daemon:ident, $peer:ident, $incoming:ident: $($request:path => $run:path),* $(,)?) => {
        match $incoming.op {
            $(<$request as Request>::OP => {
                let outcome = match $incoming.args::<$request>() {
                    Ok(args) => $run($daemon, $peer, args).await.map_err(|error| {
                        told($incoming.op, $peer, &error)
                    }),
                    Err(failure) => Err(failure),
                };
                encode_answer($incoming.id, outcome.as_ref())
            })*
            _ => {
                let failure = ipc::Failure::new("unknown_op", "The daemon knows no such operation.");
                encode_answer::<ipc::Done>($incoming.id, Err(&failure))
            }
        }
    };
}

async fn answer(daemon: &Arc<Daemon>, peer: &Peer, text: &[u8]) -> Zeroizing<Vec<u8>> {
    let incoming = match decode_request(text) {
        Ok(incoming) => incoming,
        Err(failure) => return encode_answer::<ipc::Done>(0, Err(&failure)),
    };
    // A login helper waits for what its user's own turn is taken for.
    let is_expected = daemon.tickets().is_expected(&peer.process, Instant::now());
    let _turn = match time_of(incoming.op) {
        Some(time) if !is_expected => daemon.turns.take(peer.process.uid, time).await,
        _ => None,
    };
    operations!(daemon, peer, incoming:
        ipc::Hello => status::hello,
        ipc::Status => status::status,
        ipc::Unlock => unlock::unlock,
        ipc::Sign => unlock::sign,
        ipc::TokenInfo => unlock::token_info,
        ipc::Cert => unlock::cert,
        ipc::Signin => signin::signin,
        ipc::EnrollStart => enroll::start,
        ipc::EnrollInput => enroll::input,
        ipc::EnrollPoll => enroll::poll,
        ipc::EnrollCancel => enroll::cancel,
        ipc::Join => join::join,
        ipc::Leave => join::leave,
        ipc::KeysList => keys::list,
        ipc::KeysDelete => keys::delete,
        ipc::KdcList => kdcs::list,
        ipc::TpmUnlock => lockout::unlock,
        ipc::PinRules => pin::rules,
        ipc::PinChange => pin::change,
        ipc::PinReset => pin::reset::start,
        ipc::PolicyShow => policies::show,
        ipc::PolicyRefresh => policies::refresh,
        ipc::SessionOpen => session::open,
        ipc::SessionClose => session::close,
        ipc::Lock => session::lock,
        ipc::EventsShow => events::show,
    )
}

/// Whose time an operation takes. A sign-in takes its turn itself, because its helper needs one
/// too; the steps of an enrollment follow each other anyhow.
fn time_of(op: &str) -> Option<Time> {
    match op {
        ipc::Status::OP
        | ipc::Unlock::OP
        | ipc::Sign::OP
        | ipc::TokenInfo::OP
        | ipc::Cert::OP
        | ipc::PinChange::OP
        | ipc::TpmUnlock::OP => Some(Time::Chip),
        ipc::EnrollStart::OP
        | ipc::KeysList::OP
        | ipc::KeysDelete::OP
        | ipc::PinReset::OP
        | ipc::PolicyShow::OP
        | ipc::PolicyRefresh::OP => Some(Time::Network),
        _ => None,
    }
}

/// The caller gets the sentence, the log the cause.
fn told(op: &str, peer: &Peer, error: &Error) -> ipc::Failure {
    let failure = error.failure();
    let (uid, code) = (peer.process.uid, &failure.code);
    match error {
        Error::Refused(_) => tracing::info!(op, uid, code, "refused"),
        error => tracing::warn!(op, uid, code, %error, "failed"),
    }
    failure
}

/// Open connections by user.
#[derive(Clone, Default)]
struct Counts(Arc<Mutex<HashMap<u32, u32>>>);

/// Counts as one connection until it is dropped.
struct Counted {
    counts: Counts,
    uid: u32,
}

impl Counts {
    fn count(&self, uid: u32, most: u32) -> Option<Counted> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(uid).or_default();
        if uid != 0 && *count >= most {
            return None;
        }
        *count += 1;
        let counts = self.clone();
        Some(Counted { counts, uid })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut counts = self.counts.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.uid) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.uid);
            }
        }
    }
}
