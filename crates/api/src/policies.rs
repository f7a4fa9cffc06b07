//! Policies that the server gives its devices, and what became of them there (`docs/joints.md`, section 3).

use std::collections::BTreeMap;

use model::Sid;
use policy::{
    assigned::Held,
    merge::{Outcome, ServerValue},
};
use serde::{Deserialize, Serialize};

/// `GET ?user=SID&wait=`, with the last answer's tag in `If-None-Match`: [`Policies`], or 304 where they
/// are the same after the wait.
pub const POLICIES_PATH: &str = "/device/v1/policies";

/// `POST` of a [`PolicyStatus`].
pub const POLICY_STATUS_PATH: &str = "/device/v1/policies/status";

/// The most users that a device asks for at once.
pub const MAX_POLICY_USERS: usize = 32;

/// The most nodes of one report.
pub const MAX_OUTCOMES: usize = 2000;

/// The longest report, in bytes.
pub const MAX_POLICY_STATUS: usize = 1024 * 1024;

/// Everything that counts for a device and for the users it asked for: one value for each node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policies {
    /// 1.
    pub version: u32,
    /// For the device, whoever is at it.
    pub device: Vec<ServerValue>,
    /// What the tenant gave it when it joined.
    pub tenant: Vec<ServerValue>,
    /// For each user who was asked for and is known.
    pub users: BTreeMap<Sid, UserPolicies>,
    /// Nodes upon which policies do not agree.
    pub conflicts: Vec<NodeConflict>,
}

/// What counts for one user on this device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserPolicies {
    /// Nodes of the device's tree, in place of [`Policies::device`]: all of them.
    pub device: Vec<ServerValue>,
    /// Nodes of the user's tree.
    pub user: Vec<ServerValue>,
}

/// A node that several policies set, and no value of it is the stricter one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeConflict {
    /// The node.
    pub loc_uri: String,
    /// For whom; nothing for the device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<Sid>,
    /// Whether the device keeps the value that it had, or none.
    pub held: Held,
    /// The policies' names.
    pub policies: Vec<String>,
}

/// What became of the policies that a device got last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyStatus {
    /// The tag of those policies.
    pub etag: String,
    /// For the device, and for each user. Together at most [`MAX_OUTCOMES`].
    pub reports: Vec<PolicyReport>,
}

/// What became of one subject's values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyReport {
    /// Whose; nothing for the device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<Sid>,
    /// Node by node.
    pub outcomes: Vec<Outcome>,
}
