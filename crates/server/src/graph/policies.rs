//! `deviceManagement/configurationPolicies`: account protection and the settings catalog.

use std::{collections::BTreeSet, sync::Arc};

use axum::{
    Json,
    body::Bytes,
    extract::{Path, State},
    http::StatusCode,
    routing::{get, post},
};
use model::Guid;
use policy::assigned::graph;
use serde_json::{Map, Value, json};
use store::{Policy, PolicyContent};

use super::{call::Call, catalog, expect_known, object, query::Query, target, text};
use crate::{
    admin::caller::{Caller, needs},
    app::App,
    clock::rfc3339,
    error::Refusal,
    policies::edit::{self, DEFAULT_TAG, bad},
    roles::Action,
    routing::Paths,
};

const PATH: &str = "deviceManagement/configurationPolicies";
const TYPE: &str = "microsoft.graph.deviceManagementConfigurationPolicy";

/// What a body may have; what is the server's to say is passed over.
const PROPERTIES: [&str; 14] = [
    "id",
    "name",
    "description",
    "platforms",
    "technologies",
    "createdDateTime",
    "lastModifiedDateTime",
    "settingCount",
    "creationSource",
    "roleScopeTagIds",
    "isAssigned",
    "templateReference",
    "priorityMetaData",
    "settings",
];

/// Where the settings of the catalog can be used.
const PLATFORMS: &str = "windows10";
const TECHNOLOGIES: &str = "mdm";

pub(super) fn routes() -> Paths {
    let read = |methods| needs(Action::ReadPolicies, methods);
    let edit = |methods| needs(Action::EditPolicies, methods);
    Paths::new()
        .route(
            "/deviceManagement/configurationPolicies",
            read(get(list)).merge(edit(post(create))),
        )
        .route(
            "/deviceManagement/configurationPolicies/{id}",
            read(get(show)).merge(edit(
                axum::routing::patch(patch).put(replace).delete(delete),
            )),
        )
        .route(
            "/deviceManagement/configurationPolicies/{id}/settings",
            read(get(settings)),
        )
        .route(
            "/deviceManagement/configurationPolicies/{id}/assignments",
            read(get(assignments)),
        )
        .route(
            "/deviceManagement/configurationPolicies/{id}/assign",
            edit(post(assign)),
        )
        .route(
            "/deviceManagement/configurationPolicies/{id}/createCopy",
            edit(post(copy)),
        )
}

/// A policy as it is told, with what is to be expanded.
fn told(policy: &Policy, query: &Query) -> Value {
    let content = &policy.content;
    let settings = graph::write(&content.values, content.template.as_deref());
    let mut told = json!({
        "id": policy.id,
        "name": content.name,
        "description": content.description,
        "platforms": content.platforms,
        "technologies": content.technologies,
        "createdDateTime": rfc3339(policy.created),
        "lastModifiedDateTime": rfc3339(policy.modified),
        "settingCount": settings.len(),
        "creationSource": null,
        "roleScopeTagIds": tags_told(&content.scope_tags),
        "isAssigned": !content.assignments.is_empty(),
        "templateReference": template_told(content.template.as_deref()),
        "priorityMetaData": null,
    });
    if let Some(fields) = told.as_object_mut() {
        if query.expands("assignments") {
            let assignments = target::written(&policy.id.to_string(), &content.assignments);
            fields.insert("assignments".to_owned(), json!(assignments));
        }
        if query.expands("settings") {
            fields.insert(
                "settings".to_owned(),
                json!(with_definitions(settings, query)),
            );
        }
    }
    told
}

fn template_told(template: Option<&str>) -> Value {
    let known = template.map(catalog::template);
    let word = |name: &str| known.as_ref().and_then(|known| known.get(name).cloned());
    json!({
        "templateId": template.unwrap_or_default(),
        "templateFamily": word("templateFamily").unwrap_or_else(|| json!("none")),
        "templateDisplayName": word("displayName"),
        "templateDisplayVersion": word("displayVersion"),
    })
}

/// Settings, or templates of some, each with the definitions that it names where these are asked for.
pub(super) fn with_definitions(mut settings: Vec<Value>, query: &Query) -> Vec<Value> {
    if !query.expands("settingDefinitions") {
        return settings;
    }
    for setting in &mut settings {
        let mut ids = BTreeSet::new();
        definition_ids(setting, &mut ids);
        let definitions: Vec<_> = ids.iter().filter_map(|id| graph::definition(id)).collect();
        if let Some(fields) = setting.as_object_mut() {
            fields.insert("settingDefinitions".to_owned(), json!(definitions));
        }
    }
    settings
}

fn definition_ids(value: &Value, ids: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::String(id)) = fields.get("settingDefinitionId") {
                ids.insert(id.clone());
            }
            fields.values().for_each(|inner| definition_ids(inner, ids));
        }
        Value::Array(values) => values.iter().for_each(|inner| definition_ids(inner, ids)),
        _ => {}
    }
}

/// Scope tags as Graph names them: the default one is `0`.
pub(super) fn tags_told(tags: &[Guid]) -> Vec<String> {
    let told = |tag: &Guid| match *tag == DEFAULT_TAG {
        true => "0".to_owned(),
        false => tag.to_string(),
    };
    tags.iter().map(told).collect()
}

/// Scope tags of a body; nothing where it names none.
pub(super) fn tags(body: &Map<String, Value>) -> Result<Option<Vec<Guid>>, Refusal> {
    let rows = match body.get("roleScopeTagIds") {
        None | Some(Value::Null) => return Ok(None),
        Some(rows) => rows.as_array(),
    };
    let rows = rows.ok_or_else(|| bad("roleScopeTagIds is a list of ids."))?;
    let tag = |row: &Value| match row.as_str() {
        Some("0") => Ok(DEFAULT_TAG),
        Some(id) => id
            .parse()
            .map_err(|_| bad(&format!("there is no scope tag {id:?} (roleScopeTags)."))),
        None => Err(bad("roleScopeTagIds is a list of ids.")),
    };
    rows.iter().map(tag).collect::<Result<_, _>>().map(Some)
}

/// What stands in a body over `former`: what is absent stays as it is.
fn content(body: &Map<String, Value>, former: PolicyContent) -> Result<PolicyContent, Refusal> {
    expect_known(body, TYPE, |name| {
        PROPERTIES.contains(&name) || name == "assignments"
    })?;
    let mut content = former;
    if let Some(name) = text(body, "name")? {
        content.name = name;
    }
    if let Some(description) = text(body, "description")? {
        content.description = description;
    }
    for (name, offered) in [("platforms", PLATFORMS), ("technologies", TECHNOLOGIES)] {
        let flags = text(body, name)?;
        let mut flags = flags.iter().flat_map(|flags| flags.split(','));
        if let Some(other) = flags.find(|flag| flag.trim() != offered) {
            return Err(bad(&format!(
                "{name} is {offered} for every setting there is, and not {other:?}."
            )));
        }
    }
    if let Some(tags) = tags(body)? {
        content.scope_tags = tags;
    }
    let template = body.get("templateReference").filter(|one| !one.is_null());
    if let Some(template) = template {
        let id = template.get("templateId").and_then(Value::as_str);
        content.template = catalog::template_id(id.unwrap_or_default())?;
    }
    if let Some(settings) = body.get("settings").filter(|settings| !settings.is_null()) {
        content.values = graph::read(settings, content.template.as_deref())
            .map_err(|why| bad(&why.to_string()))?;
    }
    Ok(content)
}

fn empty() -> PolicyContent {
    PolicyContent {
        name: String::new(),
        description: String::new(),
        template: None,
        platforms: PLATFORMS.to_owned(),
        technologies: TECHNOLOGIES.to_owned(),
        scope_tags: Vec::new(),
        values: Vec::new(),
        assignments: Vec::new(),
    }
}

fn id_of(text: &str) -> Result<Guid, Refusal> {
    text.parse()
        .map_err(|_| crate::admin::find::unknown("there is no policy of that id"))
}

/// What may be expanded.
const EXPANDED: [&str; 3] = ["assignments", "settings", "settingDefinitions"];

async fn list(call: Call, query: Query) -> Result<Json<Value>, Refusal> {
    query.expect_expands(&EXPANDED)?;
    let policies = edit::seen(&call.app, &call.caller).await?;
    let rows = policies.iter().map(|policy| told(policy, &query));
    call.place(PATH).list(&query, rows.collect())
}

async fn create(call: Call, body: Bytes) -> Result<(StatusCode, Json<Value>), Refusal> {
    let body = object(&body)?;
    if !body.contains_key("settings") {
        return Err(bad("settings: a list is wanted."));
    }
    let mut content = content(&body, empty())?;
    if body.get("assignments").is_some_and(|all| !all.is_null()) {
        content.assignments = target::read(&Value::Object(body), "assignments")?;
    }
    let policy = edit::create(&call.app, &call.caller, content).await?;
    let query = Query::default();
    let told = call.place(PATH).one(&query, told(&policy, &query));
    Ok((StatusCode::CREATED, told))
}

async fn show(call: Call, query: Query, Path(id): Path<String>) -> Result<Json<Value>, Refusal> {
    query.expect_expands(&EXPANDED)?;
    let policy = edit::one(&call.app, &call.caller, Action::ReadPolicies, id_of(&id)?).await?;
    Ok(call.place(PATH).one(&query, told(&policy, &query)))
}

async fn changed(app: &App, caller: &Caller, id: &str, body: &[u8]) -> Result<Policy, Refusal> {
    let policy = edit::one(app, caller, Action::EditPolicies, id_of(id)?).await?;
    let body = object(body)?;
    let content = content(&body, policy.content.clone())?;
    if content.template != policy.content.template {
        return Err(bad("templateReference cannot be changed."));
    }
    edit::change(app, caller, &policy, content).await
}

async fn patch(call: Call, Path(id): Path<String>, body: Bytes) -> Result<Json<Value>, Refusal> {
    let policy = changed(&call.app, &call.caller, &id, &body).await?;
    let query = Query::default();
    Ok(call.place(PATH).one(&query, told(&policy, &query)))
}

/// `PUT`, as the original's page changes settings.
async fn replace(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<StatusCode, Refusal> {
    changed(&app, &caller, &id, &body).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn delete(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Refusal> {
    let policy = edit::one(&app, &caller, Action::EditPolicies, id_of(&id)?).await?;
    edit::delete(&app, &caller, &policy).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn settings(
    call: Call,
    query: Query,
    Path(id): Path<String>,
) -> Result<Json<Value>, Refusal> {
    query.expect_expands(&EXPANDED)?;
    let policy = edit::one(&call.app, &call.caller, Action::ReadPolicies, id_of(&id)?).await?;
    let content = &policy.content;
    let settings = graph::write(&content.values, content.template.as_deref());
    let rows = with_definitions(settings, &query);
    let path = format!("{PATH}/{}/settings", policy.id);
    let place = call.place(&path);
    place.list(&query, rows)
}

fn assignments_of(call: &Call, policy: &Policy, query: &Query) -> Result<Json<Value>, Refusal> {
    let rows = target::written(&policy.id.to_string(), &policy.content.assignments);
    let path = format!("{PATH}/{}/assignments", policy.id);
    call.place(&path).list(query, rows)
}

async fn assignments(
    call: Call,
    query: Query,
    Path(id): Path<String>,
) -> Result<Json<Value>, Refusal> {
    query.expect_expands(&EXPANDED)?;
    let policy = edit::one(&call.app, &call.caller, Action::ReadPolicies, id_of(&id)?).await?;
    assignments_of(&call, &policy, &query)
}

async fn assign(call: Call, Path(id): Path<String>, body: Bytes) -> Result<Json<Value>, Refusal> {
    let policy = edit::one(&call.app, &call.caller, Action::EditPolicies, id_of(&id)?).await?;
    let content = PolicyContent {
        assignments: target::read(&Value::Object(object(&body)?), "assignments")?,
        ..policy.content.clone()
    };
    let policy = edit::change(&call.app, &call.caller, &policy, content).await?;
    assignments_of(&call, &policy, &Query::default())
}

/// `createCopy`: the same settings for nobody yet.
async fn copy(call: Call, Path(id): Path<String>, body: Bytes) -> Result<Json<Value>, Refusal> {
    let policy = edit::one(&call.app, &call.caller, Action::ReadPolicies, id_of(&id)?).await?;
    let body = object(&body)?;
    let content = PolicyContent {
        name: text(&body, "displayName")?
            .unwrap_or_else(|| format!("{} - Copy", policy.content.name)),
        description: text(&body, "description")?.unwrap_or(policy.content.description),
        assignments: Vec::new(),
        ..policy.content
    };
    let policy = edit::create(&call.app, &call.caller, content).await?;
    let query = Query::default();
    Ok(call.place(PATH).one(&query, told(&policy, &query)))
}
