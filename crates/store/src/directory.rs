//! What an agent brings in from its directory: users, groups and computers.

use model::{Guid, UnixTime};

use crate::{
    Computer, Error, Group, GroupKind, Result, Settings, Store, User, Withheld, computer, group,
    matching::{self, Together},
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

/// What became of a change.
pub type Applied = std::result::Result<(), Withheld>;

/// Where changes are made, and when.
pub(crate) struct Place {
    pub(crate) tenant: Guid,
    pub(crate) domain: Guid,
    pub(crate) settings: Settings,
    pub(crate) now: UnixTime,
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
fn apply(db: &dyn Sql, place: &Place, changes: &[DirectoryChange]) -> Result<Vec<Applied>> {
    let (tenant, domain) = (place.tenant, place.domain);
    let users: Vec<&User> = changes
        .iter()
        .filter_map(|change| match change {
            DirectoryChange::PutUser(user) => Some(user),
            _ => None,
        })
        .collect();
    if users.is_empty() {
        let one = |change| Ok(own(apply_one(db, tenant, domain, change)?));
        return changes.iter().map(one).collect();
    }
    let together = Together::new(&users);
    let may_be_put = |user: &&User| -> Result<Applied> {
        if user.domain() != Some(domain) {
            return Ok(Err(Withheld::NotOurs));
        }
        matching::admit(db, place, user, &together)
    };
    let mut applied: Vec<Applied> = users.iter().map(may_be_put).collect::<Result<_>>()?;
    let allowed = users.iter().zip(&applied);
    let allowed: Vec<&User> = allowed
        .filter_map(|(user, applied)| applied.is_ok().then_some(*user))
        .collect();
    let mut put = user::put(db, tenant, &allowed)?.into_iter();
    for applied in applied.iter_mut().filter(|applied| applied.is_ok()) {
        *applied = own(put.next().unwrap_or(false));
    }
    Ok(applied)
}

/// What became of a change of something that is the domain's or is not.
fn own(is_own: bool) -> Applied {
    match is_own {
        true => Ok(()),
        false => Err(Withheld::NotOurs),
    }
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
    /// Makes every change, all in one commit; one answer per change, in order. An agent speaks for
    /// its own domain only.
    pub async fn apply(
        &self,
        (tenant, domain): (Guid, Guid),
        changes: Vec<DirectoryChange>,
        now: UnixTime,
    ) -> Result<Vec<Applied>> {
        let place = Place {
            tenant,
            domain,
            settings: self.settings(tenant).await?,
            now,
        };
        let touches = if place.settings.may_match() || changes.iter().any(shuts_out) {
            Touches::Policies
        } else if changes.iter().any(is_of_group) {
            Touches::Groups
        } else {
            Touches::Rows
        };
        self.write(touches, move |db| {
            let runs = changes.chunk_by(|a, b| puts_user(a) == puts_user(b));
            let answers = runs.map(|run| apply(db, &place, run));
            Ok(answers.collect::<Result<Vec<_>>>()?.concat())
        })
        .await
    }
}
