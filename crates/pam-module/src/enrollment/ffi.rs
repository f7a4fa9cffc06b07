//! Starting a program as the person, inside somebody else's program, and letting that program be.

#![allow(
    unsafe_code,
    reason = "ids, groups, signals and process handles have no safe interface in the standard library"
)]

use std::{
    ffi::{CString, c_int},
    io,
    mem::MaybeUninit,
    os::{
        fd::{AsRawFd, FromRawFd, OwnedFd},
        unix::{net::UnixStream, process::CommandExt},
    },
    process::{Child, Command, Stdio},
    ptr,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use crate::{ffi::guard, flow::Code};

/// Whom a program runs as.
pub(crate) struct Account {
    pub(crate) name: CString,
    pub(crate) uid: libc::uid_t,
    pub(crate) gid: libc::gid_t,
}

/// A program that runs.
pub(crate) struct Started {
    child: Child,
    handle: OwnedFd,
}

impl Started {
    /// Starts `latchkey enroll` as the account, with nothing of the host program's but one end of a
    /// socket pair as its standard input; the other end is the answer.
    pub(super) fn new(
        program: &str,
        account: &Account,
        ccache: Option<&str>,
    ) -> io::Result<(Self, UnixStream)> {
        let (ours, theirs) = UnixStream::pair()?;
        let mut command = Command::new(program);
        command
            .args(["enroll", "--at-sign-in"])
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("LANG", "C.UTF-8")
            .envs(ccache.map(|ccache| ("KRB5CCNAME", ccache)))
            .current_dir("/")
            .stdin(OwnedFd::from(theirs))
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        become_account(&mut command, account)?;
        let mut child = command.spawn()?;
        // SAFETY: pidfd_open takes a process id, which is our child's until it is waited for.
        let raw = unsafe { libc::syscall(libc::SYS_pidfd_open, child.id() as c_int, 0) };
        if raw < 0 {
            let error = io::Error::last_os_error();
            // It reads the end of its input, and ends.
            drop(ours);
            let _ = child.wait();
            return Err(error);
        }
        // SAFETY: the kernel has just given us this descriptor, and nobody else owns it.
        let handle = unsafe { OwnedFd::from_raw_fd(raw as c_int) };
        Ok((Self { child, handle }, ours))
    }

    /// It has said its last, or will not. By its handle and not by its number: a host program that
    /// waits for every child may have freed the number.
    pub(super) fn end(mut self) {
        // SAFETY: the handle is open; no information goes with the signal.
        unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                self.handle.as_raw_fd(),
                libc::SIGKILL,
                ptr::null::<libc::siginfo_t>(),
                0,
            )
        };
        let _ = self.child.wait();
    }
}

fn check(result: c_int) -> io::Result<()> {
    match result {
        0.. => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Has `command` run with the account's ids and groups, and without the descriptors and the file
/// mode mask of this program.
fn become_account(command: &mut Command, account: &Account) -> io::Result<()> {
    let mut groups: Vec<libc::gid_t> = vec![0; 65_536];
    let mut count = groups.len() as c_int;
    let (uid, gid) = (account.uid, account.gid);
    // SAFETY: the name is a C string; `groups` has room for `count` entries.
    check(unsafe {
        libc::getgrouplist(account.name.as_ptr(), gid, groups.as_mut_ptr(), &mut count)
    })?;
    groups.truncate(count.max(0) as usize);
    let change = move || {
        // SAFETY: marks descriptors from 3 up; none is closed before the program starts.
        check(unsafe {
            libc::syscall(
                libc::SYS_close_range,
                3,
                c_int::MAX,
                libc::CLOSE_RANGE_CLOEXEC,
            ) as c_int
        })?;
        // SAFETY: umask takes any mode and cannot fail.
        unsafe { libc::umask(0o077) };
        // SAFETY: geteuid has no arguments and cannot fail.
        if unsafe { libc::geteuid() } != 0 {
            // A host program without root's rights can be nobody else; it must be this account.
            // SAFETY: getuid has no arguments and cannot fail.
            return match unsafe { libc::getuid() } == uid {
                true => Ok(()),
                false => Err(io::Error::from_raw_os_error(libc::EPERM)),
            };
        }
        // SAFETY: `groups` is a list of its own length.
        check(unsafe { libc::setgroups(groups.len(), groups.as_ptr()) })?;
        // SAFETY: setresgid takes three group ids.
        check(unsafe { libc::setresgid(gid, gid, gid) })?;
        // SAFETY: setresuid takes three user ids.
        check(unsafe { libc::setresuid(uid, uid, uid) })
    };
    // SAFETY: the closure runs between fork and exec and makes system calls only: no allocation,
    // no lock. `io::Error` of a number allocates nothing either.
    unsafe { command.pre_exec(change) };
    Ok(())
}

/// While it lives, Ctrl-C breaks the enrollment off and not the host program, a program that is gone
/// is an error and no signal, and the host's alarm clock (`login` has one for sign-ins) stands still.
/// A clock of our own breaks off what lasts too long: the conversation waits in the host's code.
pub(super) struct Calm {
    interrupt: Option<libc::sigaction>,
    pipe: Option<libc::sigaction>,
    alarm: Option<libc::sigaction>,
    /// What was left on the host's clock.
    left: libc::c_uint,
}

impl Calm {
    pub(super) fn begin(longest: Duration) -> Self {
        INTERRUPTED.store(false, Ordering::SeqCst);
        let handler = note as extern "C" fn(c_int) as libc::sighandler_t;
        // The host's clock stops before its handler is replaced, which may be one that ends the host.
        let left = set_alarm(0);
        let alarm = set(libc::SIGALRM, handler);
        if alarm.is_some() {
            set_alarm(longest.as_secs() as libc::c_uint);
        }
        Self {
            interrupt: replace(libc::SIGINT, handler),
            pipe: replace(libc::SIGPIPE, libc::SIG_IGN),
            alarm,
            left,
        }
    }
}

impl Drop for Calm {
    fn drop(&mut self) {
        set_alarm(0);
        for (signal, before) in [
            (libc::SIGINT, self.interrupt),
            (libc::SIGPIPE, self.pipe),
            (libc::SIGALRM, self.alarm),
        ] {
            if let Some(before) = before {
                // SAFETY: `before` is what this very call gave for the signal.
                unsafe { libc::sigaction(signal, &before, ptr::null_mut()) };
            }
        }
        if self.left > 0 {
            set_alarm(self.left);
        }
    }
}

/// Sets the process's alarm clock, or stops it; answers what was left on it.
fn set_alarm(seconds: libc::c_uint) -> libc::c_uint {
    // SAFETY: alarm takes any number of seconds and cannot fail.
    unsafe { libc::alarm(seconds) }
}

/// Sets the handler of a signal, unless the host program has one of its own; answers what was there.
fn replace(signal: c_int, handler: libc::sighandler_t) -> Option<libc::sigaction> {
    let mut before = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: `before` is writable; nothing is set.
    if unsafe { libc::sigaction(signal, ptr::null(), before.as_mut_ptr()) } != 0 {
        return None;
    }
    // SAFETY: the call has filled it.
    let before = unsafe { before.assume_init() };
    match [libc::SIG_DFL, libc::SIG_IGN].contains(&before.sa_sigaction) {
        true => set(signal, handler),
        false => None,
    }
}

/// Sets the handler of a signal; answers what was there.
fn set(signal: c_int, handler: libc::sighandler_t) -> Option<libc::sigaction> {
    let mut before = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: all-zero is a value of this plain structure: no flags, so that calls are interrupted.
    let mut ours: libc::sigaction = unsafe { std::mem::zeroed() };
    ours.sa_sigaction = handler;
    // SAFETY: `ours` is whole, and its handler does nothing but store a flag.
    let answer = unsafe { libc::sigaction(signal, &ours, before.as_mut_ptr()) };
    // SAFETY: where the call succeeded it has filled it, and zeros are a value of it too.
    let before = unsafe { before.assume_init() };
    (answer == 0).then_some(before)
}

/// Did the person break it off, or was it too long?
pub(super) fn is_interrupted() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}

extern "C" fn note(_: c_int) {
    guard(|| {
        INTERRUPTED.store(true, Ordering::SeqCst);
        Code::Success
    });
}

static INTERRUPTED: AtomicBool = AtomicBool::new(false);
