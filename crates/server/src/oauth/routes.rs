//! The paths of this area.

use axum::{
    http::StatusCode,
    response::Response,
    routing::{get, post},
};

use super::{authorize, device_code, device_page, logout, metadata, token, userinfo};
use crate::{pages::message, routing::Paths};

/// Every path of this area.
pub(crate) fn routes() -> Paths {
    Paths::new()
        .route("/{tenant}/oauth2/token", post(token::v1))
        .route("/{tenant}/oauth2/v2.0/token", post(token::v2))
        .route(
            "/{tenant}/oauth2/authorize",
            get(authorize::v1).post(authorize::v1_form),
        )
        .route(
            "/{tenant}/oauth2/v2.0/authorize",
            get(authorize::v2).post(authorize::v2_form),
        )
        .route("/{tenant}/oauth2/devicecode", post(device_code::v1))
        .route("/{tenant}/oauth2/v2.0/devicecode", post(device_code::v2))
        .route(
            "/{tenant}/oauth2/deviceauth",
            get(device_page::show).post(device_page::submit),
        )
        .route("/{tenant}/oauth2/logout", get(logout::logout))
        .route("/{tenant}/oauth2/v2.0/logout", get(logout::logout))
        .route("/{tenant}/oauth2/nativeclient", get(native_client))
        .route(
            "/{tenant}/openid/userinfo",
            get(userinfo::userinfo).post(userinfo::userinfo),
        )
        .route(
            "/{tenant}/.well-known/openid-configuration",
            get(metadata::v1),
        )
        .route(
            "/{tenant}/v2.0/.well-known/openid-configuration",
            get(metadata::v2),
        )
        .route("/{tenant}/discovery/keys", get(metadata::keys))
        .route("/{tenant}/discovery/v2.0/keys", get(metadata::keys))
        .route("/{tenant}/discovery/instance", get(metadata::instance))
        .route("/{tenant}/UserRealm/{upn}", get(metadata::user_realm))
}

/// Where public clients have their browser sent, to take the code out of its address.
async fn native_client() -> Response {
    message(StatusCode::OK, ("Done", "You may close this window."), None)
}
