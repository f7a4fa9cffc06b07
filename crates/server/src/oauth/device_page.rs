//! The page on which a person types the code that another device shows (RFC 8628 3.3).

use std::sync::Arc;

use askama::Template;
use axum::{
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::Response,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use openssl::memcmp;
use serde::Deserialize;
use store::{App as Application, DeviceCode, SignedIn};

use super::{
    clients,
    device_code::as_typed,
    session::{self, Open},
    subject::Subject,
    tenant,
    wanted::Wanted,
};
use crate::{
    app::App,
    error::Refusal,
    pages::{Manner, answer as page, message, told},
    signin::{self, Purpose},
};

/// The fields of the page.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Fields {
    otc: String,
    /// Shows that the page itself sent the answer.
    check: Option<String>,
    /// `yes` or `no`.
    agree: Option<String>,
}

/// `GET /{tenant}/oauth2/deviceauth`.
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    Path(named): Path<String>,
    headers: HeaderMap,
) -> Response {
    match tenant::expect(&app, &named).await {
        Ok(()) => ask(None),
        Err(refusal) => told(&headers, refusal),
    }
}

/// `POST` of the same.
pub(crate) async fn submit(
    State(app): State<Arc<App>>,
    Path(named): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    match typed(&app, &named, &headers, &body).await {
        Ok(response) => response,
        Err(refusal) => told(&headers, refusal),
    }
}

async fn typed(
    app: &App,
    named: &str,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Response, Refusal> {
    tenant::expect(app, named).await?;
    let fields: Fields = serde_urlencoded::from_bytes(body)
        .map_err(|_| Refusal::malformed("the request is not a form"))?;
    let now = app.clock.now();
    let user_code = as_typed(&fields.otc);
    let code = app
        .store
        .device_code(app.tenant.id, &user_code, now)
        .await?;
    let Some(code) = code else {
        return Ok(ask(Some("No device shows this code now.")));
    };
    let client = clients::expect(app, Some(&code.client)).await?;
    let wanted = Wanted::of_methods(&code.wanted);
    let open = session::of(app, headers).await?;
    let open = open.filter(|open| wanted.is_satisfied(open.subject.mfa_time, now));
    let Some(open) = open else {
        let purpose = Purpose::DeviceCode {
            user_code,
            client: code.client,
            name: client.name,
            wanted,
        };
        return signin::begin(app, headers, purpose);
    };
    let check = check(&open, &code);
    let is_from_page = fields.check.is_some_and(|given| {
        given.len() == check.len() && memcmp::eq(given.as_bytes(), check.as_bytes())
    });
    match (is_from_page, fields.agree.as_deref()) {
        (true, Some("yes")) => approve(app, &user_code, &open.subject).await,
        (true, Some("no")) => refuse(app, &user_code).await,
        _ => Ok(confirm(&client, &open.subject, (&user_code, &check))),
    }
}

/// Ties the answer to the session and the code: a page of somebody else's knows neither.
fn check(open: &Open, code: &DeviceCode) -> String {
    let bytes = [&open.id[..], code.user_code.as_bytes()].concat();
    URL_SAFE_NO_PAD.encode(model::sha256(&bytes))
}

/// Lets the other device in as a subject.
pub(crate) async fn approve(
    app: &App,
    user_code: &str,
    subject: &Subject,
) -> Result<Response, Refusal> {
    let kept = subject.keep();
    let who = SignedIn {
        user: kept.user,
        methods: kept.methods,
        auth_time: kept.auth_time,
        mfa_time: kept.mfa_time,
    };
    answer(app, user_code, Some(who)).await
}

async fn refuse(app: &App, user_code: &str) -> Result<Response, Refusal> {
    answer(app, user_code, None).await
}

async fn answer(app: &App, user_code: &str, who: Option<SignedIn>) -> Result<Response, Refusal> {
    let sentence = match who {
        Some(_) => "You have signed in on your device. You may close this window.",
        None => "The sign-in was refused. You may close this window.",
    };
    let now = app.clock.now();
    let is_first = app
        .store
        .answer_device_code(app.tenant.id, user_code, who, now)
        .await?;
    if !is_first {
        return Err(Refusal::grant(
            70020,
            "the code is over, or was used already",
        ));
    }
    Ok(message(StatusCode::OK, ("Done", sentence), None))
}

/// The page on which the code is typed.
#[derive(Template)]
#[template(path = "device.html")]
struct Ask<'a> {
    problem: Option<&'a str>,
}

/// The page on which somebody agrees.
#[derive(Template)]
#[template(path = "device_confirm.html")]
struct Confirm<'a> {
    app: &'a str,
    upn: &'a str,
    code: &'a str,
    check: &'a str,
}

fn ask(problem: Option<&str>) -> Response {
    page(&Ask { problem }, Manner::default())
}

fn confirm(client: &Application, subject: &Subject, (code, check): (&str, &str)) -> Response {
    let confirm = Confirm {
        app: &client.name,
        upn: &subject.user.upn,
        code,
        check,
    };
    page(&confirm, Manner::default())
}
