//! The server as this device speaks to it: always as itself, by a key that stays in the TPM.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use api::oauth::{DeviceCredentialClaims, DeviceTokenClaims};
use client::Client;
use model::Secret;
use openssl::x509::X509;
use serde::Serialize;
use token::{Draft, Header};

use crate::{
    Error,
    chip::Chip,
    daemon::{Daemon, now},
    identity::{self, Device, Joined},
};

/// The device's access token, as long as it lasts.
#[derive(Default)]
pub struct Bearer(tokio::sync::Mutex<Option<(String, Instant)>>);

impl Bearer {
    /// Forgets it: the device has left or joined another server.
    pub async fn forget(&self) {
        *self.0.lock().await = None;
    }
}

/// A client of the server that was asked last, by its authority: those of later calls are made after it.
#[derive(Default)]
pub(crate) struct Pattern(Mutex<Option<(String, Client)>>);

impl Pattern {
    fn client(&self, joined: &Joined) -> Result<Client, Error> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((anchor, client)) = &*kept
            && *anchor == joined.anchor
            && client.base_url() == joined.url.trim_end_matches('/')
        {
            return Ok(client.another());
        }
        let anchor = X509::from_pem(joined.anchor.as_bytes())?;
        let client = Client::new(&joined.url, &anchor)?;
        let another = client.another();
        *kept = Some((joined.anchor.clone(), client));
        Ok(another)
    }
}

/// A connection to the server that this device belongs to.
pub struct Server {
    /// The calls.
    pub client: Client,
    /// The device.
    pub device: Device,
    /// Its server.
    pub joined: Joined,
    chip: Arc<Chip>,
    auth: Secret<[u8; 32]>,
}

impl Daemon {
    /// The server of this device; a refusal when it has none.
    pub fn server(&self) -> Result<Server, Error> {
        let (device, joined) = self.identity.joined()?;
        Ok(Server {
            client: self.pattern.client(&joined)?,
            device,
            joined,
            chip: Arc::clone(&self.chip),
            auth: self.identity.auth()?,
        })
    }

    /// An access token of the device for its own interface at the server.
    pub async fn bearer(&self, server: &Server) -> Result<String, Error> {
        let mut kept = self.bearer.0.lock().await;
        if let Some((token, until)) = &*kept
            && Instant::now() < *until
        {
            return Ok(token.clone());
        }
        let answer = self.fresh_token(server).await?;
        let lifetime = u64::try_from(answer.expires_in).unwrap_or(0);
        let until = Instant::now() + Duration::from_secs(lifetime).saturating_sub(TOKEN_MARGIN);
        *kept = Some((answer.access_token.clone(), until));
        if let Err(error) = self.renew_certificate(server, &answer.access_token).await {
            // With the next token it is tried again, long before the end.
            tracing::warn!(%error, "the device certificate could not be renewed");
        }
        Ok(answer.access_token)
    }
}

impl Daemon {
    /// The server's answer to who the device is, asked now. That it was deleted is acted upon.
    pub(crate) async fn fresh_token(
        &self,
        server: &Server,
    ) -> Result<api::oauth::TokenAnswer, Error> {
        let answer = server.device_token().await;
        if let Err(Error::Deleted(deleted)) = &answer {
            self.deleted.note(*deleted, server);
        }
        answer
    }
}

impl Server {
    /// A token of the device's, by its own key.
    async fn device_token(&self) -> Result<api::oauth::TokenAnswer, Error> {
        let now = now().0;
        let nonce = self.client.nonce(self.joined.tenant).await?;
        let claims = DeviceTokenClaims {
            client_id: api::WORKSTATION_CLIENT.to_owned(),
            request_nonce: nonce.clone(),
            grant_type: "device_token".to_owned(),
            iat: now,
            exp: now + REQUEST_LIFETIME_S,
        };
        let request = self.signed(&claims).await?;
        let answer = self.client.device_token(self.joined.tenant, &request);
        match answer.await {
            Err(client::Error::DeviceDeleted { statement, refusal }) => {
                let deleted = self.deleted(&statement, &nonce);
                let refused = Error::Server(client::Error::Refused(refusal));
                Err(deleted.map_or(refused, Error::Deleted))
            }
            answer => Ok(answer?),
        }
    }

    /// The header by which the device vouches for a person's sign-in (MS-OAPXBC 3.1.5.1.3).
    pub async fn device_credential(&self) -> Result<String, Error> {
        let now = now().0;
        let claims = DeviceCredentialClaims {
            grant_type: "device_auth".to_owned(),
            iss: "aad:brokerplugin".to_owned(),
            request_nonce: self.client.nonce(self.joined.tenant).await?,
            iat: now,
            exp: now + REQUEST_LIFETIME_S,
        };
        self.signed(&claims).await
    }

    /// Signs bytes with the device key.
    pub async fn sign(&self, bytes: &[u8]) -> Result<Vec<u8>, Error> {
        let digest = model::sha256(bytes);
        identity::sign(&self.chip, &self.device.keys.device, &self.auth, digest).await
    }

    pub(crate) async fn signed(&self, claims: &impl Serialize) -> Result<String, Error> {
        let header = Header {
            typ: Some("JWT".to_owned()),
            x5c: vec![self.joined.certificate.clone()],
            ..Header::default()
        };
        let draft = Draft::new(&header, claims).map_err(unbuilt)?;
        let digest = draft.digest();
        let key = &self.device.keys.device;
        let signature = identity::sign(&self.chip, key, &self.auth, digest).await?;
        draft.finish(&signature).map_err(unbuilt)
    }
}

fn unbuilt(error: token::Error) -> Error {
    tracing::error!(%error, "a request could not be signed");
    Error::Bug("a request cannot be built")
}

/// A token that is about to lapse is not used any more.
const TOKEN_MARGIN: Duration = Duration::from_secs(60);

/// How long a signed request is good for.
pub(crate) const REQUEST_LIFETIME_S: i64 = 300;
