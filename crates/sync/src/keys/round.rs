//! One round of changes, at most one of each user: looked at, decided, written; and read back while
//! the next one is written.
//!
//! What is read of users and written to them goes over several connections. What is decided is
//! decided in the feed's order, by one hand, and is on disk before the first value is written: what
//! was counted stays counted, and what was removed does not come back.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use api::agent::{ChangeOp, KeyChange};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use directory::{By, Computer, Directory, KeyHolder, KeyValue, User};
use joints::Joint;
use keycred::{KeyCredential, RsaPublicKey};
use model::{Filetime, Guid, UnixTime};
use protocol::Statement;
use tokio::task::block_in_place;

use super::{
    Ahead, End, Failure, Keys, PAGE, Place, anchor,
    lanes::{LANES, Lanes, each},
    now, of_key, ours, proof,
    reconcile::by_guid,
};
use crate::{
    addition::{self, Facts, Proof, Refusal, Rules},
    config::{Config, Reassert},
    history::Outcome,
    lease::Lease,
    permissions,
    written::Key,
};

/// A change, and what the directory says about it.
pub(super) struct Sight {
    key: RsaPublicKey,
    holder: Option<KeyHolder>,
    /// Of an addition that is not there yet: what its ticket proves, and whether its device signed it.
    proof: Proof,
    signed: Result<(), Refusal>,
    /// Of a removal that finds nothing: the agent may not see the user's keys.
    is_blind: bool,
}

/// What is to be done.
enum Step {
    /// Nothing.
    Done(End),
    /// One value more.
    Add(User, Vec<u8>),
    /// These values out.
    Remove(User, Vec<KeyValue>),
}

/// A change that is written, and the key that it is about.
pub(super) struct Writing {
    change: KeyChange,
    key: RsaPublicKey,
    step: Step,
    wrote: Result<(), Failure>,
}

impl Writing {
    pub(super) fn user(&self) -> Guid {
        self.change.user.anchor
    }
}

/// A change that came to an end, and its key where that could be read.
pub(super) struct Ended {
    pub(super) change: KeyChange,
    pub(super) key: Option<RsaPublicKey>,
    pub(super) how: Result<End, Failure>,
}

impl Keys {
    /// Carries out a round but for its end, and meanwhile ends the one before, and looks ahead where
    /// there is more after this one.
    pub(super) async fn round(
        &mut self,
        directory: &Arc<Directory>,
        changes: Vec<KeyChange>,
        is_more: bool,
        outcome: &mut Outcome,
    ) -> anyhow::Result<()> {
        let lanes = self.lanes(directory, changes.len()).await?;
        let mut sights = std::mem::take(&mut self.ahead.sights);
        let unseen = changes
            .iter()
            .filter(|change| !sights.contains_key(&change.seq));
        sights.extend(self.look(&lanes, unseen.collect()).await?);
        let users: HashSet<Guid> = changes.iter().map(anchor).collect();

        let (mut ended, mut writings) = (Vec::new(), Vec::new());
        for change in changes {
            let Some(seen) = sights.remove(&change.seq) else {
                anyhow::bail!("change {} was not looked at: this is a bug", change.seq);
            };
            let decided = seen.and_then(|sight| {
                let step = self.decide(&change, &sight, directory.dc())?;
                Ok((step, sight.key))
            });
            let (key, how) = match decided {
                Ok((Step::Done(end), key)) => (Some(key), Ok(end)),
                Ok((step, key)) => {
                    writings.push(Writing {
                        change,
                        key,
                        step,
                        wrote: Ok(()),
                    });
                    continue;
                }
                Err(failure) => (None, Err(failure)),
            };
            ended.push(Ended { change, key, how });
        }
        self.ledger.keep()?;

        let lease = self.lease.clone();
        let meanwhile = async {
            self.note(ended, outcome)?;
            self.finish(outcome).await?;
            anyhow::Ok(match is_more {
                true => self.look_ahead(&lanes, &users).await,
                false => Ahead::default(),
            })
        };
        let [.., last] = &lanes;
        let (wrote, ahead) = tokio::join!(write(last, &lease, writings), meanwhile);
        self.ahead = ahead?;
        self.behind.written = Some((directory.clone(), wrote));
        Ok(())
    }

    /// The next page, and what the directory says of those whom the round under way leaves alone.
    async fn look_ahead(&self, lanes: &Lanes, busy: &HashSet<Guid>) -> Ahead {
        let Ok(page) = self.agent.changes(&self.place, 0).await else {
            // It is asked for again in its turn, and then it matters why it does not come.
            return Ahead::default();
        };
        let others = page.changes.iter().take(PAGE);
        let others = others
            .filter(|change| change.op == ChangeOp::Add && !busy.contains(&change.user.anchor));
        let [first, second, ..] = lanes;
        let lanes = [first, second, first, second].map(Arc::clone);
        let sights = self.look(&lanes, others.collect()).await;
        Ahead {
            page: Some(page),
            // They are looked at again in their turn.
            sights: sights.unwrap_or_default().into_iter().collect(),
        }
    }

    /// As many connections as a round is worth.
    async fn lanes(&mut self, first: &Arc<Directory>, changes: usize) -> anyhow::Result<Lanes> {
        if self.lanes.iter().any(|lane| lane.dc() != first.dc()) {
            self.lanes.clear();
        }
        if changes > LANES {
            while self.lanes.len() + 1 < LANES {
                self.lanes.push(Arc::new(self.door.to(first.dc()).await?));
            }
        }
        let mut more = self.lanes.iter();
        Ok(std::array::from_fn(|_| match changes {
            0..=LANES => first.clone(),
            _ => more.next().unwrap_or(first).clone(),
        }))
    }

    /// What the directory says of each change's user, and of the proofs of each addition.
    async fn look(
        &self,
        lanes: &Lanes,
        changes: Vec<&KeyChange>,
    ) -> anyhow::Result<Vec<(u64, Result<Sight, Failure>)>> {
        let [first, ..] = lanes;
        let devices = &devices(first, &changes).await?;
        let items = changes.into_iter().map(|change| {
            let key = addition::key_of(change);
            let replayed = key
                .as_ref()
                .ok()
                .and_then(|key| addition::statement(change, key))
                .is_some_and(|statement| self.ledger.is_replay(&statement));
            (change.clone(), key, replayed)
        });
        let config = &self.config;
        let sights = each(
            lanes,
            items.collect(),
            |directory, (change, key, replayed)| async move {
                let device = devices.get(&change.key.device);
                let seq = change.seq;
                let sight = sight(&directory, config, change, key, device, replayed).await;
                (seq, sight)
            },
        );
        Ok(sights.await)
    }

    /// What is to be done about a change. Counts it, too.
    fn decide(&mut self, change: &KeyChange, sight: &Sight, dc: &str) -> Result<Step, Failure> {
        match change.op {
            ChangeOp::Add => self.decide_addition(change, sight, dc),
            ChangeOp::Remove => self.decide_removal(change, sight, dc),
        }
    }

    fn decide_addition(
        &mut self,
        change: &KeyChange,
        sight: &Sight,
        dc: &str,
    ) -> Result<Step, Failure> {
        let Sight { key, holder, .. } = sight;
        let statement = addition::statement(change, key);
        let replayed = statement
            .as_ref()
            .is_some_and(|statement| self.ledger.is_replay(statement));
        let counted = statement
            .as_ref()
            .is_some_and(|statement| self.ledger.is_counted(statement));
        if let Some(holder) = holder
            && !replayed
            && is_there(change, key, Some(holder), &self.config)
        {
            // Written before the last kill, or delivered twice. Nothing is written, so that
            // nothing needs to be proven; nothing is counted, since nothing was.
            let usn = Some(holder.user.usn);
            return Ok(Step::Done(End::Confirmed(Place::at(dc, usn))));
        }
        let now = now();
        let facts = Facts {
            user: holder.as_ref().map(|holder| &holder.user),
            user_keys: holder.as_ref().map_or(0, |holder| holder.values.len()),
            signed: sight.signed.clone(),
            proof: sight.proof.clone(),
            replayed,
            exhausted: !counted && self.ledger.additions_exhausted(&self.config.limits, now),
            now,
        };
        let rules = Rules {
            scope: &self.config.scope,
            allow_foreign: self.config.allow_foreign_keys,
            per_user_keys: self.config.limits.per_user_keys,
        };
        addition::check(change, &facts, &rules)?;
        let user = addition::user_of(change, facts.user, &self.config.scope)?.clone();
        block_in_place(|| joints::reach("agent", Joint::ChangeVerified));
        self.count_addition(statement.as_ref(), now);
        Ok(Step::Add(user, value(change, key)))
    }

    fn decide_removal(
        &mut self,
        change: &KeyChange,
        sight: &Sight,
        dc: &str,
    ) -> Result<Step, Failure> {
        let Sight { key, holder, .. } = sight;
        let Some(KeyHolder {
            user,
            values: there,
        }) = holder
        else {
            return Ok(Step::Done(End::Removed(Place::at(dc, None))));
        };
        addition::user_of(change, Some(user), &self.config.scope)?;
        let now = now();
        self.ledger
            .burn(change.key.device, &user.sid, &key.key_id(), now);
        let mut values: Vec<KeyValue> = ours(there, key, change.key.device).cloned().collect();
        if values.is_empty() {
            return match foreign(there, key, change.key.device) {
                Some(refusal) => Err(refusal.into()),
                None if sight.is_blind => Err(Failure::Later(blind())),
                None => Ok(Step::Done(End::Removed(Place::at(dc, Some(user.usn))))),
            };
        }
        let limits = &self.config.limits;
        if limits.removals_per_hour == 0 {
            return Err(Failure::Refused(Refusal::new(
                "limit_reached",
                "The agent's configuration allows no removals.",
            )));
        }
        values.retain(|_| {
            let is_allowed = !self.ledger.removals_exhausted(limits, now);
            if is_allowed {
                self.ledger.count_removal(now);
            }
            is_allowed
        });
        if values.is_empty() {
            // Not for ever: a stolen computer's key must go, if an hour later.
            return Err(Failure::Later(anyhow::anyhow!(
                "as many keys as the configuration allows in an hour have been removed"
            )));
        }
        Ok(Step::Remove(user.clone(), values))
    }

    /// Counts an addition, which is on disk before the value is written: neither a kill nor a
    /// server that never lets the feed move on makes the agent forget it. Tried again, it counts
    /// once.
    pub(super) fn count_addition(&mut self, statement: Option<&Statement>, now: UnixTime) {
        match statement {
            Some(statement) if self.ledger.is_counted(statement) => return,
            Some(statement) => self.ledger.carried_out(statement),
            None => {}
        }
        self.ledger.count_addition(now);
    }

    pub(super) fn note_written(&mut self, change: &KeyChange, key: &RsaPublicKey, end: &End) {
        let user = change.user.anchor;
        let mut noted = Key::new(&key.key_id(), change.key.device, change.seq);
        match end {
            End::Confirmed(place) => {
                // Only what was proven: the rest of the feed is the server's word.
                let statement = addition::statement(change, key);
                let is_proven =
                    statement.is_some_and(|statement| self.ledger.is_counted(&statement));
                let is_kept = is_proven && self.config.reassert == Reassert::Auto;
                noted.value = is_kept.then(|| STANDARD.encode(value(change, key)));
                self.written.put(user, noted, &place.dc);
            }
            End::Removed(place) => self.written.take_out(user, noted, &place.dc),
        }
    }
}

impl Place {
    fn at(dc: &str, usn: Option<u64>) -> Self {
        let dc = dc.to_owned();
        Self { dc, usn }
    }
}

/// What the directory says about a change, with the proof of an addition that may be written.
async fn sight(
    directory: &Directory,
    config: &Config,
    change: KeyChange,
    key: Result<RsaPublicKey, Refusal>,
    device: Option<&Computer>,
    replayed: bool,
) -> Result<Sight, Failure> {
    let key = key?;
    let holder = directory.keys(change.user.anchor).await?;
    if change.op == ChangeOp::Add {
        expect_member(directory, config, holder.as_ref()).await?;
    }
    let proof = match change.op {
        ChangeOp::Add if replayed || !is_there(&change, &key, holder.as_ref(), config) => {
            proof::of(&change, &key, directory, config).await?
        }
        _ => Proof::Absent,
    };
    let signed = addition::signed(&change, &key, device);
    let is_blind = match &holder {
        Some(KeyHolder { user, values }) if change.op == ChangeOp::Remove => {
            of_key(values, &key, change.key.device).next().is_none()
                && !permissions::sees_keys(config, directory, &user.dn).await?
        }
        _ => false,
    };
    Ok(Sight {
        key,
        holder,
        proof,
        signed,
        is_blind,
    })
}

/// What is not seen is not known to be gone.
pub(super) fn blind() -> anyhow::Error {
    anyhow::anyhow!(
        "the agent's account may not read the user's keys, so that it does not know what is there: \
         `latchkey-sync permissions check` names the right that is missing"
    )
}

/// That the same key is there in a value that the agent does not write, and so does not take out.
fn foreign(values: &[KeyValue], key: &RsaPublicKey, device: Guid) -> Option<Refusal> {
    of_key(values, key, device).next().map(|_| {
        Refusal::new(
            "foreign_value",
            "The key is in the directory in a value that the agent did not write, and goes on signing \
             in. Whoever wrote it has to take it out.",
        )
    })
}

/// A user who is in none of the scope's groups is out of it.
async fn expect_member(
    directory: &Directory,
    config: &Config,
    holder: Option<&KeyHolder>,
) -> Result<(), Failure> {
    let scope = &config.scope;
    match holder {
        Some(KeyHolder { user, .. })
            if scope.contains(&user.dn) && !scope.holds(directory, user).await? =>
        {
            let detail = "The user is in none of the groups of the agent's configuration.";
            Err(Refusal::new("out_of_scope", detail).into())
        }
        _ => Ok(()),
    }
}

/// Whether the value of an addition is there already, on a user that the agent may write to.
fn is_there(
    change: &KeyChange,
    key: &RsaPublicKey,
    holder: Option<&KeyHolder>,
    config: &Config,
) -> bool {
    holder.is_some_and(|KeyHolder { user, values }| {
        addition::user_of(change, Some(user), &config.scope).is_ok()
            && ours(values, key, change.key.device).next().is_some()
    })
}

/// The devices of the additions that have one.
async fn devices(
    directory: &Directory,
    changes: &[&KeyChange],
) -> anyhow::Result<HashMap<Guid, Computer>> {
    let proven = changes.iter().filter(|change| change.evidence.is_some());
    let guids: HashSet<Guid> = proven.map(|change| change.key.device).collect();
    let guids: Vec<Guid> = guids.into_iter().collect();
    let found = directory.computers_of(&guids).await?;
    Ok(found
        .into_iter()
        .map(|computer| (computer.guid, computer))
        .collect())
}

/// The value of an addition. With the signed time: delivered again, the same change makes the same
/// value.
fn value(change: &KeyChange, key: &RsaPublicKey) -> Vec<u8> {
    let made = change
        .evidence
        .as_ref()
        .map_or(change.key.created, |evidence| evidence.time);
    let made = Filetime::from(made);
    KeyCredential::for_user(key, change.key.device, made, made).encode()
}

/// Writes one after another, over a connection on which nobody reads meanwhile: a domain controller
/// writes one thing at a time.
async fn write(directory: &Directory, lease: &Lease, mut writings: Vec<Writing>) -> Vec<Writing> {
    for writing in &mut writings {
        writing.wrote = carry_out(directory, lease, &writing.step).await;
        if writing.wrote.is_ok() {
            block_in_place(|| joints::reach("agent", Joint::ValueWritten));
        }
    }
    writings
}

/// Reads back in one answer what is there of all that was written, where it was written.
pub(super) async fn read_back(
    written: Option<(Arc<Directory>, Vec<Writing>)>,
) -> anyhow::Result<Vec<Ended>> {
    let Some((directory, writings)) = written else {
        return Ok(Vec::new());
    };
    let users: Vec<Guid> = writings.iter().map(Writing::user).collect();
    let found = by_guid(directory.keys_of(&users).await?);
    let ended = writings.into_iter().map(|mut writing| {
        let wrote = std::mem::replace(&mut writing.wrote, Ok(()));
        let how = wrote.and_then(|()| ended(&writing, found.get(&writing.user()), directory.dc()));
        if how.is_ok() {
            block_in_place(|| joints::reach("agent", Joint::ValueConfirmed));
        }
        Ended {
            change: writing.change,
            key: Some(writing.key),
            how,
        }
    });
    Ok(ended.collect())
}

/// Whoever wakes after the lease has ended writes nothing more.
async fn carry_out(directory: &Directory, lease: &Lease, step: &Step) -> Result<(), Failure> {
    match step {
        Step::Done(_) => {}
        Step::Add(user, blob) => {
            lease.check()?;
            if let Err(error) = directory.add_key(user, blob).await {
                return Err(moved_or(directory, user, error).await);
            }
        }
        Step::Remove(user, values) => {
            for value in values {
                lease.check()?;
                if let Err(error) = directory.delete_key(user, value).await {
                    return Err(moved_or(directory, user, error).await);
                }
            }
        }
    }
    Ok(())
}

/// A value names its owner by DN. Who was renamed or moved since the look is looked at again.
async fn moved_or(directory: &Directory, user: &User, error: directory::Error) -> Failure {
    if matches!(error, directory::Error::Refused { .. }) {
        match directory.user(&By::Guid(user.guid)).await {
            Ok(Some(now)) if now.dn == user.dn => {}
            Ok(_) => return Failure::Later(anyhow::anyhow!("the user was renamed meanwhile")),
            Err(error) => return error.into(),
        }
    }
    error.into()
}

/// Whether what was written is what is there.
fn ended(writing: &Writing, holder: Option<&KeyHolder>, dc: &str) -> Result<End, Failure> {
    let not = |what: &str| Err(Failure::Later(anyhow::anyhow!("the value is {what}")));
    let place = Place::at(dc, holder.map(|holder| holder.user.usn));
    let values = holder.map_or(&[][..], |holder| &holder.values);
    match &writing.step {
        Step::Add(_, blob) if !values.iter().any(|value| value.blob == *blob) => {
            not("not there after the write")
        }
        Step::Add(..) => Ok(End::Confirmed(place)),
        Step::Remove(..) | Step::Done(_) => {
            let (key, device) = (&writing.key, writing.change.key.device);
            match (
                ours(values, key, device).next(),
                foreign(values, key, device),
            ) {
                (Some(_), _) => not("there after its removal"),
                (None, Some(refusal)) => Err(refusal.into()),
                (None, None) => Ok(End::Removed(place)),
            }
        }
    }
}

#[cfg(test)]
mod tests;
