//! The lease: of the agents of a domain one writes, and another only when that one may not any more.

use std::sync::Arc;

use api::agent::{LeaseAnswer, LeaseAsk};
use axum::{Json, body::Bytes, extract::State, http::HeaderMap, http::StatusCode};
use store::{Agent, Lease, LeaseRequest};

use crate::{
    access,
    app::App,
    error::{Refusal, read_json},
};

/// The longest name of a host or release.
const MAX_NAME: usize = 256;

/// How soon an agent that looks on asks again, where nobody has the lease.
const FREE_S: u32 = 20;

/// `POST /agent/v1/lease`.
pub(crate) async fn lease(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<LeaseAnswer>, Refusal> {
    let agent = access::agent(&app, &headers).await?;
    let LeaseAsk {
        staging,
        instance,
        host,
        version,
    } = read_json(&body)?;
    if host.len() > MAX_NAME || version.len() > MAX_NAME {
        let sentence = "the host or its release is longer than 256 bytes";
        return Err(Refusal::own(
            StatusCode::BAD_REQUEST,
            "bad_request",
            sentence,
        ));
    }
    let asked = LeaseRequest {
        staging,
        instance,
        host,
        version,
    };
    let now = app.clock.now();
    let lease = app
        .store
        .lease(app.tenant.id, agent.domain, agent.id, asked, now)
        .await?;
    let allowed_interval_s = app.allowed_sync_cycle_interval_s;
    let seconds = |seconds: i64| u32::try_from(seconds).unwrap_or(FREE_S);
    let (held, until_s, holder) = match lease {
        Lease::Held(until) => (true, seconds(until), None),
        Lease::Other(host, until) => (false, seconds(until), Some(host)),
        Lease::Free => (false, FREE_S, None),
    };
    Ok(Json(LeaseAnswer {
        held,
        until_s,
        holder,
        allowed_interval_s,
    }))
}

/// Refuses what another agent of the domain holds the lease for. An agent of a release that knows no
/// lease goes on while nobody has it.
pub(crate) async fn expect_none_of_others(app: &App, agent: &Agent) -> Result<(), Refusal> {
    let now = app.clock.now();
    let holder = app
        .store
        .lease_holder(app.tenant.id, agent.domain, now)
        .await?;
    if holder.is_none_or(|holder| holder == agent.id) {
        return Ok(());
    }
    let sentence =
        "another agent of this domain writes: `latchkey-server admin agent list` names it";
    Err(Refusal::own(StatusCode::CONFLICT, "lease_held", sentence))
}
