//! The second factor of a sign-in, behind a password that was right.

use axum::{http::StatusCode, response::Response};
use model::{Guid, Secret, UnixTime};
use protocol::factor::{Answer, Method, Stage};

use super::{
    Call, Fields, Purpose,
    end::{Done, finish},
    over,
    show::{Ask, Sheet},
    steps::{Going, find},
};
use crate::{
    app::App,
    challenge::SECOND,
    error::Refusal,
    factors::{
        approval::Context,
        confirm::{self, Proof, Shown},
        methods, one_time, ways,
    },
    pages::message,
    wait::Patience,
};

/// Asks for a second factor, where there is one or one is wanted.
pub(super) async fn begin(
    app: &App,
    call: &Call<'_>,
    (going, user): (Going<'_>, Guid),
) -> Result<Response, Refusal> {
    let ways = ways::of(app, user).await?;
    let lasts = |way: &Method| matches!(way, Method::SecurityKey | Method::Otp);
    let is_asked = match &going.flow.purpose {
        // What somebody without any may do is for the page to say.
        Purpose::Page { .. } => !ways.is_empty(),
        _ => going.attempt.two_factors || ways.iter().any(lasts),
    };
    if !is_asked {
        let done = Done {
            user,
            methods: methods(true, None),
            mfa_time: None,
        };
        return finish(app, call, (&going.flow, &going.attempt), done).await;
    }
    // Nobody is disturbed by an approval that was not chosen.
    if let Some(way) = ways.iter().find(|way| **way != Method::Approval) {
        return choose(app, call, (going, user), *way).await;
    }
    let nothing = "Nothing is set up to confirm who you are. Ask your administrator for a Temporary \
                   Access Pass.";
    let problem = ways.is_empty().then_some(nothing);
    Sheet {
        ways,
        ..going.sheet(problem)
    }
    .ask(Ask::Choice)
}

async fn choose(
    app: &App,
    call: &Call<'_>,
    (going, user): (Going<'_>, Guid),
    way: Method,
) -> Result<Response, Refusal> {
    let (name, device) = (going.flow.purpose.name(), going.attempt.device);
    let context = Context::of(app, name, device, &call.origin).await?;
    let outcome = confirm::choose(app, &going.attempt, (user, way), &context).await;
    shown(app, call, (going, user), outcome).await
}

/// Takes one form.
pub(super) async fn step(
    app: &App,
    call: &Call<'_>,
    (going, user): (Going<'_>, Guid),
    fields: Fields,
) -> Result<Response, Refusal> {
    if let Some(way) = fields.step.strip_prefix("way:") {
        let way = Method::of(way).ok_or_else(|| Refusal::malformed("the way is none"))?;
        return choose(app, call, (going, user), way).await;
    }
    let proof = match fields.step.as_str() {
        "code" => Proof::Code(Secret::new(fields.otc)),
        "security-key" => Proof::Key(fields.credential),
        "access-pass" => Proof::Pass(Secret::new(fields.pass)),
        _ => {
            let outcome = confirm::look(app, &going.attempt, user).await;
            return shown(app, call, (going, user), outcome).await;
        }
    };
    going.note(SECOND, 500_121);
    let outcome = confirm::answer(app, &going.attempt, (user, proof), &call.origin).await;
    shown(app, call, (going, user), outcome).await
}

/// Waits for the approval of an attempt.
pub(super) async fn wait(app: &App, call: &Call<'_>, text: &str) -> Result<Response, Refusal> {
    let mut patience = Patience::new(app.approvals.subscribe(), Some(api::MAX_WAIT_S));
    loop {
        let going = find(app, call, text).await?;
        let (Some(user), Some(_)) = (going.attempt.user, going.attempt.password_at) else {
            return Err(over());
        };
        let outcome = confirm::poll(app, &going.attempt, user).await?;
        let now = app.clock.now();
        let is_waiting = outcome.confirmation.awaits(Method::Approval, now);
        if !is_waiting || !patience.lasts().await {
            return shown(app, call, (going, user), Ok(outcome)).await;
        }
    }
}

/// The page for where the confirmation is.
async fn shown(
    app: &App,
    call: &Call<'_>,
    (going, user): (Going<'_>, Guid),
    outcome: Result<Shown, Refusal>,
) -> Result<Response, Refusal> {
    let (shown, refusal) = match outcome {
        Ok(shown) => (shown, None),
        Err(Refusal::Internal(cause)) => return Err(Refusal::Internal(cause)),
        Err(refusal) => {
            let going = find(app, call, going.text).await?;
            let shown = confirm::look(app, &going.attempt, user).await?;
            (shown, Some(refusal.sentence()))
        }
    };
    let (stage, now) = (shown.confirmation.stage(), app.clock.now());
    if let Stage::Approved { method, at } = stage {
        return approved(app, call, (going, user), (method, at, shown.step)).await;
    }
    let problem = refusal.as_deref().or(problem(stage, shown.answer));
    if matches!(stage, Stage::Denied | Stage::Exhausted) {
        let (tenant, id) = (app.tenant.id, going.attempt.id);
        app.store.end_attempt(tenant, id).await?;
        let text = problem.unwrap_or("This sign-in is over.");
        let words = ("You are not signed in", text);
        return Ok(message(StatusCode::FORBIDDEN, words, None));
    }
    let ask = ask(app, &shown);
    let mut sheet = Sheet {
        ways: shown.confirmation.next(now),
        ..going.sheet(problem)
    };
    if let (Stage::Contacting { method, .. }, false) = (stage, matches!(ask, Asked::Choice)) {
        sheet.ways.retain(|way| *way != method);
    }
    match ask {
        Asked::SecurityKey(options) => sheet.ask(Ask::SecurityKey(options)),
        Asked::Number(number, page) => sheet.ask(Ask::Number(number, &page)),
        Asked::Code => sheet.ask(Ask::Code),
        Asked::AccessPass => sheet.ask(Ask::AccessPass),
        Asked::Choice => sheet.ask(Ask::Choice),
    }
}

/// What is asked of the person next.
enum Asked<'a> {
    SecurityKey(&'a str),
    Number(u32, String),
    Code,
    AccessPass,
    Choice,
}

fn ask<'a>(app: &App, shown: &'a Shown) -> Asked<'a> {
    let Stage::Contacting { method, number, .. } = shown.confirmation.stage() else {
        return Asked::Choice;
    };
    match (method, number, shown.options.as_deref()) {
        (Method::SecurityKey, _, Some(options)) => Asked::SecurityKey(options),
        (Method::Approval, Some(number), _) => {
            Asked::Number(number, format!("{}/approvals", app.url))
        }
        (Method::Otp, ..) => Asked::Code,
        (Method::AccessPass, ..) => Asked::AccessPass,
        (Method::SecurityKey | Method::Approval, ..) => Asked::Choice,
    }
}

/// What the person is told of the last answer.
fn problem(stage: Stage, answer: Option<Answer>) -> Option<&'static str> {
    match (stage, answer) {
        (Stage::Denied, _) => Some(
            "The sign-in was refused where you are signed in: by you, or because another number \
             was typed. If it was not you, tell your administrator.",
        ),
        (Stage::Exhausted, _) => Some("Too many wrong answers. Wait a while, then begin again."),
        (Stage::TimedOut { .. }, _) => Some("No answer came in time. Try again, or another way."),
        (Stage::Unreachable { .. }, _) => Some("You cannot be reached this way now."),
        (_, Some(Answer::Wrong)) => Some("That was not right. Try again."),
        (_, Some(Answer::Spent)) => Some("This was used already: wait for the next one."),
        _ => None,
    }
}

async fn approved(
    app: &App,
    call: &Call<'_>,
    (going, user): (Going<'_>, Guid),
    (method, at, step): (Method, UnixTime, Option<u64>),
) -> Result<Response, Refusal> {
    if let Some(step) = step {
        if !app.store.spend_totp(app.tenant.id, user, step).await? {
            let problem = problem(Stage::Choosing, Some(Answer::Spent));
            return going.sheet(problem).ask(Ask::Choice);
        }
        one_time::forget(app, user).await?;
    }
    let done = Done {
        user,
        methods: methods(true, Some(method)),
        mfa_time: Some(at),
    };
    finish(app, call, (&going.flow, &going.attempt), done).await
}
