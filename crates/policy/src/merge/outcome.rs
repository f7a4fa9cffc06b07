//! What became of each value that a server gave, as it is told to the server again.

use serde::{Deserialize, Serialize};

use super::{Effective, Layer, ServerValue};
use crate::settings::{self, Effect, Scope};

/// What became of one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It counts.
    Applied,
    /// Something stronger counts in its place.
    Overridden,
    /// It would count, and there is nothing on Linux for it to count for.
    NotApplicable,
    /// Policies of the server contradict each other.
    Conflict,
    /// It is no value of that node.
    Error,
}

/// What became of a value, and by whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outcome {
    /// The node.
    pub loc_uri: String,
    /// What became of it.
    pub state: State,
    /// The stronger source, or what is wrong, as a text for an administrator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

impl Effective {
    /// What became of each of `values`, which were merged as those of `layer`.
    pub fn outcomes(&self, layer: Layer, values: &[ServerValue]) -> Vec<Outcome> {
        let outcome = |given| {
            let (state, by) = self.outcome(layer, given);
            Outcome {
                loc_uri: given.loc_uri.clone(),
                state,
                by,
            }
        };
        values.iter().map(outcome).collect()
    }

    fn outcome(&self, layer: Layer, given: &ServerValue) -> (State, Option<String>) {
        let tree = match layer {
            Layer::UserPolicy => Scope::User,
            _ => Scope::Device,
        };
        let found = settings::by_loc_uri(&given.loc_uri).filter(|(_, scope)| *scope == tree);
        let Some(resolved) = found.and_then(|(setting, _)| self.resolved(setting.id)) else {
            return (State::Error, Some("it is no setting there".to_owned()));
        };
        if let Err(bad) = resolved.setting.parse(&given.value) {
            return (State::Error, Some(bad.to_string()));
        }
        if let Some(by) = &self.governed_by {
            return (State::Overridden, Some(by.to_string()));
        }
        match &resolved.winner {
            Some((_, by)) if by.layer == layer && by.name == given.policy => {
                match resolved.setting.effect {
                    Effect::NotOnLinux => (State::NotApplicable, None),
                    Effect::Acts | Effect::Refused => (State::Applied, None),
                }
            }
            Some((_, by)) => (State::Overridden, Some(by.to_string())),
            None => (State::Conflict, None),
        }
    }
}
