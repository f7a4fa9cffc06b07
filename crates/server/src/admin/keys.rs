//! Keys: looked at, and deleted here and in AD.

use std::sync::Arc;

use axum::{
    extract::{Path, Query, State},
    http::StatusCode,
    routing::{delete, get},
};
use model::Guid;
use serde_json::{Value, json};
use store::Key;

use super::{
    caller::{Caller, needs},
    find::unknown,
    listing::{Asked, Rows},
};
use crate::{app::App, error::Refusal, roles::Action, routing::Paths};

pub(super) fn routes() -> Paths {
    Paths::new()
        .route("/keys", needs(Action::Read, get(list)))
        .route("/keys/{kid}", needs(Action::ManageFactors, delete(remove)))
}

/// A key as an administrator sees it: the user by SID, or by id where AD has no such user.
pub(super) fn told(key: &Key) -> Value {
    let user = key.sid.as_ref().map(ToString::to_string);
    json!({
        "kid": key.kid,
        "user": user.unwrap_or_else(|| key.user.to_string()),
        "device": key.device,
        "state": key.state,
        "code": key.code,
        "detail": key.detail,
        "dc": key.dc,
        "registered_ms": key.registered_ms,
        "confirmed_ms": key.confirmed_ms,
        "level": key.attested.level,
        "reason": key.attested.reason,
    })
}

async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    Query(asked): Query<Asked>,
) -> Result<Rows, Refusal> {
    let (after, most) = (asked.place()?, asked.most());
    let listing = app.store.keys(app.tenant.id, after, most).await?;
    let seen = caller.seen(&app, listing, |key| key.user).await?;
    Ok(Rows::of(&seen, told))
}

async fn remove(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(kid): Path<String>,
) -> Result<StatusCode, Refusal> {
    let no_such = || unknown("there is no key of that id");
    let id: Guid = kid.parse().map_err(|_| no_such())?;
    let key = app
        .store
        .key(app.tenant.id, id)
        .await?
        .ok_or_else(no_such)?;
    caller
        .expect_on(&app, Action::ManageFactors, key.user)
        .await?;
    let audit = caller.audit(&app, "key.delete", &kid);
    match app.store.delete_key(app.tenant.id, id, audit).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(no_such()),
    }
}
