//! Confirming who somebody is by a second factor, as a state machine: which ways there are, which
//! one is under way, what came of it, and what may be tried next.
//!
//! ```text
//! choosing → contacting → approved
//!               │  ▲ └──→ denied, exhausted                (over)
//!               │  └ wrong: asked again
//!               └──→ timed_out, unreachable → contacting   (the same way, or another)
//! ```
//!
//! [`Confirmation::step`] takes one input and says whether somebody is to be contacted. The machine
//! does no I/O and reads no clock; it is kept as JSON between two requests, and its [`Stage`] is
//! what a person is shown meanwhile.
//!
//! What must hold: an answer counts only for the way that is under way, so that nothing that was
//! overheard or prepared elsewhere is taken; what was shown once is worth nothing again
//! ([`Answer::Spent`] is one wrong answer more); there are [`ANSWERS`] wrong answers and
//! [`CONTACTS`] contacts, because each contact may disturb a person until they give in; and after a
//! denial nothing may be tried, because the person has said that it is not them.

use model::UnixTime;
use serde::{Deserialize, Serialize};

/// The most wrong answers of one confirmation: one more than the server lets an account give, so that
/// whoever is shut out there reads for how long.
pub const ANSWERS: u8 = 6;

/// The most times that somebody is contacted for one confirmation.
pub const CONTACTS: u8 = 8;

/// How long an approval waits for its answer. The other ways wait for as long as the whole may take:
/// nobody is disturbed by them.
pub const PATIENCE_S: i64 = 120;

/// How long a confirmation may take, whatever is tried.
pub const LIFE_S: i64 = 10 * 60;

/// A way to confirm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Method {
    /// The number that an authenticator app shows.
    #[serde(rename = "otp")]
    Otp,
    /// A security key or passkey.
    #[serde(rename = "webauthn")]
    SecurityKey,
    /// A number that is typed where the person is signed in already.
    #[serde(rename = "approval")]
    Approval,
    /// A Temporary Access Pass.
    #[serde(rename = "tap")]
    AccessPass,
}

impl Method {
    /// All of them, the strongest first.
    pub const ALL: [Self; 4] = [
        Self::SecurityKey,
        Self::Approval,
        Self::Otp,
        Self::AccessPass,
    ];

    /// Its word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Otp => "otp",
            Self::SecurityKey => "webauthn",
            Self::Approval => "approval",
            Self::AccessPass => "tap",
        }
    }

    /// The one of that word.
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.as_str() == word)
    }
}

/// Where a confirmation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Stage {
    /// The person chooses a way.
    Choosing,
    /// A way is under way.
    Contacting {
        /// Which.
        method: Method,
        /// What the person must type elsewhere.
        number: Option<u32>,
        /// Until when an answer is waited for.
        until: UnixTime,
    },
    /// It is them.
    Approved {
        /// By which way.
        method: Method,
        /// When.
        at: UnixTime,
    },
    /// The person says that it is not them.
    Denied,
    /// No answer came.
    TimedOut {
        /// By which way.
        method: Method,
    },
    /// Nobody could be asked.
    Unreachable {
        /// By which way.
        method: Method,
    },
    /// Too many wrong answers or contacts.
    Exhausted,
}

impl Stage {
    /// Its word on the wire.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Choosing => "choosing",
            Self::Contacting { .. } => "contacting",
            Self::Approved { .. } => "approved",
            Self::Denied => "denied",
            Self::TimedOut { .. } => "timed_out",
            Self::Unreachable { .. } => "unreachable",
            Self::Exhausted => "exhausted",
        }
    }
}

/// What comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// The person wants this way.
    Chosen(Method),
    /// Outcome of a contact: the person has been asked, and is shown this number.
    Contacted {
        /// What they must type elsewhere.
        number: Option<u32>,
    },
    /// An answer by a way.
    Answered(Method, Answer),
    /// Time has passed.
    Waited,
}

/// What an answer was worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Right, and never shown before.
    Right,
    /// Wrong.
    Wrong,
    /// Right once, and shown before.
    Spent,
    /// The person says that it is not them.
    Denied,
    /// Nobody can be asked by this way.
    Unreachable,
}

/// One confirmation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmation {
    offered: Vec<Method>,
    stage: Stage,
    answers_left: u8,
    contacts_left: u8,
    ends: UnixTime,
}

impl Confirmation {
    /// By one of these ways.
    pub fn begin(offered: Vec<Method>, now: UnixTime) -> Self {
        Self {
            offered,
            stage: Stage::Choosing,
            answers_left: ANSWERS,
            contacts_left: CONTACTS,
            ends: now.plus(LIFE_S),
        }
    }

    /// Where it is.
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// The ways that may be tried now; none where it is over.
    pub fn next(&self, now: UnixTime) -> Vec<Method> {
        if self.is_over(now) || self.contacts_left == 0 {
            return Vec::new();
        }
        let unreachable = match self.stage {
            Stage::Unreachable { method } => Some(method),
            _ => None,
        };
        let mut next = self.offered.clone();
        next.retain(|method| Some(*method) != unreachable);
        next
    }

    /// How many wrong answers are left.
    pub fn answers_left(&self) -> u8 {
        self.answers_left
    }

    /// Whether nothing can come of it any more.
    pub fn is_over(&self, now: UnixTime) -> bool {
        let has_ended = matches!(
            self.stage,
            Stage::Approved { .. } | Stage::Denied | Stage::Exhausted
        );
        has_ended || now >= self.ends
    }

    /// Whether an answer by this way would be looked at now. Whoever checks an answer asks first, so
    /// that nothing is spent on one that comes too late.
    pub fn awaits(&self, wanted: Method, now: UnixTime) -> bool {
        match self.stage {
            Stage::Contacting { method, until, .. } => {
                method == wanted && now < until && !self.is_over(now)
            }
            _ => false,
        }
    }

    /// Takes one input in; the way by which somebody is to be contacted, if any. An input that does
    /// not belong to the stage changes nothing.
    pub fn step(&mut self, input: Input, now: UnixTime) -> Option<Method> {
        self.time_out(now);
        if self.is_over(now) {
            return None;
        }
        match input {
            Input::Waited => None,
            Input::Chosen(method) => self.choose(method, now),
            Input::Contacted { number: shown } => {
                if let Stage::Contacting { number, .. } = &mut self.stage {
                    *number = shown;
                }
                None
            }
            Input::Answered(method, answer) => {
                self.take(method, answer, now);
                None
            }
        }
    }

    /// Ends the waiting for an answer whose time is over.
    fn time_out(&mut self, now: UnixTime) {
        if let Stage::Contacting { method, until, .. } = self.stage
            && now >= until.min(self.ends)
        {
            self.stage = Stage::TimedOut { method };
        }
    }

    fn choose(&mut self, method: Method, now: UnixTime) -> Option<Method> {
        if !self.next(now).contains(&method) {
            return None;
        }
        self.contacts_left = self.contacts_left.saturating_sub(1);
        self.stage = Stage::Contacting {
            method,
            number: None,
            until: match method {
                Method::Approval => now.plus(PATIENCE_S),
                Method::Otp | Method::SecurityKey | Method::AccessPass => self.ends,
            },
        };
        Some(method)
    }

    fn take(&mut self, answered: Method, answer: Answer, now: UnixTime) {
        let Stage::Contacting { method, .. } = self.stage else {
            return;
        };
        if method != answered {
            return;
        }
        self.stage = match answer {
            Answer::Right => Stage::Approved { method, at: now },
            Answer::Denied => Stage::Denied,
            Answer::Unreachable => Stage::Unreachable { method },
            Answer::Wrong | Answer::Spent => {
                self.answers_left = self.answers_left.saturating_sub(1);
                if self.answers_left > 0 {
                    return;
                }
                Stage::Exhausted
            }
        };
    }
}

#[cfg(test)]
mod tests;
