//! Policies in the words of the command line: settings by their names, groups by theirs.
//!
//! The form of a policy here is that of its file, too: what is exported on one server is imported on
//! another, whose groups have other ids.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use axum::{
    Json,
    body::Bytes,
    extract::{Path, Query, State},
    http::StatusCode,
    routing::{get, post, put},
};
use model::Guid;
use policy::{
    assigned::{Given, Target, graph, profile},
    settings::{self, Scope},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::{FormerPolicy, Policy, PolicyContent};

use super::{
    caller::{Caller, needs},
    find::{self, unknown},
    listing::{Asked, Rows},
    malformed,
};
use crate::{
    app::App,
    error::{Refusal, read_json},
    policies::edit::{self, DEFAULT_TAG},
    roles::Action,
    routing::Paths,
};

/// The word for the template of account protection.
const ACCOUNT_PROTECTION: &str = "account-protection";

pub(super) fn routes() -> Paths {
    let read = |methods| needs(Action::ReadPolicies, methods);
    let edit = |methods| needs(Action::EditPolicies, methods);
    Paths::new()
        .route("/policies", read(get(list)).merge(edit(post(create))))
        .route("/policies/import", edit(post(import)))
        .route(
            "/policies/{policy}",
            read(get(show)).merge(edit(put(change).delete(delete))),
        )
        .route("/policies/{policy}/file", read(get(file)))
        .route("/policies/{policy}/copy", edit(post(copy)))
        .route("/policies/{policy}/history", read(get(history)))
        .route("/policy-settings", read(get(catalog)))
}

/// What a policy can set, and to what.
async fn catalog() -> Json<Vec<Value>> {
    let settable = settings::SETTINGS.iter().filter_map(|setting| {
        let scopes = match setting.csp?.user {
            true => &[Scope::Device, Scope::User][..],
            false => &[Scope::Device],
        };
        Some(json!({
            "setting": setting.id,
            "scopes": scopes,
            "values": setting.range(),
            "default": setting.default,
            "name": setting.name,
        }))
    });
    Json(settable.collect())
}

/// One value by its names.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SettingIn {
    setting: String,
    #[serde(default = "device")]
    scope: Scope,
    /// Nothing takes it out.
    value: Option<String>,
}

fn device() -> Scope {
    Scope::Device
}

/// One target by its name.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum TargetIn {
    AllUsers,
    AllDevices,
    Group(String),
    NotGroup(String),
}

/// A policy as it is written in a file, or what is to be other about one.
#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct PolicyIn {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    template: Option<String>,
    /// Names or ids; `default` is the one of whatever carries no other.
    #[serde(skip_serializing_if = "Option::is_none")]
    scope_tags: Option<Vec<String>>,
    /// All values.
    #[serde(skip_serializing_if = "Option::is_none")]
    settings: Option<Vec<SettingIn>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    assignments: Option<Vec<TargetIn>>,
    /// Values over those that are there.
    #[serde(skip_serializing)]
    change: Vec<SettingIn>,
    /// The same in the words of the account protection page, in the tree `chosen_for`.
    #[serde(skip_serializing)]
    chosen: BTreeMap<String, String>,
    #[serde(skip_serializing)]
    chosen_for: Option<Scope>,
}

/// A policy of that id, or of that name if only one has it.
pub(super) async fn found(
    app: &App,
    caller: &Caller,
    action: Action,
    named: &str,
) -> Result<Policy, Refusal> {
    let id = match named.parse() {
        Ok(id) => id,
        Err(_) => {
            let mut same = edit::seen(app, caller).await?;
            same.retain(|policy| policy.content.name.to_lowercase() == named.to_lowercase());
            match same.as_slice() {
                [one] => one.id,
                [] => return Err(unknown("there is no policy of that name")),
                _ => return Err(unknown("two policies are called so: name it by its id")),
            }
        }
    };
    edit::one(app, caller, action, id).await
}

async fn read(app: &App, body: PolicyIn, former: PolicyContent) -> Result<PolicyContent, Refusal> {
    let mut content = former;
    if let Some(name) = body.name {
        content.name = name;
    }
    if let Some(description) = body.description {
        content.description = description;
    }
    if let Some(template) = body.template {
        content.template = match template.as_str() {
            ACCOUNT_PROTECTION => Some(graph::ACCOUNT_PROTECTION.to_owned()),
            "" | "catalog" => None,
            _ => {
                return Err(malformed(
                    "the templates are account-protection and catalog",
                ));
            }
        };
    }
    if let Some(tags) = body.scope_tags {
        content.scope_tags = read_tags(app, &tags).await?;
    }
    if let Some(settings) = &body.settings {
        expect_once(settings)?;
        content.values.clear();
        change_values(&mut content, settings)?;
    }
    change_values(&mut content, &body.change)?;
    if !body.chosen.is_empty() {
        let scope = body.chosen_for.unwrap_or(Scope::Device);
        choose(&mut content, scope, &body.chosen)?;
    }
    if let Some(assignments) = &body.assignments {
        content.assignments = read_targets(app, assignments).await?;
    }
    Ok(content)
}

/// Whether a list of all values has each node once: which of two counts would be the reader's guess.
fn expect_once(settings: &[SettingIn]) -> Result<(), Refusal> {
    let mut seen = BTreeSet::new();
    for one in settings {
        let name = &one.setting;
        if !seen.insert((name, one.scope)) {
            return Err(malformed(&format!("{name} is there twice")));
        }
    }
    Ok(())
}

fn change_values(content: &mut PolicyContent, changes: &[SettingIn]) -> Result<(), Refusal> {
    let bad = |sentence: String| malformed(&sentence);
    for change in changes {
        let name = &change.setting;
        let setting =
            settings::by_id(name).ok_or_else(|| bad(format!("there is no setting {name:?}")))?;
        if content.template.is_some() && !profile::has(setting, change.scope) {
            return Err(bad(format!(
                "{name} is not in the account protection profile; use the settings catalog"
            )));
        }
        content
            .values
            .retain(|given| given.setting.id != setting.id || given.scope != change.scope);
        if let Some(value) = &change.value {
            let value = setting.parse(value).map_err(|why| bad(why.to_string()))?;
            let given = Given::new(setting, change.scope, value);
            content
                .values
                .push(given.map_err(|why| bad(why.to_string()))?);
        }
    }
    Ok(())
}

/// Fills the account protection page in, over what it shows already.
fn choose(
    content: &mut PolicyContent,
    scope: Scope,
    chosen: &BTreeMap<String, String>,
) -> Result<(), Refusal> {
    if content.template.as_deref() != Some(graph::ACCOUNT_PROTECTION) {
        return Err(malformed("only an account protection policy has that page"));
    }
    let choices = profile::choices(scope);
    let mut page: BTreeMap<String, String> = BTreeMap::new();
    for choice in &choices {
        let is_it = |given: &&Given| given.setting.id == choice.setting.id && given.scope == scope;
        if let Some(given) = content.values.iter().find(is_it) {
            page.insert(choice.label.to_owned(), choice.show(&given.value));
        }
    }
    for (label, value) in chosen {
        page.retain(|known, _| !known.eq_ignore_ascii_case(label));
        page.insert(label.clone(), value.clone());
    }
    let page = page
        .iter()
        .map(|(label, value)| (label.as_str(), value.as_str()));
    let filled = profile::fill(scope, page).map_err(|why| malformed(&why.to_string()))?;
    content.values.retain(|given| given.scope != scope);
    content.values.extend(filled);
    Ok(())
}

async fn read_tags(app: &App, names: &[String]) -> Result<Vec<Guid>, Refusal> {
    let known = app.store.scope_tags(app.tenant.id).await?;
    let tag = |name: &String| {
        if matches!(name.as_str(), "0" | "default") {
            return Ok(DEFAULT_TAG);
        }
        let is_it = |tag: &&store::ScopeTag| {
            tag.name.eq_ignore_ascii_case(name) || name.parse() == Ok(tag.id)
        };
        let found = known.iter().find(is_it).map(|tag| tag.id);
        found.ok_or_else(|| unknown("there is no scope tag of that name (scope-tag add)"))
    };
    names.iter().map(tag).collect()
}

pub(super) async fn read_targets(app: &App, targets: &[TargetIn]) -> Result<Vec<Target>, Refusal> {
    let mut read = Vec::new();
    for target in targets {
        read.push(match target {
            TargetIn::AllUsers => Target::AllUsers,
            TargetIn::AllDevices => Target::AllDevices,
            TargetIn::Group(name) => Target::Group(find::group(app, name).await?.guid),
            TargetIn::NotGroup(name) => Target::NotGroup(find::group(app, name).await?.guid),
        });
    }
    Ok(read)
}

/// The form of the file.
async fn written(app: &App, content: &PolicyContent) -> Result<PolicyIn, Refusal> {
    let known = app.store.scope_tags(app.tenant.id).await?;
    let tag = |id: &Guid| match known.iter().find(|tag| tag.id == *id) {
        _ if *id == DEFAULT_TAG => "default".to_owned(),
        Some(tag) => tag.name.clone(),
        None => id.to_string(),
    };
    // By name: ids are others on another server, and a file is the same wherever it comes from.
    let mut scope_tags: Vec<String> = content.scope_tags.iter().map(tag).collect();
    scope_tags.sort();
    let setting = |given: &Given| SettingIn {
        setting: given.setting.id.to_owned(),
        scope: given.scope,
        value: Some(given.text()),
    };
    let mut assignments = Vec::new();
    for target in &content.assignments {
        assignments.push(match target {
            Target::AllUsers => TargetIn::AllUsers,
            Target::AllDevices => TargetIn::AllDevices,
            Target::Group(group) => TargetIn::Group(find::name_of(app, *group).await?),
            Target::NotGroup(group) => TargetIn::NotGroup(find::name_of(app, *group).await?),
        });
    }
    Ok(PolicyIn {
        name: Some(content.name.clone()),
        description: Some(content.description.clone()),
        template: Some(template_word(content).to_owned()),
        scope_tags: Some(scope_tags),
        settings: Some(content.values.iter().map(setting).collect()),
        assignments: Some(assignments),
        ..PolicyIn::default()
    })
}

fn template_word(content: &PolicyContent) -> &'static str {
    match content.template {
        Some(_) => ACCOUNT_PROTECTION,
        None => "catalog",
    }
}

/// `min-pin-length = 8`, with whose tree where it is the user's.
fn in_words(content: &PolicyContent) -> Vec<String> {
    let word = |given: &Given| {
        let value = given.setting.describe(&given.value);
        match given.scope {
            Scope::Device => format!("{} = {value}", given.setting.id),
            Scope::User => format!("{} (user) = {value}", given.setting.id),
        }
    };
    content.values.iter().map(word).collect()
}

/// Whom something is for.
pub(super) async fn targets_in_words(
    app: &App,
    targets: &[Target],
) -> Result<Vec<String>, Refusal> {
    let mut words = Vec::new();
    for target in targets {
        words.push(match target {
            Target::AllUsers => "all users".to_owned(),
            Target::AllDevices => "all devices".to_owned(),
            Target::Group(group) => find::name_of(app, *group).await?,
            Target::NotGroup(group) => format!("not {}", find::name_of(app, *group).await?),
        });
    }
    Ok(words)
}

async fn told(app: &App, policy: &Policy) -> Result<Value, Refusal> {
    let content = &policy.content;
    Ok(json!({
        "policy": policy.id,
        "name": content.name,
        "description": content.description,
        "template": template_word(content),
        "settings": in_words(content),
        "assigned": targets_in_words(app, &content.assignments).await?,
        "scope_tags": written(app, content).await?.scope_tags,
        "version": policy.version,
        "created": policy.created,
        "modified": policy.modified,
        "modified_by": policy.modified_by,
    }))
}

async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    Query(asked): Query<Asked>,
) -> Result<Rows, Refusal> {
    let prefix = asked.page()?.prefix.to_lowercase();
    let mut rows = Vec::new();
    for policy in edit::seen(&app, &caller).await? {
        if policy.content.name.to_lowercase().starts_with(&prefix) {
            rows.push(told(&app, &policy).await?);
        }
    }
    Ok(Rows::all(rows))
}

async fn show(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(named): Path<String>,
) -> Result<Json<Value>, Refusal> {
    let policy = found(&app, &caller, Action::ReadPolicies, &named).await?;
    Ok(Json(told(&app, &policy).await?))
}

async fn file(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(named): Path<String>,
) -> Result<Json<Value>, Refusal> {
    let policy = found(&app, &caller, Action::ReadPolicies, &named).await?;
    let file = written(&app, &policy.content).await?;
    Ok(Json(serde_json::to_value(file)?))
}

fn empty() -> PolicyContent {
    PolicyContent {
        name: String::new(),
        description: String::new(),
        template: None,
        platforms: "windows10".to_owned(),
        technologies: "mdm".to_owned(),
        scope_tags: Vec::new(),
        values: Vec::new(),
        assignments: Vec::new(),
    }
}

async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    body: Bytes,
) -> Result<Json<Value>, Refusal> {
    caller.expect(Action::EditPolicies)?;
    let content = read(&app, read_json(&body)?, empty()).await?;
    let policy = edit::create(&app, &caller, content).await?;
    Ok(Json(told(&app, &policy).await?))
}

async fn change(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(named): Path<String>,
    body: Bytes,
) -> Result<Json<Value>, Refusal> {
    let policy = found(&app, &caller, Action::EditPolicies, &named).await?;
    let content = read(&app, read_json(&body)?, policy.content.clone()).await?;
    if content.template != policy.content.template {
        return Err(malformed(
            "a policy keeps the template that it was made from",
        ));
    }
    let policy = edit::change(&app, &caller, &policy, content).await?;
    Ok(Json(told(&app, &policy).await?))
}

/// Makes the policy of a file, or makes the one of its name what the file says.
async fn import(
    State(app): State<Arc<App>>,
    caller: Caller,
    body: Bytes,
) -> Result<Json<Value>, Refusal> {
    caller.expect(Action::EditPolicies)?;
    let body: PolicyIn = read_json(&body)?;
    let name = body.name.clone().unwrap_or_default();
    let content = read(&app, body, empty()).await?;
    let same = edit::seen(&app, &caller).await?;
    let is_there = same
        .iter()
        .any(|policy| policy.content.name.to_lowercase() == name.to_lowercase());
    let policy = match is_there {
        false => edit::create(&app, &caller, content).await?,
        true => {
            let policy = found(&app, &caller, Action::EditPolicies, &name).await?;
            if content.template != policy.content.template {
                return Err(malformed(
                    "the policy of that name is made from another template",
                ));
            }
            edit::change(&app, &caller, &policy, content).await?
        }
    };
    Ok(Json(told(&app, &policy).await?))
}

/// `POST …/copy`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    name: String,
}

async fn copy(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(named): Path<String>,
    body: Bytes,
) -> Result<Json<Value>, Refusal> {
    let policy = found(&app, &caller, Action::ReadPolicies, &named).await?;
    let Named { name } = read_json(&body)?;
    let content = PolicyContent {
        name,
        assignments: Vec::new(),
        ..policy.content
    };
    let policy = edit::create(&app, &caller, content).await?;
    Ok(Json(told(&app, &policy).await?))
}

/// `?yes=1`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Confirmed {
    yes: u32,
}

/// Without the word, it is told what would be no more.
async fn delete(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(named): Path<String>,
    Query(confirmed): Query<Confirmed>,
) -> Result<StatusCode, Refusal> {
    let policy = found(&app, &caller, Action::EditPolicies, &named).await?;
    if confirmed.yes != 1 {
        let content = &policy.content;
        let targets = targets_in_words(&app, &content.assignments).await?;
        let sentence = format!(
            "{:?} sets {}, for {}. Without it, these are as other policies or the devices' own \
             defaults have them. Repeat it with --yes",
            content.name,
            listed(&in_words(content), "nothing"),
            listed(&targets, "nobody"),
        );
        return Err(Refusal::own(
            StatusCode::CONFLICT,
            "confirmation_required",
            &sentence,
        ));
    }
    edit::delete(&app, &caller, &policy).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn listed(words: &[String], none: &str) -> String {
    match words {
        [] => none.to_owned(),
        words => words.join(", "),
    }
}

async fn history(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(named): Path<String>,
) -> Result<Rows, Refusal> {
    let policy = found(&app, &caller, Action::ReadPolicies, &named).await?;
    let former = app.store.former_policies(app.tenant.id, policy.id).await?;
    let now = FormerPolicy {
        version: policy.version,
        content: policy.content,
        modified: policy.modified,
        modified_by: policy.modified_by,
    };
    let mut rows = Vec::new();
    for one in [now].iter().chain(&former) {
        rows.push(json!({
            "version": one.version,
            "modified": one.modified,
            "modified_by": one.modified_by,
            "name": one.content.name,
            "settings": in_words(&one.content),
            "assigned": targets_in_words(&app, &one.content.assignments).await?,
        }));
    }
    Ok(Rows::all(rows))
}
