//! Keys as devices see them: where each is on its way, and their deletion.

use std::sync::Arc;

use api::device::{KeyList, KeyState, KeyStatus};
use axum::{
    Json,
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode},
};
use model::{Guid, Sid};
use serde::Deserialize;
use store::{Audit, Device, Key};

use crate::{access, app::App, error::Refusal, wait::Patience};

/// A key as it is told. A key of a user that AD does not have is none that a workstation or an agent asks for.
pub(crate) fn told(key: Key) -> Option<KeyStatus> {
    Some(KeyStatus {
        kid: key.kid.to_string(),
        user: key.sid?,
        device: key.device,
        state: match key.state {
            store::KeyState::Registered => KeyState::Registered,
            store::KeyState::Confirmed => KeyState::Confirmed,
            store::KeyState::Failed => KeyState::Failed,
            store::KeyState::NeedsProof => KeyState::NeedsProof,
            store::KeyState::Removing => KeyState::Removing,
            store::KeyState::Removed => KeyState::Removed,
        },
        code: key.code,
        detail: key.detail,
        level: key.attested.level.as_str().to_owned(),
        reason: key.attested.reason,
        dc: key.dc,
        registered_ms: key.registered_ms,
        confirmed_ms: key.confirmed_ms,
    })
}

/// `GET /device/v1/keys?user=SID`.
#[derive(Deserialize)]
pub(crate) struct ListQuery {
    user: Sid,
}

/// A user's keys of any device.
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Query(query): Query<ListQuery>,
) -> Result<Json<KeyList>, Refusal> {
    access::device(&app, &headers).await?;
    let keys = app.store.keys_of_sid(app.tenant.id, &query.user).await?;
    Ok(Json(KeyList {
        keys: keys.into_iter().filter_map(told).collect(),
    }))
}

/// `GET /device/v1/keys/{kid}?wait=&seen=`.
#[derive(Deserialize)]
pub(crate) struct StatusQuery {
    wait: Option<u32>,
    seen: Option<KeyState>,
}

/// One key, once its state is another than the one that was seen.
pub(crate) async fn status(
    State(app): State<Arc<App>>,
    Path(kid): Path<String>,
    headers: HeaderMap,
    Query(query): Query<StatusQuery>,
) -> Result<Json<KeyStatus>, Refusal> {
    let mut patience = Patience::new(app.store.watch_keys(), query.wait);
    loop {
        // Each time: one that is switched off meanwhile waits no longer.
        let device = access::device(&app, &headers).await?;
        let key = own_key(&app, &device, &kid).await?;
        let key = told(key).ok_or_else(unknown)?;
        if Some(key.state) != query.seen || !patience.lasts().await {
            return Ok(Json(key));
        }
    }
}

/// `DELETE /device/v1/keys/{kid}`.
pub(crate) async fn delete(
    State(app): State<Arc<App>>,
    Path(kid): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Refusal> {
    let device = access::device(&app, &headers).await?;
    let key = own_key(&app, &device, &kid).await?;
    let audit = Audit {
        at: app.clock.now(),
        actor: format!("device:{}", device.id),
        action: "key.delete",
        subject: key.kid.to_string(),
    };
    app.store.delete_key(app.tenant.id, key.kid, audit).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A key of the device that asks; that of another is none.
async fn own_key(app: &App, device: &Device, kid: &str) -> Result<Key, Refusal> {
    let key = match kid.parse::<Guid>() {
        Ok(kid) => app.store.key(app.tenant.id, kid).await?,
        Err(_) => None,
    };
    key.filter(|key| key.device == device.id)
        .ok_or_else(unknown)
}

fn unknown() -> Refusal {
    let sentence = "this device has registered no key of that id";
    Refusal::own(StatusCode::NOT_FOUND, "unknown_key", sentence)
}
