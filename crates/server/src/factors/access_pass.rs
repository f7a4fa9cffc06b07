//! Temporary Access Passes: an administrator's word that somebody is who they say, for a while.
//!
//! A pass stands for the password and the second factor at once, so that somebody who has neither
//! can sign in and register their own.

use axum::http::StatusCode;
use model::{Guid, UnixTime};
use store::{AccessPass, Audit};

use super::Origin;
use crate::{app::App, error::Refusal, typed};

/// Names the tries at passes, and what passes are derived for.
const PASS: &str = "access pass";

/// How long a pass may live.
const LIFE_S: std::ops::RangeInclusive<i64> = 10 * 60..=30 * 86_400;

/// What an administrator wants.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    /// From when on it is good.
    pub(crate) starts: UnixTime,
    /// For how long.
    pub(crate) life_s: i64,
    /// For one sign-in alone.
    pub(crate) once: bool,
}

/// Gives a user a pass, in place of an earlier one; its text is told once.
pub(crate) async fn issue(
    app: &App,
    user: Guid,
    wanted: Wanted,
    audit: Audit,
) -> Result<String, Refusal> {
    if !LIFE_S.contains(&wanted.life_s) {
        let sentence = "a pass is good for 10 minutes at least, and for 30 days at most";
        let status = StatusCode::BAD_REQUEST;
        return Err(Refusal::own(status, "bad_request", sentence));
    }
    let text = typed::make()?;
    let pass = AccessPass {
        digest: typed::digest(app, PASS, user, &text)?,
        starts: wanted.starts,
        expires: wanted.starts.plus(wanted.life_s),
        once: wanted.once,
        used: None,
    };
    let tenant = app.tenant.id;
    app.store.set_access_pass(tenant, user, pass, audit).await?;
    // Whoever was shut out by wrong guesses at the last one begins anew.
    super::forget(app, PASS, &user.to_string()).await?;
    Ok(text)
}

/// Uses a pass of a user; false where it is not its, not good now, or used. A name that nobody has
/// goes the same way.
pub(crate) async fn redeem(
    app: &App,
    (name, user): (&str, Option<Guid>),
    typed: &str,
    origin: &Origin,
) -> Result<bool, Refusal> {
    let subject = user.map_or_else(|| name.to_owned(), |user| user.to_string());
    let counted = super::count(app, PASS, &subject, origin).await?;
    let account = user.unwrap_or(app.tenant.id);
    let digest = typed::digest(app, PASS, account, typed)?;
    let now = app.clock.now();
    let is_right = app
        .store
        .use_access_pass(app.tenant.id, account, digest, now)
        .await?;
    if is_right && user.is_some() {
        counted.was_right(app, origin).await?;
        super::forget(app, PASS, &subject).await?;
        let row = super::audit(app, account, "access_pass.use", name.to_owned());
        app.store.add_audit(app.tenant.id, row).await?;
    }
    Ok(is_right && user.is_some())
}
