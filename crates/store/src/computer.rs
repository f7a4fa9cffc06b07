//! Computers of the directory.

use model::{Guid, Sid};

use crate::{
    Listing, Page, Result, Store, key,
    sql::{Listed, Put, Sql, args, fields},
};

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

const PUT: Put = Put {
    table: "computers",
    key: "tenant, guid",
    kept: "",
    only_if: " WHERE computers.domain = excluded.domain",
};

/// Writes the computer with its certificates; false where it is there already, of another domain.
pub(crate) fn put(db: &dyn Sql, tenant: Guid, computer: &Computer) -> Result<bool> {
    let row = fields! {
        tenant: tenant,
        guid: computer.guid,
        domain: computer.domain,
        sid: computer.sid,
        name: computer.name,
        dn: computer.dn,
        active: computer.active,
    };
    if !db.put_as(&PUT, row)? {
        return Ok(false);
    }
    delete_certificates(db, tenant, computer.guid)?;
    for (place, der) in (0_u32..).zip(&computer.certificates) {
        let row = fields! { tenant: tenant, computer: computer.guid, place: place, der: der };
        db.insert("computer_certificates", row)?;
    }
    Ok(true)
}

fn delete_certificates(db: &dyn Sql, tenant: Guid, guid: Guid) -> Result<()> {
    let sql = "DELETE FROM computer_certificates WHERE tenant = ?1 AND computer = ?2";
    db.execute(sql, args![tenant, guid]).map(|_| ())
}

pub(crate) fn delete(db: &dyn Sql, tenant: Guid, guid: Guid) -> Result<()> {
    delete_certificates(db, tenant, guid)?;
    // A computer that is no more signs nobody in.
    key::remove_all(db, tenant, "device", guid)?;
    let sql = "DELETE FROM computers WHERE tenant = ?1 AND guid = ?2";
    db.execute(sql, args![tenant, guid]).map(|_| ())
}

fn by_guid(db: &dyn Sql, tenant: Guid, guid: Guid) -> Result<Option<Computer>> {
    let sql = "SELECT der FROM computer_certificates WHERE tenant = ?1 AND computer = ?2
         ORDER BY place";
    let certificates: Vec<Vec<u8>> = db.all(sql, args![tenant, guid], |row| row.get("der"))?;
    let sql = "SELECT * FROM computers WHERE tenant = ?1 AND guid = ?2";
    db.one(sql, args![tenant, guid], |row| {
        Ok(Computer {
            guid,
            domain: row.get("domain")?,
            sid: row.get("sid")?,
            name: row.get("name")?,
            dn: row.get("dn")?,
            active: row.get("active")?,
            certificates: certificates.clone(),
        })
    })
}

impl Store {
    /// By objectGUID.
    pub async fn computer(&self, tenant: Guid, guid: Guid) -> Result<Option<Computer>> {
        self.read(move |db| by_guid(db, tenant, guid)).await
    }

    /// Computers by objectGUID.
    pub async fn computers(&self, tenant: Guid, page: Page) -> Result<Listing<Computer>> {
        const COMPUTERS: Listed = Listed {
            table: "computers",
            name: "guid",
            id: "guid",
        };
        self.read(move |db| {
            let Listing { rows, next } =
                COMPUTERS.page(db, tenant, &page, |row| row.get("guid"))?;
            let found = rows.into_iter().map(|guid| by_guid(db, tenant, guid));
            let rows = found.filter_map(Result::transpose).collect::<Result<_>>()?;
            Ok(Listing { rows, next })
        })
        .await
    }
}
