//! Refusals, in the three forms that the interfaces have; and the request's id, which goes into
//! every refusal and every line of the log.

use api::{
    Failure,
    device::RegistrationError,
    oauth::{ConfirmationState, OAuthError},
};
use axum::{
    Json,
    http::{HeaderName, HeaderValue, StatusCode, header::WWW_AUTHENTICATE},
    response::{IntoResponse, Response},
};
use model::Guid;

use crate::{
    clock::{Clock, rfc3339},
    sign_in_log,
};

tokio::task_local! {
    /// The id of the request that this task works on.
    pub(crate) static REQUEST: Guid;
}

/// The id of the request at hand, as text.
pub(crate) fn request_id() -> String {
    REQUEST.try_with(ToString::to_string).unwrap_or_default()
}

/// Reads the body of a request to one of our own interfaces.
pub(crate) fn read_json<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| {
        let sentence = format!("the body is not what it should be: {error}");
        Refusal::own(StatusCode::BAD_REQUEST, "bad_request", &sentence)
    })
}

/// Why a request is not done.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// By the token and challenge endpoints.
    OAuth(StatusCode, Box<OAuthError>),
    /// By device join and key registration.
    Registration(StatusCode, Box<RegistrationError>),
    /// By our own interfaces.
    Own(StatusCode, Failure),
    /// Through no fault of the request. The cause is for the log alone.
    Internal(anyhow::Error),
}

impl Refusal {
    /// A refusal of the token and challenge endpoints, with its AADSTS number.
    pub(crate) fn oauth(status: StatusCode, error: &str, number: u32, sentence: &str) -> Self {
        sign_in_log::note_of(|row| row.result = number);
        let body = OAuthError {
            error: error.to_owned(),
            error_description: format!("AADSTS{number}: {sentence}"),
            error_codes: vec![number],
            timestamp: rfc3339(Clock::system().now()),
            trace_id: request_id(),
            auth_session: None,
            factor: None,
            confirmation: None,
            retry_after_s: None,
            device_deleted: None,
        };
        Self::OAuth(status, Box::new(body))
    }

    /// A malformed request to the token and challenge endpoints.
    pub(crate) fn malformed(sentence: &str) -> Self {
        Self::oauth(StatusCode::BAD_REQUEST, "invalid_request", 90014, sentence)
    }

    /// The same, of a request that says what cannot be done.
    pub(crate) fn bad(error: &str, number: u32, sentence: &str) -> Self {
        Self::oauth(StatusCode::BAD_REQUEST, error, number, sentence)
    }

    /// The same, of a request that is not what it should be.
    pub(crate) fn invalid_request(number: u32, sentence: &str) -> Self {
        Self::bad("invalid_request", number, sentence)
    }

    /// The same, of what was to prove who somebody is.
    pub(crate) fn grant(number: u32, sentence: &str) -> Self {
        Self::bad("invalid_grant", number, sentence)
    }

    /// The same, of a client that did not prove itself.
    pub(crate) fn client(number: u32, sentence: &str) -> Self {
        Self::oauth(StatusCode::UNAUTHORIZED, "invalid_client", number, sentence)
    }

    /// A refusal of device join and key registration.
    pub(crate) fn registration(status: StatusCode, code: &str, message: &str) -> Self {
        let body = RegistrationError {
            code: code.to_owned(),
            message: message.to_owned(),
            response: "ERROR_FAIL".to_owned(),
            target: request_id(),
            time: rfc3339(Clock::system().now()),
            hresult: hresult(code).map(str::to_owned),
            retry_after_s: None,
        };
        Self::Registration(status, Box::new(body))
    }

    /// A refusal of our own interfaces.
    pub(crate) fn own(status: StatusCode, code: &str, sentence: &str) -> Self {
        Self::Own(status, Failure::new(code, sentence))
    }

    /// The same, after which the sign-in attempt goes on with `factor`.
    pub(crate) fn going_on(mut self, session: &str, factor: &str) -> Self {
        if let Self::OAuth(_, body) = &mut self {
            body.auth_session = Some(session.to_owned());
            body.factor = Some(factor.to_owned()).filter(|factor| !factor.is_empty());
        }
        self
    }

    /// The same, with where the confirmation stands.
    pub(crate) fn confirming(mut self, state: ConfirmationState) -> Self {
        if let Self::OAuth(_, body) = &mut self {
            body.confirmation = Some(Box::new(state));
        }
        self
    }

    /// The same, with the statement that the device that asks was deleted.
    pub(crate) fn with_statement(mut self, statement: Option<String>) -> Self {
        if let Self::OAuth(_, body) = &mut self {
            body.device_deleted = statement;
        }
        self
    }

    /// The same, with the seconds after which trying again makes sense.
    pub(crate) fn retry_after(mut self, seconds: i64) -> Self {
        let seconds = Some(u32::try_from(seconds).unwrap_or(u32::MAX));
        match &mut self {
            Self::OAuth(_, body) => body.retry_after_s = seconds,
            Self::Registration(_, body) => body.retry_after_s = seconds,
            Self::Own(_, body) => body.retry_after_s = seconds,
            Self::Internal(_) => {}
        }
        self
    }

    /// The sentence alone, for a person.
    pub(crate) fn sentence(&self) -> String {
        let sentence = match self {
            Self::OAuth(_, body) => match body.error_description.split_once(": ") {
                Some((number, sentence)) if number.starts_with("AADSTS") => sentence,
                _ => &body.error_description,
            },
            Self::Registration(_, body) => &body.message,
            Self::Own(_, body) => &body.sentence,
            Self::Internal(_) => "the server failed; its log says why",
        };
        let mut letters = sentence.chars();
        let first = letters.next().map(|first| first.to_uppercase());
        let sentence: String = first.into_iter().flatten().chain(letters).collect();
        format!("{}.", sentence.trim_end_matches('.'))
    }

    /// Its stable word, for the log and for whoever is asked for help.
    pub(crate) fn code(&self) -> String {
        match self {
            Self::OAuth(_, body) => body
                .error_codes
                .first()
                .map_or_else(|| body.error.clone(), u32::to_string),
            Self::Registration(_, body) => body.code.clone(),
            Self::Own(_, body) => body.code.clone(),
            Self::Internal(_) => "internal".to_owned(),
        }
    }
}

/// The number by which Windows clients know a refusal of join and key registration, where there is
/// one whose published cause is this.
fn hresult(code: &str) -> Option<&'static str> {
    Some(match code {
        "not_allowed" => "0x801C0003",
        "quota" => "0x801C000E",
        "token_required" | "mfa_required" | "mfa_stale" => "0x801C03ED",
        "token_refused" | "user_disabled" | "device_disabled" => "0x801C03EA",
        "not_attested" => "0x801C03EE",
        _ => return None,
    })
}

/// What a client goes by whose token is not taken (RFC 6750 3; RFC 9470 3 where a factor is missing).
fn challenge(code: &str) -> Option<[(HeaderName, HeaderValue); 1]> {
    let value = match code {
        "token_required" => "Bearer",
        "token_refused" => "Bearer error=\"invalid_token\"",
        "mfa_required" => "Bearer error=\"insufficient_user_authentication\"",
        _ => return None,
    };
    Some([(WWW_AUTHENTICATE, HeaderValue::from_static(value))])
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let code = self.code();
        match self {
            Self::OAuth(status, body) => {
                tracing::info!(code, "refused");
                (status, Json(body)).into_response()
            }
            Self::Registration(status, body) => {
                tracing::info!(code, "refused");
                (status, challenge(&code), Json(body)).into_response()
            }
            Self::Own(status, body) => {
                tracing::info!(code, "refused");
                (status, challenge(&code), Json(body)).into_response()
            }
            Self::Internal(cause) => {
                tracing::error!(code, cause = format!("{cause:#}"), "failed");
                let sentence =
                    format!("the server failed; its log says why under {}", request_id());
                let body = Json(Failure::new("internal", sentence));
                (StatusCode::INTERNAL_SERVER_ERROR, body).into_response()
            }
        }
    }
}

impl<E: Into<anyhow::Error>> From<E> for Refusal {
    fn from(cause: E) -> Self {
        Self::Internal(cause.into())
    }
}
