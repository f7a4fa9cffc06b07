//! A key that has no PIN yet: made early, because making it is what takes long, and given its PIN later.
//!
//! What must hold: until it has its PIN, nobody can use the key. Its policy wants the user's index,
//! which the TPM does not have before, and its own authorisation value is a random one that is in this
//! value alone, in memory, and wiped with it. Nothing of it is in the TPM or on disk: who loses it, or dies with
//! it, leaves nothing behind. The blob from before the PIN is never given out; with its random value gone,
//! no copy of it opens.
//!
//! Which index it will be is in the policy, so its handle is chosen when the key is made. Where somebody
//! else has taken the handle by then, the key is worth nothing and another is made.

use attest::{Holder, Permit};
use model::Secret;
use openssl::ec::{EcGroup, EcKey};
use openssl::ecdsa::EcdsaSig;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private, Public};

use crate::policy::{self, KeyBranches};
use crate::session::coordinates;
use crate::user_index::{AuthValue, Index};
use crate::user_key::Parts;
use crate::{Error, Tpm, UserKey, error};

/// Has K sign [`Permit::digest`]; the answer is an ECDSA signature in DER.
pub type Signer<'a> = dyn FnMut(&Permit<'_>) -> Result<Vec<u8>, Error> + 'a;

/// Who may give the key a new PIN without the old one. Fixed for ever when the key is made.
pub enum Recovery<'a> {
    /// Nobody: K is made in memory, sets the limit of the index once, and is wiped.
    Destroyed,
    /// The server: it signs once now, to set the limit of the index, and in each reset.
    Server {
        /// K, a key on P-256.
        public: PKey<Public>,
        /// How to reach its private half.
        sign: &'a mut Signer<'a>,
    },
}

/// Who has K, for a key that is not finished yet.
#[derive(Clone)]
pub enum Keeper {
    /// Nobody once the key has its PIN; until then K's private half is in memory.
    Nobody,
    /// The server, whose K on P-256 this is.
    Server(PKey<Public>),
}

/// A key without a PIN.
pub struct NewKey {
    /// The key as it will be, in the blob that its random value opens.
    key: UserKey,
    random: AuthValue,
    unwritten: Vec<u8>,
    /// K, where nobody is to have it.
    doomed: Option<EcKey<Private>>,
}

impl NewKey {
    /// TPMT_PUBLIC of the K that its policy names.
    pub fn recovery_public(&self) -> &[u8] {
        self.key.recovery_public()
    }

    /// Will K stay with anybody?
    pub fn is_recoverable(&self) -> bool {
        self.doomed.is_none()
    }

    /// Whom it is for.
    pub fn holder(&self) -> Holder {
        self.key.holder()
    }
}

impl Tpm {
    /// Makes a key for `holder`, under `pin`.
    ///
    /// Hardware needs up to half a minute. Where it fails, nothing stays in the TPM; where the
    /// program dies, one index stays, which [`Tpm::forget_other_users`] finds.
    pub fn create_user_key(
        &mut self,
        holder: &Holder,
        pin: &Secret<String>,
        recovery: Recovery<'_>,
    ) -> Result<UserKey, Error> {
        match recovery {
            Recovery::Destroyed => {
                let new = self.begin_user_key(holder, &Keeper::Nobody)?;
                self.finish_user_key(&new, pin, None)
            }
            Recovery::Server { public, sign } => {
                let new = self.begin_user_key(holder, &Keeper::Server(public))?;
                self.finish_user_key(&new, pin, Some(sign))
            }
        }
    }

    /// Makes a key for `holder` that has no PIN yet. This is what takes long.
    pub fn begin_user_key(&mut self, holder: &Holder, keeper: &Keeper) -> Result<NewKey, Error> {
        if !self.info()?.has_pin_fail {
            return Err(Error::Unavailable(
                "it cannot count wrong PINs per user".to_owned(),
            ));
        }
        let (recovery_public, doomed) = match keeper {
            Keeper::Server(public) => (recovery_public(public)?, None),
            Keeper::Nobody => {
                let key = EcKey::generate(&*p256()?)?;
                let public = EcKey::from_public_key(key.group(), key.public_key())?;
                (recovery_public(&PKey::from_ec_key(public)?)?, Some(key))
            }
        };
        let handle = self.free_index()?;
        let recovery_name = policy::name(&recovery_public);
        let nv_public = policy::index_public(handle, &recovery_name, holder, true);
        let branches = KeyBranches::new(&policy::name(&nv_public), &recovery_name, holder);
        let random = AuthValue::random()?;
        let template = policy::user_key_public(branches.policy(), &[]);
        let blob = self.create(&template, random.bytes())?;
        Ok(NewKey {
            key: UserKey::of(Parts {
                holder: holder.clone(),
                parent: self.storage.name.clone(),
                blob,
                nv_public,
                recovery_public,
            }),
            random,
            unwritten: policy::index_public(handle, &recovery_name, holder, false),
            doomed,
        })
    }

    /// Gives the key its PIN: makes the index, and a blob that opens with the PIN's value alone. `sign` is
    /// how to reach K where the server has it.
    ///
    /// [`Error::KeyUnusable`] says that the key is lost, because its place in this TPM is taken or the
    /// TPM is another, and that nothing was changed.
    pub fn finish_user_key(
        &mut self,
        new: &NewKey,
        pin: &Secret<String>,
        sign: Option<&mut Signer<'_>>,
    ) -> Result<UserKey, Error> {
        let NewKey {
            key,
            random,
            unwritten,
            doomed,
        } = new;
        if !key.is_of(&self.storage) {
            return Err(error::foreign_key());
        }
        let unwritten = Index::from_public(unwritten)?;
        let index = Index::from_public(key.nv_public())?;
        if self.nv_public(index.entity.handle)?.is_some() {
            return Err(Error::KeyUnusable(
                "the place of its PIN counter was taken meanwhile".to_owned(),
            ));
        }
        let holder = key.holder();
        let mut by_doomed = |permit: &Permit<'_>| {
            let key = doomed.as_ref().ok_or_else(|| {
                Error::Authority("nobody was named who could reach it".to_owned())
            })?;
            Ok(EcdsaSig::sign(&permit.digest(&holder), key)?.to_der()?)
        };
        let sign: &mut Signer<'_> = match sign {
            Some(sign) => sign,
            None => &mut by_doomed,
        };
        let value = AuthValue::new(&holder.user, pin)?;
        self.define_index(&unwritten.public, &value)?;
        let finished = self
            .write_index(&unwritten, &key.authority(), sign)
            .and_then(|()| {
                self.check_index(&index)?;
                self.rewrap(key, &value, (random, &value))
            });
        match finished {
            Ok(private) => Ok(key.clone().with_private(private)),
            Err(error) => {
                // Written or not, the handle is ours; only the name differs.
                if self.undefine_index(&index.entity).is_err() {
                    self.undefine_index(&unwritten.entity)?;
                }
                Err(error)
            }
        }
    }
}

fn p256() -> Result<EcGroup, openssl::error::ErrorStack> {
    EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)
}

fn recovery_public(key: &PKey<Public>) -> Result<Vec<u8>, Error> {
    let (x, y) = coordinates(&*p256()?, key.ec_key()?.public_key())?;
    match (<[u8; 32]>::try_from(x), <[u8; 32]>::try_from(y)) {
        (Ok(x), Ok(y)) => Ok(policy::recovery_public(&x, &y)),
        _ => Err(Error::Unavailable(
            "the recovery key is not on P-256".to_owned(),
        )),
    }
}
