//! What this server does of SCIM (RFC 7643 5 to 7).

use api::scim::{
    BASE_PATH, COMPUTER_SCHEMA, DIRECTORY_SCHEMA, GROUP_SCHEMA, LIST_SCHEMA, MAX_OPERATIONS,
    MAX_RESULTS, USER_SCHEMA,
};
use axum::extract::Path;
use serde_json::{Value, json};

use super::{Shown, trouble::Trouble};

/// `GET /ServiceProviderConfig`.
pub(super) async fn config() -> Shown {
    Shown::ok(json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"],
        "patch": { "supported": true },
        "bulk": {
            "supported": true,
            "maxOperations": MAX_OPERATIONS,
            "maxPayloadSize": api::MAX_BULK_BODY,
        },
        "filter": { "supported": true, "maxResults": MAX_RESULTS },
        "changePassword": { "supported": false },
        "sort": { "supported": false },
        "etag": { "supported": false },
        "pagination": {
            "cursor": true,
            "index": true,
            "defaultPageSize": MAX_RESULTS,
            "maxPageSize": MAX_RESULTS,
        },
        "authenticationSchemes": [{
            "type": "oauthbearertoken",
            "name": "OAuth 2.0",
            "description": "A token of this server, by a client's or an agent's own key",
            "specUri": "https://www.rfc-editor.org/info/rfc6750",
        }],
        "meta": {
            "resourceType": "ServiceProviderConfig",
            "location": format!("{BASE_PATH}/ServiceProviderConfig"),
        },
    }))
}

fn listed(resources: Vec<Value>) -> Shown {
    Shown::ok(json!({
        "schemas": [LIST_SCHEMA],
        "totalResults": resources.len(),
        "startIndex": 1,
        "itemsPerPage": resources.len(),
        "Resources": resources,
    }))
}

/// Name, schema and whether everyone of it has what AD has.
const TYPES: [(&str, &str, bool); 3] = [
    ("User", USER_SCHEMA, false),
    ("Group", GROUP_SCHEMA, false),
    ("Computer", COMPUTER_SCHEMA, true),
];

fn resource_type((name, schema, is_required): (&str, &str, bool)) -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ResourceType"],
        "id": name,
        "name": name,
        "endpoint": format!("/{name}s"),
        "schema": schema,
        "schemaExtensions": [{ "schema": DIRECTORY_SCHEMA, "required": is_required }],
        "meta": {
            "resourceType": "ResourceType",
            "location": format!("{BASE_PATH}/ResourceTypes/{name}"),
        },
    })
}

/// `GET /ResourceTypes`.
pub(super) async fn resource_types() -> Shown {
    listed(TYPES.map(resource_type).to_vec())
}

/// `GET /ResourceTypes/{name}`.
pub(super) async fn one_resource_type(Path(name): Path<String>) -> Result<Shown, Trouble> {
    let found = TYPES.iter().find(|(known, ..)| *known == name);
    let found = found.ok_or_else(Trouble::not_found)?;
    Ok(Shown::ok(resource_type(*found)))
}

/// Name, type, whether there are many, and whether it must be there.
type Attribute = (&'static str, &'static str, bool, bool);

const SCHEMAS: [(&str, &str, &[Attribute]); 4] = [
    (
        USER_SCHEMA,
        "User",
        &[
            ("userName", "string", false, true),
            ("displayName", "string", false, false),
            ("active", "boolean", false, false),
            ("emails", "complex", true, false),
        ],
    ),
    (
        GROUP_SCHEMA,
        "Group",
        &[
            ("displayName", "string", false, true),
            ("members", "complex", true, false),
        ],
    ),
    (
        COMPUTER_SCHEMA,
        "Computer",
        &[
            ("displayName", "string", false, true),
            ("active", "boolean", false, true),
            ("userCertificates", "binary", true, true),
        ],
    ),
    (
        DIRECTORY_SCHEMA,
        "Directory",
        &[
            ("sid", "string", false, true),
            ("samAccountName", "string", false, true),
            ("dn", "string", false, true),
            ("accountExpires", "integer", false, false),
            ("lockedUntil", "integer", false, false),
            ("logonHours", "binary", false, false),
            ("sourceAnchor", "string", false, false),
        ],
    ),
];

fn schema((id, name, attributes): (&str, &str, &[Attribute])) -> Value {
    let attributes = attributes.iter().map(|(name, kind, is_many, is_required)| {
        let mut told = json!({
            "name": name,
            "type": kind,
            "multiValued": is_many,
            "required": is_required,
            "caseExact": false,
            "mutability": "readWrite",
            "returned": "default",
            "uniqueness": if *name == "userName" { "server" } else { "none" },
        });
        if *kind == "complex"
            && let Some(fields) = told.as_object_mut()
        {
            let value = json!([{
                "name": "value",
                "type": "string",
                "multiValued": false,
                "required": true,
                "caseExact": false,
                "mutability": "readWrite",
                "returned": "default",
                "uniqueness": "none",
            }]);
            fields.insert("subAttributes".to_owned(), value);
        }
        told
    });
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Schema"],
        "id": id,
        "name": name,
        "attributes": attributes.collect::<Vec<_>>(),
        "meta": { "resourceType": "Schema", "location": format!("{BASE_PATH}/Schemas/{id}") },
    })
}

/// `GET /Schemas`.
pub(super) async fn schemas() -> Shown {
    listed(SCHEMAS.map(schema).to_vec())
}

/// `GET /Schemas/{id}`.
pub(super) async fn one_schema(Path(id): Path<String>) -> Result<Shown, Trouble> {
    let found = SCHEMAS.iter().find(|(known, ..)| *known == id);
    let found = found.ok_or_else(Trouble::not_found)?;
    Ok(Shown::ok(schema(*found)))
}
