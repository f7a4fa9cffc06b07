//! Another user and another process, for tests of who may do what.

#![allow(
    unsafe_code,
    reason = "credentials of one thread and fork have no safe interface"
)]

/// Runs `act` on a thread of its own that is the user `uid`; the rest of the process stays root.
pub(crate) fn as_user<T: Send>(uid: u32, act: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(move || {
            // SAFETY: the raw system call, unlike libc's function, changes this thread alone.
            let result = unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) };
            assert_eq!(result, 0, "these tests run as root");
            act()
        });
        thread.join().unwrap()
    })
}

/// Runs `act` in a child process; is what it answers true?
pub(crate) fn in_another_process(act: impl FnOnce() -> bool) -> bool {
    // SAFETY: the child goes on with this thread alone; glibc leaves its allocator usable there,
    // and `act` takes no lock that another thread of the test may hold.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "no child");
    if child == 0 {
        let code = i32::from(!act());
        // SAFETY: ends the child at once, without the parent's exit handlers.
        unsafe { libc::_exit(code) };
    }
    let mut status = 0;
    // SAFETY: `child` is an unwaited child of ours, `status` is writable.
    let waited = unsafe { libc::waitpid(child, &mut status, 0) };
    assert_eq!(waited, child);
    libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0
}
