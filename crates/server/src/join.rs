//! What every join has in common: the certificate, what is stored of the device, and what it is told.

use api::device::{IssuedCertificate, JoinAnswer, JoinAttestation, JoinedDevice};
use api::join::JoinUser;
use axum::{Json, http::StatusCode};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use keycred::RsaPublicKey;
use openssl::{
    hash::{MessageDigest, hash},
    pkey::{PKey, Public},
};
use store::{Audit, Device, TransportKey};

use crate::{
    app::App,
    attestation::{self, Shown},
    authority,
    error::Refusal,
    evidence, policies,
};

/// The longest name that is kept.
const MAX_NAME: usize = 256;

/// The longest transport key.
const MAX_KEY: usize = 4096;

/// A device that may join.
pub(crate) struct Joining<'a> {
    /// As it is to be stored, but for the certificate and the TPM.
    pub(crate) device: Device,
    /// The key that the certificate is for.
    pub(crate) key: PKey<Public>,
    /// What it shows of its TPM; foreign clients show nothing.
    pub(crate) latchkey: Option<&'a JoinAttestation>,
    /// The principal name of the user who joins it.
    pub(crate) upn: Option<String>,
    /// How many devices its owner may have, where one joins it.
    pub(crate) most: Option<u32>,
    /// Who joins it, for the audit log.
    pub(crate) actor: String,
}

pub(crate) fn refused(status: StatusCode, code: &str, sentence: &str) -> Refusal {
    Refusal::registration(status, code, sentence)
}

pub(crate) fn malformed(sentence: &str) -> Refusal {
    refused(StatusCode::BAD_REQUEST, "bad_request", sentence)
}

/// The key of a certificate request.
pub(crate) fn requested_key(
    request: &api::device::CertificateRequest,
) -> Result<PKey<Public>, Refusal> {
    if request.kind != "pkcs10" {
        return Err(malformed("the certificate request is not of type pkcs10"));
    }
    let key = authority::requested_key(&request.data)
        .map_err(|why| refused(StatusCode::BAD_REQUEST, "bad_csr", why.0))?;
    let public = RsaPublicKey::from_spki_der(&key.public_key_to_der()?);
    if public.is_ok_and(|public| public.has_roca_fingerprint()) {
        let sentence = "the key of the certificate request is one of a faulty library (ROCA)";
        return Err(refused(StatusCode::BAD_REQUEST, "bad_csr", sentence));
    }
    Ok(key)
}

/// Checks what people read.
pub(crate) fn checked_names(names: [&str; 2]) -> Result<(), Refusal> {
    if names.iter().any(|name| name.len() > MAX_NAME) {
        return Err(malformed("a name is too long"));
    }
    Ok(())
}

/// A transport key as it is sent: base64 of a BCRYPT RSA1 blob, or of a JSON Web Key.
pub(crate) fn transport_key(text: &str) -> Result<TransportKey, Refusal> {
    let jwk = STANDARD
        .decode(text)
        .ok()
        .filter(|bytes| bytes.starts_with(b"{") && bytes.len() <= MAX_KEY)
        .and_then(|bytes| String::from_utf8(bytes).ok());
    if let Some(jwk) = jwk {
        return jwk_key(jwk);
    }
    evidence::key_material(text)
        .map(TransportKey::Rsa1)
        .map_err(|why| malformed(&format!("the transport key: {why}")))
}

/// A transport key as a JSON Web Key.
pub(crate) fn jwk_key(jwk: String) -> Result<TransportKey, Refusal> {
    let read = serde_json::from_str::<serde_json::Value>(&jwk);
    let has_kind = |key: serde_json::Value| key.get("kty").is_some_and(|kind| kind.is_string());
    if jwk.len() > MAX_KEY || !read.is_ok_and(has_kind) {
        return Err(malformed("the transport key is not a JSON Web Key"));
    }
    Ok(TransportKey::Jwk(jwk))
}

/// Issues the certificate and stores the device. Joining again replaces what was known of it.
pub(crate) async fn take_in(app: &App, joining: Joining<'_>) -> Result<Json<JoinAnswer>, Refusal> {
    let now = app.clock.now();
    let id = joining.device.id;
    let certificate = app
        .issue(id, &joining.key, joining.latchkey.is_some())
        .await?;
    let device = Device {
        certificate: certificate.clone(),
        ..joining.device
    };
    let known = app.store.device(app.tenant.id, id).await?;
    let device = match joining.latchkey {
        None => device,
        Some(sent) => Shown::read(sent)
            .map_err(|_| malformed("an attestation field is not base64"))?
            .record(device, known.as_ref()),
    };
    let audit = Audit {
        at: now,
        actor: joining.actor,
        action: "device.join",
        subject: device.display_name.clone(),
    };
    policies::enrollment::keep(app, &device).await?;
    let (store, most) = (&app.store, joining.most);
    let joined = store.join_device(app.tenant.id, device.clone(), most, audit);
    if !joined.await? {
        let most = most.unwrap_or(0);
        let sentence = format!(
            "this account owns {most} devices, and no more are allowed: have one of them removed first"
        );
        return Err(refused(StatusCode::FORBIDDEN, "quota", &sentence));
    }
    let latchkey = match joining.latchkey {
        None => None,
        Some(_) => Some(told(app, &device).await?),
    };
    Ok(Json(JoinAnswer {
        certificate: issued(&certificate)?,
        user: joining.upn.map(|upn| JoinUser { upn }),
        membership_changes: Vec::new(),
        latchkey,
    }))
}

/// What a device of ours is told.
pub(crate) async fn told(app: &App, device: &Device) -> anyhow::Result<JoinedDevice> {
    Ok(JoinedDevice {
        challenge: attestation::standing(app, device).await?.challenge,
        recovery_public: STANDARD.encode(app.keyring.recovery.public()),
        statement_keys: app.tokens().await?.public_keys(app.clock.now()),
    })
}

/// A certificate as it is answered.
pub(crate) fn issued(certificate: &[u8]) -> anyhow::Result<IssuedCertificate> {
    let thumbprint = hash(MessageDigest::sha1(), certificate)?;
    Ok(IssuedCertificate {
        thumbprint: thumbprint
            .iter()
            .map(|byte| format!("{byte:02X}"))
            .collect(),
        raw_body: STANDARD.encode(certificate),
    })
}
