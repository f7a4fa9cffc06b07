//! What is counted, in the text form of Prometheus.
//!
//! Labels are routes, methods and statuses: nothing that a request could make up.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
};

use axum::{
    Router,
    extract::{MatchedPath, Request, State},
    http::{StatusCode, header::CONTENT_TYPE},
    middleware::Next,
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::time::Instant;

use crate::{app::App, error::Refusal, health, sign_in_log};

/// Upper bounds of the buckets of a request's time, in seconds.
const BUCKETS: [f64; 9] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0];

/// Route, method and status.
type Series = (String, String, u16);

#[derive(Default, Clone)]
struct Times {
    /// For each bucket, the requests that fell into it and no smaller one.
    counts: [u64; BUCKETS.len()],
    all: u64,
    seconds: f64,
}

/// The counts of this process.
#[derive(Default)]
pub(crate) struct Metrics {
    requests: Mutex<BTreeMap<Series, Times>>,
    connections: AtomicI64,
}

/// A connection that is open.
pub(crate) struct Open(Arc<Metrics>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Metrics {
    /// Counts a connection while it is open.
    pub(crate) fn opened(self: &Arc<Self>) -> Open {
        self.connections.fetch_add(1, Ordering::Relaxed);
        Open(Arc::clone(self))
    }

    fn count(&self, series: Series, seconds: f64) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let times = requests.entry(series).or_default();
        times.all += 1;
        times.seconds += seconds;
        let place = BUCKETS.iter().position(|bound| seconds <= *bound);
        if let Some(count) = place.and_then(|place| times.counts.get_mut(place)) {
            *count += 1;
        }
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(text, "# TYPE latchkey_request_seconds histogram")?;
        for ((route, method, status), times) in requests.iter() {
            let labels = format!("route=\"{route}\",method=\"{method}\",status=\"{status}\"");
            let mut below = 0;
            for (bound, count) in BUCKETS.iter().zip(times.counts) {
                below += count;
                let name = "latchkey_request_seconds_bucket";
                writeln!(text, "{name}{{{labels},le=\"{bound}\"}} {below}")?;
            }
            let all = times.all;
            writeln!(
                text,
                "latchkey_request_seconds_bucket{{{labels},le=\"+Inf\"}} {all}"
            )?;
            writeln!(
                text,
                "latchkey_request_seconds_sum{{{labels}}} {}",
                times.seconds
            )?;
            writeln!(text, "latchkey_request_seconds_count{{{labels}}} {all}")?;
        }
        let open = self.connections.load(Ordering::Relaxed);
        gauge(text, "latchkey_connections", open)
    }
}

fn gauge(text: &mut String, name: &str, value: impl std::fmt::Display) -> std::fmt::Result {
    writeln!(text, "# TYPE {name} gauge\n{name} {value}")
}

/// Counts a request under its route, and keeps what is noted of it. One that has no route is not counted:
/// anybody may make those up.
pub(crate) async fn counted(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let (method, begun) = (request.method().clone(), Instant::now());
    let response = sign_in_log::kept(&app, next.run(request)).await;
    if let Some(route) = route {
        let (route, status) = (route.as_str().to_owned(), response.status().as_u16());
        let series = (route, method.to_string(), status);
        app.metrics.count(series, begun.elapsed().as_secs_f64());
    }
    response
}

/// What is served on the listener for metrics, in clear: it is for the machine itself, or for a
/// network of administrators.
pub(crate) fn routes(app: Arc<App>) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .with_state(app)
}

async fn metrics(State(app): State<Arc<App>>) -> Result<Response, Refusal> {
    let (store, tenant) = (&app.store, app.tenant.id);
    let mut text = String::new();
    app.metrics.write(&mut text)?;
    let version = env!("CARGO_PKG_VERSION");
    gauge(
        &mut text,
        &format!("latchkey_build_info{{version=\"{version}\"}}"),
        1,
    )?;
    gauge(
        &mut text,
        "latchkey_users",
        store.count_users(tenant).await?,
    )?;
    gauge(
        &mut text,
        "latchkey_devices",
        store.count_devices(tenant).await?,
    )?;
    gauge(&mut text, "latchkey_keys", store.count_keys(tenant).await?)?;
    gauge(
        &mut text,
        "latchkey_sign_in_log_rows",
        store.count_sign_ins(tenant).await?,
    )?;
    gauge(
        &mut text,
        "latchkey_feed_last_change",
        store.last_change(tenant).await?,
    )?;
    let answer = (
        StatusCode::OK,
        [(CONTENT_TYPE, "text/plain; version=0.0.4")],
        text,
    );
    Ok(answer.into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_cumulative_and_the_last_one_is_everything() {
        let metrics = Arc::new(Metrics::default());
        let series = ("/x".to_owned(), "GET".to_owned(), 200);
        for seconds in [0.0005, 0.007, 0.007, 60.0] {
            metrics.count(series.clone(), seconds);
        }
        let _open = metrics.opened();
        let mut text = String::new();
        metrics.write(&mut text).unwrap();
        let labels = "route=\"/x\",method=\"GET\",status=\"200\"";
        for line in [
            format!("latchkey_request_seconds_bucket{{{labels},le=\"0.001\"}} 1"),
            format!("latchkey_request_seconds_bucket{{{labels},le=\"0.01\"}} 3"),
            format!("latchkey_request_seconds_bucket{{{labels},le=\"30\"}} 3"),
            format!("latchkey_request_seconds_bucket{{{labels},le=\"+Inf\"}} 4"),
            format!("latchkey_request_seconds_count{{{labels}}} 4"),
            "latchkey_connections 1".to_owned(),
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
    }
}
