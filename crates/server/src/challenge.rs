//! Native sign-in by the authorization challenge endpoint (OAuth 2.0 for First-Party Applications):
//! the device first, then the password, then the one-time password, then a code.
//!
//! A name that nobody has goes the same way as any other: the agent is asked about a SID that no
//! account has, and says "wrong". What an answer tells about an account is told only after its
//! password was right.

use std::{sync::Arc, time::Duration};

use api::{
    REGISTRATION_AUDIENCE,
    agent::PasswordOutcome,
    oauth::{ChallengeAnswer, ChallengeForm, DEVICE_CREDENTIAL_HEADER, DeviceCredentialClaims},
};
use axum::{
    Json,
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
};
use joints::Joint;
use model::{Guid, Secret, Sid, sha256};
use store::{Attempt, AttemptKind, Code, Domain, Limit, User, Verdict};
use tokio::time::{Instant, sleep_until};

use crate::{
    app::App,
    device_proof,
    error::Refusal,
    random,
    token_endpoint::{expect_client, expect_tenant},
    totp,
};

/// Names the tries at passwords and at one-time passwords.
const PASSWORD: &str = "password";
pub(crate) const ONE_TIME_PASSWORD: &str = "otp";

const ATTEMPT_S: i64 = 10 * 60;
const CODE_S: i64 = 60;

/// The longest password, in bytes: what is longer is none of AD's.
const MAX_PASSWORD: usize = 1024;

/// A wrong password is answered no earlier than this: AD takes another time over an account than
/// over a name that nobody has, and the time of an answer must not tell which it was.
const WRONG_AFTER: Duration = Duration::from_secs(1);

/// How long an agent may take over a piece of work.
pub(crate) const AGENT_WAIT: Duration = Duration::from_secs(10);

/// Slows guessing down long before AD's own lockout would shut the user out everywhere.
const PASSWORDS: Limit = Limit {
    tries: 5,
    window_s: 600,
    pause_s: 60,
};

/// A six-digit number must not be guessed: five tries in ten minutes.
const ONE_TIME_PASSWORDS: Limit = Limit {
    tries: 5,
    window_s: 600,
    pause_s: 600,
};

/// A relative identifier that no account has: AD hands out 30 bits of them (MS-ADTS 3.1.1.1.9).
const NOBODYS_RID: u32 = u32::MAX;

/// `POST /{tenant}/oauth2/v2.0/challenge`.
pub(crate) async fn challenge(
    State(app): State<Arc<App>>,
    Path(tenant): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<ChallengeAnswer>, Refusal> {
    expect_tenant(&app, &tenant)?;
    let form: ChallengeForm = serde_urlencoded::from_bytes(&body)
        .map_err(|_| Refusal::malformed("the request is not a form"))?;
    expect_client(&form.client_id)?;
    match form.auth_session.clone() {
        None => Err(begin(&app, &headers, form).await?),
        Some(session) => go_on(&app, &session, form).await,
    }
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
    let (device, claims) = device_proof::read::<DeviceCredentialClaims>(app, credential)
        .await?
        .ok_or_else(not_accepted)?;
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
    let user = app.store.user_by_upn(app.tenant.id, &username).await?;
    let (session, id) = random::bearer_text()?;
    let attempt = Attempt {
        id,
        kind: AttemptKind::Native,
        client: form.client_id,
        device: Some(device.id),
        username,
        user: user.filter(|user| user.active).map(|user| user.guid),
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
        if password.expose().len() > MAX_PASSWORD {
            let refusal = Refusal::malformed("the password is longer than 1,024 bytes");
            return Err(refusal.going_on(session, "password"));
        }
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

/// Has the agent check the password; the user whose it is, where it is right.
async fn check_password(
    app: &App,
    attempt: &Attempt,
    password: Secret<String>,
) -> Result<Guid, Refusal> {
    let begun = Instant::now();
    let (tenant, name, now) = (app.tenant.id, &attempt.username, app.clock.now());
    if let Verdict::Wait(seconds) = app
        .store
        .begin_try(tenant, PASSWORD, name, now, PASSWORDS)
        .await?
    {
        let sentence = "too many wrong passwords: wait a little before the next one";
        return Err(invalid(50053, sentence).retry_after(seconds));
    }
    let user = match attempt.user {
        Some(user) => app
            .store
            .user(tenant, user)
            .await?
            .filter(|user| user.active),
        None => None,
    };
    let Some((domain, sid)) = asked_about(user.as_ref(), name, app.store.domains(tenant).await?)
    else {
        app.store.take_back_try(tenant, PASSWORD, name, now).await?;
        return Err(unreachable());
    };
    let outcome = app
        .work
        .check_password(domain, sid, password, AGENT_WAIT)
        .await;
    match (outcome, user) {
        (Some(PasswordOutcome::Right), Some(user)) => {
            app.store.forget_tries(tenant, PASSWORD, name).await?;
            app.store
                .password_shown(tenant, attempt.id, app.clock.now())
                .await?;
            Ok(user.guid)
        }
        (Some(PasswordOutcome::Expired), Some(_)) => {
            app.store.forget_tries(tenant, PASSWORD, name).await?;
            let sentence = "the password has expired: change it first";
            Err(invalid(50055, sentence))
        }
        (None | Some(PasswordOutcome::Unreachable), _) => {
            app.store.take_back_try(tenant, PASSWORD, name, now).await?;
            Err(unreachable())
        }
        // A KDC says that an account is disabled before it has seen the password: passing that on
        // would tell whoever asks which accounts there are.
        (Some(_), _) => {
            sleep_until(begun + WRONG_AFTER).await;
            let sentence =
                "the user name or the password is wrong, or the account may not sign in now";
            Err(invalid(50126, sentence))
        }
    }
}

/// Whom the agent is asked about, and in which domain.
fn asked_about(user: Option<&User>, name: &str, domains: Vec<Domain>) -> Option<(Guid, Sid)> {
    if let Some(account) = user.and_then(|user| user.domain().zip(user.sid().cloned())) {
        return Some(account);
    }
    let suffix = name.rsplit_once('@').map_or("", |(_, suffix)| suffix);
    let named = domains
        .iter()
        .find(|domain| domain.dns_name.eq_ignore_ascii_case(suffix));
    let domain = named.or(domains.first())?;
    let sid = format!("{}-{NOBODYS_RID}", domain.sid).parse().ok()?;
    Some((domain.guid, sid))
}

async fn check_one_time_password(
    app: &App,
    attempt: &Attempt,
    user: Guid,
    otp: &Secret<String>,
) -> Result<Json<ChallengeAnswer>, Refusal> {
    let (tenant, now, subject) = (app.tenant.id, app.clock.now(), user.to_string());
    let Some(factor) = app.store.totp(tenant, user).await? else {
        let sentence = "no second factor is set for this account: an administrator sets one";
        return Err(Refusal::oauth(
            StatusCode::BAD_REQUEST,
            "interaction_required",
            50072,
            sentence,
        ));
    };
    let verdict = app
        .store
        .begin_try(tenant, ONE_TIME_PASSWORD, &subject, now, ONE_TIME_PASSWORDS)
        .await?;
    if let Verdict::Wait(seconds) = verdict {
        let sentence = "too many wrong one-time passwords: wait before the next one";
        return Err(invalid(50053, sentence).retry_after(seconds));
    }
    let secret = app.keyring.master.open(&totp_name(user), &factor.sealed)?;
    let wrong = || {
        let sentence = "the one-time password is wrong, or was used already: wait for the next one";
        invalid(500_121, sentence)
    };
    let step = totp::step_of(secret.expose(), otp.expose(), now, factor.last_step)?;
    let step = step.ok_or_else(wrong)?;
    // Before anything is written: killed here, the same password may be shown again.
    tokio::task::spawn_blocking(|| joints::reach("server", Joint::FactorApproved)).await?;
    let methods = ["pwd", "mfa", "ngcmfa"].map(str::to_owned).to_vec();
    let answer = finish(app, attempt, user, Some(step), methods).await?;
    app.store
        .forget_tries(tenant, ONE_TIME_PASSWORD, &subject)
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
        Ok(false) => Err(invalid(500_121, "this one-time password was used already")),
        Err(store::Error::Conflict(_)) => Err(over()),
        Err(error) => Err(error.into()),
    }
}

/// The name under which a user's generator is sealed.
pub(crate) fn totp_name(user: Guid) -> String {
    format!("totp/{user}")
}

fn ask(number: u32, sentence: &str) -> Refusal {
    Refusal::oauth(
        StatusCode::BAD_REQUEST,
        "insufficient_authorization",
        number,
        sentence,
    )
}

fn invalid(number: u32, sentence: &str) -> Refusal {
    Refusal::oauth(StatusCode::BAD_REQUEST, "invalid_grant", number, sentence)
}

fn over() -> Refusal {
    invalid(70008, "this sign-in attempt is over: begin again")
}

fn unreachable() -> Refusal {
    let sentence = "no agent of the domain answers: passwords cannot be checked now";
    Refusal::oauth(
        StatusCode::SERVICE_UNAVAILABLE,
        "temporarily_unavailable",
        90033,
        sentence,
    )
    .retry_after(5)
}
