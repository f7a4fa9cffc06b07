//! The daemon's life: harden, read, listen, tend, end.

use std::{
    env,
    ffi::OsStr,
    os::{linux::net::SocketAddrExt, unix::net},
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use ipc::Answered;
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    Error,
    accounts::System,
    config,
    config::Config,
    daemon::{Daemon, now},
    deleted, domain,
    events::{Event, Id},
    ffi, lockout, logind, policies, presence, primary, reconnect, socket, unasked,
};

/// Runs until it is told to end. Called before any thread was started.
pub fn run(config_path: Option<PathBuf>) -> Result<(), Error> {
    ffi::harden()?;
    let path = config_path.unwrap_or_else(|| config::DEFAULT_PATH.into());
    let config = Config::read(&path)?;
    ffi::set_variable("KRB5CCNAME", OsStr::new(domain::CCACHE));
    ffi::set_variable("KRB5_CONFIG", config.krb5_conf.as_os_str());
    ffi::set_variable("KRB5_KTNAME", config.keytab.as_os_str());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(serve(config))
}

async fn serve(config: Config) -> Result<(), Error> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let daemon = Daemon::new(config, Arc::new(System))?;
    let listener = socket::listen(&daemon)?;
    daemon.publish_known()?;
    daemon.find_sessions();
    tokio::spawn(tell_tpm(Arc::clone(&daemon)));
    tokio::spawn(domain::keep_fresh(Arc::clone(&daemon)));
    tokio::spawn(policies::keep_current(Arc::clone(&daemon)));
    tokio::spawn(policies::keep_checked_in(Arc::clone(&daemon)));
    tokio::spawn(tend(Arc::clone(&daemon)));
    tokio::spawn(primary::keep_renewed(Arc::clone(&daemon)));
    tokio::spawn(reconnect::keep_tickets(Arc::clone(&daemon)));
    tokio::spawn(lockout::keep_left(Arc::clone(&daemon)));
    tokio::spawn(deleted::watch(Arc::clone(&daemon)));
    tokio::spawn(unasked::keep_joining(Arc::clone(&daemon)));
    tokio::spawn(logind::follow(Arc::clone(&daemon)));
    tokio::spawn(socket::serve(Arc::clone(&daemon), listener));
    let spare = Arc::clone(&daemon);
    tokio::task::spawn_blocking(move || spare.spare.fill(&spare));
    tell_ready();
    tracing::info!(socket = %daemon.config.socket.display(), "ready");
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("ending");
    daemon.chip.close().await
}

/// What keeps the keys since this start.
async fn tell_tpm(daemon: Arc<Daemon>) {
    let found = daemon.chip.run(|tpm| Ok(tpm.info()?)).await;
    let event = Event::new(Id::TpmFound).with("KeyStorage", daemon.chip.storage().word());
    daemon.events.tell(&match found {
        Ok(info) => {
            let (major, minor) = info.firmware;
            event
                .with("Manufacturer", info.manufacturer)
                .with("Firmware", format!("{major:x}.{minor:x}"))
                .with("Ready", Answered::Yes)
        }
        Err(error) => event.with("Ready", Answered::No).because(&error.failure()),
    });
}

/// Sees to what nobody asks for: rights that lapse are wiped, and PIN counters that a crash left
/// in the TPM are removed.
async fn tend(daemon: Arc<Daemon>) {
    if let Err(error) = daemon.forget_strays().await {
        tracing::warn!(%error, "stray PIN counters stay in the TPM");
    }
    let mut beat = tokio::time::interval(Duration::from_secs(2));
    let (mut slept, mut noted) = (presence::slept(), Instant::now());
    loop {
        beat.tick().await;
        daemon.tickets().drop_lapsed(Instant::now());
        daemon.presence.drop_lapsed(Instant::now());
        daemon.primaries.keep_of(|uid| daemon.presence.is_here(uid));
        if presence::slept() > slept + Duration::from_secs(1) {
            slept = presence::slept();
            tracing::info!("the machine has slept: no PIN is kept any more");
            daemon.presence.wipe(None);
        }
        if noted.elapsed() > CLOCK_PAUSE {
            noted = Instant::now();
            if daemon.confirmations.is_over(now())
                && let Err(error) = daemon.publish_known()
            {
                tracing::warn!(%error, "the order of domain controllers stays as it is");
            }
            match daemon.credentials.uids() {
                Ok(uids) => uids.into_iter().for_each(|uid| daemon.note_time(uid)),
                Err(error) => tracing::warn!(%error, "the time could not be noted"),
            }
        }
    }
}

/// How often the time is noted, by which a clock that is set back is known.
const CLOCK_PAUSE: Duration = Duration::from_secs(10 * 60);

impl Daemon {
    /// For one person: a file that cannot be read is nobody else's trouble.
    fn note_time(&self, uid: u32) {
        let noted = self
            .credentials
            .read(uid)
            .and_then(|kept| kept.map_or(Ok(()), |kept| self.offline.note(&kept, now())));
        if let Err(error) = noted {
            tracing::warn!(uid, %error, "the time could not be noted");
        }
    }

    async fn forget_strays(self: &Arc<Self>) -> Result<(), Error> {
        let daemon = Arc::clone(self);
        let forget = move |tpm: &mut tpm::Tpm| {
            // Nobody makes a counter while the TPM is ours. One whose key is not written yet is that of
            // somebody who enrolls just now; strays then wait for the next start.
            if daemon.enrollments.is_any() {
                return Ok(0);
            }
            let mut known = Vec::new();
            for uid in daemon.credentials.uids()? {
                let kept = daemon.credentials.read(uid)?;
                known.extend(kept.map(|credential| credential.key));
            }
            Ok(tpm.forget_other_users(&known)?)
        };
        match self.chip.run(forget).await? {
            0 => {}
            count => tracing::info!(count, "stray PIN counters were removed from the TPM"),
        }
        Ok(())
    }
}

/// Tells a service manager that waits for it (sd_notify) that the socket is there.
fn tell_ready() {
    let Some(path) = env::var_os("NOTIFY_SOCKET") else {
        return;
    };
    let told = net::UnixDatagram::unbound().and_then(|socket| {
        let name = path.as_encoded_bytes();
        let address = match name.strip_prefix(b"@") {
            Some(name) => net::SocketAddr::from_abstract_name(name)?,
            None => net::SocketAddr::from_pathname(&path)?,
        };
        socket.send_to_addr(b"READY=1", &address)
    });
    if let Err(error) = told {
        tracing::warn!(%error, "the service manager could not be told");
    }
}
