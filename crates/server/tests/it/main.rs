//! The server as its peers see it: over TLS, with an agent and a device that are made of keys alone.
//! The real ones meet it in the lab.
#![cfg(test)]

mod chip;
mod devices;
mod hardware;
mod oauth;
mod pages;
mod parties;
mod recovery;
mod refusals;
mod server;
mod story;
