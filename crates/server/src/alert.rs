//! What an agent wants an administrator to see: a row of the audit log.

use std::sync::Arc;

use api::agent::Alert;
use axum::{
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use store::Audit;

use crate::{
    access,
    app::App,
    error::{Refusal, read_json},
};

const MAX_CODE: usize = 64;
const MAX_DETAIL: usize = 1024;

/// `POST /agent/v1/alerts`.
pub(crate) async fn take(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<StatusCode, Refusal> {
    let agent = access::agent(&app, &headers).await?;
    let Alert {
        event,
        code,
        detail,
    } = read_json(&body)?;
    if code.len() > MAX_CODE || detail.len() > MAX_DETAIL {
        let sentence = "a text of the alert is too long";
        let status = StatusCode::BAD_REQUEST;
        return Err(Refusal::own(status, "bad_request", sentence));
    }
    tracing::warn!(event, code, agent = %agent.id, detail, "an agent's alert");
    let audit = Audit {
        at: app.clock.now(),
        actor: format!("agent:{}", agent.id),
        action: "agent.alert",
        subject: format!("{event} {code}: {detail}"),
    };
    app.store.add_audit(app.tenant.id, audit).await?;
    Ok(StatusCode::NO_CONTENT)
}
