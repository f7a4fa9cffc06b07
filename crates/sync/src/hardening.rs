//! What the process does before anything else, while it has one thread.

use std::io;

use crate::ffi;

/// The ticket cache of the agent itself, which no other process sees.
pub const CACHE: &str = "MEMORY:latchkey-sync";

/// No core files, no tracing by others, private files.
pub fn harden() -> io::Result<()> {
    ffi::keep_files_private();
    ffi::forbid_dumps()
}

/// Makes the agent's own tickets those that LDAP uses, whatever the caller's environment says.
/// The replay cache is off because the same proof may be delivered twice after a crash; sequence
/// numbers say what is carried out. To be called before any thread is started.
pub fn use_own_tickets() {
    ffi::set_variable("KRB5CCNAME", CACHE);
    ffi::set_variable("KRB5RCACHENAME", "none:");
}
