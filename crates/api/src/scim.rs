//! SCIM 2.0 bulk (RFC 7644 3.7), as the agent sends the directory in.
//!
//! Resources are `PUT` under their objectGUID, so that sending one twice changes nothing.

use model::{Guid, Sid};
use serde::{Deserialize, Serialize};

/// `POST`: [`BulkRequest`] → [`BulkResponse`].
pub const BULK_PATH: &str = "/scim/v2/Bulk";

/// The most operations of one request.
pub const MAX_OPERATIONS: usize = 1000;

/// Schema of a bulk request.
pub const BULK_REQUEST_SCHEMA: &str = "urn:ietf:params:scim:api:messages:2.0:BulkRequest";

/// Schema of a bulk response.
pub const BULK_RESPONSE_SCHEMA: &str = "urn:ietf:params:scim:api:messages:2.0:BulkResponse";

/// A bulk request.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BulkRequest {
    /// [`BULK_REQUEST_SCHEMA`].
    pub schemas: Vec<String>,
    /// In order.
    #[serde(rename = "Operations")]
    pub operations: Vec<Operation>,
}

/// One operation of a bulk request.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "method")]
pub enum Operation {
    /// The resource is this, whatever it was.
    #[serde(rename = "PUT")]
    Put {
        /// `/Users/GUID`, `/Groups/GUID` or `/Computers/GUID`.
        path: String,
        /// [`User`], [`Group`] or [`Computer`].
        data: serde_json::Value,
    },
    /// The resource is no more.
    #[serde(rename = "DELETE")]
    Delete {
        /// As for `PUT`.
        path: String,
    },
}

/// A bulk response.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BulkResponse {
    /// [`BULK_RESPONSE_SCHEMA`].
    pub schemas: Vec<String>,
    /// One per operation, in order.
    #[serde(rename = "Operations")]
    pub operations: Vec<OperationResult>,
}

/// What became of one operation.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OperationResult {
    /// The path of the operation.
    pub location: String,
    /// HTTP status as text, as SCIM wants it.
    pub status: String,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// What every resource of AD has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DirectoryFields {
    /// objectSid.
    pub sid: Sid,
    /// sAMAccountName.
    pub sam_account_name: String,
    /// distinguishedName when it was read.
    pub dn: String,
}

/// A user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// objectGUID.
    pub external_id: Guid,
    /// userPrincipalName, or sAMAccountName@domain where there is none.
    pub user_name: String,
    /// displayName, or sAMAccountName.
    pub display_name: String,
    /// Not disabled in AD.
    pub active: bool,
    /// AD's own.
    #[serde(rename = "urn:latchkey:scim:1.0:Directory")]
    pub directory: DirectoryFields,
}

/// A group with its direct members.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Group {
    /// objectGUID.
    pub external_id: Guid,
    /// sAMAccountName.
    pub display_name: String,
    /// Direct members that the agent imports.
    pub members: Vec<Member>,
    /// AD's own.
    #[serde(rename = "urn:latchkey:scim:1.0:Directory")]
    pub directory: DirectoryFields,
}

/// A member of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// objectGUID of a user, group or computer.
    pub value: Guid,
}

/// A computer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Computer {
    /// objectGUID; becomes the device id.
    pub external_id: Guid,
    /// cn.
    pub display_name: String,
    /// Not disabled in AD.
    pub active: bool,
    /// userCertificate: base64 DER each.
    pub user_certificates: Vec<String>,
    /// AD's own.
    #[serde(rename = "urn:latchkey:scim:1.0:Directory")]
    pub directory: DirectoryFields,
}
