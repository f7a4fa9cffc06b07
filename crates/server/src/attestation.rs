//! Whether a device's keys are in a TPM: who vouches for the TPM, and that its two keys are one
//! machine's.
//!
//! Trust is decided by the rules of the moment, each time that it counts: what an administrator takes
//! back does not count any more. What is stored is that the device once opened a challenge with both
//! keys, and the first endorsement key that it showed: by first use no other is ever trusted, so that
//! whoever exchanges the TPM needs an administrator.

use std::sync::Arc;

use api::attestation::{AttestationChallenge, AttestationStatus, ChallengeReply};
use api::device::JoinAttestation;
use attest::{AttestationKey, Challenge, EndorsementKey, Manufacturers, Rules, Trust, trust};
use axum::{
    Json,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use model::{Guid, Secret, UnixTime, sha256};
use openssl::memcmp;
use store::{AttestationTrust, Audit, Device};
use zeroize::Zeroizing;

use crate::{
    access,
    app::App,
    error::{Refusal, read_json},
    random,
};

/// How long a challenge may take; a TPM takes seconds.
const CHALLENGE_S: i64 = 10 * 60;

/// What a device shows of its TPM when it joins.
pub(crate) struct Shown {
    pub(crate) attestation_key: Vec<u8>,
    pub(crate) endorsement_key: Option<Vec<u8>>,
    pub(crate) endorsement_certificate: Option<Vec<u8>>,
}

impl Shown {
    /// Reads it; the fields are judged when they count.
    pub(crate) fn read(sent: &JoinAttestation) -> Result<Self, base64::DecodeError> {
        let bytes = |text: &String| STANDARD.decode(text);
        Ok(Self {
            attestation_key: bytes(&sent.ak_public)?,
            endorsement_key: sent.ek_public.as_ref().map(bytes).transpose()?,
            endorsement_certificate: sent.ek_certificate.as_ref().map(bytes).transpose()?,
        })
    }

    /// Puts it on record, in place of what `known` has shown before.
    pub(crate) fn record(self, device: Device, known: Option<&Device>) -> Device {
        let hash = self.endorsement_key.as_deref().and_then(hash_of);
        let proven = known.filter(|known| known.attestation_trust != AttestationTrust::None);
        let is_same = |known: &&Device| {
            known.attestation_key.as_ref() == Some(&self.attestation_key)
                && known.endorsement_key == self.endorsement_key
        };
        Device {
            attestation_trust: proven
                .filter(is_same)
                .map_or(AttestationTrust::None, |known| known.attestation_trust),
            endorsement_hash: proven.and_then(|known| known.endorsement_hash).or(hash),
            attestation_key: Some(self.attestation_key),
            endorsement_key: self.endorsement_key,
            endorsement_certificate: self.endorsement_certificate,
            ..device
        }
    }
}

fn hash_of(endorsement_key: &[u8]) -> Option<[u8; 32]> {
    let key = EndorsementKey::from_spki_der(endorsement_key).ok()?;
    Some(key.hash())
}

/// A TPM that something speaks for, and its keys.
pub(crate) struct Trusted {
    pub(crate) by: AttestationTrust,
    pub(crate) attestation_key: AttestationKey,
    endorsement_key: EndorsementKey,
}

/// Who vouches for the TPM that a device has shown.
pub(crate) async fn trusted(
    app: &App,
    device: &Device,
) -> anyhow::Result<Result<Trusted, attest::Refusal>> {
    let keys = device
        .attestation_key
        .as_ref()
        .zip(device.endorsement_key.as_ref());
    let Some((attestation_key, endorsement_key)) = keys else {
        return Ok(Err(attest::Refusal::NotAttested));
    };
    let keys = AttestationKey::read(attestation_key)
        .and_then(|attestation| Ok((attestation, EndorsementKey::from_spki_der(endorsement_key)?)));
    let (attestation_key, endorsement_key) = match keys {
        Ok(keys) => keys,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let hash = endorsement_key.hash();
    let roots = app.store.tpm_roots(app.tenant.id).await?;
    let settings = app.store.settings(app.tenant.id).await?;
    let is_first = device.endorsement_hash == Some(hash);
    let rules = Rules {
        manufacturers: &Manufacturers::from_ders(roots.iter().map(|root| &root.der[..]))?,
        approved: if app.store.is_endorsed(app.tenant.id, hash).await? {
            &[hash]
        } else {
            &[]
        },
        first_use: settings.trust_first_use && is_first,
    };
    let certificate = device.endorsement_certificate.as_deref();
    let found = trust(&endorsement_key, certificate, &rules, app.clock.now());
    Ok(found.map(|trust| Trusted {
        by: match trust {
            Trust::Manufacturer(_) => AttestationTrust::Chain,
            Trust::Approved => AttestationTrust::Preapproved,
            Trust::FirstUse => AttestationTrust::FirstUse,
        },
        attestation_key,
        endorsement_key,
    }))
}

/// What is sealed into a challenge's state: nothing of it is in the store.
struct Asked {
    /// SHA-256 of the attestation key's public area.
    attestation_key: [u8; 32],
    secret: Secret<[u8; 32]>,
    until: UnixTime,
}

impl Asked {
    fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let until = self.until.0.to_be_bytes();
        Zeroizing::new([&self.attestation_key[..], self.secret.expose(), &until].concat())
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (attestation_key, rest) = bytes.split_first_chunk()?;
        let (secret, until) = rest.split_first_chunk()?;
        Some(Self {
            attestation_key: *attestation_key,
            secret: Secret::new(*secret),
            until: UnixTime(i64::from_be_bytes(until.try_into().ok()?)),
        })
    }
}

fn state_name(app: &App, device: Guid) -> String {
    format!("{}/attestation/{device}", app.tenant.id)
}

/// A challenge to a device's TPM.
fn challenge(
    app: &App,
    device: &Device,
    trusted: &Trusted,
) -> anyhow::Result<AttestationChallenge> {
    let asked = Asked {
        attestation_key: sha256(device.attestation_key.as_deref().unwrap_or_default()),
        secret: Secret::new(random::bytes()?),
        until: app.clock.now().plus(CHALLENGE_S),
    };
    let state = app
        .keyring
        .master
        .seal(&state_name(app, device.id), &asked.to_bytes())?;
    let made = Challenge::new(
        &trusted.endorsement_key,
        &trusted.attestation_key,
        &asked.secret,
        &Secret::new(random::bytes()?),
    )?;
    Ok(AttestationChallenge {
        state: URL_SAFE_NO_PAD.encode(state),
        blob: STANDARD.encode(made.credential_blob),
        secret: STANDARD.encode(made.secret),
    })
}

/// Where a device's attestation stands, with a challenge where only the answer to one is missing.
pub(crate) async fn standing(app: &App, device: &Device) -> anyhow::Result<AttestationStatus> {
    let none = |reason: &attest::Refusal, challenge| AttestationStatus {
        trust: AttestationTrust::None.as_str().to_owned(),
        reason: Some(reason.to_string()),
        challenge,
    };
    Ok(match trusted(app, device).await? {
        Err(refusal) => none(&refusal, None),
        Ok(trusted) if device.attestation_trust == AttestationTrust::None => {
            let challenge = challenge(app, device, &trusted)?;
            none(&attest::Refusal::NotActivated, Some(challenge))
        }
        Ok(trusted) => AttestationStatus {
            trust: trusted.by.as_str().to_owned(),
            reason: None,
            challenge: None,
        },
    })
}

/// `GET /device/v1/attestation`.
pub(crate) async fn status(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
) -> Result<Json<AttestationStatus>, Refusal> {
    let device = access::device(&app, &headers).await?;
    Ok(Json(standing(&app, &device).await?))
}

/// `PUT /device/v1/attestation`. Answering twice changes nothing.
pub(crate) async fn answer(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<StatusCode, Refusal> {
    let device = access::device(&app, &headers).await?;
    let reply: ChallengeReply = read_json(&body)?;
    let wrong = |sentence| Refusal::own(StatusCode::FORBIDDEN, "not_attested", sentence);
    let attestation_key = device.attestation_key.clone().unwrap_or_default();
    if !opened(&app, device.id, &attestation_key, &reply) {
        let sentence = "the answer is not what this device's TPM was asked, or too late: ask again";
        return Err(wrong(sentence));
    }
    let trusted = match trusted(&app, &device).await? {
        Ok(trusted) => trusted,
        Err(refusal) => return Err(wrong(&refusal.to_string())),
    };
    let audit = Audit {
        at: app.clock.now(),
        actor: format!("device:{}", device.id),
        action: "device.attest",
        subject: trusted.by.as_str().to_owned(),
    };
    if device.attestation_trust != trusted.by {
        app.store
            .set_attestation_trust(app.tenant.id, device.id, attestation_key, trusted.by, audit)
            .await?;
    }
    Ok(StatusCode::NO_CONTENT)
}

fn opened(app: &App, device: Guid, attestation_key: &[u8], reply: &ChallengeReply) -> bool {
    let asked = || -> Option<Asked> {
        let sealed = URL_SAFE_NO_PAD.decode(&reply.state).ok()?;
        let name = state_name(app, device);
        let plain = app.keyring.master.open(&name, &sealed).ok()?;
        Asked::read(plain.expose())
    };
    let (Some(asked), Ok(secret)) = (asked(), STANDARD.decode(&reply.secret)) else {
        return false;
    };
    let secret = Zeroizing::new(secret);
    asked.attestation_key == sha256(attestation_key)
        && app.clock.now() < asked.until
        && secret.len() == asked.secret.expose().len()
        && memcmp::eq(&secret, asked.secret.expose())
}
