//! The way to the directory: one connection at a time, made anew where it broke, to whichever writable
//! domain controller answers then.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use directory::{Directory, Locator, Need};
use kerberos::Context;
use model::UnixTime;
use openssl::asn1::Asn1Time;
use tokio::{
    sync::{Mutex, RwLock, RwLockReadGuard},
    task::spawn_blocking,
};

use crate::{config::Config, hardening::CACHE, keys::now};

/// How far clocks may be apart before tickets and proofs fail (RFC 4120 7.2.2's usual five minutes).
const SKEW_S: u64 = 300;

/// How long the agent's tickets are used: a small part of what a KDC gives.
const TICKETS_FOR: Duration = Duration::from_secs(60 * 60);
/// As many domain controllers have a ticket in reserve.
const SPARE: usize = 8;

/// A connection that several tasks share.
pub struct Door {
    config: Arc<Config>,
    tickets: Arc<Tickets>,
    locator: Locator,
    current: Mutex<Option<Arc<Directory>>>,
}

/// Guards the process's one ticket cache: it is empty for a moment while it is filled, so that nobody may
/// read it then, and many may otherwise. Since when it is full, so that a connection that broke is made
/// anew without a KDC: the one that died was often asked first.
#[derive(Default)]
pub struct Tickets(RwLock<Option<Instant>>);

impl Tickets {
    /// The cache stays as it is for as long as the answer is held.
    pub async fn reading(&self) -> RwLockReadGuard<'_, Option<Instant>> {
        self.0.read().await
    }

    /// Fills the cache where that was long ago, and answers what `fill` did.
    async fn renew<T, E>(&self, fill: impl Future<Output = Result<T, E>>) -> Result<Option<T>, E> {
        let is_fresh =
            |since: &Option<Instant>| since.is_some_and(|since| since.elapsed() < TICKETS_FOR);
        // Whoever only looks does not wait until another one's controller has answered.
        if is_fresh(&*self.reading().await) {
            return Ok(None);
        }
        let mut since = self.0.write().await;
        if is_fresh(&since) {
            return Ok(None);
        }
        *since = None;
        let filled = fill.await?;
        *since = Some(Instant::now());
        Ok(Some(filled))
    }

    async fn forget(&self) {
        *self.0.write().await = None;
    }
}

impl Door {
    /// A door that is not open yet. Doors of one process share `tickets`.
    pub fn new(config: Arc<Config>, tickets: Arc<Tickets>) -> Self {
        Self {
            locator: locator(&config, config.dc.as_deref()),
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
        let connected = connect_by(&self.locator, &self.config, &self.tickets).await?;
        let directory = Arc::new(connected);
        tracing::info!(
            dc = directory.dc(),
            "connected to the domain controller, sealed"
        );
        *current = Some(directory.clone());
        Ok(directory)
    }

    /// A connection more, of one's own, to the domain controller `dc`.
    pub async fn to(&self, dc: &str) -> Result<Directory, directory::Error> {
        let locator = locator(&self.config, Some(dc));
        connect_by(&locator, &self.config, &self.tickets).await
    }

    /// The tickets that the connection is made with.
    pub fn tickets(&self) -> &Tickets {
        &self.tickets
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
    connect_by(&locator(config, config.dc.as_deref()), config, tickets).await
}

/// Nothing of the agent's is for a read-only domain controller.
fn locator(config: &Config, dc: Option<&str>) -> Locator {
    Locator::new(&config.realm, dc, Need::Write)
}

async fn connect_by(
    locator: &Locator,
    config: &Config,
    tickets: &Tickets,
) -> Result<Directory, directory::Error> {
    let filled = tickets.renew(fill(config)).await?;
    let is_fresh = filled.is_some();
    let reading = tickets.reading().await;
    let connected = locator.connect().await;
    drop(reading);
    let directory = match connected {
        Ok(directory) => directory,
        Err(error) => {
            use directory::Error::{Kerberos, Refused};
            if matches!(error, Kerberos(_) | Refused { .. }) {
                // Perhaps it was the tickets: the next one begins with new ones.
                tickets.forget().await;
            }
            return Err(named(error, filled.flatten()));
        }
    };
    if is_fresh {
        collect(&directory, &config.realm).await;
    }
    if let Some(said) = skew(directory.clock(), now()) {
        tracing::warn!(code = "clock_skew", dc = directory.dc(), said);
    }
    Ok(directory)
}

/// Gets the ticket that the others come from; answers what is to be said of the KDC's clock.
async fn fill(config: &Config) -> Result<Option<String>, directory::Error> {
    use directory::Error::{Kerberos, Unreachable};
    let (account, keytab) = (config.account_principal(), config.keytab.clone());
    let filled = spawn_blocking(move || {
        let context = Context::new()?;
        let filled = context.keytab_ccache(&account, &keytab, CACHE);
        Ok::<_, kerberos::Error>((filled, skew(context.kdc_time(), now())))
    });
    let filled = filled
        .await
        .map_err(|error| Unreachable(error.to_string()))?;
    let (filled, skewed) = filled.map_err(|error| Kerberos(error.to_string()))?;
    match filled {
        Ok(()) => Ok(skewed),
        Err(error @ kerberos::Error::KdcUnreachable(_)) => Err(Unreachable(error.to_string())),
        Err(error) => Err(named(Kerberos(error.to_string()), skewed)),
    }
}

/// The same error, and what is to be said of the clocks.
fn named(error: directory::Error, skewed: Option<String>) -> directory::Error {
    use directory::Error::{Kerberos, Refused};
    let Some(said) = skewed else { return error };
    match error {
        Kerberos(message) => Kerberos(format!("{message}; {said}")),
        Refused { code, message } => Refused {
            code,
            message: format!("{message}; {said}"),
        },
        other => other,
    }
}

/// Gets tickets for the other domain controllers while there is a KDC to ask.
async fn collect(directory: &Directory, realm: &str) {
    let Ok(controllers) = directory.domain_controllers().await else {
        return;
    };
    let domain = realm.to_ascii_lowercase();
    let others = controllers.into_iter().take(SPARE);
    let services: Vec<String> = others
        .map(|dc| format!("ldap/{}/{domain}@{realm}", dc.host.to_ascii_lowercase()))
        .collect();
    spawn_blocking(move || {
        for service in services {
            let ticket =
                Context::new().and_then(|context| context.service_ticket(&service).map(drop));
            if let Err(error) = ticket {
                tracing::debug!(service, %error, "no ticket in reserve");
            }
        }
    });
}

/// What is to be said of two clocks that are too far apart.
fn skew(there: Option<UnixTime>, here: UnixTime) -> Option<String> {
    let there = there.filter(|there| there.0.abs_diff(here.0) > SKEW_S)?;
    let text = |time: UnixTime| Asn1Time::from_unix(time.0).map(|time| time.to_string());
    let (here, there) = (text(here).ok()?, text(there).ok()?);
    Some(format!(
        "it is {here} here and {there} at the domain controller: set the clock, because Kerberos allows \
         five minutes, and refuses the agent or the proofs of users beyond"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_waits_for_a_controller_keeps_nobody_from_tickets_that_are_there() {
        let tickets = Tickets::default();
        let fill = async || Ok::<_, ()>(7);
        assert_eq!(tickets.renew(fill()).await, Ok(Some(7)));
        let waiting = tickets.reading().await;
        assert_eq!(tickets.renew(fill()).await, Ok(None));
        drop((waiting, tickets.reading().await));
        tickets.forget().await;
        let failing = async { Err::<u8, _>("no KDC") };
        assert_eq!(tickets.renew(failing).await, Err("no KDC"));
        assert_eq!(tickets.renew(fill()).await, Ok(Some(7)));
    }

    #[test]
    fn clocks_that_are_too_far_apart_are_named_with_both_times() {
        let here = UnixTime(1_795_861_908);
        assert_eq!(skew(Some(here.plus(300)), here), None);
        assert_eq!(skew(None, here), None);
        let said = skew(Some(here.plus(-3600)), here).unwrap();
        let times = "it is Nov 28 10:31:48 2026 GMT here and Nov 28 09:31:48 2026 GMT at the domain controller";
        assert!(said.starts_with(times), "{said}");
        let refused = || directory::Error::Kerberos("Clock skew too great".to_owned());
        let why = named(refused(), Some(said)).to_string();
        assert!(why.contains("Clock skew too great; it is Nov"), "{why}");
        assert_eq!(named(refused(), None).to_string(), refused().to_string());
    }
}
