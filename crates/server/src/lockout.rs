//! The lockout value of a device's TPM: kept here, because the device's own copy goes with its disk,
//! and given back to that device for a code.
//!
//! The value sets the TPM's count of wrong tries back, and lets nobody in. It is sealed under the master
//! key, and goes nowhere but to the device that brought it: an administrator who has a code made sees
//! the code alone.

use std::sync::Arc;

use api::lockout::{LockoutCode, LockoutValue};
use axum::{
    Json,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use model::{Guid, Secret, UnixTime};
use openssl::memcmp;
use store::{Audit, Device};
use zeroize::Zeroizing;

use crate::{
    access,
    app::App,
    error::{Refusal, read_json},
    typed,
};

const VALUE: usize = 32;

/// How long a code is good: it is told on the telephone, to somebody who sits before the device.
const CODE_S: i64 = 60 * 60;

/// What codes are derived for.
const CODE: &str = "lockout code";

/// `PUT /device/v1/lockout`.
pub(crate) async fn put(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<StatusCode, Refusal> {
    let device = access::device(&app, &headers).await?;
    let sent: LockoutValue = read_json(&body)?;
    let value = STANDARD.decode(sent.value.expose()).map(Zeroizing::new);
    let value = value.ok().filter(|value| value.len() == VALUE);
    let value = value.ok_or_else(|| {
        let sentence = "the value is not base64 of 32 bytes";
        Refusal::own(StatusCode::BAD_REQUEST, "bad_request", sentence)
    })?;
    let (tenant, name) = (app.tenant.id, sealed_name(&app, device.id));
    if let Some(sealed) = app.store.lockout(tenant, device.id).await? {
        let kept = app.keyring.master.open(&name, &sealed)?;
        if kept.expose().len() == VALUE && memcmp::eq(kept.expose(), &value) {
            return Ok(StatusCode::NO_CONTENT);
        }
    }
    let sealed = app.keyring.master.seal(&name, &value)?;
    let audit = audit(&app, &device, "device.lockout_keep");
    let is_kept = app.store.put_lockout(tenant, device.id, sealed, audit);
    match is_kept.await? {
        true => Ok(StatusCode::NO_CONTENT),
        // It was deleted a moment ago.
        false => Err(Refusal::own(
            StatusCode::FORBIDDEN,
            "device_disabled",
            "this device is not joined any more",
        )),
    }
}

/// `POST /device/v1/lockout`.
pub(crate) async fn take(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<LockoutValue>, Refusal> {
    let device = access::device(&app, &headers).await?;
    let sent: LockoutCode = read_json(&body)?;
    let digest = typed::digest(&app, CODE, device.id, sent.code.expose())?;
    let audit = audit(&app, &device, "device.lockout_give");
    let sealed = app
        .store
        .take_lockout(app.tenant.id, device.id, digest, audit)
        .await?;
    let sealed = sealed.ok_or_else(|| {
        tracing::info!(device = %device.id, "a code for a lockout value is not accepted");
        let sentence = "the code is wrong, used or over: ask an administrator for a new one (device \
                        unlock)";
        Refusal::own(StatusCode::FORBIDDEN, "bad_code", sentence)
    })?;
    let value = app
        .keyring
        .master
        .open(&sealed_name(&app, device.id), &sealed)?;
    Ok(Json(LockoutValue {
        value: Secret::new(STANDARD.encode(value.expose())),
    }))
}

/// Makes a code for a device, in place of an earlier one, and tells it with its end; none where the
/// device has brought no value.
pub(crate) async fn make_code(
    app: &App,
    device: Guid,
    audit: Audit,
) -> Result<Option<(String, UnixTime)>, Refusal> {
    let text = typed::make()?;
    let code = store::LockoutCode {
        digest: typed::digest(app, CODE, device, &text)?,
        expires: app.clock.now().plus(CODE_S),
    };
    let is_set = app
        .store
        .set_lockout_code(app.tenant.id, device, code, audit)
        .await?;
    Ok(is_set.then_some((text, code.expires)))
}

fn sealed_name(app: &App, device: Guid) -> String {
    crate::app::sealed_name(&app.tenant, &format!("lockout/{device}"))
}

fn audit(app: &App, device: &Device, action: &'static str) -> Audit {
    Audit {
        at: app.clock.now(),
        actor: format!("device:{}", device.id),
        action,
        subject: device.display_name.clone(),
    }
}
