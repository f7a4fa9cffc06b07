//! Refusals as SCIM has them (RFC 7644 3.12).

use api::{
    Failure,
    scim::{ERROR_SCHEMA, ScimError},
};
use axum::{
    Json,
    http::{HeaderValue, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};

use crate::error::Refusal;

/// The content type of everything.
pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/scim+json");

/// Why not.
pub(crate) struct Trouble {
    refusal: Refusal,
    /// One of RFC 7644's words.
    kind: Option<&'static str>,
}

impl Trouble {
    /// A request that is not what it should be.
    pub(super) fn bad(kind: &'static str, sentence: &str) -> Self {
        Self {
            refusal: Refusal::own(StatusCode::BAD_REQUEST, "bad_request", sentence),
            kind: Some(kind),
        }
    }

    /// What is asked for is not there, or none of whoever asks.
    pub(super) fn not_found() -> Self {
        let sentence = "there is no such resource here";
        Refusal::own(StatusCode::NOT_FOUND, "not_found", sentence).into()
    }

    /// Whoever asks may not.
    pub(super) fn forbidden(sentence: &str) -> Self {
        Refusal::own(StatusCode::FORBIDDEN, "forbidden", sentence).into()
    }

    /// It contradicts another resource.
    pub(super) fn taken(sentence: &str) -> Self {
        Self {
            refusal: Refusal::own(StatusCode::CONFLICT, "conflict", sentence),
            kind: Some("uniqueness"),
        }
    }

    /// What the store answers, where a contradiction is the request's fault.
    pub(super) fn of_store(error: store::Error) -> Self {
        match error {
            store::Error::Conflict(why) => Self::taken(why),
            error => Refusal::from(error).into(),
        }
    }
}

impl<E: Into<Refusal>> From<E> for Trouble {
    fn from(refusal: E) -> Self {
        Self {
            refusal: refusal.into(),
            kind: None,
        }
    }
}

impl IntoResponse for Trouble {
    fn into_response(self) -> Response {
        let retry_after_s = None;
        let (status, failure): (StatusCode, Failure) = match self.refusal {
            Refusal::Own(status, failure) => {
                tracing::info!(code = failure.code, "refused");
                (status, failure)
            }
            // Failures tell their cause to the log.
            other => {
                let status = other.into_response().status();
                let failure = Failure::new("internal", "the server failed; its log says why");
                (status, failure)
            }
        };
        let body = ScimError {
            schemas: vec![ERROR_SCHEMA.to_owned()],
            status: status.as_u16().to_string(),
            scim_type: self.kind.map(str::to_owned),
            detail: failure.sentence.clone(),
            failure: Failure {
                retry_after_s: failure.retry_after_s.or(retry_after_s),
                ..failure
            },
        };
        let mut response = (status, Json(body)).into_response();
        response.headers_mut().insert(CONTENT_TYPE, JSON);
        response
    }
}
