//! Devices: computers and whatever else has joined.

use model::{Guid, UnixTime, sha256};

use crate::{
    Audit, Digest, Listing, Page, Result, Store, group, key,
    sql::{Listed, Row, Sql, args, fields, words},
};

words! {
    /// Why an attestation key is believed to be in a TPM.
    pub enum AttestationTrust {
        /// It is not.
        None = "none",
        /// The first one that a device told is kept.
        FirstUse = "first_use",
        /// An administrator has named its endorsement key.
        Preapproved = "preapproved",
        /// A manufacturer vouches for its endorsement key.
        Chain = "chain",
    }
}

/// What is encrypted to a device (MS-DVRJ).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransportKey {
    /// A BCRYPT RSA1 blob.
    Rsa1(Vec<u8>),
    /// A JSON Web Key.
    Jwk(String),
}

/// A joined device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// The computer's objectGUID, or a random id where AD has no such computer.
    pub id: Guid,
    /// The computer's domain, where AD has one.
    pub domain: Option<Guid>,
    /// The user who joined it, where one did.
    pub owner: Option<Guid>,
    /// 0 joined, 4 registered, 6 hybrid, 8 deferred (MS-DVRJ 2.2.2.4, and what came after it).
    pub join_type: u8,
    /// For people.
    pub display_name: String,
    /// For people.
    pub os_version: String,
    /// The certificate that was issued last, DER; earlier ones of the same key are good to their end.
    pub certificate: Vec<u8>,
    /// What is encrypted to it, where the device told it.
    pub transport_key: Option<TransportKey>,
    /// TPMT_PUBLIC of the attestation key, where the device told it.
    pub attestation_key: Option<Vec<u8>>,
    /// Why that is believed.
    pub attestation_trust: AttestationTrust,
    /// SubjectPublicKeyInfo of the endorsement key, where the device told it.
    pub endorsement_key: Option<Vec<u8>>,
    /// SHA-256 of the one that it told first: no other is ever trusted by first use.
    pub endorsement_hash: Option<Digest>,
    /// The endorsement certificate, DER, where the device told it.
    pub endorsement_certificate: Option<Vec<u8>>,
    /// Switched off by an administrator where false.
    pub enabled: bool,
    /// When it last joined.
    pub joined: UnixTime,
    /// When it last proved itself.
    pub last_seen: Option<UnixTime>,
}

/// What is left of a device that was deleted, so that it can be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tombstone {
    /// The device.
    pub id: Guid,
    /// When.
    pub deleted: UnixTime,
    /// Who: the actor of the audit row.
    pub by: String,
}

/// One that is switched on, here and in AD if it is a computer of AD's.
pub(crate) const USABLE: &str = "SELECT d.* FROM devices d LEFT JOIN computers c
     ON c.tenant = d.tenant AND c.guid = d.id
     WHERE d.tenant = ?1 AND d.id = ?2 AND d.enabled = 1
       AND (d.domain IS NULL OR c.active = 1)";

pub(crate) fn device(row: &Row) -> Result<Device> {
    let jwk: Option<String> = row.get("transport_jwk")?;
    let rsa1: Option<Vec<u8>> = row.get("transport_key")?;
    Ok(Device {
        id: row.get("id")?,
        domain: row.get("domain")?,
        owner: row.get("owner")?,
        join_type: row.get("join_type")?,
        display_name: row.get("display_name")?,
        os_version: row.get("os_version")?,
        certificate: row.get("certificate")?,
        transport_key: rsa1.map(TransportKey::Rsa1).or(jwk.map(TransportKey::Jwk)),
        attestation_key: row.get("attestation_key")?,
        attestation_trust: row.get("attestation_trust")?,
        endorsement_key: row.get("endorsement_key")?,
        endorsement_hash: row.get("endorsement_hash")?,
        endorsement_certificate: row.get("endorsement_certificate")?,
        enabled: row.get("enabled")?,
        joined: row.get("joined")?,
        last_seen: row.get("last_seen")?,
    })
}

fn put(db: &dyn Sql, tenant: Guid, device: &Device) -> Result<()> {
    let (rsa1, jwk) = match &device.transport_key {
        None => (None, None),
        Some(TransportKey::Rsa1(blob)) => (Some(blob), None),
        Some(TransportKey::Jwk(text)) => (None, Some(text)),
    };
    db.put(
        "devices",
        "tenant, id",
        fields! {
            tenant: tenant,
            id: device.id,
            domain: device.domain,
            owner: device.owner,
            join_type: device.join_type,
            display_name: device.display_name,
            name_key: device.display_name.to_lowercase(),
            os_version: device.os_version,
            certificate: device.certificate,
            certificate_hash: sha256(&device.certificate),
            transport_key: rsa1,
            transport_jwk: jwk,
            attestation_key: device.attestation_key,
            attestation_trust: device.attestation_trust,
            endorsement_key: device.endorsement_key,
            endorsement_hash: device.endorsement_hash,
            endorsement_certificate: device.endorsement_certificate,
            enabled: device.enabled,
            joined: device.joined,
            last_seen: device.last_seen,
        },
    )
}

fn count_of(db: &dyn Sql, tenant: Guid, owner: Guid) -> Result<u64> {
    let sql = "SELECT count(*) FROM devices WHERE tenant = ?1 AND owner = ?2";
    Ok(db.only(sql, args![tenant, owner])?.unwrap_or(0))
}

impl Store {
    /// Takes the device in; one that was there is replaced, but stays switched off if it was. False
    /// where it is a new one, and its owner has `most` devices already.
    pub async fn join_device(
        &self,
        tenant: Guid,
        device: Device,
        most: Option<u32>,
        audit: Audit,
    ) -> Result<bool> {
        self.audited(tenant, audit, move |db| {
            let sql = "SELECT enabled FROM devices WHERE tenant = ?1 AND id = ?2";
            let enabled: Option<bool> = db.only(sql, args![tenant, device.id])?;
            if let (None, Some(owner), Some(most)) = (enabled, device.owner, most)
                && count_of(db, tenant, owner)? >= u64::from(most)
            {
                return Ok(false);
            }
            let device = Device {
                enabled: enabled.unwrap_or(device.enabled),
                ..device.clone()
            };
            let sql = "DELETE FROM device_tombstones WHERE tenant = ?1 AND id = ?2";
            db.execute(sql, args![tenant, device.id])?;
            put(db, tenant, &device)?;
            Ok(true)
        })
        .await
    }

    /// One device, where it is switched on, here and in AD if it is a computer of AD's.
    pub async fn usable_device(&self, tenant: Guid, id: Guid) -> Result<Option<Device>> {
        self.look_up(move |db| db.one(USABLE, args![tenant, id], device))
            .await
    }

    /// One device.
    pub async fn device(&self, tenant: Guid, id: Guid) -> Result<Option<Device>> {
        self.look_up(move |db| {
            let sql = "SELECT * FROM devices WHERE tenant = ?1 AND id = ?2";
            db.one(sql, args![tenant, id], device)
        })
        .await
    }

    /// The device whose current certificate has this SHA-256.
    pub async fn device_by_certificate(
        &self,
        tenant: Guid,
        hash: Digest,
    ) -> Result<Option<Device>> {
        self.read(move |db| {
            let sql = "SELECT * FROM devices WHERE tenant = ?1 AND certificate_hash = ?2";
            db.one(sql, args![tenant, hash], device)
        })
        .await
    }

    /// Devices by name.
    pub async fn devices(&self, tenant: Guid, page: Page) -> Result<Listing<Device>> {
        const DEVICES: Listed = Listed {
            table: "devices",
            name: "name_key",
            id: "id",
        };
        self.read(move |db| DEVICES.page(db, tenant, &page, device))
            .await
    }

    /// The devices that a user owns, the newest first.
    pub async fn devices_of(&self, tenant: Guid, owner: Guid) -> Result<Vec<Device>> {
        self.read(move |db| {
            let sql = "SELECT * FROM devices WHERE tenant = ?1 AND owner = ?2
                 ORDER BY joined DESC, id";
            db.all(sql, args![tenant, owner], device)
        })
        .await
    }

    /// How many devices there are.
    pub async fn count_devices(&self, tenant: Guid) -> Result<u64> {
        let sql = "SELECT count(*) FROM devices WHERE tenant = ?1";
        self.read(move |db| Ok(db.only(sql, args![tenant])?.unwrap_or(0)))
            .await
    }

    /// Switches a device on or off, and wakes it where it waits; false where it is unknown.
    pub async fn set_device_enabled(
        &self,
        tenant: Guid,
        id: Guid,
        enabled: bool,
        audit: Audit,
    ) -> Result<bool> {
        self.audited_policies(tenant, audit, move |db| {
            let sql = "UPDATE devices SET enabled = ?3 WHERE tenant = ?1 AND id = ?2";
            db.touched(sql, args![tenant, id, enabled])
        })
        .await
    }

    /// Keeps a newer certificate of a device's; false where the device is unknown.
    pub async fn renew_device_certificate(
        &self,
        tenant: Guid,
        id: Guid,
        certificate: Vec<u8>,
        audit: Audit,
    ) -> Result<bool> {
        let hash = sha256(&certificate);
        self.audited(tenant, audit, move |db| {
            let sql = "UPDATE devices SET certificate = ?3, certificate_hash = ?4
                 WHERE tenant = ?1 AND id = ?2";
            db.touched(sql, args![tenant, id, certificate, hash])
        })
        .await
    }

    /// Notes why a device's attestation key is believed; false where the device is unknown, or has
    /// told another key meanwhile.
    pub async fn set_attestation_trust(
        &self,
        tenant: Guid,
        id: Guid,
        attestation_key: Vec<u8>,
        trust: AttestationTrust,
        audit: Audit,
    ) -> Result<bool> {
        self.audited(tenant, audit, move |db| {
            let sql = "UPDATE devices SET attestation_trust = ?4
                 WHERE tenant = ?1 AND id = ?2 AND attestation_key = ?3";
            db.touched(sql, args![tenant, id, attestation_key, trust])
        })
        .await
    }

    /// Notes that a device has proved itself.
    pub async fn device_seen(&self, tenant: Guid, id: Guid, now: UnixTime) -> Result<()> {
        self.write(crate::store::Touches::Rows, move |db| {
            let sql = "UPDATE devices SET last_seen = ?3 WHERE tenant = ?1 AND id = ?2";
            db.execute(sql, args![tenant, id, now]).map(|_| ())
        })
        .await
    }

    /// Deletes a device, with its tokens and its keys, whose removals go into the feed; what is left
    /// is a tombstone. False where it is unknown.
    pub async fn delete_device(&self, tenant: Guid, id: Guid, audit: Audit) -> Result<bool> {
        let (deleted, by) = (audit.at, audit.actor.clone());
        self.audited_policies(tenant, audit, move |db| {
            let sql = "DELETE FROM devices WHERE tenant = ?1 AND id = ?2";
            if !db.touched(sql, args![tenant, id])? {
                return Ok(false);
            }
            for table in [
                "prts",
                "refresh_families",
                "sessions",
                "codes",
                "attempts",
                "evaluations",
                "lockouts",
                "device_enrollments",
                "policy_reports",
            ] {
                let sql = format!("DELETE FROM {table} WHERE tenant = ?1 AND device = ?2");
                db.execute(&sql, args![tenant, id])?;
            }
            group::leave_own(db, tenant, id)?;
            key::remove_all(db, tenant, "device", id)?;
            db.put(
                "device_tombstones",
                "tenant, id",
                fields! { tenant: tenant, id: id, deleted: deleted, deleted_by: by },
            )?;
            Ok(true)
        })
        .await
    }

    /// What is left of a device that was deleted.
    pub async fn tombstone(&self, tenant: Guid, id: Guid) -> Result<Option<Tombstone>> {
        self.read(move |db| {
            let sql = "SELECT * FROM device_tombstones WHERE tenant = ?1 AND id = ?2";
            db.one(sql, args![tenant, id], |row| {
                Ok(Tombstone {
                    id,
                    deleted: row.get("deleted")?,
                    by: row.get("deleted_by")?,
                })
            })
        })
        .await
    }
}
