//! The refusal of our own interfaces.

use serde::{Deserialize, Serialize};

/// A refusal: a code for programs, a sentence for the person, safe to show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Stable; `docs/joints.md` lists them.
    pub code: String,
    /// Names the cause and the next step.
    pub sentence: String,
    /// Seconds after which trying again makes sense.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_s: Option<u32>,
    /// Tries left of whatever was counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tries_left: Option<u32>,
}

impl Failure {
    /// A refusal with neither a delay nor a count.
    pub fn new(code: &str, sentence: impl Into<String>) -> Self {
        Self {
            code: code.to_owned(),
            sentence: sentence.into(),
            retry_after_s: None,
            tries_left: None,
        }
    }
}
