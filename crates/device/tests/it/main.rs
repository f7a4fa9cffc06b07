//! The daemon on its real socket with a real TPM (swtpm). What needs a domain is tested in the lab.

#![cfg(test)]

mod bench;
mod ffi;
mod frames;
mod lockout;
mod peers;
mod pin;
mod signing;
mod software;
mod state;
