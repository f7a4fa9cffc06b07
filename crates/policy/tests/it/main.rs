//! Group policy as exported from a live domain, and what mutation makes of it.

#![cfg(test)]

mod descriptors;
mod edges;
mod fixtures;
mod fuzz;
mod pairs;
