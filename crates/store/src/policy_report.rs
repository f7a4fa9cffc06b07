//! What devices said became of their policies: of each its last report.

use model::{Guid, Sid, UnixTime};
use policy::merge::Outcome;

use crate::{
    Error, Result, Store,
    policies::written,
    sql::{Row, args, fields},
    store::Touches,
};

/// A device's last report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyReport {
    /// The device.
    pub device: Guid,
    /// The tag of the policies that it is about.
    pub etag: String,
    /// When it came.
    pub at: UnixTime,
    /// For the device itself, where the user is none, and for each user.
    pub outcomes: Vec<(Option<Sid>, Vec<Outcome>)>,
}

fn report(row: &Row) -> Result<PolicyReport> {
    let reports: String = row.get("reports")?;
    Ok(PolicyReport {
        device: row.get("device")?,
        etag: row.get("etag")?,
        at: row.get("at")?,
        outcomes: serde_json::from_str(&reports).map_err(|_| Error::Bug("reports"))?,
    })
}

impl Store {
    /// Keeps a device's report in the place of the one before.
    pub async fn keep_policy_report(&self, tenant: Guid, report: PolicyReport) -> Result<()> {
        self.write(Touches::Rows, move |db| {
            let row = fields! {
                tenant: tenant,
                device: report.device,
                etag: report.etag,
                reports: written(&report.outcomes)?,
                at: report.at,
            };
            db.put("policy_reports", "tenant, device", row)
        })
        .await
    }

    /// A device's last report.
    pub async fn policy_report(&self, tenant: Guid, device: Guid) -> Result<Option<PolicyReport>> {
        self.read(move |db| {
            let sql = "SELECT * FROM policy_reports WHERE tenant = ?1 AND device = ?2";
            db.one(sql, args![tenant, device], report)
        })
        .await
    }

    /// Reports of devices whose ids are behind `after`, by id.
    pub async fn policy_reports(
        &self,
        tenant: Guid,
        after: Option<Guid>,
        most: u32,
    ) -> Result<Vec<PolicyReport>> {
        self.read(move |db| {
            let after = after.map(|device| device.to_string()).unwrap_or_default();
            let sql = "SELECT * FROM policy_reports WHERE tenant = ?1 AND device > ?2
                 ORDER BY device LIMIT ?3";
            db.all(sql, args![tenant, after, most], report)
        })
        .await
    }
}
