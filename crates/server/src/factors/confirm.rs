//! Carries a confirmation (`protocol::factor`) through the requests of a sign-in: contacts whom it
//! wants contacted, has answers checked, and keeps it in the attempt in between.
//!
//! The attempt's state is taken out before an answer is looked at and put back after it, so that of
//! two answers at once one finds nothing asked. What makes an answer worth something only once is
//! spent in the store besides.

use model::{Guid, Secret};
use protocol::factor::{Answer, Confirmation, Input, Method, Stage};
use serde::{Deserialize, Serialize};
use store::Attempt;

use super::{
    Origin, access_pass,
    approval::{self, Context},
    one_time,
    security_key::{self, Ceremony},
    ways,
};
use crate::{app::App, error::Refusal};

/// What a person shows.
pub(crate) enum Proof {
    /// The number of an authenticator app.
    Code(Secret<String>),
    /// What a browser says for a security key: JSON.
    Key(String),
    /// A Temporary Access Pass.
    Pass(Secret<String>),
}

impl Proof {
    fn method(&self) -> Method {
        match self {
            Self::Code(_) => Method::Otp,
            Self::Key(_) => Method::SecurityKey,
            Self::Pass(_) => Method::AccessPass,
        }
    }
}

/// A confirmation after a request.
pub(crate) struct Shown {
    /// Where it is.
    pub(crate) confirmation: Confirmation,
    /// What the browser hands to a security key, where one is asked for.
    pub(crate) options: Option<String>,
    /// What came of the last answer, where it was not right.
    pub(crate) answer: Option<Answer>,
    /// The time step of a one-time password that was right, to be spent by the caller.
    pub(crate) step: Option<u64>,
}

/// As the attempt keeps it.
#[derive(Serialize, Deserialize)]
struct Kept {
    confirmation: Confirmation,
    ceremony: Option<Ceremony>,
}

/// The confirmation of an attempt as it is, begun where it was not.
pub(crate) async fn look(app: &App, attempt: &Attempt, user: Guid) -> Result<Shown, Refusal> {
    let kept = read(app, attempt.webauthn.as_deref(), user).await?;
    let mut confirmation = kept.confirmation;
    confirmation.step(Input::Waited, app.clock.now());
    Ok(Shown {
        confirmation,
        options: None,
        answer: None,
        step: None,
    })
}

/// Goes on by a way that the person wants.
pub(crate) async fn choose(
    app: &App,
    attempt: &Attempt,
    (user, method): (Guid, Method),
    context: &Context,
) -> Result<Shown, Refusal> {
    let mut kept = take(app, attempt, user).await?;
    let now = app.clock.now();
    let contact = kept.confirmation.step(Input::Chosen(method), now);
    let outcome = match contact {
        Some(Method::Approval) => ask_for_approval(app, attempt, user, context).await,
        _ => Ok(None),
    };
    // Whatever came of it, the attempt goes on.
    if let Ok(Some(input)) = &outcome {
        kept.confirmation.step(*input, now);
    }
    let shown = keep(app, attempt, kept, None).await?;
    outcome.map(|_| shown)
}

async fn ask_for_approval(
    app: &App,
    attempt: &Attempt,
    user: Guid,
    context: &Context,
) -> Result<Option<Input>, Refusal> {
    let Some((id, number)) = approval::ask(app, user, context).await? else {
        let unreachable = Input::Answered(Method::Approval, Answer::Unreachable);
        return Ok(Some(unreachable));
    };
    app.store
        .set_approval(app.tenant.id, attempt.id, id)
        .await?;
    Ok(Some(Input::Contacted {
        number: Some(number),
    }))
}

/// Takes what the person shows.
pub(crate) async fn answer(
    app: &App,
    attempt: &Attempt,
    (user, proof): (Guid, Proof),
    origin: &Origin,
) -> Result<Shown, Refusal> {
    let mut kept = take(app, attempt, user).await?;
    let (method, now) = (proof.method(), app.clock.now());
    if !kept.confirmation.awaits(method, now) {
        kept.confirmation.step(Input::Waited, now);
        return keep(app, attempt, kept, None).await;
    }
    let ceremony = kept.ceremony.take();
    match check(app, attempt, (user, proof, ceremony), origin).await {
        Ok((answer, step)) => {
            kept.confirmation.step(Input::Answered(method, answer), now);
            let mut shown = keep(app, attempt, kept, Some(answer)).await?;
            shown.step = step;
            Ok(shown)
        }
        Err(refusal) => {
            keep(app, attempt, kept, None).await?;
            Err(refusal)
        }
    }
}

async fn check(
    app: &App,
    attempt: &Attempt,
    (user, proof, ceremony): (Guid, Proof, Option<Ceremony>),
    origin: &Origin,
) -> Result<(Answer, Option<u64>), Refusal> {
    let right_if = |is_right| {
        if is_right {
            Answer::Right
        } else {
            Answer::Wrong
        }
    };
    match proof {
        Proof::Code(typed) => one_time::check(app, user, &typed, origin).await,
        Proof::Pass(typed) => {
            let whose = (attempt.username.as_str(), Some(user));
            let is_right = access_pass::redeem(app, whose, typed.expose(), origin).await?;
            Ok((right_if(is_right), None))
        }
        Proof::Key(said) => {
            let Some(ceremony) = ceremony else {
                return Ok((Answer::Spent, None));
            };
            let whose = security_key::check(app, ceremony, &said).await?;
            Ok((right_if(whose == Some(user)), None))
        }
    }
}

/// Where an approval that the attempt waits for stands.
pub(crate) async fn poll(app: &App, attempt: &Attempt, user: Guid) -> Result<Shown, Refusal> {
    let shown = look(app, attempt, user).await?;
    let (Some(id), now) = (attempt.approval, app.clock.now()) else {
        return Ok(shown);
    };
    if !shown.confirmation.awaits(Method::Approval, now) {
        return Ok(shown);
    }
    let Some(answer) = approval::outcome(app, id, now).await? else {
        return Ok(shown);
    };
    let mut kept = take(app, attempt, user).await?;
    kept.confirmation
        .step(Input::Answered(Method::Approval, answer), now);
    keep(app, attempt, kept, Some(answer)).await
}

async fn take(app: &App, attempt: &Attempt, user: Guid) -> Result<Kept, Refusal> {
    let taken = app.store.take_webauthn(app.tenant.id, attempt.id).await?;
    read(app, taken.as_deref(), user).await
}

async fn read(app: &App, state: Option<&str>, user: Guid) -> Result<Kept, Refusal> {
    if let Some(state) = state {
        return Ok(serde_json::from_str(state)?);
    }
    let offered = ways::of(app, user).await?;
    Ok(Kept {
        confirmation: Confirmation::begin(offered, app.clock.now()),
        ceremony: None,
    })
}

/// Puts the state back, with a fresh ceremony where a security key is waited for.
async fn keep(
    app: &App,
    attempt: &Attempt,
    mut kept: Kept,
    answer: Option<Answer>,
) -> Result<Shown, Refusal> {
    let now = app.clock.now();
    let mut options = None;
    if kept.confirmation.awaits(Method::SecurityKey, now)
        && let Some(keys) = &app.security_keys
    {
        let (asked, ceremony) = keys.ask()?;
        kept.ceremony = Some(ceremony);
        options = Some(asked);
    }
    let is_over = matches!(kept.confirmation.stage(), Stage::Approved { .. });
    if !is_over {
        let state = serde_json::to_string(&kept)?;
        app.store
            .set_webauthn(app.tenant.id, attempt.id, state)
            .await?;
    }
    Ok(Shown {
        confirmation: kept.confirmation,
        options,
        answer,
        step: None,
    })
}
