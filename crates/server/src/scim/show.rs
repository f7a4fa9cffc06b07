//! Resources as they are shown.

use api::scim::{BASE_PATH, COMPUTER_SCHEMA, DIRECTORY_SCHEMA, GROUP_SCHEMA, USER_SCHEMA};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use model::{Guid, UnixTime};
use serde_json::{Map, Value, json};
use store::{Computer, Group, GroupKind, User, UserKind};

use crate::app::App;

/// The most members that a group is shown with.
const MAX_MEMBERS: usize = 100_000;

/// Members that are read together.
const PIECE: u32 = 1000;

fn resource(kind: &str, schema: &str, id: Guid) -> Map<String, Value> {
    let mut fields = Map::new();
    fields.insert("schemas".to_owned(), json!([schema]));
    fields.insert("id".to_owned(), json!(id));
    let location = format!("{BASE_PATH}/{kind}s/{id}");
    let meta = json!({ "resourceType": kind, "location": location });
    fields.insert("meta".to_owned(), meta);
    fields
}

/// Adds what AD has beside.
fn add_directory(fields: &mut Map<String, Value>, id: Guid, directory: Value) {
    if let Some(Value::Array(schemas)) = fields.get_mut("schemas") {
        schemas.push(json!(DIRECTORY_SCHEMA));
    }
    fields.insert("externalId".to_owned(), json!(id));
    fields.insert(DIRECTORY_SCHEMA.to_owned(), directory);
}

pub(super) fn user(user: &User) -> Value {
    let mut fields = resource("User", USER_SCHEMA, user.guid);
    fields.insert("userName".to_owned(), json!(user.upn));
    fields.insert("displayName".to_owned(), json!(user.display_name));
    fields.insert("active".to_owned(), json!(user.active));
    if let Some(mail) = &user.mail {
        let mails = json!([{ "value": mail, "primary": true }]);
        fields.insert("emails".to_owned(), mails);
    }
    if let UserKind::Synced { sid, sam, dn, .. } = &user.kind {
        let seconds = |time: Option<UnixTime>| time.map(|time| time.0);
        let directory = json!({
            "sid": sid,
            "samAccountName": sam,
            "dn": dn,
            "accountExpires": seconds(user.account_expires),
            "lockedUntil": seconds(user.locked_until),
            "logonHours": user.logon_hours.map(|hours| STANDARD.encode(hours.0)),
            "sourceAnchor": user.anchor(),
        });
        add_directory(&mut fields, user.guid, directory);
    }
    fields.into()
}

/// A group, without its members.
pub(super) fn group(group: &Group) -> Value {
    let mut fields = resource("Group", GROUP_SCHEMA, group.guid);
    fields.insert("displayName".to_owned(), json!(group.name));
    if let GroupKind::Synced { sid, dn, .. } = &group.kind {
        let directory = json!({ "sid": sid, "samAccountName": group.name, "dn": dn });
        add_directory(&mut fields, group.guid, directory);
    }
    fields.into()
}

/// A group with its direct members.
pub(super) async fn group_with_members(app: &App, of: &Group) -> Result<Value, store::Error> {
    let mut shown = group(of);
    let mut members: Vec<Guid> = Vec::new();
    while members.len() < MAX_MEMBERS {
        let after = members.last().copied();
        let piece = app
            .store
            .members(app.tenant.id, of.guid, after, PIECE)
            .await?;
        let is_last = piece.len() < PIECE as usize;
        members.extend(piece);
        if is_last {
            break;
        }
    }
    let members: Vec<_> = members.iter().map(|id| json!({ "value": id })).collect();
    if let Some(fields) = shown.as_object_mut() {
        fields.insert("members".to_owned(), members.into());
    }
    Ok(shown)
}

pub(super) fn computer(computer: &Computer) -> Value {
    let mut fields = resource("Computer", COMPUTER_SCHEMA, computer.guid);
    fields.insert("displayName".to_owned(), json!(computer.name));
    fields.insert("active".to_owned(), json!(computer.active));
    let certificates = computer.certificates.iter().map(|der| STANDARD.encode(der));
    let certificates: Vec<_> = certificates.collect();
    fields.insert("userCertificates".to_owned(), json!(certificates));
    let directory = json!({
        "sid": computer.sid,
        "samAccountName": format!("{}$", computer.name),
        "dn": computer.dn,
    });
    add_directory(&mut fields, computer.guid, directory);
    fields.into()
}
