//! The change feed: keys on their way to AD, and what the agent says became of them.

use std::sync::Arc;

use api::agent::{
    ChangeEvidence, ChangeKey, ChangeOp, ChangeResult, ChangeUser, Changes, ConfirmedKey,
    ConfirmedKeys, KeyChange, ResultState, StatusReport,
};
use axum::{
    Json,
    body::Bytes,
    extract::{Query, State},
    http::{HeaderMap, StatusCode},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use joints::Joint;
use model::sha256;
use serde::Deserialize;
use store::{Change, ChangeOutcome, KeyState};

use crate::{
    access,
    admin::tpms::hex,
    app::App,
    error::{Refusal, read_json},
    wait::Patience,
};

/// The most changes of one page, and results of one report.
const PAGE: u32 = 100;

/// The most keys of one page.
const CONFIRMED_PAGE: u32 = 500;

/// Begins every token; what follows is the place in the feed, which is nobody else's business.
const TOKEN: &str = "v1.";

/// The longest of each text that an agent says of a result.
const MAX_TEXT: usize = 4096;

/// `GET /agent/v1/changes?token=&wait=`.
#[derive(Deserialize)]
pub(crate) struct ChangesQuery {
    #[serde(default)]
    token: String,
    wait: Option<u32>,
}

fn malformed(sentence: &str) -> Refusal {
    Refusal::own(StatusCode::BAD_REQUEST, "bad_request", sentence)
}

/// The next page, as soon as there is anything on it.
pub(crate) async fn changes(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Query(query): Query<ChangesQuery>,
) -> Result<Json<Changes>, Refusal> {
    let agent = access::agent(&app, &headers).await?;
    let mut after = match query.token.as_str() {
        "" => 0,
        token => token
            .strip_prefix(TOKEN)
            .and_then(|place| place.parse().ok())
            .ok_or_else(|| malformed("the token is none of this feed"))?,
    };
    // Of a store that was there before this one, or before it was put back from a backup. From the
    // beginning is harmless: only changes whose outcome is not known are handed out.
    if after > app.store.last_change(app.tenant.id).await? {
        after = 0;
    }
    let mut patience = Patience::new(app.store.watch_keys(), query.wait);
    let page = loop {
        let page = app
            .store
            .changes(app.tenant.id, agent.domain, after, PAGE)
            .await?;
        if !page.is_empty() || !patience.lasts().await {
            break page;
        }
    };
    let last = page.last().map_or(after, |change| change.seq);
    let changes = page.into_iter().map(told).collect::<Result<Vec<_>, _>>()?;
    if !changes.is_empty() {
        tokio::task::spawn_blocking(|| joints::reach("server", Joint::ChangeServed)).await?;
    }
    Ok(Json(Changes {
        next: format!("{TOKEN}{last}"),
        changes,
    }))
}

fn told(change: Change) -> anyhow::Result<KeyChange> {
    let created = change.key.created();
    let evidence: Option<ChangeEvidence> = change
        .evidence
        .as_deref()
        .map(serde_json::from_str)
        .transpose()?;
    Ok(KeyChange {
        seq: change.seq,
        op: match change.op {
            store::ChangeOp::Add => ChangeOp::Add,
            store::ChangeOp::Remove => ChangeOp::Remove,
        },
        user: ChangeUser {
            anchor: change.key.user,
            sid: change.sid,
        },
        key: ChangeKey {
            kid: change.key.kid.to_string(),
            material: STANDARD.encode(&change.key.material),
            device: change.key.device,
            created,
        },
        evidence,
    })
}

/// `GET /agent/v1/keys?after=&removed=`.
#[derive(Deserialize)]
pub(crate) struct ConfirmedQuery {
    #[serde(default)]
    after: u64,
    /// An agent that does not know of removed ones would miss them.
    #[serde(default)]
    removed: bool,
}

/// Which keys AD has, for an agent that was not there when they were written.
pub(crate) async fn confirmed(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Query(query): Query<ConfirmedQuery>,
) -> Result<Json<ConfirmedKeys>, Refusal> {
    let agent = access::agent(&app, &headers).await?;
    let found = app
        .store
        .keys_in_directory(
            app.tenant.id,
            agent.domain,
            query.removed,
            query.after,
            CONFIRMED_PAGE,
        )
        .await?;
    let keys = found.into_iter().map(|(seq, key)| ConfirmedKey {
        seq,
        user: key.user,
        id: hex(&sha256(&key.material)),
        device: key.device,
        dc: key.dc,
        removed: key.state == KeyState::Removed,
    });
    Ok(Json(ConfirmedKeys {
        keys: keys.collect(),
    }))
}

/// `POST /agent/v1/status`. Reporting again changes nothing.
pub(crate) async fn status(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<StatusCode, Refusal> {
    let agent = access::agent(&app, &headers).await?;
    let report: StatusReport = read_json(&body)?;
    if report.results.len() > PAGE as usize {
        return Err(malformed("more than 100 results in one report"));
    }
    let results: Vec<_> = report.results.into_iter().map(heard).collect();
    let is_bounded = results.iter().all(|result| {
        [&result.dc, &result.code, &result.detail]
            .into_iter()
            .flatten()
            .all(|text| text.len() <= MAX_TEXT)
    });
    if !is_bounded {
        return Err(malformed("a text of a result is longer than 4,096 bytes"));
    }
    let now_ms = app.clock.now_ms();
    app.store
        .store_results(app.tenant.id, agent.domain, results, now_ms)
        .await?;
    tokio::task::spawn_blocking(|| joints::reach("server", Joint::StatusStored)).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn heard(result: ChangeResult) -> store::ChangeResult {
    store::ChangeResult {
        seq: result.seq,
        outcome: match result.state {
            ResultState::Confirmed => ChangeOutcome::Confirmed,
            ResultState::Removed => ChangeOutcome::Removed,
            ResultState::Refused => ChangeOutcome::Refused,
            ResultState::NeedsProof => ChangeOutcome::NeedsProof,
            ResultState::Lost => ChangeOutcome::Lost,
            ResultState::Everywhere => ChangeOutcome::Everywhere,
        },
        dc: result.dc,
        code: result.code,
        detail: result.detail,
    }
}
