//! The directory's way in: SCIM 2.0 bulk (RFC 7644 3.7) from the agent of a domain.
//!
//! An agent speaks for its own domain only: an object of another, or one whose SID is of another,
//! is refused for itself, and the rest of the request goes on.

use std::sync::Arc;

use api::scim::{
    self, BULK_REQUEST_SCHEMA, BULK_RESPONSE_SCHEMA, BulkRequest, BulkResponse, MAX_OPERATIONS,
    Operation, OperationResult,
};
use axum::{
    Json,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use model::UnixTime;
use model::{Guid, Sid};
use serde::de::DeserializeOwned;
use serde_json::Value;
use store::{Computer, DirectoryChange, Group, GroupKind, ObjectKind, User, UserKind};

use crate::{
    access,
    app::App,
    error::{Refusal, read_json},
};

/// The most certificates of one computer.
const MAX_CERTIFICATES: usize = 64;

/// The longest text of a resource.
const MAX_TEXT: usize = 1024;

/// `POST /scim/v2/Bulk`.
pub(crate) async fn bulk(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<BulkResponse>, Refusal> {
    let agent = access::agent(&app, &headers).await?;
    let request: BulkRequest = read_json(&body)?;
    if request.schemas != [BULK_REQUEST_SCHEMA] {
        let sentence = "this is not a bulk request of SCIM 2.0";
        return Err(Refusal::own(
            StatusCode::BAD_REQUEST,
            "bad_request",
            sentence,
        ));
    }
    if request.operations.len() > MAX_OPERATIONS {
        let sentence = "more than 1,000 operations in one request";
        return Err(Refusal::own(
            StatusCode::PAYLOAD_TOO_LARGE,
            "bad_request",
            sentence,
        ));
    }
    let domains = app.store.domains(app.tenant.id).await?;
    let domain = domains
        .into_iter()
        .find(|domain| domain.guid == agent.domain);
    let domain = domain.ok_or(store::Error::Bug("an agent has no domain"))?;
    let mut changes = Vec::new();
    let mut read = Vec::new();
    for operation in request.operations {
        let (location, change) = change(operation, domain.guid, &domain.sid);
        let why = match change {
            Ok(change) => {
                changes.push(change);
                None
            }
            Err(why) => Some(why),
        };
        read.push((location, why));
    }
    let mut applied = app
        .store
        .apply(app.tenant.id, domain.guid, changes)
        .await?
        .into_iter();
    let operations = read.into_iter().map(|(location, why)| {
        let (status, detail) = match why {
            Some(why) => ("400", Some(why)),
            None if applied.next() == Some(true) => ("200", None),
            None => ("409", Some("the object is of another domain")),
        };
        OperationResult {
            location,
            status: status.to_owned(),
            detail: detail.map(str::to_owned),
        }
    });
    Ok(Json(BulkResponse {
        schemas: vec![BULK_RESPONSE_SCHEMA.to_owned()],
        operations: operations.collect(),
    }))
}

type Reason = &'static str;

/// Reads one operation; its path comes back for the answer.
fn change(
    operation: Operation,
    domain: Guid,
    domain_sid: &Sid,
) -> (String, Result<DirectoryChange, Reason>) {
    match operation {
        Operation::Delete { path } => {
            let change = object(&path).map(|(kind, guid)| DirectoryChange::Delete(kind, guid));
            (path, change)
        }
        Operation::Put { path, data } => {
            let change = object(&path).and_then(|(kind, guid)| match kind {
                ObjectKind::User => user(data, guid, domain, domain_sid),
                ObjectKind::Group => group(data, guid, domain),
                ObjectKind::Computer => computer(data, guid, domain, domain_sid),
            });
            (path, change)
        }
    }
}

fn object(path: &str) -> Result<(ObjectKind, Guid), Reason> {
    let unknown = "the path is not /Users, /Groups or /Computers with an objectGUID";
    let (kind, guid) = path
        .strip_prefix('/')
        .and_then(|path| path.split_once('/'))
        .ok_or(unknown)?;
    let kind = match kind {
        "Users" => ObjectKind::User,
        "Groups" => ObjectKind::Group,
        "Computers" => ObjectKind::Computer,
        _ => return Err(unknown),
    };
    Ok((kind, guid.parse().map_err(|_| unknown)?))
}

fn read<T: DeserializeOwned>(data: Value) -> Result<T, Reason> {
    serde_json::from_value(data).map_err(|_| "the resource is not what its schema says")
}

fn expect(condition: bool, reason: Reason) -> Result<(), Reason> {
    if condition { Ok(()) } else { Err(reason) }
}

fn expect_object(named: Guid, guid: Guid, texts: &[&String]) -> Result<(), Reason> {
    expect(
        named == guid,
        "externalId is not the objectGUID of the path",
    )?;
    expect(
        texts.iter().all(|text| text.len() <= MAX_TEXT),
        "a text is longer than 1,024 bytes",
    )
}

fn expect_account(sid: &Sid, domain: &Sid) -> Result<(), Reason> {
    expect(
        sid.domain().as_ref() == Some(domain),
        "the SID is of another domain",
    )
}

fn user(data: Value, guid: Guid, domain: Guid, sid: &Sid) -> Result<DirectoryChange, Reason> {
    let user: scim::User = read(data)?;
    let directory = user.directory;
    let texts = [
        &user.user_name,
        &user.display_name,
        &directory.sam_account_name,
        &directory.dn,
    ];
    expect_object(user.external_id, guid, &texts)?;
    expect_account(&directory.sid, sid)?;
    Ok(DirectoryChange::PutUser(User {
        guid,
        kind: UserKind::Synced {
            domain,
            sid: directory.sid,
            sam: directory.sam_account_name,
            dn: directory.dn,
        },
        upn: user.user_name,
        display_name: user.display_name,
        mail: None,
        active: user.active,
        account_expires: None,
        locked_until: None,
        tokens_valid_from: UnixTime(0),
    }))
}

/// A group may be one of the built-in domain, whose SID is every domain's.
fn group(data: Value, guid: Guid, domain: Guid) -> Result<DirectoryChange, Reason> {
    let group: scim::Group = read(data)?;
    let texts = [&group.display_name, &group.directory.dn];
    expect_object(group.external_id, guid, &texts)?;
    let members = group.members.into_iter().map(|member| member.value);
    let members = members.collect();
    let group = Group {
        guid,
        kind: GroupKind::Synced {
            domain,
            sid: group.directory.sid,
            dn: group.directory.dn,
        },
        name: group.display_name,
    };
    Ok(DirectoryChange::PutGroup(group, members))
}

fn computer(data: Value, guid: Guid, domain: Guid, sid: &Sid) -> Result<DirectoryChange, Reason> {
    let computer: scim::Computer = read(data)?;
    expect_object(
        computer.external_id,
        guid,
        &[&computer.display_name, &computer.directory.dn],
    )?;
    expect_account(&computer.directory.sid, sid)?;
    expect(
        computer.user_certificates.len() <= MAX_CERTIFICATES,
        "more than 64 certificates",
    )?;
    let certificates = computer
        .user_certificates
        .iter()
        .map(|der| STANDARD.decode(der));
    Ok(DirectoryChange::PutComputer(Computer {
        guid,
        domain,
        sid: computer.directory.sid,
        name: computer.display_name,
        dn: computer.directory.dn,
        active: computer.active,
        certificates: certificates
            .collect::<Result<_, _>>()
            .map_err(|_| "a certificate is not base64")?,
    }))
}
