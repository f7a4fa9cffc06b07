//! Policies that administrators make on a server: what stands in them, whom they reach, and what
//! several of them come to.
//!
//! A policy is a list of [`Given`] values, each of one setting in one tree of nodes. It is written and
//! read in the form of the original's management interface ([`graph`]), and for account protection in the
//! words of the original's page ([`profile`]). Pure: who is in which group is told, and nothing is kept.

mod combine;
mod enrollment;
mod given;
pub mod graph;
pub mod profile;
mod reach;

pub use combine::{Combined, Conflict, Delivered, Held, combine};
pub use enrollment::{Enrollment, State};
pub use given::{Given, check};
pub use reach::{Reach, Subject, Target, reach};

/// Why a policy is not taken, as a sentence for its author.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadPolicy(pub(crate) String);

impl BadPolicy {
    pub(crate) fn new(sentence: impl Into<String>) -> Self {
        Self(sentence.into())
    }
}

#[cfg(test)]
mod tests;
