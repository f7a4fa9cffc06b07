//! The rotation of the keys that sign tokens, for the administrator.
//!
//! A new key is shown a day before it signs, so that every client that keeps a copy of the set has
//! it by then. Where a key got out there is no such day: the new one signs at once, the old one
//! retires at once, and what it signed is worth nothing from then on.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::{Path, State},
    http::StatusCode,
    routing::{delete, get, post},
};
use serde::Deserialize;
use serde_json::{Value, json};
use store::SigningKey;
use token::RsaJwk;
use zeroize::Zeroizing;

use super::{
    caller::{Caller, needs},
    find::unknown,
    listing::Rows,
};
use crate::{
    app::{App, sealed_name},
    authority::make_key,
    clock::rfc3339,
    error::{Refusal, read_json},
    roles::Action,
    routing::Paths,
};

/// How long a new key is shown before it signs.
const SHOWN_S: i64 = 24 * 60 * 60;

/// `POST /signing-keys`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct NewKey {
    at_once: bool,
}

pub(super) fn routes() -> Paths {
    Paths::new()
        .route(
            "/signing-keys",
            needs(Action::ReadTenant, get(list)).merge(needs(Action::ManageTenant, post(add))),
        )
        .route(
            "/signing-keys/{kid}",
            needs(Action::ManageTenant, delete(retire)),
        )
}

async fn list(State(app): State<Arc<App>>, caller: Caller) -> Result<Rows, Refusal> {
    caller.expect_whole(Action::ReadTenant)?;
    let keys = app.store.signing_keys(app.tenant.id).await?;
    Ok(Rows::all(keys.iter().map(|key| {
        json!({
            "kid": key.name,
            "alg": key.alg,
            "not_before": rfc3339(key.not_before),
            "retires": key.retires.map(rfc3339),
        })
    })))
}

async fn add(
    State(app): State<Arc<App>>,
    caller: Caller,
    body: Bytes,
) -> Result<Json<Value>, Refusal> {
    caller.expect_whole(Action::ManageTenant)?;
    let new: NewKey = match body.is_empty() {
        true => NewKey::default(),
        false => read_json(&body)?,
    };
    let key = make_key()?;
    let kid = RsaJwk::from_key(&*key)?.thumbprint();
    let der = Zeroizing::new(key.private_key_to_der()?);
    let wait = if new.at_once { 0 } else { SHOWN_S };
    let not_before = app.clock.now().plus(wait);
    let key = SigningKey {
        sealed: app
            .keyring
            .master
            .seal(&sealed_name(&app.tenant, &kid), &der)?,
        name: kid.clone(),
        alg: "RS256".to_owned(),
        not_before,
        retires: None,
    };
    let audit = caller.audit(&app, "signing_key.add", &kid);
    app.store.add_signing_key(app.tenant.id, key, audit).await?;
    app.known_keys.forget();
    Ok(Json(
        json!({ "kid": kid, "not_before": rfc3339(not_before) }),
    ))
}

/// The last key that signs does not retire: nobody could sign in any more.
async fn retire(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(kid): Path<String>,
) -> Result<StatusCode, Refusal> {
    caller.expect_whole(Action::ManageTenant)?;
    let now = app.clock.now();
    let keys = app.store.signing_keys(app.tenant.id).await?;
    let signs = |key: &&SigningKey| key.retires.is_none() && key.not_before <= now;
    if !keys.iter().filter(signs).any(|key| key.name != kid) {
        let sentence = "no other key signs tokens now: add one at once before";
        return Err(Refusal::own(StatusCode::CONFLICT, "conflict", sentence));
    }
    let audit = caller.audit(&app, "signing_key.retire", &kid);
    let is_known = app
        .store
        .retire_signing_key(app.tenant.id, &kid, now, audit)
        .await?;
    app.known_keys.forget();
    if !is_known {
        return Err(unknown("there is no such signing key"));
    }
    Ok(StatusCode::NO_CONTENT)
}
