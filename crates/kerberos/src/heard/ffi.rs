//! The callbacks by which libkrb5 tells a [`Heard`].
#![allow(unsafe_code, reason = "libkrb5 is a C library")]

use std::{
    ffi::{CStr, c_char, c_void},
    slice,
};

use super::Heard;
use crate::ffi::{RawContext, RawData};

impl Heard {
    /// Listens to a context for as long as it lives.
    ///
    /// # Safety
    /// `context` is alive, and `self` stays where it is until the context is freed.
    pub(crate) unsafe fn listen(&self, context: *mut RawContext) {
        let data = (&raw const *self).cast_mut().cast();
        // SAFETY: the caller promises that `data` outlives the context. A library built without
        // tracing answers an error and never calls.
        unsafe { krb5_set_trace_callback(context, traced, data) };
        // SAFETY: the same promise.
        unsafe { krb5_set_kdc_recv_hook(context, answered, data) };
    }
}

extern "C" fn traced(_: *mut RawContext, info: *const TraceInfo, data: *mut c_void) {
    // SAFETY: the library passes null when it lets go of the callback, else a live structure.
    let Some(info) = (unsafe { info.as_ref() }) else {
        return;
    };
    if info.message.is_null() {
        return;
    }
    // SAFETY: a traced message is a text that lives as long as this call.
    let line = unsafe { CStr::from_ptr(info.message) }.to_string_lossy();
    // SAFETY: `data` is what the `Library` keeps in a box, whose context is making this call.
    if let Some(heard) = unsafe { data.cast::<Heard>().as_ref() } {
        heard.traced(&line);
    }
}

/// Answers the code that it got, and sets no other answer: the library goes on as if not asked.
extern "C" fn answered(
    _: *mut RawContext,
    data: *mut c_void,
    code: i32,
    _realm: *const RawData,
    _message: *const RawData,
    reply: *const RawData,
    _other_reply: *mut *mut RawData,
) -> i32 {
    if code != 0 {
        return code;
    }
    // SAFETY: with code 0 the reply is a live structure.
    let Some(reply) = (unsafe { reply.as_ref() }) else {
        return code;
    };
    if reply.data.is_null() {
        return code;
    }
    // SAFETY: the buffer has `length` bytes and lives as long as this call.
    let bytes = unsafe { slice::from_raw_parts(reply.data.cast::<u8>(), reply.length as usize) };
    // SAFETY: `data` is what the `Library` keeps in a box, whose context is making this call.
    if let Some(heard) = unsafe { data.cast::<Heard>().as_ref() } {
        heard.answered(bytes);
    }
    code
}

#[repr(C)]
struct TraceInfo {
    message: *const c_char,
}

type TraceCallback = extern "C" fn(*mut RawContext, *const TraceInfo, *mut c_void);

type ReceiveHook = extern "C" fn(
    *mut RawContext,
    *mut c_void,
    i32,
    *const RawData,
    *const RawData,
    *const RawData,
    *mut *mut RawData,
) -> i32;

#[link(name = "krb5")]
unsafe extern "C" {
    fn krb5_set_trace_callback(
        context: *mut RawContext,
        callback: TraceCallback,
        data: *mut c_void,
    ) -> i32;
    fn krb5_set_kdc_recv_hook(context: *mut RawContext, hook: ReceiveHook, data: *mut c_void);
}
