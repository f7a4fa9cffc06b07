//! SCIM 2.0 (RFC 7643, RFC 7644): how users, groups and computers come in.
//!
//! An agent sends its directory in bulk (RFC 7644 3.7): resources are `PUT` under their objectGUID,
//! so that sending one twice changes nothing. Applications make users and groups of the server's own.

use model::{Guid, Sid, UnixTime};
use serde::{Deserialize, Serialize};

/// `POST`: [`BulkRequest`] → [`BulkResponse`].
pub const BULK_PATH: &str = "/scim/v2/Bulk";

/// Where everything of SCIM is.
pub const BASE_PATH: &str = "/scim/v2";

/// The most resources of a list.
pub const MAX_RESULTS: u32 = 500;

/// The most operations of one `PATCH`.
pub const MAX_PATCHES: usize = 100;

/// Schema of a user.
pub const USER_SCHEMA: &str = "urn:ietf:params:scim:schemas:core:2.0:User";

/// Schema of a group.
pub const GROUP_SCHEMA: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";

/// Schema of a computer, which SCIM has none for.
pub const COMPUTER_SCHEMA: &str = "urn:latchkey:scim:1.0:Computer";

/// Schema of what every resource of AD has beside its own.
pub const DIRECTORY_SCHEMA: &str = "urn:latchkey:scim:1.0:Directory";

/// Schema of a list.
pub const LIST_SCHEMA: &str = "urn:ietf:params:scim:api:messages:2.0:ListResponse";

/// Schema of a `PATCH`.
pub const PATCH_SCHEMA: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

/// Schema of an error.
pub const ERROR_SCHEMA: &str = "urn:ietf:params:scim:api:messages:2.0:Error";

/// A refusal (RFC 7644 3.12), with the code and the sentence of our own interfaces.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScimError {
    /// [`ERROR_SCHEMA`].
    pub schemas: Vec<String>,
    /// The HTTP status as text.
    pub status: String,
    /// One of RFC 7644's words, where one fits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scim_type: Option<String>,
    /// The sentence.
    pub detail: String,
    /// The rest of it.
    #[serde(flatten)]
    pub failure: crate::Failure,
}

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

/// A page of a list, as far as an agent reads it (RFC 7644 3.4.2, RFC 9865).
#[derive(Debug, Clone, Deserialize)]
pub struct ResourcePage {
    /// [`User`]s, [`Group`]s without their members, or [`Computer`]s.
    #[serde(rename = "Resources")]
    pub resources: Vec<serde_json::Value>,
    /// Where the next page begins, if there is one.
    #[serde(default, rename = "nextCursor")]
    pub next_cursor: Option<String>,
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
    /// When a user's account ends, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_expires: Option<UnixTime>,
    /// Until when a user is locked out by wrong passwords, where AD has locked it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locked_until: Option<UnixTime>,
    /// The hours of the week in which a user may sign in, if not in all: base64 of logonHours, 21 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logon_hours: Option<String>,
    /// What a user is known by wherever its object goes: base64 of mS-DS-ConsistencyGuid, or of
    /// objectGUID where that is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_anchor: Option<String>,
}

/// A mail address (RFC 7643 4.1.2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Email {
    /// The address.
    pub value: String,
}

impl From<String> for Email {
    fn from(value: String) -> Self {
        Self { value }
    }
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
    /// mail, where the account has one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub emails: Vec<Email>,
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
