//! libgssapi_krb5 made safe, as far as one-token statements need it (RFC 2744).
#![allow(unsafe_code, reason = "the GSS-API is a C library")]

use std::{
    ffi::{CString, c_char, c_int, c_void},
    os::unix::ffi::OsStrExt,
    path::Path,
    ptr,
};

use crate::Error;

/// Declares the owner of a handle of the library.
macro_rules! owner {
    ($(#[$doc:meta])* $name:ident, freed by |$minor:ident, $raw:ident| $free:expr) => {
        $(#[$doc])*
        pub(super) struct $name(*mut c_void);

        impl Drop for $name {
            fn drop(&mut self) {
                let (mut minor, mut handle) = (0, self.0);
                let ($minor, $raw): (*mut u32, *mut *mut c_void) = (&mut minor, &mut handle);
                // SAFETY: the handle came from the library, has no other owner and ends here.
                unsafe { $free };
            }
        }
    };
}

owner! {
    /// A name in the library's form.
    Service, freed by |minor, raw| gss_release_name(minor, raw)
}

impl Service {
    /// Reads a principal's name; without a realm, the profile tells it.
    pub(super) fn parse(name: &str) -> Result<Self, Error> {
        let (mut minor, mut raw) = (0, ptr::null_mut());
        let text = Buffer::over(name.as_bytes());
        // SAFETY: `text` describes `name`, the type is static; both are only read.
        let major = unsafe { gss_import_name(&mut minor, &text, &PRINCIPAL_NAME, &mut raw) };
        check(major, minor)?;
        Ok(Self(raw))
    }

    /// The name as text.
    pub(super) fn text(&self) -> Result<String, Error> {
        let (mut minor, mut text, kind) = (0, Buffer::EMPTY, ptr::null_mut());
        // SAFETY: the name is alive, `text` is a place for one buffer, the type is not asked for.
        let major = unsafe { gss_display_name(&mut minor, self.0, &mut text, kind) };
        check(major, minor)?;
        String::from_utf8(text.take()).map_err(|_| Error::unfit("the client's name"))
    }
}

owner! {
    /// The right to open tokens with the keys of a keytab.
    Acceptor, freed by |minor, raw| gss_release_cred(minor, raw)
}

impl Acceptor {
    pub(super) fn open(keytab: &Path) -> Result<Self, Error> {
        let unfit = |_| Error::unfit("the keytab's path");
        let keytab = [b"FILE:", keytab.as_os_str().as_bytes()].concat();
        let keytab = CString::new(keytab).map_err(unfit)?;
        let elements = [
            KeyValue {
                key: c"keytab".as_ptr(),
                value: keytab.as_ptr(),
            },
            KeyValue {
                key: c"rcache".as_ptr(),
                value: c"none:".as_ptr(),
            },
        ];
        let store = KeyValueSet {
            count: elements.len() as u32,
            elements: elements.as_ptr(),
        };
        let mechanisms = OidSet {
            count: 1,
            elements: &KERBEROS,
        };
        let (mut minor, mut raw, none) = (0, ptr::null_mut(), ptr::null_mut());
        // SAFETY: store and mechanisms describe values that live through the call and are only
        // read; the further answers are not asked for.
        let major = unsafe {
            let (name, granted) = (ptr::null_mut(), ptr::null_mut());
            gss_acquire_cred_from(
                &mut minor,
                name,
                0,
                &mechanisms,
                ACCEPT,
                &store,
                &mut raw,
                none,
                granted,
            )
        };
        check(major, minor)?;
        Ok(Self(raw))
    }
}

owner! {
    /// An established context.
    Security, freed by |minor, raw| gss_delete_sec_context(minor, raw, ptr::null_mut())
}

impl Security {
    /// The context and the token that makes it on the other side.
    pub(super) fn initiate(service: &Service) -> Result<(Self, Vec<u8>), Error> {
        let mut minor = 0;
        let mut security = Self(ptr::null_mut());
        let mut token = Buffer::EMPTY;
        // SAFETY: the service's name is alive; the context starts null, as a first call wants it;
        // default credentials, no channel bindings, no input token, no further answers.
        let major = unsafe {
            let (default, bindings, input) = (ptr::null_mut(), ptr::null(), ptr::null());
            let (mechanism, flags, seconds) = (ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
            gss_init_sec_context(
                &mut minor,
                default,
                &mut security.0,
                service.0,
                &KERBEROS,
                INTEGRITY,
                0,
                bindings,
                input,
                mechanism,
                &mut token,
                flags,
                seconds,
            )
        };
        let token = token.take();
        check(major, minor)?;
        if major == COMPLETE {
            Ok((security, token))
        } else {
            Err(unfinished())
        }
    }

    /// The context that a token makes, and who made the token.
    pub(super) fn accept(acceptor: &Acceptor, token: &[u8]) -> Result<(Self, Service), Error> {
        let mut minor = 0;
        let mut security = Self(ptr::null_mut());
        let mut client = Service(ptr::null_mut());
        let (input, mut output) = (Buffer::over(token), Buffer::EMPTY);
        // SAFETY: the acceptor is alive; the context starts null, as a first call wants it; `input`
        // describes `token`, which is only read; no channel bindings, no further answers.
        let major = unsafe {
            let (bindings, mechanism, delegated) = (ptr::null(), ptr::null_mut(), ptr::null_mut());
            let (flags, seconds) = (ptr::null_mut(), ptr::null_mut());
            gss_accept_sec_context(
                &mut minor,
                &mut security.0,
                acceptor.0,
                &input,
                bindings,
                &mut client.0,
                mechanism,
                &mut output,
                flags,
                seconds,
                delegated,
            )
        };
        drop(output.take());
        check(major, minor)?;
        if major == COMPLETE {
            Ok((security, client))
        } else {
            Err(unfinished())
        }
    }

    /// A checksum over `statement` with the context's key.
    pub(super) fn checksum(&self, statement: &[u8]) -> Result<Vec<u8>, Error> {
        let (mut minor, mut mic) = (0, Buffer::EMPTY);
        let statement = Buffer::over(statement);
        // SAFETY: the context is established; the statement is only read.
        let major = unsafe { gss_get_mic(&mut minor, self.0, 0, &statement, &mut mic) };
        check(major, minor)?;
        Ok(mic.take())
    }

    /// Was `mic` made over `statement` with the context's key?
    pub(super) fn confirm(&self, statement: &[u8], mic: &[u8]) -> Result<(), Error> {
        let (mut minor, quality) = (0, ptr::null_mut());
        let (statement, mic) = (Buffer::over(statement), Buffer::over(mic));
        // SAFETY: the context is established; both buffers are only read.
        let major = unsafe { gss_verify_mic(&mut minor, self.0, &statement, &mic, quality) };
        if major & FAILED == BAD_MIC {
            let message = "the checksum does not fit the statement".to_owned();
            return Err(Error::Other {
                code: i64::from(minor.cast_signed()),
                message,
            });
        }
        check(major, minor)?;
        if major == COMPLETE {
            Ok(())
        } else {
            Err(unfinished())
        }
    }
}

fn unfinished() -> Error {
    Error::Other {
        code: 0,
        message: "the token alone makes no context".to_owned(),
    }
}

fn check(major: u32, minor: u32) -> Result<(), Error> {
    if major & FAILED == 0 {
        return Ok(());
    }
    let (mut unused, mut more, mut text) = (0, 0, Buffer::EMPTY);
    // SAFETY: the mechanism is static; all answers have their places.
    unsafe {
        gss_display_status(
            &mut unused,
            minor,
            OF_MECHANISM,
            &KERBEROS,
            &mut more,
            &mut text,
        )
    };
    let message = String::from_utf8_lossy(&text.take()).into_owned();
    // The minor status of this mechanism is a libkrb5 code.
    let sorted = Error::from_code(minor.cast_signed(), message);
    Err(match sorted {
        Error::Other { message, .. } => Error::Other {
            code: i64::from(minor.cast_signed()),
            message: format!("{message} [GSS-API {:#x}]", major & FAILED),
        },
        sorted => sorted,
    })
}

/// `gss_buffer_desc`.
#[repr(C)]
struct Buffer {
    length: usize,
    value: *mut c_void,
}

impl Buffer {
    const EMPTY: Self = Self {
        length: 0,
        value: ptr::null_mut(),
    };

    /// For the library to read.
    fn over(bytes: &[u8]) -> Self {
        Self {
            length: bytes.len(),
            value: bytes.as_ptr().cast_mut().cast(),
        }
    }

    /// Copies what the library wrote and gives it back. Only for buffers that began `EMPTY`.
    fn take(mut self) -> Vec<u8> {
        if self.value.is_null() {
            return Vec::new();
        }
        // SAFETY: the library filled the buffer: `length` bytes at `value`.
        let bytes = unsafe { std::slice::from_raw_parts(self.value.cast::<u8>(), self.length) };
        let copy = bytes.to_vec();
        let mut minor = 0;
        // SAFETY: the buffer is the library's and is not used again.
        unsafe { gss_release_buffer(&mut minor, &mut self) };
        copy
    }
}

#[repr(C)]
struct Oid {
    length: u32,
    elements: *const u8,
}

// SAFETY: the only values are constants that point to constants.
unsafe impl Sync for Oid {}

impl Oid {
    const fn of(der: &'static [u8]) -> Self {
        Self {
            length: der.len() as u32,
            elements: der.as_ptr(),
        }
    }
}

#[repr(C)]
struct OidSet {
    count: usize,
    elements: *const Oid,
}

#[repr(C)]
struct KeyValue {
    key: *const c_char,
    value: *const c_char,
}

#[repr(C)]
struct KeyValueSet {
    count: u32,
    elements: *const KeyValue,
}

/// 1.2.840.113554.1.2.2, RFC 1964.
static KERBEROS: Oid = Oid::of(b"\x2a\x86\x48\x86\xf7\x12\x01\x02\x02");
/// 1.2.840.113554.1.2.2.1, RFC 1964 2.1.1.
static PRINCIPAL_NAME: Oid = Oid::of(b"\x2a\x86\x48\x86\xf7\x12\x01\x02\x02\x01");

const COMPLETE: u32 = 0;
/// Calling and routine errors; the rest of a major status is information.
const FAILED: u32 = 0xffff_0000;
/// `GSS_S_BAD_SIG`.
const BAD_MIC: u32 = 6 << 16;
const INTEGRITY: u32 = 32;
const ACCEPT: c_int = 2;
const OF_MECHANISM: c_int = 2;

#[link(name = "gssapi_krb5")]
unsafe extern "C" {
    fn gss_import_name(
        minor: *mut u32,
        text: *const Buffer,
        kind: *const Oid,
        name: *mut *mut c_void,
    ) -> u32;
    fn gss_display_name(
        minor: *mut u32,
        name: *mut c_void,
        text: *mut Buffer,
        kind: *mut *const Oid,
    ) -> u32;
    fn gss_release_name(minor: *mut u32, name: *mut *mut c_void) -> u32;
    fn gss_release_buffer(minor: *mut u32, buffer: *mut Buffer) -> u32;
    fn gss_acquire_cred_from(
        minor: *mut u32,
        name: *mut c_void,
        seconds: u32,
        mechanisms: *const OidSet,
        usage: c_int,
        store: *const KeyValueSet,
        credential: *mut *mut c_void,
        granted: *mut *mut OidSet,
        granted_seconds: *mut u32,
    ) -> u32;
    fn gss_release_cred(minor: *mut u32, credential: *mut *mut c_void) -> u32;
    fn gss_init_sec_context(
        minor: *mut u32,
        credential: *mut c_void,
        context: *mut *mut c_void,
        target: *mut c_void,
        mechanism: *const Oid,
        flags: u32,
        seconds: u32,
        bindings: *const c_void,
        input: *const Buffer,
        actual: *mut *const Oid,
        output: *mut Buffer,
        granted: *mut u32,
        granted_seconds: *mut u32,
    ) -> u32;
    fn gss_accept_sec_context(
        minor: *mut u32,
        context: *mut *mut c_void,
        acceptor: *mut c_void,
        input: *const Buffer,
        bindings: *const c_void,
        source: *mut *mut c_void,
        mechanism: *mut *const Oid,
        output: *mut Buffer,
        granted: *mut u32,
        seconds: *mut u32,
        delegated: *mut *mut c_void,
    ) -> u32;
    fn gss_delete_sec_context(
        minor: *mut u32,
        context: *mut *mut c_void,
        token: *mut Buffer,
    ) -> u32;
    fn gss_get_mic(
        minor: *mut u32,
        context: *mut c_void,
        quality: u32,
        message: *const Buffer,
        mic: *mut Buffer,
    ) -> u32;
    fn gss_verify_mic(
        minor: *mut u32,
        context: *mut c_void,
        message: *const Buffer,
        mic: *const Buffer,
        quality: *mut u32,
    ) -> u32;
    fn gss_display_status(
        minor: *mut u32,
        status: u32,
        kind: c_int,
        mechanism: *const Oid,
        more: *mut u32,
        text: *mut Buffer,
    ) -> u32;
}
