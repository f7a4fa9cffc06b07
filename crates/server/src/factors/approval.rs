//! Approval by number matching: the sign-in shows a number, and the person types it where they are
//! signed in already.
//!
//! Typing proves that both screens are in front of one person: whoever is asked about somebody
//! else's sign-in does not see its number, and a wrong one ends it. A denial is an alarm, because then
//! somebody has the password.

use model::{Guid, UnixTime};
use protocol::factor::PATIENCE_S;
use serde::{Deserialize, Serialize};
use store::{Approval, ApprovalState, Digest};

use super::{Origin, audit};
use crate::{app::App, error::Refusal, random};

/// Names the times that somebody is asked.
const ASKED: &str = "approval";

/// Two digits, the first of which is not nought.
const NUMBERS: std::ops::RangeInclusive<u32> = 10..=99;

/// What the asked one is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Context {
    /// The application that is signed in to.
    pub(crate) app: String,
    /// Where the sign-in comes from.
    pub(crate) origin: Origin,
    /// The name of the joined device, if it is one.
    pub(crate) device: Option<String>,
}

impl Context {
    /// Of a sign-in to an application, perhaps on a joined device.
    pub(crate) async fn of(
        app: &App,
        name: &str,
        device: Option<Guid>,
        origin: &Origin,
    ) -> Result<Self, Refusal> {
        let device = match device {
            Some(id) => app.store.device(app.tenant.id, id).await?,
            None => None,
        };
        Ok(Self {
            app: name.to_owned(),
            origin: origin.clone(),
            device: device.map(|device| device.display_name),
        })
    }
}

/// What a person answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answered {
    /// With the number that the sign-in shows.
    Approved,
    /// With another number, which ends the sign-in.
    WrongNumber,
    /// That it is not them.
    Denied,
    /// Too late, or to what is not theirs.
    Over,
}

/// Asks a user; how to find the answer, and the number to show. `None` where they are signed in
/// nowhere and cannot be asked.
pub(crate) async fn ask(
    app: &App,
    user: Guid,
    context: &Context,
) -> Result<Option<(Digest, u32)>, Refusal> {
    let (tenant, now) = (app.tenant.id, app.clock.now());
    let sessions = app.store.sessions_of(tenant, user, now).await?;
    if sessions.iter().all(|session| session.mfa_time.is_none()) {
        return Ok(None);
    }
    // Each may disturb a person: none is taken back, whatever comes of it.
    let _ = super::count(app, ASKED, &user.to_string(), &context.origin).await?;
    let id = random::bytes::<32>()?;
    let number = number()?;
    let approval = Approval {
        id,
        user,
        number,
        context: serde_json::to_string(context)?,
        state: ApprovalState::Pending,
        created: now,
        expires: now.plus(PATIENCE_S),
        session: None,
    };
    app.store.begin_approval(tenant, approval, now).await?;
    app.approvals.send_modify(|n| *n += 1);
    Ok(Some((id, number)))
}

fn number() -> Result<u32, Refusal> {
    loop {
        let [byte] = random::bytes::<1>()?;
        let number = u32::from(byte);
        // Each number is one byte: what is outside is drawn again, and none is favoured.
        if NUMBERS.contains(&number) {
            return Ok(number);
        }
    }
}

/// Takes a user's answer: a number, or that it is not them.
pub(crate) async fn answer(
    app: &App,
    (user, session): (Guid, Digest),
    id: Digest,
    number: Option<u32>,
) -> Result<Answered, Refusal> {
    let (tenant, now) = (app.tenant.id, app.clock.now());
    let asked = app.store.approval(tenant, id, now).await?;
    let Some(asked) = asked.filter(|asked| asked.user == user) else {
        return Ok(Answered::Over);
    };
    let (answered, state) = match number {
        None => (Answered::Denied, ApprovalState::Denied),
        Some(number) if number == asked.number => (Answered::Approved, ApprovalState::Approved),
        Some(_) => (Answered::WrongNumber, ApprovalState::Denied),
    };
    let is_first = app
        .store
        .answer_approval(tenant, (id, user), state, Some(session), now)
        .await?;
    if !is_first {
        return Ok(Answered::Over);
    }
    let action = match answered {
        Answered::Approved => "approval.approve",
        Answered::WrongNumber => "approval.wrong_number",
        _ => "approval.deny_alarm",
    };
    if answered == Answered::Approved {
        super::forget(app, ASKED, &user.to_string()).await?;
    } else {
        tracing::warn!(%user, context = asked.context, "a sign-in was not approved by its user");
    }
    let row = audit(app, user, action, told(&asked.context));
    app.store.add_audit(tenant, row).await?;
    app.approvals.send_modify(|n| *n += 1);
    Ok(answered)
}

/// One line about a sign-in, for the audit log.
fn told(context: &str) -> String {
    serde_json::from_str::<Context>(context).map_or_else(
        |_| "a sign-in".to_owned(),
        |context| format!("{} from {}", context.app, context.origin.address),
    )
}

/// Where an approval stands that a sign-in waits for; nothing while nobody has answered.
pub(crate) async fn outcome(
    app: &App,
    id: Digest,
    now: UnixTime,
) -> Result<Option<protocol::factor::Answer>, Refusal> {
    use protocol::factor::Answer;
    let tenant = app.tenant.id;
    let Some(asked) = app.store.approval(tenant, id, now).await? else {
        return Ok(None);
    };
    Ok(match asked.state {
        ApprovalState::Pending => None,
        ApprovalState::Denied => Some(Answer::Denied),
        ApprovalState::Approved if app.store.spend_approval(tenant, id, now).await? => {
            Some(Answer::Right)
        }
        ApprovalState::Approved => Some(Answer::Spent),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_two_digits_and_is_not_always_the_same() {
        let drawn: std::collections::BTreeSet<u32> = (0..200).map(|_| number().unwrap()).collect();
        assert!(drawn.iter().all(|number| NUMBERS.contains(number)));
        assert!(drawn.len() > 20, "{drawn:?}");
    }
}
