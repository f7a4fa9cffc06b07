//! `authentication/windowsHelloForBusinessMethods`: the keys of a user, one's own or another's.

use std::sync::Arc;

use api::GRAPH_AUDIENCE;
use axum::{
    Extension, Json,
    extract::{Path, RawQuery, State},
    http::{HeaderMap, Method, StatusCode},
    routing::get,
};
use model::{Guid, UnixTime};
use serde_json::{Value, json};
use store::{Audit, Key, KeyState};

use super::{
    Version,
    call::Call,
    query::{Place, Query},
    scopes,
};
use crate::{
    access,
    admin::{
        caller::{Caller, needs},
        find::{self, unknown},
    },
    app::App,
    clock::rfc3339,
    error::Refusal,
    roles::Action,
    routing::Paths,
};

/// Below a user, and below `/me`.
const METHODS: &str = "authentication/windowsHelloForBusinessMethods";

/// The paths of one's own.
const OWN: &str = "/me/authentication/windowsHelloForBusinessMethods";

pub(super) fn routes() -> Paths {
    Paths::new()
        .route(
            "/users/{user}/authentication/windowsHelloForBusinessMethods",
            needs(Action::Read, get(list)),
        )
        .route(
            "/users/{user}/authentication/windowsHelloForBusinessMethods/{id}",
            needs(Action::Read, get(show))
                .merge(needs(Action::ManageFactors, axum::routing::delete(delete))),
        )
}

/// What everybody may ask about themselves, by a token for Graph.
pub(super) fn own_routes() -> Paths {
    Paths::new()
        .route(OWN, get(list_own))
        .route(&format!("{OWN}/{{id}}"), get(show_own).delete(delete_own))
}

/// The keys of a user that are not on their way out.
async fn keys(app: &App, user: Guid) -> Result<Vec<Key>, Refusal> {
    let mut keys = app.store.keys_of(app.tenant.id, user).await?;
    keys.retain(|key| !matches!(key.state, KeyState::Removing | KeyState::Removed));
    Ok(keys)
}

async fn key(app: &App, user: Guid, id: &str) -> Result<Key, Refusal> {
    let keys = keys(app, user).await?;
    let found = keys.into_iter().find(|key| id.parse() == Ok(key.kid));
    found.ok_or_else(|| unknown("this user has no key of that id"))
}

async fn told(app: &App, key: &Key) -> Result<Value, Refusal> {
    let device = app.store.device(app.tenant.id, key.device).await?;
    Ok(json!({
        "@odata.type": "#microsoft.graph.windowsHelloForBusinessAuthenticationMethod",
        "id": key.kid,
        "displayName": device.map(|device| device.display_name),
        "createdDateTime": rfc3339(UnixTime(key.registered_ms.div_euclid(1000))),
        // Weak ones (ROCA) are refused when they are registered.
        "keyStrength": "normal",
    }))
}

async fn listed(
    (app, version): (&App, Version),
    query: &Query,
    user: Guid,
    path: &str,
) -> Result<Json<Value>, Refusal> {
    let mut rows = Vec::new();
    for key in keys(app, user).await? {
        rows.push(told(app, &key).await?);
    }
    let place = Place { app, version, path };
    place.list(query, rows)
}

async fn shown(
    (app, version): (&App, Version),
    user: Guid,
    id: &str,
    path: &str,
) -> Result<Json<Value>, Refusal> {
    let key = key(app, user, id).await?;
    let place = Place { app, version, path };
    Ok(place.one(&Query::default(), told(app, &key).await?))
}

async fn deleted(app: &App, user: Guid, id: &str, audit: Audit) -> Result<StatusCode, Refusal> {
    let key = key(app, user, id).await?;
    app.store.delete_key(app.tenant.id, key.kid, audit).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn path_of(user: Guid) -> String {
    format!("users/{user}/{METHODS}")
}

async fn list(call: Call, query: Query, Path(user): Path<String>) -> Result<Json<Value>, Refusal> {
    let user = find::user(&call.app, &user).await?.guid;
    call.caller.expect_on(&call.app, Action::Read, user).await?;
    listed((&call.app, call.version), &query, user, &path_of(user)).await
}

async fn show(
    call: Call,
    Path((user, id)): Path<(String, String)>,
) -> Result<Json<Value>, Refusal> {
    let user = find::user(&call.app, &user).await?.guid;
    call.caller.expect_on(&call.app, Action::Read, user).await?;
    shown((&call.app, call.version), user, &id, &path_of(user)).await
}

async fn delete(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path((user, id)): Path<(String, String)>,
) -> Result<StatusCode, Refusal> {
    let user = find::user(&app, &user).await?.guid;
    caller.expect_on(&app, Action::ManageFactors, user).await?;
    let audit = caller.audit(&app, "key.delete", &id);
    deleted(&app, user, &id, audit).await
}

/// Whoever looks at their own, by an application that may.
async fn own(app: &App, headers: &HeaderMap) -> Result<Guid, Refusal> {
    let (user, permissions) = access::user(app, headers, &[GRAPH_AUDIENCE]).await?;
    scopes::expect(&permissions, &Method::GET, OWN)?;
    Ok(user.guid)
}

async fn list_own(
    State(app): State<Arc<App>>,
    Extension(version): Extension<Version>,
    headers: HeaderMap,
    RawQuery(raw): RawQuery,
) -> Result<Json<Value>, Refusal> {
    let user = own(&app, &headers).await?;
    let query = Query::read(raw.as_deref())?;
    let path = format!("me/{METHODS}");
    listed((&app, version), &query, user, &path).await
}

async fn show_own(
    State(app): State<Arc<App>>,
    Extension(version): Extension<Version>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Json<Value>, Refusal> {
    let user = own(&app, &headers).await?;
    shown((&app, version), user, &id, &format!("me/{METHODS}")).await
}

/// Whoever takes a credential away has shown both factors, of their own too.
async fn delete_own(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<StatusCode, Refusal> {
    let (user, permissions) = access::strong_user(&app, &headers, GRAPH_AUDIENCE).await?;
    scopes::expect(&permissions, &Method::DELETE, OWN)?;
    let audit = Audit {
        at: app.clock.now(),
        actor: format!("user:{}", user.guid),
        action: "key.delete",
        subject: id.clone(),
    };
    deleted(&app, user.guid, &id, audit).await
}
