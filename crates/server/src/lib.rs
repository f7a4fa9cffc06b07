//! latchkey-server: accounts, factors, tokens, devices, keys and the change feed.
//!
//! One file per resource of the interface; what decides without I/O is in files of its own
//! (`nonce`, `totp`, `authority`, `evidence`), so that it is tested without a server. All state is
//! in the store, except work that is under way with an agent, which is seconds long (`work`).

mod access;
mod accounts;
mod admin;
pub mod admin_cli;
mod agent;
mod alert;
mod app;
mod attestation;
mod authorities;
mod authority;
pub mod backup;
mod certificate;
mod challenge;
pub mod check_config;
mod clock;
mod config;
mod device;
mod device_proof;
mod discover;
mod error;
mod evidence;
mod factors;
mod facts;
mod feed;
mod ffi;
mod graph;
mod hashing;
mod health;
mod hosts;
mod http;
pub mod init;
mod join;
mod key;
mod keys;
mod known;
mod lease;
mod limits;
mod lockout;
mod master;
mod metrics;
mod nonce;
mod oauth;
mod pages;
mod paths;
mod policies;
mod random;
mod recovery;
mod recovery_key;
mod renewal;
mod roles;
mod routing;
mod rsa;
pub mod run;
mod scim;
mod sign_in_log;
mod signin;
mod source;
mod stall;
mod tls;
mod tokens;
mod totp;
mod typed;
mod user_join;
mod verdict;
mod wait;
mod work;

pub use app::{App, Keyring};
pub use clock::Clock;
pub use config::Config;
pub use run::Server;

use std::io::Write as _;

/// Writes one line to standard output.
fn say(line: &str) -> std::io::Result<()> {
    writeln!(std::io::stdout(), "{line}")
}

/// Writes why a command failed to standard error, each cause once.
pub fn complain(error: &anyhow::Error) {
    // With no standard error left there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "latchkey-server: {error:#}");
}
