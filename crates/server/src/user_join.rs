//! Join by a user (MS-DVRJ, `JoinType` 0, 4 and 8): somebody who may brings a device that AD does not
//! have.
//!
//! Its id is drawn here. The same key of the same user keeps its device, so that a client that did not
//! see the answer asks again.

use std::sync::Arc;

use api::{device::JoinAnswer, join::UserJoinRequest};
use axum::{
    Json,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use model::Guid;
use openssl::{
    pkey::{PKey, Public},
    x509::X509,
};
use store::{AttestationTrust, Device, Settings, TransportKey, User};

use crate::{
    access,
    app::App,
    error::Refusal,
    join::{self, Joining, malformed, refused},
    key, random,
};

/// Joined, registered, and joined by clients that come later.
const JOIN_TYPES: [u8; 3] = [0, 4, 8];

/// `POST /EnrollmentServer/device/`.
pub(crate) async fn join(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<JoinAnswer>, Refusal> {
    let claims = access::registration(&app, &headers).await?;
    let request: UserJoinRequest =
        serde_json::from_slice(&body).map_err(|error| malformed(&error.to_string()))?;
    if !JOIN_TYPES.contains(&request.join_type) {
        return Err(malformed("a user joins by JoinType 0, 4 or 8"));
    }
    let user = key::usable_user(&app, claims.oid).await?;
    let settings = app.store.settings(app.tenant.id).await?;
    expect_may_join(&app, &user, &settings).await?;
    join::checked_names([&request.device_display_name, &request.os_version])?;
    let transport_key = transport_key(&request)?;
    let key = join::requested_key(&request.certificate_request)?;
    let id = device_id(&app, &user, &key).await?;
    let device = Device {
        id,
        domain: None,
        owner: Some(user.guid),
        join_type: request.join_type,
        display_name: request.device_display_name.clone(),
        os_version: format!("{} {}", request.device_type, request.os_version)
            .trim()
            .to_owned(),
        certificate: Vec::new(),
        transport_key,
        attestation_key: None,
        attestation_trust: AttestationTrust::None,
        endorsement_key: None,
        endorsement_hash: None,
        endorsement_certificate: None,
        enabled: true,
        joined: app.clock.now(),
        last_seen: None,
    };
    let joining = Joining {
        device,
        key,
        latchkey: request.latchkey.as_ref(),
        upn: Some(user.upn),
        most: Some(settings.devices_per_user),
        actor: format!("user:{}", user.guid),
    };
    join::take_in(&app, joining).await
}

async fn expect_may_join(app: &App, user: &User, settings: &Settings) -> Result<(), Refusal> {
    let groups = &settings.join_devices_groups;
    if app.is_in_any(user.guid, groups).await? {
        return Ok(());
    }
    let sentence = "this account may not join devices: an administrator names the group that may \
                    (settings set join-devices-group)";
    Err(refused(StatusCode::FORBIDDEN, "not_allowed", sentence))
}

fn transport_key(request: &UserJoinRequest) -> Result<Option<TransportKey>, Refusal> {
    if let Some(text) = &request.transport_key {
        return join::transport_key(text).map(Some);
    }
    let key = request.device_keys.iter().find(|key| key.usage == "STK");
    match key {
        None => Ok(None),
        Some(key) if key.encoding == "JWK" && key.data.starts_with('{') => {
            join::jwk_key(key.data.clone()).map(Some)
        }
        Some(key) => join::transport_key(&key.data).map(Some),
    }
}

/// The user's device with this key, or a new one.
async fn device_id(app: &App, user: &User, key: &PKey<Public>) -> Result<Guid, Refusal> {
    let owned = app.store.devices_of(app.tenant.id, user.guid).await?;
    let has_key = |device: &&Device| {
        X509::from_der(&device.certificate)
            .and_then(|certificate| certificate.public_key())
            .is_ok_and(|known| known.public_eq(key))
    };
    if let Some(same) = owned.iter().find(has_key) {
        return Ok(same.id);
    }
    Ok(random::guid()?)
}
