//! Enrollment as a state machine: what is asked of the person, what is asked of the world, and
//! what each answer means.
//!
//! ```text
//! [biometrics →] account → password → second factor → pin → making key → stating → proof → registering
//!                             ▲             │                              ▲          → waiting → done
//!                             └─────────────┘ wrong: asked again           └──────────────┘
//!                                                            the agent wants a new proof
//! ```
//!
//! The second factor is a code, an access pass, or somebody's own approval elsewhere, which is waited
//! for; where the server offers several, the person chooses. A sensor for biometrics puts its page in
//! front; it may be skipped, and nothing else depends on it.
//!
//! A forgotten PIN is replaced the same way up to the PIN: then the key that is there gets it
//! (`setting pin → done`), and nothing is registered.
//!
//! [`Enrollment::step`] takes one input and gives at most one output; whoever carries the output
//! out brings its outcome back as the next input. The machine does no I/O and reads no clock, so
//! a table of inputs tests it whole. An input that does not belong to the stage changes nothing.
//!
//! What must hold: no key gets a PIN before both factors are right, and nothing is registered without
//! the person's proof. Making a key takes long, so one without a PIN, which nobody can use, may be begun
//! from the second factor on ([`Enrollment::key_is_due`]); it goes where the enrollment fails. A second factor older than [`FACTOR_LIFETIME_S`] registers nothing, it
//! is asked for again (the key that is already made stays).

use model::{Secret, UnixTime};
use policy::PinRules;

use crate::factor::Method;

/// How long an approved second factor is used. The server's own limit is ten minutes; the rest
/// is for the request's way and for clocks that differ.
pub const FACTOR_LIFETIME_S: i64 = 9 * 60;

/// How long the person is kept waiting for the directory before they are told "later".
pub const DIRECTORY_PATIENCE_S: i64 = 60;

/// A reason to show, and whether trying again makes sense.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Stable, for programs.
    pub code: String,
    /// Names the cause and the next step.
    pub sentence: String,
    /// Seconds after which trying again makes sense.
    pub retry_after_s: Option<u32>,
}

impl Problem {
    /// A reason without a delay.
    pub fn new(code: &str, sentence: impl Into<String>) -> Self {
        Self {
            code: code.to_owned(),
            sentence: sentence.into(),
            retry_after_s: None,
        }
    }
}

/// A factor that is typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Factor {
    /// The directory password.
    Password,
    /// The one-time code.
    Otp,
    /// A Temporary Access Pass, as the second factor.
    AccessPass,
}

/// What the server asks the person for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// To type a factor.
    Typed {
        /// Which.
        factor: Factor,
        /// Other ways that may be chosen instead.
        others: Vec<Method>,
        /// Why the last one was refused.
        problem: Option<Problem>,
    },
    /// To choose how to confirm.
    Choice {
        /// The ways there are.
        ways: Vec<Method>,
        /// Why the last one came to nothing.
        problem: Option<Problem>,
    },
    /// To approve where they are signed in already; that is being waited for.
    Approval {
        /// What is to be typed there.
        number: Option<u32>,
    },
}

/// Where an enrollment is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    /// Biometrics are offered.
    Biometrics,
    /// The person is shown the account.
    Account,
    /// Something is asked for.
    Asking(Asked),
    /// A factor is at the server.
    Checking,
    /// A PIN is asked for.
    Pin {
        /// Why the last one was refused.
        problem: Option<Problem>,
    },
    /// The key is being made.
    MakingKey,
    /// The key that is there gets the new PIN.
    SettingPin,
    /// The device writes and signs its statement about the key.
    Stating,
    /// The person's process is asked for a Kerberos proof.
    Proof(Statement),
    /// The key is on its way to the server.
    Registering,
    /// The server has the key, the directory not yet.
    Waiting {
        /// The key's id at the server.
        kid: String,
        /// Until when the person is kept waiting.
        until: UnixTime,
    },
    /// The credential exists.
    Done {
        /// The key's id at the server.
        kid: String,
        /// Milliseconds from registered to confirmed; none when the directory was too slow.
        directory_ms: Option<u64>,
    },
    /// Ended without a credential.
    Failed(Problem),
}

/// What the person's process is to prove, and to whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The agent's service principal.
    pub service: String,
    /// The statement's bytes.
    pub bytes: Vec<u8>,
}

/// A Kerberos proof over the statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// The initial GSS-API token.
    pub token: Vec<u8>,
    /// The MIC.
    pub mic: Vec<u8>,
}

/// What comes in: from the person, or as the outcome of an [`Output`].
#[derive(Debug)]
pub enum Input {
    /// No biometrics, now at least.
    Skipped,
    /// The account shown is right.
    Confirmed,
    /// The factor that was asked for.
    Factor(Secret<String>),
    /// The way to confirm.
    Chosen(Method),
    /// A new PIN, typed twice.
    Pin {
        /// Once.
        pin: Secret<String>,
        /// And again.
        again: Secret<String>,
    },
    /// The proof that was asked for.
    Proven(Proof),
    /// Outcome of [`Output::CheckFactor`], [`Output::Contact`] and [`Output::AwaitApproval`].
    FactorChecked(FactorOutcome),
    /// Outcome of [`Output::MakeKey`].
    KeyMade(Result<(), Problem>),
    /// Outcome of [`Output::SetPin`].
    PinSet(Result<(), Problem>),
    /// Outcome of [`Output::State`].
    Stated(Result<Statement, Problem>),
    /// Outcome of [`Output::Register`].
    Registered(RegisterOutcome),
    /// Outcome of [`Output::AskDirectory`].
    Directory(DirectoryOutcome),
}

/// What the server said to a factor.
#[derive(Debug)]
pub enum FactorOutcome {
    /// It asks for this next, or again.
    Asked(Asked),
    /// Both are right, and a token is in hand.
    Approved,
    /// It goes no further: locked, not allowed, out of reach.
    Ended(Problem),
}

/// What the server said to the registration.
#[derive(Debug)]
pub enum RegisterOutcome {
    /// Registered.
    Done {
        /// The key's id at the server.
        kid: String,
    },
    /// The second factor is too old for it.
    FactorTooOld,
    /// Refused, or out of reach.
    Ended(Problem),
}

/// What the server says of the key.
#[derive(Debug)]
pub enum DirectoryOutcome {
    /// In the directory.
    Confirmed {
        /// Milliseconds from registered to confirmed.
        took_ms: Option<u64>,
    },
    /// Not yet, or the server is out of reach.
    NotYet,
    /// The agent wants a fresh proof.
    NeedsProof,
    /// Refused for good.
    Refused(Problem),
}

/// What is to be done in the world.
#[derive(Debug)]
pub enum Output {
    /// Send this factor.
    CheckFactor(Factor, Secret<String>),
    /// Have the person contacted by this way.
    Contact(Method),
    /// Ask whether the person has approved, waiting for it.
    AwaitApproval,
    /// Make the key under this PIN and keep it on disk.
    MakeKey(Secret<String>),
    /// Give the key that is there this PIN.
    SetPin(Secret<String>),
    /// Write and sign the statement about the key.
    State,
    /// Post the key with this proof; keep the key's id on disk.
    Register(Proof),
    /// Ask the server where the key is, waiting for a change.
    AskDirectory {
        /// The key's id at the server.
        kid: String,
    },
}

/// One person's enrollment on one device.
#[derive(Debug)]
pub struct Enrollment {
    stage: Stage,
    rules: PinRules,
    approved: Option<UnixTime>,
    key_made: bool,
    /// The id of the key that stays and gets another PIN.
    kept: Option<String>,
}

impl Enrollment {
    /// From the start.
    pub fn begin(rules: PinRules) -> Self {
        Self {
            stage: Stage::Account,
            rules,
            approved: None,
            key_made: false,
            kept: None,
        }
    }

    /// Of another PIN for a key that stays, whose id at the server is `kid`.
    pub fn reset(rules: PinRules, kid: String) -> Self {
        Self {
            kept: Some(kid),
            ..Self::begin(rules)
        }
    }

    /// The same on a machine with a sensor for biometrics.
    pub fn with_sensor(rules: PinRules) -> Self {
        Self {
            stage: Stage::Biometrics,
            ..Self::begin(rules)
        }
    }

    /// Of a key that the server already has: only the directory's word is missing.
    pub fn resume(rules: PinRules, kid: String, now: UnixTime) -> (Self, Output) {
        let output = Output::AskDirectory { kid: kid.clone() };
        let stage = Stage::Waiting {
            kid,
            until: now.plus(DIRECTORY_PATIENCE_S),
        };
        let enrollment = Self {
            stage,
            rules,
            approved: None,
            key_made: true,
            kept: None,
        };
        (enrollment, output)
    }

    /// Where it is.
    pub fn stage(&self) -> &Stage {
        &self.stage
    }

    /// Will a key be needed, if all goes well? From the second factor on: the password was right then.
    pub fn key_is_due(&self) -> bool {
        let confirmed_once = match &self.stage {
            Stage::Asking(Asked::Typed { factor, .. }) => *factor != Factor::Password,
            Stage::Asking(Asked::Choice { .. } | Asked::Approval { .. }) | Stage::Pin { .. } => {
                true
            }
            _ => false,
        };
        confirmed_once && self.kept.is_none() && !self.key_made
    }

    /// Takes one input in.
    pub fn step(&mut self, input: Input, now: UnixTime) -> Option<Output> {
        let (stage, output) = match (&self.stage, input) {
            (Stage::Biometrics, Input::Skipped) => (Stage::Account, None),
            (Stage::Account, Input::Confirmed) => (ask_password(None), None),
            (Stage::Asking(Asked::Typed { factor, .. }), Input::Factor(value)) => {
                (Stage::Checking, Some(Output::CheckFactor(*factor, value)))
            }
            (Stage::Asking(asked), Input::Chosen(way)) if asked.offers(way) => {
                (Stage::Checking, Some(Output::Contact(way)))
            }
            (
                Stage::Checking | Stage::Asking(Asked::Approval { .. }),
                Input::FactorChecked(outcome),
            ) => self.after_factor(outcome, now),
            (Stage::Pin { .. }, Input::Pin { pin, again }) => self.after_pin(pin, &again, now),
            (Stage::MakingKey, Input::KeyMade(outcome)) => match outcome {
                Ok(()) => {
                    self.key_made = true;
                    (Stage::Stating, Some(Output::State))
                }
                Err(problem) => (Stage::Failed(problem), None),
            },
            (Stage::SettingPin, Input::PinSet(outcome)) => match (outcome, &self.kept) {
                (Ok(()), Some(kid)) => {
                    let (kid, directory_ms) = (kid.clone(), None);
                    (Stage::Done { kid, directory_ms }, None)
                }
                (Ok(()), None) => return None,
                (Err(problem), _) => (Stage::Failed(problem), None),
            },
            (Stage::Stating, Input::Stated(outcome)) => match outcome {
                Ok(statement) => (Stage::Proof(statement), None),
                Err(problem) => (Stage::Failed(problem), None),
            },
            (Stage::Proof(_), Input::Proven(proof)) => self.after_proof(proof, now),
            (Stage::Registering, Input::Registered(outcome)) => after_registration(outcome, now),
            (Stage::Waiting { kid, until }, Input::Directory(outcome)) => {
                after_directory(kid, *until, outcome, now)
            }
            _ => return None,
        };
        self.stage = stage;
        output
    }

    fn after_factor(&mut self, outcome: FactorOutcome, now: UnixTime) -> (Stage, Option<Output>) {
        match outcome {
            FactorOutcome::Asked(asked) => {
                let is_waiting = matches!(asked, Asked::Approval { .. });
                let output = is_waiting.then_some(Output::AwaitApproval);
                (Stage::Asking(asked), output)
            }
            FactorOutcome::Ended(problem) => (Stage::Failed(problem), None),
            FactorOutcome::Approved => {
                self.approved = Some(now);
                if self.key_made {
                    (Stage::Stating, Some(Output::State))
                } else {
                    (Stage::Pin { problem: None }, None)
                }
            }
        }
    }

    fn after_pin(
        &self,
        pin: Secret<String>,
        again: &Secret<String>,
        now: UnixTime,
    ) -> (Stage, Option<Output>) {
        let refuse = |code, sentence: String| {
            let problem = Some(Problem::new(code, sentence));
            (Stage::Pin { problem }, None)
        };
        if let Err(refusal) = self.rules.check(pin.expose()) {
            return refuse("pin_refused", refusal.to_string());
        }
        if pin != *again {
            return refuse("pin_mismatch", "The two PINs differ.".to_owned());
        }
        match self.kept {
            None => (Stage::MakingKey, Some(Output::MakeKey(pin))),
            Some(_) if self.is_fresh(now) => (Stage::SettingPin, Some(Output::SetPin(pin))),
            Some(_) => (factors_again(), None),
        }
    }

    fn after_proof(&self, proof: Proof, now: UnixTime) -> (Stage, Option<Output>) {
        if self.is_fresh(now) {
            (Stage::Registering, Some(Output::Register(proof)))
        } else {
            (factors_again(), None)
        }
    }

    fn is_fresh(&self, now: UnixTime) -> bool {
        self.approved
            .is_some_and(|approved| now <= approved.plus(FACTOR_LIFETIME_S))
    }
}

impl Asked {
    /// The password, at the beginning of an attempt.
    pub fn password(problem: Option<Problem>) -> Self {
        Self::Typed {
            factor: Factor::Password,
            others: Vec::new(),
            problem,
        }
    }

    /// May this way be chosen now?
    fn offers(&self, way: Method) -> bool {
        match self {
            Self::Typed { others: ways, .. } | Self::Choice { ways, .. } => ways.contains(&way),
            Self::Approval { .. } => false,
        }
    }
}

fn ask_password(problem: Option<Problem>) -> Stage {
    Stage::Asking(Asked::password(problem))
}

fn factors_again() -> Stage {
    ask_password(Some(Problem::new(
        "factors_too_old",
        "Too much time has passed since you confirmed who you are; please do it again.",
    )))
}

fn after_registration(outcome: RegisterOutcome, now: UnixTime) -> (Stage, Option<Output>) {
    match outcome {
        RegisterOutcome::Done { kid } => {
            let output = Output::AskDirectory { kid: kid.clone() };
            let until = now.plus(DIRECTORY_PATIENCE_S);
            (Stage::Waiting { kid, until }, Some(output))
        }
        RegisterOutcome::FactorTooOld => (factors_again(), None),
        RegisterOutcome::Ended(problem) => (Stage::Failed(problem), None),
    }
}

fn after_directory(
    kid: &str,
    until: UnixTime,
    outcome: DirectoryOutcome,
    now: UnixTime,
) -> (Stage, Option<Output>) {
    let kid = kid.to_owned();
    match outcome {
        DirectoryOutcome::Confirmed { took_ms } => {
            let directory_ms = took_ms;
            (Stage::Done { kid, directory_ms }, None)
        }
        DirectoryOutcome::NotYet if now < until => {
            let output = Output::AskDirectory { kid: kid.clone() };
            (Stage::Waiting { kid, until }, Some(output))
        }
        DirectoryOutcome::NotYet => {
            let directory_ms = None;
            (Stage::Done { kid, directory_ms }, None)
        }
        DirectoryOutcome::NeedsProof => (Stage::Stating, Some(Output::State)),
        DirectoryOutcome::Refused(problem) => (Stage::Failed(problem), None),
    }
}

#[cfg(test)]
mod tests;
