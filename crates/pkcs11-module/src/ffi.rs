//! The C page: the function table of PKCS#11 2.40, its structures, and exports that turn pointers
//! into values for [`Token`] and answers into pointers again.
//!
//! Every pointer is the calling program's promise, as the standard words it; null is checked,
//! because programs use it on purpose.
#![allow(unsafe_code, reason = "PKCS#11 is a C interface")]

use std::{
    ffi::{c_ulong, c_void},
    panic::{AssertUnwindSafe, catch_unwind},
    ptr, slice,
    sync::{Mutex, PoisonError},
};

use ipc::Secret;

use crate::{
    daemon::Socket,
    object::LABEL,
    rv::Rv,
    token::{RSA_PKCS, SIGNATURE, Token},
};

type CkRv = c_ulong;
const CKR_OK: CkRv = 0;

/// The token of this process. A child of a fork finds its parent's here and must initialise anew:
/// sessions and a login are not inherited.
static TOKEN: Mutex<Option<(u32, Token<Socket>)>> = Mutex::new(None);

/// Runs `body` and lets neither a panic nor a wrong return value out.
fn guard(body: impl FnOnce() -> Result<(), Rv>) -> CkRv {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => CKR_OK,
        Ok(Err(rv)) => rv.0,
        Err(_) => Rv::GENERAL_ERROR.0,
    }
}

/// Runs `body` on the token of this process.
fn with_token(body: impl FnOnce(&mut Token<Socket>) -> Result<(), Rv>) -> CkRv {
    guard(
        || match &mut *TOKEN.lock().unwrap_or_else(PoisonError::into_inner) {
            Some((process, token)) if *process == std::process::id() => body(token),
            _ => Err(Rv::CRYPTOKI_NOT_INITIALIZED),
        },
    )
}

/// The place an answer goes to.
///
/// # Safety
/// `place` is null or points to one `T` that is the caller's to write.
unsafe fn put<T>(place: *mut T, value: T) -> Result<(), Rv> {
    if place.is_null() {
        return Err(Rv::ARGUMENTS_BAD);
    }
    // SAFETY: not null, and the caller's promise.
    unsafe { place.write(value) };
    Ok(())
}

/// The values an argument points to.
///
/// # Safety
/// `first` is null or points to `count` readable values that live through the call.
unsafe fn many<'a, T>(first: *const T, count: c_ulong) -> Result<&'a [T], Rv> {
    if count == 0 {
        return Ok(&[]);
    }
    if first.is_null() {
        return Err(Rv::ARGUMENTS_BAD);
    }
    let count = usize::try_from(count).map_err(|_| Rv::ARGUMENTS_BAD)?;
    // SAFETY: not null, and the caller's promise.
    Ok(unsafe { slice::from_raw_parts(first, count) })
}

/// Answers a list by the standard's convention: the count alone where there is no buffer, an error
/// and the count where the buffer is too small (PKCS#11 2.40 base, 5.2).
///
/// # Safety
/// `count` is null or points to a writable number, which is the capacity of `place` unless `place`
/// is null.
unsafe fn put_list<T: Copy>(list: &[T], place: *mut T, count: *mut c_ulong) -> Result<(), Rv> {
    // SAFETY: the caller's promise; null is told apart.
    let Some(count) = (unsafe { count.as_mut() }) else {
        return Err(Rv::ARGUMENTS_BAD);
    };
    let capacity = std::mem::replace(count, list.len() as c_ulong);
    if place.is_null() {
        return Ok(());
    }
    if capacity < list.len() as c_ulong {
        return Err(Rv::BUFFER_TOO_SMALL);
    }
    // SAFETY: `place` has room for `capacity` values, which is enough.
    unsafe { ptr::copy_nonoverlapping(list.as_ptr(), place, list.len()) };
    Ok(())
}

fn one_slot(slot: c_ulong) -> Result<(), Rv> {
    if slot == SLOT {
        Ok(())
    } else {
        Err(Rv::SLOT_ID_INVALID)
    }
}

/// A fixed-width text, padded with blanks as the standard wants it.
fn padded<const N: usize>(text: &[u8]) -> [u8; N] {
    let mut field = [b' '; N];
    for (place, byte) in field.iter_mut().zip(text) {
        *place = *byte;
    }
    field
}

extern "C" fn initialize(arguments: *const InitializeArguments) -> CkRv {
    guard(|| {
        // SAFETY: null or one structure of the caller's, as C_Initialize wants.
        if let Some(arguments) = unsafe { arguments.as_ref() } {
            if !arguments.reserved.is_null() {
                return Err(Rv::ARGUMENTS_BAD);
            }
            let own_mutexes = arguments.mutexes.iter().any(|function| !function.is_null());
            if own_mutexes && arguments.flags & OS_LOCKING_OK == 0 {
                return Err(Rv::CANT_LOCK);
            }
        }
        let mut token = TOKEN.lock().unwrap_or_else(PoisonError::into_inner);
        let process = std::process::id();
        if token.as_ref().is_some_and(|(of, _)| *of == process) {
            return Err(Rv::CRYPTOKI_ALREADY_INITIALIZED);
        }
        // SAFETY: getuid has no preconditions and cannot fail.
        let uid = unsafe { libc::getuid() };
        *token = Some((process, Token::new(Socket { uid })));
        Ok(())
    })
}

extern "C" fn finalize(reserved: *const c_void) -> CkRv {
    guard(|| {
        if !reserved.is_null() {
            return Err(Rv::ARGUMENTS_BAD);
        }
        let mut token = TOKEN.lock().unwrap_or_else(PoisonError::into_inner);
        match token.take() {
            Some((process, _)) if process == std::process::id() => Ok(()),
            _ => Err(Rv::CRYPTOKI_NOT_INITIALIZED),
        }
    })
}

extern "C" fn info(place: *mut Info) -> CkRv {
    with_token(|_| {
        let info = Info {
            cryptoki: CRYPTOKI,
            manufacturer: padded(LABEL),
            flags: 0,
            description: padded(b"Latchkey PKCS#11 module"),
            version: VERSION,
        };
        // SAFETY: null or one structure of the caller's, as C_GetInfo wants.
        unsafe { put(place, info) }
    })
}

extern "C" fn function_list(place: *mut *const FunctionList) -> CkRv {
    // SAFETY: null or one pointer of the caller's, as C_GetFunctionList wants.
    guard(|| unsafe { put(place, &FUNCTIONS) })
}

extern "C" fn slot_list(present: u8, place: *mut c_ulong, count: *mut c_ulong) -> CkRv {
    with_token(|token| {
        let slots: &[c_ulong] = if present == 0 || token.present() {
            &[SLOT]
        } else {
            &[]
        };
        // SAFETY: the arguments of C_GetSlotList are as put_list wants them.
        unsafe { put_list(slots, place, count) }
    })
}

extern "C" fn slot_info(slot: c_ulong, place: *mut SlotInfo) -> CkRv {
    with_token(|token| {
        one_slot(slot)?;
        let present = if token.present() { TOKEN_PRESENT } else { 0 };
        let info = SlotInfo {
            description: padded(LABEL),
            manufacturer: padded(LABEL),
            flags: present | REMOVABLE_DEVICE,
            hardware: VERSION,
            firmware: VERSION,
        };
        // SAFETY: null or one structure of the caller's, as C_GetSlotInfo wants.
        unsafe { put(place, info) }
    })
}

extern "C" fn token_info(slot: c_ulong, place: *mut TokenInfo) -> CkRv {
    with_token(|token| {
        one_slot(slot)?;
        let info = TokenInfo {
            label: padded(LABEL),
            manufacturer: padded(LABEL),
            model: padded(LABEL),
            // One token a user and device: there is nothing to tell apart.
            serial: padded(b"1"),
            flags: token.flags()?,
            max_sessions: EFFECTIVELY_INFINITE,
            sessions: token.session_count(),
            max_rw_sessions: 0,
            rw_sessions: 0,
            max_pin: 127,
            min_pin: 4,
            memory: [UNAVAILABLE; 4],
            hardware: VERSION,
            firmware: VERSION,
            time: padded(b""),
        };
        // SAFETY: null or one structure of the caller's, as C_GetTokenInfo wants.
        unsafe { put(place, info) }
    })
}

extern "C" fn mechanism_list(slot: c_ulong, place: *mut c_ulong, count: *mut c_ulong) -> CkRv {
    with_token(|_| {
        one_slot(slot)?;
        // SAFETY: the arguments of C_GetMechanismList are as put_list wants them.
        unsafe { put_list(&[RSA_PKCS], place, count) }
    })
}

extern "C" fn mechanism_info(slot: c_ulong, kind: c_ulong, place: *mut MechanismInfo) -> CkRv {
    with_token(|_| {
        one_slot(slot)?;
        if kind != RSA_PKCS {
            return Err(Rv::MECHANISM_INVALID);
        }
        let bits = SIGNATURE as c_ulong * 8;
        let info = MechanismInfo {
            min_bits: bits,
            max_bits: bits,
            flags: MECHANISM_SIGNS,
        };
        // SAFETY: null or one structure of the caller's, as C_GetMechanismInfo wants.
        unsafe { put(place, info) }
    })
}

extern "C" fn open_session(
    slot: c_ulong,
    flags: c_ulong,
    _application: *const c_void,
    _notify: *const c_void,
    place: *mut c_ulong,
) -> CkRv {
    with_token(|token| {
        one_slot(slot)?;
        if place.is_null() {
            return Err(Rv::ARGUMENTS_BAD);
        }
        let session = token.open_session(flags)?;
        // SAFETY: one handle of the caller's, as C_OpenSession wants.
        unsafe { put(place, session) }
    })
}

extern "C" fn close_session(session: c_ulong) -> CkRv {
    with_token(|token| token.close_session(session))
}

extern "C" fn close_all_sessions(slot: c_ulong) -> CkRv {
    with_token(|token| {
        one_slot(slot)?;
        token.close_all_sessions();
        Ok(())
    })
}

extern "C" fn session_info(session: c_ulong, place: *mut SessionInfo) -> CkRv {
    with_token(|token| {
        let state = token.session_state(session)?;
        let info = SessionInfo {
            slot: SLOT,
            state: state.state,
            flags: state.flags,
            error: 0,
        };
        // SAFETY: null or one structure of the caller's, as C_GetSessionInfo wants.
        unsafe { put(place, info) }
    })
}

extern "C" fn login(session: c_ulong, user: c_ulong, pin: *const u8, length: c_ulong) -> CkRv {
    with_token(|token| {
        if pin.is_null() {
            return token.login(session, user, None);
        }
        // SAFETY: C_Login's PIN is `length` bytes.
        let pin = unsafe { many(pin, length) }?;
        // A PIN is text; what is none cannot be right, and the daemon need not hear it.
        let pin = std::str::from_utf8(pin).map_err(|_| Rv::PIN_INCORRECT)?;
        token.login(session, user, Some(Secret::new(pin.to_owned())))
    })
}

extern "C" fn logout(session: c_ulong) -> CkRv {
    with_token(|token| token.logout(session))
}

extern "C" fn attribute_value(
    session: c_ulong,
    object: c_ulong,
    template: *mut Attribute,
    count: c_ulong,
) -> CkRv {
    with_token(|token| {
        token.knows(session, object)?;
        if template.is_null() && count != 0 {
            return Err(Rv::ARGUMENTS_BAD);
        }
        let mut outcome = Ok(());
        for index in 0..count as usize {
            // SAFETY: C_GetAttributeValue's template has `count` entries.
            let place = unsafe { template.add(index) };
            // SAFETY: as above; nobody else has a reference to the entry.
            let wanted = unsafe { &mut *place };
            let answer = token
                .attribute(session, object, wanted.kind)
                .and_then(|value| {
                    // SAFETY: an entry's buffer is null or has `length` bytes, put_list's convention.
                    unsafe { put_list(&value, wanted.value.cast::<u8>(), &mut wanted.length) }
                });
            if let Err(rv) = answer {
                wanted.length = UNAVAILABLE;
                outcome = Err(rv);
            }
        }
        outcome
    })
}

extern "C" fn find_objects_init(
    session: c_ulong,
    template: *const Attribute,
    count: c_ulong,
) -> CkRv {
    with_token(|token| {
        // SAFETY: C_FindObjectsInit's template has `count` entries.
        let template = unsafe { many(template, count) }?;
        let mut wanted = Vec::with_capacity(template.len());
        for entry in template {
            // SAFETY: an entry's buffer has `length` bytes.
            let value = unsafe { many(entry.value.cast::<u8>().cast_const(), entry.length) }?;
            wanted.push((entry.kind, value.to_vec()));
        }
        token.find_begin(session, &wanted)
    })
}

extern "C" fn find_objects(
    session: c_ulong,
    place: *mut c_ulong,
    most: c_ulong,
    count: *mut c_ulong,
) -> CkRv {
    with_token(|token| {
        if place.is_null() || count.is_null() {
            return Err(Rv::ARGUMENTS_BAD);
        }
        let found = token.find_more(session, usize::try_from(most).unwrap_or(usize::MAX))?;
        let mut capacity = most;
        // SAFETY: C_FindObjects' buffer has room for `most` handles.
        unsafe { put_list(&found, place, &mut capacity) }?;
        // SAFETY: one number of the caller's.
        unsafe { put(count, found.len() as c_ulong) }
    })
}

extern "C" fn find_objects_final(session: c_ulong) -> CkRv {
    with_token(|token| token.find_end(session))
}

extern "C" fn sign_init(session: c_ulong, mechanism: *const Mechanism, key: c_ulong) -> CkRv {
    with_token(|token| {
        // SAFETY: null or one structure of the caller's, as C_SignInit wants.
        let Some(mechanism) = (unsafe { mechanism.as_ref() }) else {
            return Err(Rv::ARGUMENTS_BAD);
        };
        token.sign_begin(session, mechanism.kind, key)
    })
}

extern "C" fn sign(
    session: c_ulong,
    data: *const u8,
    length: c_ulong,
    place: *mut u8,
    capacity: *mut c_ulong,
) -> CkRv {
    with_token(|token| {
        token.signing(session)?;
        // SAFETY: the arguments of C_Sign are as put_list wants them; this asks for the room only
        // and leaves the signing begun.
        let room = unsafe { capacity.as_ref() }.ok_or(Rv::ARGUMENTS_BAD)?;
        if place.is_null() || *room < SIGNATURE as c_ulong {
            let rv = if place.is_null() {
                Ok(())
            } else {
                Err(Rv::BUFFER_TOO_SMALL)
            };
            // SAFETY: one number of the caller's.
            unsafe { put(capacity, SIGNATURE as c_ulong) }?;
            return rv;
        }
        // SAFETY: C_Sign's data is `length` bytes.
        let data = unsafe { many(data, length) }?;
        let signature = token.sign(session, data)?;
        // SAFETY: there is room for the signature, as just checked.
        unsafe { put_list(&signature, place, capacity) }
    })
}

extern "C" fn unsupported() -> CkRv {
    Rv::FUNCTION_NOT_SUPPORTED.0
}

/// The one symbol that programs look up.
// SAFETY: PKCS#11 modules export this name; programs load them apart from each other.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn C_GetFunctionList(place: *mut *const FunctionList) -> c_ulong {
    function_list(place)
}

/// `CK_FUNCTION_LIST`: a version and 68 functions in the standard's order.
#[repr(C)]
pub(crate) struct FunctionList {
    version: Version,
    functions: [*const (); 68],
}

// SAFETY: the only value is constant, and functions may be called from any thread.
unsafe impl Sync for FunctionList {}

/// `unsupported` takes no arguments and is called with some: on every platform this is built for,
/// C arguments are the caller's to clear away.
const NO: *const () = unsupported as *const ();

static FUNCTIONS: FunctionList = FunctionList {
    version: CRYPTOKI,
    functions: [
        initialize as *const (),
        finalize as *const (),
        info as *const (),
        function_list as *const (),
        slot_list as *const (),
        slot_info as *const (),
        token_info as *const (),
        mechanism_list as *const (),
        mechanism_info as *const (),
        NO, // C_InitToken
        NO, // C_InitPIN
        NO, // C_SetPIN
        open_session as *const (),
        close_session as *const (),
        close_all_sessions as *const (),
        session_info as *const (),
        NO, // C_GetOperationState
        NO, // C_SetOperationState
        login as *const (),
        logout as *const (),
        NO, // C_CreateObject
        NO, // C_CopyObject
        NO, // C_DestroyObject
        NO, // C_GetObjectSize
        attribute_value as *const (),
        NO, // C_SetAttributeValue
        find_objects_init as *const (),
        find_objects as *const (),
        find_objects_final as *const (),
        NO, // C_EncryptInit
        NO, // C_Encrypt
        NO, // C_EncryptUpdate
        NO, // C_EncryptFinal
        NO, // C_DecryptInit
        NO, // C_Decrypt
        NO, // C_DecryptUpdate
        NO, // C_DecryptFinal
        NO, // C_DigestInit
        NO, // C_Digest
        NO, // C_DigestUpdate
        NO, // C_DigestKey
        NO, // C_DigestFinal
        sign_init as *const (),
        sign as *const (),
        NO, // C_SignUpdate
        NO, // C_SignFinal
        NO, // C_SignRecoverInit
        NO, // C_SignRecover
        NO, // C_VerifyInit
        NO, // C_Verify
        NO, // C_VerifyUpdate
        NO, // C_VerifyFinal
        NO, // C_VerifyRecoverInit
        NO, // C_VerifyRecover
        NO, // C_DigestEncryptUpdate
        NO, // C_DecryptDigestUpdate
        NO, // C_SignEncryptUpdate
        NO, // C_DecryptVerifyUpdate
        NO, // C_GenerateKey
        NO, // C_GenerateKeyPair
        NO, // C_WrapKey
        NO, // C_UnwrapKey
        NO, // C_DeriveKey
        NO, // C_SeedRandom
        NO, // C_GenerateRandom
        NO, // C_GetFunctionStatus
        NO, // C_CancelFunction
        NO, // C_WaitForSlotEvent
    ],
};

#[derive(Clone, Copy)]
#[repr(C)]
struct Version {
    major: u8,
    minor: u8,
}

#[repr(C)]
struct InitializeArguments {
    mutexes: [*const c_void; 4],
    flags: c_ulong,
    reserved: *const c_void,
}

#[repr(C)]
struct Info {
    cryptoki: Version,
    manufacturer: [u8; 32],
    flags: c_ulong,
    description: [u8; 32],
    version: Version,
}

#[repr(C)]
struct SlotInfo {
    description: [u8; 64],
    manufacturer: [u8; 32],
    flags: c_ulong,
    hardware: Version,
    firmware: Version,
}

#[repr(C)]
struct TokenInfo {
    label: [u8; 32],
    manufacturer: [u8; 32],
    model: [u8; 16],
    serial: [u8; 16],
    flags: c_ulong,
    max_sessions: c_ulong,
    sessions: c_ulong,
    max_rw_sessions: c_ulong,
    rw_sessions: c_ulong,
    max_pin: c_ulong,
    min_pin: c_ulong,
    memory: [c_ulong; 4],
    hardware: Version,
    firmware: Version,
    time: [u8; 16],
}

#[repr(C)]
struct SessionInfo {
    slot: c_ulong,
    state: c_ulong,
    flags: c_ulong,
    error: c_ulong,
}

#[repr(C)]
struct Attribute {
    kind: c_ulong,
    value: *mut c_void,
    length: c_ulong,
}

#[repr(C)]
struct Mechanism {
    kind: c_ulong,
    parameter: *const c_void,
    length: c_ulong,
}

#[repr(C)]
struct MechanismInfo {
    min_bits: c_ulong,
    max_bits: c_ulong,
    flags: c_ulong,
}

const SLOT: c_ulong = 0;
const CRYPTOKI: Version = Version {
    major: 2,
    minor: 40,
};
const VERSION: Version = Version { major: 0, minor: 1 };
const OS_LOCKING_OK: c_ulong = 2;
const TOKEN_PRESENT: c_ulong = 1;
const REMOVABLE_DEVICE: c_ulong = 2;
const MECHANISM_SIGNS: c_ulong = 0x800;
const EFFECTIVELY_INFINITE: c_ulong = 0;
/// `CK_UNAVAILABLE_INFORMATION`.
const UNAVAILABLE: c_ulong = !0;
