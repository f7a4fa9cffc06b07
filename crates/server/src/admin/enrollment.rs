//! Enrollment configurations in the words of the command line.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::{Path, State},
    routing::{get, put},
};
use serde_json::{Map, Value, json};
use store::EnrollmentConfiguration;

use super::{
    caller::{Caller, forbidden, needs},
    find::unknown,
    listing::Rows,
    malformed,
    policies::targets_in_words,
};
use crate::{
    app::App,
    error::{Refusal, read_json},
    policies::enrollment,
    roles::Action,
    routing::Paths,
};

/// The word for the configuration that counts where no other does.
const DEFAULT: &str = "default";

pub(super) fn routes() -> Paths {
    Paths::new()
        .route("/enrollment", needs(Action::ReadPolicies, get(list)))
        .route(
            "/enrollment/{configuration}",
            needs(Action::EditPolicies, put(change)),
        )
        .route(
            "/enrollment/{configuration}/history",
            needs(Action::ReadPolicies, get(history)),
        )
}

async fn told(app: &App, one: &EnrollmentConfiguration) -> Result<Value, Refusal> {
    let mut told = one.content.enrollment.properties();
    let assigned = match one.priority {
        0 => vec!["whoever no other is for".to_owned()],
        _ => targets_in_words(app, &one.content.assignments).await?,
    };
    for (name, value) in [
        ("configuration", json!(one.id)),
        ("name", json!(one.content.name)),
        ("priority", json!(one.priority)),
        ("assigned", json!(assigned)),
        ("version", json!(one.version)),
        ("modified", json!(one.modified)),
        ("modified_by", json!(one.modified_by)),
    ] {
        told.insert(name.to_owned(), value);
    }
    Ok(Value::Object(told))
}

async fn list(State(app): State<Arc<App>>, caller: Caller) -> Result<Rows, Refusal> {
    let mut rows = Vec::new();
    for one in enrollment::all(&app).await? {
        if may(&caller, Action::ReadPolicies, &one) {
            rows.push(told(&app, &one).await?);
        }
    }
    Ok(Rows::all(rows))
}

/// The one of that name or id, as far as the caller may do this to it.
async fn found(
    app: &App,
    caller: &Caller,
    action: Action,
    named: &str,
) -> Result<EnrollmentConfiguration, Refusal> {
    let is_named = |one: &EnrollmentConfiguration| match named {
        DEFAULT => one.priority == 0,
        named => named.parse() == Ok(one.id) || one.content.name.eq_ignore_ascii_case(named),
    };
    let mut all = enrollment::all(app).await?;
    all.retain(|one| is_named(one) && may(caller, Action::ReadPolicies, one));
    let (Some(one), true) = (all.pop(), all.is_empty()) else {
        return Err(unknown(
            "there is no configuration of that name, or two are called so",
        ));
    };
    match may(caller, action, &one) {
        true => Ok(one),
        false => Err(forbidden()),
    }
}

fn may(caller: &Caller, action: Action, one: &EnrollmentConfiguration) -> bool {
    caller.may_tagged(action, &one.content.scope_tags)
}

/// Who changed what, the newest version first.
async fn history(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(named): Path<String>,
) -> Result<Rows, Refusal> {
    let one = found(&app, &caller, Action::ReadPolicies, &named).await?;
    let mut rows = Vec::new();
    for version in enrollment::history(&app, one).await? {
        rows.push(told(&app, &version).await?);
    }
    Ok(Rows::all(rows))
}

/// `PUT /enrollment/{configuration}`: properties as Graph names them; what is absent stays.
async fn change(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(named): Path<String>,
    body: Bytes,
) -> Result<Json<Value>, Refusal> {
    let body: Map<String, Value> = read_json(&body)?;
    let mut one = found(&app, &caller, Action::EditPolicies, &named).await?;
    let has = policy::assigned::Enrollment::has_property;
    if let Some(other) = body.keys().find(|name| !has(name)) {
        return Err(malformed(&format!("there is no property {other:?}")));
    }
    let patched = one.content.enrollment.patched(&body);
    let patched = patched.map_err(|why| malformed(&why.to_string()))?;
    if patched != one.content.enrollment {
        one.content.enrollment = patched;
        one = enrollment::put(&app, &caller, "enrollment.change", (one, Vec::new())).await?;
    }
    Ok(Json(told(&app, &one).await?))
}
