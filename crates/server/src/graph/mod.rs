//! Microsoft Graph, as far as administrators of this credential use it: policies, the settings catalog,
//! enrollment configurations, scope tags, users, groups, devices, and who has which key.
//!
//! Under `/v1.0` and `/beta`, each with what the original has there, for a bearer for Graph whose user
//! holds a role and gave a second factor; and on the administrator's socket for root. Whoever may look at
//! or change what is decided where the other interface decides it. Handlers refuse in the words of our
//! own interfaces; [`envelope`] puts them into Graph's form, whatever refused.

mod call;
mod catalog;
mod directory;
mod enrollment;
pub(crate) mod envelope;
mod filter;
mod methods;
mod policies;
mod query;
mod scopes;
mod states;
mod target;

use std::sync::Arc;

use api::GRAPH_AUDIENCE;
use axum::{
    Extension, Router,
    extract::{MatchedPath, Request, State},
    http::HeaderMap,
    middleware::{Next, from_fn_with_state},
    response::Response,
};

use crate::{
    access, admin::caller::Caller, app::App, error::Refusal, policies::edit::bad, routing::Paths,
};

/// The longest body: a policy with all there is in it, and one that is refused for having more.
pub(crate) const MAX_BODY: usize = 4 * 1024 * 1024;

/// Which interface is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    V1,
    Beta,
}

impl Version {
    const ALL: [Self; 2] = [Self::V1, Self::Beta];

    fn prefix(self) -> &'static str {
        match self {
            Self::V1 => "/v1.0",
            Self::Beta => "/beta",
        }
    }
}

/// Is this a path of Graph's?
pub(crate) fn is_path(path: &str) -> bool {
    Version::ALL.iter().any(|version| {
        let rest = path.strip_prefix(version.prefix());
        rest.is_some_and(|rest| rest.starts_with('/'))
    })
}

fn paths(version: Version) -> Paths {
    let both = Paths::new()
        .merge(enrollment::routes())
        .merge(directory::routes())
        .merge(methods::routes())
        .merge(states::routes());
    match version {
        Version::V1 => both,
        Version::Beta => both.merge(policies::routes()).merge(catalog::routes()),
    }
}

/// Both interfaces, each behind `guard`.
fn versions(guard: impl Fn(Paths) -> Paths, own: impl Fn() -> Paths) -> Paths {
    Version::ALL.into_iter().fold(Paths::new(), |all, version| {
        let paths = guard(paths(version)).merge(own());
        let paths = paths.behind(|router| router.layer(Extension(version)));
        all.nest(version.prefix(), paths)
    })
}

/// The interface on the local socket, where everybody is root.
pub(crate) fn local(app: Arc<App>) -> Router {
    versions(|paths| paths, Paths::new)
        .with(app)
        .layer(Extension(Caller::root()))
}

/// The interface over TLS, with what everybody may ask about themselves.
pub(crate) fn remote(app: &Arc<App>) -> Paths {
    let guard = |paths: Paths| {
        let authenticate = from_fn_with_state(Arc::clone(app), authenticate);
        paths.behind(|router| router.route_layer(authenticate))
    };
    versions(guard, methods::own_routes)
}

/// A path as routers write it, below its version.
fn below(path: &MatchedPath) -> &str {
    let path = path.as_str();
    let rest = Version::ALL
        .iter()
        .find_map(|version| path.strip_prefix(version.prefix()));
    rest.unwrap_or(path)
}

/// Lets in whoever bears a token for Graph with both factors, for what the token is good for; what its
/// user's roles allow is asked by each path.
async fn authenticate(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    path: MatchedPath,
    mut request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    let (user, permissions) = access::strong_user(&app, &headers, GRAPH_AUDIENCE).await?;
    scopes::expect(&permissions, request.method(), below(&path))?;
    let roles = app.store.roles_of(app.tenant.id, user.guid).await?;
    request
        .extensions_mut()
        .insert(Caller::user(user.guid, roles));
    Ok(next.run(request).await)
}

/// A body that is one JSON object.
fn object(body: &[u8]) -> Result<serde_json::Map<String, serde_json::Value>, Refusal> {
    serde_json::from_slice(body)
        .map_err(|error| bad(&format!("the body is no JSON object: {error}")))
}

/// Whether each property of a body is one of the type; annotations are passed over.
fn expect_known(
    body: &serde_json::Map<String, serde_json::Value>,
    kind: &str,
    is_known: impl Fn(&str) -> bool,
) -> Result<(), Refusal> {
    let mut names = body.keys().filter(|name| !name.contains('@'));
    if let Some(name) = names.find(|name| !is_known(name)) {
        return Err(bad(&format!(
            "The property '{name}' does not exist on type '{kind}'."
        )));
    }
    match body.get("@odata.type").and_then(serde_json::Value::as_str) {
        Some(found) if found.trim_start_matches('#') != kind => Err(bad(&format!(
            "@odata.type is '#{kind}' here, and not '{found}'."
        ))),
        _ => Ok(()),
    }
}

/// A text among the properties; nothing where it is absent or null.
fn text(
    body: &serde_json::Map<String, serde_json::Value>,
    name: &str,
) -> Result<Option<String>, Refusal> {
    match body.get(name) {
        None | Some(serde_json::Value::Null) => Ok(None),
        Some(serde_json::Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(bad(&format!("{name} is a text."))),
    }
}
