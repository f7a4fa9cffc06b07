//! libkrb5 made safe: each object of the library has an owner that gives it back, and borrows the
//! [`Library`] it belongs to, so that nothing outlives its context.
//!
//! Declarations and layouts are those of krb5.h, unchanged since release 1.20.
#![allow(unsafe_code, reason = "libkrb5 is a C library")]

use std::{
    ffi::{CStr, CString, c_char, c_int, c_void},
    mem::ManuallyDrop,
    os::unix::ffi::OsStrExt,
    path::Path,
    ptr,
    time::Duration,
};

use model::Secret;
use zeroize::Zeroizing;

use crate::{Error, heard::Heard, opened::Opened};

/// A `krb5_context` and what it told besides its results.
pub(crate) struct Library {
    raw: *mut RawContext,
    heard: Box<Heard>,
}

impl Library {
    /// A context of its own, with the profile as the environment names it.
    pub(crate) fn new() -> Result<Self, Error> {
        let mut raw = ptr::null_mut();
        // SAFETY: `raw` is a place for one pointer.
        let code = unsafe { krb5_init_context(&mut raw) };
        if code != 0 {
            let message = "the Kerberos profile cannot be read".to_owned();
            return Err(Error::Other {
                code: i64::from(code),
                message,
            });
        }
        let library = Self {
            raw,
            heard: Box::default(),
        };
        // SAFETY: the context is alive; the box keeps `heard` in place, and `Drop` frees the context
        // before it.
        unsafe { library.heard.listen(raw) };
        Ok(library)
    }

    /// What was told besides results.
    pub(crate) fn heard(&self) -> &Heard {
        &self.heard
    }

    fn check(&self, code: Code) -> Result<(), Error> {
        self.sort(code, Error::from_code)
    }

    fn sort(&self, code: Code, sorted: impl FnOnce(Code, String) -> Error) -> Result<(), Error> {
        if code == 0 {
            Ok(())
        } else {
            Err(sorted(code, self.message(code)))
        }
    }

    fn message(&self, code: Code) -> String {
        // SAFETY: the context is alive.
        let raw = unsafe { krb5_get_error_message(self.raw, code) };
        if raw.is_null() {
            return String::new();
        }
        // SAFETY: the library answers a text that lives until it is freed below.
        let message = unsafe { CStr::from_ptr(raw) }
            .to_string_lossy()
            .into_owned();
        // SAFETY: `raw` came from krb5_get_error_message and is not used again.
        unsafe { krb5_free_error_message(self.raw, raw) };
        message
    }

    fn principal_text(&self, principal: *const RawPrincipal) -> Result<String, Error> {
        let mut raw = ptr::null_mut();
        // SAFETY: the callers pass a principal that they own or borrow from a live credential.
        self.check(unsafe { krb5_unparse_name(self.raw, principal, &mut raw) })?;
        Ok(self.take_text(raw))
    }

    /// Copies a text of the library and gives it back.
    fn take_text(&self, raw: *mut c_char) -> String {
        // SAFETY: the callers just got this text from a call that succeeded.
        let text = unsafe { CStr::from_ptr(raw) }
            .to_string_lossy()
            .into_owned();
        // SAFETY: the text is the library's, freed once and not used again.
        unsafe { krb5_free_string(self.raw, raw) };
        text
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        // SAFETY: every other object borrows the library, so the context is the last to go.
        unsafe { krb5_free_context(self.raw) };
    }
}

/// Declares the owner of an object of the library.
macro_rules! owner {
    ($(#[$doc:meta])* $name:ident owns $raw:ty, freed by $free:path) => {
        $(#[$doc])*
        pub(crate) struct $name<'l> {
            library: &'l Library,
            raw: *mut $raw,
        }

        impl Drop for $name<'_> {
            fn drop(&mut self) {
                // SAFETY: the object came from this library, has no other owner and ends here.
                unsafe { $free(self.library.raw, self.raw) };
            }
        }
    };
}

owner! {
    /// A principal name.
    Principal owns RawPrincipal, freed by krb5_free_principal
}

impl<'l> Principal<'l> {
    /// Reads `name@REALM`.
    pub(crate) fn parse(library: &'l Library, name: &str) -> Result<Self, Error> {
        let name = text(name, "a principal name")?;
        let mut raw = ptr::null_mut();
        // SAFETY: `name` ends in NUL; `raw` is a place for one pointer.
        library.check(unsafe { krb5_parse_name(library.raw, name.as_ptr(), &mut raw) })?;
        Ok(Self { library, raw })
    }

    /// As `name@REALM`.
    pub(crate) fn text(&self) -> Result<String, Error> {
        self.library.principal_text(self.raw)
    }
}

owner! {
    /// What is asked of the KDC.
    Options owns RawOptions, freed by krb5_get_init_creds_opt_free
}

impl<'l> Options<'l> {
    /// The profile's defaults.
    pub(crate) fn new(library: &'l Library) -> Result<Self, Error> {
        let mut raw = ptr::null_mut();
        // SAFETY: `raw` is a place for one pointer.
        library.check(unsafe { krb5_get_init_creds_opt_alloc(library.raw, &mut raw) })?;
        Ok(Self { library, raw })
    }

    /// Forwardable, renewable, and in the account's name as the directory spells it.
    pub(crate) fn ask_for_renewable(&self, renewable: Duration) {
        let seconds = i32::try_from(renewable.as_secs()).unwrap_or(i32::MAX);
        // SAFETY: the options are alive.
        unsafe { krb5_get_init_creds_opt_set_forwardable(self.raw, 1) };
        // SAFETY: as above.
        unsafe { krb5_get_init_creds_opt_set_renew_life(self.raw, seconds) };
        // SAFETY: as above.
        unsafe { krb5_get_init_creds_opt_set_canonicalize(self.raw, 1) };
    }

    /// An option of a pre-authentication module.
    pub(crate) fn set(&self, name: &str, value: &str) -> Result<(), Error> {
        let (name, value) = (text(name, "an option")?, text(value, "an option's value")?);
        let context = self.library.raw;
        // SAFETY: the options are alive; both texts end in NUL and are copied by the module.
        let code = unsafe {
            krb5_get_init_creds_opt_set_pa(context, self.raw, name.as_ptr(), value.as_ptr())
        };
        self.library.check(code)
    }
}

owner! {
    /// Long-term keys in a file.
    Keytab owns RawKeytab, freed by krb5_kt_close
}

impl<'l> Keytab<'l> {
    /// Names the file; it is opened when it is used.
    pub(crate) fn open(library: &'l Library, path: &Path) -> Result<Self, Error> {
        let name = [b"FILE:", path.as_os_str().as_bytes()].concat();
        let name = CString::new(name).map_err(|_| Error::unfit("the keytab's path"))?;
        let mut raw = ptr::null_mut();
        // SAFETY: `name` ends in NUL; `raw` is a place for one pointer.
        library.check(unsafe { krb5_kt_resolve(library.raw, name.as_ptr(), &mut raw) })?;
        Ok(Self { library, raw })
    }
}

owner! {
    /// A dialogue with a KDC for an initial ticket.
    Exchange owns RawExchange, freed by krb5_init_creds_free
}

impl<'l> Exchange<'l> {
    /// A dialogue about `client`, without a prompter.
    pub(crate) fn new(
        client: &Principal<'l>,
        options: Option<&Options<'l>>,
    ) -> Result<Self, Error> {
        let library = client.library;
        let options = options.map_or(ptr::null_mut(), |options| options.raw);
        let mut raw = ptr::null_mut();
        // SAFETY: client and options are of this context and are copied; no prompter, no data for
        // one; `raw` is a place for one pointer.
        library.check(unsafe {
            let (prompter, data) = (ptr::null(), ptr::null_mut());
            krb5_init_creds_init(
                library.raw,
                client.raw,
                prompter,
                data,
                0,
                options,
                &mut raw,
            )
        })?;
        Ok(Self { library, raw })
    }

    /// Answers with a password.
    pub(crate) fn set_password(&self, password: &Secret<String>) -> Result<(), Error> {
        let password = password.expose().as_bytes();
        let mut ended = Zeroizing::new(Vec::with_capacity(password.len() + 1));
        ended.extend_from_slice(password);
        ended.push(0);
        let Ok(password) = CStr::from_bytes_with_nul(&ended) else {
            return Err(Error::unfit("the password"));
        };
        let library = self.library;
        // SAFETY: the exchange is alive; the library copies the text and wipes its copy.
        library.check(unsafe {
            krb5_init_creds_set_password(library.raw, self.raw, password.as_ptr())
        })
    }

    /// Asks for a ticket for this service rather than for one that gets others.
    pub(crate) fn set_service(&self, service: &CStr) -> Result<(), Error> {
        let library = self.library;
        // SAFETY: the exchange is alive; the library copies the text.
        library
            .check(unsafe { krb5_init_creds_set_service(library.raw, self.raw, service.as_ptr()) })
    }

    /// Answers with a key.
    pub(crate) fn set_keytab(&self, keytab: &Keytab<'l>) -> Result<(), Error> {
        let library = self.library;
        // SAFETY: exchange and keytab are alive; the keytab outlives the exchange because the
        // caller made it first and drops it last.
        library.check(unsafe { krb5_init_creds_set_keytab(library.raw, self.raw, keytab.raw) })
    }

    /// Speaks with the KDC until it has answered yes or no; `sorted` names a no.
    pub(crate) fn run(&self, sorted: impl FnOnce(i32, String) -> Error) -> Result<(), Error> {
        // SAFETY: context and exchange are alive.
        let code = unsafe { krb5_init_creds_get(self.library.raw, self.raw) };
        self.library.sort(code, sorted)
    }

    /// The ticket, after a yes.
    pub(crate) fn credentials(&self) -> Result<Credentials<'l>, Error> {
        let library = self.library;
        // SAFETY: all-zero is the state in which the library wants a credential to fill.
        let mut filled: RawCredentials = unsafe { std::mem::zeroed() };
        // SAFETY: the exchange is alive; `filled` is a place for one credential.
        let code = unsafe { krb5_init_creds_get_creds(library.raw, self.raw, &mut filled) };
        library.check(code)?;
        let mut raw = ptr::null_mut();
        // SAFETY: `filled` is a whole credential; the copy is the library's to free.
        let code = unsafe { krb5_copy_creds(library.raw, &filled, &mut raw) };
        // SAFETY: the contents of `filled` are the library's, freed (and the key wiped) once.
        unsafe { krb5_free_cred_contents(library.raw, &mut filled) };
        library.check(code)?;
        Ok(Credentials { library, raw })
    }
}

owner! {
    /// A ticket with its session key.
    Credentials owns RawCredentials, freed by krb5_free_creds
}

impl<'l> Credentials<'l> {
    /// Reads what [`Self::marshal`] wrote.
    pub(crate) fn unmarshal(library: &'l Library, bytes: &[u8]) -> Result<Self, Error> {
        let length = u32::try_from(bytes.len()).map_err(|_| Error::unfit("the ticket"))?;
        let data = RawData {
            magic: 0,
            length,
            data: bytes.as_ptr().cast_mut().cast(),
        };
        let mut raw = ptr::null_mut();
        // SAFETY: `data` describes `bytes`, which the library only reads.
        library.check(unsafe { krb5_unmarshal_credentials(library.raw, &data, &mut raw) })?;
        let credentials = Self { library, raw };
        if credentials.view().client.is_null() || credentials.view().server.is_null() {
            return Err(Error::unfit("the ticket"));
        }
        Ok(credentials)
    }

    pub(crate) fn library(&self) -> &'l Library {
        self.library
    }

    fn view(&self) -> &RawCredentials {
        // SAFETY: `raw` is a whole credential that nobody changes while `self` lives.
        unsafe { &*self.raw }
    }

    pub(crate) fn client(&self) -> Result<String, Error> {
        self.library.principal_text(self.view().client)
    }

    pub(crate) fn server(&self) -> Result<String, Error> {
        self.library.principal_text(self.view().server)
    }

    /// Seconds since 1970; the library reads its 32 bits as unsigned, until 2106.
    pub(crate) fn end(&self) -> u32 {
        self.view().times.end.cast_unsigned()
    }

    pub(crate) fn marshal(&self) -> Result<Zeroizing<Vec<u8>>, Error> {
        let library = self.library;
        let mut raw: *mut RawData = ptr::null_mut();
        // SAFETY: the credential is whole; `raw` is a place for one pointer.
        let code = unsafe { krb5_marshal_credentials(library.raw, self.raw, &mut raw) };
        library.check(code)?;
        // SAFETY: the call succeeded, so `raw` is the library's buffer, ours alone until freed.
        let data = unsafe { &mut *raw };
        let mut copy = Zeroizing::new(Vec::new());
        if !data.data.is_null() {
            // SAFETY: the buffer has `length` bytes.
            let bytes = unsafe {
                std::slice::from_raw_parts_mut(data.data.cast::<u8>(), data.length as usize)
            };
            copy = Zeroizing::new(bytes.to_vec());
            zeroize::Zeroize::zeroize(bytes);
        }
        // SAFETY: the buffer is the library's and is not used again.
        unsafe { krb5_free_data(library.raw, raw) };
        Ok(copy)
    }

    /// Has the KDC make a ticket for `service`, opens it with whichever key of `keytab` does, and says what
    /// stands in it.
    pub(crate) fn open(
        &self,
        service: &Principal<'l>,
        keytab: &Keytab<'_>,
    ) -> Result<Opened, Error> {
        let library = self.library;
        let scratch = Scratch::new(library)?;
        scratch.0.fill(self)?;
        let shown = scratch.0.credentials_for(service)?;
        let mut raw = ptr::null_mut();
        // SAFETY: the ticket's bytes are the credential's and only read; `raw` is a place for one pointer.
        library.check(unsafe { krb5_decode_ticket(&shown.view().ticket, &mut raw) })?;
        let ticket = Ticket { library, raw };
        // SAFETY: context, keytab and ticket are alive, and nobody else has the ticket.
        library.check(unsafe {
            krb5_server_decrypt_ticket_keytab(library.raw, keytab.raw, ticket.raw)
        })?;
        // SAFETY: the ticket is whole.
        let opened = unsafe { &*ticket.raw };
        // SAFETY: a ticket that was decrypted has its inner part, which lives as long as it.
        let inner = unsafe { opened.inner.as_ref() }.ok_or_else(|| Error::unfit("the ticket"))?;
        // SAFETY: the inner part's session key is whole, or there is none.
        let session = unsafe { inner.session.as_ref() };
        let mut now = 0;
        // SAFETY: `now` is a place for one time.
        library.check(unsafe { krb5_timeofday(library.raw, &mut now) })?;
        let seconds = |time: i32| i64::from(time.cast_unsigned());
        Ok(Opened {
            key_of: library.principal_text(opened.server)?,
            // SAFETY: both principals are alive.
            is_of_client: unsafe {
                krb5_principal_compare(library.raw, inner.client, self.view().client)
            } != 0,
            has_session_key: session.is_some_and(|session| *session == shown.view().key),
            flags: inner.flags.cast_unsigned(),
            start: seconds(match inner.times.start {
                0 => inner.times.auth,
                start => start,
            }),
            end: seconds(inner.times.end),
            now: seconds(now),
        })
    }

    /// Opens a ticket for `service` (None: this host) with its key in `keytab`; no key is a failure.
    pub(crate) fn verify(
        &self,
        service: Option<&Principal<'_>>,
        keytab: &Keytab<'_>,
    ) -> Result<(), Error> {
        let library = self.library;
        let service = service.map_or(ptr::null_mut(), |service| service.raw);
        let mut options = VerifyOptions {
            flags: VERIFY_NOFAIL,
            nofail: 1,
        };
        // SAFETY: all objects are of this context and alive; no cache is asked for.
        let code = unsafe {
            let cache = ptr::null_mut();
            krb5_verify_init_creds(
                library.raw,
                self.raw,
                service,
                keytab.raw,
                cache,
                &mut options,
            )
        };
        library.sort(code, Error::of_verify)
    }
}

owner! {
    /// A credential cache.
    Cache owns RawCache, freed by krb5_cc_close
}

impl<'l> Cache<'l> {
    /// The cache that `KRB5CCNAME`, else the profile, else the library names for this process.
    pub(crate) fn default_of(library: &'l Library) -> Result<Self, Error> {
        let mut raw = ptr::null_mut();
        // SAFETY: `raw` is a place for one pointer.
        library.check(unsafe { krb5_cc_default(library.raw, &mut raw) })?;
        Ok(Self { library, raw })
    }

    /// The cache of this name.
    pub(crate) fn resolve(library: &'l Library, name: &str) -> Result<Self, Error> {
        let name = text(name, "the cache's name")?;
        let mut raw = ptr::null_mut();
        // SAFETY: `name` ends in NUL; `raw` is a place for one pointer.
        library.check(unsafe { krb5_cc_resolve(library.raw, name.as_ptr(), &mut raw) })?;
        Ok(Self { library, raw })
    }

    /// Whose cache it is.
    pub(crate) fn owner(&self) -> Result<Principal<'l>, Error> {
        let library = self.library;
        let mut raw = ptr::null_mut();
        // SAFETY: the cache is alive; `raw` is a place for one pointer.
        library.check(unsafe { krb5_cc_get_principal(library.raw, self.raw, &mut raw) })?;
        Ok(Principal { library, raw })
    }

    /// A ticket of the cache's owner for `service`: the cache's, or a new one of the KDC's, which
    /// the cache then keeps.
    pub(crate) fn credentials_for(
        &self,
        service: &Principal<'l>,
    ) -> Result<Credentials<'l>, Error> {
        let library = self.library;
        let owner = self.owner()?;
        // SAFETY: all-zero is a credential that says nothing.
        let mut wanted: RawCredentials = unsafe { std::mem::zeroed() };
        wanted.client = owner.raw;
        wanted.server = service.raw;
        let mut raw = ptr::null_mut();
        // SAFETY: cache and both principals are alive; the library copies what it keeps; `raw` is
        // a place for one pointer.
        let code = unsafe { krb5_get_credentials(library.raw, 0, self.raw, &mut wanted, &mut raw) };
        library.check(code)?;
        Ok(Credentials { library, raw })
    }

    /// Empties the cache and puts the one ticket into it.
    pub(crate) fn fill(&self, credentials: &Credentials<'_>) -> Result<(), Error> {
        let (library, client) = (self.library, credentials.view().client);
        // SAFETY: cache and principal are alive.
        library.check(unsafe { krb5_cc_initialize(library.raw, self.raw, client) })?;
        // SAFETY: cache and credential are alive; the library copies the credential.
        library.check(unsafe { krb5_cc_store_cred(library.raw, self.raw, credentials.raw) })
    }

    /// Type and name, as for `KRB5CCNAME`.
    pub(crate) fn name(&self) -> Result<String, Error> {
        let mut raw = ptr::null_mut();
        let library = self.library;
        // SAFETY: the cache is alive; `raw` is a place for one pointer.
        library.check(unsafe { krb5_cc_get_full_name(library.raw, self.raw, &mut raw) })?;
        Ok(library.take_text(raw))
    }
}

/// A cache in memory for one question.
struct Scratch<'l>(ManuallyDrop<Cache<'l>>);

impl<'l> Scratch<'l> {
    fn new(library: &'l Library) -> Result<Self, Error> {
        let mut raw = ptr::null_mut();
        let (kind, hint) = (c"MEMORY".as_ptr(), ptr::null());
        // SAFETY: `kind` ends in NUL, there is no hint, and `raw` is a place for one pointer.
        library.check(unsafe { krb5_cc_new_unique(library.raw, kind, hint, &mut raw) })?;
        Ok(Self(ManuallyDrop::new(Cache { library, raw })))
    }
}

impl Drop for Scratch<'_> {
    fn drop(&mut self) {
        // SAFETY: the cache has no other owner and ends here; closed alone, what is in it would stay.
        unsafe { krb5_cc_destroy(self.0.library.raw, self.0.raw) };
    }
}

owner! {
    /// A ticket as its service sees it.
    Ticket owns RawTicket, freed by krb5_free_ticket
}

fn text(text: &str, what: &str) -> Result<CString, Error> {
    CString::new(text).map_err(|_| Error::unfit(what))
}

type Code = i32;

macro_rules! opaque {
    ($($name:ident)*) => { $(
        #[repr(C)]
        pub(crate) struct $name {
            opaque: [u8; 0],
        }
    )* };
}

opaque! { RawContext RawPrincipal RawOptions RawKeytab RawExchange RawCache RawPrompter }

#[repr(C)]
pub(crate) struct RawData {
    magic: i32,
    pub(crate) length: u32,
    pub(crate) data: *mut c_char,
}

#[repr(C)]
struct RawKey {
    magic: i32,
    enctype: i32,
    length: u32,
    contents: *mut u8,
}

impl PartialEq for RawKey {
    fn eq(&self, other: &Self) -> bool {
        let bytes = |key: &Self| {
            // SAFETY: a key that the library made has `length` bytes.
            let bytes = unsafe { std::slice::from_raw_parts(key.contents, key.length as usize) };
            Secret::new(bytes.to_vec())
        };
        !self.contents.is_null()
            && !other.contents.is_null()
            && self.enctype == other.enctype
            && bytes(self) == bytes(other)
    }
}

#[repr(C)]
struct RawTimes {
    auth: i32,
    start: i32,
    end: i32,
    renew_till: i32,
}

/// `krb5_creds`.
#[repr(C)]
pub(crate) struct RawCredentials {
    magic: i32,
    client: *mut RawPrincipal,
    server: *mut RawPrincipal,
    key: RawKey,
    times: RawTimes,
    is_skey: u32,
    flags: i32,
    addresses: *mut c_void,
    ticket: RawData,
    second_ticket: RawData,
    authdata: *mut c_void,
}

const _: () = assert!(size_of::<RawCredentials>() == 120);

/// `krb5_ticket`.
#[repr(C)]
struct RawTicket {
    magic: i32,
    server: *mut RawPrincipal,
    enctype_magic: i32,
    enctype: i32,
    version: u32,
    ciphertext: RawData,
    inner: *mut RawInner,
}

const _: () = assert!(size_of::<RawTicket>() == 56);

/// `krb5_enc_tkt_part`, as far as it is read.
#[repr(C)]
struct RawInner {
    magic: i32,
    flags: i32,
    session: *mut RawKey,
    client: *mut RawPrincipal,
    transited_magic: i32,
    transited_kind: u8,
    transited: RawData,
    times: RawTimes,
}

const _: () = assert!(size_of::<RawInner>() == 64);

#[repr(C)]
struct VerifyOptions {
    flags: i32,
    nofail: c_int,
}

const VERIFY_NOFAIL: i32 = 1;

#[link(name = "krb5")]
unsafe extern "C" {
    fn krb5_init_context(context: *mut *mut RawContext) -> Code;
    fn krb5_free_context(context: *mut RawContext);
    fn krb5_get_error_message(context: *mut RawContext, code: Code) -> *const c_char;
    fn krb5_free_error_message(context: *mut RawContext, message: *const c_char);
    fn krb5_free_string(context: *mut RawContext, text: *mut c_char);
    fn krb5_free_data(context: *mut RawContext, data: *mut RawData);

    fn krb5_parse_name(
        context: *mut RawContext,
        name: *const c_char,
        principal: *mut *mut RawPrincipal,
    ) -> Code;
    fn krb5_unparse_name(
        context: *mut RawContext,
        principal: *const RawPrincipal,
        name: *mut *mut c_char,
    ) -> Code;
    fn krb5_free_principal(context: *mut RawContext, principal: *mut RawPrincipal);

    fn krb5_get_init_creds_opt_alloc(
        context: *mut RawContext,
        options: *mut *mut RawOptions,
    ) -> Code;
    fn krb5_get_init_creds_opt_free(context: *mut RawContext, options: *mut RawOptions);
    fn krb5_get_init_creds_opt_set_forwardable(options: *mut RawOptions, yes: c_int);
    fn krb5_get_init_creds_opt_set_renew_life(options: *mut RawOptions, seconds: i32);
    fn krb5_get_init_creds_opt_set_canonicalize(options: *mut RawOptions, yes: c_int);
    fn krb5_get_init_creds_opt_set_pa(
        context: *mut RawContext,
        options: *mut RawOptions,
        name: *const c_char,
        value: *const c_char,
    ) -> Code;

    fn krb5_init_creds_init(
        context: *mut RawContext,
        client: *mut RawPrincipal,
        prompter: *const RawPrompter,
        data: *mut c_void,
        start: i32,
        options: *mut RawOptions,
        exchange: *mut *mut RawExchange,
    ) -> Code;
    fn krb5_init_creds_set_password(
        context: *mut RawContext,
        exchange: *mut RawExchange,
        password: *const c_char,
    ) -> Code;
    fn krb5_init_creds_set_service(
        context: *mut RawContext,
        exchange: *mut RawExchange,
        service: *const c_char,
    ) -> Code;
    fn krb5_init_creds_set_keytab(
        context: *mut RawContext,
        exchange: *mut RawExchange,
        keytab: *mut RawKeytab,
    ) -> Code;
    fn krb5_init_creds_get(context: *mut RawContext, exchange: *mut RawExchange) -> Code;
    fn krb5_init_creds_get_creds(
        context: *mut RawContext,
        exchange: *mut RawExchange,
        credentials: *mut RawCredentials,
    ) -> Code;
    fn krb5_init_creds_free(context: *mut RawContext, exchange: *mut RawExchange);

    fn krb5_copy_creds(
        context: *mut RawContext,
        from: *const RawCredentials,
        to: *mut *mut RawCredentials,
    ) -> Code;
    fn krb5_free_cred_contents(context: *mut RawContext, credentials: *mut RawCredentials);
    fn krb5_free_creds(context: *mut RawContext, credentials: *mut RawCredentials);
    fn krb5_marshal_credentials(
        context: *mut RawContext,
        credentials: *mut RawCredentials,
        data: *mut *mut RawData,
    ) -> Code;
    fn krb5_unmarshal_credentials(
        context: *mut RawContext,
        data: *const RawData,
        credentials: *mut *mut RawCredentials,
    ) -> Code;
    fn krb5_decode_ticket(code: *const RawData, ticket: *mut *mut RawTicket) -> Code;
    fn krb5_free_ticket(context: *mut RawContext, ticket: *mut RawTicket);
    fn krb5_server_decrypt_ticket_keytab(
        context: *mut RawContext,
        keytab: *mut RawKeytab,
        ticket: *mut RawTicket,
    ) -> Code;
    fn krb5_principal_compare(
        context: *mut RawContext,
        one: *const RawPrincipal,
        other: *const RawPrincipal,
    ) -> u32;
    fn krb5_timeofday(context: *mut RawContext, now: *mut i32) -> Code;
    fn krb5_verify_init_creds(
        context: *mut RawContext,
        credentials: *mut RawCredentials,
        server: *mut RawPrincipal,
        keytab: *mut RawKeytab,
        cache: *mut *mut RawCache,
        options: *mut VerifyOptions,
    ) -> Code;

    fn krb5_kt_resolve(
        context: *mut RawContext,
        name: *const c_char,
        keytab: *mut *mut RawKeytab,
    ) -> Code;
    fn krb5_kt_close(context: *mut RawContext, keytab: *mut RawKeytab) -> Code;

    fn krb5_cc_default(context: *mut RawContext, cache: *mut *mut RawCache) -> Code;
    fn krb5_cc_resolve(
        context: *mut RawContext,
        name: *const c_char,
        cache: *mut *mut RawCache,
    ) -> Code;
    fn krb5_cc_new_unique(
        context: *mut RawContext,
        kind: *const c_char,
        hint: *const c_char,
        cache: *mut *mut RawCache,
    ) -> Code;
    fn krb5_cc_destroy(context: *mut RawContext, cache: *mut RawCache) -> Code;
    fn krb5_cc_initialize(
        context: *mut RawContext,
        cache: *mut RawCache,
        client: *mut RawPrincipal,
    ) -> Code;
    fn krb5_cc_store_cred(
        context: *mut RawContext,
        cache: *mut RawCache,
        credentials: *mut RawCredentials,
    ) -> Code;
    fn krb5_cc_get_full_name(
        context: *mut RawContext,
        cache: *mut RawCache,
        name: *mut *mut c_char,
    ) -> Code;
    fn krb5_cc_get_principal(
        context: *mut RawContext,
        cache: *mut RawCache,
        principal: *mut *mut RawPrincipal,
    ) -> Code;
    fn krb5_get_credentials(
        context: *mut RawContext,
        options: u32,
        cache: *mut RawCache,
        wanted: *mut RawCredentials,
        found: *mut *mut RawCredentials,
    ) -> Code;
    fn krb5_cc_close(context: *mut RawContext, cache: *mut RawCache) -> Code;
}
