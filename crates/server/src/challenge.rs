//! Native sign-in by the authorization challenge endpoint (OAuth 2.0 for First-Party Applications):
//! the device first, then the password, then a second factor (`second`), then a code. A Temporary
//! Access Pass stands for both.
//!
//! A name that nobody has goes the same way as any other (`accounts`). What an answer tells about an
//! account is told only after its password was right.

mod second;

use std::sync::Arc;

use api::{
    REGISTRATION_AUDIENCE, WORKSTATION_CLIENT,
    oauth::{ChallengeAnswer, ChallengeForm, DEVICE_CREDENTIAL_HEADER, DeviceCredentialClaims},
};
use axum::{
    Json,
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
};
use model::{Guid, Secret, sha256};
use protocol::factor::Method;
use store::{Attempt, AttemptKind, Code};

use crate::{
    accounts,
    app::App,
    device_proof,
    error::Refusal,
    factors::{Origin, access_pass, methods},
    oauth::{clients, expect_tenant},
    random, sign_in_log,
    source::Source,
};
use second::Going;

/// How the sign-in log calls a try at a password.
pub(crate) const PASSWORD: &str = "password";

/// How it calls a try at what confirms it.
pub(crate) const SECOND: &str = "second factor";

const ATTEMPT_S: i64 = 10 * 60;
const CODE_S: i64 = 60;

/// `POST /{tenant}/oauth2/v2.0/challenge`.
pub(crate) async fn challenge(
    State(app): State<Arc<App>>,
    Path(tenant): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<ChallengeAnswer>, Refusal> {
    expect_tenant(&app, &tenant).await?;
    let form: ChallengeForm = serde_urlencoded::from_bytes(&body)
        .map_err(|_| Refusal::malformed("the request is not a form"))?;
    expect_native(&app, &form.client_id).await?;
    match form.auth_session.clone() {
        None => Err(begin(&app, &headers, form).await?),
        Some(session) => {
            let origin = Origin::of(&headers);
            go_on(&app, &session, form, &origin).await
        }
    }
}

/// Whether a client may sign people in natively: our own workstations' alone.
async fn expect_native(app: &App, client: &str) -> Result<(), Refusal> {
    let client = clients::expect(app, Some(client)).await?;
    if client.client_id == WORKSTATION_CLIENT {
        return Ok(());
    }
    let sentence = "this client signs nobody in without a browser";
    Err(Refusal::bad("unauthorized_client", 700_016, sentence))
}

/// Begins an attempt; the answer always asks for the password.
async fn begin(app: &App, headers: &HeaderMap, form: ChallengeForm) -> Result<Refusal, Refusal> {
    let not_accepted = || {
        let sentence = "this device is not accepted: it is not joined, or is switched off";
        Refusal::oauth(StatusCode::UNAUTHORIZED, "invalid_client", 50155, sentence)
    };
    let now = app.clock.now();
    let credential = headers
        .get(DEVICE_CREDENTIAL_HEADER)
        .and_then(|value| value.to_str().ok());
    let Some(credential) = credential else {
        let sentence = "signing in needs a joined device";
        return Err(Refusal::oauth(
            StatusCode::UNAUTHORIZED,
            "invalid_client",
            50097,
            sentence,
        ));
    };
    let proven = device_proof::read::<DeviceCredentialClaims>(app, credential).await?;
    let Some((device, claims)) = proven else {
        let deletion = device_proof::deletion(app, credential).await?;
        return Err(not_accepted().with_statement(deletion));
    };
    let is_right = claims.grant_type == "device_auth"
        && claims.iss == "aad:brokerplugin"
        && device_proof::spend(app, device.id, &claims.grant_type, &claims.request_nonce).await?;
    if !is_right {
        return Err(not_accepted());
    }
    let username = form.username.map(|name| name.to_lowercase());
    let username = username
        .filter(|name| (1..=accounts::MAX_NAME).contains(&name.len()))
        .ok_or_else(|| Refusal::malformed("username is missing, or too long"))?;
    if form.resource.as_deref() != Some(REGISTRATION_AUDIENCE) {
        return Err(Refusal::malformed(
            "resource is missing, or not one that is offered",
        ));
    }
    // Base64url of SHA-256 has 43 characters: any other method of RFC 7636 falls out here.
    let code_challenge = form
        .code_challenge
        .filter(|challenge| challenge.len() == 43)
        .ok_or_else(|| Refusal::malformed("code_challenge is missing, or not by S256"))?;
    let two_factors = match form.amr_values.as_deref() {
        None => false,
        Some("ngcmfa") => true,
        Some(_) => return Err(Refusal::malformed("amr_values is not one that is offered")),
    };
    let user = accounts::resolve(app, &username).await?;
    let (session, id) = random::bearer_text()?;
    let attempt = Attempt {
        id,
        kind: AttemptKind::Native,
        client: form.client_id,
        device: Some(device.id),
        username,
        user: user.map(|user| user.guid),
        resource: REGISTRATION_AUDIENCE.to_owned(),
        code_challenge: Some(code_challenge),
        two_factors,
        request: serde_json::to_string(&second::shown_by_client(form.factors.as_deref()))?,
        password_at: None,
        methods: Vec::new(),
        mfa_time: None,
        webauthn: None,
        approval: None,
        expires: now.plus(ATTEMPT_S),
    };
    app.store.begin_attempt(app.tenant.id, attempt, now).await?;
    Ok(ask(50058, "the password, please").going_on(&session, "password"))
}

/// Goes on with the one factor that was asked.
async fn go_on(
    app: &App,
    session: &str,
    mut form: ChallengeForm,
    origin: &Origin,
) -> Result<Json<ChallengeAnswer>, Refusal> {
    let id = sha256(session.as_bytes());
    let attempt = app
        .store
        .attempt(app.tenant.id, id, app.clock.now())
        .await?;
    let attempt = attempt
        .filter(|attempt| attempt.kind == AttemptKind::Native && attempt.client == form.client_id)
        .ok_or_else(over)?;
    sign_in_log::note(|row| {
        row.stage = match attempt.password_at {
            None => PASSWORD.to_owned(),
            Some(_) => SECOND.to_owned(),
        };
        row.name.clone_from(&attempt.username);
        row.user = attempt.password_at.and(attempt.user);
        row.client.clone_from(&attempt.client);
        row.resource.clone_from(&attempt.resource);
        row.device = attempt.device;
    });
    if attempt.password_at.is_some() {
        let going = Going {
            session,
            user: attempt.user.ok_or_else(over)?,
            attempt,
        };
        return second::go_on(app, going, form, origin).await;
    }
    let again = |refusal: Refusal| refusal.going_on(session, "password");
    if let Some(pass) = form.tap.take() {
        return show_access_pass(app, &attempt, &Secret::new(pass), origin)
            .await
            .map_err(again);
    }
    let password = form
        .password
        .take()
        .map(Secret::new)
        .ok_or_else(|| Refusal::malformed("password is missing"))?;
    let user = check_password(app, &attempt, password)
        .await
        .map_err(again)?;
    if attempt.two_factors {
        let going = Going {
            session,
            attempt,
            user,
        };
        return Err(second::begin(app, &going, origin).await?);
    }
    let how = Finish {
        methods: methods(true, None),
        step: None,
        is_second: false,
    };
    finish(app, &attempt, user, how).await
}

/// A Temporary Access Pass in place of the password and of the second factor.
async fn show_access_pass(
    app: &App,
    attempt: &Attempt,
    pass: &Secret<String>,
    origin: &Origin,
) -> Result<Json<ChallengeAnswer>, Refusal> {
    let whose = (attempt.username.as_str(), attempt.user);
    let is_right = access_pass::redeem(app, whose, pass.expose(), origin).await?;
    let user = attempt.user.filter(|_| is_right).ok_or_else(|| {
        let sentence = "the user name or the pass is wrong, or the pass is not good now";
        Refusal::grant(50126, sentence)
    })?;
    let how = Finish {
        methods: methods(false, Some(Method::AccessPass)),
        step: None,
        is_second: true,
    };
    finish(app, attempt, user, how).await
}

/// The user whose the password is.
async fn check_password(
    app: &App,
    attempt: &Attempt,
    password: Secret<String>,
) -> Result<Guid, Refusal> {
    let user = match attempt.user {
        Some(user) => app.store.user(app.tenant.id, user).await?,
        None => None,
    };
    let named = (attempt.username.as_str(), user);
    let source = Source::of(attempt.device);
    let user = accounts::check_password_of(app, named, password, &source).await?;
    app.store
        .password_shown(app.tenant.id, attempt.id, app.clock.now())
        .await?;
    Ok(user.guid)
}

/// How an attempt comes to its end.
struct Finish {
    methods: Vec<String>,
    /// The time step of a one-time password, to be spent with it.
    step: Option<u64>,
    is_second: bool,
}

async fn finish(
    app: &App,
    attempt: &Attempt,
    user: Guid,
    how: Finish,
) -> Result<Json<ChallengeAnswer>, Refusal> {
    let now = app.clock.now();
    let (authorization_code, id) = random::bearer_text()?;
    let code = Code {
        id,
        client: attempt.client.clone(),
        device: attempt.device,
        user,
        resource: attempt.resource.clone(),
        scope: String::new(),
        redirect_uri: None,
        nonce: None,
        code_challenge: attempt.code_challenge.clone(),
        methods: how.methods,
        auth_time: now,
        mfa_time: how.is_second.then_some(now),
        prt: None,
        session: None,
        expires: now.plus(CODE_S),
    };
    match app
        .store
        .finish_attempt(app.tenant.id, attempt.id, how.step, code)
        .await
    {
        Ok(true) => {
            sign_in_log::note_of(|row| row.result = 0);
            Ok(Json(ChallengeAnswer { authorization_code }))
        }
        Ok(false) => {
            let sentence = "this one-time password was used already";
            Err(Refusal::grant(500_121, sentence))
        }
        Err(store::Error::Conflict(_)) => Err(over()),
        Err(error) => Err(error.into()),
    }
}

fn ask(number: u32, sentence: &str) -> Refusal {
    Refusal::bad("insufficient_authorization", number, sentence)
}

fn over() -> Refusal {
    Refusal::grant(70008, "this sign-in attempt is over: begin again")
}
