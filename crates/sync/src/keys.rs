//! Keys down: each change of the feed is checked, written, read back and reported.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, ensure};
use api::agent::{ChangeOp, ChangeResult, Changes, KeyChange, ResultState, StatusReport};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use client::Agent;
use directory::{By, Directory, KeyHolder, KeyValue};
use joints::Joint;
use kerberos::gss;
use keycred::{KeyCredential, RsaPublicKey};
use model::{Filetime, Guid, UnixTime};
use protocol::Statement;
use tokio::{
    sync::mpsc,
    task::{block_in_place, spawn_blocking},
};

use crate::{
    addition::{self, Facts, Proof, Refusal, Rules},
    config::Config,
    cycle::Asked,
    door::Door,
    history::{Connector, ObjectError, Outcome},
    lease::Lease,
    ledger::{self, Ledger},
    metrics::Counters,
    pending::{Action, Pending},
    retry::Backoff,
    state::Folder,
};

/// KRB_AP_ERR_TKT_EXPIRED as libkrb5 numbers it.
const TICKET_EXPIRED: i64 = -1_765_328_384 + 32;

/// Result codes that say "not now" (RFC 4511 appendix A): operationsError, busy, unavailable.
const NOT_NOW: [u32; 3] = [1, 51, 52];

/// The way down.
pub struct Keys {
    config: Arc<Config>,
    door: Arc<Door>,
    agent: Arc<Agent>,
    folder: Folder,
    ledger: Ledger,
    lease: Arc<Lease>,
    pending: Arc<Pending>,
    counters: Arc<Counters>,
}

/// How a change ended.
enum End {
    /// The value is in the directory.
    Confirmed(Place),
    /// The value is not, or no longer, in the directory.
    Removed(Place),
}

/// Which domain controller says so, and as of when.
struct Place {
    dc: String,
    usn: Option<u64>,
}

/// Why a change did not end well.
enum Failure {
    /// It will not, ever.
    Refused(Refusal),
    /// It may the next time.
    Later(anyhow::Error),
}

impl Keys {
    /// The way down, from where it ended the last time.
    pub fn new(
        config: Arc<Config>,
        door: Arc<Door>,
        agent: Arc<Agent>,
        folder: Folder,
        (lease, pending): (Arc<Lease>, Arc<Pending>),
        counters: Arc<Counters>,
    ) -> anyhow::Result<Self> {
        let ledger = folder.read(ledger::FILE)?.unwrap_or_default();
        Ok(Self {
            config,
            door,
            agent,
            folder,
            ledger,
            lease,
            pending,
            counters,
        })
    }

    /// Takes changes for ever, and its turn in cycles.
    pub async fn run(mut self, mut turns: mpsc::Receiver<Asked>) {
        let mut backoff = Backoff::default();
        let mut pause = Duration::ZERO;
        loop {
            let (agent, lease, feed) = (
                self.agent.clone(),
                self.lease.clone(),
                self.ledger.feed.clone(),
            );
            let page = async {
                tokio::time::sleep(pause).await;
                lease.wait().await;
                agent.changes(&feed, api::MAX_WAIT_S).await
            };
            let done = tokio::select! {
                Some(asked) = turns.recv() => {
                    if !asked.answer(self.reconcile()).await {
                        // Stopped or failed in the middle of something.
                        self.door.forget().await;
                    }
                    continue;
                }
                page = page => match page {
                    Ok(page) => self.carry_out(&page).await,
                    Err(error) => Err(error.into()),
                },
            };
            match done {
                Ok(()) => {
                    backoff.reset();
                    pause = Duration::ZERO;
                }
                Err(error) => {
                    tracing::warn!(code = "feed_failed", error = format!("{error:#}"));
                    if let Some(error) = error.downcast_ref() {
                        self.door.forget_if_broken(error).await;
                    }
                    pause = backoff.pause();
                }
            }
        }
    }

    /// What the server has that AD has not yet, and the other way round.
    pub async fn reconcile(&mut self) -> anyhow::Result<Outcome> {
        let mut outcome = Outcome::default();
        loop {
            let page = self.agent.changes(&self.ledger.feed, 0).await?;
            if !self.lease.may_write() {
                for change in &page.changes {
                    let (object, action) = named(change);
                    self.pending
                        .wait(Connector::Directory, &object, action, None);
                }
                return Ok(outcome);
            }
            if page.changes.is_empty() {
                return Ok(outcome);
            }
            self.carry_out_counted(&page, &mut outcome).await?;
        }
    }

    async fn carry_out(&mut self, page: &Changes) -> anyhow::Result<()> {
        self.carry_out_counted(page, &mut Outcome::default()).await
    }

    /// Settles changes in their order.
    async fn carry_out_counted(
        &mut self,
        page: &Changes,
        outcome: &mut Outcome,
    ) -> anyhow::Result<()> {
        for change in &page.changes {
            block_in_place(|| joints::reach("agent", Joint::ChangeReceived));
            let (object, action) = named(change);
            let settled = self.settle(change).await;
            if let Err(error) = &settled {
                let error = Some(("not_now", format!("{error:#}")));
                self.pending
                    .wait(Connector::Directory, &object, action, error);
            }
            let result = settled?;
            self.pending.settled(Connector::Directory, &object);
            self.counters.settled(&result, change.key.created, now());
            match result.state {
                ResultState::Confirmed => outcome.added += 1,
                ResultState::Removed => outcome.removed += 1,
                ResultState::Refused | ResultState::NeedsProof => {
                    outcome.errors.push(ObjectError {
                        object,
                        code: result.code.clone().unwrap_or_default(),
                        detail: result.detail.clone().unwrap_or_default(),
                    });
                }
            }
            self.agent
                .status(&StatusReport {
                    results: vec![result],
                })
                .await?;
        }
        if page.next != self.ledger.feed {
            self.ledger.feed.clone_from(&page.next);
            self.folder.write(ledger::FILE, &self.ledger)?;
        }
        Ok(())
    }

    /// Carries a change out, or says why not. An error is for trying again.
    async fn settle(&mut self, change: &KeyChange) -> anyhow::Result<ChangeResult> {
        let done = match change.op {
            ChangeOp::Add => self.add(change).await,
            ChangeOp::Remove => self.remove(change).await,
        };
        let (seq, kid) = (change.seq, change.key.kid.as_str());
        let user = &change.user.sid;
        let blank = ChangeResult {
            seq,
            state: ResultState::Refused,
            dc: None,
            usn: None,
            code: None,
            detail: None,
        };
        match done {
            Ok(end) => {
                let (state, place) = match end {
                    End::Confirmed(place) => (ResultState::Confirmed, place),
                    End::Removed(place) => (ResultState::Removed, place),
                };
                tracing::info!(seq, kid, %user, ?state, dc = place.dc, "change carried out");
                Ok(ChangeResult {
                    state,
                    dc: Some(place.dc),
                    usn: place.usn,
                    ..blank
                })
            }
            Err(Failure::Refused(refusal)) => {
                let Refusal {
                    code,
                    detail,
                    needs_proof,
                } = refusal;
                tracing::warn!(seq, kid, %user, code, detail, "change refused");
                let state = match needs_proof {
                    true => ResultState::NeedsProof,
                    false => ResultState::Refused,
                };
                let (code, detail) = (Some(code.to_owned()), Some(detail));
                Ok(ChangeResult {
                    state,
                    code,
                    detail,
                    ..blank
                })
            }
            Err(Failure::Later(error)) => Err(error),
        }
    }

    async fn add(&mut self, change: &KeyChange) -> Result<End, Failure> {
        let key = addition::key_of(change)?;
        let directory = self.door.open().await?;
        let holder = directory.keys(change.user.anchor).await?;
        let statement = addition::statement(change, &key);
        let replayed = statement
            .as_ref()
            .is_some_and(|statement| self.ledger.is_replay(statement));
        let counted = statement
            .as_ref()
            .is_some_and(|statement| self.ledger.is_counted(statement));
        if let Some(KeyHolder { user, values }) = &holder
            && addition::user_of(change, Some(user), &self.config.scope).is_ok()
            && !replayed
            && ours(values, &key, change.key.device).next().is_some()
        {
            // Written before the last kill, or delivered twice. Nothing is written, so that
            // nothing needs to be proven; nothing is noted, since nothing was.
            let place = Place {
                dc: directory.dc().to_owned(),
                usn: Some(user.usn),
            };
            return Ok(End::Confirmed(place));
        }
        let device = directory.computer(&By::Guid(change.key.device)).await?;
        let proof = self.proof(change, &key, &directory).await?;
        let now = now();
        let facts = Facts {
            user: holder.as_ref().map(|holder| &holder.user),
            user_keys: holder.as_ref().map_or(0, |holder| holder.values.len()),
            device: device.as_ref(),
            proof,
            replayed,
            exhausted: !counted && self.ledger.additions_exhausted(&self.config.limits, now),
            now,
        };
        let rules = Rules {
            scope: &self.config.scope,
            allow_foreign: self.config.allow_foreign_keys,
            per_user_keys: self.config.limits.per_user_keys,
        };
        addition::check(change, &key, &facts, &rules)?;
        let user = addition::user_of(change, facts.user, &self.config.scope)?;
        block_in_place(|| joints::reach("agent", Joint::ChangeVerified));

        // The signed time: delivered again, the same change makes the same value.
        let made = change
            .evidence
            .as_ref()
            .map_or(change.key.created, |evidence| evidence.time);
        let made = Filetime::from(made);
        let blob = KeyCredential::for_user(&key, change.key.device, made, made).encode();
        self.note(statement.as_ref(), now)?;
        self.expect_lease()?;
        directory.add_key(user, &blob).await?;
        block_in_place(|| joints::reach("agent", Joint::ValueWritten));

        let holder = directory.keys(user.guid).await?;
        let found = holder.filter(|holder| holder.values.iter().any(|value| value.blob == blob));
        let Some(holder) = found else {
            return Err(Failure::Later(anyhow::anyhow!(
                "the value is not there after the write"
            )));
        };
        block_in_place(|| joints::reach("agent", Joint::ValueConfirmed));
        Ok(End::Confirmed(Place {
            dc: directory.dc().to_owned(),
            usn: Some(holder.user.usn),
        }))
    }

    async fn remove(&mut self, change: &KeyChange) -> Result<End, Failure> {
        let key = addition::key_of(change)?;
        let directory = self.door.open().await?;
        let gone = |usn| {
            End::Removed(Place {
                dc: directory.dc().to_owned(),
                usn,
            })
        };
        let Some(KeyHolder { user, values }) = directory.keys(change.user.anchor).await? else {
            return Ok(gone(None));
        };
        addition::user_of(change, Some(&user), &self.config.scope)?;
        // Before the value goes: from here on its statement does not bring it back.
        self.ledger
            .burn(change.key.device, &user.sid, &key.key_id(), now());
        self.folder.write(ledger::FILE, &self.ledger)?;
        for value in ours(&values, &key, change.key.device) {
            let now = now();
            if self.config.limits.removals_per_hour == 0 {
                return Err(Failure::Refused(Refusal::new(
                    "limit_reached",
                    "The agent's configuration allows no removals.",
                )));
            }
            if self.ledger.removals_exhausted(&self.config.limits, now) {
                // Not for ever: a stolen computer's key must go, if an hour later.
                return Err(Failure::Later(anyhow::anyhow!(
                    "as many keys as the configuration allows in an hour have been removed"
                )));
            }
            self.expect_lease()?;
            directory.delete_key(&user, value).await?;
            self.ledger.count_removal(now);
            self.folder.write(ledger::FILE, &self.ledger)?;
        }
        let Some(KeyHolder { user, values }) = directory.keys(user.guid).await? else {
            return Ok(gone(None));
        };
        match ours(&values, &key, change.key.device).next() {
            Some(_) => Err(Failure::Later(anyhow::anyhow!(
                "the value is there after its removal"
            ))),
            None => Ok(gone(Some(user.usn))),
        }
    }

    /// Right before a write: this agent is the one that writes, still.
    fn expect_lease(&self) -> anyhow::Result<()> {
        ensure!(
            self.lease.may_write(),
            "nothing is written: {}",
            self.lease.why_not()
        );
        Ok(())
    }

    /// What the user's Kerberos proof shows.
    async fn proof(
        &self,
        change: &KeyChange,
        key: &RsaPublicKey,
        directory: &Directory,
    ) -> Result<Proof, Failure> {
        let Some((evidence, statement)) = change
            .evidence
            .as_ref()
            .zip(addition::statement(change, key))
        else {
            return Ok(Proof::Absent);
        };
        let Some(proof) = &evidence.user_proof else {
            return Ok(Proof::Absent);
        };
        let (Ok(token), Ok(mic)) = (STANDARD.decode(&proof.token), STANDARD.decode(&proof.mic))
        else {
            return Ok(Proof::Bad("it is not base64".to_owned()));
        };
        let keytab = self.config.keytab.clone();
        // A keytab that cannot be read is the agent's own trouble, and says nothing of the proof.
        std::fs::File::open(&keytab).context("the keytab")?;
        let accepted = spawn_blocking(move || {
            gss::accept(&keytab, &gss::Proof { token, mic }, &statement.to_bytes())
        });
        let client = match accepted.await.map_err(anyhow::Error::from)? {
            Ok(client) => client,
            Err(kerberos::Error::ClockSkew(_))
            | Err(kerberos::Error::Other {
                code: TICKET_EXPIRED,
                ..
            }) => {
                return Ok(Proof::Expired);
            }
            Err(error) => return Ok(Proof::Bad(error.to_string())),
        };
        // A name with an escape or an instance is no account's that gets keys.
        match client.rsplit_once('@') {
            Some((account, realm))
                if realm == self.config.realm && !account.contains(['\\', '/', '@']) =>
            {
                Ok(Proof::By(directory.claimants(account).await?))
            }
            _ => Ok(Proof::By(Vec::new())),
        }
    }

    /// Counts an addition, on disk before the value is written: neither a kill nor a server that
    /// never lets the feed move on makes the agent forget it. Tried again, it counts once.
    fn note(&mut self, statement: Option<&Statement>, now: UnixTime) -> anyhow::Result<()> {
        match statement {
            Some(statement) if self.ledger.is_counted(statement) => return Ok(()),
            Some(statement) => self.ledger.carried_out(statement),
            None => {}
        }
        self.ledger.count_addition(now);
        self.folder.write(ledger::FILE, &self.ledger)
    }
}

/// A change for people: the key and whose it is.
fn named(change: &KeyChange) -> (String, Action) {
    let action = match change.op {
        ChangeOp::Add => Action::Put,
        ChangeOp::Remove => Action::Delete,
    };
    let object = format!("key {} of {}", change.key.kid, change.user.sid);
    (object, action)
}

/// The values that hold this key and name this device. All others are someone else's.
fn ours<'v>(
    values: &'v [KeyValue],
    key: &RsaPublicKey,
    device: Guid,
) -> impl Iterator<Item = &'v KeyValue> {
    let material = key.to_rsa1();
    values.iter().filter(move |value| {
        KeyCredential::decode(&value.blob).is_ok_and(|credential| {
            credential.material() == Some(&material) && credential.device() == Some(device)
        })
    })
}

/// The agent's clock.
pub fn now() -> UnixTime {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    UnixTime(since.as_secs() as i64)
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Later(error)
    }
}

impl From<directory::Error> for Failure {
    fn from(error: directory::Error) -> Self {
        match &error {
            directory::Error::Refused { code, .. } if !NOT_NOW.contains(code) => {
                Self::Refused(Refusal::new("directory_refused", error.to_string()))
            }
            _ => Self::Later(error.into()),
        }
    }
}

#[cfg(test)]
mod tests;
