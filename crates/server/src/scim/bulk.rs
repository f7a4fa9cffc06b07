//! The directory's way in: SCIM 2.0 bulk (RFC 7644 3.7) from the agent of a domain.
//!
//! An agent speaks for its own domain only: an object of another, or one whose SID is of another,
//! is refused for itself, and the rest of the request goes on.

use std::{borrow::Cow, sync::Arc};

use api::scim::{
    BULK_REQUEST_SCHEMA, BULK_RESPONSE_SCHEMA, BulkRequest, BulkResponse, MAX_OPERATIONS,
    Operation, OperationResult,
};
use axum::{
    Json,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use model::{Guid, Sid};
use store::{DirectoryChange, ObjectKind};

use super::{
    directory::{self, Reason},
    trouble::Trouble,
};
use crate::{
    access,
    app::App,
    error::{Refusal, read_json},
    lease,
};

/// `POST /scim/v2/Bulk`.
pub(crate) async fn bulk(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<BulkResponse>, Trouble> {
    let agent = access::agent(&app, &headers).await?;
    lease::expect_none_of_others(&app, &agent).await?;
    let request: BulkRequest = read_json(&body)?;
    if request.schemas != [BULK_REQUEST_SCHEMA] {
        let sentence = "this is not a bulk request of SCIM 2.0";
        return Err(Trouble::bad("invalidSyntax", sentence));
    }
    if request.operations.len() > MAX_OPERATIONS {
        let sentence = "more than 1,000 operations in one request";
        let refusal = Refusal::own(StatusCode::PAYLOAD_TOO_LARGE, "bad_request", sentence);
        return Err(refusal.into());
    }
    let domain = directory::of(&app, &agent).await?;
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
        .apply((app.tenant.id, domain.guid), changes, app.clock.now())
        .await?
        .into_iter();
    let operations = read.into_iter().map(|(location, why)| {
        let (status, detail) = match why {
            Some(why) => ("400", Some(why.into())),
            None => match applied.next() {
                Some(Err(withheld)) => ("409", Some(directory::why(withheld))),
                _ => ("200", None),
            },
        };
        OperationResult {
            location,
            status: status.to_owned(),
            detail: detail.map(Cow::into_owned),
        }
    });
    Ok(Json(BulkResponse {
        schemas: vec![BULK_RESPONSE_SCHEMA.to_owned()],
        operations: operations.collect(),
    }))
}

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
                ObjectKind::User => directory::user(data, guid, domain, domain_sid),
                ObjectKind::Group => directory::group(data, guid, domain),
                ObjectKind::Computer => directory::computer(data, guid, domain, domain_sid),
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
