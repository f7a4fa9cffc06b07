//! Statements that are good once: each is remembered for as long as it could be shown again.

use model::{Guid, UnixTime};

use crate::{
    Digest, Result, Store,
    sql::{Sql, args},
    store::Touches,
};

/// A statement to spend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spend {
    /// Which one it is: when its time is over, and of a hash what has room behind that.
    pub id: Digest,
    /// From then on nobody could show it again.
    pub until: UnixTime,
}

/// False where it was spent already.
fn spend(db: &dyn Sql, tenant: Guid, spend: &Spend, now: UnixTime) -> Result<bool> {
    db.touched(SPEND, args![tenant, spend.id, spend.until, now])
}

pub(crate) const SPEND: &str =
    "INSERT INTO spent_statements (tenant, id, expires) VALUES (?1, ?2, ?3)
     ON CONFLICT (tenant, id) DO UPDATE SET expires = excluded.expires
     WHERE spent_statements.expires <= ?4";

impl Store {
    /// Spends a statement; false where it was spent already.
    pub async fn spend(&self, tenant: Guid, statement: Spend, now: UnixTime) -> Result<bool> {
        self.sweep(now).await?;
        self.write(Touches::Rows, move |db| spend(db, tenant, &statement, now))
            .await
    }
}
