//! The lockout values of devices' TPMs, sealed, and the codes by which devices take theirs back.
//!
//! A value goes out for a code that an administrator had made, once: whoever guesses ends the code.

use model::{Guid, UnixTime};

use crate::{
    Audit, Digest, Result, Store,
    sql::{Row, Sql, args, fields},
    store::Outcome,
};

/// Wrong codes that end the right one.
const WRONG: u32 = 5;

/// What a device takes its value back with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LockoutCode {
    /// A MAC of its text.
    pub digest: Digest,
    /// From then on it is worth nothing.
    pub expires: UnixTime,
}

/// What came of a code that was shown.
struct Taken(Option<Vec<u8>>);

impl Outcome for Taken {
    fn is_change(&self) -> bool {
        self.0.is_some()
    }
}

struct Kept {
    value: Vec<u8>,
    code: Option<Digest>,
    expires: Option<UnixTime>,
    wrong: u32,
}

fn kept(row: &Row) -> Result<Kept> {
    Ok(Kept {
        value: row.get("value")?,
        code: row.get("code")?,
        expires: row.get("expires")?,
        wrong: row.get("wrong")?,
    })
}

fn of(db: &dyn Sql, tenant: Guid, device: Guid) -> Result<Option<Kept>> {
    let sql = "SELECT * FROM lockouts WHERE tenant = ?1 AND device = ?2";
    db.one(sql, args![tenant, device], kept)
}

fn end_code(db: &dyn Sql, tenant: Guid, device: Guid) -> Result<()> {
    let sql = "UPDATE lockouts SET code = NULL, expires = NULL, wrong = 0
         WHERE tenant = ?1 AND device = ?2";
    db.execute(sql, args![tenant, device]).map(|_| ())
}

/// The value for a code; a wrong one is counted.
fn take(db: &dyn Sql, tenant: Guid, device: Guid, shown: (Digest, UnixTime)) -> Result<Taken> {
    let (digest, now) = shown;
    let Some(kept) = of(db, tenant, device)? else {
        return Ok(Taken(None));
    };
    let is_open = kept.code.is_some() && kept.expires.is_some_and(|end| now < end);
    if is_open && kept.code == Some(digest) {
        end_code(db, tenant, device)?;
        return Ok(Taken(Some(kept.value)));
    }
    if !is_open || kept.wrong + 1 >= WRONG {
        end_code(db, tenant, device)?;
        return Ok(Taken(None));
    }
    let sql = "UPDATE lockouts SET wrong = wrong + 1 WHERE tenant = ?1 AND device = ?2";
    db.execute(sql, args![tenant, device])?;
    Ok(Taken(None))
}

impl Store {
    /// The value of a device's TPM, as it was sealed.
    pub async fn lockout(&self, tenant: Guid, device: Guid) -> Result<Option<Vec<u8>>> {
        self.read(move |db| Ok(of(db, tenant, device)?.map(|kept| kept.value)))
            .await
    }

    /// Keeps a value in place of one that was there, whose code ends; false where the device is not
    /// there.
    pub async fn put_lockout(
        &self,
        tenant: Guid,
        device: Guid,
        value: Vec<u8>,
        audit: Audit,
    ) -> Result<bool> {
        self.audited(tenant, audit, move |db| {
            let sql = "SELECT EXISTS (SELECT 1 FROM devices WHERE tenant = ?1 AND id = ?2)";
            if !db.holds(sql, args![tenant, device])? {
                return Ok(false);
            }
            db.put(
                "lockouts",
                "tenant, device",
                fields! {
                    tenant: tenant,
                    device: device,
                    value: value,
                    code: None::<Digest>,
                    expires: None::<UnixTime>,
                    wrong: 0_u32,
                },
            )?;
            Ok(true)
        })
        .await
    }

    /// Gives a device a code, in place of an earlier one; false where it has no value.
    pub async fn set_lockout_code(
        &self,
        tenant: Guid,
        device: Guid,
        code: LockoutCode,
        audit: Audit,
    ) -> Result<bool> {
        self.audited(tenant, audit, move |db| {
            let sql = "UPDATE lockouts SET code = ?3, expires = ?4, wrong = 0
                 WHERE tenant = ?1 AND device = ?2";
            db.touched(sql, args![tenant, device, code.digest, code.expires])
        })
        .await
    }

    /// The value for its code, which is used up; `None` where the code is none, over, or ended by
    /// wrong ones, of which this may be one.
    pub async fn take_lockout(
        &self,
        tenant: Guid,
        device: Guid,
        digest: Digest,
        audit: Audit,
    ) -> Result<Option<Vec<u8>>> {
        let shown = (digest, audit.at);
        let work = move |db: &dyn Sql| take(db, tenant, device, shown);
        Ok(self.audited(tenant, audit, work).await?.0)
    }
}
