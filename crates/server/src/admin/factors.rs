//! The factors of others: seen, taken from somebody who has lost them, and Temporary Access Passes for
//! who has none yet.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::{Path, State},
    http::StatusCode,
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    caller::{Caller, needs},
    users::expect,
};
use crate::{
    app::App,
    clock::rfc3339,
    error::{Refusal, read_json},
    factors::access_pass::{self, Wanted},
    roles::Action,
    routing::Paths,
};

/// `POST /users/{user}/access-pass`.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct NewPass {
    /// In how many minutes it begins.
    starts_in_minutes: u32,
    /// For how many it is good.
    minutes: u32,
    /// For one sign-in alone.
    once: bool,
}

impl Default for NewPass {
    fn default() -> Self {
        Self {
            starts_in_minutes: 0,
            minutes: 60,
            once: true,
        }
    }
}

pub(super) fn routes() -> Paths {
    Paths::new()
        .route(
            "/users/{user}/factors",
            needs(Action::ManageFactors, get(list).delete(remove_all)),
        )
        .route(
            "/users/{user}/access-pass",
            needs(Action::Help, post(issue).delete(take_access_pass)),
        )
}

async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Json<Value>, Refusal> {
    let user = expect(&app, &caller, Action::ManageFactors, &name).await?;
    let factors = app.store.factors(app.tenant.id, user.guid).await?;
    let keys = factors.security_keys.iter().map(|key| {
        json!({
            "kind": "security_key",
            "name": key.name,
            "created": rfc3339(key.created),
            "last_used": key.last_used.map(rfc3339),
        })
    });
    let totp = factors.totp.iter().map(|totp| {
        json!({
            "kind": "totp",
            "name": totp.name,
            "created": rfc3339(totp.created),
            "confirmed": totp.confirmed,
        })
    });
    let pass = factors.access_pass.iter().map(|pass| {
        json!({
            "kind": "access_pass",
            "starts": rfc3339(pass.starts),
            "expires": rfc3339(pass.expires),
            "once": pass.once,
            "used": pass.used.map(rfc3339),
        })
    });
    Ok(Json(keys.chain(totp).chain(pass).collect()))
}

async fn remove_all(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<StatusCode, Refusal> {
    let user = expect(&app, &caller, Action::ManageFactors, &name).await?;
    let row = caller.audit(&app, "user.factors.delete", &user.upn);
    app.store
        .delete_factors(app.tenant.id, user.guid, row)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn issue(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Json<Value>, Refusal> {
    let asked: NewPass = if body.is_empty() {
        NewPass::default()
    } else {
        read_json(&body)?
    };
    let user = expect(&app, &caller, Action::Help, &name).await?;
    let wanted = Wanted {
        starts: app
            .clock
            .now()
            .plus(i64::from(asked.starts_in_minutes) * 60),
        life_s: i64::from(asked.minutes) * 60,
        once: asked.once,
    };
    let row = caller.audit(&app, "access_pass.issue", &user.upn);
    let pass = access_pass::issue(&app, user.guid, wanted, row).await?;
    Ok(Json(json!({
        "upn": user.upn,
        "pass": pass,
        "starts": rfc3339(wanted.starts),
        "expires": rfc3339(wanted.starts.plus(wanted.life_s)),
        "once": wanted.once,
    })))
}

async fn take_access_pass(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<StatusCode, Refusal> {
    let user = expect(&app, &caller, Action::Help, &name).await?;
    let row = caller.audit(&app, "access_pass.remove", &user.upn);
    app.store
        .delete_access_pass(app.tenant.id, user.guid, row)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
