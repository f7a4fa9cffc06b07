//! The way to the directory: one connection at a time, made anew where it broke.

use std::sync::Arc;

use directory::Directory;
use kerberos::Context;
use tokio::{sync::Mutex, task::spawn_blocking};

use crate::{config::Config, hardening::CACHE};

/// A connection that several tasks share.
pub struct Door {
    config: Arc<Config>,
    tickets: Arc<Tickets>,
    current: Mutex<Option<Arc<Directory>>>,
}

/// Guards the process's one ticket cache: it is empty for a moment while it is filled.
#[derive(Default)]
pub struct Tickets(Mutex<()>);

impl Door {
    /// A door that is not open yet. Doors of one process share `tickets`.
    pub fn new(config: Arc<Config>, tickets: Arc<Tickets>) -> Self {
        Self {
            config,
            tickets,
            current: Mutex::new(None),
        }
    }

    /// The connection.
    pub async fn open(&self) -> Result<Arc<Directory>, directory::Error> {
        let mut current = self.current.lock().await;
        if let Some(directory) = current.as_ref() {
            return Ok(directory.clone());
        }
        let directory = Arc::new(connect(&self.config, &self.tickets).await?);
        tracing::info!(
            dc = directory.dc(),
            "connected to the domain controller, sealed"
        );
        *current = Some(directory.clone());
        Ok(directory)
    }

    /// Uses the connection, so that the domain controller does not close it as idle, and gives it up
    /// where it broke meanwhile: the next one who needs it finds it good, and at once.
    pub async fn keep_alive(&self) -> Result<(), directory::Error> {
        let answer = self.open().await?.highest_usn().await;
        if let Err(error) = &answer {
            self.forget_if_broken(error).await;
        }
        answer.map(drop)
    }

    /// Gives a connection up if `error` says that it is of no more use.
    pub async fn forget_if_broken(&self, error: &directory::Error) {
        if error.is_broken() {
            self.forget().await;
        }
    }

    /// Gives the connection up.
    pub async fn forget(&self) {
        *self.current.lock().await = None;
    }
}

/// Connects with a fresh ticket from the keytab.
pub async fn connect(config: &Config, tickets: &Tickets) -> Result<Directory, directory::Error> {
    let _filling = tickets.0.lock().await;
    let (account, keytab) = (config.account_principal(), config.keytab.clone());
    let ticket = spawn_blocking(move || Context::new()?.keytab_ccache(&account, &keytab, CACHE));
    match ticket.await {
        Ok(Ok(())) => {}
        Ok(Err(error @ kerberos::Error::KdcUnreachable(_))) => {
            return Err(directory::Error::Unreachable(error.to_string()));
        }
        Ok(Err(error)) => return Err(directory::Error::Kerberos(error.to_string())),
        Err(error) => return Err(directory::Error::Unreachable(error.to_string())),
    }
    Directory::connect(&config.realm, config.dc.as_deref()).await
}
