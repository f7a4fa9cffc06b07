//! Whether the server is there, and whether it can serve.

use std::{sync::Arc, time::Duration};

use axum::{extract::State, http::StatusCode};
use tokio::time::timeout;

use crate::app::App;

/// How long the store may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// `GET /healthz`: the process runs and answers.
pub(crate) async fn alive() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: its store answers too.
pub(crate) async fn ready(State(app): State<Arc<App>>) -> (StatusCode, &'static str) {
    match timeout(PATIENCE, app.store.settings(app.tenant.id)).await {
        Ok(Ok(_)) => (StatusCode::OK, "ready\n"),
        Ok(Err(_)) | Err(_) => (
            StatusCode::SERVICE_UNAVAILABLE,
            "the store does not answer\n",
        ),
    }
}
