//! What policies are made of: definitions of settings, their categories, the template of account
//! protection, and the scope tags that policies carry.

use std::sync::LazyLock;

use axum::{Json, extract::Path, routing::get};
use policy::assigned::graph;
use serde_json::{Value, json};

use super::{call::Call, policies::with_definitions, query::Query};
use crate::{
    admin::{
        caller::{Caller, needs},
        find::unknown,
    },
    app::App,
    error::Refusal,
    policies::edit::bad,
    roles::Action,
    routing::Paths,
};

/// The definitions, made once: some hundred kilobytes.
static DEFINITIONS: LazyLock<Vec<Value>> = LazyLock::new(graph::definitions);

pub(super) fn routes() -> Paths {
    let read = |methods| needs(Action::ReadPolicies, methods);
    let mut paths = Paths::new();
    for (path, what) in [
        ("configurationSettings", What::Settings),
        ("configurationCategories", What::Categories),
        ("configurationPolicyTemplates", What::Templates),
        ("roleScopeTags", What::ScopeTags),
    ] {
        let all = move |call, query| list(what, call, query);
        let one = move |call, query, id| show(what, call, query, id);
        paths = paths
            .route(&format!("/deviceManagement/{path}"), read(get(all)))
            .route(&format!("/deviceManagement/{path}/{{id}}"), read(get(one)));
    }
    paths
        .route(
            "/deviceManagement/configurationPolicyTemplates/{id}/settingTemplates",
            read(get(setting_templates)),
        )
        .route(
            "/deviceManagement/configurationPolicyTemplates/{id}/settingTemplates/{template}",
            read(get(setting_template)),
        )
}

/// What is listed.
#[derive(Debug, Clone, Copy)]
enum What {
    Settings,
    Categories,
    Templates,
    ScopeTags,
}

impl What {
    fn path(self) -> &'static str {
        match self {
            Self::Settings => "deviceManagement/configurationSettings",
            Self::Categories => "deviceManagement/configurationCategories",
            Self::Templates => "deviceManagement/configurationPolicyTemplates",
            Self::ScopeTags => "deviceManagement/roleScopeTags",
        }
    }

    async fn rows(self, app: &App, caller: &Caller) -> Result<Vec<Value>, Refusal> {
        Ok(match self {
            Self::Settings => DEFINITIONS.clone(),
            Self::Categories => graph::categories(),
            Self::Templates => vec![template(graph::ACCOUNT_PROTECTION)],
            Self::ScopeTags => scope_tags(app, caller).await?,
        })
    }
}

/// A template as it is told.
pub(super) fn template(id: &str) -> Value {
    let base = id.rsplit_once('_').map_or(id, |(base, _)| base);
    json!({
        "id": id,
        "baseId": base,
        "version": 1,
        "displayName": "Account Protection",
        "displayVersion": "Version 1",
        "description": "Windows Hello for Business for devices and users.",
        "lifecycleState": "active",
        "platforms": "windows10",
        "technologies": "mdm",
        "templateFamily": "endpointSecurityAccountProtection",
        "allowUnmanagedSettings": false,
        "disableEntraGroupPolicyAssignment": false,
        "settingTemplateCount": graph::setting_templates().len(),
    })
}

/// The template that a policy names; nothing where it is made from none.
pub(super) fn template_id(id: &str) -> Result<Option<String>, Refusal> {
    match id {
        "" => Ok(None),
        graph::ACCOUNT_PROTECTION => Ok(Some(id.to_owned())),
        other => Err(bad(&format!(
            "there is no template {other:?}; that of account protection is {}.",
            graph::ACCOUNT_PROTECTION
        ))),
    }
}

/// The tags that the caller may know of: all, or those that limit its roles.
async fn scope_tags(app: &App, caller: &Caller) -> Result<Vec<Value>, Refusal> {
    let limits = caller.tags_for(Action::ReadPolicies);
    let default = json!({
        "id": "0",
        "displayName": "Default",
        "description": "",
        "isBuiltIn": true,
    });
    let known = app.store.scope_tags(app.tenant.id).await?;
    let own = known
        .into_iter()
        .filter(|tag| limits.is_empty() || limits.contains(&tag.id))
        .map(|tag| {
            json!({
                "id": tag.id,
                "displayName": tag.name,
                "description": tag.description,
                "isBuiltIn": false,
            })
        });
    let default = limits.is_empty().then_some(default);
    Ok(default.into_iter().chain(own).collect())
}

async fn list(what: What, call: Call, query: Query) -> Result<Json<Value>, Refusal> {
    query.expect_expands(&[])?;
    let rows = what.rows(&call.app, &call.caller).await?;
    call.place(what.path()).list(&query, rows)
}

async fn show(
    what: What,
    call: Call,
    query: Query,
    Path(id): Path<String>,
) -> Result<Json<Value>, Refusal> {
    let rows = what.rows(&call.app, &call.caller).await?;
    Ok(call.place(what.path()).one(&query, by_id(rows, &id)?))
}

fn by_id(rows: Vec<Value>, id: &str) -> Result<Value, Refusal> {
    let found = rows.into_iter().find(|row| {
        let own = row.get("id").and_then(Value::as_str);
        own.is_some_and(|own| own.eq_ignore_ascii_case(id))
    });
    found.ok_or_else(|| unknown("there is nothing of that id"))
}

/// What the template of that id is made of, and where that stands.
fn parts(id: &str, query: &Query) -> Result<(Vec<Value>, String), Refusal> {
    query.expect_expands(&["settingDefinitions"])?;
    let id = match template_id(id) {
        Ok(Some(id)) => id,
        _ => return Err(unknown("there is nothing of that id")),
    };
    let rows = with_definitions(graph::setting_templates(), query);
    let path = format!("{}/{id}/settingTemplates", What::Templates.path());
    Ok((rows, path))
}

async fn setting_templates(
    call: Call,
    query: Query,
    Path(id): Path<String>,
) -> Result<Json<Value>, Refusal> {
    let (rows, path) = parts(&id, &query)?;
    call.place(&path).list(&query, rows)
}

async fn setting_template(
    call: Call,
    query: Query,
    Path((id, template)): Path<(String, String)>,
) -> Result<Json<Value>, Refusal> {
    let (rows, path) = parts(&id, &query)?;
    Ok(call.place(&path).one(&query, by_id(rows, &template)?))
}
