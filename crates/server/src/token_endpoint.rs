//! The token endpoint: server nonces, device tokens, agents' tokens and the exchange of codes.

use std::sync::Arc;

use api::{
    AGENT_AUDIENCE, DEVICE_AUDIENCE, WORKSTATION_CLIENT,
    oauth::{
        ASSERTION_JWT_BEARER, AccessClaims, DeviceTokenClaims, GRANT_JWT_BEARER, NonceAnswer,
        TokenAnswer, token_path,
    },
};
use axum::{
    Json,
    body::Bytes,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use model::{Guid, UnixTime, sha256};
use openssl::{memcmp, pkey::PKey};
use serde::Deserialize;
use token::{Unverified, VerifyingKey, X5cForm};

use crate::{access::usable_device, app::App, device_proof, error::Refusal, random};

const DEVICE_TOKEN_S: i64 = 60 * 60;
const AGENT_TOKEN_S: i64 = 10 * 60;
const USER_TOKEN_S: i64 = 15 * 60;

/// The longest life of an agent's statement about itself, with some room for its clock.
const ASSERTION_S: i64 = 10 * 60 + token::LEEWAY_S;

/// Every field of every grant; foreign clients send more, which is passed over.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Form {
    grant_type: String,
    request: Option<String>,
    client_id: Option<String>,
    code: Option<String>,
    code_verifier: Option<String>,
    client_assertion_type: Option<String>,
    client_assertion: Option<String>,
}

/// RFC 7523 claims of an agent.
#[derive(Deserialize)]
struct AgentAssertion {
    iss: Guid,
    sub: Guid,
    aud: String,
    jti: String,
    exp: i64,
}

/// Whether a tenant in a path is this server's.
pub(crate) fn expect_tenant(app: &App, named: &str) -> Result<(), Refusal> {
    if named.parse() == Ok(app.tenant.id) {
        return Ok(());
    }
    let sentence = "this server knows no such tenant";
    Err(Refusal::oauth(
        StatusCode::BAD_REQUEST,
        "invalid_request",
        90002,
        sentence,
    ))
}

/// `POST /{tenant}/oauth2/token`. The form is read whatever the content type says: clients that
/// ask for a nonce without naming one exist.
pub(crate) async fn token(
    State(app): State<Arc<App>>,
    Path(tenant): Path<String>,
    body: Bytes,
) -> Result<Response, Refusal> {
    expect_tenant(&app, &tenant)?;
    let form: Form = serde_urlencoded::from_bytes(&body)
        .map_err(|_| Refusal::malformed("the request is not a form"))?;
    match form.grant_type.as_str() {
        "srv_challenge" => {
            let nonce = app.keyring.nonces.make(app.clock.now(), random::bytes()?)?;
            Ok(Json(NonceAnswer { nonce }).into_response())
        }
        GRANT_JWT_BEARER => Ok(device_token(&app, &form).await?.into_response()),
        "client_credentials" => Ok(agent_token(&app, &form).await?.into_response()),
        "authorization_code" => Ok(user_token(&app, &form).await?.into_response()),
        _ => {
            let sentence = "this grant type is not offered here";
            Err(Refusal::oauth(
                StatusCode::BAD_REQUEST,
                "unsupported_grant_type",
                70003,
                sentence,
            ))
        }
    }
}

fn answer(app: &App, claims: &AccessClaims) -> Result<Json<TokenAnswer>, Refusal> {
    Ok(Json(TokenAnswer {
        token_type: "Bearer".to_owned(),
        expires_in: claims.exp - claims.iat,
        access_token: app.keyring.tokens.sign(claims)?,
    }))
}

/// A device, by its certificate and a nonce of ours (MS-OAPXBC 3.2.5.1.2).
async fn device_token(app: &App, form: &Form) -> Result<Json<TokenAnswer>, Refusal> {
    let not_accepted = || {
        let sentence = "this device is not accepted: it is not joined, or is switched off";
        Refusal::oauth(StatusCode::BAD_REQUEST, "invalid_grant", 50155, sentence)
    };
    let request = form
        .request
        .as_deref()
        .ok_or_else(|| Refusal::malformed("request is missing"))?;
    let (device, claims) = device_proof::read::<DeviceTokenClaims>(app, request)
        .await?
        .ok_or_else(not_accepted)?;
    if claims.grant_type != "device_token" {
        return Err(Refusal::malformed(
            "this kind of request is not offered here",
        ));
    }
    expect_client(&claims.client_id)?;
    let (grant, nonce) = (&claims.grant_type, &claims.request_nonce);
    if !device_proof::spend(app, device.id, grant, nonce).await? {
        return Err(not_accepted());
    }
    let now = app.clock.now();
    let mut access =
        app.keyring
            .tokens
            .claims(DEVICE_AUDIENCE, &claims.client_id, now, DEVICE_TOKEN_S)?;
    access.deviceid = Some(device.id);
    answer(app, &access)
}

/// An agent, by its key (RFC 7523).
async fn agent_token(app: &App, form: &Form) -> Result<Json<TokenAnswer>, Refusal> {
    let refused = || {
        let sentence = "the agent's statement about itself is not accepted";
        Refusal::oauth(
            StatusCode::UNAUTHORIZED,
            "invalid_client",
            700_027,
            sentence,
        )
    };
    if form.client_assertion_type.as_deref() != Some(ASSERTION_JWT_BEARER) {
        return Err(Refusal::malformed(
            "client_assertion_type is not that of RFC 7523",
        ));
    }
    let assertion = form.client_assertion.as_deref().ok_or_else(refused)?;
    let id: Guid = form
        .client_id
        .as_deref()
        .unwrap_or("")
        .parse()
        .map_err(|_| refused())?;
    let agent = app
        .store
        .agent(app.tenant.id, id)
        .await?
        .ok_or_else(refused)?;
    let key = VerifyingKey::rs256(PKey::public_key_from_der(&agent.public_key)?)?;
    let now = app.clock.now();
    let claims: AgentAssertion = Unverified::read(assertion, X5cForm::Array)
        .and_then(|unverified| unverified.verify(&key, now))
        .map_err(|_| refused())?;
    let is_right = (claims.iss, claims.sub) == (id, id)
        && claims.aud == format!("{}{}", app.url, token_path(app.tenant.id))
        && claims.exp <= now.plus(ASSERTION_S).0
        && (1..=128).contains(&claims.jti.len());
    if !is_right {
        return Err(refused());
    }
    let spent = sha256(format!("{id}/{}", claims.jti).as_bytes());
    let until = UnixTime(claims.exp).plus(token::LEEWAY_S);
    if !app
        .store
        .spend_statement(app.tenant.id, spent, now, until)
        .await?
    {
        return Err(refused());
    }
    let mut access =
        app.keyring
            .tokens
            .claims(AGENT_AUDIENCE, &id.to_string(), now, AGENT_TOKEN_S)?;
    access.agent = Some(id);
    answer(app, &access)
}

/// A user who has just signed in, by the code that the challenge endpoint gave and the verifier
/// that only who began the attempt has (RFC 7636).
async fn user_token(app: &App, form: &Form) -> Result<Json<TokenAnswer>, Refusal> {
    let refused = |number, sentence| {
        Refusal::oauth(StatusCode::BAD_REQUEST, "invalid_grant", number, sentence)
    };
    let code = form
        .code
        .as_deref()
        .ok_or_else(|| Refusal::malformed("code is missing"))?;
    let now = app.clock.now();
    let code = app
        .store
        .take_code(app.tenant.id, sha256(code.as_bytes()), now)
        .await?
        .ok_or_else(|| {
            refused(
                70008,
                "the code is over, or was used already: sign in again",
            )
        })?;
    if form.client_id.as_deref() != Some(code.client.as_str()) {
        return Err(refused(70000, "the code was given to another client"));
    }
    let verifier = form.code_verifier.as_deref().unwrap_or("");
    if !verifies(verifier, code.code_challenge.as_deref().unwrap_or("")) {
        return Err(refused(
            501_481,
            "the code verifier does not fit the attempt",
        ));
    }
    let user = app
        .store
        .user(app.tenant.id, code.user)
        .await?
        .filter(|user| user.active);
    let user = user.ok_or_else(|| refused(50057, "the account is disabled"))?;
    let device = match code.device {
        Some(device) => usable_device(app, device).await?,
        None => None,
    };
    let device = device.ok_or_else(|| refused(50155, "the device is not accepted any more"))?;
    let mut access = app
        .keyring
        .tokens
        .claims(&code.resource, &code.client, now, USER_TOKEN_S)?;
    access.deviceid = Some(device.id);
    access.oid = Some(user.guid);
    access.upn = Some(user.upn);
    access.amr = code.methods;
    access.mfa_time = code.mfa_time.map(|time| time.0);
    answer(app, &access)
}

/// Whether a client is one that this server knows.
pub(crate) fn expect_client(client: &str) -> Result<(), Refusal> {
    if client == WORKSTATION_CLIENT {
        return Ok(());
    }
    let sentence = "this server knows no such client";
    Err(Refusal::oauth(
        StatusCode::BAD_REQUEST,
        "unauthorized_client",
        700_016,
        sentence,
    ))
}

fn verifies(verifier: &str, challenge: &str) -> bool {
    let made = URL_SAFE_NO_PAD.encode(sha256(verifier.as_bytes()));
    (43..=128).contains(&verifier.len())
        && made.len() == challenge.len()
        && memcmp::eq(made.as_bytes(), challenge.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::verifies;

    #[test]
    fn the_example_of_rfc_7636_verifies() {
        // Appendix B.
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
        assert!(verifies(verifier, challenge));
        assert!(!verifies(&verifier[1..], challenge));
        assert!(!verifies(verifier, ""));
        assert!(!verifies("", challenge));
    }
}
