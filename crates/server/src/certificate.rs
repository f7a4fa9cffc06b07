//! The TLS certificate while the server runs: a new one is taken up by new connections, and those
//! that are open go on under the old one.
//!
//! Whoever renews certificates replaces the files; not all of them can send a signal, so that the
//! files are looked at too. Files that do not go together are told to the log and change nothing.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::PathBuf,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use openssl::{ssl::SslAcceptor, x509::X509};
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};

use crate::{config::Config, http, tls};

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(5);

/// What tells one state of both files from another.
type Stamp = [Option<(u64, i64, i64, u64)>; 2];

/// The certificate and its key.
pub(crate) struct Certificate {
    files: [PathBuf; 2],
    /// Whose certificates clients may show.
    authorities: Vec<X509>,
    stamp: Mutex<Stamp>,
    acceptor: watch::Sender<SslAcceptor>,
}

impl Certificate {
    /// Reads both files, which must go together.
    pub(crate) fn read<'a>(
        config: &Config,
        authorities: impl IntoIterator<Item = &'a X509>,
    ) -> anyhow::Result<Self> {
        let files = [config.tls_cert.clone(), config.tls_key.clone()];
        let stamp = stamp(&files);
        let authorities: Vec<X509> = authorities.into_iter().cloned().collect();
        let acceptor = tls::acceptor(&config.tls_cert, &config.tls_key, &authorities)?;
        Ok(Self {
            files,
            authorities,
            stamp: Mutex::new(stamp),
            acceptor: watch::Sender::new(acceptor),
        })
    }

    /// What new connections are accepted with.
    pub(crate) fn acceptor(&self) -> watch::Receiver<SslAcceptor> {
        self.acceptor.subscribe()
    }

    /// Takes up what the files hold now.
    pub(crate) fn reload(&self) {
        let [cert, key] = &self.files;
        // Before it is read: what is written meanwhile is looked at again.
        let found = stamp(&self.files);
        *self.stamp.lock().unwrap_or_else(PoisonError::into_inner) = found;
        match tls::acceptor(cert, key, &self.authorities) {
            Ok(acceptor) => {
                self.acceptor.send_replace(acceptor);
                tracing::info!("the TLS certificate was read anew");
            }
            Err(error) => {
                let cause = format!("{error:#}");
                tracing::error!(code = "tls_reload", cause, "the TLS certificate stays");
            }
        }
    }

    /// Takes up other files as soon as they are seen, until the word to stop.
    pub(crate) async fn watch(&self, stop: watch::Receiver<bool>) {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = looks.tick() => {}
                () = http::stopped(stop.clone()) => return,
            }
            let known = *self.stamp.lock().unwrap_or_else(PoisonError::into_inner);
            if stamp(&self.files) != known {
                self.reload();
            }
        }
    }
}

fn stamp(files: &[PathBuf; 2]) -> Stamp {
    let stamp = |file: &PathBuf| {
        let data = fs::metadata(file).ok()?;
        Some((data.ino(), data.mtime(), data.mtime_nsec(), data.size()))
    };
    files.each_ref().map(stamp)
}
