//! The administrator's interface: the same on a local socket, for root and the server's own user, and
//! over TLS, for users who hold a role.
//!
//! On the socket the peer is known by its credentials, so that it needs no password. Each path names
//! the action that it is (`caller::needs`), and what may be done upon whom is asked for each object.

mod apps;
pub(crate) mod caller;
mod device_authorities;
mod device_codes;
mod devices;
mod enrollment;
mod factors;
pub(crate) mod find;
mod groups;
mod keys;
mod listing;
mod logs;
mod policies;
mod policy_status;
mod roles;
mod settings;
mod signing_keys;
mod tenant;
pub(crate) mod tpms;
mod users;

use std::sync::Arc;

use axum::{Extension, Router, http::StatusCode, middleware::from_fn_with_state};

use self::caller::Caller;
pub(crate) use self::listing::NEXT;
use crate::{app::App, error::Refusal, routing::Paths};

/// Where the interface is over TLS.
pub(crate) const PREFIX: &str = "/admin/v1";

fn paths() -> Paths {
    Paths::new()
        .merge(users::routes())
        .merge(factors::routes())
        .merge(groups::routes())
        .merge(roles::routes())
        .merge(devices::routes())
        .merge(policies::routes())
        .merge(policy_status::routes())
        .merge(enrollment::routes())
        .merge(device_codes::routes())
        .merge(keys::routes())
        .merge(apps::routes())
        .merge(settings::routes())
        .merge(tenant::routes())
        .merge(signing_keys::routes())
        .merge(device_authorities::routes())
        .merge(tpms::routes())
        .merge(logs::routes())
}

/// The interface on the local socket, where everybody is root.
pub(crate) fn local(app: Arc<App>) -> Router {
    paths().with(app).layer(Extension(Caller::root()))
}

/// The interface over TLS.
pub(crate) fn remote(app: &Arc<App>) -> Paths {
    let authenticate = from_fn_with_state(Arc::clone(app), caller::authenticate);
    let guarded = paths().behind(|router| router.route_layer(authenticate));
    Paths::new().nest(PREFIX, guarded)
}

fn malformed(sentence: &str) -> Refusal {
    Refusal::own(StatusCode::BAD_REQUEST, "bad_request", sentence)
}

/// What the store answers, where a contradiction is the request's fault.
pub(crate) fn stored<T>(answer: Result<T, store::Error>) -> Result<T, Refusal> {
    answer.map_err(|error| match error {
        store::Error::Conflict(why) => Refusal::own(StatusCode::CONFLICT, "conflict", why),
        error => error.into(),
    })
}
