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
    stored,
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
        if caller.may_tagged(Action::ReadPolicies, &one.content.scope_tags) {
            rows.push(told(&app, &one).await?);
        }
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
    let is_named = |one: &&EnrollmentConfiguration| match named.as_str() {
        DEFAULT => one.priority == 0,
        named => named.parse() == Ok(one.id) || one.content.name.eq_ignore_ascii_case(named),
    };
    let all = enrollment::all(&app).await?;
    let mut found = all.iter().filter(is_named);
    let (Some(one), None) = (found.next(), found.next()) else {
        return Err(unknown(
            "there is no configuration of that name, or two are called so",
        ));
    };
    if !caller.may_tagged(Action::EditPolicies, &one.content.scope_tags) {
        return Err(forbidden());
    }
    let has = policy::assigned::Enrollment::has_property;
    if let Some(other) = body.keys().find(|name| !has(name)) {
        return Err(malformed(&format!("there is no property {other:?}")));
    }
    let mut changed = one.clone();
    let patched = changed.content.enrollment.patched(&body);
    changed.content.enrollment = patched.map_err(|why| malformed(&why.to_string()))?;
    changed.version = changed.version.saturating_add(1);
    let changed = enrollment::put(&app, &caller, "enrollment.change", vec![changed]).await;
    let changed = stored(changed)?;
    match changed.first() {
        Some(one) => Ok(Json(told(&app, one).await?)),
        None => Err(unknown("there is no configuration of that name")),
    }
}
