//! Roles: who may do what in the administrator's interface, and over which part of it.

use model::Guid;

use crate::{
    Audit, Error, Result, Store, group,
    sql::{Row, Sql, args, fields, words},
};

words! {
    /// What a role lets its holder do.
    pub enum Role {
        /// Everything, roles too.
        Global = "global",
        /// Policies and settings.
        Policy = "policy",
        /// Factors and how people sign in.
        Authentication = "authentication",
        /// Passes, passwords and sessions of people without a role.
        Helpdesk = "helpdesk",
        /// Looking only.
        Reader = "reader",
    }
}

/// A role of a user, or of all in a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleAssignment {
    /// A user or a group.
    pub principal: Guid,
    /// The role.
    pub role: Role,
    /// The parts it is good for; all where there are none.
    pub scope_tags: Vec<Guid>,
}

/// A name for a part of what is administered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScopeTag {
    /// Its id.
    pub id: Guid,
    /// Its name.
    pub name: String,
    /// For people.
    pub description: String,
}

fn assignment(row: &Row) -> Result<RoleAssignment> {
    Ok(RoleAssignment {
        principal: row.get("principal")?,
        role: row.get("role")?,
        scope_tags: row.get("scope_tags")?,
    })
}

/// The roles that a user has, itself or through groups.
pub(crate) fn roles_of(db: &dyn Sql, tenant: Guid, user: Guid) -> Result<Vec<RoleAssignment>> {
    let sql = format!(
        "{} SELECT * FROM role_assignments WHERE tenant = ?1
         AND (principal = ?2 OR principal IN (SELECT guid FROM above))
         ORDER BY role, principal",
        group::ABOVE
    );
    db.all(&sql, args![tenant, user], assignment)
}

impl Store {
    /// Every assignment.
    pub async fn role_assignments(&self, tenant: Guid) -> Result<Vec<RoleAssignment>> {
        self.read(move |db| {
            let sql = "SELECT * FROM role_assignments WHERE tenant = ?1 ORDER BY principal, role";
            db.all(sql, args![tenant], assignment)
        })
        .await
    }

    /// The roles that a user has, itself or through groups.
    pub async fn roles_of(&self, tenant: Guid, user: Guid) -> Result<Vec<RoleAssignment>> {
        self.read(move |db| roles_of(db, tenant, user)).await
    }

    /// Gives a role; the same one with other scope tags is replaced.
    pub async fn assign_role(
        &self,
        tenant: Guid,
        assignment: RoleAssignment,
        audit: Audit,
    ) -> Result<()> {
        self.audited(tenant, audit, move |db| {
            db.put(
                "role_assignments",
                "tenant, principal, role",
                fields! {
                    tenant: tenant,
                    principal: assignment.principal,
                    role: assignment.role,
                    scope_tags: assignment.scope_tags,
                },
            )
        })
        .await
    }

    /// Takes a role; false where it was not given.
    pub async fn withdraw_role(
        &self,
        tenant: Guid,
        principal: Guid,
        role: Role,
        audit: Audit,
    ) -> Result<bool> {
        self.audited(tenant, audit, move |db| {
            let sql = "DELETE FROM role_assignments
                 WHERE tenant = ?1 AND principal = ?2 AND role = ?3";
            db.touched(sql, args![tenant, principal, role])
        })
        .await
    }

    /// Every scope tag, by name.
    pub async fn scope_tags(&self, tenant: Guid) -> Result<Vec<ScopeTag>> {
        self.read(move |db| {
            let sql = "SELECT * FROM scope_tags WHERE tenant = ?1 ORDER BY name, id";
            db.all(sql, args![tenant], |row| {
                Ok(ScopeTag {
                    id: row.get("id")?,
                    name: row.get("name")?,
                    description: row.get("description")?,
                })
            })
        })
        .await
    }

    /// Makes or changes a scope tag.
    pub async fn put_scope_tag(&self, tenant: Guid, tag: ScopeTag, audit: Audit) -> Result<()> {
        self.audited(tenant, audit, move |db| {
            db.put(
                "scope_tags",
                "tenant, id",
                fields! {
                    tenant: tenant, id: tag.id, name: tag.name, description: tag.description,
                },
            )
        })
        .await
    }

    /// Deletes a scope tag; false where it is unknown. Contradicts what is stored while a role is
    /// limited to it: without its last tag it would be limited to nothing.
    pub async fn delete_scope_tag(&self, tenant: Guid, id: Guid, audit: Audit) -> Result<bool> {
        self.audited(tenant, audit, move |db| {
            let sql = "SELECT * FROM role_assignments WHERE tenant = ?1";
            let is_used = db
                .all(sql, args![tenant], assignment)?
                .iter()
                .any(|assignment| assignment.scope_tags.contains(&id));
            if is_used {
                return Err(Error::Conflict("a role is limited to this scope tag"));
            }
            let sql = "DELETE FROM scope_tags WHERE tenant = ?1 AND id = ?2";
            db.touched(sql, args![tenant, id])
        })
        .await
    }
}
