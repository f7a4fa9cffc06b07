//! Requests that a device signs with its own key (MS-OAPXBC 3.2.5.1.2): for a token about itself,
//! or for a primary refresh token of the user who is at it.

use api::{
    DEVICE_AUDIENCE, WORKSTATION_CLIENT,
    oauth::{GRANT_JWT_BEARER, TokenAnswer},
};
use axum::{
    Json,
    response::{IntoResponse, Response},
};
use model::Secret;
use serde::Deserialize;
use store::{App as Application, AppKind, Device, Spend};
use token::{HelloAssertion, NumericDate};

use super::{
    clients, issue, password_grant, primary, refresh_grant,
    scope::{self, Version},
    subject::{KEY, Kept, Subject},
    token::Form,
};
use crate::{
    accounts::expect_open,
    app::App,
    device_proof::{self, Statement},
    error::Refusal,
    facts::Facts,
    rsa,
};

/// A device token; whatever else is asked for with one is for as long.
const TOKEN_S: i64 = 60 * 60;

/// The longest life of a user key's assertion: clients date it an hour both ways.
const ASSERTION_S: i64 = 2 * 60 * 60;

/// What a device says.
#[derive(Deserialize)]
struct Claims {
    client_id: String,
    request_nonce: String,
    grant_type: String,
    resource: Option<String>,
    username: Option<String>,
    password: Option<Secret<String>>,
    refresh_token: Option<Secret<String>>,
    assertion: Option<String>,
}

/// What a user's key says (MS-OAPXBC 3.1.5.1.2).
#[derive(Deserialize)]
struct Assertion {
    iss: String,
    request_nonce: String,
    iat: NumericDate,
    exp: NumericDate,
}

/// The answer to a request that a device signed.
pub(crate) async fn redeem(
    app: &App,
    version: Version,
    _form: &Form,
    request: &str,
) -> Result<Response, Refusal> {
    let (facts, proven) = prove(app, request).await?;
    let Some((device, claims)) = proven else {
        let deletion = device_proof::deletion(app, request).await?;
        return Err(not_accepted().with_statement(deletion));
    };
    let client = clients::expect_by(app, &facts, Some(&claims.client_id)).await?;
    let grant = claims.grant_type.as_str();
    let is_known = [
        "device_token",
        "password",
        "refresh_token",
        GRANT_JWT_BEARER,
    ]
    .contains(&grant);
    if !is_known || client.kind != AppKind::Public {
        return Err(Refusal::malformed(
            "this kind of request is not offered here",
        ));
    }
    let nonce = &claims.request_nonce;
    if grant == GRANT_JWT_BEARER {
        let spend = device_proof::to_spend(app, device.id, grant, nonce)?;
        let spend = spend.ok_or_else(not_accepted)?;
        let (subject, inner) = by_key(app, &facts, (&device, claims)).await?;
        let shown = (&device, vec![spend, inner]);
        let answer = primary::make(app, &client, subject, shown).await?;
        return Ok(Json(answer).into_response());
    }
    if !device_proof::spend(app, device.id, grant, nonce).await? {
        return Err(not_accepted());
    }
    if grant == "device_token" {
        let token = device_token(app, version, &client, (&device, &claims)).await?;
        return Ok(Json(token).into_response());
    }
    let subject = match grant {
        "password" => by_password(app, &client, claims).await?,
        _ => by_refresh_token(app, &client, (&device, claims)).await?,
    };
    let answer = primary::make(app, &client, subject, (&device, Vec::new())).await?;
    Ok(Json(answer).into_response())
}

/// What the device says, and what it is judged by.
async fn prove(app: &App, request: &str) -> anyhow::Result<(Facts, Option<(Device, Claims)>)> {
    let statement = match Statement::read(app, request) {
        Ok(statement) => statement,
        Err(why) => return Ok((Facts::NONE, device_proof::refused(why))),
    };
    let facts = Facts::of(app, &statement).await?;
    let proven = device_proof::read_by(app, &facts, statement).await?;
    Ok((facts, proven))
}

/// A token about the device alone.
async fn device_token(
    app: &App,
    version: Version,
    client: &Application,
    (device, claims): (&Device, &Claims),
) -> Result<TokenAnswer, Refusal> {
    let audience = match claims.resource.as_deref() {
        None | Some("") if client.client_id == WORKSTATION_CLIENT => DEVICE_AUDIENCE.to_owned(),
        None | Some("") => return Err(Refusal::malformed("resource is missing")),
        Some(resource) => scope::audience(resource),
    };
    if audience != DEVICE_AUDIENCE && !clients::may_ask(client, &audience) {
        return Err(issue::not_registered());
    }
    let now = app.clock.now();
    let tokens = app.tokens().await?;
    let mut access = tokens.claims(version, &audience, &client.client_id, (now, TOKEN_S))?;
    access.deviceid = Some(device.id);
    issue::bare(&tokens, &access, now)
}

async fn by_password(app: &App, client: &Application, claims: Claims) -> Result<Subject, Refusal> {
    let name = claims
        .username
        .ok_or_else(|| Refusal::malformed("username is missing"))?;
    let password = claims
        .password
        .ok_or_else(|| Refusal::malformed("password is missing"))?;
    password_grant::sign_in(app, client, &name, password).await
}

/// The token is spent, and its family goes on in the primary one.
async fn by_refresh_token(
    app: &App,
    client: &Application,
    (device, claims): (&Device, Claims),
) -> Result<Subject, Refusal> {
    let shown = claims
        .refresh_token
        .ok_or_else(|| Refusal::malformed("refresh_token is missing"))?;
    let subject = refresh_grant::spend(app, client, shown.expose(), None)
        .await?
        .subject;
    match &subject.device {
        Some(bound) if bound.id != device.id => {
            let sentence = "the refresh token belongs to another device";
            Err(Refusal::grant(70000, sentence))
        }
        _ => Ok(subject),
    }
}

/// The user's own key, which must be one that was registered on the very device that asks. Both
/// nonces are ours and used once: an assertion that was made beforehand, or seen, is worth nothing.
/// That of the key is to be spent with what is issued.
async fn by_key(
    app: &App,
    facts: &Facts,
    (device, claims): (&Device, Claims),
) -> Result<(Subject, Spend), Refusal> {
    let refused = || Refusal::grant(50129, "the user's key is not accepted on this device");
    let now = app.clock.now();
    let assertion = claims
        .assertion
        .ok_or_else(|| Refusal::malformed("assertion is missing"))?;
    let assertion = HelloAssertion::read(&assertion).map_err(|_| refused())?;
    let key = facts
        .key(app, *assertion.key_id())
        .await?
        .filter(|key| !key.state.is_leaving() && key.device == device.id)
        .ok_or_else(refused)?;
    let public = rsa::user_key(app, &key.material)?;
    let said: Assertion = assertion.verify(&public, now).map_err(|_| refused())?;
    if said.exp.0 > said.iat.0.plus(ASSERTION_S) {
        return Err(refused());
    }
    let kept = Kept {
        user: key.user,
        // It is the one that asks, and was found usable.
        device: None,
        methods: vec![KEY.to_owned(), "mfa".to_owned()],
        auth_time: now,
        mfa_time: Some(now),
    };
    let subject = kept.stand_by(app, facts).await?;
    expect_open(&subject.user, now)?;
    if !said.iss.eq_ignore_ascii_case(&subject.user.upn) {
        return Err(refused());
    }
    let spend = device_proof::to_spend(app, device.id, "ngc", &said.request_nonce)?;
    match spend {
        Some(spend) if said.request_nonce != claims.request_nonce => Ok((subject, spend)),
        _ => Err(refused()),
    }
}

fn not_accepted() -> Refusal {
    let sentence = "this device is not accepted: it is not joined, or is switched off";
    Refusal::grant(50155, sentence)
}
