//! The second factor of a native sign-in: which ways the client can show, the choice among them, and
//! the waiting for somebody's approval.
//!
//! A client that does not say what it can show is one of an earlier release and shows one-time
//! passwords. A security key needs a browser: a client that has none leaves `webauthn` out, and is
//! told the other ways.

use axum::Json;
use joints::Joint;
use model::{Guid, Secret};
use protocol::factor::{Answer, Method, Stage};
use store::Attempt;

use api::oauth::{ChallengeAnswer, ChallengeForm, ConfirmationState};

use super::{Finish, finish, over};
use crate::{
    app::App,
    error::Refusal,
    factors::{
        Origin,
        approval::Context,
        confirm::{self, Proof, Shown},
        methods, one_time,
    },
    wait::Patience,
};

/// A native attempt whose password was right.
pub(super) struct Going<'a> {
    pub(super) session: &'a str,
    pub(super) attempt: Attempt,
    pub(super) user: Guid,
}

/// The ways that a client can show, of its words; what it does not say is what it could before.
pub(super) fn shown_by_client(words: Option<&str>) -> Vec<Method> {
    match words {
        None => vec![Method::Otp],
        Some(words) => words.split_whitespace().filter_map(Method::of).collect(),
    }
}

/// Asks for the second factor, by the way that disturbs nobody where there is one.
pub(super) async fn begin(
    app: &App,
    going: &Going<'_>,
    origin: &Origin,
) -> Result<Refusal, Refusal> {
    let shown = confirm::look(app, &going.attempt, going.user).await?;
    let ways = going.ways(app, &shown)?;
    if ways.is_empty() {
        return Err(no_second_factor());
    }
    let quiet = ways
        .iter()
        .find(|way| matches!(way, Method::Otp | Method::AccessPass));
    match quiet {
        None => going.asked(app, &shown),
        Some(way) => {
            let context = going.context(app, origin).await?;
            let whose = (going.user, *way);
            let shown = confirm::choose(app, &going.attempt, whose, &context).await?;
            going.asked(app, &shown)
        }
    }
}

/// Takes one request.
pub(super) async fn go_on(
    app: &App,
    going: Going<'_>,
    form: ChallengeForm,
    origin: &Origin,
) -> Result<Json<ChallengeAnswer>, Refusal> {
    let shown = match act(app, &going, form, origin).await {
        Ok(shown) => shown,
        Err(refusal) => return Err(refusal.going_on(going.session, "")),
    };
    let Stage::Approved { method, .. } = shown.confirmation.stage() else {
        return Err(going.asked(app, &shown)?);
    };
    // Before anything is spent: killed here, the same password may be shown again.
    tokio::task::spawn_blocking(|| joints::reach("server", Joint::FactorApproved)).await?;
    let how = Finish {
        methods: methods(true, Some(method)),
        step: shown.step,
        is_second: true,
    };
    let answer = finish(app, &going.attempt, going.user, how).await;
    let answer = answer.map_err(|refusal| refusal.going_on(going.session, method.as_str()))?;
    if method == Method::Otp {
        one_time::forget(app, going.user).await?;
    }
    Ok(answer)
}

async fn act(
    app: &App,
    going: &Going<'_>,
    form: ChallengeForm,
    origin: &Origin,
) -> Result<Shown, Refusal> {
    let (attempt, user) = (&going.attempt, going.user);
    let proof = match (form.otp, form.tap, form.webauthn) {
        (Some(otp), ..) => Some(Proof::Code(Secret::new(otp))),
        (_, Some(pass), _) => Some(Proof::Pass(Secret::new(pass))),
        (.., Some(said)) => Some(Proof::Key(said)),
        _ => None,
    };
    if let Some(proof) = proof {
        return confirm::answer(app, attempt, (user, proof), origin).await;
    }
    if let Some(word) = &form.factor {
        let way = Method::of(word).ok_or_else(|| Refusal::malformed("factor is none"))?;
        let context = going.context(app, origin).await?;
        return confirm::choose(app, attempt, (user, way), &context).await;
    }
    wait(app, going, form.wait).await
}

/// Where the confirmation is, once it is elsewhere than it was or the time is over.
async fn wait(app: &App, going: &Going<'_>, seconds: Option<u32>) -> Result<Shown, Refusal> {
    let mut patience = Patience::new(app.approvals.subscribe(), seconds);
    loop {
        let now = app.clock.now();
        let attempt = app
            .store
            .attempt(app.tenant.id, going.attempt.id, now)
            .await?
            .ok_or_else(over)?;
        let shown = confirm::poll(app, &attempt, going.user).await?;
        let is_waiting = shown.confirmation.awaits(Method::Approval, now);
        if !is_waiting || !patience.lasts().await {
            return Ok(shown);
        }
    }
}

impl Going<'_> {
    /// The ways that may be tried now, and that the client can show.
    fn ways(&self, app: &App, shown: &Shown) -> Result<Vec<Method>, Refusal> {
        let can: Vec<Method> = serde_json::from_str(&self.attempt.request)?;
        let mut ways = shown.confirmation.next(app.clock.now());
        ways.retain(|way| can.contains(way));
        Ok(ways)
    }

    async fn context(&self, app: &App, origin: &Origin) -> Result<Context, Refusal> {
        let name = "Registration of a key on a workstation";
        Context::of(app, name, self.attempt.device, origin).await
    }

    /// What the client is told of a confirmation that is not approved.
    fn asked(&self, app: &App, shown: &Shown) -> Result<Refusal, Refusal> {
        let stage = shown.confirmation.stage();
        let (number, sentence) = told(stage, shown.answer);
        let kind = match number {
            50076 => "insufficient_authorization",
            _ => "invalid_grant",
        };
        let is_over = shown.confirmation.is_over(app.clock.now());
        let ways = if is_over {
            Vec::new()
        } else {
            self.ways(app, shown)?
        };
        let (asked, shown_number) = match stage {
            Stage::Contacting { method, number, .. } => (method.as_str(), number),
            _ => ("", None),
        };
        let options = shown.options.as_deref().map(serde_json::from_str);
        let refusal = Refusal::bad(kind, number, sentence).confirming(ConfirmationState {
            state: stage.as_str().to_owned(),
            next: ways.iter().map(|way| way.as_str().to_owned()).collect(),
            number: shown_number,
            webauthn: options.transpose()?,
        });
        Ok(match is_over {
            true => refusal,
            false => refusal.going_on(self.session, asked),
        })
    }
}

/// The number and the sentence for a stage.
fn told(stage: Stage, answer: Option<Answer>) -> (u32, &'static str) {
    match (stage, answer) {
        (Stage::Denied, _) => (500_121, "the sign-in was refused where you are signed in"),
        (Stage::Exhausted, _) => (50053, "too many wrong answers: wait, then begin again"),
        (Stage::TimedOut { .. }, _) => {
            (500_121, "no answer came in time: try again, or another way")
        }
        (Stage::Unreachable { .. }, _) => (500_121, "you cannot be reached this way now"),
        (
            Stage::Contacting {
                method: Method::Otp,
                ..
            },
            Some(_),
        ) => (
            500_121,
            "the one-time password is wrong, or was used already: wait for the next one",
        ),
        (Stage::Contacting { .. }, Some(_)) => (500_121, "that was not right: try again"),
        (Stage::Contacting { method, .. }, None) => (
            50076,
            match method {
                Method::Otp => "the one-time password of your authenticator app, please",
                Method::SecurityKey => "your passkey or security key, please",
                Method::Approval => "type the number where you are signed in already",
                Method::AccessPass => "your Temporary Access Pass, please",
            },
        ),
        (Stage::Choosing | Stage::Approved { .. }, _) => {
            (50076, "choose how you confirm who you are")
        }
    }
}

/// Nothing that the client can show is set for the account.
fn no_second_factor() -> Refusal {
    let sentence = "no second factor that can be used here is set for this account: an \
                    administrator sets one, or gives you a Temporary Access Pass";
    Refusal::bad("interaction_required", 50072, sentence)
}
