//! The NV index of a user: the TPM's own count of wrong PINs.

use attest::{Act, Holder, NvPublic, PERMIT_S, Permit};
use model::{Secret, Sid};
use openssl::ecdsa::EcdsaSig;
use openssl::hash::{Hasher, MessageDigest};
use zeroize::Zeroizing;

use crate::command::{Auth, Command, Encrypts, Entity};
use crate::keys::trimmed;
use crate::policy::{self, Digest, IndexBranches};
use crate::session::Session;
use crate::spec::{alg, cc, handle, rc};
use crate::tpm::handles;
use crate::wire::{Malformed, Reader, Writer};
use crate::{Error, Signer, Tpm, UserKey, error};

/// Where the indexes of users begin, in the range that the specification leaves to owners.
const FIRST: u32 = 0x0180_4C00;

/// How many users one device takes: as many as one answer of the TPM lists.
const COUNT: u32 = 200;

/// SHA-256 of the PIN and the user it belongs to: what the TPM knows instead of the PIN.
pub(crate) struct AuthValue(Zeroizing<Vec<u8>>);

impl AuthValue {
    pub(crate) fn new(user: &Sid, pin: &Secret<String>) -> Result<Self, Error> {
        // This hasher keeps what it is given on the heap and wipes it; the one-shot functions
        // leave the PIN on the stack.
        let mut hasher = Hasher::new(MessageDigest::sha256())?;
        hasher.update(b"latchkey pin v1\0")?;
        hasher.update(user.to_string().as_bytes())?;
        hasher.update(&[0])?;
        hasher.update(pin.expose().as_bytes())?;
        Ok(Self(Zeroizing::new(hasher.finish()?.to_vec())))
    }

    /// A value that stands for no PIN.
    pub(crate) fn random() -> Result<Self, Error> {
        let mut value = Zeroizing::new(vec![0; 32]);
        openssl::rand::rand_bytes(&mut value)?;
        Ok(Self(value))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        trimmed(&self.0)
    }
}

/// K, and for whom it may speak: what a policy names.
pub(crate) struct Authority<'a> {
    /// TPMT_PUBLIC of K.
    pub(crate) public: &'a [u8],
    /// Whose key it is about.
    pub(crate) holder: Holder,
}

impl Authority<'_> {
    fn index_branches(&self) -> [Digest; 3] {
        IndexBranches::new(&policy::name(self.public), &self.holder).list()
    }
}

/// An index as a user key remembers it.
#[derive(Clone)]
pub(crate) struct Index {
    pub(crate) entity: Entity,
    pub(crate) public: Vec<u8>,
}

impl Index {
    pub(crate) fn from_public(public: &[u8]) -> Result<Self, Error> {
        let handle = NvPublic::read(public)
            .map_err(|_| Error::KeyUnusable("its index is malformed".to_owned()))?
            .index;
        let entity = Entity {
            handle,
            name: policy::name(public),
        };
        Ok(Self {
            entity,
            public: public.to_vec(),
        })
    }
}

impl Tpm {
    /// Deletes the PIN counters of all users but these, and says how many: what a program that
    /// died while it made a key has left behind.
    ///
    /// A key whose counter is gone never works again, so the caller has read every key it has.
    pub fn forget_other_users(&mut self, known: &[UserKey]) -> Result<u32, Error> {
        let mut forgotten = 0;
        for handle in self.taken_indexes()? {
            let Some(public) = self.nv_public(handle)? else {
                continue;
            };
            let ours = policy::is_user_index(&public);
            if ours && known.iter().all(|key| key.nv_public() != public) {
                self.undefine_index(&Entity {
                    handle,
                    name: policy::name(&public),
                })?;
                forgotten += 1;
            }
        }
        Ok(forgotten)
    }

    fn taken_indexes(&mut self) -> Result<Vec<u32>, Error> {
        let all = handles(&mut self.transport, FIRST)?;
        Ok(all
            .into_iter()
            .filter(|handle| (FIRST..FIRST + COUNT).contains(handle))
            .collect())
    }

    /// A handle that no index has yet.
    pub(crate) fn free_index(&mut self) -> Result<u32, Error> {
        let taken = self.taken_indexes()?;
        (FIRST..FIRST + COUNT)
            .find(|handle| !taken.contains(handle))
            .ok_or_else(|| Error::Unavailable(format!("it already holds {COUNT} users")))
    }

    /// Defines an index with a PIN; it counts nothing before its limit is written.
    pub(crate) fn define_index(&mut self, public: &[u8], value: &AuthValue) -> Result<(), Error> {
        let define = Command {
            name: "NV_DefineSpace",
            code: cc::NV_DEFINE_SPACE,
            handles: &[&Entity::by_handle(handle::OWNER)],
            encrypts: Encrypts::COMMAND,
            params: Writer::new().sized(value.bytes()).sized(public),
            makes_handle: false,
        };
        self.run(define, &[]).map(drop)
    }

    /// Sets the count to nothing and the limit to [`policy::PIN_LIMIT`], with a signature of K. The
    /// data is not encrypted: K signs what is written.
    pub(crate) fn write_index(
        &mut self,
        index: &Index,
        authority: &Authority<'_>,
        sign: &mut Signer<'_>,
    ) -> Result<(), Error> {
        self.with_policy(|tpm, session| {
            let act = Act::SetLimit {
                nv_public: &index.public,
            };
            tpm.policy_signed(session, authority, act, sign)?;
            tpm.policy_command_code(session, cc::NV_WRITE)?;
            tpm.policy_or(session, &authority.index_branches())?;
            let write = Command {
                name: "NV_Write",
                code: cc::NV_WRITE,
                handles: &[&index.entity, &index.entity],
                encrypts: Encrypts::NOTHING,
                params: Writer::new()
                    .sized(&policy::limit_data())
                    .u16(policy::LIMIT_OFFSET),
                makes_handle: false,
            };
            write
                .run(&mut tpm.transport, &mut [Auth::policy(session, &[])])
                .map(drop)
        })
    }

    /// Replaces the PIN of the index, with the old PIN.
    pub(crate) fn change_index(
        &mut self,
        index: &Index,
        authority: &Authority<'_>,
        old: &AuthValue,
        new: &AuthValue,
    ) -> Result<(), Error> {
        self.with_policy(|tpm, session| {
            tpm.policy_auth_value(session)?;
            tpm.policy_command_code(session, cc::NV_CHANGE_AUTH)?;
            tpm.policy_or(session, &authority.index_branches())?;
            let change = Command {
                name: "NV_ChangeAuth",
                code: cc::NV_CHANGE_AUTH,
                handles: &[&index.entity],
                encrypts: Encrypts::COMMAND,
                params: Writer::new().sized(new.bytes()),
                makes_handle: false,
            };
            let auth = Auth::policy_with_value(session, old.bytes()).becoming(new.bytes());
            change.run(&mut tpm.transport, &mut [auth]).map(drop)
        })
    }

    /// Replaces the PIN of the index, with a signature of K.
    pub(crate) fn change_index_by_authority(
        &mut self,
        index: &Index,
        authority: &Authority<'_>,
        new: &AuthValue,
        sign: &mut Signer<'_>,
    ) -> Result<(), Error> {
        self.with_policy(|tpm, session| {
            let change = Command {
                name: "NV_ChangeAuth",
                code: cc::NV_CHANGE_AUTH,
                handles: &[&index.entity],
                encrypts: Encrypts::COMMAND,
                params: Writer::new().sized(new.bytes()),
                makes_handle: false,
            };
            let prepared = change.prepare(&[
                Auth::policy(session, &[]),
                Auth::encrypting(&mut tpm.session),
            ])?;
            let act = Act::ChangeIndex {
                nv_public: &index.public,
                parameters: &prepared.params,
            };
            tpm.policy_signed(session, authority, act, sign)?;
            tpm.policy_command_code(session, cc::NV_CHANGE_AUTH)?;
            tpm.policy_or(session, &authority.index_branches())?;
            let mut auths = [
                Auth::policy(session, &[]),
                Auth::encrypting(&mut tpm.session),
            ];
            change
                .run_prepared(&mut tpm.transport, &mut auths, &prepared)
                .map(drop)
        })
    }

    /// Deletes an index; one that is gone already is no error.
    pub(crate) fn undefine_index(&mut self, index: &Entity) -> Result<(), Error> {
        // What was proven with it is worth nothing from here on.
        self.make_room();
        let undefine = Command {
            name: "NV_UndefineSpace",
            code: cc::NV_UNDEFINE_SPACE,
            handles: &[&Entity::by_handle(handle::OWNER), index],
            encrypts: Encrypts::NOTHING,
            params: Writer::new(),
            makes_handle: false,
        };
        match self.run(undefine, &[]) {
            Err(error) if error.code() == Some(rc::HANDLE) => Ok(()),
            other => other.map(drop),
        }
    }

    /// Whether the TPM still holds this very index, written by K.
    pub(crate) fn check_index(&mut self, index: &Index) -> Result<(), Error> {
        match self.nv_public(index.entity.handle)? {
            Some(public) if public == index.public => Ok(()),
            Some(_) => Err(Error::KeyUnusable(
                "its PIN counter was replaced".to_owned(),
            )),
            None => Err(Error::KeyUnusable("its PIN counter was deleted".to_owned())),
        }
    }

    /// The public area of an index, where there is one.
    pub(crate) fn nv_public(&mut self, handle: u32) -> Result<Option<Vec<u8>>, Error> {
        let read = Command {
            name: "NV_ReadPublic",
            code: cc::NV_READ_PUBLIC,
            handles: &[&Entity::by_handle(handle)],
            encrypts: Encrypts::NOTHING,
            params: Writer::new(),
            makes_handle: false,
        };
        let answer = match read.plain(&mut self.transport) {
            Err(error) if error.code() == Some(rc::HANDLE) => return Ok(None),
            other => other?,
        };
        let public = Reader::new(&answer.params)
            .sized()
            .map_err(|Malformed| error::malformed("NV_ReadPublic"))?;
        Ok(Some(public.to_vec()))
    }

    /// Reads count and limit, as the owner or, with a PIN, as the user: the second proves the PIN
    /// and is counted.
    pub(crate) fn read_index(
        &mut self,
        index: &Index,
        value: Option<&AuthValue>,
    ) -> Result<(u32, u32), Error> {
        let owner = Entity::by_handle(handle::OWNER);
        let reader = if value.is_some() {
            &index.entity
        } else {
            &owner
        };
        let read = Command {
            name: "NV_Read",
            code: cc::NV_READ,
            handles: &[reader, &index.entity],
            encrypts: Encrypts::ANSWER,
            params: Writer::new().u16(8).u16(0),
            makes_handle: false,
        };
        let answer = self.run(read, value.map_or(&[], |value| value.bytes()))?;
        let mut reader = Reader::new(&answer.params);
        let read = (|| {
            let mut data = Reader::new(reader.sized()?);
            Ok((data.u32()?, data.u32()?))
        })();
        read.map_err(|Malformed| error::malformed("NV_Read"))
    }

    /// TPM2_PolicySecret with the index: proves the PIN to the policy session.
    pub(crate) fn policy_secret(
        &mut self,
        session: &Session,
        index: &Index,
        value: &AuthValue,
    ) -> Result<(), Error> {
        self.policy_secret_of(session, &index.entity, value.bytes())
    }

    /// TPM2_PolicySecret with any entity that has an authorisation value.
    pub(crate) fn policy_secret_of(
        &mut self,
        session: &Session,
        entity: &Entity,
        value: &[u8],
    ) -> Result<(), Error> {
        let secret = Command {
            name: "PolicySecret",
            code: cc::POLICY_SECRET,
            handles: &[entity, &Entity::by_handle(session.handle)],
            encrypts: Encrypts::BOTH,
            params: Writer::new()
                .sized(&session.nonce_tpm)
                .sized(&[])
                .sized(&[])
                .u32(0),
            makes_handle: false,
        };
        self.run(secret, value).map(drop)
    }

    /// TPM2_PolicySigned: K's word for this session and this command alone.
    pub(crate) fn policy_signed(
        &mut self,
        session: &Session,
        authority: &Authority<'_>,
        act: Act<'_>,
        sign: &mut Signer<'_>,
    ) -> Result<(), Error> {
        let permit = Permit {
            nonce_tpm: &session.nonce_tpm,
            act,
        };
        let signature = EcdsaSig::from_der(&sign(&permit)?)?;
        let load = Command {
            name: "LoadExternal",
            code: cc::LOAD_EXTERNAL,
            handles: &[],
            encrypts: Encrypts::NOTHING,
            params: Writer::new()
                .sized(&[])
                .sized(authority.public)
                .u32(handle::NULL),
            makes_handle: true,
        };
        let recovery = Entity {
            handle: load.plain(&mut self.transport)?.handle,
            name: policy::name(authority.public),
        };
        let signed = Command {
            name: "PolicySigned",
            code: cc::POLICY_SIGNED,
            handles: &[&recovery, &Entity::by_handle(session.handle)],
            encrypts: Encrypts::NOTHING,
            params: Writer::new()
                .sized(&session.nonce_tpm)
                .sized(&act.command_hash())
                .sized(&authority.holder.policy_ref())
                .bytes(&PERMIT_S.to_be_bytes())
                .u16(alg::ECDSA)
                .u16(alg::SHA256)
                .sized(&signature.r().to_vec_padded(32)?)
                .sized(&signature.s().to_vec_padded(32)?),
            makes_handle: false,
        };
        let result = signed.plain(&mut self.transport).map(drop);
        self.flush_quietly(recovery.handle);
        result
    }

    /// TPM2_PolicyAuthValue.
    pub(crate) fn policy_auth_value(&mut self, session: &Session) -> Result<(), Error> {
        self.policy(
            "PolicyAuthValue",
            cc::POLICY_AUTH_VALUE,
            session,
            Writer::new(),
        )
    }

    /// TPM2_PolicyCommandCode.
    pub(crate) fn policy_command_code(
        &mut self,
        session: &Session,
        code: u32,
    ) -> Result<(), Error> {
        let params = Writer::new().u32(code);
        self.policy(
            "PolicyCommandCode",
            cc::POLICY_COMMAND_CODE,
            session,
            params,
        )
    }

    /// TPM2_PolicyOR.
    pub(crate) fn policy_or(
        &mut self,
        session: &Session,
        branches: &[Digest],
    ) -> Result<(), Error> {
        let mut params = Writer::new().u32(u32::try_from(branches.len()).unwrap_or(u32::MAX));
        for branch in branches {
            params = params.sized(&branch.0);
        }
        self.policy("PolicyOR", cc::POLICY_OR, session, params)
    }

    fn policy(
        &mut self,
        name: &'static str,
        code: u32,
        session: &Session,
        params: Writer,
    ) -> Result<(), Error> {
        Command {
            name,
            code,
            handles: &[&Entity::by_handle(session.handle)],
            encrypts: Encrypts::NOTHING,
            params,
            makes_handle: false,
        }
        .plain(&mut self.transport)
        .map(drop)
    }
}
