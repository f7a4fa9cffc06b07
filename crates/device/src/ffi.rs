//! What the system offers in C alone: process hardening, peers, accounts, SSSD, and what a child
//! inherits.

#![allow(
    unsafe_code,
    reason = "system calls and libraries that have no safe interface; nothing here decides anything"
)]

use std::{
    ffi::{CStr, CString, OsStr, c_char, c_int, c_void},
    io,
    os::{
        fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
        unix::process::CommandExt,
    },
    process::Command,
    ptr,
};

use tokio::io::unix::AsyncFd;

use crate::accounts::Account;

fn check(result: c_int) -> io::Result<c_int> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// No core dumps, no debugger of the same user, and files that only their owner may open.
pub(crate) fn harden() -> io::Result<()> {
    // SAFETY: umask takes any mode and cannot fail.
    unsafe { libc::umask(0o077) };
    let none = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `none` is a whole rlimit that outlives the call.
    check(unsafe { libc::setrlimit(libc::RLIMIT_CORE, &none) })?;
    // SAFETY: PR_SET_DUMPABLE takes one integer.
    check(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0) })?;
    Ok(())
}

/// Sets a variable of this process's environment.
///
/// To be called before the first thread starts; the binary does so first of all.
pub(crate) fn set_variable(name: &str, value: &OsStr) {
    // SAFETY: the one caller is `main` before it starts a thread, so nobody reads the environment.
    unsafe { std::env::set_var(name, value) }
}

/// A handle on the process at the other end of a connected Unix socket: from the kernel's own
/// record where it keeps one, else by `pid`.
pub(crate) fn peer_pidfd(socket: BorrowedFd<'_>, pid: i32) -> io::Result<OwnedFd> {
    let mut raw: RawFd = -1;
    let mut length = size_of::<RawFd>() as libc::socklen_t;
    // SAFETY: the socket is open; `raw` and `length` are writable and of the sizes told.
    let asked = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_PEERPIDFD,
            ptr::from_mut(&mut raw).cast::<c_void>(),
            &mut length,
        )
    };
    if asked != 0 {
        return pidfd(pid);
    }
    // SAFETY: the kernel has just given us this descriptor, and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// A handle on whatever process has that id now.
pub(crate) fn pidfd(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: pidfd_open takes a process id and flags.
    let opened = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let raw = check(opened as c_int)?;
    // SAFETY: the kernel has just given us this descriptor, and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// A descriptor that can be waited for.
pub(crate) fn awaited(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an owned descriptor stays open, and the same one, until it is dropped.
    Ok(unsafe { AsyncFd::register(descriptor) }?)
}

/// Has the process behind the handle ended?
pub(crate) fn has_ended(pidfd: BorrowedFd<'_>) -> bool {
    let mut poll = libc::pollfd {
        fd: pidfd.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: one writable pollfd, and no waiting.
    let ready = unsafe { libc::poll(&mut poll, 1, 0) };
    ready != 0
}

/// The account of that name, as the name service tells.
pub(crate) fn account_by_name(name: &CStr) -> io::Result<Option<Account>> {
    account(|entry, buffer, length, found| {
        // SAFETY: `account` hands over a writable entry, a buffer of `length` and a result slot.
        unsafe { libc::getpwnam_r(name.as_ptr(), entry, buffer, length, found) }
    })
}

/// The account of that uid, as the name service tells.
pub(crate) fn account_by_uid(uid: u32) -> io::Result<Option<Account>> {
    account(|entry, buffer, length, found| {
        // SAFETY: `account` hands over a writable entry, a buffer of `length` and a result slot.
        unsafe { libc::getpwuid_r(uid, entry, buffer, length, found) }
    })
}

type Lookup<'a> =
    &'a dyn Fn(*mut libc::passwd, *mut c_char, usize, *mut *mut libc::passwd) -> c_int;

fn account(
    lookup: impl Fn(*mut libc::passwd, *mut c_char, usize, *mut *mut libc::passwd) -> c_int,
) -> io::Result<Option<Account>> {
    let lookup: Lookup<'_> = &lookup;
    // SAFETY: a passwd of null pointers and zeros is a valid value; it is only written to.
    let mut entry: libc::passwd = unsafe { std::mem::zeroed() };
    // What is freed is wiped, all of it: most entries are small.
    let mut buffer = vec![0; 1024];
    let mut found = ptr::null_mut();
    let mut code = lookup(&mut entry, buffer.as_mut_ptr(), buffer.len(), &mut found);
    while code == libc::ERANGE && buffer.len() < 1024 * 1024 {
        buffer = vec![0; 8 * buffer.len()];
        code = lookup(&mut entry, buffer.as_mut_ptr(), buffer.len(), &mut found);
    }
    if found.is_null() {
        return match code {
            0 | libc::ENOENT | libc::ESRCH => Ok(None),
            code => Err(io::Error::from_raw_os_error(code)),
        };
    }
    // SAFETY: the lookup succeeded, so the name is a C string inside `buffer`, which is alive.
    let name = unsafe { CStr::from_ptr(entry.pw_name) };
    Ok(Some(Account {
        name: name.to_string_lossy().into_owned(),
        uid: entry.pw_uid,
        gid: entry.pw_gid,
    }))
}

/// Every group of an account: its primary one and those it is listed in.
pub(crate) fn groups(account: &Account) -> io::Result<Vec<libc::gid_t>> {
    let name = CString::new(account.name.as_str())?;
    // As many as most are in; the kernel takes no more than the second.
    for room in [64, 65_536] {
        let mut groups = vec![0; room];
        let mut count = room as c_int;
        // SAFETY: the name is a C string; `groups` has room for `count` entries.
        let result = unsafe {
            libc::getgrouplist(name.as_ptr(), account.gid, groups.as_mut_ptr(), &mut count)
        };
        if result >= 0 {
            groups.truncate(count.max(0) as usize);
            return Ok(groups);
        }
    }
    Err(io::Error::other("the account is in too many groups"))
}

/// Has `command` run with `channel` as descriptor 3, which its end closes.
pub(crate) fn give_channel(command: &mut Command, channel: OwnedFd) {
    let give = move || {
        // SAFETY: the descriptor is open in the child; 3 becomes its copy without close-on-exec.
        check(unsafe { libc::dup2(channel.as_raw_fd(), CHANNEL) })?;
        Ok(())
    };
    // SAFETY: the closure runs between fork and exec and makes one system call: no allocation, no
    // lock. `io::Error::last_os_error` allocates nothing either.
    unsafe { command.pre_exec(give) };
}

/// Moves a descriptor out of the low numbers, so that giving [`CHANNEL`] to a child never
/// hits one that the standard library uses between fork and exec.
pub(crate) fn move_up(descriptor: &OwnedFd) -> io::Result<OwnedFd> {
    // SAFETY: the descriptor is open; the new one is the lowest free from 10 up.
    let raw = check(unsafe { libc::fcntl(descriptor.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 10) })?;
    // SAFETY: the kernel has just given us this descriptor, and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// SSSD's client library: `int sss_nss_getsidbyuid(uint32_t, char **, enum sss_id_type *)`.
type SidByUid = unsafe extern "C" fn(u32, *mut *mut c_char, *mut c_int) -> c_int;

/// SSSD's client library: `int sss_nss_getsidbyname(const char *, char **, enum sss_id_type *)`.
type SidByName = unsafe extern "C" fn(*const c_char, *mut *mut c_char, *mut c_int) -> c_int;

/// The SID of a uid as SSSD tells. `Unsupported`: SSSD's client library is not installed.
pub(crate) fn sssd_sid_by_uid(uid: u32) -> io::Result<Option<String>> {
    let symbol = sssd_function(c"sss_nss_getsidbyuid")?;
    // SAFETY: the library's header gives this symbol this type.
    let sid_by_uid = unsafe { std::mem::transmute::<*mut c_void, SidByUid>(symbol) };
    sssd_sid(|text, kind| {
        // SAFETY: both out-pointers are writable.
        unsafe { sid_by_uid(uid, text, kind) }
    })
}

/// The SID of an account's name as SSSD tells. `Unsupported`: as above.
pub(crate) fn sssd_sid_by_name(name: &CStr) -> io::Result<Option<String>> {
    let symbol = sssd_function(c"sss_nss_getsidbyname")?;
    // SAFETY: the library's header gives this symbol this type.
    let sid_by_name = unsafe { std::mem::transmute::<*mut c_void, SidByName>(symbol) };
    sssd_sid(|text, kind| {
        // SAFETY: the name is a C string, both out-pointers are writable.
        unsafe { sid_by_name(name.as_ptr(), text, kind) }
    })
}

fn sssd_function(name: &CStr) -> io::Result<*mut c_void> {
    // SAFETY: a constant C string; the library runs no code of ours when it is loaded. It stays
    // loaded: the function's address must remain good, and loading again only counts.
    let library = unsafe { libc::dlopen(c"libsss_nss_idmap.so.0".as_ptr(), libc::RTLD_NOW) };
    if library.is_null() {
        return Err(io::Error::from(io::ErrorKind::Unsupported));
    }
    // SAFETY: the handle is good, the name is a C string.
    let symbol = unsafe { libc::dlsym(library, name.as_ptr()) };
    match symbol.is_null() {
        true => Err(io::Error::from(io::ErrorKind::Unsupported)),
        false => Ok(symbol),
    }
}

/// What a lookup of SSSD's leaves in a text that it hands over and a kind.
fn sssd_sid(lookup: impl Fn(*mut *mut c_char, *mut c_int) -> c_int) -> io::Result<Option<String>> {
    let (mut text, mut kind) = (ptr::null_mut(), 0);
    match lookup(&mut text, &mut kind) {
        0 if !text.is_null() => {}
        libc::ENOENT => return Ok(None),
        code => return Err(io::Error::from_raw_os_error(code)),
    }
    // SAFETY: a success leaves a C string there.
    let sid = unsafe { CStr::from_ptr(text) }
        .to_string_lossy()
        .into_owned();
    // SAFETY: the library hands the string over, allocated by malloc.
    unsafe { libc::free(text.cast::<c_void>()) };
    // The id of a group of that number is no account's.
    Ok((kind == SSS_ID_TYPE_UID || kind == SSS_ID_TYPE_BOTH).then_some(sid))
}

/// The descriptor on which a child finds its channel to the daemon.
pub(crate) const CHANNEL: RawFd = 3;

/// `SO_PEERPIDFD` (Linux 6.5).
const SO_PEERPIDFD: c_int = 77;

/// `enum sss_id_type` of SSSD's header.
const SSS_ID_TYPE_UID: c_int = 1;
const SSS_ID_TYPE_BOTH: c_int = 3;
