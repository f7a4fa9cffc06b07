//! The pages on which a person signs in: a name, a password, and the one-time password of an
//! account that has a generator.
//!
//! Until a name is given nothing is stored: what the client asked for travels in the form, sealed,
//! and bound to the browser that it was shown to. From then on it is in the attempt. A form is good
//! in that browser alone, so that nobody signs another person in.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, header::SET_COOKIE},
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use model::{Guid, Secret, UnixTime, sha256};
use serde::{Deserialize, Serialize};
use store::{App as Application, Attempt, AttemptKind, Digest};

use super::{
    authorize::{self, Origin, told},
    device_page,
    page::{Page, escaped, hidden},
    request::Request,
    session,
    subject::{Kept, Subject},
    tenant,
    wanted::Wanted,
};
use crate::{app::App, challenge, error::Refusal, password, random};

/// How long the first page waits.
const FORM_S: i64 = 60 * 60;

/// How long an attempt may take.
const ATTEMPT_S: i64 = 10 * 60;

/// What a person signs in for.
#[derive(Serialize, Deserialize)]
pub(crate) enum Purpose {
    /// A client of this browser.
    Client(Box<Request>),
    /// A client of another device, which shows this code.
    DeviceCode {
        user_code: String,
        client: String,
        wanted: Wanted,
    },
}

/// What goes with a form, and into the attempt.
#[derive(Serialize, Deserialize)]
struct Flow {
    purpose: Purpose,
    /// What the person is told.
    client_name: String,
    /// The browser that the form was shown to.
    browser: Digest,
    /// The device that proved itself, if one did.
    device: Option<Guid>,
    expires: i64,
}

/// The fields of every page; their names are those that people's browsers know from elsewhere.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Fields {
    flow: Option<String>,
    session: Option<String>,
    login: String,
    passwd: String,
    otc: String,
}

/// What is asked next.
enum Ask<'a> {
    Name,
    Password(&'a str),
    OneTimePassword,
}

impl Purpose {
    fn client(&self) -> &str {
        match self {
            Self::Client(request) => &request.client,
            Self::DeviceCode { client, .. } => client,
        }
    }

    fn wanted(&self) -> Wanted {
        match self {
            Self::Client(request) => request.wanted,
            Self::DeviceCode { wanted, .. } => *wanted,
        }
    }

    fn hint(&self) -> Option<&str> {
        match self {
            Self::Client(request) => request.login_hint.as_deref(),
            Self::DeviceCode { .. } => None,
        }
    }
}

/// Shows the first page.
pub(crate) fn begin(
    app: &App,
    headers: &HeaderMap,
    client: &Application,
    (purpose, device): (Purpose, Option<Guid>),
) -> Result<Response, Refusal> {
    let (browser, cookie) = match session::browser(headers) {
        Some(browser) => (browser, None),
        None => {
            let (browser, cookie) = session::name_browser()?;
            (browser, Some(cookie))
        }
    };
    let flow = Flow {
        purpose,
        client_name: client.name.clone(),
        browser,
        device,
        expires: app.clock.now().plus(FORM_S).0,
    };
    let sealed = flow.seal(app)?;
    let ask = match flow.purpose.hint() {
        Some(name) => Ask::Password(name),
        None => Ask::Name,
    };
    let page = page(&flow, &hidden("flow", &sealed), (ask, None));
    Ok(with_cookie(page.into_response(), cookie))
}

/// `POST /{tenant}/login`.
pub(crate) async fn submit(
    State(app): State<Arc<App>>,
    Path(named): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    match go_on(&app, &named, &headers, &body).await {
        Ok(response) => response,
        Err(refusal) => told(&headers, refusal),
    }
}

async fn go_on(
    app: &App,
    named: &str,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Response, Refusal> {
    tenant::expect(app, named).await?;
    let fields: Fields = serde_urlencoded::from_bytes(body)
        .map_err(|_| Refusal::malformed("the request is not a form"))?;
    let browser = session::browser(headers).ok_or_else(over)?;
    if let Some(session) = fields.session.clone() {
        let id = sha256(session.as_bytes());
        let now = app.clock.now();
        let attempt = app.store.attempt(app.tenant.id, id, now).await?;
        let attempt = attempt
            .filter(|attempt| attempt.kind == AttemptKind::Browser)
            .ok_or_else(over)?;
        let flow: Flow = serde_json::from_str(&attempt.request)?;
        flow.expect_browser(browser)?;
        return factor(app, &flow, (&session, &attempt), fields).await;
    }
    let flow = Flow::open(app, fields.flow.as_deref().unwrap_or(""))?;
    flow.expect_browser(browser)?;
    let name = fields.login.trim().to_lowercase();
    if !(1..=password::MAX_NAME).contains(&name.len()) {
        let field = hidden("flow", fields.flow.as_deref().unwrap_or(""));
        let problem = Some("Enter the name that you sign in with.");
        return Ok(page(&flow, &field, (Ask::Name, problem)).into_response());
    }
    let (session, attempt) = begin_attempt(app, &flow, &name).await?;
    if fields.passwd.is_empty() {
        let field = hidden("session", &session);
        return Ok(page(&flow, &field, (Ask::Password(&name), None)).into_response());
    }
    factor(app, &flow, (&session, &attempt), fields).await
}

async fn begin_attempt(app: &App, flow: &Flow, name: &str) -> Result<(String, Attempt), Refusal> {
    let now = app.clock.now();
    let (session, id) = random::bearer_text()?;
    let attempt = Attempt {
        id,
        kind: AttemptKind::Browser,
        client: flow.purpose.client().to_owned(),
        device: flow.device,
        username: name.to_owned(),
        user: password::find(app, name).await?.map(|user| user.guid),
        resource: String::new(),
        code_challenge: None,
        two_factors: flow.purpose.wanted().mfa,
        request: serde_json::to_string(flow)?,
        password_at: None,
        methods: Vec::new(),
        mfa_time: None,
        webauthn: None,
        approval: None,
        expires: now.plus(ATTEMPT_S),
    };
    app.store
        .begin_attempt(app.tenant.id, attempt.clone(), now)
        .await?;
    Ok((session, attempt))
}

/// Checks the factor that was asked, and asks the next one.
async fn factor(
    app: &App,
    flow: &Flow,
    (session, attempt): (&str, &Attempt),
    fields: Fields,
) -> Result<Response, Refusal> {
    let field = hidden("session", session);
    let again = |ask, refusal: Refusal| match refusal {
        Refusal::OAuth(_, body) => {
            let problem = Some(body.error_description.as_str());
            Ok(page(flow, &field, (ask, problem)).into_response())
        }
        failure => Err(failure),
    };
    let tenant = app.tenant.id;
    if attempt.password_at.is_none() {
        let user = match attempt.user {
            Some(user) => app.store.user(tenant, user).await?,
            None => None,
        };
        let secret = Secret::new(fields.passwd);
        let checked = password::check_of(app, &attempt.username, user, secret).await;
        let user = match checked {
            Ok(user) => user,
            Err(refusal) => return again(Ask::Password(&attempt.username), refusal),
        };
        let now = app.clock.now();
        app.store.password_shown(tenant, attempt.id, now).await?;
        let has_generator = app.store.totp(tenant, user.guid).await?.is_some();
        if has_generator {
            return Ok(page(flow, &field, (Ask::OneTimePassword, None)).into_response());
        }
        if attempt.two_factors {
            return Err(challenge::no_second_factor());
        }
        let methods = vec!["pwd".to_owned()];
        return finish(app, flow, attempt, (user.guid, methods, None)).await;
    }
    let user = attempt.user.ok_or_else(over)?;
    let otp = Secret::new(fields.otc.trim().to_owned());
    let step = match challenge::one_time_password(app, user, &otp).await {
        Ok(step) => step,
        Err(refusal) => return again(Ask::OneTimePassword, refusal),
    };
    if !app.store.spend_totp(tenant, user, step).await? {
        return again(Ask::OneTimePassword, challenge::used_already());
    }
    let subject = user.to_string();
    app.store
        .forget_tries(tenant, challenge::ONE_TIME_PASSWORD, &subject)
        .await?;
    let methods = vec!["pwd".to_owned(), "mfa".to_owned()];
    finish(app, flow, attempt, (user, methods, Some(app.clock.now()))).await
}

/// Ends the attempt, begins a session, and does what the person signed in for.
async fn finish(
    app: &App,
    flow: &Flow,
    attempt: &Attempt,
    (user, methods, mfa_time): (Guid, Vec<String>, Option<UnixTime>),
) -> Result<Response, Refusal> {
    if !app.store.end_attempt(app.tenant.id, attempt.id).await? {
        return Err(over());
    }
    let kept = Kept {
        user,
        device: attempt.device,
        methods,
        auth_time: app.clock.now(),
        mfa_time,
    };
    let subject = kept.stand(app).await?;
    let (id, cookie) = session::begin(app, &subject).await?;
    let response = fulfil(app, &flow.purpose, &subject, id).await?;
    Ok(with_cookie(response, Some(cookie)))
}

async fn fulfil(
    app: &App,
    purpose: &Purpose,
    subject: &Subject,
    session: Digest,
) -> Result<Response, Refusal> {
    match purpose {
        Purpose::Client(request) => {
            let origin = Origin {
                prt: None,
                session: Some(session),
            };
            authorize::give_code(app, request, subject, origin).await
        }
        Purpose::DeviceCode { user_code, .. } => {
            device_page::approve(app, user_code, subject).await
        }
    }
}

impl Flow {
    fn seal(&self, app: &App) -> anyhow::Result<String> {
        let sealed = app.keyring.master.seal(FLOW, &serde_json::to_vec(self)?)?;
        Ok(URL_SAFE_NO_PAD.encode(sealed))
    }

    fn open(app: &App, text: &str) -> Result<Self, Refusal> {
        let sealed = URL_SAFE_NO_PAD.decode(text).map_err(|_| over())?;
        let plain = app.keyring.master.open(FLOW, &sealed).map_err(|_| over())?;
        let flow: Self = serde_json::from_slice(plain.expose())?;
        if flow.expires <= app.clock.now().0 {
            return Err(over());
        }
        Ok(flow)
    }

    fn expect_browser(&self, browser: Digest) -> Result<(), Refusal> {
        if self.browser == browser {
            return Ok(());
        }
        Err(over())
    }
}

/// The name under which what goes with a form is sealed.
const FLOW: &str = "sign-in form";

fn page(flow: &Flow, field: &str, (ask, problem): (Ask<'_>, Option<&str>)) -> Page {
    let (title, input) = match ask {
        Ask::Name => (
            "Sign in",
            "<label for=\"i0116\">Name</label>\
             <input id=\"i0116\" name=\"login\" autocomplete=\"username\" autofocus \
             autocapitalize=\"none\" spellcheck=\"false\">"
                .to_owned(),
        ),
        Ask::Password(name) => (
            "Enter your password",
            format!(
                "<p>{}</p>{}<label for=\"i0118\">Password</label>\
                 <input id=\"i0118\" name=\"passwd\" type=\"password\" \
                 autocomplete=\"current-password\" autofocus>",
                escaped(name),
                hidden("login", name)
            ),
        ),
        Ask::OneTimePassword => (
            "Enter the code",
            "<label for=\"idTxtBx_SAOTCC_OTC\">The number that your authenticator app shows</label>\
             <input id=\"idTxtBx_SAOTCC_OTC\" name=\"otc\" inputmode=\"numeric\" \
             autocomplete=\"one-time-code\" autofocus>"
                .to_owned(),
        ),
    };
    let problem = problem.map_or_else(String::new, |problem| {
        format!(
            "<p class=\"problem\" id=\"problem\">{}</p>",
            escaped(problem)
        )
    });
    let elsewhere = match &flow.purpose {
        Purpose::Client(_) => "",
        Purpose::DeviceCode { .. } => ", which asks for it on another device",
    };
    let body = format!(
        "<p class=\"small\">For {}{elsewhere}</p>{problem}\
         <form method=\"post\" action=\"/common/login\">{field}{input}\
         <button id=\"idSIButton9\">Continue</button></form>",
        escaped(&flow.client_name)
    );
    Page::new(title, body)
}

fn with_cookie(mut response: Response, cookie: Option<HeaderValue>) -> Response {
    if let Some(cookie) = cookie {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    response
}

fn over() -> Refusal {
    let sentence = "this sign-in is over, or was begun in another browser: begin again from the \
                    application";
    Refusal::grant(70008, sentence)
}
