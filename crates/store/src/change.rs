//! The feed of changes that an agent carries into AD.

use async_trait::async_trait;
use model::Guid;

use crate::{Key, Result};

/// What is to happen in AD.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeOp {
    /// The value goes in.
    Add,
    /// The value goes out.
    Remove,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its place in the feed.
    pub seq: u64,
    /// What is to happen.
    pub op: ChangeOp,
    /// With which key.
    pub key: Key,
    /// The evidence as it came in: JSON.
    pub evidence: Option<String>,
}

/// The outcome of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeOutcome {
    /// In AD and read back.
    Confirmed,
    /// Out of AD.
    Removed,
    /// Refused for good.
    Refused,
    /// Refused until there is a fresh proof.
    NeedsProof,
}

/// What an agent says became of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeResult {
    /// The change.
    pub seq: u64,
    /// The outcome.
    pub outcome: ChangeOutcome,
    /// The domain controller that was written.
    pub dc: Option<String>,
    /// Why it was refused.
    pub code: Option<String>,
    /// The same in words.
    pub detail: Option<String>,
}

/// The feed.
#[async_trait]
pub trait Changes: Send + Sync {
    /// The changes of a domain after `seq` whose outcome is not known, oldest first.
    async fn changes(
        &self,
        tenant: Guid,
        domain: Guid,
        after: u64,
        most: u32,
    ) -> Result<Vec<Change>>;

    /// The place of the tenant's newest change, open or not; 0 where there is none.
    async fn last_change(&self, tenant: Guid) -> Result<u64>;

    /// Stores outcomes. One for a change of another domain, or one that is known already, changes
    /// nothing. A key's state follows its newest change only.
    async fn store_results(
        &self,
        tenant: Guid,
        domain: Guid,
        results: Vec<ChangeResult>,
        now_ms: i64,
    ) -> Result<()>;
}
