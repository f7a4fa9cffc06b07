//! The token endpoint, of both generations: which grant a form is, and what each of them needs of
//! its client.
//!
//! What can be refused without spending anything is refused first: a code or a refresh token is
//! touched only by a request that is otherwise right.

use std::sync::Arc;

use api::oauth::{GRANT_JWT_BEARER, NonceAnswer};
use axum::{
    Json,
    body::Bytes,
    extract::{Path, State},
    http::{HeaderValue, header::CACHE_CONTROL},
    response::{IntoResponse, Response},
};
use model::Secret;
use serde::Deserialize;

use super::{
    agent_grant, app_grant, client_proof, code_grant, device_code, device_request, password_grant,
    refresh_grant,
    scope::{Asked, Version},
    session_request, tenant,
};
use crate::{app::App, error::Refusal, random, sign_in_log};

/// `grant_type` of a sign-in on another device (RFC 8628).
const GRANT_DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// Every field of every grant; foreign clients send more, which is passed over.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Form {
    pub(crate) grant_type: String,
    pub(crate) client_id: Option<String>,
    pub(crate) client_assertion_type: Option<String>,
    pub(crate) client_assertion: Option<String>,
    pub(crate) client_info: Option<String>,
    pub(crate) resource: Option<String>,
    pub(crate) scope: Option<String>,
    pub(crate) code: Option<String>,
    pub(crate) code_verifier: Option<String>,
    pub(crate) redirect_uri: Option<String>,
    pub(crate) refresh_token: Option<String>,
    pub(crate) device_code: Option<String>,
    pub(crate) username: Option<String>,
    pub(crate) password: Option<Secret<String>>,
    pub(crate) request: Option<String>,
}

impl Form {
    /// What the form asks for; `None` where it leaves that to what was asked before.
    pub(crate) fn asked(&self) -> Result<Option<Asked>, Refusal> {
        let is_silent = |text: &Option<String>| text.as_deref().is_none_or(str::is_empty);
        if is_silent(&self.resource) && is_silent(&self.scope) {
            return Ok(None);
        }
        Asked::read(self.resource.as_deref(), self.scope.as_deref())
            .map(Some)
            .map_err(|_| {
                let sentence = "the scope names more than one resource";
                Refusal::bad("invalid_scope", 28000, sentence)
            })
    }

    /// Whether the client wants to be told whose the tokens are.
    pub(crate) fn wants_client_info(&self) -> bool {
        self.client_info.as_deref() == Some("1")
    }
}

/// A field that a grant cannot do without.
pub(crate) fn needed<'a>(field: &'a Option<String>, name: &str) -> Result<&'a str, Refusal> {
    field
        .as_deref()
        .filter(|text| !text.is_empty())
        .ok_or_else(|| Refusal::malformed(&format!("{name} is missing")))
}

/// `POST /{tenant}/oauth2/token`.
pub(crate) async fn v1(
    State(app): State<Arc<App>>,
    Path(named): Path<String>,
    body: Bytes,
) -> Result<Response, Refusal> {
    endpoint(&app, &named, Version::V1, &body).await
}

/// `POST /{tenant}/oauth2/v2.0/token`.
pub(crate) async fn v2(
    State(app): State<Arc<App>>,
    Path(named): Path<String>,
    body: Bytes,
) -> Result<Response, Refusal> {
    endpoint(&app, &named, Version::V2, &body).await
}

/// The form is read whatever the content type says: clients that ask for a nonce without naming one
/// exist.
async fn endpoint(
    app: &App,
    named: &str,
    version: Version,
    body: &[u8],
) -> Result<Response, Refusal> {
    tenant::expect(app, named).await?;
    let form: Form = serde_urlencoded::from_bytes(body)
        .map_err(|_| Refusal::malformed("the request is not a form"))?;
    if form.grant_type != "srv_challenge" {
        sign_in_log::note(|row| {
            row.stage.clone_from(&form.grant_type);
            row.client = form.client_id.clone().unwrap_or_default();
            row.name = form.username.clone().unwrap_or_default();
            row.resource = form
                .resource
                .clone()
                .or(form.scope.clone())
                .unwrap_or_default();
        });
    }
    let mut response = grant(app, version, &form).await?;
    sign_in_log::note_of(|row| row.result = 0);
    response
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

async fn grant(app: &App, version: Version, form: &Form) -> Result<Response, Refusal> {
    let answer = match form.grant_type.as_str() {
        "srv_challenge" => {
            let nonce = app.keyring.nonces.make(app.clock.now(), random::bytes()?);
            return Ok(Json(NonceAnswer { nonce }).into_response());
        }
        GRANT_JWT_BEARER => {
            let request = needed(&form.request, "request")?;
            return if token::SessionRequest::read(request).is_ok() {
                session_request::redeem(app, version, form, request).await
            } else {
                device_request::redeem(app, version, form, request).await
            };
        }
        "client_credentials" => match agent_grant::named(app, form).await? {
            Some(agent) => agent_grant::redeem(app, form, &agent).await,
            None => {
                let client = client_proof::proven(app, form).await?;
                app_grant::redeem(app, version, form, &client).await
            }
        },
        "authorization_code" => {
            let client = client_proof::expect(app, form).await?;
            code_grant::redeem(app, version, form, &client).await
        }
        "refresh_token" => {
            let client = client_proof::expect(app, form).await?;
            refresh_grant::redeem(app, version, form, &client).await
        }
        GRANT_DEVICE_CODE => {
            let client = client_proof::expect(app, form).await?;
            device_code::redeem(app, version, form, &client).await
        }
        "password" => {
            let client = client_proof::expect(app, form).await?;
            password_grant::redeem(app, version, form, &client).await
        }
        _ => {
            let sentence = "this grant type is not offered here";
            Err(Refusal::bad("unsupported_grant_type", 70003, sentence))
        }
    };
    Ok(Json(answer?).into_response())
}
