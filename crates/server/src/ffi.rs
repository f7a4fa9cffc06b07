//! The process keeps its memory to itself: no core file, no debugger of the same user.
#![allow(unsafe_code, reason = "two calls into libc")]

use std::io;

/// Switches core files off, for this process and what it starts.
pub(crate) fn refuse_core_dumps() -> io::Result<()> {
    let none = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `none` is a valid rlimit that outlives the call.
    let limited = unsafe { libc::setrlimit(libc::RLIMIT_CORE, &none) };
    if limited != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: PR_SET_DUMPABLE takes one integer and touches no memory of ours.
    let hidden = unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) };
    if hidden != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
