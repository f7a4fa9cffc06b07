//! Policies that administrators make: as they are, and as they were.
//!
//! A policy is changed as a whole, from the version that whoever changes it has seen. What policies come
//! to depends on groups too: whatever moves either moves the stamp, so that a reader who has seen the
//! stamp of now has nothing to look at anew.

use std::collections::BTreeSet;

use model::{Guid, Sid, UnixTime};
use policy::assigned::{Given, Target};
use serde::{Deserialize, Serialize};

use crate::{
    Audit, Error, Result, Store, group,
    sql::{Row, Sql, args, fields},
};

/// What an administrator decides of a policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyContent {
    /// For people, and in every report.
    pub name: String,
    /// For people.
    pub description: String,
    /// The template that it was made from.
    pub template: Option<String>,
    /// As its author named them.
    pub platforms: String,
    /// As its author named them.
    pub technologies: String,
    /// Who administers it, beside those who administer everything. The zero id is the default tag.
    pub scope_tags: Vec<Guid>,
    /// What it sets.
    pub values: Vec<Given>,
    /// Whom it reaches.
    pub assignments: Vec<Target>,
}

/// A policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// A random id.
    pub id: Guid,
    /// What stands in it.
    pub content: PolicyContent,
    /// 1, and one more with each change.
    pub version: u32,
    /// When it was made.
    pub created: UnixTime,
    /// When it was changed last.
    pub modified: UnixTime,
    /// By whom: the actor of the audit row.
    pub modified_by: String,
}

/// A version of a policy that another one has taken the place of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormerPolicy {
    /// Its number.
    pub version: u32,
    /// What stood in it.
    pub content: PolicyContent,
    /// When it was made.
    pub modified: UnixTime,
    /// By whom.
    pub modified_by: String,
}

/// Whom policies may reach by: the groups of a device, and of those at it who are known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reached {
    /// The device's groups, with those that these are in.
    pub device: BTreeSet<Guid>,
    /// The same of each user.
    pub users: Vec<(Sid, BTreeSet<Guid>)>,
}

pub(crate) fn read_content<T: serde::de::DeserializeOwned>(row: &Row) -> Result<T> {
    let text: String = row.get("content")?;
    serde_json::from_str(&text).map_err(|_| Error::Bug("content"))
}

pub(crate) fn written<T: Serialize>(content: &T) -> Result<String> {
    serde_json::to_string(content).map_err(|_| Error::Bug("content"))
}

fn policy(row: &Row) -> Result<Policy> {
    Ok(Policy {
        id: row.get("id")?,
        content: read_content(row)?,
        version: row.get("version")?,
        created: row.get("created")?,
        modified: row.get("modified")?,
        modified_by: row.get("modified_by")?,
    })
}

/// Notes that what policies come to may have changed.
pub(crate) fn moved(db: &dyn Sql, tenant: Guid) -> Result<()> {
    let sql = "INSERT INTO policy_stamps (tenant, stamp) VALUES (?1, 1)
         ON CONFLICT (tenant) DO UPDATE SET stamp = policy_stamps.stamp + 1";
    db.execute(sql, args![tenant]).map(|_| ())
}

fn by_id(db: &dyn Sql, tenant: Guid, id: Guid) -> Result<Option<Policy>> {
    let sql = "SELECT * FROM policies WHERE tenant = ?1 AND id = ?2";
    db.one(sql, args![tenant, id], policy)
}

fn put(db: &dyn Sql, tenant: Guid, policy: &Policy) -> Result<()> {
    let row = fields! {
        tenant: tenant,
        id: policy.id,
        name_key: policy.content.name.to_lowercase(),
        version: policy.version,
        content: written(&policy.content)?,
        created: policy.created,
        modified: policy.modified,
        modified_by: policy.modified_by,
    };
    db.put("policies", "tenant, id", row)?;
    moved(db, tenant)
}

/// Whether every group that is named is there: a policy for nobody would look like one for somebody.
pub(crate) fn expect_groups(db: &dyn Sql, tenant: Guid, targets: &[Target]) -> Result<()> {
    for target in targets {
        let (Target::Group(group) | Target::NotGroup(group)) = target else {
            continue;
        };
        let sql = "SELECT EXISTS (SELECT 1 FROM groups WHERE tenant = ?1 AND guid = ?2)";
        if !db.holds(sql, args![tenant, group])? {
            return Err(Error::Conflict(
                "a group that it is assigned to is not there",
            ));
        }
    }
    Ok(())
}

/// The groups of a principal, with those that these are in.
fn groups_of(db: &dyn Sql, tenant: Guid, member: Guid) -> Result<BTreeSet<Guid>> {
    let sql = format!("{} SELECT guid FROM above", group::ABOVE);
    let groups = db.all(&sql, args![tenant, member], |row| row.get("guid"))?;
    Ok(groups.into_iter().collect())
}

impl Store {
    /// Every policy, by name.
    pub async fn policies(&self, tenant: Guid) -> Result<Vec<Policy>> {
        self.read(move |db| {
            let sql = "SELECT * FROM policies WHERE tenant = ?1 ORDER BY name_key, id";
            db.all(sql, args![tenant], policy)
        })
        .await
    }

    /// One policy.
    pub async fn policy(&self, tenant: Guid, id: Guid) -> Result<Option<Policy>> {
        self.read(move |db| by_id(db, tenant, id)).await
    }

    /// What is other once policies, or whom they reach, are.
    pub async fn policy_stamp(&self, tenant: Guid) -> Result<u64> {
        self.read(move |db| {
            let sql = "SELECT stamp FROM policy_stamps WHERE tenant = ?1";
            Ok(db.only(sql, args![tenant])?.unwrap_or(0))
        })
        .await
    }

    /// Makes a policy. Contradicts what is stored where `most` are there, or a group is not.
    pub async fn create_policy(
        &self,
        tenant: Guid,
        policy: Policy,
        most: u32,
        audit: Audit,
    ) -> Result<()> {
        self.audited_policies(tenant, audit, move |db| {
            let sql = "SELECT count(*) FROM policies WHERE tenant = ?1";
            let count: u32 = db.only(sql, args![tenant])?.unwrap_or(0);
            if count >= most {
                return Err(Error::Conflict(
                    "there are as many policies as there may be",
                ));
            }
            expect_groups(db, tenant, &policy.content.assignments)?;
            put(db, tenant, &policy)
        })
        .await
    }

    /// Replaces what stands in a policy whose version is `seen`; the former one is kept. False where
    /// there is none of that version. Contradicts what is stored where a group is not there to which it
    /// was not assigned before.
    pub async fn change_policy(
        &self,
        tenant: Guid,
        (id, seen): (Guid, u32),
        content: PolicyContent,
        audit: Audit,
    ) -> Result<bool> {
        let (modified, modified_by) = (audit.at, audit.actor.clone());
        self.audited_policies(tenant, audit, move |db| {
            let found = by_id(db, tenant, id)?.filter(|policy| policy.version == seen);
            let Some(former) = found else {
                return Ok(false);
            };
            let new = content.assignments.iter().copied();
            let new: Vec<_> = new
                .filter(|target| !former.content.assignments.contains(target))
                .collect();
            expect_groups(db, tenant, &new)?;
            let row = fields! {
                tenant: tenant,
                policy: id,
                version: former.version,
                content: written(&former.content)?,
                modified: former.modified,
                modified_by: former.modified_by,
            };
            db.insert("policy_versions", row)?;
            let changed = Policy {
                content: content.clone(),
                version: former.version.saturating_add(1),
                modified,
                modified_by: modified_by.clone(),
                ..former
            };
            put(db, tenant, &changed)?;
            Ok(true)
        })
        .await
    }

    /// Deletes a policy; its former versions stay, and the one that was in force with them. False where
    /// there is none.
    pub async fn delete_policy(&self, tenant: Guid, id: Guid, audit: Audit) -> Result<bool> {
        self.audited_policies(tenant, audit, move |db| {
            let sql = "INSERT INTO policy_versions
                   (tenant, policy, version, content, modified, modified_by)
                 SELECT tenant, id, version, content, modified, modified_by FROM policies
                 WHERE tenant = ?1 AND id = ?2";
            db.execute(sql, args![tenant, id])?;
            let sql = "DELETE FROM policies WHERE tenant = ?1 AND id = ?2";
            let is_gone = db.touched(sql, args![tenant, id])?;
            if is_gone {
                moved(db, tenant)?;
            }
            Ok(is_gone)
        })
        .await
    }

    /// The former versions of a policy, the newest first.
    pub async fn former_policies(&self, tenant: Guid, id: Guid) -> Result<Vec<FormerPolicy>> {
        self.read(move |db| {
            let sql = "SELECT * FROM policy_versions WHERE tenant = ?1 AND policy = ?2
                 ORDER BY version DESC";
            db.all(sql, args![tenant, id], |row| {
                Ok(FormerPolicy {
                    version: row.get("version")?,
                    content: read_content(row)?,
                    modified: row.get("modified")?,
                    modified_by: row.get("modified_by")?,
                })
            })
        })
        .await
    }

    /// By what policies may reach a device and users at it, as one moment has it. A user whom nobody
    /// knows is left out.
    pub async fn reached(&self, tenant: Guid, device: Guid, users: Vec<Sid>) -> Result<Reached> {
        self.look_up(move |db| {
            let mut reached = Reached {
                device: groups_of(db, tenant, device)?,
                users: Vec::new(),
            };
            for sid in &users {
                let sql = "SELECT guid FROM users WHERE tenant = ?1 AND sid = ?2";
                if let Some(user) = db.only(sql, args![tenant, sid])? {
                    let groups = groups_of(db, tenant, user)?;
                    reached.users.push((sid.clone(), groups));
                }
            }
            Ok(reached)
        })
        .await
    }
}
