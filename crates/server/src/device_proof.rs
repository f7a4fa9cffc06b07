//! Statements signed with a device key: the certificate in `x5c` must be the one that this device
//! was issued last, the device must be usable, and each statement is good once.

use model::{Guid, sha256};
use openssl::x509::X509;
use serde::de::DeserializeOwned;
use store::Device;
use token::{Unverified, VerifyingKey, X5cForm};

use crate::{access::usable_device, app::App, authority::subject_name, nonce};

/// Reads a statement, whose nonce is the caller's to spend; `None` where it is none of a usable device. Which of the many things is
/// wrong is for the log alone: whoever forges one learns nothing.
pub(crate) async fn read<C: DeserializeOwned>(
    app: &App,
    statement: &str,
) -> anyhow::Result<Option<(Device, C)>> {
    match check(app, statement).await? {
        Ok(proven) => Ok(Some(proven)),
        Err(why) => {
            tracing::info!(why, "a device's statement is not accepted");
            Ok(None)
        }
    }
}

/// Whether a statement's nonce is a good one that this device has not used for this grant yet;
/// from now on it has. Whoever copies a statement on its way comes too late with it.
pub(crate) async fn spend(
    app: &App,
    device: Guid,
    grant: &str,
    nonce: &str,
) -> anyhow::Result<bool> {
    let now = app.clock.now();
    if !app.keyring.nonces.is_good(nonce, now)? {
        tracing::info!(why = "nonce", "a device's statement is not accepted");
        return Ok(false);
    }
    let spent = sha256(format!("{grant}/{device}/{nonce}").as_bytes());
    let until = now.plus(nonce::LIFE_S + 1);
    let is_first = app
        .store
        .spend_statement(app.tenant.id, spent, now, until)
        .await?;
    if !is_first {
        tracing::warn!(%device, "a device's statement came a second time");
    }
    Ok(is_first)
}

async fn check<C: DeserializeOwned>(
    app: &App,
    statement: &str,
) -> anyhow::Result<Result<(Device, C), &'static str>> {
    let now = app.clock.now();
    let Ok(unverified) = Unverified::read(statement, X5cForm::ArrayOrString) else {
        return Ok(Err("not a signed statement"));
    };
    let Some(der) = unverified.header().x5c.first() else {
        return Ok(Err("no certificate"));
    };
    let Ok(certificate) = X509::from_der(der) else {
        return Ok(Err("not a certificate"));
    };
    if !app.keyring.authority.has_issued(&certificate, now)? {
        return Ok(Err("not of our authority, or over"));
    }
    let Some(id) = subject_name(&certificate).and_then(|name| name.parse::<Guid>().ok()) else {
        return Ok(Err("the subject is not a device id"));
    };
    let Some(device) = usable_device(app, id).await? else {
        return Ok(Err("the device is unknown or switched off"));
    };
    if device.certificate != *der {
        return Ok(Err("the device has a newer certificate"));
    }
    let Ok(key) = VerifyingKey::rs256_of_certificate(&certificate) else {
        return Ok(Err("the certificate's key is unusable"));
    };
    Ok(unverified
        .verify_nonced(&key, now)
        .map(|claims| (device, claims))
        .map_err(|_| "signature, time or claims"))
}
