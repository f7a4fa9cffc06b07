//! Work for agents: passwords to be checked and policies to be evaluated, each for a few seconds.
//!
//! This is the one thing that lives in the process and not in the store: a password must not be
//! written anywhere, and whoever waits for the answer waits on this very process.
//!
//! An agent that takes work may die with it: after [`AGAIN`] another one gets it too, and the first
//! answer counts.

use std::{
    collections::VecDeque,
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
    time::{Instant, MissedTickBehavior, interval, timeout},
};
use zeroize::Zeroizing;

use crate::{
    access,
    app::App,
    error::{Refusal, read_json},
    random,
    wait::Patience,
};

/// The most work that may be open; beyond it, no agent counts as in reach.
const QUEUE: usize = 256;

/// How long one agent has for an answer before another is asked too.
const AGAIN: Duration = Duration::from_secs(3);

/// How often agents that wait are told to look whether one has had its time.
const LOOK: Duration = Duration::from_secs(1);

/// Where work waits for an agent, and callers for its answer.
pub(crate) struct Desk {
    open: Mutex<VecDeque<Item>>,
    news: watch::Sender<u64>,
}

/// What an agent is asked.
enum Question {
    Password { sid: Sid, password: Secret<String> },
    Policy(PolicyWork),
}

/// A question that has no answer yet.
struct Item {
    id: String,
    domain: Guid,
    question: Arc<Question>,
    answer: oneshot::Sender<WorkOutcome>,
    /// Who works on it, and since when the last of them does.
    agents: Vec<Guid>,
    leased: Option<Instant>,
}

impl Item {
    /// Whether an agent may have it now.
    fn is_for(&self, domain: Guid, agent: Guid) -> bool {
        self.domain == domain
            && self.leased.is_none_or(|since| since.elapsed() >= AGAIN)
            && !self.agents.contains(&agent)
    }
}

/// Takes a piece of work off the desk when nobody waits for its answer any more.
struct Withdraw<'a> {
    desk: &'a Desk,
    id: String,
}

impl Drop for Withdraw<'_> {
    fn drop(&mut self) {
        self.desk.give_up(&self.id);
    }
}

impl Default for Desk {
    fn default() -> Self {
        Self {
            open: Mutex::default(),
            news: watch::Sender::new(0),
        }
    }
}

impl Desk {
    fn open(&self) -> MutexGuard<'_, VecDeque<Item>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
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
            let mut open = self.open();
            if open.len() >= QUEUE {
                return None;
            }
            open.push_back(Item {
                id,
                domain,
                question: Arc::new(question),
                answer,
                agents: Vec::new(),
                leased: None,
            });
        }
        // The first one at once: there is work.
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let look = async {
            loop {
                looks.tick().await;
                self.news.send_modify(|n| *n += 1);
            }
        };
        let outcome = tokio::select! {
            outcome = timeout(patience, answered) => outcome.ok()?.ok(),
            () = look => None,
        };
        drop(withdraw);
        outcome
    }

    /// Hands the oldest work of the domain to an agent.
    fn lease(&self, domain: Guid, agent: Guid) -> Option<(String, Arc<Question>)> {
        let mut open = self.open();
        let item = open.iter_mut().find(|item| item.is_for(domain, agent))?;
        item.agents.push(agent);
        item.leased = Some(Instant::now());
        Some((item.id.clone(), item.question.clone()))
    }

    /// Ends work without an answer: whoever asked is told at once that nobody can say.
    fn give_up(&self, id: &str) {
        self.open().retain(|item| item.id != id);
    }

    /// Takes an agent's answer to what it has leased; one that comes late is for nobody.
    fn answer(&self, id: &str, agent: Guid, outcome: WorkOutcome) {
        let mut open = self.open();
        let place = open
            .iter()
            .position(|item| item.id == id && item.agents.contains(&agent));
        if let Some(item) = place.and_then(|place| open.remove(place)) {
            // Nobody may be waiting any more.
            let _ = item.answer.send(outcome);
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
        assert!(desk.open().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn another_agent_gets_what_one_died_with_and_the_first_answer_counts() {
        let desk = Desk::default();
        let sid = "S-1-5-21-1-2-3-1104".parse().unwrap();
        let secret = Secret::new("x".to_owned());
        let patience = Duration::from_secs(10);
        let asked = desk.check_password(guid(1), sid, secret, patience);
        let mut news = desk.news.subscribe();
        let agents = async {
            news.changed().await.unwrap();
            let begun = Instant::now();
            let (id, _) = desk.lease(guid(1), guid(2)).unwrap();
            let other = loop {
                assert!(desk.lease(guid(1), guid(2)).is_none(), "it has it");
                if let Some((other, _)) = desk.lease(guid(1), guid(3)) {
                    break other;
                }
                news.changed().await.unwrap();
            };
            assert_eq!(other, id);
            assert!((AGAIN..AGAIN + 2 * LOOK).contains(&begun.elapsed()));
            assert!(desk.lease(guid(1), guid(4)).is_none(), "not so soon again");
            desk.answer(&id, guid(3), WorkOutcome::Password(PasswordOutcome::Right));
            desk.answer(&id, guid(2), WorkOutcome::Password(PasswordOutcome::Wrong));
        };
        let (outcome, ()) = tokio::join!(asked, agents);
        assert_eq!(outcome, Some(PasswordOutcome::Right));
    }
}
