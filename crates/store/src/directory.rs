//! What an agent brings in from its directory: users, groups and computers.

use model::Guid;

use crate::{
    Computer, Error, Group, GroupKind, Result, Store, User, computer, group,
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

/// Makes changes of which either all or none put a user.
fn apply(
    db: &dyn Sql,
    tenant: Guid,
    domain: Guid,
    changes: &[DirectoryChange],
) -> Result<Vec<bool>> {
    let users: Vec<&User> = changes
        .iter()
        .filter_map(|change| match change {
            DirectoryChange::PutUser(user) => Some(user),
            _ => None,
        })
        .collect();
    if users.is_empty() {
        let one = |change| apply_one(db, tenant, domain, change);
        return changes.iter().map(one).collect();
    }
    // Nobody takes the name of an account that no directory has, or shuts it out by a second one.
    let may_be_put = |user: &&User| -> Result<bool> {
        Ok(user.domain() == Some(domain) && !user::is_of_own(db, tenant, user)?)
    };
    let allowed: Vec<bool> = users.iter().map(may_be_put).collect::<Result<_>>()?;
    if allowed.iter().all(|allowed| *allowed) {
        return user::put(db, tenant, &users);
    }
    let one =
        |(user, allowed): (&&User, bool)| Ok(allowed && user::put(db, tenant, &[*user])? == [true]);
    users.iter().zip(allowed).map(one).collect()
}

fn apply_one(db: &dyn Sql, tenant: Guid, domain: Guid, change: &DirectoryChange) -> Result<bool> {
    match change {
        DirectoryChange::PutUser(_) => Err(Error::Bug("a user among other changes")),
        DirectoryChange::PutGroup(group, members) => {
            let is_of_domain =
                matches!(group.kind, GroupKind::Synced { domain: of, .. } if of == domain);
            if !is_of_domain || !group::put(db, tenant, group)? {
                return Ok(false);
            }
            group::put_members(db, tenant, group.guid, members)?;
            Ok(true)
        }
        DirectoryChange::PutComputer(computer) => {
            Ok(computer.domain == domain && computer::put(db, tenant, computer)?)
        }
        DirectoryChange::Delete(kind, guid) => {
            if !is_own(db, *kind, tenant, *guid, domain)? {
                return Ok(false);
            }
            match kind {
                ObjectKind::User => user::delete(db, tenant, *guid)?,
                ObjectKind::Group => group::delete(db, tenant, *guid)?,
                ObjectKind::Computer => computer::delete(db, tenant, *guid)?,
            }
            Ok(true)
        }
    }
}

fn puts_user(change: &DirectoryChange) -> bool {
    matches!(change, DirectoryChange::PutUser(_))
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

/// Whether somebody may be in another group afterwards.
fn is_of_group(change: &DirectoryChange) -> bool {
    matches!(
        change,
        DirectoryChange::PutGroup(..) | DirectoryChange::Delete(ObjectKind::Group, _)
    )
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
            Touches::Policies
        } else if changes.iter().any(is_of_group) {
            Touches::Groups
        } else {
            Touches::Rows
        };
        self.write(touches, move |db| {
            let runs = changes.chunk_by(|a, b| puts_user(a) == puts_user(b));
            let answers = runs.map(|run| apply(db, tenant, domain, run));
            Ok(answers.collect::<Result<Vec<_>>>()?.concat())
        })
        .await
    }
}
