//! Work for the server: passwords checked, the one moment in which the agent holds a secret of a
//! user, and group policy evaluated.

use std::{sync::Arc, time::Duration};

use api::agent::{
    PASSWORD_WORK, POLICY_WORK, PasswordOutcome, PasswordWork, Work, WorkAnswer, WorkClaims,
    WorkOutcome,
};
use client::Agent;
use directory::{By, User};
use kerberos::{Closed, Context};
use model::UnixTime;
use tokio::{
    sync::Semaphore,
    task::spawn_blocking,
    time::{Instant, sleep_until},
};

use crate::{
    checks::Checks, config::Config, door::Door, keys::now, metrics::Counters, policies::Policies,
    retry::Backoff,
};

/// Pieces of work at once.
const AT_ONCE: usize = 4;
const ANSWER_LIFETIME_S: i64 = 60;
/// How long after one question the next, where the server has no work and does not wait either.
const PAUSE: Duration = Duration::from_secs(1);

/// The work loop.
#[derive(Clone)]
pub struct Labour {
    config: Arc<Config>,
    door: Arc<Door>,
    agent: Arc<Agent>,
    checks: Arc<Checks>,
    policies: Arc<Policies>,
    counters: Arc<Counters>,
}

impl Labour {
    /// The work loop.
    pub fn new(
        config: Arc<Config>,
        door: Arc<Door>,
        agent: Arc<Agent>,
        checks: Checks,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            counters,
            policies: Arc::new(Policies::new(config.clone(), door.clone())),
            config,
            door,
            agent,
            checks: Arc::new(checks),
        }
    }

    /// Works for ever.
    pub async fn run(self) {
        let mut backoff = Backoff::default();
        let places = Arc::new(Semaphore::new(AT_ONCE));
        loop {
            // A lease runs from when the work was taken: take none that would have to wait.
            let Ok(place) = places.clone().acquire_owned().await else {
                return;
            };
            let asked = Instant::now();
            match self.agent.work(api::MAX_WAIT_S).await {
                Ok(Some(work)) => {
                    backoff.reset();
                    let labour = self.clone();
                    tokio::spawn(async move {
                        labour.answer(work).await;
                        drop(place);
                    });
                }
                Ok(None) => {
                    backoff.reset();
                    sleep_until(asked + PAUSE).await;
                }
                Err(error) => {
                    tracing::warn!(code = "work_failed", %error);
                    backoff.wait().await;
                }
            }
        }
    }

    async fn answer(&self, work: Work) {
        let outcome = match self.outcome(&work).await {
            Ok(outcome) => outcome,
            Err(error) => {
                tracing::warn!(
                    code = "work_refused",
                    id = work.id,
                    error = format!("{error:#}")
                );
                return;
            }
        };
        tracing::info!(id = work.id, kind = work.kind, ?outcome, "work done");
        self.counters.worked();
        let iat = now().0;
        let claims = WorkClaims {
            id: work.id.clone(),
            outcome,
            iat,
            exp: iat + ANSWER_LIFETIME_S,
        };
        let sent = match self.agent.sign(&claims) {
            Ok(answer) => {
                self.agent
                    .answer_work(&work.id, &WorkAnswer { answer })
                    .await
            }
            Err(error) => Err(error),
        };
        if let Err(error) = sent {
            tracing::warn!(code = "answer_lost", id = work.id, %error);
        }
    }

    async fn outcome(&self, work: &Work) -> anyhow::Result<WorkOutcome> {
        let opened = token::open(&self.agent.key(), &work.sealed)?;
        match work.kind.as_str() {
            PASSWORD_WORK => {
                let asked = serde_json::from_slice(opened.expose())
                    .map_err(|_| anyhow::anyhow!("what is sealed is not a password check"))?;
                self.check(asked).await.map(WorkOutcome::Password)
            }
            POLICY_WORK => {
                let asked = serde_json::from_slice(opened.expose())?;
                Ok(WorkOutcome::Policy(self.policies.evaluate(&asked).await))
            }
            _ => anyhow::bail!("work of an unknown kind"),
        }
    }

    async fn check(&self, asked: PasswordWork) -> anyhow::Result<PasswordOutcome> {
        let PasswordWork { sid, password } = asked;
        let user = match self.user_of_scope(By::Sid(sid)).await {
            Ok(user) => user,
            Err(error) => {
                tracing::warn!(code = "directory_unreachable", %error);
                return Ok(PasswordOutcome::Unreachable);
            }
        };
        // Nobody learns by the server whether a password of another part of the domain is right.
        let Some(user) = user else {
            return Ok(PasswordOutcome::Wrong);
        };
        if !self.checks.admit(&self.config.limits, now())? {
            tracing::warn!(
                code = "limit_reached",
                "as many passwords as the configuration allows in an hour have been checked"
            );
            return Ok(PasswordOutcome::Unreachable);
        }
        let principal = format!("{}@{}", user.account, self.config.realm);
        let (keytab, service) = (self.config.keytab.clone(), self.config.service_principal());
        let checked = spawn_blocking(move || {
            Context::new()?.password_check(&principal, &password, &keytab, &service)
        });
        Ok(checked.await?.map_or_else(
            |error| {
                tracing::debug!(code = error.code(), %error, "password check");
                told(&error, &user, now())
            },
            |()| PasswordOutcome::Right,
        ))
    }

    async fn user_of_scope(&self, by: By) -> Result<Option<User>, directory::Error> {
        let first = self.look_up(&by).await;
        let Err(error) = &first else { return first };
        // An idle connection is closed by the domain controller; a person waits: once more.
        self.door.forget_if_broken(error).await;
        self.look_up(&by).await
    }

    async fn look_up(&self, by: &By) -> Result<Option<User>, directory::Error> {
        let directory = self.door.open().await?;
        let Some(user) = directory.user(by).await? else {
            return Ok(None);
        };
        let is_inside = self.config.scope.holds(&directory, &user).await?;
        Ok(is_inside.then_some(user))
    }
}

/// What the KDC's answer means, with what the directory says of the user where the KDC is vague.
fn told(error: &kerberos::Error, user: &User, now: UnixTime) -> PasswordOutcome {
    match error {
        kerberos::Error::WrongPassword(_) | kerberos::Error::UnknownPrincipal(_) => {
            PasswordOutcome::Wrong
        }
        kerberos::Error::PasswordExpired(_) if user.must_change => PasswordOutcome::MustChange,
        kerberos::Error::PasswordExpired(_) => PasswordOutcome::Expired,
        kerberos::Error::AccountClosed { why, .. } => match why {
            Closed::Disabled | Closed::Expired => PasswordOutcome::Disabled,
            Closed::Locked => PasswordOutcome::Locked,
            Closed::OutsideHours => PasswordOutcome::OutsideHours,
        },
        kerberos::Error::AccountRevoked(_) => {
            let is_over = user.expires.is_some_and(|end| end <= now);
            if !user.enabled || is_over {
                PasswordOutcome::Disabled
            } else if user.locked_until.is_some_and(|until| now < until) {
                PasswordOutcome::Locked
            } else if !user.is_within_hours(now) {
                PasswordOutcome::OutsideHours
            } else {
                PasswordOutcome::Disabled
            }
        }
        // What a KDC says of hours where it says nothing of a revoked account.
        kerberos::Error::PolicyRefused(_) if !user.is_within_hours(now) => {
            PasswordOutcome::OutsideHours
        }
        _ => PasswordOutcome::Unreachable,
    }
}
