//! Which user of the server's own a directory's user is, when it comes for the first time.
//!
//! *Invariant:* nobody comes to hold a role this way: who says what a directory's user is called may
//! not be who says who administers the server. A match is hard by the source anchor that an
//! administrator gave the user here, else soft by its principal name or mail address.
//!
//! The user keeps its groups and devices. What it proved itself by goes, for all of that is bound to
//! the id that it had: its password is the directory's from now on, and its factors and keys are
//! registered anew.

use std::collections::{HashMap, HashSet};

use model::Guid;
use openssl::base64;

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
    /// This user of a directory has the source anchor too: nobody knows who of them it is about.
    AnchorTaken(Guid),
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

/// Users that are put in one commit.
pub(crate) struct Together {
    /// Who is the first of them with a principal name.
    names: HashMap<String, Guid>,
    /// Who of them has a source anchor.
    anchors: HashMap<String, Vec<Guid>>,
    guids: HashSet<Guid>,
}

impl Together {
    pub(crate) fn new(users: &[&User]) -> Self {
        let (mut names, mut anchors) = (HashMap::new(), HashMap::<_, Vec<_>>::new());
        for user in users {
            names.entry(user.upn.to_lowercase()).or_insert(user.guid);
            if let Some(anchor) = user.anchor() {
                anchors.entry(anchor).or_default().push(user.guid);
            }
        }
        Self {
            names,
            anchors,
            guids: users.iter().map(|user| user.guid).collect(),
        }
    }

    /// Whether another user has the name. While names move from one user to another, both have it
    /// until the second is put.
    fn is_taken(&self, user: &User, holders: &[Holder]) -> bool {
        let first = self.names.get(&user.upn.to_lowercase());
        let mut others = holders
            .iter()
            .filter(|(guid, is_own)| !is_own && *guid != user.guid);
        first.is_some_and(|first| *first != user.guid)
            || others.any(|(guid, _)| !self.guids.contains(guid))
    }
}

/// Another user of a directory that has the source anchor of `user`.
fn twin(db: &dyn Sql, tenant: Guid, user: &User, together: &Together) -> Result<Option<Guid>> {
    let Some(anchor) = user.anchor() else {
        return Ok(None);
    };
    let mut twins = together.anchors.get(&anchor).cloned().unwrap_or_default();
    let sql = "SELECT guid FROM users
         WHERE tenant = ?1 AND source_anchor = ?2 AND domain IS NOT NULL LIMIT 10";
    let mut known: Vec<Guid> = db.all(sql, args![tenant, anchor], |row| row.get("guid"))?;
    let named = base64::decode_block(&anchor).ok();
    if let Some(named) = named.and_then(|named| named.try_into().ok()) {
        let sql = "SELECT guid FROM users WHERE tenant = ?1 AND guid = ?2
             AND domain IS NOT NULL AND source_anchor IS NULL";
        let named = args![tenant, Guid::from_le_bytes(named)];
        known.extend(db.only::<Guid>(sql, named)?);
    }
    // Of those that are put together what they are to have counts, not what they had.
    twins.extend(known.iter().filter(|guid| !together.guids.contains(*guid)));
    Ok(twins.into_iter().find(|twin| *twin != user.guid))
}

/// Whether `user`, one of `together`, may be put. A user of the server's own that it is gives way.
pub(crate) fn admit(
    db: &dyn Sql,
    place: &Place,
    user: &User,
    together: &Together,
) -> Result<Applied> {
    let tenant = place.tenant;
    let holders = holders(db, tenant, user)?;
    if together.is_taken(user, &holders) {
        return Ok(Err(Withheld::NameTaken));
    }
    if let Some(twin) = twin(db, tenant, user, together)? {
        return Ok(Err(Withheld::AnchorTaken(twin)));
    }
    let own = holders.iter().find(|(_, is_own)| *is_own);
    let of_name = own.map(|(guid, _)| *guid);
    let found = match found(db, place, user, of_name)? {
        Ok(found) => found,
        Err(withheld) => return Ok(Err(withheld)),
    };
    // Nobody takes the name of an account that no directory has, or shuts it out by a second one.
    if of_name.is_some() && found != of_name {
        return Ok(Err(Withheld::NotOurs));
    }
    let Some(own) = found else {
        return Ok(Ok(()));
    };
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
    Ok(Ok(()))
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
    let by_anchor: Option<Guid> = db.only(sql, args![tenant, user.anchor()])?;
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
