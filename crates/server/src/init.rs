//! `latchkey-server init`: everything that a server needs before it first runs. Its first administrator
//! is root, on the local socket, who gives roles to others.

use std::{
    fs,
    io::ErrorKind,
    net::SocketAddr,
    os::unix::fs::{
        DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, lchown,
    },
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};
use store::{Audit, Sealed, SealedName, SigningKey, Tenant};
use zeroize::Zeroizing;

use crate::{
    app::sealed_name,
    authority::{Authority, make_key},
    clock::Clock,
    config::{self, Config, Database, Logs},
    limits::Limits,
    master::MasterKey,
    random, say, tls,
};

/// Makes the folder, the keys and the configuration.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The folder with the store and the master key.
    #[arg(long, default_value = "/var/lib/latchkey-server")]
    pub data: PathBuf,
    /// The configuration to write.
    #[arg(long, default_value = config::PATH)]
    pub config: PathBuf,
    /// `https://HOST[:PORT]`, as devices and agents reach this server.
    #[arg(long)]
    pub url: String,
    /// Where to listen, unless it is every address and the port of the URL.
    #[arg(long)]
    pub listen: Option<SocketAddr>,
    /// The TLS certificate in PEM, its chain after it.
    #[arg(long)]
    pub tls_cert: PathBuf,
    /// Its key in PEM.
    #[arg(long)]
    pub tls_key: PathBuf,
    /// A PostgreSQL database to keep everything in, instead of a file in the folder: a connection
    /// string of libpq without a password.
    #[arg(long)]
    pub store: Option<String>,
    /// The organisation's name, for people.
    #[arg(long)]
    pub tenant_name: String,
    /// The administrator's socket.
    #[arg(long, default_value_os_t = config::admin_socket())]
    pub admin_socket: PathBuf,
}

/// Runs the verb.
pub fn main(args: &Args) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    for line in runtime.block_on(init(args, &Clock::system()))? {
        say(&line)?;
    }
    Ok(())
}

/// Makes everything and gives the lines to print.
pub async fn init(args: &Args, clock: &Clock) -> anyhow::Result<Vec<String>> {
    let port = config::check_url(&args.url)?.port_u16().unwrap_or(443);
    let config = Config {
        url: args.url.clone(),
        listen: args
            .listen
            .unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], port))),
        data: args.data.clone(),
        master_key: None,
        tls_cert: args.tls_cert.clone(),
        tls_key: args.tls_key.clone(),
        admin_socket: args.admin_socket.clone(),
        store: args.store.clone().map(Database::Url),
        log_json: false,
        metrics_listen: None,
        allowed_sync_cycle_interval_s: config::SYNC_CYCLE_S,
        limits: Limits::default(),
        logs: Logs::default(),
    };
    // What may be wrong is found before anything is made.
    for made in [
        &args.config,
        &config.store_file(),
        &config.master_key_file(),
    ] {
        ensure!(
            !made.exists(),
            "{} is there already: this server was initialised before; nothing is changed",
            made.display()
        );
    }
    tls::acceptor(&args.tls_cert, &args.tls_key, [])?;
    let fingerprint = tls::fingerprint(&args.tls_cert)?;

    make_folder(&args.data, 0o700)?;
    // It may have been there before, open to others.
    fs::set_permissions(&args.data, fs::Permissions::from_mode(0o700))?;
    let master = MasterKey::make()?;
    master.write(&config.master_key_file())?;
    let tenant = Tenant {
        id: random::guid()?,
        name: args.tenant_name.clone(),
        created: clock.now(),
    };
    fill_store(&config, &master, &tenant).await?;
    hand_over(&args.data)?;
    if let Some(folder) = args.config.parent() {
        make_folder(folder, 0o755)?;
    }
    write_config(&args.config, &config)?;

    Ok(vec![
        format!("folder       {}", args.data.display()),
        format!("store        {}", config.store_named()),
        format!(
            "master key   {} (back it up apart from the store)",
            config.master_key_file().display()
        ),
        format!("config       {}", args.config.display()),
        format!("tenant       {}", tenant.id),
        format!("fingerprint  {fingerprint}"),
        format!(
            "next         latchkey-server run --config {}",
            args.config.display()
        ),
    ])
}

/// The name that the first key that signs tokens is sealed under.
const FIRST_TOKEN_KEY: &str = "token-key";

async fn fill_store(config: &Config, master: &MasterKey, tenant: &Tenant) -> anyhow::Result<()> {
    let token_key = Zeroizing::new(make_key()?.private_key_to_der()?);
    let signing_key = SigningKey {
        name: FIRST_TOKEN_KEY.to_owned(),
        alg: "RS256".to_owned(),
        sealed: master.seal(&sealed_name(tenant, FIRST_TOKEN_KEY), &token_key)?,
        not_before: tenant.created,
        retires: None,
    };
    let authority = Authority::make(tenant.id, tenant.created)?;
    let secrets = [
        (SealedName::DeviceCaKey, authority.key_der()?),
        (
            SealedName::DeviceCaCertificate,
            authority.certificate_der()?,
        ),
    ];
    let sealed = secrets
        .into_iter()
        .map(|(name, secret)| {
            let secret = Zeroizing::new(secret);
            Ok(Sealed {
                name,
                value: master.seal(&sealed_name(tenant, name.as_str()), &secret)?,
            })
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    let audit = Audit {
        at: tenant.created,
        actor: "admin".to_owned(),
        action: "server.init",
        subject: tenant.name.clone(),
    };
    config
        .open_store()
        .await?
        .create_tenant(tenant.clone(), sealed, signing_key, audit)
        .await?;
    Ok(())
}

fn make_folder(folder: &Path, mode: u32) -> anyhow::Result<()> {
    let shown = folder.display();
    fs::DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(folder)
        .with_context(|| format!("{shown} cannot be made"))?;
    Ok(())
}

/// Gives what is in a folder to whom the folder belongs: root works there for the server's own user.
pub(crate) fn hand_over(folder: &Path) -> anyhow::Result<()> {
    let owner = fs::metadata(folder)?;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        // Never what a link leads to: the folder's owner could have put it there.
        match lchown(&path, Some(owner.uid()), Some(owner.gid())) {
            // SQLite has taken its journal away meanwhile.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            outcome => {
                outcome.with_context(|| format!("{} cannot be handed over", path.display()))?
            }
        }
    }
    Ok(())
}

fn write_config(path: &Path, config: &Config) -> anyhow::Result<()> {
    use std::io::Write as _;
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o644)
        .open(path)?;
    file.write_all(config.to_toml()?.as_bytes())?;
    Ok(file.sync_all()?)
}
