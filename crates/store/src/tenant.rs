//! The tenant: whom this server serves, its administrators, its settings and its own keys.

use async_trait::async_trait;
use model::{Guid, UnixTime};

use crate::{Audit, Result};

/// A tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// Its id.
    pub id: Guid,
    /// Its name for people.
    pub name: String,
    /// When it was made.
    pub created: UnixTime,
}

/// An administrator of the tenant.
#[derive(Debug, Clone)]
pub struct Administrator {
    /// The name to sign in with.
    pub name: String,
    /// Argon2id in PHC form.
    pub password_hash: String,
}

/// The name of a secret of the tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SealedName {
    /// The key that signs tokens.
    TokenKey,
    /// The key that signs device certificates.
    DeviceCaKey,
    /// The certificate of that key; sealed only to keep it whole.
    DeviceCaCertificate,
}

impl SealedName {
    /// How it is stored, and the associated data it was sealed with.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TokenKey => "token-key",
            Self::DeviceCaKey => "device-ca-key",
            Self::DeviceCaCertificate => "device-ca-certificate",
        }
    }
}

/// A secret of the tenant, sealed under a key that the store does not have.
#[derive(Debug, Clone)]
pub struct Sealed {
    /// What it is.
    pub name: SealedName,
    /// Ciphertext.
    pub value: Vec<u8>,
}

/// What an administrator decides. `None` is what a new tenant has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// Whose members may register keys; without it nobody may.
    pub register_keys_group: Option<Guid>,
    /// Which computers may join; without it all of the domain.
    pub join_devices_group: Option<Guid>,
}

/// Tenants.
#[async_trait]
pub trait Tenants: Send + Sync {
    /// Makes the tenant with its first administrator and its keys, all or nothing.
    async fn create_tenant(
        &self,
        tenant: Tenant,
        administrator: Administrator,
        sealed: Vec<Sealed>,
        audit: Audit,
    ) -> Result<()>;

    /// The tenant of this store; `None` before `create_tenant`.
    async fn tenant(&self) -> Result<Option<Tenant>>;

    /// A secret of the tenant.
    async fn sealed(&self, tenant: Guid, name: SealedName) -> Result<Option<Vec<u8>>>;

    /// The settings.
    async fn settings(&self, tenant: Guid) -> Result<Settings>;

    /// Replaces the settings.
    async fn set_settings(&self, tenant: Guid, settings: Settings, audit: Audit) -> Result<()>;
}
