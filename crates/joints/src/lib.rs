//! Stop points at the joints between parts, for kill tests.
//!
//! A program that finds [`VARIABLE`] in its environment at start connects to that socket at each
//! joint, names the joint, and goes on when it is answered or hung up on. Without the variable,
//! which only whoever starts the program can set, [`reach`] does nothing.

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    sync::OnceLock,
};

pub use protocol::Joint;

/// Names the socket of the test that stops programs at joints.
pub const VARIABLE: &str = "LATCHKEY_JOINTS";

fn socket() -> Option<&'static str> {
    static SOCKET: OnceLock<Option<String>> = OnceLock::new();
    SOCKET
        .get_or_init(|| std::env::var(VARIABLE).ok())
        .as_deref()
}

/// Tells a waiting test that `joint` is reached by `part`, and waits until it lets go. Blocks the
/// thread: under a test that is the point.
pub fn reach(part: &str, joint: Joint) {
    let Some(path) = socket() else { return };
    if let Ok(mut stream) = UnixStream::connect(path)
        && writeln!(stream, "{part} {}", joint.name()).is_ok()
    {
        let _ = stream.read(&mut [0]);
    }
}
