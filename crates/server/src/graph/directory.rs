//! Users, groups and devices, as they are; groups of the server's own are made and filled here too.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::{Path, State},
    http::StatusCode,
    routing::{delete, get, post},
};
use model::Guid;
use serde_json::{Map, Value, json};
use store::{Device, Group, GroupKind, Listing, Page, User, UserKind};

use super::{call::Call, expect_known, filter::Operator, object, query::Query, text};
use crate::{
    accounts,
    admin::{
        caller::{Caller, needs},
        find::{self, unknown},
        stored,
    },
    app::App,
    clock::rfc3339,
    error::Refusal,
    policies::edit::{bad, check_texts},
    random,
    roles::Action,
    routing::Paths,
};

const USERS: &str = "users";
const GROUPS: &str = "groups";
const DEVICES: &str = "devices";

/// The most members that a new group is made with, as in the original.
const MOST_MEMBERS: usize = 20;

const GROUP_PROPERTIES: [&str; 12] = [
    "displayName",
    "description",
    "mailEnabled",
    "mailNickname",
    "securityEnabled",
    "groupTypes",
    "visibility",
    "isAssignableToRole",
    "members",
    "owners",
    "id",
    "createdDateTime",
];

pub(super) fn routes() -> Paths {
    let read = |methods| needs(Action::Read, methods);
    let manage = |methods| needs(Action::ManageGroups, methods);
    Paths::new()
        .route("/users", read(get(users)))
        .route("/users/{user}", read(get(user)))
        .route(
            "/groups",
            read(get(groups)).merge(manage(post(create_group))),
        )
        .route(
            "/groups/{group}",
            read(get(group)).merge(manage(delete(delete_group))),
        )
        .route("/groups/{group}/members", read(get(members)))
        .route("/groups/{group}/members/$ref", manage(post(add_member)))
        .route(
            "/groups/{group}/members/{member}/$ref",
            manage(delete(remove_member)),
        )
        .route("/devices", read(get(devices)))
        .route("/devices/{device}", read(get(device)))
}

fn user_told(user: &User) -> Value {
    let (sid, sam, dn) = match &user.kind {
        UserKind::Synced { sid, sam, dn, .. } => (Some(sid), Some(sam), Some(dn)),
        UserKind::Cloud => (None, None, None),
    };
    json!({
        "id": user.guid,
        "displayName": user.display_name,
        "userPrincipalName": user.upn,
        "mail": user.mail,
        "accountEnabled": user.active,
        "userType": "Member",
        "onPremisesSyncEnabled": sid.map(|_| true),
        "onPremisesSecurityIdentifier": sid,
        "onPremisesSamAccountName": sam,
        "onPremisesDistinguishedName": dn,
    })
}

fn group_told(group: &Group) -> Value {
    let sid = match &group.kind {
        GroupKind::Synced { sid, .. } => Some(sid),
        GroupKind::Own => None,
    };
    json!({
        "id": group.guid,
        "displayName": group.name,
        "description": null,
        "mailEnabled": false,
        "mailNickname": group.guid,
        "securityEnabled": true,
        "groupTypes": [],
        "onPremisesSyncEnabled": sid.map(|_| true),
        "onPremisesSecurityIdentifier": sid,
    })
}

fn device_told(device: &Device) -> Value {
    let trust = match device.join_type {
        4 => "Workplace",
        6 => "ServerAd",
        _ => "AzureAd",
    };
    json!({
        "id": device.id,
        "deviceId": device.id,
        "displayName": device.display_name,
        "operatingSystem": "Linux",
        "operatingSystemVersion": device.os_version,
        "trustType": trust,
        "accountEnabled": device.enabled,
        "isManaged": true,
        "registrationDateTime": rfc3339(device.joined),
        "approximateLastSignInDateTime": device.last_seen.map(rfc3339),
    })
}

/// What a list of the directory is asked for: a page by name, or one of a name or id.
enum Wanted {
    Page(Page),
    Named(String),
}

fn wanted(query: &Query, names: &[&str]) -> Result<Wanted, Refusal> {
    let found = match &query.filter {
        None => Some(String::new()),
        Some(filter) => match filter.only().filter(|(name, ..)| names.contains(name)) {
            Some((_, Operator::Equal, value)) => return Ok(Wanted::Named(value.to_owned())),
            Some((name, Operator::StartsWith, value)) if name != "id" => Some(value.to_owned()),
            _ => None,
        },
    };
    let prefix = found.ok_or_else(|| {
        bad(&format!(
            "Unsupported Query: $filter here is one of {} with eq or startswith.",
            names.join(", ")
        ))
    })?;
    Ok(Wanted::Page(Page {
        prefix,
        after: query.place().map(str::to_owned),
        most: u32::try_from(query.rows()).unwrap_or(u32::MAX),
    }))
}

/// The one that was looked for by name, if it is there.
fn only<T>(found: Result<T, Refusal>) -> Result<Listing<T>, Refusal> {
    let rows = match found {
        Ok(one) => vec![one],
        Err(failed @ Refusal::Internal(_)) => return Err(failed),
        Err(_) => Vec::new(),
    };
    Ok(Listing { rows, next: None })
}

async fn users(call: Call, query: Query) -> Result<Json<Value>, Refusal> {
    let listing = match wanted(&query, &["userPrincipalName", "id"])? {
        Wanted::Page(page) => stored(call.app.store.users(call.app.tenant.id, page).await)?,
        Wanted::Named(name) => only(find::user(&call.app, &name).await)?,
    };
    let seen = call
        .caller
        .seen(&call.app, listing, |user| user.guid)
        .await?;
    let rows = seen.rows.iter().map(user_told).collect();
    let place = call.place(USERS);
    Ok(Json(place.page(&query, rows, seen.next)))
}

async fn user(call: Call, query: Query, Path(named): Path<String>) -> Result<Json<Value>, Refusal> {
    let user = find::user(&call.app, &named).await?;
    call.caller
        .expect_on(&call.app, Action::Read, user.guid)
        .await?;
    let place = call.place(USERS);
    Ok(place.one(&query, user_told(&user)))
}

async fn groups(call: Call, query: Query) -> Result<Json<Value>, Refusal> {
    let listing = match wanted(&query, &["displayName", "id"])? {
        Wanted::Page(page) => stored(call.app.store.groups(call.app.tenant.id, page).await)?,
        Wanted::Named(name) => Listing {
            rows: match name.parse() {
                Ok(id) => call
                    .app
                    .store
                    .group(call.app.tenant.id, id)
                    .await?
                    .into_iter()
                    .collect(),
                Err(_) => {
                    call.app
                        .store
                        .groups_named(call.app.tenant.id, &name)
                        .await?
                }
            },
            next: None,
        },
    };
    let seen = call
        .caller
        .seen(&call.app, listing, |group| group.guid)
        .await?;
    let rows = seen.rows.iter().map(group_told).collect();
    let place = call.place(GROUPS);
    Ok(Json(place.page(&query, rows, seen.next)))
}

/// A group by its id, which is how Graph names it.
async fn group_of(app: &App, id: &str) -> Result<Group, Refusal> {
    let no_such = || unknown("there is no group of that id");
    let id: Guid = id.parse().map_err(|_| no_such())?;
    app.store
        .group(app.tenant.id, id)
        .await?
        .ok_or_else(no_such)
}

async fn group(call: Call, query: Query, Path(id): Path<String>) -> Result<Json<Value>, Refusal> {
    let group = group_of(&call.app, &id).await?;
    call.caller
        .expect_on(&call.app, Action::Read, group.guid)
        .await?;
    Ok(call.place(GROUPS).one(&query, group_told(&group)))
}

async fn create_group(call: Call, body: Bytes) -> Result<(StatusCode, Json<Value>), Refusal> {
    call.caller.expect_whole(Action::ManageGroups)?;
    let body = object(&body)?;
    expect_known(&body, "microsoft.graph.group", |name| {
        GROUP_PROPERTIES.contains(&name)
    })?;
    let mut name = text(&body, "displayName")?.unwrap_or_default();
    check_texts(&mut name, "")?;
    let is = |name: &str, is: bool| body.get(name).and_then(Value::as_bool) == Some(is);
    if is("mailEnabled", true) || is("securityEnabled", false) {
        return Err(bad("groups here are security groups without mail"));
    }
    let members = bound_members(&call.app, &body).await?;
    let group = Group {
        guid: random::guid()?,
        kind: GroupKind::Own,
        name,
    };
    let (store, tenant) = (&call.app.store, call.app.tenant.id);
    let audit = call.caller.audit(&call.app, "group.create", &group.name);
    let created = store.create_group(tenant, group.guid, &group.name, audit);
    stored(created.await)?;
    for (member, name) in members {
        let audit = call
            .caller
            .audit(&call.app, "group.add", &format!("{name} to {}", group.name));
        store.add_member(tenant, group.guid, member, audit).await?;
    }
    let told = call
        .place(GROUPS)
        .one(&Query::default(), group_told(&group));
    Ok((StatusCode::CREATED, told))
}

/// Whom `members@odata.bind` names.
async fn bound_members(
    app: &App,
    body: &Map<String, Value>,
) -> Result<Vec<(Guid, String)>, Refusal> {
    let rows = match body.get("members@odata.bind") {
        None => return Ok(Vec::new()),
        Some(rows) => rows.as_array(),
    };
    let rows = rows.filter(|rows| rows.len() <= MOST_MEMBERS);
    let rows = rows.ok_or_else(|| bad("members@odata.bind is a list of at most 20 references"))?;
    let mut members = Vec::new();
    for row in rows {
        members.push(referenced(app, row.as_str()).await?);
    }
    Ok(members)
}

/// A user, device or group that a reference names by the last part of its address.
async fn referenced(app: &App, reference: Option<&str>) -> Result<(Guid, String), Refusal> {
    let id = reference.and_then(|url| url.rsplit('/').next());
    let id = id.and_then(|id| id.parse::<Guid>().ok());
    let id = id.ok_or_else(|| bad("@odata.id ends in the id of a user, device or group"))?;
    find::principal(app, &id.to_string()).await
}

/// A group of the server's own that the caller may change.
async fn own_group(app: &App, caller: &Caller, id: &str) -> Result<Group, Refusal> {
    let group = group_of(app, id).await?;
    caller
        .expect_on(app, Action::ManageGroups, group.guid)
        .await?;
    match group.kind {
        GroupKind::Own => Ok(group),
        GroupKind::Synced { .. } => Err(bad(
            "this group is a directory's: change it there, and the agent brings it",
        )),
    }
}

async fn delete_group(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Refusal> {
    let group = own_group(&app, &caller, &id).await?;
    accounts::expect_unused(&app, group.guid).await?;
    let audit = caller.audit(&app, "group.delete", &group.name);
    app.store
        .delete_group(app.tenant.id, group.guid, audit)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn members(call: Call, query: Query, Path(id): Path<String>) -> Result<Json<Value>, Refusal> {
    let group = group_of(&call.app, &id).await?;
    call.caller
        .expect_on(&call.app, Action::Read, group.guid)
        .await?;
    let after = match query.place() {
        None => None,
        Some(place) => Some(place.parse().map_err(|_| bad("$skiptoken is no place"))?),
    };
    let most = query.rows();
    let found = call
        .app
        .store
        .members(
            call.app.tenant.id,
            group.guid,
            after,
            u32::try_from(most).unwrap_or(u32::MAX),
        )
        .await?;
    let mut rows = Vec::new();
    for member in &found {
        rows.push(member_told(&call.app, *member).await?);
    }
    let next = found.last().filter(|_| found.len() >= most);
    let path = format!("groups/{}/members", group.guid);
    let place = call.place(&path);
    Ok(Json(place.page(&query, rows, next.map(Guid::to_string))))
}

/// A member, as what it is.
async fn member_told(app: &App, id: Guid) -> Result<Value, Refusal> {
    let (store, tenant) = (&app.store, app.tenant.id);
    let (kind, mut told) = if let Some(user) = store.user(tenant, id).await? {
        ("user", user_told(&user))
    } else if let Some(group) = store.group(tenant, id).await? {
        ("group", group_told(&group))
    } else if let Some(device) = store.device(tenant, id).await? {
        ("device", device_told(&device))
    } else {
        ("directoryObject", json!({ "id": id }))
    };
    if let Some(fields) = told.as_object_mut() {
        let kind = format!("#microsoft.graph.{kind}");
        fields.insert("@odata.type".to_owned(), json!(kind));
    }
    Ok(told)
}

async fn add_member(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<StatusCode, Refusal> {
    let group = own_group(&app, &caller, &id).await?;
    let body = object(&body)?;
    let reference = body.get("@odata.id").and_then(Value::as_str);
    let (member, name) = referenced(&app, reference).await?;
    let audit = caller.audit(&app, "group.add", &format!("{name} to {}", group.name));
    let added = app
        .store
        .add_member(app.tenant.id, group.guid, member, audit);
    match added.await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(bad(
            "One or more added object references already exist for the following modified \
             properties: 'members'.",
        )),
    }
}

async fn remove_member(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path((id, member)): Path<(String, String)>,
) -> Result<StatusCode, Refusal> {
    let group = own_group(&app, &caller, &id).await?;
    let no_such = || unknown("this group has no such member");
    let member: Guid = member.parse().map_err(|_| no_such())?;
    let name = find::name_of(&app, member).await?;
    let audit = caller.audit(&app, "group.remove", &format!("{name} from {}", group.name));
    let removed = app
        .store
        .remove_member(app.tenant.id, group.guid, member, audit);
    match removed.await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(no_such()),
    }
}

async fn devices(call: Call, query: Query) -> Result<Json<Value>, Refusal> {
    let listing = match wanted(&query, &["displayName", "deviceId", "id"])? {
        Wanted::Page(page) => stored(call.app.store.devices(call.app.tenant.id, page).await)?,
        Wanted::Named(name) => only(find::device(&call.app, &name).await)?,
    };
    let seen = call
        .caller
        .seen(&call.app, listing, |device| device.id)
        .await?;
    let rows = seen.rows.iter().map(device_told).collect();
    Ok(Json(call.place(DEVICES).page(&query, rows, seen.next)))
}

async fn device(call: Call, query: Query, Path(id): Path<String>) -> Result<Json<Value>, Refusal> {
    let no_such = || unknown("there is no device of that id");
    let id: Guid = id.parse().map_err(|_| no_such())?;
    let device = call.app.store.device(call.app.tenant.id, id).await?;
    let device = device.ok_or_else(no_such)?;
    call.caller
        .expect_on(&call.app, Action::Read, device.id)
        .await?;
    Ok(call.place(DEVICES).one(&query, device_told(&device)))
}
