//! Every operation of the socket: its arguments, its answer and who may call it.

// Before the modules, which use it.
macro_rules! operation {
    ($(#[$doc:meta])* $op:literal $name:ident { $($(#[$fdoc:meta])* $field:ident : $type:ty),* $(,)? } -> $answer:ty) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name { $($(#[$fdoc])* pub $field: $type),* }
        impl Request for $name {
            const OP: &'static str = $op;
            type Answer = $answer;
        }
    };
}

mod enroll;
mod events;
mod machine;
mod pin;
mod policy;
mod session;
mod status;
mod token;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

pub use enroll::*;
pub use events::*;
pub use machine::*;
pub use pin::*;
pub use policy::*;
pub use session::*;
pub use status::*;
pub use token::*;

/// One operation: the arguments are the type itself.
pub trait Request: Serialize + DeserializeOwned {
    /// The operation's name on the wire.
    const OP: &'static str;
    /// What a success brings.
    type Answer: Serialize + DeserializeOwned;
}

/// A refusal: a code for programs, a sentence for the person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Stable; `docs/joints.md` lists them.
    pub code: String,
    /// Names the cause and the next step; safe to show.
    pub sentence: String,
    /// Seconds after which trying again makes sense.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_s: Option<u32>,
    /// PIN tries left before the key locks.
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

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.sentence)
    }
}

operation! {
    /// Who is there? Anyone may ask.
    "hello" Hello {} -> HelloAnswer
}

/// The daemon's answer to [`Hello`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HelloAnswer {
    /// The daemon's release.
    pub release: String,
}

/// A success with nothing to tell.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Done {}
