//! Tenant-wide enrollment configurations, as they are and as they were, and what a device got of them
//! when it joined.
//!
//! A configuration is changed from the version that whoever changes it has seen; the one before stays.

use model::{Guid, UnixTime};
use policy::assigned::{Enrollment, Given, Target};
use serde::{Deserialize, Serialize};

use crate::{
    Audit, Error, Result, Store,
    policies::{expect_groups, read_content, written},
    sql::{Row, Sql, args, fields},
    store::Touches,
};

/// What an administrator decides of a configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnrollmentContent {
    /// For people.
    pub name: String,
    /// For people.
    pub description: String,
    /// Who administers it, beside those who administer everything.
    pub scope_tags: Vec<Guid>,
    /// What it gives.
    pub enrollment: Enrollment,
    /// To whom; nobody is left to the default one.
    pub assignments: Vec<Target>,
}

/// A configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnrollmentConfiguration {
    /// The tenant's id for the default one, else a random one.
    pub id: Guid,
    /// 0 for the default one, which counts where no other does; of those that reach a device the lowest
    /// counts.
    pub priority: u32,
    /// What stands in it.
    pub content: EnrollmentContent,
    /// 1, and one more with each change.
    pub version: u32,
    /// When it was made.
    pub created: UnixTime,
    /// When it was changed last.
    pub modified: UnixTime,
    /// By whom.
    pub modified_by: String,
}

/// What a device got when it joined; later changes do not reach it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceEnrollment {
    /// The name of the configuration.
    pub configuration: String,
    /// Its values.
    pub given: Vec<Given>,
    /// When.
    pub at: UnixTime,
}

fn configuration(row: &Row) -> Result<EnrollmentConfiguration> {
    Ok(EnrollmentConfiguration {
        id: row.get("id")?,
        priority: row.get("priority")?,
        content: read_content(row)?,
        version: row.get("version")?,
        created: row.get("created")?,
        modified: row.get("modified")?,
        modified_by: row.get("modified_by")?,
    })
}

/// Keeps the version that is in force, which is about to be none any more.
fn keep(db: &dyn Sql, tenant: Guid, id: Guid) -> Result<()> {
    let sql = "INSERT INTO enrollment_versions
           (tenant, id, priority, version, content, created, modified, modified_by)
         SELECT tenant, id, priority, version, content, created, modified, modified_by
         FROM enrollment_configurations WHERE tenant = ?1 AND id = ?2";
    db.execute(sql, args![tenant, id]).map(|_| ())
}

fn by_id(db: &dyn Sql, tenant: Guid, id: Guid) -> Result<Option<EnrollmentConfiguration>> {
    let sql = "SELECT * FROM enrollment_configurations WHERE tenant = ?1 AND id = ?2";
    db.one(sql, args![tenant, id], configuration)
}

/// Whether a configuration may follow the one that is there, and is assigned to groups that are. The
/// default one is there before it is stored; what one was assigned to before may be gone.
fn expect_next(db: &dyn Sql, tenant: Guid, one: &EnrollmentConfiguration) -> Result<()> {
    let former = by_id(db, tenant, one.id)?;
    let is_next = match &former {
        Some(former) => former.version.checked_add(1) == Some(one.version),
        None => one.version == 1 || one.priority == 0,
    };
    if !is_next {
        return Err(Error::Conflict(
            "somebody else has changed this configuration meanwhile: look at it again",
        ));
    }
    let before = former.map_or_else(Vec::new, |former| former.content.assignments);
    let mut new = one.content.assignments.clone();
    new.retain(|target| !before.contains(target));
    expect_groups(db, tenant, &new)
}

impl Store {
    /// Every configuration that was made or changed, by priority.
    pub async fn enrollment_configurations(
        &self,
        tenant: Guid,
    ) -> Result<Vec<EnrollmentConfiguration>> {
        self.read(move |db| {
            let sql = "SELECT * FROM enrollment_configurations WHERE tenant = ?1
                 ORDER BY priority, id";
            db.all(sql, args![tenant], configuration)
        })
        .await
    }

    /// Makes configurations or their next versions, all at once, so that priorities can change places.
    /// Contradicts what is stored where another version is in force than the one before.
    pub async fn put_enrollment_configurations(
        &self,
        tenant: Guid,
        configurations: Vec<EnrollmentConfiguration>,
        audit: Audit,
    ) -> Result<()> {
        self.audited(tenant, audit, move |db| {
            for one in &configurations {
                expect_next(db, tenant, one)?;
                keep(db, tenant, one.id)?;
                let row = fields! {
                    tenant: tenant,
                    id: one.id,
                    priority: one.priority,
                    version: one.version,
                    content: written(&one.content)?,
                    created: one.created,
                    modified: one.modified,
                    modified_by: one.modified_by,
                };
                db.put("enrollment_configurations", "tenant, id", row)?;
            }
            Ok(())
        })
        .await
    }

    /// The former versions of a configuration, the newest first.
    pub async fn former_enrollment_configurations(
        &self,
        tenant: Guid,
        id: Guid,
    ) -> Result<Vec<EnrollmentConfiguration>> {
        self.read(move |db| {
            let sql = "SELECT * FROM enrollment_versions WHERE tenant = ?1 AND id = ?2
                 ORDER BY version DESC";
            db.all(sql, args![tenant, id], configuration)
        })
        .await
    }

    /// Deletes a configuration; its versions stay. False where there is none.
    pub async fn delete_enrollment_configuration(
        &self,
        tenant: Guid,
        id: Guid,
        audit: Audit,
    ) -> Result<bool> {
        self.audited(tenant, audit, move |db| {
            keep(db, tenant, id)?;
            let sql = "DELETE FROM enrollment_configurations WHERE tenant = ?1 AND id = ?2";
            db.touched(sql, args![tenant, id])
        })
        .await
    }

    /// Keeps what a device gets that joins: before it is there, so that none is without.
    pub async fn keep_device_enrollment(
        &self,
        tenant: Guid,
        device: Guid,
        enrollment: DeviceEnrollment,
    ) -> Result<()> {
        self.write(Touches::Rows, move |db| {
            let row = fields! {
                tenant: tenant,
                device: device,
                configuration: enrollment.configuration,
                given: written(&enrollment.given)?,
                at: enrollment.at,
            };
            db.put("device_enrollments", "tenant, device", row)
        })
        .await
    }

    /// What a device got when it joined; nothing where no configuration was there yet.
    pub async fn device_enrollment(
        &self,
        tenant: Guid,
        device: Guid,
    ) -> Result<Option<DeviceEnrollment>> {
        self.look_up(move |db| {
            let sql = "SELECT * FROM device_enrollments WHERE tenant = ?1 AND device = ?2";
            db.one(sql, args![tenant, device], |row| {
                let given: String = row.get("given")?;
                Ok(DeviceEnrollment {
                    configuration: row.get("configuration")?,
                    given: serde_json::from_str(&given).map_err(|_| Error::Bug("given"))?,
                    at: row.get("at")?,
                })
            })
        })
        .await
    }
}
