//! Work for agents: passwords to be checked and policies to be evaluated, each for a few seconds.
//!
//! This is the one thing that lives in the process and not in the store: a password must not be
//! written anywhere, and whoever waits for the answer waits on this very process.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use api::agent::{
    PASSWORD_WORK, POLICY_WORK, PasswordOutcome, PolicyOutcome, PolicyWork, Work, WorkAnswer,
    WorkClaims, WorkOutcome,
};
use axum::{
    Json,
    body::Bytes,
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use model::{Guid, Secret, Sid};
use openssl::pkey::PKey;
use serde::{Deserialize, Serialize};
use token::{Unverified, VerifyingKey, X5cForm};
use tokio::{
    sync::{oneshot, watch},
    time::timeout,
};
use zeroize::Zeroizing;

use crate::{
    access,
    app::App,
    error::{Refusal, read_json},
    random,
    wait::Patience,
};

/// The most work that may wait; beyond it, no agent counts as in reach.
const QUEUE: usize = 256;

/// Where work waits for an agent, and callers for its answer.
pub(crate) struct Desk {
    inner: Mutex<Inner>,
    news: watch::Sender<u64>,
}

#[derive(Default)]
struct Inner {
    waiting: VecDeque<Item>,
    leased: HashMap<String, Leased>,
}

/// What an agent is asked.
enum Question {
    Password { sid: Sid, password: Secret<String> },
    Policy(PolicyWork),
}

/// A question that waits for an agent.
struct Item {
    id: String,
    domain: Guid,
    question: Question,
    answer: oneshot::Sender<WorkOutcome>,
}

/// A question that an agent is working on.
struct Leased {
    agent: Guid,
    answer: oneshot::Sender<WorkOutcome>,
}

/// Takes a piece of work off the desk when nobody waits for its answer any more.
struct Withdraw<'a> {
    desk: &'a Desk,
    id: String,
}

impl Drop for Withdraw<'_> {
    fn drop(&mut self) {
        let mut inner = self.desk.inner();
        inner.waiting.retain(|item| item.id != self.id);
        inner.leased.remove(&self.id);
    }
}

impl Default for Desk {
    fn default() -> Self {
        Self {
            inner: Mutex::default(),
            news: watch::Sender::new(0),
        }
    }
}

impl Desk {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks an agent of `domain` about a password; `None` where none answers in time.
    pub(crate) async fn check_password(
        &self,
        domain: Guid,
        sid: Sid,
        password: Secret<String>,
        patience: Duration,
    ) -> Option<PasswordOutcome> {
        let question = Question::Password { sid, password };
        match self.ask(domain, question, patience).await? {
            WorkOutcome::Password(outcome) => Some(outcome),
            WorkOutcome::Policy(_) => None,
        }
    }

    /// Asks an agent of `domain` what group policy wants; `None` where none answers in time.
    pub(crate) async fn evaluate_policy(
        &self,
        domain: Guid,
        about: PolicyWork,
        patience: Duration,
    ) -> Option<PolicyOutcome> {
        match self.ask(domain, Question::Policy(about), patience).await? {
            WorkOutcome::Policy(outcome) => Some(outcome),
            WorkOutcome::Password(_) => None,
        }
    }

    async fn ask(
        &self,
        domain: Guid,
        question: Question,
        patience: Duration,
    ) -> Option<WorkOutcome> {
        let id = random::guid().ok()?.to_string();
        let (answer, answered) = oneshot::channel();
        let withdraw = Withdraw {
            desk: self,
            id: id.clone(),
        };
        {
            let mut inner = self.inner();
            if inner.waiting.len() >= QUEUE {
                return None;
            }
            inner.waiting.push_back(Item {
                id,
                domain,
                question,
                answer,
            });
        }
        self.news.send_modify(|n| *n += 1);
        let outcome = timeout(patience, answered).await.ok()?.ok();
        drop(withdraw);
        outcome
    }

    /// Hands the oldest work of the domain to an agent.
    fn lease(&self, domain: Guid, agent: Guid) -> Option<(String, Question)> {
        let mut inner = self.inner();
        let place = inner
            .waiting
            .iter()
            .position(|item| item.domain == domain)?;
        let item = inner.waiting.remove(place)?;
        inner.leased.insert(
            item.id.clone(),
            Leased {
                agent,
                answer: item.answer,
            },
        );
        Some((item.id, item.question))
    }

    /// Takes back what was leased and cannot be handed over: whoever asked is told at once that
    /// nobody can say.
    fn give_up(&self, id: &str) {
        self.inner().leased.remove(id);
    }

    /// Takes an agent's answer to what it has leased; one that comes late is for nobody.
    fn answer(&self, id: &str, agent: Guid, outcome: WorkOutcome) {
        let mut inner = self.inner();
        if inner
            .leased
            .get(id)
            .is_some_and(|leased| leased.agent == agent)
            && let Some(leased) = inner.leased.remove(id)
        {
            // Nobody may be waiting any more.
            let _ = leased.answer.send(outcome);
        }
    }
}

/// `GET /agent/v1/work`.
#[derive(Deserialize)]
pub(crate) struct LeaseQuery {
    wait: Option<u32>,
}

/// What is sealed, as `api::agent::PasswordWork` reads it.
#[derive(Serialize)]
struct Sealed<'a> {
    sid: &'a Sid,
    password: &'a str,
}

/// Hands one piece of work to the agent, sealed to its key. What cannot be sealed is no fault of
/// the agent's request: whoever asked is told that nobody can say, and the next work is looked for.
pub(crate) async fn lease(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Query(query): Query<LeaseQuery>,
) -> Result<Response, Refusal> {
    let agent = access::agent(&app, &headers).await?;
    let mut patience = Patience::new(app.work.news.subscribe(), query.wait);
    loop {
        let Some((id, question)) = app.work.lease(agent.domain, agent.id) else {
            if patience.lasts().await {
                continue;
            }
            return Ok(StatusCode::NO_CONTENT.into_response());
        };
        match sealed(&agent.public_key, &question) {
            Ok(sealed) => {
                let kind = question.kind().to_owned();
                return Ok(Json(Work { id, kind, sealed }).into_response());
            }
            Err(error) => {
                tracing::error!(cause = format!("{error:#}"), "work cannot be sealed");
                app.work.give_up(&id);
            }
        }
    }
}

impl Question {
    fn kind(&self) -> &'static str {
        match self {
            Self::Password { .. } => PASSWORD_WORK,
            Self::Policy(_) => POLICY_WORK,
        }
    }
}

fn sealed(public_key: &[u8], question: &Question) -> anyhow::Result<String> {
    let plain = Zeroizing::new(match question {
        Question::Password { sid, password } => serde_json::to_vec(&Sealed {
            sid,
            password: password.expose(),
        })?,
        Question::Policy(about) => serde_json::to_vec(about)?,
    });
    let key = PKey::public_key_from_der(public_key)?;
    Ok(token::seal(&key, &plain)?)
}

/// `POST /agent/v1/work/{id}`.
pub(crate) async fn answer(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<StatusCode, Refusal> {
    let agent = access::agent(&app, &headers).await?;
    let body: WorkAnswer = read_json(&body)?;
    let key = VerifyingKey::rs256(PKey::public_key_from_der(&agent.public_key)?)?;
    let claims = Unverified::read(&body.answer, X5cForm::Array)
        .and_then(|unverified| unverified.verify::<WorkClaims>(&key, app.clock.now()));
    match claims {
        Ok(claims) if claims.id == id => {
            app.work.answer(&id, agent.id, claims.outcome);
            Ok(StatusCode::NO_CONTENT)
        }
        Ok(_) | Err(_) => {
            let sentence = "the answer is not signed by this agent for this work";
            Err(Refusal::own(
                StatusCode::BAD_REQUEST,
                "bad_request",
                sentence,
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guid(byte: u8) -> Guid {
        Guid::from_le_bytes([byte; 16])
    }

    fn ask(desk: &Desk) -> impl Future<Output = Option<PasswordOutcome>> {
        let sid = "S-1-5-21-1-2-3-1104".parse().unwrap();
        desk.check_password(
            guid(1),
            sid,
            Secret::new("x".to_owned()),
            Duration::from_millis(50),
        )
    }

    #[tokio::test]
    async fn an_answer_reaches_whoever_asked() {
        let desk = Desk::default();
        let mut news = desk.news.subscribe();
        let agent = async {
            news.changed().await.unwrap();
            assert!(
                desk.lease(guid(9), guid(2)).is_none(),
                "another domain's agent"
            );
            let (id, _) = desk.lease(guid(1), guid(2)).unwrap();
            assert!(desk.lease(guid(1), guid(2)).is_none(), "leased once");
            desk.answer(&id, guid(3), WorkOutcome::Password(PasswordOutcome::Right));
            desk.answer(&id, guid(2), WorkOutcome::Password(PasswordOutcome::Wrong));
        };
        let (outcome, ()) = tokio::join!(ask(&desk), agent);
        assert_eq!(outcome, Some(PasswordOutcome::Wrong));
    }

    #[tokio::test]
    async fn an_answer_of_another_kind_is_none() {
        let desk = Desk::default();
        let mut news = desk.news.subscribe();
        let agent = async {
            news.changed().await.unwrap();
            let (id, _) = desk.lease(guid(1), guid(2)).unwrap();
            let outcome = PolicyOutcome::Evaluated {
                requires_hardware: false,
                requires_attestation: false,
            };
            desk.answer(&id, guid(2), WorkOutcome::Policy(outcome));
        };
        let (outcome, ()) = tokio::join!(ask(&desk), agent);
        assert_eq!(outcome, None);
    }

    #[tokio::test]
    async fn work_that_nobody_takes_ends_and_leaves_nothing() {
        let desk = Desk::default();
        assert_eq!(ask(&desk).await, None);
        assert!(desk.lease(guid(1), guid(2)).is_none());
        assert!(desk.inner().leased.is_empty());
    }
}
