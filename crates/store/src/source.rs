//! Where an account has signed in from: an address or a device that it is known at is not shut out
//! by what others try elsewhere.

use model::{Guid, UnixTime};

use crate::{
    Result, Store,
    sql::{args, fields},
    store::Touches,
};

impl Store {
    /// Whether the account has signed in from there, so lately that it still counts.
    pub async fn is_known_source(
        &self,
        tenant: Guid,
        account: Guid,
        source: &str,
        now: UnixTime,
    ) -> Result<bool> {
        let source = source.to_owned();
        self.read(move |db| {
            let sql = "SELECT EXISTS (SELECT 1 FROM sources
                 WHERE tenant = ?1 AND account = ?2 AND source = ?3 AND expires > ?4)";
            db.holds(sql, args![tenant, account, source, now])
        })
        .await
    }

    /// Notes that the account has signed in from there; it counts until `expires`.
    pub async fn note_source(
        &self,
        tenant: Guid,
        account: Guid,
        source: &str,
        expires: UnixTime,
    ) -> Result<()> {
        let source = source.to_owned();
        self.write(Touches::Rows, move |db| {
            db.put(
                "sources",
                "tenant, account, source",
                fields! { tenant: tenant, account: account, source: source, expires: expires },
            )
        })
        .await
    }
}
