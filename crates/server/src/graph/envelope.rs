//! Refusals in Graph's form: `{"error": {code, message, innerError}}`, whichever part of the server
//! refused, and under paths that are not there.

use axum::{
    Json,
    body::to_bytes,
    extract::Request,
    http::{HeaderValue, StatusCode, header::CONTENT_LENGTH},
    response::{IntoResponse as _, Response},
};
use serde_json::{Value, json};

use super::is_path;
use crate::{
    clock::{Clock, rfc3339},
    error::request_id,
};

/// The longest refusal that is rewritten; ours are a sentence.
const MAX_REFUSAL: usize = 64 * 1024;

/// The longest id that a client gives its request.
const MAX_CLIENT_ID: usize = 100;

/// What goes around the answer to a request below Graph's paths.
pub(crate) struct Envelope {
    is_managed: bool,
    /// The client's own id of its request.
    client_id: Option<HeaderValue>,
}

impl Envelope {
    /// None where the request is no client's of Graph.
    pub(crate) fn of(request: &Request) -> Option<Self> {
        let path = request.uri().path();
        let client_id = request.headers().get("client-request-id");
        is_path(path).then(|| Self {
            is_managed: path.contains("/deviceManagement/"),
            client_id: client_id.filter(|id| id.len() <= MAX_CLIENT_ID).cloned(),
        })
    }

    /// The answer, in Graph's form where it is a refusal.
    pub(crate) async fn around(self, mut response: Response) -> Response {
        if let Some(id) = &self.client_id {
            response
                .headers_mut()
                .insert("client-request-id", id.clone());
        }
        if !response.status().is_client_error() && !response.status().is_server_error() {
            return response;
        }
        rewritten(response, self.is_managed, self.client_id.as_ref()).await
    }
}

async fn rewritten(
    response: Response,
    is_managed: bool,
    client_id: Option<&HeaderValue>,
) -> Response {
    let (mut head, body) = response.into_parts();
    let body = to_bytes(body, MAX_REFUSAL).await.unwrap_or_default();
    let own: Value = serde_json::from_slice(&body).unwrap_or_default();
    let word = |name| own.get(name).and_then(Value::as_str);
    let sentence = word("sentence").unwrap_or(match head.status {
        StatusCode::METHOD_NOT_ALLOWED => "this path has no such method",
        _ => "the request cannot be taken as it is",
    });
    let id = request_id();
    let client_id = client_id.and_then(|id| id.to_str().ok()).unwrap_or(&id);
    let body = json!({ "error": {
        "code": code(head.status, word("code"), is_managed),
        "message": sentence,
        "innerError": {
            "date": rfc3339(Clock::system().now()).trim_end_matches('Z'),
            "request-id": id,
            "client-request-id": client_id,
        },
    }});
    head.headers.remove(CONTENT_LENGTH);
    let mut response = (head.status, Json(body)).into_response();
    for (name, value) in &head.headers {
        if !response.headers().contains_key(name) {
            response.headers_mut().insert(name.clone(), value.clone());
        }
    }
    response
}

/// The word by which clients of Graph know a refusal; the directory has some of its own.
fn code(status: StatusCode, own: Option<&str>, is_managed: bool) -> &'static str {
    match (status, own) {
        (_, Some("token_required" | "token_refused" | "mfa_required")) => {
            "InvalidAuthenticationToken"
        }
        (StatusCode::NOT_FOUND, _) if is_managed => "ResourceNotFound",
        (StatusCode::NOT_FOUND, _) => "Request_ResourceNotFound",
        (StatusCode::FORBIDDEN, _) if is_managed => "Forbidden",
        (StatusCode::FORBIDDEN, _) => "Authorization_RequestDenied",
        (StatusCode::UNAUTHORIZED, _) => "Unauthorized",
        (StatusCode::CONFLICT, _) => "Conflict",
        (StatusCode::METHOD_NOT_ALLOWED, _) => "MethodNotAllowed",
        (StatusCode::PAYLOAD_TOO_LARGE, _) => "RequestEntityTooLarge",
        (StatusCode::TOO_MANY_REQUESTS, _) => "TooManyRequests",
        (status, _) if status.is_server_error() => "InternalServerError",
        _ => "BadRequest",
    }
}
