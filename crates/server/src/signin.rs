//! Signing in in a browser: a name, a password, a second factor; or a passkey, which is all of them.
//!
//! Until a name is given nothing is stored: what the person signs in for travels in the form, sealed,
//! and bound to the browser that it was shown to (`flow`). From then on it is in the attempt. What a
//! form carries is good in that browser alone, so that nobody signs another person in, and no page of
//! somebody else's can send it.
//!
//! The answers to a name that nobody has are those to a wrong password. Which ways somebody has to
//! confirm who they are is told after the password was right, what they are called never here.

mod end;
mod flow;
mod second;
mod show;
mod steps;

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{Path, Query, State},
    http::{HeaderMap, header::SET_COOKIE},
    response::Response,
    routing::{get, post},
};
use model::Guid;
use serde::{Deserialize, Serialize};

use crate::{
    app::App,
    error::Refusal,
    factors::Origin,
    oauth::{Request, Wanted, expect_tenant, session},
    pages::told,
    routing::Paths,
};
use flow::Flow;
use show::{Ask, Held, Sheet};

/// Every path of a sign-in.
pub(crate) fn routes() -> Paths {
    Paths::new()
        .route("/signin", get(show))
        .route("/{tenant}/login", post(submit))
        .route("/{tenant}/login/wait", get(wait))
}

/// What a person signs in for.
#[derive(Serialize, Deserialize)]
pub(crate) enum Purpose {
    /// A client of this browser.
    Client {
        /// What it asked for.
        request: Box<Request>,
        /// Its name.
        name: String,
        /// The device that proved itself, if one did.
        device: Option<Guid>,
    },
    /// A client of another device, which shows this code.
    DeviceCode {
        user_code: String,
        client: String,
        name: String,
        wanted: Wanted,
    },
    /// A page of this server.
    Page {
        path: String,
        /// Who was signed in there and is to confirm it.
        hint: Option<String>,
    },
}

impl Purpose {
    /// A page of this server.
    pub(crate) fn page(path: &str) -> Self {
        let (path, hint) = (path.to_owned(), None);
        Self::Page { path, hint }
    }

    /// A page of this server, for who is signed in there already.
    pub(crate) fn page_of(path: &str, upn: &str) -> Self {
        let (path, hint) = (path.to_owned(), Some(upn.to_owned()));
        Self::Page { path, hint }
    }

    /// The client's id; pages of this server are none.
    fn client(&self) -> &str {
        match self {
            Self::Client { request, .. } => &request.client,
            Self::DeviceCode { client, .. } => client,
            Self::Page { .. } => "",
        }
    }

    /// What the person is told.
    fn name(&self) -> &str {
        match self {
            Self::Client { name, .. } | Self::DeviceCode { name, .. } => name,
            Self::Page { path, .. } if path == "/approvals" => "Approvals",
            Self::Page { .. } => "Security info",
        }
    }

    fn device(&self) -> Option<Guid> {
        match self {
            Self::Client { device, .. } => *device,
            Self::DeviceCode { .. } | Self::Page { .. } => None,
        }
    }

    /// Whether nothing less than a second factor will do.
    fn wants_second(&self) -> bool {
        match self {
            Self::Client { request, .. } => request.wanted.mfa,
            Self::DeviceCode { wanted, .. } => wanted.mfa,
            // The page itself says what is missing.
            Self::Page { .. } => false,
        }
    }

    fn hint(&self) -> Option<&str> {
        match self {
            Self::Client { request, .. } => request.login_hint.as_deref(),
            Self::DeviceCode { .. } => None,
            Self::Page { hint, .. } => hint.as_deref(),
        }
    }
}

/// The fields of every form. Where they have one, their names are those that browsers know from
/// elsewhere.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Fields {
    flow: Option<String>,
    attempt: Option<String>,
    step: String,
    login: String,
    passwd: String,
    otc: String,
    pass: String,
    credential: String,
}

/// A request to a sign-in.
struct Call<'a> {
    headers: &'a HeaderMap,
    origin: Origin,
}

/// Shows the first page.
pub(crate) fn begin(app: &App, headers: &HeaderMap, purpose: Purpose) -> Result<Response, Refusal> {
    let (browser, cookie) = match session::browser(headers) {
        Some(browser) => (browser, None),
        None => {
            let (browser, cookie) = session::name_browser()?;
            (browser, Some(cookie))
        }
    };
    let flow = Flow::new(purpose, browser, app.clock.now());
    let held = Held {
        field: "flow",
        value: &flow.seal(app)?,
    };
    let hint = flow.purpose.hint();
    let sheet = Sheet {
        flow: &flow,
        held,
        name: hint.unwrap_or(""),
        problem: None,
        ways: Vec::new(),
    };
    let mut page = match hint {
        Some(_) => sheet.ask(Ask::Password)?,
        None => sheet.name()?,
    };
    if let Some(cookie) = cookie {
        page.headers_mut().append(SET_COOKIE, cookie);
    }
    Ok(page)
}

/// `POST /{tenant}/login`.
pub(crate) async fn submit(
    State(app): State<Arc<App>>,
    Path(named): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let outcome = async {
        expect_tenant(&app, &named).await?;
        let fields: Fields = serde_urlencoded::from_bytes(&body)
            .map_err(|_| Refusal::malformed("the request is not a form"))?;
        steps::go_on(&app, &Call::new(&headers), fields).await
    };
    outcome
        .await
        .unwrap_or_else(|refusal| told(&headers, refusal))
}

/// `GET /{tenant}/login/wait`. The attempt's name opens nothing without the browser's cookie.
#[derive(Deserialize)]
pub(crate) struct Awaited {
    attempt: String,
}

/// Answers once the approval that an attempt waits for is given or refused, or after a while.
pub(crate) async fn wait(
    State(app): State<Arc<App>>,
    Path(named): Path<String>,
    headers: HeaderMap,
    Query(awaited): Query<Awaited>,
) -> Response {
    let outcome = async {
        expect_tenant(&app, &named).await?;
        second::wait(&app, &Call::new(&headers), &awaited.attempt).await
    };
    outcome
        .await
        .unwrap_or_else(|refusal| told(&headers, refusal))
}

impl<'a> Call<'a> {
    fn new(headers: &'a HeaderMap) -> Self {
        Self {
            headers,
            origin: Origin::of(headers),
        }
    }
}

/// `GET /signin`: the first page, whoever is signed in here.
pub(crate) async fn show(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    let outcome = begin(&app, &headers, Purpose::page("/security"));
    outcome.unwrap_or_else(|refusal| told(&headers, refusal))
}

/// The attempt is unknown, over, or another browser's.
fn over() -> Refusal {
    let sentence = "this sign-in is over, or was begun in another browser: begin again from where \
                    you came from";
    Refusal::grant(70008, sentence)
}
