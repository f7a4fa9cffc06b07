//! Native sign-in by the authorization challenge endpoint (OAuth 2.0 for First-Party Applications):
//! the device first, then the password, then the one-time password, then a code.
//!
//! A name that nobody has goes the same way as any other: the agent is asked about a SID that no
//! account has, and says "wrong". What an answer tells about an account is told only after its
//! password was right.

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
use joints::Joint;
use model::{Guid, Secret, sha256};
use store::{Attempt, AttemptKind, Code, Limit, Verdict};

use crate::{
    app::App,
    device_proof,
    error::Refusal,
    oauth::{clients, expect_tenant, may_be_used},
    password, random, totp,
};

/// Names the tries at one-time passwords.
pub(crate) const ONE_TIME_PASSWORD: &str = "otp";

const ATTEMPT_S: i64 = 10 * 60;
const CODE_S: i64 = 60;

/// A six-digit number must not be guessed: five tries in ten minutes.
const ONE_TIME_PASSWORDS: Limit = Limit {
    tries: 5,
    window_s: 600,
    pause_s: 600,
};

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
        Some(session) => go_on(&app, &session, form).await,
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
        .filter(|name| (1..=256).contains(&name.len()))
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
    let user = password::find(app, &username).await?;
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
        request: String::new(),
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
    form: ChallengeForm,
) -> Result<Json<ChallengeAnswer>, Refusal> {
    let id = sha256(session.as_bytes());
    let attempt = app
        .store
        .attempt(app.tenant.id, id, app.clock.now())
        .await?;
    let attempt = attempt
        .filter(|attempt| attempt.client == form.client_id)
        .ok_or_else(over)?;
    if attempt.password_at.is_none() {
        let password = form
            .password
            .map(Secret::new)
            .ok_or_else(|| Refusal::malformed("password is missing"))?;
        let user = check_password(app, &attempt, password)
            .await
            .map_err(|refusal| refusal.going_on(session, "password"))?;
        if attempt.two_factors {
            let sentence = "the one-time password of your authenticator app, please";
            return Err(ask(50076, sentence).going_on(session, "otp"));
        }
        let methods = vec!["pwd".to_owned()];
        return finish(app, &attempt, user, None, methods).await;
    }
    let otp = form
        .otp
        .ok_or_else(|| Refusal::malformed("otp is missing"))?;
    let user = attempt.user.ok_or_else(over)?;
    check_one_time_password(app, &attempt, user, &Secret::new(otp))
        .await
        .map_err(|refusal| refusal.going_on(session, "otp"))
}

/// The user whose the password is.
async fn check_password(
    app: &App,
    attempt: &Attempt,
    password: Secret<String>,
) -> Result<Guid, Refusal> {
    let (tenant, now) = (app.tenant.id, app.clock.now());
    let user = match attempt.user {
        Some(user) => app.store.user(tenant, user).await?,
        None => None,
    };
    let user = user.filter(|user| may_be_used(user, now));
    let user = password::check_of(app, &attempt.username, user, password).await?;
    app.store
        .password_shown(tenant, attempt.id, app.clock.now())
        .await?;
    Ok(user.guid)
}

/// The time step of a one-time password that is right; it is not spent yet, and the try is counted.
pub(crate) async fn one_time_password(
    app: &App,
    user: Guid,
    otp: &Secret<String>,
) -> Result<u64, Refusal> {
    let (tenant, now, subject) = (app.tenant.id, app.clock.now(), user.to_string());
    let factor = app.store.totp(tenant, user).await?;
    let factor = factor.ok_or_else(no_second_factor)?;
    let verdict = app
        .store
        .begin_try(tenant, ONE_TIME_PASSWORD, &subject, now, ONE_TIME_PASSWORDS)
        .await?;
    if let Verdict::Wait(seconds) = verdict {
        let sentence = "too many wrong one-time passwords: wait before the next one";
        return Err(Refusal::grant(50053, sentence).retry_after(seconds));
    }
    let secret = app.keyring.master.open(&totp_name(user), &factor.sealed)?;
    let step = totp::step_of(secret.expose(), otp.expose(), now, factor.last_step)?;
    step.ok_or_else(|| {
        let sentence = "the one-time password is wrong, or was used already: wait for the next one";
        Refusal::grant(500_121, sentence)
    })
}

/// Nobody has set a second factor for the account.
pub(crate) fn no_second_factor() -> Refusal {
    let sentence = "no second factor is set for this account: an administrator sets one";
    Refusal::bad("interaction_required", 50072, sentence)
}

/// Somebody was faster with the same one-time password.
pub(crate) fn used_already() -> Refusal {
    Refusal::grant(500_121, "this one-time password was used already")
}

async fn check_one_time_password(
    app: &App,
    attempt: &Attempt,
    user: Guid,
    otp: &Secret<String>,
) -> Result<Json<ChallengeAnswer>, Refusal> {
    let step = one_time_password(app, user, otp).await?;
    // Before anything is written: killed here, the same password may be shown again.
    tokio::task::spawn_blocking(|| joints::reach("server", Joint::FactorApproved)).await?;
    let methods = ["pwd", "mfa"].map(str::to_owned).to_vec();
    let answer = finish(app, attempt, user, Some(step), methods).await?;
    app.store
        .forget_tries(app.tenant.id, ONE_TIME_PASSWORD, &user.to_string())
        .await?;
    Ok(answer)
}

async fn finish(
    app: &App,
    attempt: &Attempt,
    user: Guid,
    step: Option<u64>,
    methods: Vec<String>,
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
        methods,
        auth_time: now,
        mfa_time: step.map(|_| now),
        prt: None,
        session: None,
        expires: now.plus(CODE_S),
    };
    match app
        .store
        .finish_attempt(app.tenant.id, attempt.id, step, code)
        .await
    {
        Ok(true) => Ok(Json(ChallengeAnswer { authorization_code })),
        Ok(false) => Err(used_already()),
        Err(store::Error::Conflict(_)) => Err(over()),
        Err(error) => Err(error.into()),
    }
}

/// The name under which a user's generator is sealed.
pub(crate) fn totp_name(user: Guid) -> String {
    format!("totp/{user}")
}

fn ask(number: u32, sentence: &str) -> Refusal {
    Refusal::bad("insufficient_authorization", number, sentence)
}

fn over() -> Refusal {
    Refusal::grant(70008, "this sign-in attempt is over: begin again")
}
