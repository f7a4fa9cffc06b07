//! Hybrid join (MS-DVRJ, `JoinType` 6): a computer that AD knows becomes a device. And how any device
//! leaves.
//!
//! There is no token. What speaks for the computer is the key behind its `userCertificate`, which
//! it wrote into AD itself and the agent brought here: so a device id is always the objectGUID of a
//! computer of the domain, and a computer can join as nobody else.

use std::sync::Arc;

use api::device::{JoinAnswer, JoinRequest};
use axum::{
    Extension, Json,
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
};
use model::Guid;
use store::{AttestationTrust, Audit, Computer, Device};

use crate::{
    access,
    app::App,
    device_proof,
    error::Refusal,
    evidence,
    join::{self, Joining, malformed, refused},
    tls::PeerCertificate,
};

/// Hybrid join.
const JOIN_TYPE: u8 = 6;

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
    let key = join::requested_key(&request.certificate_request)?;
    let joining = Joining {
        device: device(&request, &computer, app.clock.now())?,
        key,
        latchkey: request.latchkey.as_ref(),
        upn: None,
        most: None,
        actor: format!("device:{id}"),
    };
    join::take_in(&app, joining).await
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
    now: model::UnixTime,
) -> Result<Device, Refusal> {
    let data = &request.server_ad_join_data;
    join::checked_names([&data.device_display_name, &data.os_version])?;
    Ok(Device {
        id: computer.guid,
        domain: Some(computer.domain),
        owner: None,
        join_type: JOIN_TYPE,
        display_name: data.device_display_name.clone(),
        os_version: data.os_version.clone(),
        certificate: Vec::new(),
        transport_key: Some(join::transport_key(&data.transport_key)?),
        attestation_key: None,
        attestation_trust: AttestationTrust::None,
        endorsement_key: None,
        endorsement_hash: None,
        endorsement_certificate: None,
        enabled: true,
        joined: now,
        last_seen: None,
    })
}

/// `DELETE /EnrollmentServer/device/{id}`: the device leaves, and its keys go out of AD. It is known by
/// its token, or by its certificate on the connection itself, as foreign clients do it.
pub(crate) async fn leave(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    peer: Option<Extension<PeerCertificate>>,
    headers: HeaderMap,
) -> Result<StatusCode, Refusal> {
    let device = match peer {
        Some(Extension(PeerCertificate(certificate))) => {
            device_proof::of_certificate(&app, &certificate)
                .await?
                .map_err(|why| {
                    tracing::info!(why, "a device's certificate is not accepted");
                    let sentence =
                        "the TLS client certificate is not one of a device of this server";
                    Refusal::own(StatusCode::UNAUTHORIZED, "token_refused", sentence)
                })?
        }
        None => access::device(&app, &headers).await?,
    };
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
