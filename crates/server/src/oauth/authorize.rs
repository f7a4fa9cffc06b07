//! The authorization endpoint: who the client is, what it asks, who is signed in, and then a code,
//! an error to the client, or a page.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{Path, RawQuery, State},
    http::HeaderMap,
    response::Response,
};
use store::{App as Application, Code, Digest};

use super::{
    clients, credential, issue,
    request::{Denial, Parameters, Prompt, ReplyTo, Request},
    scope::Version,
    session,
    subject::Subject,
    tenant,
};
use crate::{
    app::App,
    error::{Refusal, request_id},
    pages::told,
    random,
    signin::{self, Purpose},
};

/// How long a code is good.
const CODE_S: i64 = 60;

/// The sign-in that a code stands on.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Basis {
    pub(crate) prt: Option<Digest>,
    pub(crate) session: Option<Digest>,
}

impl Basis {
    /// A browser's session.
    pub(crate) fn session(session: Digest) -> Self {
        Self {
            prt: None,
            session: Some(session),
        }
    }
}

/// `GET /{tenant}/oauth2/authorize`.
pub(crate) async fn v1(
    State(app): State<Arc<App>>,
    Path(named): Path<String>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    let query = query.unwrap_or_default();
    answer(&app, &named, &headers, (Version::V1, query.as_bytes())).await
}

/// `POST` of the same.
pub(crate) async fn v1_form(
    State(app): State<Arc<App>>,
    Path(named): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    answer(&app, &named, &headers, (Version::V1, &body)).await
}

/// `GET /{tenant}/oauth2/v2.0/authorize`.
pub(crate) async fn v2(
    State(app): State<Arc<App>>,
    Path(named): Path<String>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    let query = query.unwrap_or_default();
    answer(&app, &named, &headers, (Version::V2, query.as_bytes())).await
}

/// `POST` of the same.
pub(crate) async fn v2_form(
    State(app): State<Arc<App>>,
    Path(named): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    answer(&app, &named, &headers, (Version::V2, &body)).await
}

async fn answer(
    app: &App,
    named: &str,
    headers: &HeaderMap,
    (version, parameters): (Version, &[u8]),
) -> Response {
    match authorize(app, named, headers, (version, parameters)).await {
        Ok(response) => response,
        Err(refusal) => told(headers, refusal),
    }
}

async fn authorize(
    app: &App,
    named: &str,
    headers: &HeaderMap,
    (version, parameters): (Version, &[u8]),
) -> Result<Response, Refusal> {
    tenant::expect(app, named).await?;
    let parameters: Parameters = serde_urlencoded::from_bytes(parameters)
        .map_err(|_| Refusal::malformed("the parameters are not a form, or one is there twice"))?;
    let client = clients::expect(app, Some(&parameters.client_id)).await?;
    let reply_to = ReplyTo::read(&parameters, &client).ok_or_else(|| {
        let sentence = "the redirect URI is not one that is registered for this client";
        Refusal::invalid_request(50011, sentence)
    })?;
    match Request::read(parameters, version, reply_to.clone()) {
        Ok(request) => decide(app, headers, request, &client).await,
        Err(denial) => Ok(deny(app, version, &reply_to, &denial)),
    }
}

/// Who is signed in decides what the answer is.
async fn decide(
    app: &App,
    headers: &HeaderMap,
    request: Request,
    client: &Application,
) -> Result<Response, Refusal> {
    if let Err(denial) = fits(&request, client) {
        return Ok(deny(app, request.version, &request.reply_to, &denial));
    }
    let now = app.clock.now();
    let primary = credential::primary(app, headers, client).await?;
    let open = match &primary {
        Some(_) => None,
        None => session::of(app, headers).await?,
    };
    let subject = primary
        .as_ref()
        .map(|primary| &primary.subject)
        .or(open.as_ref().map(|open| &open.subject))
        .filter(|subject| is_expected(&request, subject));
    let denial = match subject {
        None => Denial::new("login_required", 50058, "nobody is signed in"),
        Some(_) if request.prompt == Prompt::Always => {
            Denial::new("login_required", 50058, "the client wants a new sign-in")
        }
        Some(subject) if !request.wanted.is_recent(subject.auth_time, now) => {
            let sentence = "the sign-in is older than the client takes";
            Denial::new("login_required", 70043, sentence)
        }
        Some(subject) if !request.wanted.is_satisfied(subject.mfa_time, now) => {
            let sentence = "the client wants a second factor, or a fresh one";
            Denial::new("interaction_required", 50076, sentence)
        }
        Some(subject) => {
            if let Some(primary) = &primary
                && !primary.spend(app).await?
            {
                let sentence = "the credential was used already: ask for another nonce";
                return Err(Refusal::grant(50058, sentence));
            }
            let basis = Basis {
                prt: primary.as_ref().map(|primary| primary.prt),
                session: open.as_ref().map(|open| open.id),
            };
            return give_code(app, &request, subject, basis).await;
        }
    };
    if request.prompt == Prompt::Never {
        return Ok(deny(app, request.version, &request.reply_to, &denial));
    }
    let device = match &primary {
        Some(primary) => primary.subject.device.as_ref().map(|device| device.id),
        None => credential::device(app, headers).await?,
    };
    let purpose = Purpose::Client {
        request: Box::new(request),
        name: client.name.clone(),
        device,
    };
    signin::begin(app, headers, purpose)
}

/// What a client's registration says about a request.
fn fits(request: &Request, client: &Application) -> Result<(), Denial> {
    if request.code_challenge.is_none() && !client.compat.no_pkce {
        let sentence = "code_challenge is missing: this server wants PKCE by S256";
        return Err(Denial::new("invalid_request", 501_491, sentence));
    }
    if issue::audience(client, &request.asked).is_err() {
        let sentence = "the client is not registered for this resource";
        return Err(Denial::new("invalid_resource", 650_057, sentence));
    }
    Ok(())
}

/// Whether somebody is who the client expects.
fn is_expected(request: &Request, subject: &Subject) -> bool {
    request
        .login_hint
        .as_deref()
        .is_none_or(|hint| hint.eq_ignore_ascii_case(&subject.user.upn))
}

/// Gives the client a code.
pub(crate) async fn give_code(
    app: &App,
    request: &Request,
    subject: &Subject,
    basis: Basis,
) -> Result<Response, Refusal> {
    let now = app.clock.now();
    let (text, id) = random::bearer_text()?;
    let kept = subject.keep();
    let code = Code {
        id,
        client: request.client.clone(),
        device: kept.device,
        user: kept.user,
        resource: request.asked.audience.clone().unwrap_or_default(),
        scope: request.asked.to_scope(),
        redirect_uri: Some(request.reply_to.redirect_uri.clone()),
        nonce: request.nonce.clone(),
        code_challenge: request.code_challenge.clone(),
        methods: kept.methods,
        auth_time: kept.auth_time,
        mfa_time: kept.mfa_time,
        prt: basis.prt,
        session: basis.session,
        expires: now.plus(CODE_S),
    };
    app.store.add_code(app.tenant.id, code, now).await?;
    let fields = [("code", text.as_str())];
    Ok(reply(app, request.version, &request.reply_to, &fields))
}

fn deny(app: &App, version: Version, reply_to: &ReplyTo, denial: &Denial) -> Response {
    tracing::info!(code = denial.number, "refused");
    let description = format!(
        "AADSTS{}: {} (request {})",
        denial.number,
        denial.sentence,
        request_id()
    );
    let fields = [
        ("error", denial.error),
        ("error_description", description.as_str()),
    ];
    reply(app, version, reply_to, &fields)
}

/// Answers the client, with its state and our name (RFC 9207).
fn reply(app: &App, version: Version, reply_to: &ReplyTo, fields: &[(&str, &str)]) -> Response {
    let issuer = app.issuer(version);
    let mut fields = fields.to_vec();
    fields.extend(reply_to.state.as_deref().map(|state| ("state", state)));
    fields.push(("iss", &issuer));
    reply_to.mode.respond(&reply_to.redirect_uri, &fields)
}
