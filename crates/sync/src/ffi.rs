//! Calls to the system that make the process keep to itself, and a clock that does not sleep.

#![allow(
    unsafe_code,
    reason = "prctl, setrlimit, the environment and clock_gettime, gethostname, geteuid"
)]

use std::{io, time::Duration};

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

/// Time since the machine was started, its sleep included.
pub(crate) fn since_start() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the structure outlives the call.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &mut time) };
    match result {
        0 => Duration::new(time.tv_sec as u64, time.tv_nsec as u32),
        // Every kernel that can be met has this clock; without it every lease is over.
        _ => Duration::MAX,
    }
}

/// The machine's name; empty where it has none that can be read.
pub(crate) fn host_name() -> String {
    let mut name = [0_u8; 256];
    // SAFETY: the buffer is as long as is said, and outlives the call.
    let result = unsafe { libc::gethostname(name.as_mut_ptr().cast(), name.len() - 1) };
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
    match result {
        0 => String::from_utf8_lossy(name).into_owned(),
        _ => String::new(),
    }
}

/// The user that this process runs as.
pub(crate) fn user() -> u32 {
    // SAFETY: geteuid cannot fail and takes no pointer.
    unsafe { libc::geteuid() }
}

fn check(result: libc::c_int) -> io::Result<()> {
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
