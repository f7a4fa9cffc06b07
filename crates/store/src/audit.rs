//! Who did what: one row for each act that an auditor would ask about, written with the act.

use async_trait::async_trait;
use model::{Guid, UnixTime};

use crate::Result;

/// A row to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audit {
    /// When.
    pub at: UnixTime,
    /// Who: `admin`, `agent:id`, `device:id` or `user:id`.
    pub actor: String,
    /// What, in a stable word.
    pub action: &'static str,
    /// To what.
    pub subject: String,
}

/// A row that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    /// When.
    pub at: UnixTime,
    /// Who.
    pub actor: String,
    /// What.
    pub action: String,
    /// To what.
    pub subject: String,
}

/// The audit log.
#[async_trait]
pub trait Audits: Send + Sync {
    /// The newest rows, the newest first.
    async fn audit_rows(&self, tenant: Guid, most: u32) -> Result<Vec<AuditRow>>;
}
