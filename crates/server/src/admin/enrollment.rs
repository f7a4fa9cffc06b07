//! Enrollment configurations in the words of the command line.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::{Path, State},
    http::StatusCode,
    routing::{get, post, put},
};
use serde_json::{Map, Value, json};
use store::{EnrollmentConfiguration, EnrollmentContent};

use super::{
    caller::{Caller, forbidden, needs},
    find::unknown,
    listing::Rows,
    malformed,
    policies::{TargetIn, read_targets, targets_in_words},
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
        .route(
            "/enrollment",
            needs(Action::ReadPolicies, get(list)).merge(needs(Action::EditPolicies, post(create))),
        )
        .route(
            "/enrollment/{configuration}",
            needs(Action::EditPolicies, put(change).delete(delete)),
        )
        .route(
            "/enrollment/{configuration}/assignments",
            needs(Action::EditPolicies, put(assign)),
        )
        .route(
            "/enrollment/{configuration}/priority",
            needs(Action::EditPolicies, put(set_priority)),
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

/// What stands in a body over `former`: a name, a description, and properties as Graph names them; what is
/// absent stays.
fn content(
    mut body: Map<String, Value>,
    former: EnrollmentContent,
) -> Result<EnrollmentContent, Refusal> {
    let mut content = former;
    for (name, text) in [
        ("name", &mut content.name),
        ("description", &mut content.description),
    ] {
        match body.remove(name) {
            None => {}
            Some(Value::String(given)) => *text = given,
            Some(_) => return Err(malformed(&format!("{name} is a text"))),
        }
    }
    let has = policy::assigned::Enrollment::has_property;
    if let Some(other) = body.keys().find(|name| !has(name)) {
        return Err(malformed(&format!("there is no property {other:?}")));
    }
    let patched = content.enrollment.patched(&body);
    content.enrollment = patched.map_err(|why| malformed(&why.to_string()))?;
    Ok(content)
}

async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    body: Bytes,
) -> Result<Json<Value>, Refusal> {
    let content = content(read_json(&body)?, EnrollmentContent::default())?;
    let new = enrollment::create(&app, &caller, content).await?;
    Ok(Json(told(&app, &new).await?))
}

async fn change(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(named): Path<String>,
    body: Bytes,
) -> Result<Json<Value>, Refusal> {
    let one = found(&app, &caller, Action::EditPolicies, &named).await?;
    let content = content(read_json(&body)?, one.content.clone())?;
    let changed = enrollment::change(&app, &caller, one, content).await?;
    Ok(Json(told(&app, &changed).await?))
}

/// `PUT …/assignments`: whoever is not named any more does not have it.
async fn assign(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(named): Path<String>,
    body: Bytes,
) -> Result<Json<Value>, Refusal> {
    let one = found(&app, &caller, Action::EditPolicies, &named).await?;
    let targets: Vec<TargetIn> = read_json(&body)?;
    let targets = read_targets(&app, &targets).await?;
    let assigned = enrollment::assign(&app, &caller, one, targets).await?;
    Ok(Json(told(&app, &assigned).await?))
}

/// `PUT …/priority`: those behind its new place move on.
async fn set_priority(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(named): Path<String>,
    body: Bytes,
) -> Result<StatusCode, Refusal> {
    caller.expect_whole(Action::EditPolicies)?;
    let one = found(&app, &caller, Action::EditPolicies, &named).await?;
    let wanted: u64 = read_json(&body)?;
    enrollment::set_priority(&app, &caller, one, Some(wanted)).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn delete(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(named): Path<String>,
) -> Result<StatusCode, Refusal> {
    let one = found(&app, &caller, Action::EditPolicies, &named).await?;
    enrollment::delete(&app, &caller, &one).await?;
    Ok(StatusCode::NO_CONTENT)
}
