//! The audit log and the sign-in log, to look at and to carry elsewhere.
//!
//! With `after`, rows come oldest first behind that place, so that whoever asks again and again with
//! the last place gets every row once. Without it the newest come first.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Query, State},
    routing::get,
};
use serde::Deserialize;
use serde_json::{Value, json};
use store::{AuditRow, Chain, SignInRow};

use super::{
    caller::{Caller, needs},
    find,
    listing::Rows,
};
use crate::{
    app::App,
    clock::{rfc3339, rfc3339_ms},
    error::Refusal,
    roles::Action,
    routing::Paths,
};

/// The most rows of an answer.
const MOST: u32 = 1000;

pub(super) fn routes() -> Paths {
    Paths::new()
        .route("/audit", needs(Action::ReadLogs, get(audit)))
        .route("/audit/check", needs(Action::ReadLogs, get(check)))
        .route("/sign-ins", needs(Action::ReadLogs, get(sign_ins)))
}

/// `?after=&user=&most=`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Asked {
    after: Option<u64>,
    user: Option<String>,
    most: Option<u32>,
}

impl Asked {
    fn most(&self) -> u32 {
        self.most.unwrap_or(MOST).clamp(1, MOST)
    }

    /// What the next page is asked for with; there is one while pages are full.
    fn next(&self, count: usize, last: Option<u64>) -> Option<String> {
        let is_full = count >= self.most() as usize;
        last.filter(|_| self.after.is_some() && is_full)
            .map(|id| id.to_string())
    }
}

async fn audit(
    State(app): State<Arc<App>>,
    caller: Caller,
    Query(asked): Query<Asked>,
) -> Result<Rows, Refusal> {
    caller.expect_whole(Action::ReadLogs)?;
    let (store, tenant) = (&app.store, app.tenant.id);
    let rows = match asked.after {
        Some(after) => store.audit_after(tenant, after, asked.most()).await?,
        None => store.audit_rows(tenant, asked.most()).await?,
    };
    let next = asked.next(rows.len(), rows.last().map(|row| row.id));
    let rows = rows.iter().map(audit_told).collect();
    Ok(Rows { rows, next })
}

fn audit_told(row: &AuditRow) -> Value {
    let hash: String = row.hash.iter().map(|byte| format!("{byte:02x}")).collect();
    json!({
        "id": row.id,
        "at": rfc3339(row.at),
        "actor": row.actor,
        "action": row.action,
        "subject": row.subject,
        "hash": hash,
    })
}

async fn check(State(app): State<Arc<App>>, caller: Caller) -> Result<Json<Value>, Refusal> {
    caller.expect_whole(Action::ReadLogs)?;
    Ok(Json(match app.store.check_audit(app.tenant.id).await? {
        Chain::Whole(rows) => json!({ "whole": true, "rows": rows }),
        Chain::BrokenAt(id) => json!({ "whole": false, "broken_at": id }),
        Chain::CutOff => json!({ "whole": false, "cut_off": true }),
    }))
}

async fn sign_ins(
    State(app): State<Arc<App>>,
    caller: Caller,
    Query(asked): Query<Asked>,
) -> Result<Rows, Refusal> {
    caller.expect_whole(Action::ReadLogs)?;
    let (store, tenant) = (&app.store, app.tenant.id);
    let rows = match (asked.after, &asked.user) {
        (Some(after), _) => store.sign_ins(tenant, after, asked.most()).await?,
        (None, named) => {
            let user = match named {
                Some(named) => Some(find::user(&app, named).await?.guid),
                None => None,
            };
            store
                .last_sign_ins(tenant, user, None, asked.most())
                .await?
        }
    };
    let next = asked.next(rows.len(), rows.last().map(|row| row.id));
    let rows = rows.iter().map(sign_in_told).collect();
    Ok(Rows { rows, next })
}

fn sign_in_told(row: &SignInRow) -> Value {
    let sign_in = &row.sign_in;
    json!({
        "id": row.id,
        "at": rfc3339_ms(sign_in.at_ms),
        "user": sign_in.user,
        "name": sign_in.name,
        "client": sign_in.client,
        "resource": sign_in.resource,
        "device": sign_in.device,
        "address": sign_in.ip,
        "stage": sign_in.stage,
        "result": sign_in.result,
        "request": sign_in.request,
    })
}
