//! What an agent brings in from its directory: users, groups and computers.

use async_trait::async_trait;
use model::Guid;

use crate::{Computer, Group, Result, User};

/// The kind of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectKind {
    /// A user.
    User,
    /// A group.
    Group,
    /// A computer.
    Computer,
}

/// One change of one object.
#[derive(Debug, Clone)]
pub enum DirectoryChange {
    /// The user is this, whatever it was.
    PutUser(User),
    /// The group is this, with these members.
    PutGroup(Group),
    /// The computer is this.
    PutComputer(Computer),
    /// The object is no more. Keys and devices of it stay on record.
    Delete(ObjectKind, Guid),
}

/// The directory's way in.
#[async_trait]
pub trait Directory: Send + Sync {
    /// Makes every change, all in one commit; one answer per change, in order. False where the
    /// object belongs to another domain: an agent speaks for its own only.
    async fn apply(
        &self,
        tenant: Guid,
        domain: Guid,
        changes: Vec<DirectoryChange>,
    ) -> Result<Vec<bool>>;
}
