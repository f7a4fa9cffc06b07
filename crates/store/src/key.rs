//! Keys that users have registered, each on its way to AD or out of it.

use async_trait::async_trait;
use model::{Guid, Sid, UnixTime};
use tokio::sync::watch;

use crate::{Audit, Result};

/// Where a key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyState {
    /// Here; the agent has not said anything yet.
    Registered,
    /// In AD and read back.
    Confirmed,
    /// The agent refused it.
    Failed,
    /// The agent wants a fresh proof.
    NeedsProof,
    /// Deleted here; AD follows.
    Removing,
    /// Out of AD.
    Removed,
}

impl KeyState {
    /// How it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Registered => "registered",
            Self::Confirmed => "confirmed",
            Self::Failed => "failed",
            Self::NeedsProof => "needs_proof",
            Self::Removing => "removing",
            Self::Removed => "removed",
        }
    }

    /// On its way out, or gone.
    pub fn is_leaving(self) -> bool {
        matches!(self, Self::Removing | Self::Removed)
    }
}

/// A key to register.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// The id it gets where it is new.
    pub kid: Guid,
    /// Whose.
    pub user: Guid,
    /// The user's SID.
    pub sid: Sid,
    /// The user's domain: whose agent carries it.
    pub domain: Guid,
    /// The device that made it.
    pub device: Guid,
    /// BCRYPT RSA1 blob.
    pub material: Vec<u8>,
    /// What the device and the user signed, as it goes to the agent: JSON.
    pub evidence: Option<String>,
    /// What the TPM said of it: JSON, kept as it was sent.
    pub attestation: Option<String>,
    /// Unix milliseconds.
    pub now_ms: i64,
}

/// A key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Its id.
    pub kid: Guid,
    /// Whose.
    pub user: Guid,
    /// The user's SID.
    pub sid: Sid,
    /// The device that made it.
    pub device: Guid,
    /// BCRYPT RSA1 blob.
    pub material: Vec<u8>,
    /// Where it is.
    pub state: KeyState,
    /// Why it was refused.
    pub code: Option<String>,
    /// The same in words.
    pub detail: Option<String>,
    /// The domain controller that was written.
    pub dc: Option<String>,
    /// Unix milliseconds.
    pub registered_ms: i64,
    /// Unix milliseconds.
    pub confirmed_ms: Option<i64>,
}

impl Key {
    /// When it was registered, in seconds.
    pub fn created(&self) -> UnixTime {
        UnixTime(self.registered_ms.div_euclid(1000))
    }
}

/// What became of a registration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Registered {
    /// Stored under this id: the given one, or that of the same key where it was here already.
    Stored(Guid),
    /// The material is a key of another user or device.
    OfAnother,
}

/// Keys.
#[async_trait]
pub trait Keys: Send + Sync {
    /// Registers a key and puts its addition into the feed, in one commit. The same material of
    /// the same user and device keeps its id, and its newer evidence replaces what the agent has
    /// not dealt with. An older key of that user on that device is deleted on the way: its
    /// removal stands in the feed before the addition.
    async fn register_key(&self, tenant: Guid, key: NewKey, audit: Audit) -> Result<Registered>;

    /// One key.
    async fn key(&self, tenant: Guid, kid: Guid) -> Result<Option<Key>>;

    /// A user's keys, the newest first.
    async fn keys_of(&self, tenant: Guid, user: &Sid) -> Result<Vec<Key>>;

    /// Every key, the newest first.
    async fn keys(&self, tenant: Guid) -> Result<Vec<Key>>;

    /// Deletes a key and puts its removal into the feed, in one commit, also where its addition
    /// was never confirmed: the agent may be writing it now. Deleting one twice changes nothing,
    /// unless the agent refused the removal: then it is handed out again. False where the key is
    /// unknown.
    async fn delete_key(&self, tenant: Guid, kid: Guid, audit: Audit) -> Result<bool>;

    /// Changes with each commit that touched a key or the feed.
    fn watch_keys(&self) -> watch::Receiver<u64>;
}
