//! Groups: a directory's to look at, the server's own to make, fill and delete.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::{Path, Query, State},
    http::StatusCode,
    routing::{get, post, put},
};
use model::Guid;
use serde::Deserialize;
use serde_json::{Value, json};
use store::{Group, GroupKind};

use super::{
    caller::{Caller, needs},
    find::{self, unknown},
    listing::{Asked, Rows},
    malformed, stored,
};
use crate::{
    accounts,
    app::App,
    error::{Refusal, read_json},
    random,
    roles::Action,
    routing::Paths,
};

const MAX_NAME: usize = 256;

pub(super) fn routes() -> Paths {
    Paths::new()
        .route(
            "/groups",
            needs(Action::Read, get(list)).merge(needs(Action::ManageGroups, post(create))),
        )
        .route(
            "/groups/{group}",
            needs(Action::Read, get(show))
                .merge(needs(Action::ManageGroups, put(rename).delete(remove))),
        )
        .route("/groups/{group}/members", needs(Action::Read, get(members)))
        .route(
            "/groups/{group}/members/{member}",
            needs(Action::ManageGroups, put(put_in).delete(take_out)),
        )
}

async fn told(app: &App, group: &Group) -> Result<Value, store::Error> {
    let members = app.store.count_members(app.tenant.id, group.guid).await?;
    let (kind, sid, dn) = match &group.kind {
        GroupKind::Synced { sid, dn, .. } => ("synced", Some(sid), Some(dn)),
        GroupKind::Own => ("own", None, None),
    };
    Ok(json!({
        "name": group.name,
        "kind": kind,
        "members": members,
        "sid": sid,
        "guid": group.guid,
        "dn": dn,
    }))
}

async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    Query(asked): Query<Asked>,
) -> Result<Rows, Refusal> {
    let listing = app.store.groups(app.tenant.id, asked.page()?).await?;
    let seen = caller.seen(&app, listing, |group| group.guid).await?;
    let mut rows = Vec::new();
    for group in &seen.rows {
        rows.push(told(&app, group).await?);
    }
    let next = seen.next;
    Ok(Rows { rows, next })
}

async fn show(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(named): Path<String>,
) -> Result<Json<Value>, Refusal> {
    let group = find::group(&app, &named).await?;
    caller.expect_on(&app, Action::Read, group.guid).await?;
    Ok(Json(told(&app, &group).await?))
}

/// A name in a request.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    name: String,
}

fn good_name(body: &[u8]) -> Result<String, Refusal> {
    let Named { name } = read_json(body)?;
    let name = name.trim().to_owned();
    if name.is_empty() || name.len() > MAX_NAME || name.contains(char::is_control) {
        return Err(malformed("the name is empty, or longer than 256 bytes"));
    }
    Ok(name)
}

async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    body: Bytes,
) -> Result<Json<Value>, Refusal> {
    caller.expect_whole(Action::ManageGroups)?;
    let (name, guid) = (good_name(&body)?, random::guid()?);
    let audit = caller.audit(&app, "group.create", &name);
    stored(
        app.store
            .create_group(app.tenant.id, guid, &name, audit)
            .await,
    )?;
    Ok(Json(json!({ "name": name, "guid": guid })))
}

/// A group of the server's own that the caller may change.
async fn expect_own(app: &App, caller: &Caller, named: &str) -> Result<Group, Refusal> {
    let group = find::group(app, named).await?;
    caller
        .expect_on(app, Action::ManageGroups, group.guid)
        .await?;
    if group.kind != GroupKind::Own {
        let sentence = "this group is a directory's: change it there, and the agent brings it";
        return Err(Refusal::own(StatusCode::CONFLICT, "conflict", sentence));
    }
    Ok(group)
}

async fn rename(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(named): Path<String>,
    body: Bytes,
) -> Result<StatusCode, Refusal> {
    let group = expect_own(&app, &caller, &named).await?;
    let name = good_name(&body)?;
    let audit = caller.audit(&app, "group.rename", &format!("{} to {name}", group.name));
    let renamed = app
        .store
        .rename_group(app.tenant.id, group.guid, &name, audit);
    there(stored(renamed.await)?)
}

async fn remove(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(named): Path<String>,
) -> Result<StatusCode, Refusal> {
    let group = expect_own(&app, &caller, &named).await?;
    accounts::expect_unused(&app, group.guid).await?;
    let audit = caller.audit(&app, "group.delete", &group.name);
    there(
        app.store
            .delete_group(app.tenant.id, group.guid, audit)
            .await?,
    )
}

async fn members(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(named): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Rows, Refusal> {
    let group = find::group(&app, &named).await?;
    caller.expect_on(&app, Action::Read, group.guid).await?;
    let after = match asked.place()? {
        None => None,
        Some(place) => Some(place.parse().map_err(|_| malformed("`after` is no id"))?),
    };
    let most = asked.most();
    let found = app
        .store
        .members(app.tenant.id, group.guid, after, most)
        .await?;
    let mut rows = Vec::new();
    for member in &found {
        let name = find::name_of(&app, *member).await?;
        rows.push(json!({ "guid": member, "name": name }));
    }
    let next = found.last().filter(|_| found.len() >= most as usize);
    let next = next.map(Guid::to_string);
    Ok(Rows { rows, next })
}

async fn put_in(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path((named, member)): Path<(String, String)>,
) -> Result<StatusCode, Refusal> {
    let group = expect_own(&app, &caller, &named).await?;
    let (member, name) = find::principal(&app, &member).await?;
    let audit = caller.audit(&app, "group.add", &format!("{name} to {}", group.name));
    app.store
        .add_member(app.tenant.id, group.guid, member, audit)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn take_out(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path((named, member)): Path<(String, String)>,
) -> Result<StatusCode, Refusal> {
    let group = expect_own(&app, &caller, &named).await?;
    let (member, name) = find::principal(&app, &member).await?;
    let audit = caller.audit(&app, "group.remove", &format!("{name} from {}", group.name));
    let gone = app
        .store
        .remove_member(app.tenant.id, group.guid, member, audit);
    there(gone.await?)
}

fn there(is_there: bool) -> Result<StatusCode, Refusal> {
    match is_there {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(unknown("there is nothing of that name, or not any more")),
    }
}
