//! `latchkey-server run`: serves until it is told to stop.

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context as _;
use tokio::{
    net::{TcpListener, UnixListener},
    signal::unix::{SignalKind, signal},
    sync::watch,
    task::JoinSet,
};
use tracing_subscriber::{EnvFilter, util::SubscriberInitExt as _};

use crate::{
    admin, app,
    app::App,
    certificate::Certificate,
    check_config,
    clock::Clock,
    config,
    config::Config,
    ffi, graph,
    http::{self, Door, Guarded},
    limits::Limits,
    master::MasterKey,
    metrics, sign_in_log,
};

/// Serves until it is told to stop.
#[derive(clap::Args)]
pub struct Args {
    /// The configuration that `init` wrote.
    #[arg(long, default_value = config::PATH)]
    config: PathBuf,
}

/// Runs the verb.
pub fn main(args: &Args) -> anyhow::Result<()> {
    ffi::refuse_core_dumps().context("core files cannot be switched off")?;
    ffi::share_freed_memory();
    let config = Config::read(&args.config)?;
    log_to_stderr(config.log_json);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hang_up = signal(SignalKind::hangup())?;
        let server = Server::start(config, Clock::system()).await?;
        tracing::info!(address = %server.address, "ready");
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = hang_up.recv() => server.reload(),
            }
        }
        tracing::info!("stopping");
        server.stop().await;
        Ok(())
    })
}

fn log_to_stderr(json: bool) {
    let filter = EnvFilter::try_from_env("LATCHKEY_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    // A second subscriber is refused; then somebody else's log is where the lines go.
    let _ = if json {
        builder.json().finish().try_init()
    } else {
        builder.finish().try_init()
    };
}

/// A server that runs.
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    /// Where its metrics are, if anywhere.
    pub metrics_address: Option<SocketAddr>,
    /// Every path of the public interface, as routers write it.
    pub paths: Vec<String>,
    certificate: Arc<Certificate>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Server {
    /// Opens the store and the sockets, and serves.
    pub async fn start(config: Config, clock: Clock) -> anyhow::Result<Self> {
        let master = MasterKey::read(&config.master_key_file())?;
        let store = config.open_store().await?;
        let (mut app, sign_ins) = App::open(store, config.url.clone(), master, clock).await?;
        app.allowed_sync_cycle_interval_s = config.allowed_sync_cycle_interval_s;
        let app = Arc::new(app);
        // All authorities have one name: whoever follows changes nothing about what clients are told.
        let authorities = app.authorities().await?;
        let shown = [authorities.current.certificate()];
        let certificate = Arc::new(Certificate::read(&config, shown)?);
        let hosts = app.store.hosts(app.tenant.id).await?;
        for name in check_config::unnamed(&config, &hosts)? {
            tracing::warn!(
                name,
                "the TLS certificate is not for this name of the server"
            );
        }
        let listener = listen(config.listen).await?;
        let address = listener.local_addr()?;
        let (socket, own_uid) = admin_socket(&config.admin_socket)?;
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let log = sign_in_log::Kept {
            store: app.store.clone(),
            tenant: app.tenant.id,
            clock: app.clock.clone(),
            days: config.logs.sign_in_days,
        };
        tasks.spawn(sign_ins.write(log));
        let mut metrics_address = None;
        if let Some(wanted) = config.metrics_listen {
            let listener = listen(wanted).await?;
            metrics_address = Some(listener.local_addr()?);
            let routes = http::guarded(metrics::routes(Arc::clone(&app)), Limits::NONE);
            tasks.spawn(http::serve_plain(listener, routes, stopped.clone()));
        }
        let watched = (Arc::clone(&certificate), stopped.clone());
        tasks.spawn(async move { watched.0.watch(watched.1).await });
        let door = Door {
            listener,
            acceptor: certificate.acceptor(),
            metrics: Arc::clone(&app.metrics),
        };
        let paths = app::paths(&app);
        let names = paths.names().to_vec();
        let public = http::guarded(paths.with(Arc::clone(&app)), config.limits).in_any_case();
        tasks.spawn(http::serve_tls(door, public, stopped.clone()));
        let own = admin::local(Arc::clone(&app)).merge(graph::local(app));
        let admin = http::guarded(own, Limits::NONE);
        tasks.spawn(serve_admin(socket, own_uid, admin, stopped));
        Ok(Self {
            address,
            metrics_address,
            paths: names,
            certificate,
            stop,
            tasks,
        })
    }

    /// Takes up the certificate's files as they are now.
    pub fn reload(&self) {
        self.certificate.reload();
    }

    /// Stops: what is under way has a moment to end.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
    }
}

async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("{address} cannot be listened on"))
}

/// Binds the administrator's socket, 0600, and tells whose it is; one that a killed server left
/// behind is taken away.
fn admin_socket(path: &Path) -> anyhow::Result<(UnixListener, u32)> {
    let shown = path.display();
    if let Some(folder) = path.parent() {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(folder)?;
    }
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        anyhow::bail!("{shown}: another server runs here");
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let socket = UnixListener::bind(path).with_context(|| format!("{shown}"))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    let own_uid = fs::metadata(path)?.uid();
    Ok((socket, own_uid))
}

async fn serve_admin(
    socket: UnixListener,
    own_uid: u32,
    routes: Guarded,
    stop: watch::Receiver<bool>,
) {
    loop {
        let accepted = tokio::select! {
            accepted = socket.accept() => accepted,
            () = http::stopped(stop.clone()) => return,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                http::wait_for_descriptors(&error).await;
                continue;
            }
        };
        match stream.peer_cred() {
            Ok(peer) if peer.uid() == 0 || peer.uid() == own_uid => {
                tokio::spawn(http::serve_connection(stream, routes.clone(), stop.clone()));
            }
            Ok(peer) => tracing::warn!(uid = peer.uid(), "not an administrator"),
            Err(error) => tracing::warn!(%error, "a peer without credentials"),
        }
    }
}
