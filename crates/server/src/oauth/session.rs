//! Sessions of browsers: who is signed in there, behind a cookie that scripts do not see, other
//! hosts do not get and other sites' forms do not send.

use axum::http::{HeaderMap, HeaderValue, header::COOKIE};
use model::sha256;
use store::{Digest, Session};

use super::subject::{Kept, Subject};
use crate::{app::App, error::Refusal, random};

/// The cookie of a session. The prefix binds it to this host and to TLS (RFC 6265bis 4.1.3.2).
const SESSION: &str = "__Host-latchkey-session";

/// The cookie of a browser: forms that were shown to one are not taken from another.
const BROWSER: &str = "__Host-latchkey-browser";

/// A working day.
const LIFE_S: i64 = 12 * 60 * 60;

/// How exact it is noted when a session was last used.
const SEEN_S: i64 = 5 * 60;

/// A session whose account may still be used.
pub(crate) struct Open {
    pub(crate) id: Digest,
    pub(crate) subject: Subject,
}

/// The session of a request; none where its account, or its device, is not accepted any more.
pub(crate) async fn of(app: &App, headers: &HeaderMap) -> Result<Option<Open>, Refusal> {
    let Some(id) = digest(headers, SESSION) else {
        return Ok(None);
    };
    let now = app.clock.now();
    let Some(session) = app.store.session(app.tenant.id, id, now).await? else {
        return Ok(None);
    };
    if session.last_seen.plus(SEEN_S) <= now {
        app.store.session_seen(app.tenant.id, id, now).await?;
    }
    match Kept::from(&session).stand(app).await {
        Ok(subject) => Ok(Some(Open { id, subject })),
        Err(Refusal::OAuth(..)) => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// Begins a session under a new name, whatever the browser had before; its cookie.
pub(crate) async fn begin(app: &App, subject: &Subject) -> Result<(Digest, HeaderValue), Refusal> {
    let now = app.clock.now();
    let (text, id) = random::bearer_text()?;
    let kept = subject.keep();
    let session = Session {
        id,
        user: kept.user,
        device: kept.device,
        methods: kept.methods,
        auth_time: kept.auth_time,
        mfa_time: kept.mfa_time,
        created: now,
        expires: now.plus(LIFE_S),
        last_seen: now,
    };
    app.store.put_session(app.tenant.id, session, now).await?;
    Ok((id, set(SESSION, &text)?))
}

/// Ends the session of a request; the cookie that says so.
pub(crate) async fn end(app: &App, headers: &HeaderMap) -> Result<HeaderValue, Refusal> {
    if let Some(id) = digest(headers, SESSION) {
        app.store.end_session(app.tenant.id, id).await?;
    }
    let gone = format!("{SESSION}=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Lax");
    Ok(HeaderValue::from_str(&gone)?)
}

/// The name of the browser of a request, if it has one.
pub(crate) fn browser(headers: &HeaderMap) -> Option<Digest> {
    digest(headers, BROWSER)
}

/// A name for a browser that has none, and its cookie.
pub(crate) fn name_browser() -> Result<(Digest, HeaderValue), Refusal> {
    let (text, digest) = random::bearer_text()?;
    Ok((digest, set(BROWSER, &text)?))
}

fn set(name: &str, text: &str) -> anyhow::Result<HeaderValue> {
    let mut value = HeaderValue::from_str(&format!(
        "{name}={text}; Path=/; Secure; HttpOnly; SameSite=Lax"
    ))?;
    value.set_sensitive(true);
    Ok(value)
}

fn digest(headers: &HeaderMap, name: &str) -> Option<Digest> {
    cookie(headers, name).map(|text| sha256(text.as_bytes()))
}

/// A cookie of a request.
pub(crate) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(given, _)| given.eq_ignore_ascii_case(name))
        .map(|(_, text)| text)
        .filter(|text| !text.is_empty())
}
