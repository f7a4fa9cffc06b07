//! The rules of the house that a program can check: the map is true, layers hold, the island is
//! small, dependencies are wanted, sources and pages are in shape.
//!
//! What is checked is what the pages promise; a rule that turns out wrong is changed there and
//! here together. Every rule lists all that breaks it, so that one run is enough.

#![cfg(test)]

mod dependencies;
mod graph;
mod island;
mod layers;
mod pages;
mod sources;
mod tree;

/// Fails with all that breaks a rule.
fn expect_none(rule: &str, broken: &[String]) {
    assert!(broken.is_empty(), "{rule}:\n  {}\n", broken.join("\n  "));
}
