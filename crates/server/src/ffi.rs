//! The process keeps its memory to itself: no core file, no debugger of the same user. And it keeps no
//! more of it than it needs.
#![allow(unsafe_code, reason = "three calls into libc")]

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

/// Has the C libraries, which are OpenSSL and SQLite, share what any of their threads has freed. They
/// allocate little at a time, so that their threads seldom wait for each other.
pub(crate) fn share_freed_memory() {
    // SAFETY: mallopt takes two integers. Where it knows neither, it says so and changes nothing.
    unsafe { libc::mallopt(libc::M_ARENA_MAX, 2) };
}
