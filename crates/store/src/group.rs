//! Groups of the directory.

use async_trait::async_trait;
use model::{Guid, Sid};

use crate::Result;

/// A group with its direct members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// objectGUID.
    pub guid: Guid,
    /// The domain.
    pub domain: Guid,
    /// objectSid.
    pub sid: Sid,
    /// sAMAccountName.
    pub name: String,
    /// distinguishedName when it was read.
    pub dn: String,
    /// objectGUIDs of direct members of any kind.
    pub members: Vec<Guid>,
}

/// Groups.
#[async_trait]
pub trait Groups: Send + Sync {
    /// Every group, by name.
    async fn groups(&self, tenant: Guid) -> Result<Vec<Group>>;

    /// Whether `member` is in `group`, directly or through groups in it.
    async fn is_member(&self, tenant: Guid, member: Guid, group: Guid) -> Result<bool>;
}
