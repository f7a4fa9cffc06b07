//! `latchkey-server run`: serves until it is told to stop.

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context as _;
use axum::Router;
use store::Store;
use tokio::{
    net::{TcpListener, UnixListener},
    signal::unix::{SignalKind, signal},
    sync::watch,
    task::JoinSet,
};
use tracing_subscriber::{EnvFilter, util::SubscriberInitExt as _};

use crate::{
    admin, app, app::App, clock::Clock, config, config::Config, ffi, http, master::MasterKey, tls,
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
    let config = Config::read(&args.config)?;
    log_to_stderr(config.log_json);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let server = Server::start(config, Clock::system()).await?;
        tracing::info!(address = %server.address, "ready");
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
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
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Server {
    /// Opens the store and both sockets, and serves.
    pub async fn start(config: Config, clock: Clock) -> anyhow::Result<Self> {
        let master = MasterKey::read(&config.master_key_file())?;
        let store = Store::open_sqlite(&config.store_file())?;
        let app = Arc::new(App::open(store, config.url.clone(), master, clock).await?);
        let authorities = app.keyring.authority.certificates();
        let acceptor = tls::acceptor(&config.tls_cert, &config.tls_key, authorities)?;
        let listener = TcpListener::bind(config.listen)
            .await
            .with_context(|| format!("{} cannot be listened on", config.listen))?;
        let address = listener.local_addr()?;
        let (socket, own_uid) = admin_socket(&config.admin_socket)?;
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let public = http::in_any_case(http::guarded(app::routes(Arc::clone(&app))));
        let admin = http::guarded(admin::routes(app));
        tasks.spawn(http::serve_tls(listener, acceptor, public, stopped.clone()));
        tasks.spawn(serve_admin(socket, own_uid, admin, stopped));
        Ok(Self {
            address,
            stop,
            tasks,
        })
    }

    /// Stops: what is under way has a moment to end.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
    }
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
    routes: Router,
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
