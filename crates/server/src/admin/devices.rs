//! Devices: looked at, suspended, and deleted.
//!
//! Switched off is a suspension: everything of the device is refused until it is switched on again.
//! Deleted is for good: the device learns of it and wipes itself (`end`). So many deletions at once
//! that they may be a mistake are shown first, and done only with a confirmation of just those.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json,
    body::Bytes,
    extract::{Path, Query, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use model::{Guid, UnixTime};
use openssl::{hash::MessageDigest, memcmp, pkey::PKey, sign::Signer};
use serde::Deserialize;
use serde_json::{Value, json};
use store::Device;

use super::{
    caller::{Caller, needs},
    find, keys,
    listing::{Asked, Rows},
    malformed,
};
use crate::{
    app::App,
    clock::rfc3339,
    error::{Refusal, read_json},
    lockout,
    roles::Action,
    routing::Paths,
};

/// More deletions than this, within [`WINDOW_S`], need a confirmation …
const MANY: usize = 10;

/// … and so do more than one that are more than this part of all devices.
const PART: u64 = 10;

/// How long earlier deletions by the same administrator count.
const WINDOW_S: i64 = 10 * 60;

/// How long a confirmation is good.
const CONFIRM_S: i64 = 10 * 60;

/// The most of one request.
const MOST: usize = 1000;

/// The newest rows of the audit log that are searched for earlier deletions.
const AUDIT_ROWS: u32 = 1000;

const DELETED: &str = "device.delete";

pub(super) fn routes() -> Paths {
    Paths::new()
        .route("/devices", needs(Action::Read, get(list)))
        .route(
            "/devices/deletions",
            needs(Action::DeleteDevices, post(delete_many)),
        )
        .route(
            "/devices/{device}",
            needs(Action::Read, get(show))
                .merge(needs(Action::DeleteDevices, axum::routing::delete(delete))),
        )
        .route(
            "/devices/{device}/disable",
            needs(Action::SwitchDevices, post(disable)),
        )
        .route(
            "/devices/{device}/enable",
            needs(Action::SwitchDevices, post(enable)),
        )
        .route(
            "/devices/{device}/lockout",
            needs(Action::Help, post(make_lockout_code)),
        )
}

fn told(device: &Device) -> Value {
    json!({
        "device": device.id,
        "name": device.display_name,
        "os": device.os_version,
        "enabled": device.enabled,
        "joined": rfc3339(device.joined),
        "join_type": device.join_type,
        "owner": device.owner,
        "last_seen": device.last_seen.map(rfc3339),
        "attestation": device.attestation_trust,
    })
}

async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    Query(asked): Query<Asked>,
) -> Result<Rows, Refusal> {
    let listing = app.store.devices(app.tenant.id, asked.page()?).await?;
    let seen = caller.seen(&app, listing, |device| device.id).await?;
    Ok(Rows::of(&seen, told))
}

async fn show(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(named): Path<String>,
) -> Result<Json<Value>, Refusal> {
    let device = find::device(&app, &named).await?;
    caller.expect_on(&app, Action::Read, device.id).await?;
    let (store, tenant) = (&app.store, app.tenant.id);
    let keys = store.keys_on(tenant, device.id).await?;
    let keys: Vec<_> = keys.iter().map(keys::told).collect();
    let computer = store.computer(tenant, device.id).await?;
    let mut told = told(&device);
    if let Some(fields) = told.as_object_mut() {
        let in_directory = computer.map(|computer| computer.active);
        fields.insert("active_in_directory".to_owned(), json!(in_directory));
        if let Some(owner) = device.owner {
            fields.insert("owner".to_owned(), json!(find::name_of(&app, owner).await?));
        }
        fields.insert("keys".to_owned(), json!(keys));
    }
    Ok(Json(told))
}

async fn disable(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(named): Path<String>,
) -> Result<StatusCode, Refusal> {
    switch(&app, &caller, &named, false).await
}

async fn enable(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(named): Path<String>,
) -> Result<StatusCode, Refusal> {
    switch(&app, &caller, &named, true).await
}

async fn switch(app: &App, caller: &Caller, named: &str, on: bool) -> Result<StatusCode, Refusal> {
    let device = find::device(app, named).await?;
    caller
        .expect_on(app, Action::SwitchDevices, device.id)
        .await?;
    if device.enabled != on {
        let action = if on {
            "device.enable"
        } else {
            "device.disable"
        };
        let audit = caller.audit(app, action, &device.display_name);
        app.store
            .set_device_enabled(app.tenant.id, device.id, on, audit)
            .await?;
    }
    Ok(StatusCode::NO_CONTENT)
}

/// A code by which a device takes the lockout value of its TPM back: for a person whom the TPM refuses.
async fn make_lockout_code(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(named): Path<String>,
) -> Result<Json<Value>, Refusal> {
    let device = find::device(&app, &named).await?;
    caller.expect_on(&app, Action::Help, device.id).await?;
    let audit = caller.audit(&app, "device.lockout_code", &device.display_name);
    let made = lockout::make_code(&app, device.id, audit).await?;
    let (code, expires) = made.ok_or_else(|| {
        let sentence = "the device has brought no lockout value: its TPM's was not set by it";
        find::unknown(sentence)
    })?;
    Ok(Json(json!({ "code": code, "expires": rfc3339(expires) })))
}

/// `?confirm=`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Confirmed {
    confirm: Option<String>,
}

async fn delete(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(named): Path<String>,
    Query(confirmed): Query<Confirmed>,
) -> Result<Response, Refusal> {
    delete_all(&app, &caller, &[named], confirmed.confirm).await
}

/// `POST /devices/deletions`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Deletions {
    devices: Vec<String>,
    confirm: Option<String>,
}

async fn delete_many(
    State(app): State<Arc<App>>,
    caller: Caller,
    body: Bytes,
) -> Result<Response, Refusal> {
    let wanted: Deletions = read_json(&body)?;
    if !(1..=MOST).contains(&wanted.devices.len()) {
        return Err(malformed("name 1 to 1,000 devices"));
    }
    delete_all(&app, &caller, &wanted.devices, wanted.confirm).await
}

async fn delete_all(
    app: &App,
    caller: &Caller,
    named: &[String],
    confirm: Option<String>,
) -> Result<Response, Refusal> {
    // By id, so that whoever is named twice is one.
    let mut devices = BTreeMap::new();
    for name in named {
        let device = find::device(app, name).await?;
        caller
            .expect_on(app, Action::DeleteDevices, device.id)
            .await?;
        devices.insert(device.id, device);
    }
    let ids: Vec<Guid> = devices.keys().copied().collect();
    if needs_confirmation(app, caller, ids.len()).await? && !is_confirmed(app, &ids, confirm)? {
        return Ok(ask(app, &devices, &ids)?.into_response());
    }
    for device in devices.values() {
        let audit = caller.audit(app, DELETED, &device.display_name);
        app.store
            .delete_device(app.tenant.id, device.id, audit)
            .await?;
    }
    Ok(Json(json!({ "deleted": devices.len() })).into_response())
}

/// Whether these and the caller's last deletions together may be a mistake.
async fn needs_confirmation(app: &App, caller: &Caller, count: usize) -> Result<bool, Refusal> {
    let since = app.clock.now().plus(-WINDOW_S);
    let asking = caller.audit(app, DELETED, "");
    let rows = app.store.audit_rows(app.tenant.id, AUDIT_ROWS).await?;
    let earlier = rows
        .iter()
        .filter(|row| row.action == DELETED && row.actor == asking.actor && row.at > since)
        .count();
    let together = count + earlier;
    let all = app.store.count_devices(app.tenant.id).await? + earlier as u64;
    Ok(together > MANY || (together > 1 && together as u64 * PART > all))
}

fn ask(
    app: &App,
    devices: &BTreeMap<Guid, Device>,
    ids: &[Guid],
) -> Result<(StatusCode, Json<Value>), Refusal> {
    let end = app.clock.now().plus(CONFIRM_S);
    let names: Vec<_> = devices
        .values()
        .map(|device| &device.display_name)
        .collect();
    let confirm = confirmation(app, ids, end)?;
    let sentence = format!(
        "{} devices would be deleted, and wipe themselves: {}. Repeat it within ten minutes with \
         --confirm {confirm}",
        names.len(),
        names
            .iter()
            .map(|name| name.as_str())
            .collect::<Vec<_>>()
            .join(", "),
    );
    let body = json!({
        "code": "confirmation_required",
        "sentence": sentence,
        "confirm": confirm,
        "devices": names,
    });
    Ok((StatusCode::CONFLICT, Json(body)))
}

/// The word that only whoever was shown these devices has: its end, and a MAC over both.
fn confirmation(app: &App, ids: &[Guid], end: UnixTime) -> Result<String, Refusal> {
    let key = PKey::hmac(app.keyring.master.derive("device deletions").expose())?;
    let mut content = end.0.to_be_bytes().to_vec();
    ids.iter().for_each(|id| content.extend(id.to_le_bytes()));
    let mac = Signer::new(MessageDigest::sha256(), &key)?.sign_oneshot_to_vec(&content)?;
    let mac = mac.get(..12).unwrap_or(&mac);
    Ok(format!("{:x}-{}", end.0, URL_SAFE_NO_PAD.encode(mac)))
}

fn is_confirmed(app: &App, ids: &[Guid], confirm: Option<String>) -> Result<bool, Refusal> {
    let Some(confirm) = confirm else {
        return Ok(false);
    };
    let end = confirm
        .split_once('-')
        .and_then(|(end, _)| i64::from_str_radix(end, 16).ok());
    let Some(end) = end.map(UnixTime).filter(|end| app.clock.now() < *end) else {
        return Ok(false);
    };
    let expected = confirmation(app, ids, end)?;
    Ok(expected.len() == confirm.len() && memcmp::eq(expected.as_bytes(), confirm.as_bytes()))
}
