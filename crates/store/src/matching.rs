//! Which user of the server's own a directory's user is, when it comes for the first time.
//!
//! *Invariant:* nobody comes to hold a role this way: who says what a directory's user is called may
//! not be who says who administers the server. A match is hard by the source anchor that an
//! administrator gave the user here, else soft by its principal name or mail address.
//!
//! The user keeps its groups and devices. What it proved itself by goes, for all of that is bound to
//! the id that it had: its password is the directory's from now on, and its factors and keys are
//! registered anew.

use model::Guid;

use crate::{
    Applied, Audit, Result, User, audit,
    directory::Place,
    group, role,
    sql::{Sql, args},
    user,
};

/// Why a change is not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Withheld {
    /// The object, or the name of a user, is none of the domain's.
    NotOurs,
    /// Another user of the domain's has the principal name.
    NameTaken,
    /// The user of the server's own that it matches holds a role.
    HoldsRole,
    /// It matches a user of the server's own by its source anchor, which the settings do not allow.
    HardMatchBlocked,
}

/// Who has a principal name: the id, and whether it is one of the server's own.
type Holder = (Guid, bool);

fn holders(db: &dyn Sql, tenant: Guid, user: &User) -> Result<Vec<Holder>> {
    let sql = "SELECT guid, domain FROM users WHERE tenant = ?1 AND upn_key = ?2 LIMIT 10";
    db.all(sql, args![tenant, user.upn.to_lowercase()], |row| {
        let domain: Option<Guid> = row.get("domain")?;
        Ok((row.get("guid")?, domain.is_none()))
    })
}

/// Whether `user`, one of `together`, may be put. A user of the server's own that it is gives way.
pub(crate) fn admit(
    db: &dyn Sql,
    place: &Place,
    user: &User,
    together: &[&User],
) -> Result<Applied> {
    let tenant = place.tenant;
    let holders = holders(db, tenant, user)?;
    let is_new = |guid: Guid| together.iter().any(|other| other.guid == guid);
    let name = user.upn.to_lowercase();
    let first = together
        .iter()
        .find(|other| other.upn.to_lowercase() == name);
    let is_taken = holders
        .iter()
        // While names move from one user to another, both have it until the second is put.
        .any(|(guid, is_own)| !is_own && *guid != user.guid && !is_new(*guid));
    if is_taken || first.is_some_and(|first| first.guid != user.guid) {
        return Ok(Err(Withheld::NameTaken));
    }
    let of_name = holders
        .iter()
        .find_map(|(guid, is_own)| is_own.then_some(*guid));
    let found = match found(db, place, user, of_name)? {
        Ok(found) => found,
        Err(withheld) => return Ok(Err(withheld)),
    };
    if let Some(own) = found {
        if holds_role(db, tenant, own)? {
            return Ok(Err(Withheld::HoldsRole));
        }
        give_way(db, tenant, own, user.guid)?;
        let row = Audit {
            at: place.now,
            actor: "server".to_owned(),
            action: "user.match",
            subject: format!("{own} is {} of the directory: {}", user.guid, user.upn),
        };
        audit::append(db, tenant, &row)?;
    }
    match of_name.filter(|own| found != Some(*own)) {
        // Nobody takes the name of an account that no directory has, or shuts it out by a second one.
        Some(_) => Ok(Err(Withheld::NotOurs)),
        None => Ok(Ok(())),
    }
}

/// The user of the server's own that `user` is.
fn found(
    db: &dyn Sql,
    Place {
        tenant, settings, ..
    }: &Place,
    user: &User,
    of_name: Option<Guid>,
) -> Result<std::result::Result<Option<Guid>, Withheld>> {
    if !settings.may_match() {
        return Ok(Ok(None));
    }
    let sql = "SELECT EXISTS (SELECT 1 FROM users WHERE tenant = ?1 AND guid = ?2)";
    if db.holds(sql, args![tenant, user.guid])? {
        return Ok(Ok(None));
    }
    let sql = "SELECT guid FROM users
         WHERE tenant = ?1 AND source_anchor = ?2 AND domain IS NULL LIMIT 1";
    let by_anchor: Option<Guid> = db.only(sql, args![tenant, user.source_anchor])?;
    if by_anchor.is_some() {
        return Ok(match settings.block_hard_match {
            true => Err(Withheld::HardMatchBlocked),
            false => Ok(by_anchor),
        });
    }
    if settings.block_soft_match {
        return Ok(Ok(None));
    }
    let Some(mail) = user.mail.as_ref().filter(|_| of_name.is_none()) else {
        return Ok(Ok(of_name));
    };
    let sql = "SELECT guid FROM users
         WHERE tenant = ?1 AND mail_key = ?2 AND domain IS NULL LIMIT 2";
    let by_mail = args![tenant, mail.to_lowercase()];
    let by_mail: Vec<Guid> = db.all(sql, by_mail, |row| row.get("guid"))?;
    Ok(Ok(match by_mail.as_slice() {
        [only] => Some(*only),
        _ => None,
    }))
}

/// Whether a role is the user's, itself or by a group.
fn holds_role(db: &dyn Sql, tenant: Guid, guid: Guid) -> Result<bool> {
    Ok(!role::roles_of(db, tenant, guid)?.is_empty())
}

fn give_way(db: &dyn Sql, tenant: Guid, own: Guid, new: Guid) -> Result<()> {
    group::rename_member(db, tenant, own, new)?;
    let sql = "UPDATE devices SET owner = ?3 WHERE tenant = ?1 AND owner = ?2";
    db.execute(sql, args![tenant, own, new])?;
    user::delete(db, tenant, own)
}
