//! The C page: the six functions of a PAM module, and libpam as [`Person`] and [`Visit`] need it.
//!
//! Every function gets a handle that libpam made and keeps alive through the call; that is the
//! promise the blocks below rely on.
#![allow(unsafe_code, reason = "PAM is a C interface")]

use std::{
    ffi::{CStr, CString, c_char, c_int, c_void},
    panic::{AssertUnwindSafe, catch_unwind},
    ptr, slice,
};

use ipc::Secret;

use crate::{
    enrollment,
    flow::{Code, Options, Person, Socket, Visit, authenticate, close_session, open_session},
};

/// Lets no panic out: an accident here must not end a login program.
pub(crate) fn guard(body: impl FnOnce() -> Code) -> c_int {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or(Code::ServiceError) as c_int
}

/// The PIN.
// SAFETY: libpam looks modules' functions up by these names, in the module alone.
#[unsafe(no_mangle)]
extern "C" fn pam_sm_authenticate(
    handle: *mut Handle,
    flags: c_int,
    count: c_int,
    arguments: *const *const c_char,
) -> c_int {
    guard(|| {
        let Some(options) = options(count, arguments) else {
            return Code::ServiceError;
        };
        let pam = Pam(handle);
        pam.note_asked();
        let Some(visit) = pam.visit() else {
            return Code::AuthInfoUnavailable;
        };
        let mut person = Conversation {
            pam: &pam,
            silent: flags & PAM_SILENT != 0,
        };
        match authenticate(visit, &options, &mut person, &Socket(&options)) {
            Ok(Some(ccache)) if !pam.keep(&ccache) => Code::ServiceError,
            Ok(_) => Code::Success,
            Err(code) => code,
        }
    })
}

/// The ticket's cache goes into the session's environment.
// SAFETY: as pam_sm_authenticate.
#[unsafe(no_mangle)]
extern "C" fn pam_sm_setcred(
    handle: *mut Handle,
    flags: c_int,
    _count: c_int,
    _arguments: *const *const c_char,
) -> c_int {
    guard(|| match flags & PAM_DELETE_CRED {
        0 => Pam(handle).tell_session(),
        _ => Code::Ignore,
    })
}

/// Once more for programs that make the session's environment anew; and the daemon is told, so that
/// it reads the person's policies and can offer an enrollment. It is led right here, before the
/// person's programs start, where the person is known to be there: they have just signed in, which
/// root's `su` and a job of cron's have not.
// SAFETY: as pam_sm_authenticate.
#[unsafe(no_mangle)]
extern "C" fn pam_sm_open_session(
    handle: *mut Handle,
    flags: c_int,
    count: c_int,
    arguments: *const *const c_char,
) -> c_int {
    guard(|| {
        let pam = Pam(handle);
        let code = pam.tell_session();
        if let (Some(visit), Some(options)) = (pam.visit(), options(count, arguments)) {
            let silent = flags & PAM_SILENT != 0;
            let account = pam.account();
            if open_session(visit, &Socket(&options)) && !silent {
                let mut person = Conversation { pam: &pam, silent };
                let may_ask = !options.no_enrollment && pam.was_asked() && !pam.is_graphical();
                match account.filter(|_| may_ask) {
                    Some(account) => {
                        let ccache = pam.variable(c"KRB5CCNAME");
                        enrollment::run(&account, ccache.as_deref(), &mut person);
                    }
                    None => person.inform(enrollment::OFFER),
                }
            }
        }
        code
    })
}

/// The daemon is told. The cache stays: other sessions of the user may use it.
// SAFETY: as pam_sm_authenticate.
#[unsafe(no_mangle)]
extern "C" fn pam_sm_close_session(
    handle: *mut Handle,
    _flags: c_int,
    count: c_int,
    arguments: *const *const c_char,
) -> c_int {
    guard(|| {
        if let (Some(visit), Some(options)) = (Pam(handle).visit(), options(count, arguments)) {
            close_session(visit, &Socket(&options));
        }
        Code::Ignore
    })
}

/// Whether an account may be used is the identity service's to say.
// SAFETY: as pam_sm_authenticate.
#[unsafe(no_mangle)]
extern "C" fn pam_sm_acct_mgmt(
    _handle: *mut Handle,
    _flags: c_int,
    _count: c_int,
    _arguments: *const *const c_char,
) -> c_int {
    Code::Ignore as c_int
}

/// Passwords are the directory's; the PIN is changed with `latchkey`.
// SAFETY: as pam_sm_authenticate.
#[unsafe(no_mangle)]
extern "C" fn pam_sm_chauthtok(
    _handle: *mut Handle,
    _flags: c_int,
    _count: c_int,
    _arguments: *const *const c_char,
) -> c_int {
    Code::Ignore as c_int
}

fn options(count: c_int, arguments: *const *const c_char) -> Option<Options> {
    let count = usize::try_from(count).ok()?;
    if count == 0 {
        return Some(Options::default());
    }
    // SAFETY: libpam passes `count` arguments of the module's line.
    let arguments = unsafe { slice::from_raw_parts(arguments, count) };
    let mut texts = Vec::with_capacity(count);
    for argument in arguments {
        // SAFETY: each is a text that ends in NUL and lives through the call.
        texts.push(unsafe { CStr::from_ptr(*argument) }.to_str().ok()?);
    }
    Options::parse(texts)
}

/// One transaction of libpam.
struct Pam(*mut Handle);

impl Pam {
    /// Who wants in; None where the name is not one of this host's.
    fn visit(&self) -> Option<Visit> {
        let user = self.user()?;
        Some(Visit {
            uid: ids_of(user)?.0,
            // SAFETY: getuid takes nothing and cannot fail.
            caller: unsafe { libc::getuid() },
            user: user.to_str().ok()?.to_owned(),
            service: self.text(PAM_SERVICE)?,
            remote_host: self.text(PAM_RHOST)?,
            earlier: self
                .text(PAM_AUTHTOK)
                .filter(|text| !text.is_empty())
                .map(Secret::new),
        })
    }

    fn user(&self) -> Option<&CStr> {
        let mut user = ptr::null();
        // SAFETY: `user` is a place for one pointer; no prompt of our own.
        if unsafe { pam_get_user(self.0, &mut user, ptr::null()) } != 0 || user.is_null() {
            return None;
        }
        // SAFETY: libpam keeps the name as long as the transaction.
        Some(unsafe { CStr::from_ptr(user) })
    }

    /// The same, as whom a program is started.
    fn account(&self) -> Option<enrollment::Account> {
        let name = self.user()?;
        let (uid, gid) = ids_of(name)?;
        Some(enrollment::Account {
            name: name.to_owned(),
            uid,
            gid,
        })
    }

    /// A variable of the session's environment.
    fn variable(&self, name: &CStr) -> Option<String> {
        // SAFETY: the name is a C string; the answer is null or a text that libpam keeps.
        let value = unsafe { pam_getenv(self.0, name.as_ptr()) };
        if value.is_null() {
            return None;
        }
        // SAFETY: as above; it is copied at once.
        let value = unsafe { CStr::from_ptr(value) };
        value.to_str().ok().map(str::to_owned)
    }

    /// Notes that whoever wants in had to prove it in this transaction.
    fn note_asked(&self) {
        let mark = ASKED.as_ptr().cast_mut().cast();
        // SAFETY: libpam keeps the pointer, which is to a constant, and never frees it.
        unsafe { pam_set_data(self.0, ASKED.as_ptr(), mark, None) };
    }

    fn was_asked(&self) -> bool {
        let mut mark = ptr::null();
        // SAFETY: `mark` is a place for one pointer.
        let answer = unsafe { pam_get_data(self.0, ASKED.as_ptr(), &mut mark) };
        answer == 0 && !mark.is_null()
    }

    /// Is it a session at a display, as far as anybody has said?
    fn is_graphical(&self) -> bool {
        let [display, terminal] =
            [PAM_XDISPLAY, PAM_TTY].map(|item| self.text(item).unwrap_or_default());
        let kind = self.variable(c"XDG_SESSION_TYPE").unwrap_or_default();
        enrollment::is_graphical(&display, &terminal, &kind)
    }

    fn item(&self, item: c_int) -> *const c_void {
        let mut value = ptr::null();
        // SAFETY: `value` is a place for one pointer; libpam knows every item asked for here.
        let answer = unsafe { pam_get_item(self.0, item, &mut value) };
        if answer == 0 { value } else { ptr::null() }
    }

    /// An item that is a text; absent is empty, and None is one that is not UTF-8.
    fn text(&self, item: c_int) -> Option<String> {
        let value = self.item(item);
        if value.is_null() {
            return Some(String::new());
        }
        // SAFETY: the items asked for are texts, which libpam keeps through the call.
        let text = unsafe { CStr::from_ptr(value.cast()) };
        text.to_str().ok().map(str::to_owned)
    }

    /// One message to the program's conversation; the answer, where there is one, is wiped.
    fn converse(&self, style: c_int, text: &str) -> Option<Secret> {
        // SAFETY: the item is null or the program's pam_conv, alive as long as the transaction.
        let conversation = unsafe { self.item(PAM_CONV).cast::<Conv>().as_ref() }?;
        let text = CString::new(text).ok()?;
        let message = Message {
            style,
            text: text.as_ptr(),
        };
        let mut messages: *const Message = &message;
        let mut response: *mut Response = ptr::null_mut();
        let call = conversation.call?;
        // SAFETY: one message, a place for the answers' pointer, and the program's own data.
        let answer = unsafe { call(1, &mut messages, &mut response, conversation.data) };
        // SAFETY: null, or one response that the program made for us to keep.
        let held = unsafe { response.as_ref() }?;
        let secret = take(held.text);
        // SAFETY: the program made the response by malloc and gave it away.
        unsafe { libc::free(response.cast()) };
        secret.filter(|_| answer == 0)
    }

    /// Keeps the cache's name for the functions that come after.
    fn keep(&self, ccache: &str) -> bool {
        let Ok(variable) = CString::new(format!("KRB5CCNAME={ccache}")) else {
            return false;
        };
        let data = variable.into_raw().cast();
        // SAFETY: libpam takes `data` over and gives it to `forget` once.
        let answer = unsafe { pam_set_data(self.0, KEPT.as_ptr(), data, Some(forget)) };
        if answer != 0 {
            forget(self.0, data, answer);
        }
        answer == 0
    }

    /// Puts what was kept into the session's environment.
    fn tell_session(&self) -> Code {
        let mut kept = ptr::null();
        // SAFETY: `kept` is a place for one pointer.
        if unsafe { pam_get_data(self.0, KEPT.as_ptr(), &mut kept) } != 0 || kept.is_null() {
            return Code::Ignore;
        }
        // SAFETY: what is kept under this name is the text that `keep` left, which libpam copies.
        let answer = unsafe { pam_putenv(self.0, kept.cast()) };
        if answer == 0 {
            Code::Success
        } else {
            Code::ServiceError
        }
    }
}

extern "C" fn forget(_: *mut Handle, data: *mut c_void, _: c_int) {
    guard(|| {
        // SAFETY: `data` is the text of `keep`, and this is called once for it.
        drop(unsafe { CString::from_raw(data.cast()) });
        Code::Success
    });
}

/// Copies a response's text and wipes it.
fn take(text: *mut c_char) -> Option<Secret> {
    if text.is_null() {
        return None;
    }
    // SAFETY: a response's text ends in NUL and is ours.
    let length = unsafe { libc::strlen(text) };
    // SAFETY: `length` bytes were just counted.
    let bytes = unsafe { slice::from_raw_parts(text.cast::<u8>(), length) };
    let secret = str::from_utf8(bytes)
        .ok()
        .map(|text| Secret::new(text.to_owned()));
    // SAFETY: the same bytes; explicit_bzero is not optimised away.
    unsafe { libc::explicit_bzero(text.cast(), length) };
    // SAFETY: the program made the text by malloc and gave it away.
    unsafe { libc::free(text.cast()) };
    secret
}

/// The program's conversation with the person.
struct Conversation<'a> {
    pam: &'a Pam,
    silent: bool,
}

impl Conversation<'_> {
    fn say(&self, style: c_int, sentence: &str) {
        if !self.silent {
            // A program may answer a text with nothing.
            let _ = self.pam.converse(style, sentence);
        }
    }
}

impl Person for Conversation<'_> {
    fn ask(&mut self, prompt: &str) -> Result<Secret, Code> {
        self.pam
            .converse(PAM_PROMPT_ECHO_OFF, prompt)
            .ok_or(Code::ConversationError)
    }

    fn ask_shown(&mut self, prompt: &str) -> Result<Secret, Code> {
        self.pam
            .converse(PAM_PROMPT_ECHO_ON, prompt)
            .ok_or(Code::ConversationError)
    }

    fn tell(&mut self, sentence: &str) {
        self.say(PAM_ERROR_MSG, sentence);
    }

    fn inform(&mut self, sentence: &str) {
        self.say(PAM_TEXT_INFO, sentence);
    }
}

/// The uid and gid behind a name, as every other program of this host sees them.
fn ids_of(name: &CStr) -> Option<(u32, u32)> {
    let mut buffer: Vec<c_char> = vec![0; 1024];
    loop {
        // SAFETY: all-zero is a value of this plain structure.
        let mut entry: libc::passwd = unsafe { std::mem::zeroed() };
        let mut found = ptr::null_mut();
        // SAFETY: name ends in NUL; entry, buffer (with its length) and found are ours to write.
        let answer = unsafe {
            let (place, length) = (buffer.as_mut_ptr(), buffer.len());
            libc::getpwnam_r(name.as_ptr(), &mut entry, place, length, &mut found)
        };
        match answer {
            0 if found.is_null() => return None,
            0 => return Some((entry.pw_uid, entry.pw_gid)),
            libc::ERANGE if buffer.len() < 1024 * 1024 => buffer.resize(buffer.len() * 4, 0),
            _ => return None,
        }
    }
}

/// `pam_handle_t`.
#[repr(C)]
pub(crate) struct Handle {
    opaque: [u8; 0],
}

#[repr(C)]
struct Message {
    style: c_int,
    text: *const c_char,
}

#[repr(C)]
struct Response {
    text: *mut c_char,
    code: c_int,
}

type Converse =
    unsafe extern "C" fn(c_int, *mut *const Message, *mut *mut Response, *mut c_void) -> c_int;

#[repr(C)]
struct Conv {
    call: Option<Converse>,
    data: *mut c_void,
}

type Cleanup = extern "C" fn(*mut Handle, *mut c_void, c_int);

/// The name of what is kept between the functions.
const KEPT: &CStr = c"latchkey_krb5ccname";

/// The name of the mark that somebody was asked who they are.
const ASKED: &CStr = c"latchkey_asked";

const PAM_SERVICE: c_int = 1;
const PAM_TTY: c_int = 3;
const PAM_RHOST: c_int = 4;
const PAM_CONV: c_int = 5;
const PAM_AUTHTOK: c_int = 6;
const PAM_XDISPLAY: c_int = 11;
const PAM_PROMPT_ECHO_OFF: c_int = 1;
const PAM_PROMPT_ECHO_ON: c_int = 2;
const PAM_ERROR_MSG: c_int = 3;
const PAM_TEXT_INFO: c_int = 4;
const PAM_DELETE_CRED: c_int = 4;
const PAM_SILENT: c_int = 0x8000;

#[link(name = "pam")]
unsafe extern "C" {
    fn pam_get_user(handle: *mut Handle, user: *mut *const c_char, prompt: *const c_char) -> c_int;
    fn pam_get_item(handle: *mut Handle, item: c_int, value: *mut *const c_void) -> c_int;
    fn pam_set_data(
        handle: *mut Handle,
        name: *const c_char,
        data: *mut c_void,
        cleanup: Option<Cleanup>,
    ) -> c_int;
    fn pam_get_data(handle: *mut Handle, name: *const c_char, data: *mut *const c_void) -> c_int;
    fn pam_getenv(handle: *mut Handle, name: *const c_char) -> *const c_char;
    fn pam_putenv(handle: *mut Handle, variable: *const c_char) -> c_int;
}
