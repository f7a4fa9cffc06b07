//! rtnetlink(7), as far as hearing that there is something to hear.

#![allow(unsafe_code, reason = "netlink has no safe interface")]

use std::{
    io, mem,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    ptr,
};

/// A socket that hears of links, addresses and routes.
pub(super) fn open() -> io::Result<OwnedFd> {
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: socket takes three numbers.
    let raw = unsafe { libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_ROUTE) };
    if raw < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just given us this descriptor, and nobody else owns it.
    let socket = unsafe { OwnedFd::from_raw_fd(raw) };
    // SAFETY: all-zero is a value of this plain structure.
    let mut address: libc::sockaddr_nl = unsafe { mem::zeroed() };
    address.nl_family = libc::AF_NETLINK as libc::sa_family_t;
    address.nl_groups = GROUPS;
    let length = size_of::<libc::sockaddr_nl>() as libc::socklen_t;
    // SAFETY: `address` is a whole address of this length.
    let bound = unsafe { libc::bind(raw, ptr::from_ref(&address).cast(), length) };
    if bound != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(socket)
}

/// Takes one message off; `WouldBlock`: there is none.
pub(super) fn take(socket: &OwnedFd) -> io::Result<()> {
    let mut buffer = [0_u8; 4096];
    let (place, length) = (buffer.as_mut_ptr().cast(), buffer.len());
    // SAFETY: the buffer is writable and of its own length; a longer message is cut.
    let read = unsafe { libc::recv(socket.as_raw_fd(), place, length, 0) };
    if read < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// `RTMGRP_LINK`, `RTMGRP_IPV4_IFADDR`, `RTMGRP_IPV4_ROUTE`, `RTMGRP_IPV6_IFADDR`,
/// `RTMGRP_IPV6_ROUTE`.
const GROUPS: u32 = 0x1 | 0x10 | 0x40 | 0x100 | 0x400;
