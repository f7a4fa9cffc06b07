//! What a device says of itself and its user at the authorization endpoint (MS-OAPXBC 3.2.5.1.4): a
//! primary refresh token under its session key, or the device's own signature.
//!
//! One that is not accepted is passed over, as the protocol wants: then nobody is signed in.

use api::oauth::{DEVICE_CREDENTIAL_HEADER, DeviceCredentialClaims};
use axum::http::HeaderMap;
use model::Guid;
use serde::Deserialize;
use store::{App as Application, Digest};

use super::{
    primary::{self, Shown},
    session,
    subject::Subject,
};
use crate::{app::App, device_proof, error::Refusal};

/// The header, and the cookie, with a primary refresh token.
const PRIMARY: &str = "x-ms-refreshtokencredential";

/// What a device says of its user. The nonce shows that it says so now.
#[derive(Deserialize)]
struct Claims {
    request_nonce: Option<String>,
}

/// A user who is signed in on the device that asks.
pub(crate) struct Primary {
    pub(crate) subject: Subject,
    pub(crate) prt: Digest,
    device: Guid,
    nonce: String,
}

/// The user of a request, where its device shows one.
pub(crate) async fn primary(
    app: &App,
    headers: &HeaderMap,
    client: &Application,
) -> Result<Option<Primary>, Refusal> {
    let header = headers.get(PRIMARY).and_then(|value| value.to_str().ok());
    let Some(text) = header.or_else(|| session::cookie(headers, PRIMARY)) else {
        return Ok(None);
    };
    let shown: Shown<Claims> = match primary::read(app, text).await {
        Ok(shown) => shown,
        Err(Refusal::OAuth(_, why)) => {
            tracing::info!(why = why.error_description, "a credential is passed over");
            return Ok(None);
        }
        Err(failure) => return Err(failure),
    };
    let now = app.clock.now();
    let nonce = shown.claims.request_nonce.unwrap_or_default();
    let is_good =
        primary::expect_kdf(client, shown.kdf).is_ok() && app.keyring.nonces.is_good(&nonce, now);
    if !is_good {
        tracing::info!(why = "nonce or derivation", "a credential is passed over");
        return Ok(None);
    }
    Ok(Some(Primary {
        subject: shown.subject,
        prt: shown.digest,
        device: shown.device.id,
        nonce,
    }))
}

impl Primary {
    /// Spends the statement, once everything else about the request is right: clients repeat one
    /// whose request failed.
    pub(crate) async fn spend(&self, app: &App) -> Result<bool, Refusal> {
        Ok(device_proof::spend(app, self.device, "authorize", &self.nonce).await?)
    }
}

/// The device of a request that says nothing of its user.
pub(crate) async fn device(app: &App, headers: &HeaderMap) -> Result<Option<Guid>, Refusal> {
    let header = headers
        .get(DEVICE_CREDENTIAL_HEADER)
        .and_then(|value| value.to_str().ok());
    let Some(text) = header else {
        return Ok(None);
    };
    let Some((device, claims)) = device_proof::read::<DeviceCredentialClaims>(app, text).await?
    else {
        return Ok(None);
    };
    let is_right = claims.grant_type == "device_auth"
        && device_proof::spend(app, device.id, "page", &claims.request_nonce).await?;
    Ok(is_right.then_some(device.id))
}
