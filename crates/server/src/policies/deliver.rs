//! `GET /device/v1/policies`: everything that counts for a device, as soon as it is other than what the
//! device has.
//!
//! Ten thousand devices hold this request. While nothing moves each costs its connection and no more:
//! what a look at the policies needs is on the heap while it looks. A policy that is changed costs each device its own groups, and nothing where there is no policy.

use std::{io::Write as _, sync::Arc};

use api::policies::MAX_POLICY_USERS;
use axum::{
    body::Body,
    extract::{RawQuery, State},
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY},
    },
    response::{IntoResponse as _, Response},
};
use flate2::{Compression, write::GzEncoder};
use model::{Guid, Sid, sha256};
use store::Reached;

use super::{combined, known::Policies};
use crate::{access, app::App, error::Refusal, wait::Patience};

/// Answers that are shorter are not worth compressing: they are one segment either way.
const SHORT: usize = 1024;

/// `?user=SID&user=SID&wait=`.
struct Asked {
    users: Vec<Sid>,
    wait: Option<u32>,
}

fn malformed(sentence: &str) -> Refusal {
    Refusal::own(StatusCode::BAD_REQUEST, "bad_request", sentence)
}

fn asked(query: Option<&str>) -> Result<Asked, Refusal> {
    let pairs: Vec<(String, String)> = serde_urlencoded::from_str(query.unwrap_or_default())
        .map_err(|_| malformed("the query is not one of a form"))?;
    let mut asked = Asked {
        users: Vec::new(),
        wait: None,
    };
    for (name, value) in pairs {
        match name.as_str() {
            "user" => {
                let sid = value.parse().map_err(|_| malformed("`user` is a SID"))?;
                if !asked.users.contains(&sid) {
                    asked.users.push(sid);
                }
            }
            "wait" => {
                let wait = value.parse();
                asked.wait = Some(wait.map_err(|_| malformed("`wait` is a number of seconds"))?);
            }
            _ => {}
        }
    }
    if asked.users.len() > MAX_POLICY_USERS {
        return Err(malformed("more than 32 users"));
    }
    Ok(asked)
}

/// An answer with its tag.
struct Told {
    body: Vec<u8>,
    tag: String,
}

pub(crate) async fn deliver(
    State(app): State<Arc<App>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let asked = asked(query.as_deref())?;
    // Before the device is looked at: one that is switched off right after that is news.
    let mut patience = Patience::new(app.store.watch_policies(), asked.wait);
    let device = Box::pin(access::device(&app, &headers)).await?.id;
    // Its own bytes: the header's are a part of all that came, which would stay as long.
    let had = headers
        .get(IF_NONE_MATCH)
        .map(|had| had.as_bytes().to_owned());
    let takes_gzip = takes_gzip(&headers);
    drop((query, headers));
    let mut seen = None;
    loop {
        let news = news(&app, &mut seen, device, &asked.users);
        if let Some(told) = Box::pin(news).await?
            && had.as_deref() != Some(told.tag.as_bytes())
        {
            return answer(told, takes_gzip);
        }
        if !patience.lasts().await {
            let mut response = StatusCode::NOT_MODIFIED.into_response();
            if let Some(had) = had {
                response
                    .headers_mut()
                    .insert(ETAG, HeaderValue::from_bytes(&had)?);
            }
            return Ok(response);
        }
        // One that is switched off meanwhile waits no longer.
        Box::pin(access::joined(&app, device)).await?;
    }
}

/// What a device is told, where that may be other than when the policies were `seen`.
async fn news(
    app: &App,
    seen: &mut Option<u64>,
    device: Guid,
    users: &[Sid],
) -> Result<Option<Told>, Refusal> {
    let policies = app.policies.current(&app.store, app.tenant.id).await?;
    if seen.replace(policies.stamp) == Some(policies.stamp) {
        return Ok(None);
    }
    told(app, &policies, device, users).await.map(Some)
}

/// What a device is told; its tag is the hash of it.
async fn told(
    app: &App,
    policies: &Policies,
    device: Guid,
    users: &[Sid],
) -> Result<Told, Refusal> {
    let (store, tenant) = (&app.store, app.tenant.id);
    let reached = match policies.all.is_empty() {
        true => Reached::default(),
        false => store.reached(tenant, device, users.to_vec()).await?,
    };
    let enrollment = store.device_enrollment(tenant, device).await?;
    let all = combined::combined(&policies.all, tenant, &reached, enrollment.as_ref());
    let body = serde_json::to_vec(&all)?;
    let hash = sha256(&body).map(|byte| format!("{byte:02x}")).concat();
    Ok(Told {
        body,
        tag: format!("\"{hash}\""),
    })
}

/// The tag of what a device would be told now.
pub(super) async fn tag(app: &App, device: Guid, users: &[Sid]) -> Result<String, Refusal> {
    let policies = app.policies.current(&app.store, app.tenant.id).await?;
    Ok(told(app, &policies, device, users).await?.tag)
}

fn takes_gzip(headers: &HeaderMap) -> bool {
    let codings = headers
        .get_all(ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok());
    codings.flat_map(|value| value.split(',')).any(|coding| {
        let (name, quality) = coding.split_once(';').unwrap_or((coding, ""));
        let is_refused = matches!(quality.trim(), "q=0" | "q=0.0" | "q=0.00" | "q=0.000");
        name.trim().eq_ignore_ascii_case("gzip") && !is_refused
    })
}

fn answer(told: Told, takes_gzip: bool) -> Result<Response, Refusal> {
    let is_short = told.body.len() < SHORT;
    let mut response = Response::new(match takes_gzip && !is_short {
        true => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(&told.body)?;
            Body::from(encoder.finish()?)
        }
        false => Body::from(told.body),
    });
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
    headers.insert(ETAG, HeaderValue::from_str(&told.tag)?);
    if takes_gzip && !is_short {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    Ok(response)
}
