//! Where the database is, and how it is reached: over a local socket, or over TLS.

use std::{path::PathBuf, time::Duration};

use model::Secret;
use openssl::ssl::{SslConnector, SslMethod};
use postgres_openssl::{MakeTlsConnector, TlsStream};
use tokio_postgres::{
    Client, Config, Connection, Socket,
    config::{Host, SslMode},
};

use crate::{Error, Result};

/// Where a PostgreSQL database is. It is the store's alone: no table of anybody else, and no pooler
/// in between that would hand its connections around.
#[derive(Debug, Clone)]
pub struct PostgresAddress {
    /// A connection string of libpq, `host=/run/postgresql dbname=latchkey` or
    /// `postgres://user@host/latchkey`, without a password. A host that is no local socket is
    /// reached over TLS.
    pub url: String,
    /// The password, where the database asks for one.
    pub password: Option<Secret<String>>,
    /// Who signs the database's certificate, PEM; the system's authorities where it is not given.
    pub authorities: Option<PathBuf>,
    /// The most connections of this server, beside the one that listens.
    pub connections: usize,
}

/// What a connection is told when it begins. No plan reads a whole table where an index leads to
/// the rows: beside its time, SERIALIZABLE would take that for a conflict with every other writer.
/// That makes some plans look dear, which is no reason to compile them. A server that hangs lets go
/// of what it holds.
const OPTIONS: &str = "-c enable_seqscan=off -c jit=off -c lock_timeout=30s \
    -c statement_timeout=60s -c idle_in_transaction_session_timeout=60s";

/// How long a connection may take to begin.
const CONNECT: Duration = Duration::from_secs(10);

/// After so long without a word the other end is asked whether it is there.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// The database, ready to be connected to.
#[derive(Clone)]
pub(super) struct Server {
    config: Config,
    tls: MakeTlsConnector,
}

impl Server {
    pub(super) fn at(address: &PostgresAddress) -> Result<Self> {
        let mut config: Config = address.url.parse().map_err(Error::database)?;
        if config.get_password().is_some() {
            return Err(Error::Address("a password belongs into a file of its own"));
        }
        if let Some(password) = &address.password {
            config.password(password.expose());
        }
        let hosts = config.get_hosts();
        let local = hosts.iter().filter(|host| matches!(host, Host::Unix(_)));
        let mode = match (local.count(), hosts.len()) {
            (_, 0) => return Err(Error::Address("it names no host and no socket's folder")),
            (local, all) if local == all => SslMode::Disable,
            (0, _) => SslMode::Require,
            (_, _) => return Err(Error::Address("it mixes hosts and sockets")),
        };
        let options = match config.get_options() {
            Some(given) => format!("{given} {OPTIONS}"),
            None => OPTIONS.to_owned(),
        };
        config
            .ssl_mode(mode)
            .options(options)
            .application_name("latchkey-server")
            .connect_timeout(CONNECT)
            .keepalives_idle(KEEPALIVE);
        let mut connector = SslConnector::builder(SslMethod::tls()).map_err(Error::database)?;
        if let Some(path) = &address.authorities {
            connector.set_ca_file(path).map_err(Error::database)?;
        }
        Ok(Self {
            config,
            tls: MakeTlsConnector::new(connector.build()),
        })
    }

    pub(super) async fn connect(&self) -> Result<(Client, Connection<Socket, TlsStream<Socket>>)> {
        let connected = self.config.connect(self.tls.clone()).await;
        connected.map_err(Error::database)
    }
}
