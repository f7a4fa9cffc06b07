//! What the directory has against what the agent wrote into it.
//!
//! A key that was there and is not, without the server's having asked for it, was taken out by
//! somebody else: it counts as revoked, and only a new enrollment brings a key again.

use std::{collections::HashMap, time::Duration};

use anyhow::ensure;
use api::agent::{ChangeResult, ResultState};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use directory::{By, Directory, KeyHolder, KeyValue, User};
use keycred::KeyCredential;
use model::Guid;
use tokio::time::Instant;

use super::{KEY_REMOVED, Keys, PAGE, ends::report, now, round::blind};
use crate::{
    cleanup::{self, Cleaned},
    config::Reassert,
    history::{ObjectError, Outcome},
    lease::Lease,
    ledger::{from_hex, hex},
    permissions,
    threshold::Side,
    written::Key,
};

/// How often users that changed are looked at.
pub(super) const WATCH: Duration = Duration::from_secs(5);

/// The same while the feed goes on: most that changed is the agent's own work.
const WATCH_BUSY: Duration = Duration::from_secs(60);

/// The most characters of a DN that the server is told of.
const MAX_DN: usize = 500;

/// More keys than the largest domain has.
const MAX_KEYS: usize = 2_000_000;

/// Builds of Windows Server 2016 and 2019, of which some take a key out after its first sign-in.
const FORGETFUL: [&str; 2] = ["10.0 (14393)", "10.0 (17763)"];

/// How far the changes of users were looked at.
pub(super) struct Watch {
    /// invocationId: a domain controller that is put back counts anew.
    database: Guid,
    term: u64,
    usn: u64,
    looked: Instant,
}

impl Watch {
    fn is_of(&self, directory: &Directory, lease: &Lease) -> bool {
        self.database == directory.invocation_id() && self.term == lease.term()
    }
}

impl Keys {
    /// Looks at every key that this agent, or one before it, wrote.
    pub async fn reconcile(&mut self) -> anyhow::Result<Outcome> {
        let directory = self.door.open().await?;
        self.learn().await?;
        self.written.meet(directory.dc(), directory.invocation_id());
        let usn = directory.highest_usn().await?;
        let (mut outcome, mut losing) = (Outcome::default(), Vec::new());
        for users in self.written.users().chunks(PAGE) {
            let holders = by_guid(directory.keys_of(users).await?);
            for user in users {
                let there = holders.get(user);
                self.compare(&directory, *user, there, &mut losing, &mut outcome)
                    .await?;
            }
            self.folder_keeps_up()?;
        }
        self.lose(losing, &mut outcome).await?;
        self.watched(&directory, usn);
        Ok(outcome)
    }

    /// Looks at the keys of users that have changed since the last time, every few seconds.
    pub(super) async fn watch(&mut self, is_busy: bool) -> anyhow::Result<()> {
        let pause = if is_busy { WATCH_BUSY } else { WATCH };
        if self
            .watch
            .as_ref()
            .is_some_and(|watch| watch.term == self.lease.term() && watch.looked.elapsed() < pause)
        {
            return Ok(());
        }
        let directory = self.door.open().await?;
        let since = match &self.watch {
            Some(watch) if watch.is_of(&directory, &self.lease) => watch.usn,
            _ => return self.reconcile().await.map(drop),
        };
        let usn = directory.highest_usn().await?;
        if usn > since {
            let (mut outcome, mut losing) = (Outcome::default(), Vec::new());
            let mut changed = directory.changed(since, usn).await?.users;
            changed.retain(|user| !self.written.of(*user).is_empty());
            for users in changed.chunks(PAGE) {
                for holder in directory.keys_of(users).await? {
                    let user = holder.user.guid;
                    self.compare(&directory, user, Some(&holder), &mut losing, &mut outcome)
                        .await?;
                }
            }
            match self.losses.is_stopped() {
                // Where all are looked at, in a cycle, they are counted together.
                true => self.tell_lost().await?,
                false => self.lose(losing, &mut outcome).await?,
            }
        }
        self.watched(&directory, usn);
        Ok(())
    }

    /// What the server says is in the directory.
    async fn learn(&mut self) -> anyhow::Result<()> {
        let (mut confirmed, mut after) = (Vec::new(), 0);
        loop {
            let page = self.agent.confirmed_keys(after).await?.keys;
            match page.last() {
                // A server that goes in circles is not followed.
                Some(last) if last.seq > after => after = last.seq,
                _ => break,
            }
            confirmed.extend(page);
            ensure!(
                confirmed.len() <= MAX_KEYS,
                "the server tells of too many keys"
            );
        }
        self.written.learn(confirmed);
        self.folder_keeps_up()
    }

    fn watched(&mut self, directory: &Directory, usn: u64) {
        self.watch = Some(Watch {
            database: directory.invocation_id(),
            term: self.lease.term(),
            usn,
            looked: Instant::now(),
        });
    }

    /// Compares one user's keys. What somebody else took out is added to `losing`.
    async fn compare(
        &mut self,
        directory: &Directory,
        user: Guid,
        holder: Option<&KeyHolder>,
        losing: &mut Vec<(User, Key)>,
        outcome: &mut Outcome,
    ) -> anyhow::Result<()> {
        let dc = directory.dc();
        for key in self.written.of(user).to_vec() {
            if key.is_lost() {
                continue;
            }
            let there = has(holder, &key);
            match holder {
                Some(holder) if key.is_gone() => {
                    outcome.removed += self.remove_late(directory, holder, &key).await?;
                }
                Some(_) if there => {
                    self.written.put(user, key, dc);
                    outcome.unchanged += 1;
                }
                // It has not come from the other domain controller yet.
                Some(_) if !self.written.was_seen(&key, dc) => outcome.unchanged += 1,
                Some(holder) if self.is_taken_out_by_us(&holder.user, &key) => {
                    self.written.forget(user, &key.id, key.device);
                    outcome.removed += 1;
                }
                Some(_) if self.is_cleaned(user, &key)? => {
                    let detail = "`latchkey-sync cleanup` took it out".to_owned();
                    self.written.lose(user, &key, detail);
                    outcome.removed += 1;
                }
                Some(KeyHolder { user, .. })
                    if !permissions::sees_keys(&self.config, directory, &user.dn).await? =>
                {
                    outcome
                        .errors
                        .push(unread(user.dn.clone(), format!("{:#}", blind())));
                }
                Some(holder) => match self.reassert(directory, &holder.user, &key).await? {
                    true => outcome.added += 1,
                    false => losing.push((holder.user.clone(), key)),
                },
                // The keys of an account that is deleted go with it.
                None if directory.user(&By::Guid(user)).await?.is_none() => {
                    self.written.forget(user, &key.id, key.device);
                    outcome.removed += 1;
                }
                None => {
                    let detail = "the user's keys cannot be read".to_owned();
                    outcome.errors.push(unread(user.to_string(), detail));
                }
            }
        }
        Ok(())
    }

    /// Takes out a key that was removed at another domain controller before it had come there, and has
    /// come now. Answers how many values that were.
    async fn remove_late(
        &mut self,
        directory: &Directory,
        KeyHolder { user, values }: &KeyHolder,
        key: &Key,
    ) -> anyhow::Result<u64> {
        let mut removed = 0;
        let is_ours = self.config.scope.contains(&user.dn);
        let is_written = |value: &&KeyValue| is_of(value, key) && is_such_as_ours(value);
        for value in values.iter().filter(|value| is_ours && is_written(value)) {
            if self.ledger.removals_exhausted(&self.config.limits, now()) {
                break;
            }
            self.ledger.count_removal(now());
            self.ledger.keep()?;
            self.lease.check()?;
            directory.delete_key(user, value).await?;
            tracing::warn!(code = "key_removed_late", user = %user.sid, key = key.id);
            removed += 1;
        }
        Ok(removed)
    }

    /// A kill may have come between the removal and its note.
    fn is_taken_out_by_us(&self, user: &User, key: &Key) -> bool {
        from_hex(&key.id).is_some_and(|id| self.ledger.is_burnt(key.device, &user.sid, &id))
    }

    fn is_cleaned(&self, user: Guid, key: &Key) -> anyhow::Result<bool> {
        let cleaned: Option<Cleaned> = self.folder.read(cleanup::FILE)?;
        Ok(cleaned.is_some_and(|cleaned| cleaned.values.contains(&(user, key.id.clone()))))
    }

    /// Keys were taken out by somebody else: their statements do not bring them back. So many at once
    /// are nobody's work but a directory's that was put back, or that the agent may not read: they stay
    /// what they are until an administrator says that they are gone.
    pub(super) async fn lose(
        &mut self,
        losing: Vec<(User, Key)>,
        outcome: &mut Outcome,
    ) -> anyhow::Result<()> {
        let count = losing.len();
        if count == 0 && !self.losses.is_stopped() {
            return self.tell_lost().await;
        }
        if !self.may_go(Side::Lost, count, outcome).await? {
            return self.tell_lost().await;
        }
        for (user, key) in losing {
            let dn: String = user.dn.chars().take(MAX_DN).collect();
            let detail = format!(
                "somebody else took the key {} of {dn} out of the directory; it counts as revoked, and \
                 a new enrollment brings a new one",
                key.id
            );
            if let Some(id) = from_hex(&key.id) {
                self.ledger.burn(key.device, &user.sid, &id, now());
            }
            self.alarms
                .raise("key_removed_by_other", KEY_REMOVED, detail.clone(), now());
            self.written.lose(user.guid, &key, detail);
            outcome.removed += 1;
        }
        self.tell_lost().await?;
        self.went(Side::Lost, count, 0)
    }

    /// Writes a key again that the domain controller itself took out, if that is configured and the
    /// user may still have one.
    async fn reassert(
        &mut self,
        directory: &Directory,
        user: &User,
        key: &Key,
    ) -> anyhow::Result<bool> {
        let Some(blob) = key
            .value
            .as_ref()
            .and_then(|value| STANDARD.decode(value).ok())
        else {
            return Ok(false);
        };
        let is_forgetful = self.config.reassert == Reassert::Auto
            && directory
                .dc_release()
                .await?
                .is_some_and(|release| FORGETFUL.contains(&release.as_str()));
        if !is_forgetful || self.ledger.additions_exhausted(&self.config.limits, now()) {
            return Ok(false);
        }
        let Some(KeyHolder { user, .. }) = directory.keys(user.guid).await? else {
            return Ok(false);
        };
        let device = directory.computer(&By::Guid(key.device)).await?;
        let is_allowed = self.config.scope.holds(directory, &user).await?
            && user.enabled
            && user.protection.is_none()
            && device.is_some_and(|device| device.enabled);
        if !is_allowed {
            return Ok(false);
        }
        self.ledger.count_addition(now());
        self.ledger.keep()?;
        self.lease.check()?;
        directory.add_key(&user, &blob).await?;
        tracing::warn!(code = "key_reasserted", user = %user.sid, key = key.id);
        Ok(true)
    }

    /// Tells the server of keys that are lost. A key is forgotten when the server has heard of it.
    async fn tell_lost(&mut self) -> anyhow::Result<()> {
        self.ledger.keep()?;
        self.folder_keeps_up()?;
        for lost in self.written.lost().chunks(PAGE) {
            let result = |(_, key, detail): &(Guid, Key, String)| ChangeResult {
                code: Some("key_removed_by_other".to_owned()),
                detail: Some(detail.clone()),
                ..ChangeResult::new(key.seq, ResultState::Lost)
            };
            report(&self.agent, lost.iter().map(result).collect()).await?;
            for (user, key, _) in lost {
                self.written.forget(*user, &key.id, key.device);
            }
        }
        self.folder_keeps_up()
    }
}

fn unread(object: String, detail: String) -> ObjectError {
    let code = "directory_refused".to_owned();
    ObjectError {
        object,
        code,
        detail,
    }
}

/// Whether a value has the form of those that the agent writes.
fn is_such_as_ours(value: &KeyValue) -> bool {
    KeyCredential::decode(&value.blob).is_ok_and(|credential| credential.is_for_user())
}

/// Whether this is the value of a key that the agent wrote.
fn is_of(value: &KeyValue, key: &Key) -> bool {
    KeyCredential::decode(&value.blob).is_ok_and(|credential| {
        let material = credential.material();
        material.is_some_and(|material| hex(&model::sha256(material)) == key.id)
            && credential.device() == Some(key.device)
    })
}

/// Whether a user has the value of a key that the agent wrote.
pub(super) fn has(holder: Option<&KeyHolder>, key: &Key) -> bool {
    holder.is_some_and(|holder| holder.values.iter().any(|value| is_of(value, key)))
}

pub(super) fn by_guid(holders: Vec<KeyHolder>) -> HashMap<Guid, KeyHolder> {
    let by_guid = |holder: KeyHolder| (holder.user.guid, holder);
    holders.into_iter().map(by_guid).collect()
}
