//! What the tenant has of its own: agents, and the names it is reached under.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
    routing::{delete, get, post, put},
};
use serde_json::{Value, json};
use store::EnrollmentCode;

use super::{
    caller::{Caller, needs},
    find::unknown,
    listing::Rows,
    malformed,
};
use crate::{
    app::App, clock::rfc3339, config, error::Refusal, random, roles::Action, routing::Paths,
};

/// How long an agent's one-time code is good.
const CODE_S: i64 = 60 * 60;

pub(super) fn routes() -> Paths {
    Paths::new()
        .route("/agents", needs(Action::ReadTenant, get(agents)))
        .route(
            "/agents/{agent}",
            needs(Action::ManageTenant, delete(revoke)),
        )
        .route(
            "/agent-codes",
            needs(Action::ManageTenant, post(agent_code)),
        )
        .route("/hosts", needs(Action::ReadTenant, get(hosts)))
        .route(
            "/hosts/{name}",
            needs(Action::ManageTenant, put(add_host).delete(remove_host)),
        )
}

async fn agents(State(app): State<Arc<App>>, caller: Caller) -> Result<Rows, Refusal> {
    caller.expect_whole(Action::ReadTenant)?;
    let domains = app.store.domains(app.tenant.id).await?;
    let agents = app.store.agents(app.tenant.id).await?;
    let now = app.clock.now();
    let mut active = Vec::new();
    for domain in &domains {
        active.extend(
            app.store
                .lease_holder(app.tenant.id, domain.guid, now)
                .await?,
        );
    }
    Ok(Rows::all(agents.into_iter().map(|agent| {
        let domain = domains.iter().find(|domain| domain.guid == agent.domain);
        json!({
            "agent": agent.id,
            "domain": domain.map(|domain| &domain.dns_name),
            "principal": agent.principal,
            "enrolled": rfc3339(agent.enrolled),
            "active": active.contains(&agent.id),
            "staging": agent.said.as_ref().map(|said| said.staging),
            "host": agent.said.as_ref().map(|said| &said.host),
            "version": agent.said.as_ref().map(|said| &said.version),
            "seen": agent.said.as_ref().map(|said| rfc3339(said.at)),
        })
    })))
}

async fn revoke(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(agent): Path<String>,
) -> Result<StatusCode, Refusal> {
    caller.expect_whole(Action::ManageTenant)?;
    let none = || unknown("there is no such agent");
    let id = agent.parse().map_err(|_| none())?;
    let audit = caller.audit(&app, "agent.revoke", &agent);
    match app.store.delete_agent(app.tenant.id, id, audit).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(none()),
    }
}

async fn agent_code(State(app): State<Arc<App>>, caller: Caller) -> Result<Json<Value>, Refusal> {
    caller.expect_whole(Action::ManageTenant)?;
    let (code, digest) = random::bearer_text()?;
    let expires = app.clock.now().plus(CODE_S);
    let audit = caller.audit(&app, "agent.code", "");
    app.store
        .add_enrollment_code(app.tenant.id, EnrollmentCode { digest, expires }, audit)
        .await?;
    Ok(Json(json!({ "code": code, "expires": rfc3339(expires) })))
}

async fn hosts(State(app): State<Arc<App>>, caller: Caller) -> Result<Rows, Refusal> {
    caller.expect_whole(Action::ReadTenant)?;
    let hosts = app.store.hosts(app.tenant.id).await?;
    Ok(Rows::all(
        hosts.into_iter().map(|name| json!({ "name": name })),
    ))
}

async fn add_host(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<StatusCode, Refusal> {
    caller.expect_whole(Action::ManageTenant)?;
    config::check_url(&format!("https://{name}"))
        .map_err(|_| malformed("this is no host name: HOST or HOST:PORT"))?;
    let audit = caller.audit(&app, "host.add", &name);
    app.store.add_host(app.tenant.id, &name, audit).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn remove_host(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<StatusCode, Refusal> {
    caller.expect_whole(Action::ManageTenant)?;
    let audit = caller.audit(&app, "host.remove", &name);
    match app.store.remove_host(app.tenant.id, &name, audit).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(unknown("there is no such host name")),
    }
}
