//! Sign-ins on another device that an administrator answers: for a machine at which nobody sits, and
//! to stop one that should not be.
//!
//! Such a sign-in shows no factor of the user's, and its tokens say so: their only method is `admin`, so
//! that nothing that wants a password, a second factor or both takes them.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{Path, State},
    http::StatusCode,
    routing::put,
};
use serde::Deserialize;
use store::SignedIn;

use super::{
    caller::{Caller, needs},
    find::{self, unknown},
};
use crate::{
    app::App,
    error::{Refusal, read_json},
    oauth::as_typed,
    roles::Action,
    routing::Paths,
};

/// The method that tokens of such a sign-in name.
const METHOD: &str = "admin";

pub(super) fn routes() -> Paths {
    Paths::new().route(
        "/device-codes/{code}",
        needs(Action::ManageTenant, put(approve).delete(deny)),
    )
}

/// `PUT /device-codes/{code}`: as whom.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Approval {
    user: String,
}

async fn approve(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(code): Path<String>,
    body: Bytes,
) -> Result<StatusCode, Refusal> {
    caller.expect_whole(Action::ManageTenant)?;
    let Approval { user } = read_json(&body)?;
    let user = find::user(&app, &user).await?;
    let who = SignedIn {
        user: user.guid,
        methods: vec![METHOD.to_owned()],
        auth_time: app.clock.now(),
        mfa_time: None,
    };
    let audit = caller.audit(&app, "device_code.approve", &user.upn);
    // Before it is answered: what could not be written down is not done.
    app.store.add_audit(app.tenant.id, audit).await?;
    answer(&app, &code, Some(who)).await
}

async fn deny(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(code): Path<String>,
) -> Result<StatusCode, Refusal> {
    caller.expect_whole(Action::ManageTenant)?;
    let audit = caller.audit(&app, "device_code.deny", "");
    app.store.add_audit(app.tenant.id, audit).await?;
    answer(&app, &code, None).await
}

async fn answer(app: &App, code: &str, who: Option<SignedIn>) -> Result<StatusCode, Refusal> {
    let now = app.clock.now();
    let answered = app
        .store
        .answer_device_code(app.tenant.id, &as_typed(code), who, now)
        .await?;
    match answered {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(unknown("the code is unknown, over, or answered already")),
    }
}
