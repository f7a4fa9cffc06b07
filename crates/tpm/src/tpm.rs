//! The open TPM: its storage key, its session, and what comes and goes in its slots.

use std::os::unix::net::UnixStream;

use openssl::pkey::{PKey, Public};

use crate::command::{Answer, Auth, Command, Encrypts, Entity};
use crate::session::{Session, fresh_nonce, salt_for};
use crate::spec::{alg, cap, cc, handle, object, rc, session as attribute};
use crate::transport::Transport;
use crate::user_key::{Loaded, Ready};
use crate::wire::{Malformed, Reader, Writer};
use crate::{Error, KeyBlob, error, policy};

/// One open TPM.
pub struct Tpm {
    pub(crate) transport: Transport,
    /// The parent of every key here, made anew from the owner's seed at each opening.
    pub(crate) storage: Entity,
    storage_key: PKey<Public>,
    /// The session that authorises whatever needs no policy.
    pub(crate) session: Session,
    /// What stands ready for one signature, until anything else needs its slots.
    pub(crate) ready: Option<Ready>,
    /// The user's key that signed last or is expected next, until anything else needs its slot.
    pub(crate) loaded: Option<Loaded>,
    /// A policy session in which nothing is proven yet: the next unlocking's.
    pub(crate) spare: Option<Session>,
    /// Has it been given back?
    ended: bool,
}

impl Tpm {
    /// Opens the TPM that `tcti` names: `device:/dev/tpmrm0` or `swtpm:host=127.0.0.1,port=2321`.
    ///
    /// swtpm has no resource manager, so what a killed client left in its three slots is flushed
    /// first; that is why no two programs may share one swtpm.
    pub fn open(tcti: &str) -> Result<Self, Error> {
        Self::begin(Transport::open(tcti)?)
    }

    /// Opens the swtpm at the other end of this channel, which nobody else has.
    pub fn over(channel: UnixStream) -> Result<Self, Error> {
        Self::begin(Transport::over(channel)?)
    }

    fn begin(mut transport: Transport) -> Result<Self, Error> {
        if transport.is_bare() {
            for first in [
                handle::FIRST_TRANSIENT,
                handle::FIRST_LOADED_SESSION,
                handle::FIRST_SAVED_SESSION,
            ] {
                for stale in handles(&mut transport, first)? {
                    flush(&mut transport, stale)?;
                }
            }
        }
        let (storage, storage_key) = make_storage_key(&mut transport)?;
        let session = start_session(&mut transport, &storage, &storage_key, attribute::TYPE_HMAC)?;
        Ok(Self {
            transport,
            storage,
            storage_key,
            session,
            ready: None,
            loaded: None,
            spare: None,
            ended: false,
        })
    }

    /// Shuts the TPM down before its power goes: else it counts the next start against the limit of
    /// failures. For a TPM that lives as long as this program.
    pub fn shut_down(mut self) -> Result<(), Error> {
        self.release();
        let shutdown = Command {
            name: "Shutdown",
            code: cc::SHUTDOWN,
            handles: &[],
            encrypts: Encrypts::NOTHING,
            params: Writer::new().u16(STATE_CLEAR),
            makes_handle: false,
        };
        shutdown.plain(&mut self.transport).map(drop)
    }

    /// Gives back what this holds of the TPM, once.
    fn release(&mut self) {
        if !std::mem::replace(&mut self.ended, true) {
            self.make_room();
            self.flush_quietly(self.session.handle);
            self.flush_quietly(self.storage.handle);
        }
    }

    /// Runs a command whose one authorisation is the session, with this value.
    pub(crate) fn run(&mut self, command: Command<'_>, value: &[u8]) -> Result<Answer, Error> {
        command.run(
            &mut self.transport,
            &mut [Auth::hmac(&mut self.session, value)],
        )
    }

    /// The same for a command that replaces the authorisation value it was given.
    pub(crate) fn run_becoming(
        &mut self,
        command: Command<'_>,
        value: &[u8],
        value_after: &[u8],
    ) -> Result<Answer, Error> {
        let auth = Auth::hmac(&mut self.session, value).becoming(value_after);
        command.run(&mut self.transport, &mut [auth])
    }

    /// Starts a policy session, which is the caller's to spend or to flush.
    pub(crate) fn start_policy(&mut self) -> Result<Session, Error> {
        self.make_room();
        self.start_policy_beside()
    }

    /// The same beside what stands ready. Two sessions are all that this has: the slots are three.
    pub(crate) fn start_policy_beside(&mut self) -> Result<Session, Error> {
        start_session(
            &mut self.transport,
            &self.storage,
            &self.storage_key,
            attribute::TYPE_POLICY,
        )
    }

    /// Starts a policy session for `act`, which satisfies and spends it; flushes it where `act`
    /// failed before that.
    pub(crate) fn with_policy<T>(
        &mut self,
        act: impl FnOnce(&mut Self, &mut Session) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut session = self.start_policy()?;
        let result = act(self, &mut session);
        if result.is_err() {
            self.flush_quietly(session.handle);
        }
        result
    }

    /// Loads a key below the storage key, lets `act` use it, and flushes it.
    pub(crate) fn with_key<T>(
        &mut self,
        public: &[u8],
        private: &[u8],
        act: impl FnOnce(&mut Self, &Entity) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let key = self.load(public, private)?;
        let result = act(self, &key);
        self.flush_quietly(key.handle);
        result
    }

    /// Loads a key below the storage key; the caller flushes it.
    pub(crate) fn load(&mut self, public: &[u8], private: &[u8]) -> Result<Entity, Error> {
        self.make_room();
        let storage = self.storage.clone();
        let load = Command {
            name: "Load",
            code: cc::LOAD,
            handles: &[&storage],
            encrypts: Encrypts::BOTH,
            params: Writer::new().sized(private).sized(public),
            makes_handle: true,
        };
        let answer = self.run(load, &[]).map_err(|error| match error.code() {
            Some(rc::INTEGRITY) => error::foreign_key(),
            _ => error,
        })?;
        Ok(Entity {
            handle: answer.handle,
            name: policy::name(public),
        })
    }

    /// Makes a key below the storage key.
    pub(crate) fn create(&mut self, template: &[u8], value: &[u8]) -> Result<KeyBlob, Error> {
        self.make_room();
        let storage = self.storage.clone();
        let sensitive = Writer::new().sized(value).sized(&[]).done();
        let create = Command {
            name: "Create",
            code: cc::CREATE,
            handles: &[&storage],
            encrypts: Encrypts::BOTH,
            params: Writer::new()
                .sized(&sensitive)
                .sized(template)
                .sized(&[])
                .u32(0),
            makes_handle: false,
        };
        let answer = self.run(create, &[])?;
        let mut reader = Reader::new(&answer.params);
        let read = (|| Ok((reader.sized()?.to_vec(), reader.sized()?.to_vec())))();
        let (private, public) = read.map_err(|Malformed| error::malformed("Create"))?;
        Ok(KeyBlob { public, private })
    }

    /// Flushing serves the next caller; its failure must not hide what came before it.
    pub(crate) fn flush_quietly(&mut self, handle: u32) {
        if let Err(error) = flush(&mut self.transport, handle) {
            tracing::warn!(%error, "a slot of the TPM stays taken");
        }
    }
}

impl Drop for Tpm {
    fn drop(&mut self) {
        self.release();
    }
}

/// TPM_SU_CLEAR: what is started next starts anew.
const STATE_CLEAR: u16 = 0;

/// The handles of one kind that the TPM holds from `first` on, at most as many as fit in an
/// answer.
pub(crate) fn handles(transport: &mut Transport, first: u32) -> Result<Vec<u32>, Error> {
    let answer = Command {
        name: "GetCapability",
        code: cc::GET_CAPABILITY,
        handles: &[],
        encrypts: Encrypts::NOTHING,
        params: Writer::new().u32(cap::HANDLES).u32(first).u32(1000),
        makes_handle: false,
    }
    .plain(transport)?;
    let mut reader = Reader::new(&answer.params);
    let mut read = || -> Result<Vec<u32>, Malformed> {
        reader.u8()?;
        reader.u32()?;
        (0..reader.u32()?).map(|_| reader.u32()).collect()
    };
    read().map_err(|Malformed| error::malformed("GetCapability"))
}

fn flush(transport: &mut Transport, handle: u32) -> Result<(), Error> {
    Command {
        name: "FlushContext",
        code: cc::FLUSH_CONTEXT,
        handles: &[],
        encrypts: Encrypts::NOTHING,
        params: Writer::new().u32(handle),
        makes_handle: false,
    }
    .plain(transport)
    .map(drop)
}

/// P-256, because an RSA parent takes a hardware TPM seconds to make; outside the dictionary
/// attack protection, because a lockout must not stop the keys that have no PIN.
fn make_storage_key(transport: &mut Transport) -> Result<(Entity, PKey<Public>), Error> {
    let template = Writer::new()
        .u16(alg::ECC)
        .u16(alg::SHA256)
        .u32(
            object::FIXED_TPM
                | object::FIXED_PARENT
                | object::SENSITIVE_DATA_ORIGIN
                | object::USER_WITH_AUTH
                | object::NO_DA
                | object::RESTRICTED
                | object::DECRYPT,
        )
        .sized(&[])
        .u16(alg::AES)
        .u16(128)
        .u16(alg::CFB)
        .u16(alg::NULL)
        .u16(alg::CURVE_P256)
        .u16(alg::NULL)
        .sized(&[])
        .sized(&[])
        .plain();
    let sensitive = Writer::new().sized(&[]).sized(&[]).plain();
    let owner = Entity::by_handle(handle::OWNER);
    let create = Command {
        name: "CreatePrimary",
        code: cc::CREATE_PRIMARY,
        handles: &[&owner],
        encrypts: Encrypts::NOTHING,
        params: Writer::new()
            .sized(&sensitive)
            .sized(&template)
            .sized(&[])
            .u32(0),
        makes_handle: true,
    };
    let answer = create.with_empty_password(transport).map_err(|error| {
        if error.is_wrong_value() {
            Error::Unavailable("its owner hierarchy has a password".to_owned())
        } else {
            error
        }
    })?;
    let public = Reader::new(&answer.params)
        .sized()
        .map_err(|Malformed| error::malformed("CreatePrimary"))?;
    let storage = attest::Public::read(public).map_err(|_| error::malformed("CreatePrimary"))?;
    let entity = Entity {
        handle: answer.handle,
        name: storage.name(),
    };
    Ok((entity, storage.key.to_openssl()?))
}

fn start_session(
    transport: &mut Transport,
    storage: &Entity,
    storage_key: &PKey<Public>,
    kind: u8,
) -> Result<Session, Error> {
    let salt = salt_for(storage_key)?;
    let nonce_caller = fresh_nonce()?;
    let null = Entity::by_handle(handle::NULL);
    let answer = Command {
        name: "StartAuthSession",
        code: cc::START_AUTH_SESSION,
        handles: &[storage, &null],
        encrypts: Encrypts::NOTHING,
        params: Writer::new()
            .sized(&nonce_caller)
            .sized(&salt.encrypted)
            .u8(kind)
            .u16(alg::AES)
            .u16(128)
            .u16(alg::CFB)
            .u16(alg::SHA256),
        makes_handle: true,
    }
    .plain(transport)?;
    let nonce_tpm = Reader::new(&answer.params)
        .sized()
        .map_err(|Malformed| error::malformed("StartAuthSession"))?;
    Ok(Session::new(
        answer.handle,
        &salt.secret,
        nonce_tpm,
        &nonce_caller,
    )?)
}
