//! `POST /device/v1/policies/status`: what became of what a device was told. Of each device the last
//! report is kept.

use std::sync::Arc;

use api::policies::{MAX_OUTCOMES, MAX_POLICY_USERS, PolicyStatus};
use axum::{
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use store::PolicyReport;

use crate::{
    access,
    app::App,
    error::{Refusal, read_json},
};

/// The longest text of a report.
const MAX_TEXT: usize = 1024;

pub(crate) async fn take(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<StatusCode, Refusal> {
    let device = access::device(&app, &headers).await?;
    let status: PolicyStatus = read_json(&body)?;
    expect_bounded(&status)?;
    let outcomes = status
        .reports
        .into_iter()
        .map(|report| (report.user, report.outcomes));
    let report = PolicyReport {
        device: device.id,
        etag: status.etag,
        at: app.clock.now(),
        outcomes: outcomes.collect(),
    };
    app.store.keep_policy_report(app.tenant.id, report).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn expect_bounded(status: &PolicyStatus) -> Result<(), Refusal> {
    let outcomes = || status.reports.iter().flat_map(|report| &report.outcomes);
    let by = outcomes().filter_map(|outcome| outcome.by.as_ref());
    let mut texts = outcomes()
        .map(|outcome| &outcome.loc_uri)
        .chain(by)
        .chain([&status.etag]);
    let is_twice = status.reports.iter().enumerate().any(|(at, report)| {
        let before = status.reports.iter().take(at);
        before.into_iter().any(|other| other.user == report.user)
    });
    let sentence = if status.reports.len() > MAX_POLICY_USERS + 1 {
        "more reports than there are users to ask for"
    } else if outcomes().count() > MAX_OUTCOMES {
        "more than 2,000 nodes"
    } else if texts.any(|text| text.len() > MAX_TEXT) {
        "a text is longer than 1,024 bytes"
    } else if is_twice {
        "two reports about one user"
    } else {
        return Ok(());
    };
    Err(Refusal::own(
        StatusCode::BAD_REQUEST,
        "bad_request",
        sentence,
    ))
}
