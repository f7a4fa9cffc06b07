//! The domain as this device sees it: the directory, and what login helpers must know of the KDCs.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use directory::Directory;
use openssl::x509::X509;
use serde::{Deserialize, Serialize};

use crate::{
    Error,
    daemon::{Daemon, now},
    files,
    keytab::Machine,
    policies::Subject,
    revocation::Lists,
    text,
};

/// The machine account's tickets stay in this process.
pub(crate) const CCACHE: &str = "MEMORY:latchkeyd";

/// What is known of the domain's KDCs; kept on disk, so that a start without a network works.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Known {
    realm: String,
    /// DNS names of the domain controllers, which their certificates may carry.
    kdc_names: Vec<String>,
    /// Base64 DER of the authorities for KDC certificates.
    anchors: Vec<String>,
}

impl Daemon {
    /// Connects to a domain controller as the machine account, sealed.
    pub async fn directory(&self) -> Result<Directory, Error> {
        let machine = Machine::of_keytab(&self.config.keytab)?;
        self.tickets_of(&machine).await?;
        let realm = self.config.realm.as_ref().unwrap_or(&machine.realm);
        let connected = Directory::connect(realm, self.config.dc.as_deref()).await;
        if connected.is_err() {
            // Perhaps it was the tickets: the next one begins with new ones.
            self.forget_tickets().await;
        }
        Ok(connected?)
    }

    /// Sees to it that the process's cache holds fresh tickets of the machine account.
    async fn tickets_of(&self, machine: &Machine) -> Result<(), Error> {
        let mut since = self.machine_tickets.lock().await;
        if since.is_some_and(|since| since.elapsed() < TICKETS_FOR) {
            return Ok(());
        }
        let (principal, keytab) = (machine.principal(), self.config.keytab.clone());
        tokio::task::spawn_blocking(move || {
            kerberos::Context::new()?.keytab_ccache(&principal, &keytab, CCACHE)
        })
        .await??;
        *since = Some(Instant::now());
        Ok(())
    }

    /// The next connection begins with new tickets.
    pub(crate) async fn forget_tickets(&self) {
        *self.machine_tickets.lock().await = None;
    }

    /// Reads the KDCs' authorities and names anew and publishes them for login helpers.
    pub async fn refresh_domain(&self, directory: &Directory) -> Result<(), Error> {
        let machine = Machine::of_keytab(&self.config.keytab)?;
        let anchors = directory.kdc_anchors().await?;
        let known = Known {
            realm: self.config.realm.clone().unwrap_or(machine.realm),
            kdc_names: directory.dc_names().await?,
            anchors: anchors.iter().map(|der| text::base64(der)).collect(),
        };
        files::write(&self.known_path(), &known)?;
        self.refresh_lists(&known.certificates()).await;
        self.publish(&known)
    }

    /// Fetches the revocation lists of the authorities that are known, and publishes them.
    pub(crate) async fn refresh_known_lists(&self) -> Result<(), Error> {
        let Some(known) = files::read::<Known>(&self.known_path())? else {
            return Ok(());
        };
        self.refresh_lists(&known.certificates()).await;
        self.publish(&known)
    }

    /// Publishes what was known when the daemon last ran. False: nothing was.
    pub fn publish_known(&self) -> Result<bool, Error> {
        match files::read::<Known>(&self.known_path())? {
            Some(known) => self.publish(&known).map(|()| true),
            None => Ok(false),
        }
    }

    /// The names of the domain controllers, as known last.
    pub(crate) fn kdc_names(&self) -> Result<Vec<String>, Error> {
        let known = files::read::<Known>(&self.known_path())?;
        Ok(known.map(|known| known.kdc_names).unwrap_or_default())
    }

    fn publish(&self, known: &Known) -> Result<(), Error> {
        files::folder(&self.config.public, 0o755)?;
        let mut anchors = Vec::new();
        for encoded in &known.anchors {
            // One unreadable value in the directory must not keep everybody out.
            match pem(encoded) {
                Some(pem) => anchors.extend(pem),
                None => tracing::warn!("an authority in the directory is no certificate"),
            }
        }
        files::write_bytes(&self.kdc_anchors_path(), &anchors, 0o644)?;
        if let Some(device) = self.identity.device() {
            let root = X509::from_der(&device.root_certificate)?.to_pem()?;
            files::write_bytes(&self.device_root_path(), &root, 0o644)?;
        }
        let computer = self.policies.in_force(&Subject::Computer).effective();
        let profile = kerberos::Profile {
            realm: known.realm.clone(),
            kdcs: self
                .confirmations
                .order(&self.config.kdcs, &known.kdc_names, now()),
            kdc_hostnames: known.kdc_names.clone(),
            crl_files: self.lists(&known.certificates()),
            require_crl: self.config.crl == Lists::Require,
            server_purpose_is_enough: computer.is_some_and(|policy| !policy.requires_kdc_eku()),
        };
        files::write_bytes(&self.profile_path(), profile.render()?.as_bytes(), 0o644)
    }

    /// PEM file: the authorities for KDC certificates.
    pub fn kdc_anchors_path(&self) -> PathBuf {
        self.config.public.join("kdc-anchors.pem")
    }

    /// PEM file: the device root.
    pub fn device_root_path(&self) -> PathBuf {
        self.config.public.join("device-root.pem")
    }

    /// The login helpers' part of the Kerberos configuration.
    pub fn profile_path(&self) -> PathBuf {
        self.config.public.join("krb5.conf")
    }

    fn known_path(&self) -> PathBuf {
        self.config.state.join("domain.json")
    }
}

impl Known {
    /// The authorities. A value that is no certificate is none.
    fn certificates(&self) -> Vec<X509> {
        let certificate = |encoded: &String| X509::from_der(&text::from_base64(encoded)?).ok();
        self.anchors.iter().filter_map(certificate).collect()
    }
}

fn pem(encoded: &str) -> Option<Vec<u8>> {
    X509::from_der(&text::from_base64(encoded)?)
        .ok()?
        .to_pem()
        .ok()
}

/// Refreshes what is known of the domain, now and then: authorities are replaced, and domain
/// controllers come and go.
pub(crate) async fn keep_fresh(daemon: Arc<Daemon>) {
    loop {
        let outcome = async {
            let directory = daemon.directory().await?;
            daemon.refresh_domain(&directory).await
        };
        let pause = match outcome.await {
            Ok(()) => FRESH_FOR,
            Err(error) => {
                tracing::warn!(%error, "the domain's authorities could not be refreshed");
                RETRY_PAUSE
            }
        };
        tokio::time::sleep(pause).await;
    }
}

/// How long the machine account's tickets are used. They would last longer; but groups that the
/// machine came into count from new tickets only.
const TICKETS_FOR: Duration = Duration::from_secs(15 * 60);

/// How long what is known of the domain is good.
const FRESH_FOR: Duration = Duration::from_secs(4 * 3600);

/// Between two tries to reach the domain.
const RETRY_PAUSE: Duration = Duration::from_secs(30);
