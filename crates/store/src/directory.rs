//! What an agent brings in from its directory: users, groups and computers.

use model::Guid;

use crate::{
    Computer, Group, GroupKind, Result, Store, User, computer, group,
    sql::{Sql, args},
    store::Touches,
    user,
};

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
    /// The user is this, whatever it was, but for from when on its tokens count.
    PutUser(User),
    /// The group is this, with these members.
    PutGroup(Group, Vec<Guid>),
    /// The computer is this.
    PutComputer(Computer),
    /// The object is no more. What hangs on a user goes with it, and its keys go out of AD; a
    /// device of a computer stays.
    Delete(ObjectKind, Guid),
}

fn table(kind: ObjectKind) -> &'static str {
    match kind {
        ObjectKind::User => "users",
        ObjectKind::Group => "groups",
        ObjectKind::Computer => "computers",
    }
}

/// Whether `domain` may say something about the object: it is unknown, or its own.
fn is_own(db: &dyn Sql, kind: ObjectKind, tenant: Guid, guid: Guid, domain: Guid) -> Result<bool> {
    let table = table(kind);
    let sql = format!("SELECT domain FROM {table} WHERE tenant = ?1 AND guid = ?2");
    let owner: Option<Option<Guid>> = db.only(&sql, args![tenant, guid])?;
    Ok(owner.is_none_or(|owner| owner == Some(domain)))
}

fn apply(db: &dyn Sql, tenant: Guid, domain: Guid, change: &DirectoryChange) -> Result<bool> {
    let (kind, guid, claimed) = match change {
        DirectoryChange::PutUser(user) => (ObjectKind::User, user.guid, user.domain()),
        DirectoryChange::PutGroup(group, _) => {
            let claimed = match &group.kind {
                GroupKind::Synced { domain, .. } => Some(*domain),
                GroupKind::Own => None,
            };
            (ObjectKind::Group, group.guid, claimed)
        }
        DirectoryChange::PutComputer(computer) => {
            (ObjectKind::Computer, computer.guid, Some(computer.domain))
        }
        DirectoryChange::Delete(kind, guid) => (*kind, *guid, Some(domain)),
    };
    if claimed != Some(domain) || !is_own(db, kind, tenant, guid, domain)? {
        return Ok(false);
    }
    match change {
        // Nobody takes the name of an account that no directory has, or shuts it out by a second one.
        DirectoryChange::PutUser(user) if user::is_of_own(db, tenant, user)? => return Ok(false),
        DirectoryChange::PutUser(user) => user::put(db, tenant, user)?,
        DirectoryChange::PutGroup(group, members) => {
            group::put(db, tenant, group)?;
            group::put_members(db, tenant, group.guid, members)?;
        }
        DirectoryChange::PutComputer(computer) => computer::put(db, tenant, computer)?,
        DirectoryChange::Delete(ObjectKind::User, guid) => user::delete(db, tenant, *guid)?,
        DirectoryChange::Delete(ObjectKind::Group, guid) => group::delete(db, tenant, *guid)?,
        DirectoryChange::Delete(ObjectKind::Computer, guid) => computer::delete(db, tenant, *guid)?,
    }
    Ok(true)
}

/// Whether somebody who waits may have to be told that this is over.
fn shuts_out(change: &DirectoryChange) -> bool {
    match change {
        DirectoryChange::PutUser(user) => !user.active,
        DirectoryChange::PutComputer(computer) => !computer.active,
        DirectoryChange::PutGroup(..) => false,
        DirectoryChange::Delete(kind, _) => *kind != ObjectKind::Group,
    }
}

impl Store {
    /// Makes every change, all in one commit; one answer per change, in order. False where the
    /// object belongs to another domain, or the principal name to a user of the server's own: an
    /// agent speaks for its own only.
    pub async fn apply(
        &self,
        tenant: Guid,
        domain: Guid,
        changes: Vec<DirectoryChange>,
    ) -> Result<Vec<bool>> {
        let touches = if changes.iter().any(shuts_out) {
            Touches::Keys
        } else {
            Touches::Rows
        };
        self.write(touches, move |db| {
            changes
                .iter()
                .map(|change| apply(db, tenant, domain, change))
                .collect()
        })
        .await
    }
}
