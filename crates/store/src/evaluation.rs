//! What the agent last found a device's policy to demand, kept so that a domain controller need not
//! be asked for each key.

use model::{Guid, UnixTime};

use crate::{
    Result, Store,
    sql::{args, fields},
    store::Touches,
};

/// A policy as it was evaluated for a user on a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Evaluation {
    /// The key must be in hardware.
    pub requires_hardware: bool,
    /// When that was found.
    pub at: UnixTime,
}

impl Store {
    /// What was found last.
    pub async fn evaluation(
        &self,
        tenant: Guid,
        user: Guid,
        device: Guid,
    ) -> Result<Option<Evaluation>> {
        self.read(move |db| {
            let sql = "SELECT * FROM evaluations
                 WHERE tenant = ?1 AND account = ?2 AND device = ?3";
            db.one(sql, args![tenant, user, device], |row| {
                Ok(Evaluation {
                    requires_hardware: row.get("requires_hardware")?,
                    at: row.get("evaluated")?,
                })
            })
        })
        .await
    }

    /// Keeps what was found.
    pub async fn put_evaluation(
        &self,
        tenant: Guid,
        user: Guid,
        device: Guid,
        evaluation: Evaluation,
    ) -> Result<()> {
        self.write(Touches::Rows, move |db| {
            db.put(
                "evaluations",
                "tenant, account, device",
                fields! {
                    tenant: tenant,
                    account: user,
                    device: device,
                    requires_hardware: evaluation.requires_hardware,
                    evaluated: evaluation.at,
                },
            )
        })
        .await
    }
}
