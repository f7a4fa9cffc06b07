//! Hybrid join (MS-DVRJ, `JoinType` 6): a computer that AD knows becomes a device.
//!
//! There is no token. What speaks for the computer is the key behind its `userCertificate`, which
//! it wrote into AD itself and the agent brought here: so a device id is always the objectGUID of a
//! computer of the domain, and a computer can join as nobody else.

use std::sync::Arc;

use api::device::{IssuedCertificate, JoinAnswer, JoinRequest};
use axum::{
    Json,
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use model::Guid;
use openssl::hash::{MessageDigest, hash};
use store::{AttestationTrust, Audit, Computer, Device, TransportKey};

use crate::{access, app::App, authority, error::Refusal, evidence};

/// Hybrid join.
const JOIN_TYPE: u8 = 6;

/// The longest name that is kept.
const MAX_NAME: usize = 256;

fn refused(status: StatusCode, code: &str, sentence: &str) -> Refusal {
    Refusal::registration(status, code, sentence)
}

fn malformed(sentence: &str) -> Refusal {
    refused(StatusCode::BAD_REQUEST, "bad_request", sentence)
}

/// `PUT /EnrollmentServer/device/{id}`. Joining again replaces the certificate.
pub(crate) async fn join(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Json<JoinAnswer>, Refusal> {
    let id: Guid = id
        .parse()
        .map_err(|_| malformed("the device id is not a GUID"))?;
    let request: JoinRequest =
        serde_json::from_slice(&body).map_err(|error| malformed(&error.to_string()))?;
    if request.join_type != JOIN_TYPE {
        return Err(malformed("only hybrid join (JoinType 6) is offered"));
    }
    let not_synced = || {
        refused(
            StatusCode::NOT_FOUND,
            "device_not_synced",
            "the agent has not brought this computer and its certificate yet: try again shortly",
        )
        .retry_after(1)
    };
    let computer = app
        .store
        .computer(app.tenant.id, id)
        .await?
        .ok_or_else(not_synced)?;
    prove_identity(&app, &computer, &request, not_synced)?;
    if !computer.active || !may_join(&app, id).await? {
        let sentence = "this computer may not join: it is disabled in AD, or not in the group \
                        that an administrator has named";
        return Err(refused(StatusCode::FORBIDDEN, "not_allowed", sentence));
    }
    if request.certificate_request.kind != "pkcs10" {
        return Err(malformed("the certificate request is not of type pkcs10"));
    }
    let key = authority::requested_key(&request.certificate_request.data)
        .map_err(|why| refused(StatusCode::BAD_REQUEST, "bad_csr", why.0))?;
    let now = app.clock.now();
    let certificate = app
        .keyring
        .authority
        .issue(id, app.tenant.id, &key, now)?
        .to_der()?;
    let device = device(&request, &computer, certificate.clone(), now)?;
    let audit = Audit {
        at: now,
        actor: format!("device:{id}"),
        action: "device.join",
        subject: device.display_name.clone(),
    };
    app.store.join_device(app.tenant.id, device, audit).await?;
    let thumbprint = hash(MessageDigest::sha1(), &certificate)?;
    Ok(Json(JoinAnswer {
        certificate: IssuedCertificate {
            thumbprint: thumbprint
                .iter()
                .map(|byte| format!("{byte:02X}"))
                .collect(),
            raw_body: STANDARD.encode(&certificate),
        },
    }))
}

/// A signature that no certificate here explains may be by one that the agent has not brought yet:
/// that is told apart from an identity that is wrong in itself.
fn prove_identity(
    app: &App,
    computer: &Computer,
    request: &JoinRequest,
    not_synced: impl FnOnce() -> Refusal,
) -> Result<(), Refusal> {
    let identity = &request.server_ad_join_data.client_identity;
    let names_it = identity.kind == "sha256signed"
        && evidence::identity_names(&identity.sid, &computer.sid, app.clock.now());
    if !names_it {
        let sentence = "the identity is not of this computer, or its time is more than ten \
                        minutes from the server's";
        return Err(refused(StatusCode::UNAUTHORIZED, "bad_identity", sentence));
    }
    let (message, signature) = (identity.sid.as_bytes(), &identity.signed_blob);
    let certificates = &computer.certificates;
    if !evidence::signed_by_computer(certificates, computer.guid, message, signature) {
        return Err(not_synced());
    }
    Ok(())
}

async fn may_join(app: &App, computer: Guid) -> Result<bool, store::Error> {
    let groups = app.store.settings(app.tenant.id).await?.join_devices_groups;
    Ok(groups.is_empty() || app.is_in_any(computer, &groups).await?)
}

fn device(
    request: &JoinRequest,
    computer: &Computer,
    certificate: Vec<u8>,
    now: model::UnixTime,
) -> Result<Device, Refusal> {
    let data = &request.server_ad_join_data;
    if data.device_display_name.len() > MAX_NAME || data.os_version.len() > MAX_NAME {
        return Err(malformed("a name is too long"));
    }
    let transport_key = evidence::key_material(&data.transport_key)
        .map_err(|why| malformed(&format!("the transport key: {why}")))?;
    let bytes = |base64: &String| {
        STANDARD
            .decode(base64)
            .map_err(|_| malformed("an attestation field is not base64"))
    };
    let latchkey = request.latchkey.as_ref();
    Ok(Device {
        id: computer.guid,
        domain: Some(computer.domain),
        owner: None,
        join_type: JOIN_TYPE,
        display_name: data.device_display_name.clone(),
        os_version: data.os_version.clone(),
        certificate,
        transport_key: Some(TransportKey::Rsa1(transport_key)),
        attestation_trust: AttestationTrust::None,
        attestation_key: latchkey.map(|l| bytes(&l.ak_public)).transpose()?,
        endorsement_key: latchkey
            .and_then(|l| l.ek_public.as_ref())
            .map(bytes)
            .transpose()?,
        endorsement_hash: None,
        endorsement_certificate: latchkey
            .and_then(|l| l.ek_certificate.as_ref())
            .map(bytes)
            .transpose()?,
        enabled: true,
        joined: now,
        last_seen: None,
    })
}

/// `DELETE /EnrollmentServer/device/{id}`: the device leaves, and its keys go out of AD.
pub(crate) async fn leave(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Refusal> {
    let device = access::device(&app, &headers).await?;
    if id.parse() != Ok(device.id) {
        let sentence = "a device can take out itself only";
        return Err(Refusal::own(StatusCode::FORBIDDEN, "forbidden", sentence));
    }
    let audit = Audit {
        at: app.clock.now(),
        actor: format!("device:{}", device.id),
        action: "device.leave",
        subject: device.display_name.clone(),
    };
    app.store
        .delete_device(app.tenant.id, device.id, audit)
        .await?;
    Ok(StatusCode::OK)
}
