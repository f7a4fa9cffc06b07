//! The workstation's local socket: messages, framing and a blocking client.
//!
//! One frame is a little-endian `u32` length, of at most [`MAX_REQUEST`] or [`MAX_ANSWER`], and
//! that many bytes of JSON.
//! A request is `{"v":1,"id":n,"op":"…","args":{…}}`, its answer `{"v":1,"id":n,"ok":{…}}` or
//! `{"v":1,"id":n,"error":{…}}`; `docs/joints.md` lists every operation. The daemon judges the
//! peer by `SO_PEERCRED`, never by what a message says.
//!
//! This crate is loaded into other people's processes with the PAM and PKCS#11 modules:
//! it has no runtime, no logger, reads no environment and starts no thread.

mod blocking;
mod frame;
mod messages;
pub mod relay;
mod secret;

pub use blocking::{CallError, Connection};
pub use frame::{
    Incoming, MAX_ANSWER, MAX_REQUEST, VERSION, decode_answer, decode_request, encode_answer,
    encode_request,
};
pub use messages::*;
pub use secret::Secret;

/// Where the daemon listens.
pub const SOCKET: &str = "/run/latchkey/latchkeyd.sock";

#[cfg(test)]
mod tests;
