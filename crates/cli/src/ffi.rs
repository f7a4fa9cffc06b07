//! Typing what must not be seen, in a process that others cannot look into.

#![allow(
    unsafe_code,
    reason = "termios and prctl have no safe interface in the standard library"
)]

use std::{
    io,
    mem::MaybeUninit,
    os::fd::{AsFd, AsRawFd, BorrowedFd},
};

/// No core dump, no debugger of the same user: PINs and passwords pass through here.
pub(crate) fn harden() -> io::Result<()> {
    // SAFETY: PR_SET_DUMPABLE takes one integer.
    let result = unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Who runs this: the uid that the daemon sees.
pub(crate) fn uid() -> u32 {
    // SAFETY: geteuid takes nothing and cannot fail.
    unsafe { libc::geteuid() }
}

/// A terminal that shows nothing and passes each key on at once; as before when dropped.
pub(crate) struct Hidden<'a> {
    terminal: BorrowedFd<'a>,
    before: libc::termios,
}

impl<'a> Hidden<'a> {
    pub(crate) fn new(terminal: &'a impl AsFd) -> io::Result<Self> {
        let terminal = terminal.as_fd();
        let mut before = MaybeUninit::<libc::termios>::uninit();
        // SAFETY: the descriptor is open, the structure is writable.
        let result = unsafe { libc::tcgetattr(terminal.as_raw_fd(), before.as_mut_ptr()) };
        if result != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: tcgetattr succeeded and so has filled the whole structure.
        let before = unsafe { before.assume_init() };
        let mut hidden = before;
        // Without signals, because one would leave the terminal mute; the reader sees Ctrl-C itself.
        hidden.c_lflag &= !(libc::ECHO | libc::ICANON | libc::ISIG);
        set(terminal, &hidden)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Hidden<'_> {
    fn drop(&mut self) {
        // The terminal may be gone; then there is nothing to mend.
        let _ = set(self.terminal, &self.before);
    }
}

fn set(terminal: BorrowedFd<'_>, mode: &libc::termios) -> io::Result<()> {
    // SAFETY: the descriptor is open, the structure is whole.
    let result = unsafe { libc::tcsetattr(terminal.as_raw_fd(), libc::TCSAFLUSH, mode) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
