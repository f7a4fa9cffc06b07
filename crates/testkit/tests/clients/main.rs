//! Clients that others publish, unmodified, against the server: each in a network of its own where
//! the names that they have built in lead to it. Needs root.

#![cfg(test)]

mod bench;
mod brokers;
mod libraries;
