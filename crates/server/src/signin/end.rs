//! The end of a sign-in: the attempt is over, a session begins, and the person gets what they signed
//! in for.

use axum::{
    http::header::SET_COOKIE,
    response::{IntoResponse as _, Redirect, Response},
};
use model::{Guid, UnixTime};
use store::{Attempt, Digest};

use super::{Call, Purpose, flow::Flow, over};
use crate::{
    app::App,
    error::Refusal,
    oauth::{self, Kept, Subject, session},
    sign_in_log,
};

/// Who signed in, and how.
pub(super) struct Done {
    pub(super) user: Guid,
    pub(super) methods: Vec<String>,
    pub(super) mfa_time: Option<UnixTime>,
}

/// Ends the attempt, begins a session, and does what the person signed in for.
pub(super) async fn finish(
    app: &App,
    call: &Call<'_>,
    (flow, attempt): (&Flow, &Attempt),
    done: Done,
) -> Result<Response, Refusal> {
    if !app.store.end_attempt(app.tenant.id, attempt.id).await? {
        return Err(over());
    }
    let kept = Kept {
        user: done.user,
        device: attempt.device,
        methods: done.methods,
        auth_time: app.clock.now(),
        mfa_time: done.mfa_time,
    };
    let subject = kept.stand(app).await?;
    sign_in_log::note_of(|row| row.result = 0);
    // The browser's session so far, whoever's: of two at once one would not be signed out of.
    session::end(app, call.headers).await?;
    let (id, cookie) = session::begin(app, &subject).await?;
    let mut response = fulfil(app, &flow.purpose, &subject, id).await?;
    response.headers_mut().append(SET_COOKIE, cookie);
    Ok(response)
}

async fn fulfil(
    app: &App,
    purpose: &Purpose,
    subject: &Subject,
    session: Digest,
) -> Result<Response, Refusal> {
    match purpose {
        Purpose::Client { request, .. } => {
            oauth::give_code(app, request, subject, oauth::Basis::session(session)).await
        }
        Purpose::DeviceCode { user_code, .. } => {
            oauth::approve_device_code(app, user_code, subject).await
        }
        Purpose::Page { path, .. } => Ok(Redirect::to(path).into_response()),
    }
}
