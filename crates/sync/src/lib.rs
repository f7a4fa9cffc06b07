//! The agent beside the domain controllers: users up, keys down, passwords checked.
//!
//! *Invariant:* a hostile server cannot make the agent write a key that the user did not ask for.
//! The agent's own file says whose keys it writes at all and how many an hour; the directory says
//! who the user and the device are; the user's own Kerberos ticket says that it was the user
//! ([`addition::check`]).
//!
//! *Invariant:* everything may be killed at any moment. The feed's token moves on only when all
//! changes before it are settled, and settling a change twice is settling it once.
//!
//! The agent takes no connection from anywhere: it asks the server, and the server answers.

pub mod addition;
pub mod agent_key;
pub mod alarms;
pub mod check;
pub mod checks;
pub mod cleanup;
pub mod config;
pub mod control;
mod courier;
pub mod cycle;
mod departures;
pub mod door;
pub mod enroll;
mod ffi;
pub mod hardening;
pub mod held;
pub mod history;
pub mod import;
pub mod init;
pub mod keys;
pub mod known;
pub mod lease;
pub mod ledger;
pub mod metrics;
pub mod notify;
pub mod pending;
pub mod permissions;
pub mod policies;
pub mod publish;
mod resources;
pub mod retry;
pub mod run;
pub mod scheduler;
pub mod scheduling;
pub mod scope;
pub mod state;
pub mod status;
#[cfg(test)]
mod testing;
pub mod threshold;
pub mod work;
pub mod written;
