//! The sign-in log: what every try to get a token ended with. Rows are added, and go with their age.

use model::Guid;

use crate::{
    Result, Store,
    sql::{Row, args, fields},
    store::Touches,
};

/// A try to get a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignIn {
    /// Unix milliseconds.
    pub at_ms: i64,
    /// Who, where that is known.
    pub user: Option<Guid>,
    /// The user name as it was typed.
    pub name: String,
    /// The client.
    pub client: String,
    /// The audience that was asked for.
    pub resource: String,
    /// The device, where one has proved itself.
    pub device: Option<Guid>,
    /// The address that the request came from.
    pub ip: String,
    /// What was tried: the method, or the grant.
    pub stage: String,
    /// The AADSTS number of the refusal, or 0.
    pub result: u32,
    /// The id of the request.
    pub request: String,
}

/// A row of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignInRow {
    /// Its place: later ones are greater.
    pub id: u64,
    /// What was tried.
    pub sign_in: SignIn,
}

fn row(row: &Row) -> Result<SignInRow> {
    Ok(SignInRow {
        id: row.get("id")?,
        sign_in: SignIn {
            at_ms: row.get("at_ms")?,
            user: row.get("account")?,
            name: row.get("name")?,
            client: row.get("client")?,
            resource: row.get("resource")?,
            device: row.get("device")?,
            ip: row.get("ip")?,
            stage: row.get("stage")?,
            result: row.get("result")?,
            request: row.get("request")?,
        },
    })
}

impl Store {
    /// Appends to the log.
    pub async fn log_sign_ins(&self, tenant: Guid, sign_ins: Vec<SignIn>) -> Result<()> {
        self.write(Touches::Logs, move |db| {
            let row = |sign_in: &SignIn| {
                fields! {
                    tenant: tenant,
                    at_ms: sign_in.at_ms,
                    account: sign_in.user,
                    name: sign_in.name,
                    client: sign_in.client,
                    resource: sign_in.resource,
                    device: sign_in.device,
                    ip: sign_in.ip,
                    stage: sign_in.stage,
                    result: sign_in.result,
                    request: sign_in.request,
                }
                .to_vec()
            };
            let rows: Vec<_> = sign_ins.iter().map(row).collect();
            db.insert_each("sign_ins", &rows)
        })
        .await
    }

    /// The log behind a place, the oldest first: for whoever reads on.
    pub async fn sign_ins(&self, tenant: Guid, after: u64, most: u32) -> Result<Vec<SignInRow>> {
        self.read(move |db| {
            let sql = "SELECT * FROM sign_ins WHERE tenant = ?1 AND id > ?2 ORDER BY id LIMIT ?3";
            db.all(sql, args![tenant, after, most], row)
        })
        .await
    }

    /// Takes rows out that are from before a time, at most so many at once: nobody waits long behind it.
    /// How many there were.
    pub async fn prune_sign_ins(&self, tenant: Guid, before_ms: i64, most: u32) -> Result<u64> {
        self.write(Touches::Rows, move |db| {
            // In the order of their places, of which there is an index; a clock that was wrong for a
            // while leaves young rows between them.
            let sql = "DELETE FROM sign_ins WHERE tenant = ?1 AND id IN
                 (SELECT id FROM sign_ins WHERE tenant = ?1 AND at_ms < ?2 ORDER BY id LIMIT ?3)";
            db.execute(sql, args![tenant, before_ms, most])
        })
        .await
    }

    /// How many rows there are, or a few more: places are counted, not rows.
    pub async fn count_sign_ins(&self, tenant: Guid) -> Result<u64> {
        self.read(move |db| {
            let end = |order: &str| {
                let sql = format!(
                    "SELECT id FROM sign_ins WHERE tenant = ?1 ORDER BY id {order} LIMIT 1"
                );
                db.only::<u64>(&sql, args![tenant])
            };
            Ok(match (end("DESC")?, end("ASC")?) {
                (Some(last), Some(first)) => last.saturating_sub(first) + 1,
                _ => 0,
            })
        })
        .await
    }

    /// The newest rows before a place, the newest first; of one user or of all.
    pub async fn last_sign_ins(
        &self,
        tenant: Guid,
        user: Option<Guid>,
        before: Option<u64>,
        most: u32,
    ) -> Result<Vec<SignInRow>> {
        self.read(move |db| {
            let before = before.unwrap_or(u64::MAX);
            let Some(user) = user else {
                let sql = "SELECT * FROM sign_ins WHERE tenant = ?1 AND id < ?2
                     ORDER BY id DESC LIMIT ?3";
                return db.all(sql, args![tenant, before, most], row);
            };
            let sql = "SELECT * FROM sign_ins WHERE tenant = ?1 AND account = ?4 AND id < ?2
                 ORDER BY id DESC LIMIT ?3";
            db.all(sql, args![tenant, before, most, user], row)
        })
        .await
    }
}
