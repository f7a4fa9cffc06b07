//! What the login helper needs of the kernel.
#![allow(
    unsafe_code,
    reason = "prctl, setrlimit and inherited descriptors have no safe form"
)]

use std::{
    io,
    os::{
        fd::{FromRawFd, OwnedFd},
        unix::net::UnixStream,
    },
};

use super::{Ids, SOCKET_FD};

/// Takes over the socket that the daemon left open on [`SOCKET_FD`]. Once, at the start of the
/// helper, before anything else opens a file.
pub fn inherited_socket() -> io::Result<UnixStream> {
    // SAFETY: fcntl with F_GETFD reads a flag; on a closed descriptor it fails.
    if unsafe { libc::fcntl(SOCKET_FD, libc::F_GETFD) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is open and this program owns no other that could be it: the daemon
    // put it there, and nothing has been opened since the start.
    let descriptor = unsafe { OwnedFd::from_raw_fd(SOCKET_FD) };
    Ok(UnixStream::from(descriptor))
}

/// Becomes the user for good; a process that is not root is the user already. The kernel lets no
/// process of that user look into one that was root.
pub fn become_user(ids: &Ids) -> io::Result<()> {
    // SAFETY: geteuid has no arguments and cannot fail.
    if unsafe { libc::geteuid() } != 0 {
        return Ok(());
    }
    if ids.uid == 0 {
        return Err(io::Error::other("nobody logs in as root"));
    }
    let Ids { uid, gid, groups } = ids;
    // SAFETY: `groups` is a list of its own length, only read.
    done(unsafe { libc::setgroups(groups.len(), groups.as_ptr()) })?;
    // SAFETY: setresgid takes three group ids.
    done(unsafe { libc::setresgid(*gid, *gid, *gid) })?;
    // SAFETY: setresuid takes three user ids.
    done(unsafe { libc::setresuid(*uid, *uid, *uid) })
}

/// Gives up what a login does not need: core files, being traced by the user's other processes,
/// new privileges, starting programs, looking into other processes.
pub fn confine() -> io::Result<()> {
    let none = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `none` is a limit, only read.
    done(unsafe { libc::setrlimit(libc::RLIMIT_CORE, &none) })?;
    // SAFETY: these options of prctl take numbers only.
    done(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) })?;
    // SAFETY: as above.
    done(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) })?;
    let filter = forbidding(&FORBIDDEN);
    let program = libc::sock_fprog {
        len: filter.len() as u16,
        filter: filter.as_ptr().cast_mut(),
    };
    // SAFETY: `program` describes `filter`, which the kernel copies.
    done(unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &program) })
}

fn done(answer: libc::c_int) -> io::Result<()> {
    if answer < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// A seccomp filter: these calls fail with EPERM, calls of another architecture end the process.
/// A list of what is allowed would have to follow every change of libkrb5, of the resolver and of
/// the caches it may be configured for.
fn forbidding(calls: &[libc::c_long]) -> Vec<libc::sock_filter> {
    let load = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    let equal = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    let at_least = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
    let answer = (libc::BPF_RET | libc::BPF_K) as u16;
    let step = |code, k, jt, jf| libc::sock_filter { code, k, jt, jf };
    let mut filter = vec![
        step(load, ARCHITECTURE_AT, 0, 0),
        step(equal, ARCHITECTURE, 1, 0),
        step(answer, libc::SECCOMP_RET_KILL_PROCESS, 0, 0),
        step(load, CALL_AT, 0, 0),
        // The x32 twins of the calls have numbers from here on.
        step(at_least, X32, 0, 1),
        step(answer, libc::SECCOMP_RET_KILL_PROCESS, 0, 0),
    ];
    for &call in calls {
        filter.push(step(equal, call as u32, 0, 1));
        filter.push(step(
            answer,
            libc::SECCOMP_RET_ERRNO | libc::EPERM as u32,
            0,
            0,
        ));
    }
    filter.push(step(answer, libc::SECCOMP_RET_ALLOW, 0, 0));
    filter
}

const FORBIDDEN: [libc::c_long; 7] = [
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_bpf,
    libc::SYS_userfaultfd,
];

/// Offsets in `seccomp_data`.
const CALL_AT: u32 = 0;
const ARCHITECTURE_AT: u32 = 4;
const X32: u32 = 0x4000_0000;

/// `AUDIT_ARCH_X86_64`.
#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xc000_003e;
/// `AUDIT_ARCH_AARCH64`.
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xc000_00b7;
