//! Statements signed with a device key: the certificate in `x5c` must be one of this device and of the
//! key that it has now, the device must be usable, and each statement is good once.
//!
//! A renewed certificate is of the same key, and does not end the one before it. A device that joins
//! with another key ends them all.

use api::device::{DELETED_TYPE, DeletedClaims};
use model::{Guid, sha256};
use openssl::x509::X509;
use serde::{Deserialize, de::DeserializeOwned};
use store::{Device, Spend};
use token::{Unverified, VerifyingKey, X5cForm};

use crate::{
    app::App, authorities::SignedBy, authority::subject_name, facts::Facts, nonce, sign_in_log,
};

/// Reads a statement, whose nonce is the caller's to spend; `None` where it is none of a usable device. Which of the many things is
/// wrong is for the log alone: whoever forges one learns nothing.
pub(crate) async fn read<C: DeserializeOwned>(
    app: &App,
    statement: &str,
) -> anyhow::Result<Option<(Device, C)>> {
    match Statement::read(app, statement) {
        Ok(statement) => read_by(app, &Facts::NONE, statement).await,
        Err(why) => Ok(refused(why)),
    }
}

/// The same of one that was taken apart already, by what is known for it.
pub(crate) async fn read_by<C: DeserializeOwned>(
    app: &App,
    facts: &Facts,
    statement: Statement<'_>,
) -> anyhow::Result<Option<(Device, C)>> {
    match check(app, facts, statement).await? {
        Ok(proven) => {
            sign_in_log::note_of(|row| row.device = Some(proven.0.id));
            Ok(Some(proven))
        }
        Err(why) => Ok(refused(why)),
    }
}

/// Notes why a statement is not accepted.
pub(crate) fn refused<T>(why: &str) -> Option<T> {
    tracing::info!(why, "a device's statement is not accepted");
    None
}

/// A certificate as it was read: which device it names, and its key.
#[derive(Clone)]
pub(crate) struct Shown {
    certificate: X509,
    signed: SignedBy,
    device: Option<Guid>,
    key: Option<VerifyingKey>,
}

impl Shown {
    fn read(der: &[u8]) -> Option<Self> {
        let certificate = X509::from_der(der).ok()?;
        Some(Self {
            device: named(&certificate),
            key: VerifyingKey::rs256_of_certificate(&certificate).ok(),
            signed: SignedBy::default(),
            certificate,
        })
    }
}

/// A statement that was taken apart, and the certificate that it shows. Neither was checked.
pub(crate) struct Statement<'a> {
    pub(crate) unverified: Unverified<'a>,
    shown: Shown,
    /// SHA-256 of the certificate.
    digest: [u8; 32],
}

impl<'a> Statement<'a> {
    /// Takes one apart, or says why it is none.
    pub(crate) fn read(app: &App, statement: &'a str) -> Result<Self, &'static str> {
        let unverified = Unverified::read(statement, X5cForm::ArrayOrString);
        let unverified = unverified.map_err(|_| "not a signed statement")?;
        let der = unverified.header().x5c.first().ok_or("no certificate")?;
        let digest = sha256(der);
        let known = app.known_certificates.find(&digest);
        let shown = known.or_else(|| Shown::read(der));
        Ok(Self {
            shown: shown.ok_or("no certificate")?,
            digest,
            unverified,
        })
    }

    /// The device that the certificate names.
    pub(crate) fn device(&self) -> Option<Guid> {
        self.shown.device
    }
}

fn named(certificate: &X509) -> Option<Guid> {
    subject_name(certificate)?.parse().ok()
}

/// Whether a statement's nonce is a good one that this device has not used for this grant yet;
/// from now on it has. Whoever copies a statement on its way comes too late with it.
pub(crate) async fn spend(
    app: &App,
    device: Guid,
    grant: &str,
    nonce: &str,
) -> anyhow::Result<bool> {
    let Some(spend) = to_spend(app, device, grant, nonce)? else {
        return Ok(false);
    };
    let now = app.clock.now();
    let is_first = app.store.spend(app.tenant.id, spend, now).await?;
    if !is_first {
        note_second(device);
    }
    Ok(is_first)
}

/// The same for somebody who spends it with what is issued for it; none where the nonce is no good one.
pub(crate) fn to_spend(
    app: &App,
    device: Guid,
    grant: &str,
    nonce: &str,
) -> anyhow::Result<Option<Spend>> {
    let now = app.clock.now();
    let Some(end) = app.keyring.nonces.end(nonce, now) else {
        tracing::info!(why = "nonce", "a device's statement is not accepted");
        return Ok(None);
    };
    let mut id = sha256(format!("{grant}/{device}/{nonce}").as_bytes());
    // What is spent at one time lies together in the store, and is written together.
    let (time, _) = id.split_at_mut(size_of::<i64>());
    time.copy_from_slice(&end.0.to_be_bytes());
    Ok(Some(Spend {
        id,
        // Twice its life: servers of one tenant sweep by clocks of their own.
        until: now.plus(2 * nonce::LIFE_S),
    }))
}

/// Somebody has copied a statement, or a device is broken.
pub(crate) fn note_second(device: Guid) {
    tracing::warn!(%device, "a device's statement came a second time");
}

/// The usable device of a certificate, or why there is none. That its peer has the key is for the
/// caller to know.
pub(crate) async fn of_certificate(
    app: &App,
    certificate: &X509,
) -> anyhow::Result<Result<Device, &'static str>> {
    let signed = SignedBy::default();
    let named = named(certificate);
    device_by(app, &Facts::NONE, (certificate, &signed, named)).await
}

async fn device_by(
    app: &App,
    facts: &Facts,
    shown: (&X509, &SignedBy, Option<Guid>),
) -> anyhow::Result<Result<Device, &'static str>> {
    let id = match issued_to(app, facts, shown).await? {
        Ok(id) => id,
        Err(why) => return Ok(Err(why)),
    };
    let Some(device) = facts.device(app, id).await? else {
        return Ok(Err("the device is unknown or switched off"));
    };
    let (certificate, ..) = shown;
    if !is_current(&device, certificate)? {
        return Ok(Err("the device has a newer key"));
    }
    Ok(Ok(device))
}

/// Whether a certificate is of the key that the device has now.
fn is_current(device: &Device, certificate: &X509) -> anyhow::Result<bool> {
    // Mostly it is the certificate that was issued last; reading that one too takes its time.
    if certificate.to_der()? == device.certificate {
        return Ok(true);
    }
    let current = X509::from_der(&device.certificate)?.public_key()?;
    Ok(current.public_eq(&*certificate.public_key()?))
}

/// The device that a certificate of ours is for.
async fn issued_to(
    app: &App,
    facts: &Facts,
    (certificate, signed, named): (&X509, &SignedBy, Option<Guid>),
) -> anyhow::Result<Result<Guid, &'static str>> {
    let authorities = facts.authorities(app).await?;
    if !authorities.has_issued(certificate, signed, app.clock.now())? {
        return Ok(Err("not of our authority, or over"));
    }
    Ok(named.ok_or("the subject is not a device id"))
}

async fn check<C: DeserializeOwned>(
    app: &App,
    facts: &Facts,
    Statement {
        unverified,
        shown,
        digest,
    }: Statement<'_>,
) -> anyhow::Result<Result<(Device, C), &'static str>> {
    let now = app.clock.now();
    let looked_at = (&shown.certificate, &shown.signed, shown.device);
    let device = match device_by(app, facts, looked_at).await? {
        Ok(device) => device,
        Err(why) => return Ok(Err(why)),
    };
    app.known_certificates.keep(digest, &shown);
    let Some(key) = shown.key else {
        return Ok(Err("the certificate's key is unusable"));
    };
    Ok(unverified
        .verify_nonced(&key, now)
        .map(|claims| (device, claims))
        .map_err(|_| "signature, time or claims"))
}

/// The nonce of any statement of a device.
#[derive(Deserialize)]
struct Nonced {
    request_nonce: String,
}

/// Where a statement is one of a device that was deleted: the server's signed word that it was, for
/// the nonce of the statement. A device believes that and nothing else before it forgets its keys.
pub(crate) async fn deletion(app: &App, statement: &str) -> anyhow::Result<Option<String>> {
    let now = app.clock.now();
    let Ok(statement) = Statement::read(app, statement) else {
        return Ok(None);
    };
    let Shown {
        certificate,
        signed,
        device,
        key,
    } = statement.shown;
    let looked_at = (&certificate, &signed, device);
    let issued_to = issued_to(app, &Facts::NONE, looked_at).await?;
    let (Ok(device), Some(key)) = (issued_to, key) else {
        return Ok(None);
    };
    let Ok(Nonced { request_nonce }) = statement.unverified.verify::<Nonced>(&key, now) else {
        return Ok(None);
    };
    if !app.keyring.nonces.is_good(&request_nonce, now) {
        return Ok(None);
    }
    let Some(tombstone) = app.store.tombstone(app.tenant.id, device).await? else {
        return Ok(None);
    };
    let claims = DeletedClaims {
        iss: format!("{}/{}/", app.url, app.tenant.id),
        device,
        deleted: tombstone.deleted,
        nonce: request_nonce,
        iat: now.0,
        exp: now.plus(nonce::LIFE_S).0,
    };
    let tokens = app.tokens().await?;
    Ok(Some(tokens.sign_as(DELETED_TYPE, &claims, now)?))
}
