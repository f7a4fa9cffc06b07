//! Enrollments, step by step.

use serde::{Deserialize, Serialize};

use super::{Done, Failure, Request};
use crate::Secret;

operation! {
    /// Begins or resumes the caller's enrollment. Never for another user.
    "enroll.start" EnrollStart {} -> EnrollAnswer
}

operation! {
    /// Answers the step that was shown. Exactly one field beside the session is set (`pin` with
    /// `pin_again`).
    "enroll.input" EnrollInput {
        /// From the last answer.
        session: String,
        /// The account shown is right.
        #[serde(default)]
        confirm: bool,
        /// The directory password.
        #[serde(default)]
        password: Option<Secret>,
        /// The one-time code.
        #[serde(default)]
        otp: Option<Secret>,
        /// The access pass.
        #[serde(default)]
        tap: Option<Secret>,
        /// The way to confirm (`otp`, `approval`, `tap`); at the biometrics `skip`.
        #[serde(default)]
        way: Option<String>,
        /// The new PIN.
        #[serde(default)]
        pin: Option<Secret>,
        /// The new PIN once more.
        #[serde(default)]
        pin_again: Option<Secret>,
        /// The Kerberos proof.
        #[serde(default)]
        proof: Option<Proof>,
    } -> EnrollAnswer
}

operation! {
    /// Where the enrollment is now; waits up to `wait_s` for a change.
    "enroll.poll" EnrollPoll {
        /// From the last answer.
        session: String,
        /// At most 25 seconds.
        wait_s: u32,
    } -> EnrollAnswer
}

operation! {
    /// Gives the enrollment up; a key that was made and not registered is discarded.
    "enroll.cancel" EnrollCancel { /// From the last answer.
        session: String } -> Done
}

/// A Kerberos proof, made by the user's own process with the user's own ticket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// The initial GSS-API token for the agent's principal, hexadecimal.
    pub token: String,
    /// GSS-API MIC over the statement, hexadecimal.
    pub mic: String,
}

/// An enrollment and the step it is at.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EnrollAnswer {
    /// Names this enrollment; opaque.
    pub session: String,
    /// What is shown or asked next.
    pub step: EnrollStep,
}

/// A step of the enrollment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum EnrollStep {
    /// Biometrics can be set up: wants `way`, which is `skip` for whoever does not wish to.
    Biometrics {},
    /// "Use Latchkey with your organization account": wants `confirm`.
    Account {
        /// The account's user principal name.
        upn: String,
    },
    /// Wants `password`; `problem` tells why it is asked again.
    Password {
        /// Why the last one was refused.
        problem: Option<Failure>,
    },
    /// Wants `otp`, or a `way` of the others.
    Otp {
        /// Why the last one was refused.
        problem: Option<Failure>,
        /// Other ways to confirm.
        others: Vec<String>,
    },
    /// Wants `tap`, or a `way` of the others.
    AccessPass {
        /// Why the last one was refused.
        problem: Option<Failure>,
        /// Other ways to confirm.
        others: Vec<String>,
    },
    /// Wants a `way`: who is contacted by it is contacted now.
    Choose {
        /// The ways there are.
        ways: Vec<String>,
        /// Why the last one came to nothing.
        problem: Option<Failure>,
    },
    /// Nothing to do here but wait: the person approves where they are signed in already.
    Approve {
        /// What is to be typed there.
        number: Option<u32>,
    },
    /// Wants `pin` and `pin_again`.
    Pin {
        /// The rules, one sentence each.
        rules: Vec<String>,
        /// Why the last one was refused.
        problem: Option<Failure>,
    },
    /// Wants `proof`: a GSS-API token for `service` and a MIC over `statement`.
    Proof {
        /// A principal whose first component is always `latchkey-sync`.
        service: String,
        /// Hexadecimal.
        statement: String,
    },
    /// Nothing to do but wait: `making_key` (in a TPM), `making_software_key`, `setting_pin`,
    /// `registering`, `waiting_for_directory`.
    Working {
        /// What is being done.
        what: String,
        /// How many seconds it mostly takes, where that is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        about_s: Option<u32>,
    },
    /// Done: the PIN can be used.
    Done {
        /// The key's id at the server.
        kid: String,
        /// Milliseconds from registered to confirmed in the directory; None while the directory
        /// does not have it yet.
        directory_ms: Option<u64>,
    },
    /// Ended without a credential.
    Failed {
        /// Why, and whether trying again makes sense.
        problem: Failure,
    },
}
