//! Memory for a PIN: neither swapped, dumped nor inherited, and wiped; and how long the machine slept.

#![allow(unsafe_code, reason = "mmap, mlock and clocks have no safe interface")]

use std::{io, ptr, slice, time::Duration};

/// Some bytes in a page of their own.
pub(crate) struct Locked {
    page: *mut u8,
    length: usize,
}

// SAFETY: the page belongs to this value alone, and is only read once it is made.
unsafe impl Send for Locked {}
// SAFETY: as above.
unsafe impl Sync for Locked {}

impl Locked {
    /// A copy of `bytes`; the caller wipes its own.
    pub(super) fn new(bytes: &[u8]) -> io::Result<Self> {
        if bytes.len() > PAGE {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        // SAFETY: a new mapping of one page at an address of the kernel's choice.
        let page = unsafe {
            libc::mmap(
                ptr::null_mut(),
                PAGE,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if page == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let locked = Self {
            page: page.cast(),
            length: bytes.len(),
        };
        // SAFETY: the page is mapped.
        if unsafe { libc::mlock(page, PAGE) } != 0 {
            return Err(io::Error::last_os_error());
        }
        for advice in [libc::MADV_DONTDUMP, libc::MADV_WIPEONFORK] {
            // SAFETY: the page is mapped, and these change nothing in it.
            if unsafe { libc::madvise(page, PAGE, advice) } != 0 {
                return Err(io::Error::last_os_error());
            }
        }
        // SAFETY: the page has room for them, and nobody else has it.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), locked.page, bytes.len()) };
        Ok(locked)
    }

    /// A copy of the text in it.
    pub(super) fn text(&self) -> Option<String> {
        // SAFETY: so many bytes of the page were written, and the page lives as long as this value.
        let bytes = unsafe { slice::from_raw_parts(self.page, self.length) };
        std::str::from_utf8(bytes).ok().map(str::to_owned)
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        // SAFETY: the page is mapped and nobody else's.
        unsafe { libc::explicit_bzero(self.page.cast(), PAGE) };
        // SAFETY: as above; what was locked is unlocked with it.
        unsafe { libc::munmap(self.page.cast(), PAGE) };
    }
}

/// How long the machine has slept since it started.
pub(crate) fn slept() -> Duration {
    clock(libc::CLOCK_BOOTTIME).saturating_sub(clock(libc::CLOCK_MONOTONIC))
}

fn clock(which: libc::clockid_t) -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is writable; both clocks exist on every Linux.
    unsafe { libc::clock_gettime(which, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// The smallest page of any machine that this runs on.
const PAGE: usize = 4096;
