//! `/approvals`: the sign-ins that wait for the approval of who is signed in here.
//!
//! Only a session that has shown two factors may approve: one that a stolen password opened must not
//! vouch for the thief.

use std::sync::Arc;

use askama::Template;
use axum::{
    body::Bytes,
    extract::{Query, State},
    http::HeaderMap,
    response::Response,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use store::{Approval, Digest};

use super::{Manner, answer, told, visitor::Visitor, when};
use crate::{
    app::App,
    error::Refusal,
    factors::approval::{self, Answered, Context},
    signin::{self, Purpose},
    wait::Patience,
};

const PATH: &str = "/approvals";

/// A sign-in, as it is told.
struct Waiting {
    id: String,
    app: String,
    place: String,
    device: String,
    at: String,
}

#[derive(Template)]
#[template(path = "approvals.html")]
struct Page<'a> {
    visitor: &'a Visitor,
    waiting: Vec<Waiting>,
    done: Option<&'a str>,
    problem: Option<&'a str>,
}

/// The query of the page.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    /// Answer once a sign-in waits.
    wait: Option<String>,
}

/// The fields of its forms.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Fields {
    step: String,
    id: String,
    number: String,
}

/// `GET /approvals`.
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Query(asked): Query<Asked>,
) -> Response {
    let outcome = async {
        let Some(visitor) = confirmed(&app, &headers).await? else {
            return signin::begin(&app, &headers, Purpose::page(PATH));
        };
        if asked.wait.is_some() {
            wait(&app, &visitor).await?;
        }
        page(&app, &visitor, (None, None)).await
    };
    outcome
        .await
        .unwrap_or_else(|refusal| told(&headers, refusal))
}

/// `POST /approvals`.
pub(crate) async fn submit(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let outcome = async {
        let Some(visitor) = confirmed(&app, &headers).await? else {
            return signin::begin(&app, &headers, Purpose::page(PATH));
        };
        let fields: Fields = visitor.form(&body)?;
        take(&app, &visitor, &fields).await
    };
    outcome
        .await
        .unwrap_or_else(|refusal| told(&headers, refusal))
}

/// Who is signed in here by two factors.
async fn confirmed(app: &App, headers: &HeaderMap) -> Result<Option<Visitor>, Refusal> {
    let visitor = Visitor::of(app, headers).await?;
    Ok(visitor.filter(|visitor| visitor.open.subject.mfa_time.is_some()))
}

async fn wait(app: &App, visitor: &Visitor) -> Result<(), Refusal> {
    let user = visitor.open.subject.user.guid;
    let mut patience = Patience::new(app.approvals.subscribe(), Some(api::MAX_WAIT_S));
    loop {
        let now = app.clock.now();
        let pending = app.store.pending_approvals(app.tenant.id, user, now);
        if !pending.await?.is_empty() || !patience.lasts().await {
            return Ok(());
        }
    }
}

async fn take(app: &App, visitor: &Visitor, fields: &Fields) -> Result<Response, Refusal> {
    let id: Option<Digest> = URL_SAFE_NO_PAD
        .decode(&fields.id)
        .ok()
        .and_then(|id| id.try_into().ok());
    let id = id.ok_or_else(|| Refusal::malformed("the id is none"))?;
    let number = match fields.step.as_str() {
        "deny" => None,
        _ => Some(fields.number.trim().parse().unwrap_or(0)),
    };
    let who = (visitor.open.subject.user.guid, visitor.open.id);
    let told = match approval::answer(app, who, id, number).await? {
        Answered::Approved => (
            Some("Approved. The sign-in goes on on the other side."),
            None,
        ),
        Answered::WrongNumber => (
            None,
            Some(
                "That is another number, so the sign-in was refused. Begin it again if it is yours.",
            ),
        ),
        Answered::Denied => (
            Some(
                "Denied. Somebody may know your password: change it now, and tell your administrator.",
            ),
            None,
        ),
        Answered::Over => (None, Some("This sign-in is over.")),
    };
    page(app, visitor, told).await
}

async fn page(
    app: &App,
    visitor: &Visitor,
    (done, problem): (Option<&str>, Option<&str>),
) -> Result<Response, Refusal> {
    let (user, now) = (visitor.open.subject.user.guid, app.clock.now());
    let pending = app
        .store
        .pending_approvals(app.tenant.id, user, now)
        .await?;
    let page = Page {
        visitor,
        waiting: pending.iter().map(told_of).collect::<Result<_, _>>()?,
        done,
        problem,
    };
    Ok(answer(&page, Manner::default()))
}

fn told_of(approval: &Approval) -> Result<Waiting, Refusal> {
    let context: Context = serde_json::from_str(&approval.context)?;
    Ok(Waiting {
        id: URL_SAFE_NO_PAD.encode(approval.id),
        app: context.app,
        place: context.origin.address,
        device: context.device.unwrap_or(context.origin.agent),
        at: when(approval.created),
    })
}
