//! Three calls to the system that make the process keep to itself.

#![allow(unsafe_code, reason = "prctl, setrlimit and the environment")]

use std::io;

/// No core file, and no reading of memory by others of the same user.
pub(crate) fn forbid_dumps() -> io::Result<()> {
    let none = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the structure outlives the call.
    check(unsafe { libc::setrlimit(libc::RLIMIT_CORE, &none) })?;
    // SAFETY: PR_SET_DUMPABLE takes one number and no pointer.
    check(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0) })
}

/// New files are readable by their owner only.
pub(crate) fn keep_files_private() {
    // SAFETY: umask cannot fail and takes no pointer.
    unsafe { libc::umask(0o077) };
}

/// Sets a variable of the environment. To be called before any thread is started.
pub(crate) fn set_variable(name: &str, value: &str) {
    // SAFETY: no other thread exists that could read the environment meanwhile: main calls this
    // before it starts the runtime.
    unsafe { std::env::set_var(name, value) };
}

fn check(result: libc::c_int) -> io::Result<()> {
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
