//! SCIM 2.0 (RFC 7643, RFC 7644): the way in for users, groups and computers.
//!
//! An agent speaks for its own domain only, and sees nothing else: an object of another, or one whose
//! SID is of another, is refused for itself. An application that an administrator has registered for
//! it sees all, and makes and changes what is the server's own; nobody who holds a role is changed
//! this way, nor a group that gives one.

mod bulk;
mod directory;
mod discovery;
mod filter;
mod list;
mod own;
mod patch;
mod resources;
mod show;
mod trouble;

use api::scim::BASE_PATH;
use axum::{
    Json,
    http::{HeaderValue, StatusCode, header::CONTENT_TYPE, header::LOCATION},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::Value;

use self::resources::Kind;
use crate::routing::Paths;

/// Every path of SCIM.
pub(crate) fn routes() -> Paths {
    let paths = Paths::new()
        .route("/Bulk", post(bulk::bulk))
        .route("/ServiceProviderConfig", get(discovery::config))
        .route("/ResourceTypes", get(discovery::resource_types))
        .route("/ResourceTypes/{name}", get(discovery::one_resource_type))
        .route("/Schemas", get(discovery::schemas))
        .route("/Schemas/{id}", get(discovery::one_schema));
    let kinds = [
        ("/Users", Kind::User),
        ("/Groups", Kind::Group),
        ("/Computers", Kind::Computer),
    ];
    let paths = kinds.into_iter().fold(paths, |paths, (path, kind)| {
        paths
            .route(path, resources::all(kind))
            .route(&format!("{path}/{{id}}"), resources::one(kind))
    });
    Paths::new().nest(BASE_PATH, paths)
}

/// An answer, in SCIM's own content type.
pub(super) struct Shown {
    status: StatusCode,
    body: Value,
}

impl Shown {
    fn ok(body: Value) -> Self {
        Self {
            status: StatusCode::OK,
            body,
        }
    }

    fn created(body: Value) -> Self {
        Self {
            status: StatusCode::CREATED,
            body,
        }
    }
}

impl IntoResponse for Shown {
    fn into_response(self) -> Response {
        let location = self.body.pointer("/meta/location").and_then(Value::as_str);
        let location = location.and_then(|path| HeaderValue::from_str(path).ok());
        let mut response = (self.status, Json(self.body)).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, trouble::JSON);
        if let Some(location) = location.filter(|_| self.status == StatusCode::CREATED) {
            headers.insert(LOCATION, location);
        }
        response
    }
}
