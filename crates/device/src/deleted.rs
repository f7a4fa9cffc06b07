//! A device that its server has deleted.
//!
//! What must hold: a device forgets its people's keys by a signed statement alone, by a key that the server told
//! when the device joined, about this device, and in answer to the very request that asked. A refusal
//! without one, whatever it says, is a server that is out of order or no server of ours; and a device that
//! is switched off keeps everything, because it may be switched on again.

use std::{sync::Arc, time::Duration};

use client::{Deletion, Expected};
use model::UnixTime;
use tokio::{sync::watch, time::timeout};

use crate::{
    Error,
    daemon::{Daemon, now},
    events::{Event, Id},
    join,
    server::Server,
};

/// What a verified statement says.
#[derive(Debug, Clone)]
struct Said {
    /// When the device was deleted.
    deleted: UnixTime,
    /// The certificate that it asked with: it may have joined anew since.
    certificate: Vec<u8>,
}

/// The last one, until it is acted upon.
pub(crate) struct Deleted(watch::Sender<Option<Said>>);

impl Default for Deleted {
    fn default() -> Self {
        Self(watch::Sender::new(None))
    }
}

impl Deleted {
    /// A statement was verified.
    pub(crate) fn note(&self, deleted: UnixTime, server: &Server) {
        let certificate = server.joined.certificate.clone();
        let said = Said {
            deleted,
            certificate,
        };
        self.0.send_replace(Some(said));
    }
}

impl Server {
    /// When this device was deleted, if the statement that answered the request with `nonce` says so.
    pub(crate) fn deleted(&self, statement: &Deletion, nonce: &str) -> Option<UnixTime> {
        let issuer = format!("{}/{}/", self.client.base_url(), self.joined.tenant);
        let expected = Expected {
            keys: &self.joined.statement_keys,
            issuer: &issuer,
            device: self.device.id,
            nonce,
        };
        match statement.verify(&expected, now()) {
            Ok(deleted) => Some(deleted),
            Err(error) => {
                tracing::warn!(%error, "a server says that this device was deleted, and is not believed");
                None
            }
        }
    }
}

/// Has the server say now and then whether the device is still its own, and acts where it was deleted.
pub(crate) async fn watch(daemon: Arc<Daemon>) {
    let mut said = daemon.deleted.0.subscribe();
    loop {
        let told = timeout(PAUSE, said.wait_for(Option::is_some)).await;
        let told = told.map(|told| told.ok().and_then(|told| told.clone()));
        match told {
            // Nobody else may ask anything for days. What is answered is noted on the way.
            Err(_) => {
                if let Ok(server) = daemon.server() {
                    let _ = daemon.fresh_token(&server).await;
                }
            }
            Ok(None) => return,
            Ok(Some(told)) => match daemon.take_out_deleted(&told).await {
                Ok(()) => {
                    daemon.deleted.0.send_replace(None);
                }
                Err(error) => {
                    tracing::error!(%error, "this device was deleted, and still has keys");
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
            },
        }
    }
}

impl Daemon {
    /// Removes every credential, and what else belonged to the server: there it is gone already.
    async fn take_out_deleted(&self, said: &Said) -> Result<(), Error> {
        let _one = self.membership.lock().await;
        let Ok((device, joined)) = self.identity.joined() else {
            return Ok(());
        };
        if joined.certificate != said.certificate {
            return Ok(());
        }
        for uid in self.credentials.uids()? {
            if let Some(credential) = self.credentials.read(uid)? {
                self.discard(&credential).await?;
            }
        }
        join::forget(self).await?;
        let event = Event::new(Id::DeviceDeleted).with("Server", &joined.url);
        let event = event.with("DeviceId", device.id);
        self.events.tell(&event.with("Deleted", said.deleted.0));
        Ok(())
    }
}

/// Between two questions whether the device is still the server's.
const PAUSE: Duration = Duration::from_secs(4 * 3600);

/// After a removal that broke off.
const RETRY_PAUSE: Duration = Duration::from_secs(60);
