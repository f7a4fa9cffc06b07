//! Further names under which this server is reached.

use model::Guid;

use crate::{
    Audit, Result, Store,
    sql::{args, fields},
};

impl Store {
    /// Every further host name.
    pub async fn hosts(&self, tenant: Guid) -> Result<Vec<String>> {
        self.look_up(move |db| {
            let sql = "SELECT name FROM hosts WHERE tenant = ?1 ORDER BY name";
            db.all(sql, args![tenant], |row| row.get("name"))
        })
        .await
    }

    /// Adds a host name, in lower case; false where it is there already.
    pub async fn add_host(&self, tenant: Guid, name: &str, audit: Audit) -> Result<bool> {
        let name = name.to_lowercase();
        self.audited(tenant, audit, move |db| {
            db.add("hosts", fields! { tenant: tenant, name: name })
        })
        .await
    }

    /// Removes a host name; false where it is not there.
    pub async fn remove_host(&self, tenant: Guid, name: &str, audit: Audit) -> Result<bool> {
        let name = name.to_lowercase();
        self.audited(tenant, audit, move |db| {
            let sql = "DELETE FROM hosts WHERE tenant = ?1 AND name = ?2";
            db.touched(sql, args![tenant, name])
        })
        .await
    }
}
