//! The tenant: whom this server serves, and its own keys.

use model::{Guid, UnixTime};

use crate::{
    Audit, Error, Result, Settings, SigningKey, Store, settings, signing_key,
    sql::{Row, Sql, args, fields},
};

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

/// The name of a secret of the tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SealedName {
    /// The key that signs device certificates.
    DeviceCaKey,
    /// The certificate of that key; sealed only to keep it whole.
    DeviceCaCertificate,
    /// The certificates of keys that signed device certificates before, and how long those are good.
    FormerDeviceCas,
    /// The recovery key K: it resets PINs.
    RecoveryKey,
}

impl SealedName {
    /// How it is stored, and the associated data it was sealed with.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DeviceCaKey => "device-ca-key",
            Self::DeviceCaCertificate => "device-ca-certificate",
            Self::FormerDeviceCas => "former-device-cas",
            Self::RecoveryKey => "recovery-key",
        }
    }
}

/// A secret of the tenant, sealed under a key that the store does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// What it is.
    pub name: SealedName,
    /// Ciphertext.
    pub value: Vec<u8>,
}

impl Store {
    /// Makes the tenant with its keys, all or nothing.
    pub async fn create_tenant(
        &self,
        tenant: Tenant,
        sealed: Vec<Sealed>,
        signing_key: SigningKey,
        audit: Audit,
    ) -> Result<()> {
        self.audited(tenant.id, audit, move |db| {
            if db.holds("SELECT EXISTS (SELECT 1 FROM tenants)", &[])? {
                return Err(Error::Conflict("there is a tenant already"));
            }
            let Tenant { id, name, created } = &tenant;
            db.insert("tenants", fields! { id: id, name: name, created: created })?;
            for secret in &sealed {
                let name = secret.name.as_str();
                let row = fields! { tenant: id, name: name, value: secret.value };
                db.insert("sealed", row)?;
            }
            signing_key::insert(db, *id, &signing_key)?;
            settings::put(db, *id, &Settings::default())
        })
        .await
    }

    /// The tenant of this store; `None` before `create_tenant`.
    pub async fn tenant(&self) -> Result<Option<Tenant>> {
        self.read(|db| {
            db.one("SELECT * FROM tenants", &[], |row| {
                Ok(Tenant {
                    id: row.get("id")?,
                    name: row.get("name")?,
                    created: row.get("created")?,
                })
            })
        })
        .await
    }

    /// Keeps secrets of the tenant, all or none, each in place of one of its name.
    pub async fn put_sealed(&self, tenant: Guid, sealed: Vec<Sealed>, audit: Audit) -> Result<()> {
        self.audited(tenant, audit, move |db| put_sealed(db, tenant, &sealed))
            .await
    }

    /// The same where another secret still is what the caller has seen; false where it is not.
    pub async fn exchange_sealed(
        &self,
        tenant: Guid,
        seen: Sealed,
        sealed: Vec<Sealed>,
        audit: Audit,
    ) -> Result<bool> {
        self.audited(tenant, audit, move |db| {
            if one_sealed(db, tenant, seen.name)?.as_ref() != Some(&seen.value) {
                return Ok(false);
            }
            put_sealed(db, tenant, &sealed).map(|()| true)
        })
        .await
    }

    /// A secret of the tenant.
    pub async fn sealed(&self, tenant: Guid, name: SealedName) -> Result<Option<Vec<u8>>> {
        self.read(move |db| one_sealed(db, tenant, name)).await
    }

    /// Several, as they are at one moment.
    pub async fn sealed_together(
        &self,
        tenant: Guid,
        names: &'static [SealedName],
    ) -> Result<Vec<Sealed>> {
        self.look_up(move |db| named(&db.query(SEALED, args![tenant])?, names))
            .await
    }
}

/// One statement: several would not be of one moment.
pub(crate) const SEALED: &str = "SELECT name, value FROM sealed WHERE tenant = ?1";

/// Those of so many that were asked for.
pub(crate) fn named(rows: &[Row], names: &[SealedName]) -> Result<Vec<Sealed>> {
    let mut found = Vec::new();
    for row in rows {
        let stored: String = row.get("name")?;
        if let Some(name) = names.iter().find(|name| name.as_str() == stored) {
            found.push(Sealed {
                name: *name,
                value: row.get("value")?,
            });
        }
    }
    Ok(found)
}

fn one_sealed(db: &dyn Sql, tenant: Guid, name: SealedName) -> Result<Option<Vec<u8>>> {
    let sql = "SELECT value FROM sealed WHERE tenant = ?1 AND name = ?2";
    db.only(sql, args![tenant, name.as_str()])
}

fn put_sealed(db: &dyn Sql, tenant: Guid, sealed: &[Sealed]) -> Result<()> {
    sealed.iter().try_for_each(|secret| {
        let name = secret.name.as_str();
        let row = fields! { tenant: tenant, name: name, value: secret.value };
        db.put("sealed", "tenant, name", row)
    })
}
