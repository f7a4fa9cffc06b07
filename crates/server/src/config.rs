//! The configuration file: what `init` writes and `run` reads. Unknown keys are errors.

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};
use model::Secret;
use serde::{Deserialize, Serialize};
use store::{PostgresAddress, Store};
use zeroize::Zeroizing;

use crate::limits::Limits;

/// Where `init` writes it.
pub(crate) const PATH: &str = "/etc/latchkey/server.toml";

/// Where the administrator's socket is unless the file says otherwise.
const ADMIN_SOCKET: &str = "/run/latchkey-server/admin.sock";

/// The configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `https://host[:port]`, as devices and agents reach it.
    pub url: String,
    /// Where it listens.
    pub listen: SocketAddr,
    /// The folder with the store.
    pub data: PathBuf,
    /// The master key's file; `master.key` in `data` unless it is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub master_key: Option<PathBuf>,
    /// Where everything is kept, unless it is `store.sqlite` in `data`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<Database>,
    /// The TLS certificate in PEM, its chain after it.
    pub tls_cert: PathBuf,
    /// Its key in PEM.
    pub tls_key: PathBuf,
    /// The administrator's socket.
    #[serde(default = "admin_socket")]
    pub admin_socket: PathBuf,
    /// The log as JSON, one object per line.
    #[serde(default)]
    pub log_json: bool,
    /// Where metrics are, in clear; nowhere unless it is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics_listen: Option<SocketAddr>,
    /// The shortest time between two scheduled cycles of an agent.
    #[serde(default = "sync_cycle_s", skip_serializing_if = "is_sync_cycle_s")]
    pub allowed_sync_cycle_interval_s: u32,
    /// How many requests one party may send.
    #[serde(default, skip_serializing_if = "Limits::are_default")]
    pub limits: Limits,
    /// How long logs in the store are kept.
    #[serde(default, skip_serializing_if = "Logs::are_default")]
    pub logs: Logs,
}

/// How long logs in the store are kept. The audit log is not among them: it is a chain, and a row that
/// goes breaks it. `admin audit export` takes a copy elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Logs {
    /// Days that a row of the sign-in log is kept; 0 is for ever.
    pub sign_in_days: u32,
}

impl Default for Logs {
    fn default() -> Self {
        Self { sign_in_days: 30 }
    }
}

impl Logs {
    fn are_default(&self) -> bool {
        *self == Self::default()
    }
}

/// A PostgreSQL database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Database {
    /// Its connection string, without a password: others may read this file.
    Url(String),
    /// More about it.
    Table(PostgreSql),
}

/// What there is to say of a PostgreSQL database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PostgreSql {
    /// A connection string without a password: others may read this file.
    pub url: String,
    /// A file of root's alone that holds the password, where the database asks for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// Who signs the database's certificate, PEM; the system's authorities unless it is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorities: Option<PathBuf>,
    /// The most connections.
    #[serde(default = "connections")]
    pub connections: usize,
}

/// The default of `connections`.
fn connections() -> usize {
    16
}

/// The default of `allowed_sync_cycle_interval_s`.
pub(crate) const SYNC_CYCLE_S: u32 = 30 * 60;

fn sync_cycle_s() -> u32 {
    SYNC_CYCLE_S
}

fn is_sync_cycle_s(seconds: &u32) -> bool {
    *seconds == SYNC_CYCLE_S
}

/// The default of `admin_socket`.
pub(crate) fn admin_socket() -> PathBuf {
    PathBuf::from(ADMIN_SOCKET)
}

impl Config {
    /// Reads the file.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        let text = fs::read_to_string(path)
            .with_context(|| format!("{shown} cannot be read; `latchkey-server init` makes it"))?;
        let config: Self = toml::from_str(&text).with_context(|| format!("{shown} is wrong"))?;
        check_url(&config.url)?;
        ensure!(
            (60..=7 * 86_400).contains(&config.allowed_sync_cycle_interval_s),
            "{shown}: allowed_sync_cycle_interval_s is between a minute and seven days"
        );
        Ok(config)
    }

    /// As the file holds it.
    pub(crate) fn to_toml(&self) -> anyhow::Result<String> {
        Ok(toml::to_string(self)?)
    }

    /// The store's file.
    pub fn store_file(&self) -> PathBuf {
        self.data.join("store.sqlite")
    }

    /// The store, for people.
    pub(crate) fn store_named(&self) -> String {
        match &self.store {
            None => self.store_file().display().to_string(),
            Some(Database::Url(url)) => url.clone(),
            Some(Database::Table(table)) => table.url.clone(),
        }
    }

    /// The master key's file: the one that is named, else what systemd hands over as a credential,
    /// else the one in `data`.
    pub fn master_key_file(&self) -> PathBuf {
        let handed_over = || {
            let folder = std::env::var_os("CREDENTIALS_DIRECTORY")?;
            let file = Path::new(&folder).join(MASTER_KEY);
            file.exists().then_some(file)
        };
        self.master_key
            .clone()
            .or_else(handed_over)
            .unwrap_or_else(|| self.data.join(MASTER_KEY))
    }

    /// The database, where it is PostgreSQL.
    pub(crate) fn postgres(&self) -> anyhow::Result<Option<PostgresAddress>> {
        let table = match &self.store {
            None => return Ok(None),
            Some(Database::Url(url)) => &PostgreSql {
                url: url.clone(),
                password_file: None,
                authorities: None,
                connections: connections(),
            },
            Some(Database::Table(table)) => table,
        };
        ensure!(
            !has_password(&table.url),
            "the store's connection string holds a password, and others may read this file: put it \
             into a file of root's alone, and name that as `password_file`"
        );
        let password = match &table.password_file {
            None => None,
            Some(file) => {
                let text = read_private(file)?;
                Some(Secret::new(text.lines().next().unwrap_or("").to_owned()))
            }
        };
        Ok(Some(PostgresAddress {
            url: table.url.clone(),
            password,
            authorities: table.authorities.clone(),
            connections: table.connections.max(1),
        }))
    }

    /// Opens the store, and brings its schema up to date.
    pub(crate) async fn open_store(&self) -> anyhow::Result<Store> {
        Ok(match self.postgres()? {
            Some(address) => Store::open_postgres(&address).await?,
            None => Store::open_sqlite(&self.store_file())?,
        })
    }
}

/// The master key's name, as a file and as a credential.
const MASTER_KEY: &str = "master.key";

/// Whether a connection string of libpq, in either form, holds a password.
fn has_password(url: &str) -> bool {
    let authority = url.split_once("://").map(|(_, rest)| rest);
    let user = authority.and_then(|rest| rest.split(['/', '?']).next()?.rsplit_once('@'));
    user.is_some_and(|(user, _)| user.contains(':')) || url.contains("password")
}

/// Reads a file that holds a secret; one that others may read is refused.
pub(crate) fn read_private(path: &Path) -> anyhow::Result<Zeroizing<String>> {
    let shown = path.display();
    let mode = fs::metadata(path)
        .with_context(|| format!("{shown}"))?
        .permissions()
        .mode();
    ensure!(
        mode & 0o077 == 0,
        "{shown} may be read by others: chmod 600 {shown}"
    );
    let text = fs::read_to_string(path).with_context(|| format!("{shown}"))?;
    Ok(Zeroizing::new(text))
}

/// Whether a URL is one that this server can have: `https`, a host, nothing after it.
pub(crate) fn check_url(url: &str) -> anyhow::Result<http::Uri> {
    let uri: http::Uri = url.parse().with_context(|| format!("{url} is not a URL"))?;
    let is_bare = uri.path_and_query().is_none_or(|rest| rest.as_str() == "/");
    ensure!(
        uri.scheme_str() == Some("https") && uri.host().is_some() && is_bare && !url.ends_with('/'),
        "{url} must be https://HOST or https://HOST:PORT, without anything after it"
    );
    Ok(uri)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        url = "https://server.example"
        listen = "0.0.0.0:443"
        data = "/data"
        tls_cert = "/cert"
        tls_key = "/key"
    "#;

    #[test]
    fn what_is_written_is_read_again() {
        let config: Config = toml::from_str(GOOD).unwrap();
        assert_eq!(config.master_key_file(), Path::new("/data/master.key"));
        assert_eq!(
            toml::from_str::<Config>(&config.to_toml().unwrap()).unwrap(),
            config
        );
    }

    #[test]
    fn an_unknown_key_is_an_error() {
        let error = toml::from_str::<Config>(&format!("{GOOD}\nlisen = 1")).unwrap_err();
        assert!(error.to_string().contains("lisen"), "{error}");
    }

    #[test]
    fn a_store_is_named_by_one_text_or_by_a_table() {
        let postgres = |text: &str| {
            let config: Config = toml::from_str(&format!("{GOOD}\n{text}")).unwrap();
            config.postgres().map(|address| {
                let address = address.unwrap();
                (address.url, address.connections)
            })
        };
        let url = "postgres://latchkey@/latchkey?host=/run/postgresql".to_owned();
        assert_eq!(
            postgres(&format!("store = \"{url}\"")).unwrap(),
            (url.clone(), 16)
        );
        let table = format!("[store]\nurl = \"{url}\"\nconnections = 4");
        assert_eq!(postgres(&table).unwrap(), (url.clone(), 4));
        for bad in [
            "store = \"postgres://u:secret@host/db\"",
            "store = \"host=h password=secret\"",
            "[store]\nurl = \"x\"\npassword_file = \"/no/such/file\"",
        ] {
            assert!(postgres(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_url_is_https_and_bare() {
        assert!(check_url("https://server.example:8443").is_ok());
        for url in [
            "http://server.example",
            "https://server.example/",
            "https://server.example/x",
            "x",
        ] {
            assert!(check_url(url).is_err(), "{url}");
        }
    }
}
