//! The server as its peers see it: over TLS, with an agent and a device that are made of keys alone.
//! The real ones meet it in the lab.
#![cfg(test)]

mod accounts;
mod administration;
mod administrators;
mod agents;
mod authorization;
mod chip;
mod crashes;
mod devices;
mod graph;
mod hardware;
mod oauth;
mod operations;
mod pages;
mod parties;
mod policies;
mod policy_files;
mod process;
mod recovery;
mod refusals;
mod scim;
mod server;
mod story;
