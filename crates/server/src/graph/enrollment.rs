//! `deviceManagement/deviceEnrollmentConfigurations`, of the type that is about this credential.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::{Path, State},
    http::StatusCode,
    routing::{get, patch as patch_of, post},
};
use policy::assigned::Enrollment;
use serde_json::{Map, Value, json};
use store::{EnrollmentConfiguration, EnrollmentContent};

use super::{
    Version,
    call::Call,
    expect_known, object,
    policies::{tags, tags_told},
    query::Query,
    target, text,
};
use crate::{
    admin::{
        caller::{Caller, forbidden, needs},
        find::unknown,
    },
    app::App,
    clock::rfc3339,
    error::Refusal,
    policies::{edit::bad, enrollment},
    roles::Action,
    routing::Paths,
};

const PATH: &str = "deviceManagement/deviceEnrollmentConfigurations";

/// What follows the id of the default one and of others, as in the original.
const DEFAULT: &str = "_DefaultWindowsHelloForBusiness";
const OTHER: &str = "_WindowsHelloForBusiness";

/// Properties beside those of the type itself; what is the server's to say is passed over.
const PROPERTIES: [&str; 9] = [
    "id",
    "displayName",
    "description",
    "priority",
    "createdDateTime",
    "lastModifiedDateTime",
    "version",
    "roleScopeTagIds",
    "deviceEnrollmentConfigurationType",
];

/// Properties that the older interface does not have.
const BETA_ONLY: [&str; 4] = [
    "enhancedSignInSecurity",
    "securityKeyForSignIn",
    "roleScopeTagIds",
    "deviceEnrollmentConfigurationType",
];

pub(super) fn routes() -> Paths {
    let read = |methods| needs(Action::ReadPolicies, methods);
    let edit = |methods| needs(Action::EditPolicies, methods);
    Paths::new()
        .route(
            "/deviceManagement/deviceEnrollmentConfigurations",
            read(get(list)).merge(edit(post(create))),
        )
        .route(
            "/deviceManagement/deviceEnrollmentConfigurations/{id}",
            read(get(show)).merge(edit(patch_of(patch).delete(delete))),
        )
        .route(
            "/deviceManagement/deviceEnrollmentConfigurations/{id}/assignments",
            read(get(assignments)),
        )
        .route(
            "/deviceManagement/deviceEnrollmentConfigurations/{id}/assign",
            edit(post(assign)),
        )
        .route(
            "/deviceManagement/deviceEnrollmentConfigurations/{id}/setPriority",
            edit(post(set_priority)),
        )
}

fn shown_id(one: &EnrollmentConfiguration) -> String {
    let kind = if one.priority == 0 { DEFAULT } else { OTHER };
    format!("{}{kind}", one.id)
}

fn told(one: &EnrollmentConfiguration, version: Version) -> Value {
    let content = &one.content;
    let mut told = Map::new();
    told.insert("@odata.type".to_owned(), json!(Enrollment::TYPE));
    let own = json!({
        "id": shown_id(one),
        "displayName": content.name,
        "description": content.description,
        "priority": one.priority,
        "createdDateTime": rfc3339(one.created),
        "lastModifiedDateTime": rfc3339(one.modified),
        "version": one.version,
        "roleScopeTagIds": tags_told(&content.scope_tags),
        "deviceEnrollmentConfigurationType": "windowsHelloForBusiness",
    });
    let own = own.as_object().cloned().unwrap_or_default();
    let all = own.into_iter().chain(content.enrollment.properties());
    told.extend(all.filter(|(name, _)| is_of(name, version)));
    Value::Object(told)
}

fn is_of(property: &str, version: Version) -> bool {
    version == Version::Beta || !BETA_ONLY.contains(&property)
}

/// What stands in a body over `former`.
fn content(
    body: &Map<String, Value>,
    former: EnrollmentContent,
    version: Version,
) -> Result<EnrollmentContent, Refusal> {
    let kind = Enrollment::TYPE.trim_start_matches('#');
    expect_known(body, kind, |name| {
        let is_known = PROPERTIES.contains(&name) || Enrollment::has_property(name);
        is_known && is_of(name, version)
    })?;
    let mut content = former;
    if let Some(name) = text(body, "displayName")? {
        content.name = name;
    }
    if let Some(description) = text(body, "description")? {
        content.description = description;
    }
    if let Some(tags) = tags(body)? {
        content.scope_tags = tags;
    }
    content.enrollment = content
        .enrollment
        .patched(body)
        .map_err(|why| bad(&why.to_string()))?;
    Ok(content)
}

/// All that the caller may look at, by priority.
async fn seen(app: &App, caller: &Caller) -> Result<Vec<EnrollmentConfiguration>, Refusal> {
    let mut all = enrollment::all(app).await?;
    all.retain(|one| caller.may_tagged(Action::ReadPolicies, &one.content.scope_tags));
    Ok(all)
}

async fn one(
    app: &App,
    caller: &Caller,
    action: Action,
    named: &str,
) -> Result<EnrollmentConfiguration, Refusal> {
    let all = seen(app, caller).await?;
    let found = all.into_iter().find(|one| {
        let is_named = |id: &str| id.eq_ignore_ascii_case(named);
        is_named(&shown_id(one)) || is_named(&one.id.to_string())
    });
    let found = found.ok_or_else(|| unknown("there is no enrollment configuration of that id"))?;
    match caller.may_tagged(action, &found.content.scope_tags) {
        true => Ok(found),
        false => Err(forbidden()),
    }
}

async fn list(call: Call, query: Query) -> Result<Json<Value>, Refusal> {
    query.expect_expands(&["assignments"])?;
    let all = seen(&call.app, &call.caller).await?;
    let rows = all.iter().map(|one| expanded(one, call.version, &query));
    call.place(PATH).list(&query, rows.collect())
}

fn expanded(one: &EnrollmentConfiguration, version: Version, query: &Query) -> Value {
    let mut told = told(one, version);
    if let (true, Some(fields)) = (query.expands("assignments"), told.as_object_mut()) {
        let assignments = target::written(&shown_id(one), &one.content.assignments);
        fields.insert("assignments".to_owned(), json!(assignments));
    }
    told
}

async fn show(call: Call, query: Query, Path(id): Path<String>) -> Result<Json<Value>, Refusal> {
    query.expect_expands(&["assignments"])?;
    let found = one(&call.app, &call.caller, Action::ReadPolicies, &id).await?;
    Ok(call
        .place(PATH)
        .one(&query, expanded(&found, call.version, &query)))
}

async fn create(call: Call, body: Bytes) -> Result<(StatusCode, Json<Value>), Refusal> {
    let content = content(&object(&body)?, EnrollmentContent::default(), call.version)?;
    let new = enrollment::create(&call.app, &call.caller, content).await?;
    let place = call.place(PATH);
    let told = place.one(&Query::default(), told(&new, call.version));
    Ok((StatusCode::CREATED, told))
}

async fn patch(call: Call, Path(id): Path<String>, body: Bytes) -> Result<Json<Value>, Refusal> {
    let former = one(&call.app, &call.caller, Action::EditPolicies, &id).await?;
    let content = content(&object(&body)?, former.content.clone(), call.version)?;
    let changed = enrollment::change(&call.app, &call.caller, former, content).await?;
    let place = call.place(PATH);
    Ok(place.one(&Query::default(), told(&changed, call.version)))
}

async fn delete(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Refusal> {
    let found = one(&app, &caller, Action::EditPolicies, &id).await?;
    enrollment::delete(&app, &caller, &found).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn assignments(
    call: Call,
    query: Query,
    Path(id): Path<String>,
) -> Result<Json<Value>, Refusal> {
    let found = one(&call.app, &call.caller, Action::ReadPolicies, &id).await?;
    let shown = shown_id(&found);
    let path = format!("{PATH}/{shown}/assignments");
    let place = call.place(&path);
    place.list(&query, target::written(&shown, &found.content.assignments))
}

async fn assign(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<StatusCode, Refusal> {
    let found = one(&app, &caller, Action::EditPolicies, &id).await?;
    let body = Value::Object(object(&body)?);
    let targets = target::read(&body, "enrollmentConfigurationAssignments")?;
    enrollment::assign(&app, &caller, found, targets).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn set_priority(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<StatusCode, Refusal> {
    caller.expect_whole(Action::EditPolicies)?;
    let found = one(&app, &caller, Action::EditPolicies, &id).await?;
    let wanted = object(&body)?.get("priority").and_then(Value::as_u64);
    enrollment::set_priority(&app, &caller, found, wanted).await?;
    Ok(StatusCode::NO_CONTENT)
}
