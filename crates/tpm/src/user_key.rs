//! A user's key: proven, used and changed with a PIN that the TPM counts.

use std::sync::Arc;

use attest::{Act, Holder};
use model::{Guid, Secret, Sid};
use openssl::pkey::{PKey, Public};
use serde::{Deserialize, Serialize};

use crate::command::{Auth, Command, Encrypts, Entity};
use crate::keys::{rsa_public_key, sign_command, signature};
use crate::policy::{self, KeyBranches};
use crate::session::Session;
use crate::spec::{cc, rc};
use crate::user_index::{AuthValue, Authority, Index};
use crate::wire::{Malformed, Reader, Writer};
use crate::{Error, KeyBlob, Signer, Tpm, error};

/// The version of [`UserKey`] on disk.
const VERSION: u32 = 2;

/// What is signed to learn which of two blobs a PIN opens; it means nothing anywhere else.
const TRIAL: &[u8] = b"latchkey: which blob does this PIN open";

/// A user's key as it lies on disk: nothing in it is secret, and nothing in it works on another
/// TPM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserKey {
    version: u32,
    /// The device and the user in the key's policy; the user's SID is also in what stands for a PIN.
    device: Guid,
    user: Sid,
    /// The name of the storage key above this one. A TPM that shows another is not the one that
    /// made this key, and is told nothing.
    #[serde(with = "crate::text")]
    parent: Vec<u8>,
    #[serde(with = "crate::text")]
    public: Vec<u8>,
    #[serde(with = "crate::text")]
    private: Vec<u8>,
    /// While a PIN is being changed: the same key under the new PIN.
    #[serde(with = "crate::text::option")]
    pending: Option<Vec<u8>>,
    #[serde(with = "crate::text")]
    nv_public: Vec<u8>,
    #[serde(with = "crate::text")]
    recovery_public: Vec<u8>,
}

/// What a key is made of.
pub(crate) struct Parts {
    pub(crate) holder: Holder,
    /// The name of the storage key above it.
    pub(crate) parent: Vec<u8>,
    pub(crate) blob: KeyBlob,
    pub(crate) nv_public: Vec<u8>,
    pub(crate) recovery_public: Vec<u8>,
}

impl UserKey {
    pub(crate) fn of(parts: Parts) -> Self {
        let Parts {
            holder,
            parent,
            blob,
            nv_public,
            recovery_public,
        } = parts;
        Self {
            version: VERSION,
            device: holder.device,
            user: holder.user,
            parent,
            public: blob.public,
            private: blob.private,
            pending: None,
            nv_public,
            recovery_public,
        }
    }

    /// The same key in another blob.
    pub(crate) fn with_private(self, private: Vec<u8>) -> Self {
        Self { private, ..self }
    }

    /// Whom the key belongs to.
    pub fn holder(&self) -> Holder {
        Holder {
            device: self.device,
            user: self.user.clone(),
        }
    }

    /// Was it made below this storage key?
    pub(crate) fn is_of(&self, storage: &Entity) -> bool {
        self.parent == storage.name
    }

    /// TPMT_PUBLIC of the key.
    pub fn public(&self) -> &[u8] {
        &self.public
    }

    /// TPMS_NV_PUBLIC of the index that counts wrong PINs.
    pub fn nv_public(&self) -> &[u8] {
        &self.nv_public
    }

    /// TPMT_PUBLIC of the recovery authority K.
    pub fn recovery_public(&self) -> &[u8] {
        &self.recovery_public
    }

    /// The branches of the key's policy.
    pub fn branches(&self) -> KeyBranches {
        KeyBranches::new(
            &policy::name(&self.nv_public),
            &policy::name(&self.recovery_public),
            &self.holder(),
        )
    }

    /// K, as the policies of the key and of its index name it.
    pub(crate) fn authority(&self) -> Authority<'_> {
        Authority {
            public: &self.recovery_public,
            holder: self.holder(),
        }
    }

    /// The public key.
    pub fn public_key(&self) -> Result<PKey<Public>, Error> {
        rsa_public_key(&self.public)
    }
}

/// How many wrong PINs a key has left, and how many it had at first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tries {
    /// Wrong PINs until the key locks; nothing when it is locked.
    pub left: u32,
    /// What a right PIN brings it back to.
    pub limit: u32,
}

/// A proven PIN, good for one signature.
///
/// The TPM stands ready for the signature of the last one ([`Ready`]). Whoever needs its slots in
/// the meantime has them, and the proof is then repeated with the hash kept here, which is wiped
/// when this is used or dropped.
pub struct Unlocked {
    key: UserKey,
    value: AuthValue,
    mark: Arc<()>,
}

/// A policy session in which a PIN is proven, and its key in the TPM: one signature away.
///
/// Without the hash that [`Unlocked`] has, the TPM takes neither.
pub(crate) struct Ready {
    /// Whose it is: no two proofs share one.
    mark: Arc<()>,
    key: UserKey,
    /// In the TPM, once it is.
    loaded: Option<Loaded>,
    session: Session,
}

/// A user's key in a slot of the TPM.
pub(crate) struct Loaded {
    public: Vec<u8>,
    private: Vec<u8>,
    entity: Entity,
}

impl Loaded {
    fn is(&self, key: &UserKey) -> bool {
        self.public == key.public && self.private == key.private
    }
}

impl Unlocked {
    /// The key that was unlocked. It differs from the one on disk after a PIN change that was cut
    /// short, and is then to be stored in its place.
    pub fn key(&self) -> &UserKey {
        &self.key
    }
}

impl Tpm {
    /// Proves a PIN. A wrong one is counted by the TPM against this user alone.
    pub fn unlock(&mut self, key: &UserKey, pin: &Secret<String>) -> Result<Unlocked, Error> {
        let (key, value, session) = self.prove(key, pin)?;
        let mark = Arc::default();
        self.ready = session.map(|session| Ready {
            mark: Arc::clone(&mark),
            key: key.clone(),
            loaded: None,
            session,
        });
        Ok(Unlocked { key, value, mark })
    }

    /// Does what can be done for the signature of what was unlocked last, so that it comes sooner. What
    /// fails here fails there.
    pub fn prepare(&mut self) {
        if let Some(ready) = self.ready.take() {
            self.ready = self.get_ready(ready).ok();
        }
    }

    /// Does ahead of a PIN what needs none: loads the key whose PIN is expected, where that is known,
    /// and starts the session that proves it. What fails here fails when the PIN comes.
    pub fn stand_by(&mut self, expected: Option<&UserKey>) {
        // A proof that waits for its signature has the better right to the slots.
        if self.ready.is_some() {
            return;
        }
        if let Some(key) = expected.filter(|key| self.index_of(key).is_ok()) {
            self.loaded = self.load_user_key(key).ok();
        }
        if self.spare.is_none() {
            self.spare = self.start_policy_beside().ok();
        }
    }

    /// Signs one SHA-256 digest: RSASSA-PKCS1-v1_5.
    pub fn sign_unlocked(
        &mut self,
        unlocked: Unlocked,
        digest: &[u8; 32],
    ) -> Result<Vec<u8>, Error> {
        let Unlocked { key, value, mark } = unlocked;
        match self.ready.take_if(|ready| Arc::ptr_eq(&ready.mark, &mark)) {
            Some(ready) => self.sign_ready(ready, &value, digest),
            None => self.sign_with_blob(&key, &key.private, &value, digest),
        }
    }

    /// How many wrong PINs are left; needs no PIN.
    pub fn tries(&mut self, key: &UserKey) -> Result<Tries, Error> {
        let index = self.index_of(key)?;
        self.check_index(&index)?;
        let (count, limit) = self.read_index(&index, None)?;
        Ok(Tries {
            left: limit.saturating_sub(count),
            limit,
        })
    }

    /// Gives the key another PIN.
    ///
    /// The PIN stands in two places, the blob and the index, and no power cut may leave the key
    /// with neither PIN. So the new blob is made first, and `store` must have both blobs on disk
    /// before it returns; then the index is changed, which is the moment when the old PIN dies.
    /// Before that moment the old PIN opens the old blob, after it the new PIN opens the new one.
    /// The result holds the new blob alone and takes the place of what `store` stored; until it
    /// does, [`Tpm::unlock`] finds out which blob counts.
    pub fn change_pin<E: From<Error>>(
        &mut self,
        key: &UserKey,
        old: &Secret<String>,
        new: &Secret<String>,
        store: impl FnOnce(&UserKey) -> Result<(), E>,
    ) -> Result<UserKey, E> {
        // A change that was cut short is settled first.
        let (key, old) = self.prove_alone(key, old)?;
        let new = AuthValue::new(&key.user, new)?;
        let index = self.index_of(&key)?;
        let private = self.rewrap(&key, &old, (&old, &new))?;
        let both = UserKey {
            pending: Some(private.clone()),
            ..key
        };
        store(&both)?;
        self.change_index(&index, &both.authority(), &old, &new)?;
        Ok(UserKey {
            private,
            pending: None,
            ..both
        })
    }

    /// Gives the key another PIN by the word of K, without the old one, and all its tries back.
    ///
    /// As in [`Tpm::change_pin`], `store` must have both blobs on disk before it returns; a reset
    /// that was cut short is begun again. What it leaves is opened by the old PIN until the index is
    /// changed, and by the new one, tries or not, from then on.
    pub fn reset_pin<E: From<Error>>(
        &mut self,
        key: &UserKey,
        new: &Secret<String>,
        sign: &mut Signer<'_>,
        store: impl FnOnce(&UserKey) -> Result<(), E>,
    ) -> Result<UserKey, E> {
        let new = AuthValue::new(&key.user, new)?;
        let index = self.index_of(key)?;
        self.check_index(&index)?;
        let private = self.rewrap_by_authority(key, &new, sign)?;
        let both = UserKey {
            pending: Some(private.clone()),
            ..key.clone()
        };
        store(&both)?;
        let authority = both.authority();
        self.change_index_by_authority(&index, &authority, &new, sign)?;
        self.write_index(&index, &authority, sign)?;
        Ok(UserKey {
            private,
            pending: None,
            ..both
        })
    }

    /// Deletes the index, without which no copy of the key opens. Of a key that another TPM made,
    /// or this one before it was cleared, there is nothing left to delete.
    pub fn delete_user_key(&mut self, key: &UserKey) -> Result<(), Error> {
        if !key.is_of(&self.storage) {
            return Ok(());
        }
        let index = self.index_of(key)?;
        match self.check_index(&index) {
            Ok(()) => self.undefine_index(&index.entity),
            // Gone, or somebody else's by now.
            Err(Error::KeyUnusable(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The index of a key that this TPM made.
    fn index_of(&self, key: &UserKey) -> Result<Index, Error> {
        if key.version != VERSION {
            return Err(Error::KeyUnusable(format!(
                "its version {} is unknown",
                key.version
            )));
        }
        if !key.is_of(&self.storage) {
            return Err(error::foreign_key());
        }
        if !policy::is_user_key(&key.public, key.branches().policy()) {
            return Err(Error::KeyUnusable(
                "its PIN counter is another's".to_owned(),
            ));
        }
        Index::from_public(&key.nv_public)
    }

    /// Satisfies the branch of the key's policy that ends in `code`, or in nothing for signing, with
    /// the value of the index. The key's own, which the command proves, is the same but in a key that
    /// gets its first PIN.
    pub(crate) fn open_branch(
        &mut self,
        session: &Session,
        key: &UserKey,
        value: &AuthValue,
        code: Option<u32>,
    ) -> Result<(), Error> {
        let index = self.index_of(key)?;
        self.policy_secret(session, &index, value)
            .map_err(|error| self.wrong_pin(&index, error))?;
        self.policy_auth_value(session)?;
        if let Some(code) = code {
            self.policy_command_code(session, code)?;
        }
        self.policy_or(session, &key.branches().list())
    }

    /// Loads the key for `act`.
    pub(crate) fn with_user_key<T>(
        &mut self,
        key: &UserKey,
        act: impl FnOnce(&mut Self, &Entity) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.with_key(&key.public, &key.private, act)
    }

    /// Proves a PIN in a policy session. There is none where a change of PIN had to be settled.
    fn prove(
        &mut self,
        key: &UserKey,
        pin: &Secret<String>,
    ) -> Result<(UserKey, AuthValue, Option<Session>), Error> {
        let value = AuthValue::new(&key.user, pin)?;
        // The key would not sign, and the person would not learn why.
        if let Some(retry_after_s) = self.lockout_wait()? {
            return Err(Error::InLockout { retry_after_s });
        }
        let session = self.start_proven(key, &value)?;
        match &key.pending {
            None => Ok((key.clone(), value, Some(session))),
            Some(pending) => {
                self.flush_quietly(session.handle);
                Ok((self.settle(key, pending, &value)?, value, None))
            }
        }
    }

    /// Proves a PIN for something else than a signature; the result holds no slot.
    pub(crate) fn prove_alone(
        &mut self,
        key: &UserKey,
        pin: &Secret<String>,
    ) -> Result<(UserKey, AuthValue), Error> {
        let (key, value, session) = self.prove(key, pin)?;
        if let Some(session) = session {
            self.flush_quietly(session.handle);
        }
        Ok((key, value))
    }

    /// Starts a policy session and proves the PIN in it.
    fn start_proven(&mut self, key: &UserKey, value: &AuthValue) -> Result<Session, Error> {
        let index = self.index_of(key)?;
        self.give_up_ready();
        let session = match self.spare.take() {
            Some(spare) => spare,
            None => self.start_policy_beside()?,
        };
        match self.policy_secret(&session, &index, value) {
            Ok(()) => Ok(session),
            Err(error) => {
                self.flush_quietly(session.handle);
                Err(self.wrong_pin(&index, error))
            }
        }
    }

    /// Loads the key and satisfies what is left of its policy, in the session that has the proof.
    fn get_ready(&mut self, mut ready: Ready) -> Result<Ready, Error> {
        if ready.loaded.is_some() {
            return Ok(ready);
        }
        let branches = ready.key.branches().list();
        let got = self
            .load_user_key(&ready.key)
            .map(|loaded| ready.loaded = Some(loaded))
            .and_then(|()| self.policy_auth_value(&ready.session))
            .and_then(|()| self.policy_or(&ready.session, &branches));
        match got {
            Ok(()) => Ok(ready),
            Err(error) => {
                self.give_up(&ready);
                Err(error)
            }
        }
    }

    /// The key in a slot: where it is already, or in place of whatever is in the way.
    fn load_user_key(&mut self, key: &UserKey) -> Result<Loaded, Error> {
        match self.loaded.take_if(|loaded| loaded.is(key)) {
            Some(loaded) => Ok(loaded),
            None => Ok(Loaded {
                public: key.public.clone(),
                private: key.private.clone(),
                entity: self.load(&key.public, &key.private)?,
            }),
        }
    }

    fn sign_ready(
        &mut self,
        ready: Ready,
        value: &AuthValue,
        digest: &[u8; 32],
    ) -> Result<Vec<u8>, Error> {
        let mut ready = self.get_ready(ready)?;
        let Some(loaded) = &ready.loaded else {
            return Err(error::malformed("Load"));
        };
        let auth = Auth::policy_with_value(&mut ready.session, value.bytes());
        let answer = sign_command(&[&loaded.entity], digest).run(&mut self.transport, &mut [auth]);
        match answer {
            Ok(answer) => {
                self.loaded = ready.loaded;
                signature(&answer.params)
            }
            Err(error) => {
                self.give_up(&ready);
                Err(stale_blob(error))
            }
        }
    }

    fn give_up(&mut self, ready: &Ready) {
        self.flush_quietly(ready.session.handle);
        if let Some(loaded) = &ready.loaded {
            self.flush_quietly(loaded.entity.handle);
        }
    }

    fn give_up_ready(&mut self) {
        if let Some(ready) = self.ready.take() {
            self.give_up(&ready);
        }
    }

    /// Lets go of what stands ready: somebody needs its slots, or it is not to count any more.
    pub fn make_room(&mut self) {
        self.give_up_ready();
        if let Some(loaded) = self.loaded.take() {
            self.flush_quietly(loaded.entity.handle);
        }
        if let Some(spare) = self.spare.take() {
            self.flush_quietly(spare.handle);
        }
    }

    fn sign_with_blob(
        &mut self,
        key: &UserKey,
        private: &[u8],
        value: &AuthValue,
        digest: &[u8; 32],
    ) -> Result<Vec<u8>, Error> {
        let ready = Ready {
            mark: Arc::default(),
            key: UserKey {
                private: private.to_vec(),
                ..key.clone()
            },
            loaded: None,
            session: self.start_proven(key, value)?,
        };
        self.sign_ready(ready, value, digest)
    }

    /// TPM2_ObjectChangeAuth: the same key in a new blob, under a new PIN. `index` is the value that the
    /// index has meanwhile.
    pub(crate) fn rewrap(
        &mut self,
        key: &UserKey,
        index: &AuthValue,
        (old, new): (&AuthValue, &AuthValue),
    ) -> Result<Vec<u8>, Error> {
        let storage = self.storage.clone();
        self.with_key(&key.public, &key.private, |tpm, entity| {
            tpm.with_policy(|tpm, session| {
                tpm.open_branch(session, key, index, Some(cc::OBJECT_CHANGE_AUTH))?;
                let change = Command {
                    name: "ObjectChangeAuth",
                    code: cc::OBJECT_CHANGE_AUTH,
                    handles: &[entity, &storage],
                    encrypts: Encrypts::BOTH,
                    params: Writer::new().sized(new.bytes()),
                    makes_handle: false,
                };
                let auth = Auth::policy_with_value(session, old.bytes());
                let answer = change
                    .run(&mut tpm.transport, &mut [auth])
                    .map_err(stale_blob)?;
                let private = Reader::new(&answer.params)
                    .sized()
                    .map_err(|Malformed| error::malformed("ObjectChangeAuth"))?;
                Ok(private.to_vec())
            })
        })
    }

    /// TPM2_ObjectChangeAuth by the branch of K. The session that opens the branch cannot encrypt: for
    /// that it would need the value that is replaced.
    fn rewrap_by_authority(
        &mut self,
        key: &UserKey,
        new: &AuthValue,
        sign: &mut Signer<'_>,
    ) -> Result<Vec<u8>, Error> {
        let storage = self.storage.clone();
        self.with_key(&key.public, &key.private, |tpm, entity| {
            tpm.with_policy(|tpm, session| {
                let change = Command {
                    name: "ObjectChangeAuth",
                    code: cc::OBJECT_CHANGE_AUTH,
                    handles: &[entity, &storage],
                    encrypts: Encrypts::BOTH,
                    params: Writer::new().sized(new.bytes()),
                    makes_handle: false,
                };
                let prepared = change.prepare(&[
                    Auth::policy(session, &[]),
                    Auth::encrypting(&mut tpm.session),
                ])?;
                let act = Act::ChangeKey {
                    public: &key.public,
                    parent_name: &storage.name,
                    parameters: &prepared.params,
                };
                tpm.policy_signed(session, &key.authority(), act, sign)?;
                tpm.policy_command_code(session, cc::OBJECT_CHANGE_AUTH)?;
                tpm.policy_or(session, &key.branches().list())?;
                let mut auths = [
                    Auth::policy(session, &[]),
                    Auth::encrypting(&mut tpm.session),
                ];
                let answer = change.run_prepared(&mut tpm.transport, &mut auths, &prepared)?;
                let private = Reader::new(&answer.params)
                    .sized()
                    .map_err(|Malformed| error::malformed("ObjectChangeAuth"))?;
                Ok(private.to_vec())
            })
        })
    }

    /// Finds out which blob a PIN opens that the index has already accepted.
    ///
    /// A wrong guess costs one failure of the TPM's global count, once after a power cut.
    fn settle(
        &mut self,
        key: &UserKey,
        pending: &[u8],
        value: &AuthValue,
    ) -> Result<UserKey, Error> {
        let digest = model::sha256(TRIAL);
        let private = match self.sign_with_blob(key, pending, value, &digest) {
            Ok(_) => pending.to_vec(),
            Err(Error::KeyUnusable(_)) => {
                self.sign_with_blob(key, &key.private, value, &digest)?;
                key.private.clone()
            }
            Err(error) => return Err(error),
        };
        Ok(UserKey {
            private,
            pending: None,
            ..key.clone()
        })
    }

    /// Says how many tries are left, where the index refused a PIN.
    fn wrong_pin(&mut self, index: &Index, error: Error) -> Error {
        match error.code() {
            // A spent counter refuses to compare at all, with a code of its own.
            Some(rc::AUTH_FAIL | rc::BAD_AUTH | rc::AUTH_UNAVAILABLE | rc::HANDLE) => {}
            Some(rc::NV_UNINITIALIZED) => {
                return Error::KeyUnusable("its PIN counter was replaced".to_owned());
            }
            _ => return error,
        }
        // To an index that is not this one, every PIN is a wrong one.
        if let Err(error) = self.check_index(index) {
            return error;
        }
        match self.read_index(index, None) {
            Ok((count, limit)) if count < limit => Error::WrongPin {
                tries_left: limit - count,
            },
            Ok(_) => Error::Locked,
            Err(error) => error,
        }
    }
}

/// The index took the PIN and the blob did not: the blob is from before a change of PIN.
fn stale_blob(error: Error) -> Error {
    if error.is_wrong_value() {
        Error::KeyUnusable("it is a copy from before the PIN was changed".to_owned())
    } else {
        error
    }
}
