//! Groups: those of a directory, whom its agent brings, and the server's own.

use std::collections::BTreeSet;

use model::{Guid, Sid};

use crate::{
    Audit, Error, Listing, Page, Result, Store, policies,
    sql::{Listed, Put, Row, Sql, args, fields},
};

/// Where a group comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupKind {
    /// From a directory, through its agent.
    Synced {
        /// The domain.
        domain: Guid,
        /// objectSid.
        sid: Sid,
        /// distinguishedName when it was read.
        dn: String,
    },
    /// Made here.
    Own,
}

/// A group; its members are listed apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// objectGUID, or a random id of the server's.
    pub guid: Guid,
    /// Where it comes from.
    pub kind: GroupKind,
    /// sAMAccountName, or the name it was given here.
    pub name: String,
}

fn group(row: &Row) -> Result<Group> {
    let domain: Option<Guid> = row.get("domain")?;
    let kind = match domain {
        None => GroupKind::Own,
        Some(domain) => GroupKind::Synced {
            domain,
            sid: row.get("sid")?,
            dn: row.get("dn")?,
        },
    };
    Ok(Group {
        guid: row.get("guid")?,
        kind,
        name: row.get("name")?,
    })
}

fn by_guid(db: &dyn Sql, tenant: Guid, guid: Guid) -> Result<Option<Group>> {
    let sql = "SELECT * FROM groups WHERE tenant = ?1 AND guid = ?2";
    db.one(sql, args![tenant, guid], group)
}

const PUT: Put = Put {
    table: "groups",
    key: "tenant, guid",
    kept: "",
    only_if: " WHERE groups.domain = excluded.domain
         OR (groups.domain IS NULL AND excluded.domain IS NULL)",
};

/// Writes the group without its members; false where it is there already, of another domain.
pub(crate) fn put(db: &dyn Sql, tenant: Guid, group: &Group) -> Result<bool> {
    let (domain, sid, dn) = match &group.kind {
        GroupKind::Synced { domain, sid, dn } => (Some(domain), Some(sid), Some(dn)),
        GroupKind::Own => (None, None, None),
    };
    let row = fields! {
        tenant: tenant,
        guid: group.guid,
        domain: domain,
        sid: sid,
        dn: dn,
        name: group.name,
        name_key: group.name.to_lowercase(),
    };
    db.put_as(&PUT, row)
}

/// Makes `members` the direct members. Only the differences are written: a group of a hundred
/// thousand that one person has left costs one row.
pub(crate) fn put_members(db: &dyn Sql, tenant: Guid, group: Guid, members: &[Guid]) -> Result<()> {
    let sql = "SELECT member FROM members WHERE tenant = ?1 AND parent = ?2";
    let there: BTreeSet<Guid> = db
        .all(sql, args![tenant, group], |row| row.get("member"))?
        .into_iter()
        .collect();
    let wanted: BTreeSet<Guid> = members.iter().copied().collect();
    let row = |member: &Guid| args![tenant, group, member].to_vec();
    let gone: Vec<_> = there.difference(&wanted).map(row).collect();
    db.each(OUT, &gone)?;
    let new: Vec<_> = wanted.difference(&there).map(row).collect();
    db.each(IN, &new)?;
    match gone.is_empty() && new.is_empty() {
        true => Ok(()),
        false => policies::moved(db, tenant),
    }
}

const IN: &str = "INSERT INTO members (tenant, parent, member) VALUES (?1, ?2, ?3)
     ON CONFLICT DO NOTHING";
const OUT: &str = "DELETE FROM members WHERE tenant = ?1 AND parent = ?2 AND member = ?3";

/// Takes a principal that is no more out of the server's own groups. What groups of a directory hold
/// is their agent's to say, which says it once: whoever comes back is in them still.
pub(crate) fn leave_own(db: &dyn Sql, tenant: Guid, member: Guid) -> Result<()> {
    let sql = "DELETE FROM members WHERE tenant = ?1 AND member = ?2 AND EXISTS
         (SELECT 1 FROM groups g
          WHERE g.tenant = ?1 AND g.guid = members.parent AND g.domain IS NULL)";
    db.execute(sql, args![tenant, member]).map(|_| ())
}

/// Gives a member another id: groups hold what they held.
pub(crate) fn rename_member(db: &dyn Sql, tenant: Guid, old: Guid, new: Guid) -> Result<()> {
    let sql = "SELECT parent FROM members WHERE tenant = ?1 AND member = ?2";
    let groups: Vec<Guid> = db.all(sql, args![tenant, old], |row| row.get("parent"))?;
    let rows = |member: Guid| {
        groups
            .iter()
            .map(move |group| args![tenant, group, member].to_vec())
    };
    db.each(IN, &rows(new).collect::<Vec<_>>())?;
    db.each(OUT, &rows(old).collect::<Vec<_>>()).map(|_| ())
}

/// Deletes the group, its members' membership, its own in others, and its roles.
pub(crate) fn delete(db: &dyn Sql, tenant: Guid, guid: Guid) -> Result<()> {
    leave_own(db, tenant, guid)?;
    for (table, column) in [
        ("members", "parent"),
        ("role_assignments", "principal"),
        ("groups", "guid"),
    ] {
        let sql = format!("DELETE FROM {table} WHERE tenant = ?1 AND {column} = ?2");
        db.execute(&sql, args![tenant, guid])?;
    }
    policies::moved(db, tenant)
}

/// The groups that a principal is in, directly or through groups. UNION drops what was seen, so
/// that groups within each other come to an end.
pub(crate) const ABOVE: &str = "WITH RECURSIVE above (guid) AS (
       SELECT parent FROM members WHERE tenant = ?1 AND member = ?2
       UNION
       SELECT m.parent FROM above a JOIN members m ON m.tenant = ?1 AND m.member = a.guid
     )";

impl Store {
    /// By objectGUID.
    pub async fn group(&self, tenant: Guid, guid: Guid) -> Result<Option<Group>> {
        self.read(move |db| by_guid(db, tenant, guid)).await
    }

    /// Groups of that name, in any case.
    pub async fn groups_named(&self, tenant: Guid, name: &str) -> Result<Vec<Group>> {
        let name = name.to_lowercase();
        self.read(move |db| {
            let sql = "SELECT * FROM groups WHERE tenant = ?1 AND name_key = ?2 ORDER BY guid";
            db.all(sql, args![tenant, name], group)
        })
        .await
    }

    /// Groups by name.
    pub async fn groups(&self, tenant: Guid, page: Page) -> Result<Listing<Group>> {
        const GROUPS: Listed = Listed {
            table: "groups",
            name: "name_key",
            id: "guid",
        };
        self.read(move |db| GROUPS.page(db, tenant, &page, group))
            .await
    }

    /// Direct members of any kind, by id, behind `after`.
    pub async fn members(
        &self,
        tenant: Guid,
        group: Guid,
        after: Option<Guid>,
        most: u32,
    ) -> Result<Vec<Guid>> {
        self.read(move |db| {
            let after = after.map(|guid| guid.to_string()).unwrap_or_default();
            let sql = "SELECT member FROM members
                 WHERE tenant = ?1 AND parent = ?2 AND member > ?3 ORDER BY member LIMIT ?4";
            db.all(sql, args![tenant, group, after, most], |row| {
                row.get("member")
            })
        })
        .await
    }

    /// How many direct members a group has.
    pub async fn count_members(&self, tenant: Guid, group: Guid) -> Result<u64> {
        let sql = "SELECT count(*) FROM members WHERE tenant = ?1 AND parent = ?2";
        self.read(move |db| Ok(db.only(sql, args![tenant, group])?.unwrap_or(0)))
            .await
    }

    /// Whether `member` is in `group`, directly or through groups in it.
    pub async fn is_member(&self, tenant: Guid, member: Guid, group: Guid) -> Result<bool> {
        self.read(move |db| {
            let sql = format!("{ABOVE} SELECT EXISTS (SELECT 1 FROM above WHERE guid = ?3)");
            db.holds(&sql, args![tenant, member, group])
        })
        .await
    }

    /// Every group that `member` is in, directly or through groups.
    pub async fn groups_of(&self, tenant: Guid, member: Guid) -> Result<Vec<Guid>> {
        self.read(move |db| {
            let sql = format!("{ABOVE} SELECT guid FROM above ORDER BY guid");
            db.all(&sql, args![tenant, member], |row| row.get("guid"))
        })
        .await
    }

    /// Makes a group of the server's own. Contradicts what is stored where one has that name.
    pub async fn create_group(
        &self,
        tenant: Guid,
        guid: Guid,
        name: &str,
        audit: Audit,
    ) -> Result<()> {
        let group = own(guid, name);
        self.audited(tenant, audit, move |db| {
            expect_free(db, tenant, &group)?;
            put(db, tenant, &group).map(|_| ())
        })
        .await
    }

    /// Renames a group of the server's own; false where there is none.
    pub async fn rename_group(
        &self,
        tenant: Guid,
        guid: Guid,
        name: &str,
        audit: Audit,
    ) -> Result<bool> {
        let group = own(guid, name);
        self.audited(tenant, audit, move |db| {
            if !is_own(db, tenant, guid)? {
                return Ok(false);
            }
            expect_free(db, tenant, &group)?;
            put(db, tenant, &group)
        })
        .await
    }

    /// Deletes a group of the server's own; false where there is none.
    pub async fn delete_group(&self, tenant: Guid, guid: Guid, audit: Audit) -> Result<bool> {
        self.audited_policies(tenant, audit, move |db| {
            let is_there = is_own(db, tenant, guid)?;
            if is_there {
                delete(db, tenant, guid)?;
            }
            Ok(is_there)
        })
        .await
    }

    /// Puts a user, device or group into a group of the server's own; false where there is no such
    /// group, or it is in already.
    pub async fn add_member(
        &self,
        tenant: Guid,
        group: Guid,
        member: Guid,
        audit: Audit,
    ) -> Result<bool> {
        self.audited_policies(tenant, audit, move |db| {
            change_members(db, tenant, group, IN, member)
        })
        .await
    }

    /// Takes a member out of a group of the server's own; false where it was not in.
    pub async fn remove_member(
        &self,
        tenant: Guid,
        group: Guid,
        member: Guid,
        audit: Audit,
    ) -> Result<bool> {
        self.audited_policies(tenant, audit, move |db| {
            change_members(db, tenant, group, OUT, member)
        })
        .await
    }
}

fn change_members(
    db: &dyn Sql,
    tenant: Guid,
    group: Guid,
    sql: &str,
    member: Guid,
) -> Result<bool> {
    let is_change = is_own(db, tenant, group)? && db.touched(sql, args![tenant, group, member])?;
    if is_change {
        policies::moved(db, tenant)?;
    }
    Ok(is_change)
}

fn own(guid: Guid, name: &str) -> Group {
    Group {
        guid,
        kind: GroupKind::Own,
        name: name.to_owned(),
    }
}

fn is_own(db: &dyn Sql, tenant: Guid, guid: Guid) -> Result<bool> {
    let found = by_guid(db, tenant, guid)?;
    Ok(found.is_some_and(|group| group.kind == GroupKind::Own))
}

fn expect_free(db: &dyn Sql, tenant: Guid, group: &Group) -> Result<()> {
    let sql = "SELECT EXISTS (SELECT 1 FROM groups WHERE tenant = ?1 AND name_key = ?2
         AND guid <> ?3 AND domain IS NULL)";
    if db.holds(sql, args![tenant, group.name.to_lowercase(), group.guid])? {
        return Err(Error::Conflict("another group has this name"));
    }
    Ok(())
}
