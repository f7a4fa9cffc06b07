//! Roles: who holds which, and the scope tags that limit them.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{Path, State},
    http::StatusCode,
    routing::{get, put},
};
use model::Guid;
use serde::Deserialize;
use serde_json::json;
use store::{Role, RoleAssignment, ScopeTag};

use super::{
    caller::{Caller, needs},
    find::{self, unknown},
    listing::Rows,
    malformed, stored,
};
use crate::{
    app::App,
    error::{Refusal, read_json},
    roles::Action,
    routing::Paths,
};

const MAX_TEXT: usize = 256;

/// The most tags of one role.
const MAX_TAGS: usize = 50;

pub(super) fn routes() -> Paths {
    Paths::new()
        .route("/roles", needs(Action::ReadTenant, get(list)))
        .route(
            "/roles/{role}/{principal}",
            needs(Action::ManageTenant, put(assign).delete(withdraw)),
        )
        .route("/scope-tags", needs(Action::ReadTenant, get(list_tags)))
        .route(
            "/scope-tags/{group}",
            needs(Action::ManageTenant, put(put_tag).delete(delete_tag)),
        )
}

async fn list(State(app): State<Arc<App>>, caller: Caller) -> Result<Rows, Refusal> {
    caller.expect_whole(Action::ReadTenant)?;
    let tags = app.store.scope_tags(app.tenant.id).await?;
    let mut rows = Vec::new();
    for given in app.store.role_assignments(app.tenant.id).await? {
        let name = |id: &Guid| {
            let tag = tags.iter().find(|tag| tag.id == *id);
            tag.map_or_else(|| id.to_string(), |tag| tag.name.clone())
        };
        let scope_tags: Vec<_> = given.scope_tags.iter().map(name).collect();
        rows.push(json!({
            "role": given.role,
            "principal": find::name_of(&app, given.principal).await?,
            "guid": given.principal,
            "scope_tags": scope_tags,
        }));
    }
    Ok(Rows::all(rows))
}

fn role(word: &str) -> Result<Role, Refusal> {
    Role::of(word)
        .ok_or_else(|| unknown("the roles are global, policy, authentication, helpdesk and reader"))
}

/// `PUT /roles/{role}/{principal}`: the names or ids of scope tags; none is the whole tenant.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Limited {
    scope_tags: Vec<String>,
}

async fn assign(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path((word, named)): Path<(String, String)>,
    body: Bytes,
) -> Result<StatusCode, Refusal> {
    caller.expect_whole(Action::ManageTenant)?;
    let role = role(&word)?;
    let limited: Limited = match body.is_empty() {
        true => Limited::default(),
        false => read_json(&body)?,
    };
    if limited.scope_tags.len() > MAX_TAGS {
        return Err(malformed("more than 50 scope tags"));
    }
    let known = app.store.scope_tags(app.tenant.id).await?;
    let mut scope_tags = Vec::new();
    for wanted in &limited.scope_tags {
        let tag = known
            .iter()
            .find(|tag| tag.name.eq_ignore_ascii_case(wanted) || wanted.parse() == Ok(tag.id))
            .ok_or_else(|| unknown("there is no scope tag of that name (scope-tag add)"))?;
        scope_tags.push(tag.id);
    }
    let (principal, name) = find::principal(&app, &named).await?;
    let limits = match limited.scope_tags.as_slice() {
        [] => String::new(),
        tags => format!(" within {}", tags.join(", ")),
    };
    let audit = caller.audit(&app, "role.assign", &format!("{word} to {name}{limits}"));
    let assignment = RoleAssignment {
        principal,
        role,
        scope_tags,
    };
    app.store
        .assign_role(app.tenant.id, assignment, audit)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn withdraw(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path((word, named)): Path<(String, String)>,
) -> Result<StatusCode, Refusal> {
    caller.expect_whole(Action::ManageTenant)?;
    let role = role(&word)?;
    let (principal, name) = find::principal(&app, &named).await?;
    let audit = caller.audit(&app, "role.withdraw", &format!("{word} from {name}"));
    match app
        .store
        .withdraw_role(app.tenant.id, principal, role, audit)
        .await?
    {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(unknown("this role was not given")),
    }
}

async fn list_tags(State(app): State<Arc<App>>, caller: Caller) -> Result<Rows, Refusal> {
    caller.expect_whole(Action::ReadTenant)?;
    let tags = app.store.scope_tags(app.tenant.id).await?;
    Ok(Rows::all(tags.into_iter().map(
        |tag| json!({ "name": tag.name, "group": tag.id, "description": tag.description }),
    )))
}

/// `PUT /scope-tags/{group}`: the tag covers the members of that group.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct NewTag {
    name: Option<String>,
    description: String,
}

async fn put_tag(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(named): Path<String>,
    body: Bytes,
) -> Result<StatusCode, Refusal> {
    caller.expect_whole(Action::ManageTenant)?;
    let new: NewTag = match body.is_empty() {
        true => NewTag::default(),
        false => read_json(&body)?,
    };
    let group = find::group(&app, &named).await?;
    let name = new.name.unwrap_or_else(|| group.name.clone());
    if name.is_empty() || name.len() > MAX_TEXT || new.description.len() > MAX_TEXT {
        return Err(malformed("a text is empty, or longer than 256 bytes"));
    }
    let audit = caller.audit(&app, "scope_tag.put", &format!("{name} for {}", group.name));
    let tag = ScopeTag {
        id: group.guid,
        name,
        description: new.description,
    };
    app.store.put_scope_tag(app.tenant.id, tag, audit).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn delete_tag(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(named): Path<String>,
) -> Result<StatusCode, Refusal> {
    caller.expect_whole(Action::ManageTenant)?;
    // The group may be gone.
    let id = match named.parse() {
        Ok(id) => id,
        Err(_) => find::group(&app, &named).await?.guid,
    };
    let audit = caller.audit(&app, "scope_tag.delete", &named);
    match stored(app.store.delete_scope_tag(app.tenant.id, id, audit).await)? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(unknown("this group is no scope tag")),
    }
}
