//! Computers of the directory.

use async_trait::async_trait;
use model::{Guid, Sid};

use crate::Result;

/// A computer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Computer {
    /// objectGUID; the device id once it has joined.
    pub guid: Guid,
    /// The domain.
    pub domain: Guid,
    /// objectSid.
    pub sid: Sid,
    /// cn.
    pub name: String,
    /// distinguishedName when it was read.
    pub dn: String,
    /// Not disabled in AD.
    pub active: bool,
    /// userCertificate, DER each.
    pub certificates: Vec<Vec<u8>>,
}

/// Computers.
#[async_trait]
pub trait Computers: Send + Sync {
    /// By objectGUID.
    async fn computer(&self, tenant: Guid, guid: Guid) -> Result<Option<Computer>>;
}
