//! What an administrator decides for the whole tenant.

use model::Guid;
use serde::{Deserialize, Serialize};

use crate::{
    Audit, Error, Limit, Result, Store,
    sql::{Sql, args, fields, words},
};

words! {
    /// Whether a key must prove that it is in a TPM.
    pub enum Attestation {
        /// Nobody asks.
        Off = "off",
        /// It is noted; a key without it is taken.
        Prefer = "prefer",
        /// A key without it is refused.
        Require = "require",
    }
}

/// The settings; the default is what a new tenant has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// Whose members may register keys; without any nobody may.
    pub register_keys_groups: Vec<Guid>,
    /// Which computers and users may join devices; without any every computer of AD may, and no user.
    pub join_devices_groups: Vec<Guid>,
    /// The most devices that one user may own.
    pub devices_per_user: u32,
    /// Somebody without a second factor may register the first one with the password alone.
    pub password_enough_for_first_factor: bool,
    /// Whether keys must be attested.
    pub attestation: Attestation,
    /// The same for members of groups; the first that somebody is in wins.
    pub attestation_by_group: Vec<(Guid, Attestation)>,
    /// The TPM that a device shows first is believed to be one, where nobody vouches for it.
    pub trust_first_use: bool,
    /// Sign-in on another device (RFC 8628) is offered to applications that may use it.
    pub allow_device_code: bool,
    /// Sign-in by user name and password (RFC 6749 4.3) is offered to applications that may use it.
    pub allow_ropc: bool,
    /// How many wrong passwords shut the door.
    pub lockout: Limit,
    /// No user of the server's own becomes a directory's by its source anchor
    /// (BlockCloudObjectTakeoverThroughHardMatch).
    pub block_hard_match: bool,
    /// None does by its principal name or mail address (BlockSoftMatch).
    pub block_soft_match: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            register_keys_groups: Vec::new(),
            join_devices_groups: Vec::new(),
            devices_per_user: 20,
            password_enough_for_first_factor: false,
            attestation: Attestation::Prefer,
            attestation_by_group: Vec::new(),
            trust_first_use: true,
            allow_device_code: false,
            allow_ropc: false,
            lockout: Limit {
                tries: 5,
                window_s: 10 * 60,
                pause_s: 60,
            },
            block_hard_match: true,
            block_soft_match: true,
        }
    }
}

impl Settings {
    /// Whether a user of the server's own may become a directory's.
    pub(crate) fn may_match(&self) -> bool {
        !(self.block_hard_match && self.block_soft_match)
    }
}

impl Store {
    /// The settings.
    pub async fn settings(&self, tenant: Guid) -> Result<Settings> {
        self.look_up(move |db| {
            let sql = "SELECT body FROM settings WHERE tenant = ?1";
            let body: Option<String> = db.only(sql, args![tenant])?;
            let body = body.ok_or(Error::Bug("a tenant has no settings"))?;
            serde_json::from_str(&body).map_err(|_| Error::Bug("settings"))
        })
        .await
    }

    /// Replaces the settings.
    pub async fn set_settings(&self, tenant: Guid, settings: Settings, audit: Audit) -> Result<()> {
        self.audited(tenant, audit, move |db| put(db, tenant, &settings))
            .await
    }
}

pub(crate) fn put(db: &dyn Sql, tenant: Guid, settings: &Settings) -> Result<()> {
    let body = serde_json::to_string(settings).map_err(|_| Error::Bug("settings"))?;
    db.put("settings", "tenant", fields! { tenant: tenant, body: body })
}
