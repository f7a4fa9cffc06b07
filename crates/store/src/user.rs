//! Users of the directory.

use async_trait::async_trait;
use model::{Guid, Sid};

use crate::Result;

/// A user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// objectGUID.
    pub guid: Guid,
    /// The domain.
    pub domain: Guid,
    /// objectSid.
    pub sid: Sid,
    /// The principal name.
    pub upn: String,
    /// sAMAccountName.
    pub sam: String,
    /// For people.
    pub display_name: String,
    /// distinguishedName when it was read.
    pub dn: String,
    /// Not disabled in AD.
    pub active: bool,
}

/// Users.
#[async_trait]
pub trait Users: Send + Sync {
    /// By objectGUID.
    async fn user(&self, tenant: Guid, guid: Guid) -> Result<Option<User>>;

    /// By principal name, in any case; `None` where two users have it.
    async fn user_by_upn(&self, tenant: Guid, upn: &str) -> Result<Option<User>>;

    /// Every user, by principal name.
    async fn users(&self, tenant: Guid) -> Result<Vec<User>>;
}
