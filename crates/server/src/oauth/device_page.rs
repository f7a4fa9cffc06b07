//! The page on which a person types the code that another device shows (RFC 8628 3.3).

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{Path, State},
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use openssl::memcmp;
use serde::Deserialize;
use store::{App as Application, DeviceCode, SignedIn};

use super::{
    authorize::told,
    clients,
    device_code::as_typed,
    page::{Page, escaped, hidden},
    session::{self, Open},
    sign_in::{self, Purpose},
    subject::Subject,
    tenant,
    wanted::Wanted,
};
use crate::{app::App, error::Refusal};

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
        Ok(()) => ask(None).into_response(),
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
        return Ok(ask(Some("No device shows this code now.")).into_response());
    };
    let client = clients::expect(app, Some(&code.client)).await?;
    let wanted = Wanted::of_methods(&code.wanted);
    let open = session::of(app, headers).await?;
    let open = open.filter(|open| wanted.is_satisfied(open.subject.mfa_time, now));
    let Some(open) = open else {
        let purpose = Purpose::DeviceCode {
            user_code,
            client: code.client,
            wanted,
        };
        return sign_in::begin(app, headers, &client, (purpose, None));
    };
    let check = check(&open, &code);
    let is_from_page = fields.check.is_some_and(|given| {
        given.len() == check.len() && memcmp::eq(given.as_bytes(), check.as_bytes())
    });
    match (is_from_page, fields.agree.as_deref()) {
        (true, Some("yes")) => approve(app, &user_code, &open.subject).await,
        (true, Some("no")) => refuse(app, &user_code).await,
        _ => Ok(confirm(&client, &open.subject, (&user_code, &check)).into_response()),
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
    let body = format!("<p id=\"message\">{sentence}</p>");
    Ok(Page::new("Done", body).into_response())
}

fn ask(problem: Option<&str>) -> Page {
    let problem = problem.map_or_else(String::new, |problem| {
        format!(
            "<p class=\"problem\" id=\"problem\">{}</p>",
            escaped(problem)
        )
    });
    let body = format!(
        "{problem}<form method=\"post\" action=\"/common/oauth2/deviceauth\">\
         <label for=\"otc\">The code that your device shows</label>\
         <input id=\"otc\" name=\"otc\" autocomplete=\"off\" autofocus>\
         <button id=\"idSIButton9\">Continue</button></form>"
    );
    Page::new("Sign in on another device", body)
}

fn confirm(client: &Application, subject: &Subject, (user_code, check): (&str, &str)) -> Page {
    let body = format!(
        "<p><b>{}</b> on another device asks to be signed in as <b>{}</b>. Agree only if you \
         started this yourself, on a device that is in front of you.</p>\
         <form method=\"post\" action=\"/common/oauth2/deviceauth\">{}{}\
         <button id=\"idSIButton9\" name=\"agree\" value=\"yes\">Sign in</button> \
         <button name=\"agree\" value=\"no\">Refuse</button></form>",
        escaped(&client.name),
        escaped(&subject.user.upn),
        hidden("otc", user_code),
        hidden("check", check),
    );
    Page::new("Sign in on another device", body)
}
