//! What a user can prove itself with beside the password, and the proof.
//!
//! What must hold: which ways somebody has is told only after their password was right, and what
//! they are called only after a second factor; a way is added or taken by whoever has just shown one
//! (`rules`); and every answer is counted before it is looked at, by account and by address, so that
//! guessing does not pay. Whatever was shown once is spent in the store, which two requests cannot do
//! both.

pub(crate) mod access_pass;
pub(crate) mod approval;
pub(crate) mod confirm;
pub(crate) mod one_time;
pub(crate) mod rules;
pub(crate) mod security_key;
pub(crate) mod ways;

use axum::http::{HeaderMap, header::USER_AGENT};
use model::{Guid, UnixTime};
use protocol::factor::Method;
use serde::{Deserialize, Serialize};
use store::{Audit, Limit, Verdict};

use crate::{app::App, error::Refusal, source};

/// Tries at one factor of one account.
const OF_ACCOUNT: Limit = Limit {
    tries: 5,
    window_s: 600,
    pause_s: 600,
};

/// Tries from one address, whosever: a company may stand behind one.
const OF_ADDRESS: Limit = Limit {
    tries: 50,
    window_s: 600,
    pause_s: 60,
};

/// Names the tries of an address.
const ADDRESS: &str = "address";

/// Where a request comes from, as far as it can be told to a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Origin {
    /// The address of the peer.
    pub(crate) address: String,
    /// What it says it is: for people, not for decisions.
    pub(crate) agent: String,
}

impl Origin {
    /// Of the request at hand.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let agent = headers
            .get(USER_AGENT)
            .and_then(|value| value.to_str().ok())
            .unwrap_or("unknown");
        Self {
            address: source::address().map_or_else(
                || "unknown".to_owned(),
                |address| source::network(address).to_string(),
            ),
            agent: agent.chars().take(200).collect(),
        }
    }
}

/// A try that was counted.
#[must_use]
pub(crate) struct Counted {
    at: UnixTime,
}

/// Counts a try of a subject at a factor, from an address; refused where there were too many.
pub(crate) async fn count(
    app: &App,
    factor: &'static str,
    subject: &str,
    origin: &Origin,
) -> Result<Counted, Refusal> {
    let counted = count_address(app, origin).await?;
    let _ = count_one(app, (factor, subject), OF_ACCOUNT).await?;
    Ok(counted)
}

/// Counts a try from an address, whosever.
pub(crate) async fn count_address(app: &App, origin: &Origin) -> Result<Counted, Refusal> {
    count_one(app, (ADDRESS, &origin.address), OF_ADDRESS).await
}

async fn count_one(
    app: &App,
    (factor, subject): (&'static str, &str),
    limit: Limit,
) -> Result<Counted, Refusal> {
    let (tenant, at) = (app.tenant.id, app.clock.now());
    let verdict = app
        .store
        .begin_try(tenant, factor, subject, at, limit)
        .await?;
    match verdict {
        Verdict::Go => Ok(Counted { at }),
        Verdict::Wait(seconds) => {
            let sentence = "too many tries: wait before the next one";
            Err(Refusal::grant(50053, sentence).retry_after(seconds))
        }
    }
}

impl Counted {
    /// It was right: the address did not guess.
    pub(crate) async fn was_right(self, app: &App, origin: &Origin) -> Result<(), Refusal> {
        app.store
            .take_back_try(app.tenant.id, ADDRESS, &origin.address, self.at)
            .await?;
        Ok(())
    }
}

/// Forgets the tries of a subject at a factor.
pub(crate) async fn forget(app: &App, factor: &'static str, subject: &str) -> Result<(), Refusal> {
    app.store
        .forget_tries(app.tenant.id, factor, subject)
        .await?;
    Ok(())
}

/// A row of the audit log about something that a user did.
pub(crate) fn audit(app: &App, user: Guid, action: &'static str, subject: String) -> Audit {
    Audit {
        at: app.clock.now(),
        actor: format!("user:{user}"),
        action,
        subject,
    }
}

/// `amr` of what was shown (RFC 8176; `fido` and `tap` as Entra ID calls them).
pub(crate) fn methods(has_password: bool, second: Option<Method>) -> Vec<String> {
    let by_itself = match second {
        Some(Method::SecurityKey) => Some("fido"),
        Some(Method::AccessPass) => Some("tap"),
        Some(Method::Otp | Method::Approval) | None => None,
    };
    [
        has_password.then_some("pwd"),
        by_itself,
        second.map(|_| "mfa"),
    ]
    .into_iter()
    .flatten()
    .map(str::to_owned)
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_shown_is_named_in_order() {
        for (has_password, second, expected) in [
            (true, None, vec!["pwd"]),
            (true, Some(Method::Otp), vec!["pwd", "mfa"]),
            (true, Some(Method::Approval), vec!["pwd", "mfa"]),
            (true, Some(Method::SecurityKey), vec!["pwd", "fido", "mfa"]),
            (false, Some(Method::SecurityKey), vec!["fido", "mfa"]),
            (false, Some(Method::AccessPass), vec!["tap", "mfa"]),
        ] {
            assert_eq!(methods(has_password, second), expected, "{second:?}");
        }
    }
}
