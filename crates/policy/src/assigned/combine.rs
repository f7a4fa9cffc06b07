//! What several policies that reach one subject come to.
//!
//! What must hold: nobody's PIN becomes weaker because a second policy came. Of a setting that has a
//! strength the stricter value counts; of any other, policies that differ leave the node as they last
//! agreed upon it, and both are told.

use serde::{Deserialize, Serialize};

use super::Given;
use crate::settings::{Scope, Stricter, Value};

/// A value that a subject gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered<'a, P> {
    /// The value.
    pub given: Given,
    /// The policies that set exactly this.
    pub by: Vec<&'a P>,
    /// Those whose value was less strict.
    pub instead_of: Vec<&'a P>,
}

/// What becomes of a node upon which policies do not agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Held {
    /// It keeps the value upon which they last agreed, if there was one.
    Kept,
    /// It is not set.
    Unset,
}

/// A node upon which policies do not agree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict<'a, P> {
    /// The node, with one of the values.
    pub given: Given,
    /// What becomes of it.
    pub held: Held,
    /// All that set it.
    pub policies: Vec<&'a P>,
}

/// What policies come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Combined<'a, P> {
    /// Values that count.
    pub values: Vec<Delivered<'a, P>>,
    /// Nodes without one.
    pub conflicts: Vec<Conflict<'a, P>>,
}

/// Combines the values of policies that all reach one subject, in one tree of nodes. The order of the
/// policies changes nothing but the order in which they are named.
pub fn combine<'a, P>(
    policies: impl IntoIterator<Item = (&'a P, &'a [Given])>,
    scope: Scope,
) -> Combined<'a, P> {
    let mut nodes: Vec<Vec<(&'a P, &'a Given)>> = Vec::new();
    for (policy, values) in policies {
        for given in values.iter().filter(|given| given.scope == scope) {
            let node = nodes
                .iter_mut()
                .find(|node| node.iter().any(|(_, other)| other.is_beside(given)));
            match node {
                Some(node) => node.push((policy, given)),
                None => nodes.push(vec![(policy, given)]),
            }
        }
    }
    nodes.sort_by_key(|node| node.first().map(|(_, given)| given.setting.id));
    let mut combined = Combined {
        values: Vec::new(),
        conflicts: Vec::new(),
    };
    for node in &nodes {
        let Some(((_, first), rest)) = node.split_first() else {
            continue;
        };
        let setting = first.setting;
        let strictest = rest
            .iter()
            .try_fold(first.value.clone(), |chosen: Value, (_, given)| {
                match chosen == given.value {
                    true => Some(chosen),
                    false => setting.stricter_of(&chosen, &given.value),
                }
            });
        let given = |value| Given {
            value,
            ..(*first).clone()
        };
        match strictest {
            Some(value) => {
                let (by, instead_of): (Vec<_>, Vec<_>) =
                    node.iter().partition(|(_, other)| other.value == value);
                combined.values.push(Delivered {
                    given: given(value),
                    by: by.into_iter().map(|(policy, _)| policy).collect(),
                    instead_of: instead_of.into_iter().map(|(policy, _)| policy).collect(),
                });
            }
            None => combined.conflicts.push(Conflict {
                given: given(first.value.clone()),
                held: match setting.stricter {
                    Stricter::Neither => Held::Kept,
                    _ => Held::Unset,
                },
                policies: node.iter().map(|(policy, _)| *policy).collect(),
            }),
        }
    }
    combined
}
