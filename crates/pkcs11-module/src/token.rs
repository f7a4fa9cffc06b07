//! The token without C: sessions, the login, searches and the one kind of signature.

use std::{
    collections::{BTreeMap, VecDeque},
    ffi::c_ulong,
    time::{Duration, Instant},
};

use ipc::{Secret, TokenInfoAnswer};

use crate::{
    daemon::Daemon,
    object::{Kind, Material, from_hex, to_hex},
    rv::Rv,
};

/// What one process holds between `C_Initialize` and `C_Finalize`.
pub(crate) struct Token<D> {
    daemon: D,
    sessions: BTreeMap<c_ulong, Session>,
    last_session: c_ulong,
    /// The login belongs to the application, not to a session (PKCS#11 2.40 base, 5.6).
    ticket: Option<HeldTicket>,
    /// As long as there is a session.
    material: Option<Material>,
    /// What the daemon said, and until when it holds.
    info: Option<(Instant, TokenInfoAnswer)>,
}

#[derive(Default)]
struct Session {
    found: Option<VecDeque<Kind>>,
    signing: bool,
}

struct HeldTicket {
    ticket: String,
    lapses: Instant,
}

/// `C_GetSessionInfo`'s state and flags.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SessionState {
    pub(crate) state: c_ulong,
    pub(crate) flags: c_ulong,
}

impl<D: Daemon> Token<D> {
    pub(crate) fn new(daemon: D) -> Self {
        let sessions = BTreeMap::new();
        Self {
            daemon,
            sessions,
            last_session: 0,
            ticket: None,
            material: None,
            info: None,
        }
    }

    /// What the daemon says of the token. A program asks for count, list and flags in a row.
    fn info(&mut self) -> Result<TokenInfoAnswer, Rv> {
        if let Some((until, info)) = &self.info
            && Instant::now() < *until
        {
            return Ok(info.clone());
        }
        let info = self.daemon.token_info()?;
        self.info = Some((Instant::now() + INFO_LIFETIME, info.clone()));
        Ok(info)
    }

    /// Has this user a credential here? A daemon that is not there has no tokens.
    pub(crate) fn present(&mut self) -> bool {
        self.info().is_ok_and(|info| info.present)
    }

    /// `CK_TOKEN_INFO.flags`: what the daemon knows of the PIN reaches the person through them.
    pub(crate) fn flags(&mut self) -> Result<c_ulong, Rv> {
        let info = self.info()?;
        if !info.present {
            return Err(Rv::TOKEN_NOT_PRESENT);
        }
        let TokenInfoAnswer {
            tries_left,
            tries_limit,
            protected_path,
            ..
        } = info;
        let mut flags = WRITE_PROTECTED | LOGIN_REQUIRED | USER_PIN_INITIALIZED | TOKEN_INITIALIZED;
        if protected_path {
            flags |= PROTECTED_AUTHENTICATION_PATH;
        }
        match tries_left {
            0 => flags |= USER_PIN_LOCKED,
            1 => flags |= USER_PIN_FINAL_TRY | USER_PIN_COUNT_LOW,
            left if left < tries_limit => flags |= USER_PIN_COUNT_LOW,
            _ => {}
        }
        Ok(flags)
    }

    pub(crate) fn session_count(&self) -> c_ulong {
        self.sessions.len() as c_ulong
    }

    pub(crate) fn open_session(&mut self, flags: c_ulong) -> Result<c_ulong, Rv> {
        if flags & SERIAL_SESSION == 0 {
            return Err(Rv::SESSION_PARALLEL_NOT_SUPPORTED);
        }
        if flags & RW_SESSION != 0 {
            return Err(Rv::TOKEN_WRITE_PROTECTED);
        }
        self.last_session += 1;
        self.sessions.insert(self.last_session, Session::default());
        Ok(self.last_session)
    }

    /// The last session takes the login along.
    pub(crate) fn close_session(&mut self, session: c_ulong) -> Result<(), Rv> {
        self.sessions
            .remove(&session)
            .ok_or(Rv::SESSION_HANDLE_INVALID)?;
        if self.sessions.is_empty() {
            self.close_all_sessions();
        }
        Ok(())
    }

    pub(crate) fn close_all_sessions(&mut self) {
        self.sessions.clear();
        self.ticket = None;
        self.material = None;
    }

    pub(crate) fn session_state(&mut self, session: c_ulong) -> Result<SessionState, Rv> {
        self.session(session)?;
        let state = if self.logged_in() {
            RO_USER_FUNCTIONS
        } else {
            RO_PUBLIC_SESSION
        };
        Ok(SessionState {
            state,
            flags: SERIAL_SESSION,
        })
    }

    /// None: the protected authentication path. A spent or lapsed login may be renewed at once.
    pub(crate) fn login(
        &mut self,
        session: c_ulong,
        user: c_ulong,
        pin: Option<Secret>,
    ) -> Result<(), Rv> {
        self.session(session)?;
        if user != USER {
            return Err(Rv::USER_TYPE_INVALID);
        }
        if self.logged_in() {
            return Err(Rv::USER_ALREADY_LOGGED_IN);
        }
        // Right or wrong, it changes what the daemon says.
        self.info = None;
        let ticket = self.daemon.unlock(pin)?;
        let lapses = Instant::now() + Duration::from_secs(u64::from(ticket.expires_in_s));
        self.ticket = Some(HeldTicket {
            ticket: ticket.ticket,
            lapses,
        });
        Ok(())
    }

    pub(crate) fn logout(&mut self, session: c_ulong) -> Result<(), Rv> {
        self.session(session)?;
        self.ticket.take().map(drop).ok_or(Rv::USER_NOT_LOGGED_IN)
    }

    /// Begins a search for the objects that have all of these attribute values.
    pub(crate) fn find_begin(
        &mut self,
        session: c_ulong,
        wanted: &[(c_ulong, Vec<u8>)],
    ) -> Result<(), Rv> {
        if self.session(session)?.found.is_some() {
            return Err(Rv::OPERATION_ACTIVE);
        }
        let material = match self.material.take() {
            Some(material) => material,
            None => Material::read(&self.daemon.cert()?).ok_or(Rv::DEVICE_ERROR)?,
        };
        let fits = |kind: &Kind| {
            let has = |(attribute, value): &(c_ulong, Vec<u8>)| {
                material
                    .attribute(*kind, *attribute)
                    .is_ok_and(|own| own == *value)
            };
            wanted.iter().all(has)
        };
        let found = Kind::ALL.into_iter().filter(fits).collect();
        self.material = Some(material);
        self.session(session)?.found = Some(found);
        Ok(())
    }

    /// At most `most` further handles.
    pub(crate) fn find_more(&mut self, session: c_ulong, most: usize) -> Result<Vec<c_ulong>, Rv> {
        let found = self
            .session(session)?
            .found
            .as_mut()
            .ok_or(Rv::OPERATION_NOT_INITIALIZED)?;
        Ok(found
            .drain(..most.min(found.len()))
            .map(Kind::handle)
            .collect())
    }

    pub(crate) fn find_end(&mut self, session: c_ulong) -> Result<(), Rv> {
        let found = self.session(session)?.found.take();
        found.map(drop).ok_or(Rv::OPERATION_NOT_INITIALIZED)
    }

    pub(crate) fn attribute(
        &mut self,
        session: c_ulong,
        object: c_ulong,
        attribute: c_ulong,
    ) -> Result<Vec<u8>, Rv> {
        self.session(session)?;
        let object = Kind::of(object)?;
        let material = self.material.as_ref().ok_or(Rv::OBJECT_HANDLE_INVALID)?;
        material.attribute(object, attribute)
    }

    /// Is `object` one of the handles a search gave out?
    pub(crate) fn knows(&mut self, session: c_ulong, object: c_ulong) -> Result<(), Rv> {
        self.session(session)?;
        Kind::of(object)?;
        if self.material.is_some() {
            Ok(())
        } else {
            Err(Rv::OBJECT_HANDLE_INVALID)
        }
    }

    pub(crate) fn sign_begin(
        &mut self,
        session: c_ulong,
        mechanism: c_ulong,
        key: c_ulong,
    ) -> Result<(), Rv> {
        if mechanism != RSA_PKCS {
            return Err(Rv::MECHANISM_INVALID);
        }
        if Kind::of(key) != Ok(Kind::PrivateKey) {
            return Err(Rv::KEY_HANDLE_INVALID);
        }
        if self.session(session)?.signing {
            return Err(Rv::OPERATION_ACTIVE);
        }
        if !self.logged_in() {
            return Err(Rv::USER_NOT_LOGGED_IN);
        }
        self.session(session)?.signing = true;
        Ok(())
    }

    /// Ends the signing that was begun, well or not.
    pub(crate) fn sign(&mut self, session: c_ulong, data: &[u8]) -> Result<Vec<u8>, Rv> {
        if !std::mem::take(&mut self.session(session)?.signing) {
            return Err(Rv::OPERATION_NOT_INITIALIZED);
        }
        if data.len() != DIGEST_INFO {
            return Err(Rv::DATA_LEN_RANGE);
        }
        if !data.starts_with(SHA256_PREFIX) {
            return Err(Rv::DATA_INVALID);
        }
        if !self.logged_in() {
            return Err(Rv::USER_NOT_LOGGED_IN);
        }
        let held = self.ticket.take().ok_or(Rv::USER_NOT_LOGGED_IN)?;
        let signature = self.daemon.sign(held.ticket, to_hex(data))?;
        let signature = from_hex(&signature).ok_or(Rv::DEVICE_ERROR)?;
        if signature.len() == SIGNATURE {
            Ok(signature)
        } else {
            Err(Rv::DEVICE_ERROR)
        }
    }

    /// Is a signing begun? `C_Sign` may ask for the length before it signs.
    pub(crate) fn signing(&mut self, session: c_ulong) -> Result<(), Rv> {
        let signing = self.session(session)?.signing;
        if signing {
            Ok(())
        } else {
            Err(Rv::OPERATION_NOT_INITIALIZED)
        }
    }

    fn session(&mut self, session: c_ulong) -> Result<&mut Session, Rv> {
        self.sessions
            .get_mut(&session)
            .ok_or(Rv::SESSION_HANDLE_INVALID)
    }

    fn logged_in(&mut self) -> bool {
        self.ticket.take_if(|held| held.lapses <= Instant::now());
        self.ticket.is_some()
    }
}

/// How long the daemon's word about the token holds: for one look at it.
const INFO_LIFETIME: Duration = Duration::from_secs(1);

/// Bytes of an RSA-2048 signature.
pub(crate) const SIGNATURE: usize = 256;
/// `CKM_RSA_PKCS`.
pub(crate) const RSA_PKCS: c_ulong = 1;

/// DigestInfo of a SHA-256 digest: RFC 8017 9.2, note 1.
const SHA256_PREFIX: &[u8] =
    b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20";
const DIGEST_INFO: usize = SHA256_PREFIX.len() + 32;

/// `CKU_USER`.
pub(crate) const USER: c_ulong = 1;

/// `CKF_SERIAL_SESSION`.
pub(crate) const SERIAL_SESSION: c_ulong = 4;
const RW_SESSION: c_ulong = 2;
const RO_PUBLIC_SESSION: c_ulong = 0;
const RO_USER_FUNCTIONS: c_ulong = 1;

const WRITE_PROTECTED: c_ulong = 0x2;
const LOGIN_REQUIRED: c_ulong = 0x4;
const USER_PIN_INITIALIZED: c_ulong = 0x8;
pub(crate) const PROTECTED_AUTHENTICATION_PATH: c_ulong = 0x100;
const TOKEN_INITIALIZED: c_ulong = 0x400;
pub(crate) const USER_PIN_COUNT_LOW: c_ulong = 0x1_0000;
pub(crate) const USER_PIN_FINAL_TRY: c_ulong = 0x2_0000;
pub(crate) const USER_PIN_LOCKED: c_ulong = 0x4_0000;
