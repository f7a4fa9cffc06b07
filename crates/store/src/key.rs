//! Keys that users have registered, each on its way to AD or out of it.

use model::{Guid, Sid, UnixTime, sha256};

use crate::{
    Audit, ChangeOp, Digest, Error, Listing, Result, Store, change,
    sql::{Row, Sql, args, fields, words},
    store::Outcome,
};

words! {
    /// Where a key is.
    pub enum KeyState {
        /// Here; the agent has not said anything yet.
        Registered = "registered",
        /// In AD and read back.
        Confirmed = "confirmed",
        /// The agent refused it.
        Failed = "failed",
        /// The agent wants a fresh proof.
        NeedsProof = "needs_proof",
        /// Deleted here; AD follows.
        Removing = "removing",
        /// Out of AD.
        Removed = "removed",
    }
}

impl KeyState {
    /// On its way out, or gone.
    pub fn is_leaving(self) -> bool {
        matches!(self, Self::Removing | Self::Removed)
    }
}

words! {
    /// Where a key was shown to be.
    pub enum AttestationLevel {
        /// Nobody has shown anything.
        None = "none",
        /// In software, by the device's own word.
        Software = "software",
        /// In a TPM that is believed to be one.
        Hardware = "hardware",
    }
}

/// What was found about where a key is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attested {
    /// Where it is.
    pub level: AttestationLevel,
    /// Why so, in words for an administrator.
    pub reason: String,
    /// When that was found.
    pub at: UnixTime,
}

/// A key to register.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// The id it gets where it is new.
    pub kid: Guid,
    /// Whose.
    pub user: Guid,
    /// The user's domain and SID, where AD has the user: that domain's agent carries the key. One
    /// of the server's own users stays here.
    pub account: Option<(Guid, Sid)>,
    /// The device that made it.
    pub device: Guid,
    /// BCRYPT RSA1 blob.
    pub material: Vec<u8>,
    /// What the device and the user signed, as it goes to the agent: JSON.
    pub evidence: Option<String>,
    /// What the TPM said of it: JSON, kept as it was sent.
    pub attestation: Option<String>,
    /// What was found about that.
    pub attested: Attested,
    /// Unix milliseconds.
    pub now_ms: i64,
}

/// A key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Its id.
    pub kid: Guid,
    /// Whose.
    pub user: Guid,
    /// The user's SID, where AD has the user.
    pub sid: Option<Sid>,
    /// The device that made it.
    pub device: Guid,
    /// BCRYPT RSA1 blob.
    pub material: Vec<u8>,
    /// Where it is.
    pub state: KeyState,
    /// What was found about where it is.
    pub attested: Attested,
    /// Why it was refused.
    pub code: Option<String>,
    /// The same in words.
    pub detail: Option<String>,
    /// The domain controller that was written.
    pub dc: Option<String>,
    /// Unix milliseconds.
    pub registered_ms: i64,
    /// Unix milliseconds.
    pub confirmed_ms: Option<i64>,
}

impl Key {
    /// When it was registered, in seconds.
    pub fn created(&self) -> UnixTime {
        UnixTime(self.registered_ms.div_euclid(1000))
    }
}

/// What became of a registration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Registered {
    /// Stored under this id: the given one, or that of the same key where it was here already.
    Stored(Guid),
    /// The material is a key of another user or device.
    OfAnother,
}

impl Outcome for Registered {
    fn is_change(&self) -> bool {
        *self != Self::OfAnother
    }
}

pub(crate) fn key(row: &Row) -> Result<Key> {
    Ok(Key {
        kid: row.get("kid")?,
        user: row.get("account")?,
        sid: row.get("sid")?,
        device: row.get("device")?,
        material: row.get("material")?,
        state: row.get("state")?,
        attested: Attested {
            level: row.get("level")?,
            reason: row.get("reason")?,
            at: row.get("attested")?,
        },
        code: row.get("code")?,
        detail: row.get("detail")?,
        dc: row.get("dc")?,
        registered_ms: row.get("registered_ms")?,
        confirmed_ms: row.get("confirmed_ms")?,
    })
}

const IN_USE: &str = "state NOT IN ('removing', 'removed')";

fn by_kid(db: &dyn Sql, tenant: Guid, kid: Guid) -> Result<Option<Key>> {
    let sql = "SELECT * FROM keys WHERE tenant = ?1 AND kid = ?2";
    db.one(sql, args![tenant, kid], key)
}

pub(crate) const BY_MATERIAL: &str = "SELECT * FROM keys WHERE tenant = ?1 AND material_hash = ?2
     AND state NOT IN ('removing', 'removed')";

fn by_material(db: &dyn Sql, tenant: Guid, hash: Digest) -> Result<Option<Key>> {
    db.one(BY_MATERIAL, args![tenant, hash], key)
}

/// Whether deleting a key changes anything. A removal whose outcome was a refusal is closed, and is
/// begun again; but not where the same material was registered anew, whose value in AD it would
/// take out.
fn is_removable(db: &dyn Sql, tenant: Guid, found: &Key) -> Result<bool> {
    if !found.state.is_leaving() {
        return Ok(true);
    }
    Ok(found.state == KeyState::Removing
        && !change::is_open(db, tenant, found.kid)?
        && by_material(db, tenant, sha256(&found.material))?.is_none())
}

/// Deletes a key, and puts its removal into the feed where AD may have it.
fn remove(db: &dyn Sql, tenant: Guid, found: &Key) -> Result<()> {
    let state = match found.sid {
        Some(_) => KeyState::Removing,
        None => KeyState::Removed,
    };
    let sql = "UPDATE keys SET state = ?3, code = NULL, detail = NULL
         WHERE tenant = ?1 AND kid = ?2";
    db.execute(sql, args![tenant, found.kid, state])?;
    change::append(db, tenant, found.kid, ChangeOp::Remove, None)
}

/// Deletes every key of a user or device that is not on its way out.
pub(crate) fn remove_all(db: &dyn Sql, tenant: Guid, column: &str, of: Guid) -> Result<()> {
    let sql = format!(
        "SELECT * FROM keys WHERE tenant = ?1 AND {column} = ?2 AND {IN_USE} ORDER BY registered_ms"
    );
    let found = db.all(&sql, args![tenant, of], key)?;
    found.iter().try_for_each(|key| remove(db, tenant, key))
}

fn register(db: &dyn Sql, tenant: Guid, new: &NewKey) -> Result<Registered> {
    let hash = sha256(&new.material);
    let (evidence, attested) = (new.evidence.as_deref(), &new.attested);
    if let Some(same) = by_material(db, tenant, hash)? {
        if (same.user, same.device) != (new.user, new.device) {
            return Ok(Registered::OfAnother);
        }
        let sql = "UPDATE keys SET state = 'registered', code = NULL, detail = NULL,
               attestation = ?3, level = ?4, reason = ?5, attested = ?6
             WHERE tenant = ?1 AND kid = ?2";
        db.execute(
            sql,
            args![
                tenant,
                same.kid,
                new.attestation,
                attested.level,
                attested.reason,
                attested.at
            ],
        )?;
        change::append(db, tenant, same.kid, ChangeOp::Add, evidence)?;
        return Ok(Registered::Stored(same.kid));
    }
    let sql = format!(
        "SELECT * FROM keys WHERE tenant = ?1 AND account = ?2 AND device = ?3 AND {IN_USE}"
    );
    if let Some(older) = db.one(&sql, args![tenant, new.user, new.device], key)? {
        remove(db, tenant, &older)?;
    }
    let (domain, sid) = new.account.as_ref().map(|(d, s)| (*d, s)).unzip();
    db.insert(
        "keys",
        fields! {
            tenant: tenant,
            kid: new.kid,
            domain: domain,
            account: new.user,
            sid: sid,
            device: new.device,
            material: new.material,
            material_hash: hash,
            attestation: new.attestation,
            level: attested.level,
            reason: attested.reason,
            attested: attested.at,
            state: KeyState::Registered,
            registered_ms: new.now_ms,
        },
    )?;
    change::append(db, tenant, new.kid, ChangeOp::Add, evidence)?;
    Ok(Registered::Stored(new.kid))
}

impl Store {
    /// Registers a key and puts its addition into the feed, in one commit. The same material of
    /// the same user and device keeps its id, and its newer evidence replaces what the agent has
    /// not dealt with. An older key of that user on that device is deleted on the way: its
    /// removal stands in the feed before the addition.
    pub async fn register_key(
        &self,
        tenant: Guid,
        new: NewKey,
        audit: Audit,
    ) -> Result<Registered> {
        self.audited_keys(tenant, audit, move |db| register(db, tenant, &new))
            .await
    }

    /// One key.
    pub async fn key(&self, tenant: Guid, kid: Guid) -> Result<Option<Key>> {
        self.read(move |db| by_kid(db, tenant, kid)).await
    }

    /// The key whose material has this SHA-256, if it is not on its way out.
    pub async fn key_by_material(&self, tenant: Guid, hash: Digest) -> Result<Option<Key>> {
        self.look_up(move |db| by_material(db, tenant, hash)).await
    }

    /// The keys of a user that AD has, the newest first.
    pub async fn keys_of_sid(&self, tenant: Guid, sid: &Sid) -> Result<Vec<Key>> {
        let sid = sid.clone();
        self.read(move |db| {
            let sql = "SELECT * FROM keys WHERE tenant = ?1 AND sid = ?2
                 ORDER BY registered_ms DESC, kid";
            db.all(sql, args![tenant, sid], key)
        })
        .await
    }

    /// A user's keys, the newest first.
    pub async fn keys_of(&self, tenant: Guid, user: Guid) -> Result<Vec<Key>> {
        self.read(move |db| {
            let sql = "SELECT * FROM keys WHERE tenant = ?1 AND account = ?2
                 ORDER BY registered_ms DESC, kid";
            db.all(sql, args![tenant, user], key)
        })
        .await
    }

    /// The keys that a device made, the newest first.
    pub async fn keys_on(&self, tenant: Guid, device: Guid) -> Result<Vec<Key>> {
        self.read(move |db| {
            let sql = "SELECT * FROM keys WHERE tenant = ?1 AND device = ?2
                 ORDER BY registered_ms DESC, kid";
            db.all(sql, args![tenant, device], key)
        })
        .await
    }

    /// Every key, the newest first, by pages.
    pub async fn keys(
        &self,
        tenant: Guid,
        after: Option<String>,
        most: u32,
    ) -> Result<Listing<Key>> {
        self.read(move |db| {
            let place = match &after {
                None => Some((i64::MAX, String::new())),
                Some(after) => after
                    .split_once(' ')
                    .and_then(|(ms, kid)| Some((ms.parse().ok()?, kid.to_owned()))),
            };
            let (ms, kid) = place.ok_or(Error::Conflict("the page is none of this list"))?;
            let sql = "SELECT * FROM keys WHERE tenant = ?1 AND (registered_ms, kid) < (?2, ?3)
                 ORDER BY registered_ms DESC, kid DESC LIMIT ?4";
            let rows = db.all(sql, args![tenant, ms, kid, most], key)?;
            let last = rows.last().filter(|_| rows.len() as u64 >= u64::from(most));
            Ok(Listing {
                next: last.map(|last| format!("{} {}", last.registered_ms, last.kid)),
                rows,
            })
        })
        .await
    }

    /// How many keys are not on their way out.
    pub async fn count_keys(&self, tenant: Guid) -> Result<u64> {
        let sql = format!("SELECT count(*) FROM keys WHERE tenant = ?1 AND {IN_USE}");
        self.read(move |db| Ok(db.only(&sql, args![tenant])?.unwrap_or(0)))
            .await
    }

    /// What the TPM said of a key, as it was sent.
    pub async fn key_attestation(&self, tenant: Guid, kid: Guid) -> Result<Option<String>> {
        self.read(move |db| {
            let sql = "SELECT attestation FROM keys WHERE tenant = ?1 AND kid = ?2";
            let found: Option<Option<String>> = db.only(sql, args![tenant, kid])?;
            Ok(found.flatten())
        })
        .await
    }

    /// Notes what was found about where a key is; false where it is unknown.
    pub async fn set_attested(
        &self,
        tenant: Guid,
        kid: Guid,
        attested: Attested,
        audit: Audit,
    ) -> Result<bool> {
        self.audited(tenant, audit, move |db| {
            let sql = "UPDATE keys SET level = ?3, reason = ?4, attested = ?5
                 WHERE tenant = ?1 AND kid = ?2";
            db.touched(
                sql,
                args![tenant, kid, attested.level, attested.reason, attested.at],
            )
        })
        .await
    }

    /// Deletes a key and puts its removal into the feed, in one commit, also where its addition
    /// was never confirmed: the agent may be writing it now. Deleting one twice changes nothing,
    /// unless the agent refused the removal: then it is handed out again. False where the key is
    /// unknown.
    pub async fn delete_key(&self, tenant: Guid, kid: Guid, audit: Audit) -> Result<bool> {
        let work = move |db: &dyn Sql| {
            let Some(found) = by_kid(db, tenant, kid)? else {
                return Ok(Deleted::Unknown);
            };
            if !is_removable(db, tenant, &found)? {
                return Ok(Deleted::Before);
            }
            remove(db, tenant, &found)?;
            Ok(Deleted::Now)
        };
        let deleted = self.audited_keys(tenant, audit, work).await?;
        Ok(deleted != Deleted::Unknown)
    }
}

/// What became of a deletion.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Deleted {
    Unknown,
    Before,
    Now,
}

impl Outcome for Deleted {
    fn is_change(&self) -> bool {
        *self == Self::Now
    }
}
