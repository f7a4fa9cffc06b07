//! What became of policies, for administrators: by policy, by device, and where policies do not agree.

use std::{collections::BTreeSet, sync::Arc};

use axum::{
    extract::{Path, Query, State},
    routing::get,
};
use store::Page;

use super::{
    caller::{Caller, needs},
    find,
    listing::{Asked, Rows},
    policies, stored,
};
use crate::{
    app::App,
    error::Refusal,
    policies::{
        edit,
        status::{self, Row},
    },
    roles::Action,
    routing::Paths,
};

/// Devices of one page of a status.
const DEVICES: u32 = 100;

pub(super) fn routes() -> Paths {
    let read = |methods| needs(Action::ReadPolicies, methods);
    Paths::new()
        .route("/policies/{policy}/status", read(get(status_of)))
        .route("/policy-conflicts", read(get(conflicts)))
        .route("/devices/{device}/policies", read(get(status_on)))
        .route("/users/{user}/policies", read(get(status_for)))
}

async fn status_of(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(named): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Rows, Refusal> {
    let policy = policies::found(&app, &caller, Action::ReadPolicies, &named).await?;
    page(&app, &caller, asked, |row| row.policy_id == policy.id).await
}

async fn status_for(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(named): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Rows, Refusal> {
    let user = find::user(&app, &named).await?;
    caller.expect_on(&app, Action::Read, user.guid).await?;
    let is_theirs = |row: &Row| {
        row.person
            .as_ref()
            .is_some_and(|one| one.user_id == user.guid)
    };
    page(&app, &caller, asked, is_theirs).await
}

/// Of a page of devices the rows that are wanted, and that the caller may look at.
async fn page(
    app: &App,
    caller: &Caller,
    asked: Asked,
    is_wanted: impl Fn(&Row) -> bool,
) -> Result<Rows, Refusal> {
    let page = Page {
        most: asked.most().min(DEVICES),
        ..asked.page()?
    };
    let listing = stored(app.store.devices(app.tenant.id, page).await)?;
    let listing = caller.seen(app, listing, |device| device.id).await?;
    let mut rows = Vec::new();
    for device in &listing.rows {
        for row in status::seen_on(app, caller, device).await? {
            if is_wanted(&row) {
                rows.push(serde_json::to_value(row)?);
            }
        }
    }
    Ok(Rows {
        rows,
        next: listing.next,
    })
}

async fn status_on(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(named): Path<String>,
) -> Result<Rows, Refusal> {
    let device = find::device(&app, &named).await?;
    let mut rows = Vec::new();
    for row in status::seen_on(&app, &caller, &device).await? {
        rows.push(serde_json::to_value(row)?);
    }
    Ok(Rows::all(rows))
}

async fn conflicts(State(app): State<Arc<App>>, caller: Caller) -> Result<Rows, Refusal> {
    let seen = edit::seen(&app, &caller).await?;
    let mut found = BTreeSet::new();
    let mut page = Page::first(DEVICES);
    loop {
        let listing = app.store.devices(app.tenant.id, page).await?;
        for device in &listing.rows {
            status::conflicts_of(&app, device, &mut found).await?;
        }
        let Some(next) = listing.next else { break };
        page = Page {
            after: Some(next),
            ..Page::first(DEVICES)
        };
    }
    let is_seen = |name: &String| seen.iter().any(|policy| policy.content.name == *name);
    found.retain(|row| row.policies.iter().any(is_seen));
    let rows: Result<Vec<_>, _> = found.iter().map(serde_json::to_value).collect();
    Ok(Rows::all(rows?))
}
