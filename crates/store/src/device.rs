//! Devices: computers that have joined.

use async_trait::async_trait;
use model::{Guid, UnixTime};

use crate::{Audit, Result};

/// A joined device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// The computer's objectGUID.
    pub id: Guid,
    /// The computer's domain.
    pub domain: Guid,
    /// For people.
    pub display_name: String,
    /// For people.
    pub os_version: String,
    /// The certificate that was issued last, DER; earlier ones are worth nothing.
    pub certificate: Vec<u8>,
    /// The transport key as a BCRYPT RSA1 blob.
    pub transport_key: Vec<u8>,
    /// TPMT_PUBLIC of the attestation key, where the device told it.
    pub attestation_key: Option<Vec<u8>>,
    /// TPM2B_PUBLIC of the endorsement key, where the device told it.
    pub endorsement_key: Option<Vec<u8>>,
    /// The endorsement certificate, DER, where the device told it.
    pub endorsement_certificate: Option<Vec<u8>>,
    /// Switched off by an administrator where false.
    pub enabled: bool,
    /// When it last joined.
    pub joined: UnixTime,
}

/// Devices.
#[async_trait]
pub trait Devices: Send + Sync {
    /// Takes the device in; one that was there is replaced, but stays switched off if it was.
    async fn join_device(&self, tenant: Guid, device: Device, audit: Audit) -> Result<()>;

    /// One device.
    async fn device(&self, tenant: Guid, id: Guid) -> Result<Option<Device>>;

    /// Every device, by name.
    async fn devices(&self, tenant: Guid) -> Result<Vec<Device>>;

    /// Forgets the device; its keys stay until they are deleted. False where it is unknown.
    async fn remove_device(&self, tenant: Guid, id: Guid, audit: Audit) -> Result<bool>;
}
