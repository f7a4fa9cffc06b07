//! Bindings to MIT's GSS-API (RFC 2744) and the resolver, by hand: a dozen functions.

#![allow(unsafe_code, reason = "the bindings of this crate")]

use std::{
    ffi::{CString, c_char, c_int, c_uchar, c_void},
    ptr::{NonNull, null, null_mut},
};

/// gss_buffer_desc.
#[repr(C)]
struct Buffer {
    length: usize,
    value: *mut c_void,
}

/// gss_OID_desc.
#[repr(C)]
struct Oid {
    length: u32,
    elements: *const c_void,
}

unsafe extern "C" {
    fn gss_import_name(
        minor: *mut u32,
        text: *const Buffer,
        kind: *const Oid,
        name: *mut *mut c_void,
    ) -> u32;
    fn gss_release_name(minor: *mut u32, name: *mut *mut c_void) -> u32;
    fn gss_init_sec_context(
        minor: *mut u32,
        credential: *const c_void,
        context: *mut *mut c_void,
        target: *const c_void,
        mechanism: *const Oid,
        flags: u32,
        lifetime: u32,
        bindings: *const c_void,
        input: *const Buffer,
        actual_mechanism: *mut *mut Oid,
        output: *mut Buffer,
        granted: *mut u32,
        actual_lifetime: *mut u32,
    ) -> u32;
    fn gss_delete_sec_context(
        minor: *mut u32,
        context: *mut *mut c_void,
        token: *mut Buffer,
    ) -> u32;
    fn gss_wrap(
        minor: *mut u32,
        context: *mut c_void,
        confidential: c_int,
        quality: u32,
        input: *const Buffer,
        was_confidential: *mut c_int,
        output: *mut Buffer,
    ) -> u32;
    fn gss_unwrap(
        minor: *mut u32,
        context: *mut c_void,
        input: *const Buffer,
        output: *mut Buffer,
        was_confidential: *mut c_int,
        quality: *mut u32,
    ) -> u32;
    fn gss_release_buffer(minor: *mut u32, buffer: *mut Buffer) -> u32;
    fn gss_display_status(
        minor: *mut u32,
        status: u32,
        kind: c_int,
        mechanism: *const Oid,
        more: *mut u32,
        text: *mut Buffer,
    ) -> u32;
    fn res_query(
        name: *const c_char,
        class: c_int,
        kind: c_int,
        answer: *mut c_uchar,
        length: c_int,
    ) -> c_int;
}

/// Both sides prove themselves.
pub(crate) const MUTUAL: u32 = 2;
/// A repeated message is noticed.
pub(crate) const REPLAY: u32 = 4;
/// A message out of order is noticed.
pub(crate) const SEQUENCE: u32 = 8;
/// Messages can be encrypted.
pub(crate) const CONFIDENTIALITY: u32 = 16;
/// Messages can be signed.
pub(crate) const INTEGRITY: u32 = 32;

const COMPLETE: u32 = 0;
const CONTINUE_NEEDED: u32 = 1;

/// Errors are in the upper half of a major status; the lower one holds remarks.
const ERRORS: u32 = 0xffff_0000;

/// 1.2.840.113554.1.2.2, Kerberos 5.
const KERBEROS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x12, 0x01, 0x02, 0x02];
/// 1.2.840.113554.1.2.2.1, GSS_KRB5_NT_PRINCIPAL_NAME.
const PRINCIPAL_NAME: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x12, 0x01, 0x02, 0x02, 0x01];

impl Buffer {
    const EMPTY: Self = Self {
        length: 0,
        value: null_mut(),
    };

    /// Borrows `bytes` for a call that only reads.
    fn of(bytes: &[u8]) -> Self {
        Self {
            length: bytes.len(),
            value: bytes.as_ptr().cast_mut().cast(),
        }
    }

    /// Copies out what the library allocated, and gives it back.
    fn take(mut self) -> Vec<u8> {
        let copy = if self.value.is_null() {
            Vec::new()
        } else {
            // SAFETY: the library has set value to length readable bytes, which stay until the
            // release below.
            let bytes = unsafe { std::slice::from_raw_parts(self.value.cast::<u8>(), self.length) };
            bytes.to_vec()
        };
        // SAFETY: the buffer came from the library and is released once: self is consumed.
        unsafe { gss_release_buffer(&mut 0, &mut self) };
        copy
    }
}

impl Oid {
    fn of(bytes: &'static [u8]) -> Self {
        Self {
            length: bytes.len() as u32,
            elements: bytes.as_ptr().cast(),
        }
    }
}

/// The name of a service.
pub(crate) struct Name(NonNull<c_void>);

// SAFETY: a name is never changed after it was made, and MIT's library keeps no thread in it.
unsafe impl Send for Name {}

impl Name {
    /// `service/host@REALM`.
    pub(crate) fn principal(text: &str) -> Result<Self, String> {
        let (mut minor, mut name) = (0, null_mut());
        // SAFETY: text and type are borrowed for the call; name is written on success.
        let major = unsafe {
            gss_import_name(
                &mut minor,
                &Buffer::of(text.as_bytes()),
                &Oid::of(PRINCIPAL_NAME),
                &mut name,
            )
        };
        match NonNull::new(name) {
            Some(name) if major == COMPLETE => Ok(Self(name)),
            _ => Err(describe(major, minor)),
        }
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        // SAFETY: the name came from the library and is released once.
        unsafe { gss_release_name(&mut 0, &mut self.0.as_ptr()) };
    }
}

/// A security context with a peer.
pub(crate) struct Context(*mut c_void);

// SAFETY: a context is used by one thread at a time (every method takes &mut self), and MIT's
// library does not tie it to the thread that made it.
unsafe impl Send for Context {}

/// What came of a step towards a context.
pub(crate) struct Step {
    /// For the peer, where not empty.
    pub(crate) token: Vec<u8>,
    /// With these flags the context stands; `None`: the peer's answer is needed.
    pub(crate) granted: Option<u32>,
}

impl Context {
    /// No context yet.
    pub(crate) fn new() -> Self {
        Self(null_mut())
    }

    /// Takes the next step with the process's default credentials; may ask a KDC. The first one
    /// has no `input`.
    pub(crate) fn step(
        &mut self,
        target: &Name,
        flags: u32,
        input: Option<&[u8]>,
    ) -> Result<Step, String> {
        let (mut minor, mut granted, mut output) = (0, 0, Buffer::EMPTY);
        let input = input.map(Buffer::of);
        // SAFETY: all pointers are to locals or borrowed values that outlive the call; null means
        // the default for credential, bindings and what is not wanted. The context is null or
        // the one that the library made.
        let major = unsafe {
            gss_init_sec_context(
                &mut minor,
                null(),
                &mut self.0,
                target.0.as_ptr(),
                &Oid::of(KERBEROS),
                flags,
                0,
                null(),
                input.as_ref().map_or(null(), std::ptr::from_ref),
                null_mut(),
                &mut output,
                &mut granted,
                null_mut(),
            )
        };
        let token = output.take();
        if major & ERRORS != 0 {
            return Err(describe(major, minor));
        }
        let granted = (major & CONTINUE_NEEDED == 0).then_some(granted);
        Ok(Step { token, granted })
    }

    /// Protects a message; answers also whether it is encrypted.
    pub(crate) fn wrap(
        &mut self,
        confidential: bool,
        message: &[u8],
    ) -> Result<(Vec<u8>, bool), String> {
        let (mut minor, mut state, mut output) = (0, 0, Buffer::EMPTY);
        // SAFETY: the context stands (callers get here after the last step only; a null one is
        // refused by the library); the message is borrowed for the call.
        let major = unsafe {
            gss_wrap(
                &mut minor,
                self.0,
                c_int::from(confidential),
                0,
                &Buffer::of(message),
                &mut state,
                &mut output,
            )
        };
        finish(major, minor, output, state)
    }

    /// Opens a protected message; answers also whether it was encrypted.
    pub(crate) fn unwrap(&mut self, message: &[u8]) -> Result<(Vec<u8>, bool), String> {
        let (mut minor, mut state, mut output) = (0, 0, Buffer::EMPTY);
        // SAFETY: as for wrap.
        let major = unsafe {
            gss_unwrap(
                &mut minor,
                self.0,
                &Buffer::of(message),
                &mut output,
                &mut state,
                null_mut(),
            )
        };
        finish(major, minor, output, state)
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: the context is null, which is allowed, or came from the library; deleted once.
        unsafe { gss_delete_sec_context(&mut 0, &mut self.0, null_mut()) };
    }
}

fn finish(major: u32, minor: u32, output: Buffer, state: c_int) -> Result<(Vec<u8>, bool), String> {
    let bytes = output.take();
    // A remark says that a message was repeated or out of order: as bad as an error.
    if major != COMPLETE {
        return Err(describe(major, minor));
    }
    Ok((bytes, state != 0))
}

/// The library's own words for a status.
fn describe(major: u32, minor: u32) -> String {
    const GENERIC: c_int = 1;
    const MECHANISM: c_int = 2;
    let mut sentences = Vec::new();
    for (status, kind) in [(major, GENERIC), (minor, MECHANISM)] {
        let mut text = Buffer::EMPTY;
        // SAFETY: all pointers are to locals; text is written on success.
        let found = unsafe {
            gss_display_status(&mut 0, status, kind, &Oid::of(KERBEROS), &mut 0, &mut text)
        };
        let text = text.take();
        if found == COMPLETE && status != 0 {
            sentences.push(String::from_utf8_lossy(&text).into_owned());
        }
    }
    sentences.join(": ")
}

/// Asks the DNS for records of a kind; answers the bytes of the reply.
pub(crate) fn query(name: &str, kind: u16) -> Option<Vec<u8>> {
    const INTERNET: c_int = 1;
    let name = CString::new(name).ok()?;
    let mut answer = vec![0; 64 * 1024];
    // SAFETY: name ends with NUL; answer has the announced length.
    let length = unsafe {
        res_query(
            name.as_ptr(),
            INTERNET,
            c_int::from(kind),
            answer.as_mut_ptr(),
            answer.len() as c_int,
        )
    };
    answer.truncate(usize::try_from(length).ok()?);
    Some(answer)
}
