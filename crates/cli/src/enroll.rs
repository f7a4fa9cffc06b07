//! `latchkey enroll`: leads a person through an enrollment, or through the reset of a PIN, whose steps
//! are the same.

use std::time::Duration;

use anyhow::{anyhow, bail};
use ipc::{
    CallError, Connection, EnrollAnswer, EnrollCancel, EnrollInput, EnrollPoll, EnrollStart,
    EnrollStep, Failure, Proof, Request, Secret,
};
use serde::Serialize;

use crate::{answers::Answers, arguments::Enroll, daemon::PATIENT, output::Output};

#[derive(Serialize)]
struct Enrolled {
    kid: String,
    directory_ms: Option<u64>,
}

/// The conversation with the daemon and with the person.
struct Talk<'a> {
    daemon: Connection,
    answers: Answers,
    output: &'a Output,
}

pub(crate) fn enroll(how: Enroll, output: &Output) -> anyhow::Result<()> {
    lead(&EnrollStart {}, how.answers_stdin, output)
}

/// Leads a person through the steps that `start` begins.
pub(crate) fn lead(
    start: &impl Request<Answer = EnrollAnswer>,
    answers_stdin: bool,
    output: &Output,
) -> anyhow::Result<()> {
    let answers = if answers_stdin {
        Answers::from_stdin()?
    } else {
        Answers::terminal()?
    };
    let mut talk = Talk {
        daemon: Connection::open(PATIENT)?,
        answers,
        output,
    };
    let mut at = talk.daemon.call(start)?;
    let mut shown = String::new();
    let mut is_reset = false;
    loop {
        let input = empty(&at);
        let next = match at.step {
            EnrollStep::Account { upn } => talk.account(&upn, input)?,
            EnrollStep::Password { problem } => {
                let password = talk.secret("password", "Password: ", problem)?;
                EnrollInput {
                    password: Some(password),
                    ..input
                }
            }
            EnrollStep::Otp { problem } => {
                let otp = talk.secret("otp", "Code from your authenticator: ", problem)?;
                EnrollInput {
                    otp: Some(otp),
                    ..input
                }
            }
            EnrollStep::Pin { rules, problem } => talk.pin(&rules, problem, input)?,
            EnrollStep::Proof { service, statement } => {
                let proof = Some(prove(&service, &statement)?);
                EnrollInput { proof, ..input }
            }
            EnrollStep::Working { what } => {
                is_reset |= what == SETTING_PIN;
                if what != shown {
                    output.progress(doing(&what));
                    shown = what;
                }
                let session = at.session;
                at = talk.daemon.call(&EnrollPoll {
                    session,
                    wait_s: 25,
                })?;
                continue;
            }
            EnrollStep::Done { kid, directory_ms } => {
                // Of a key that stays, the directory learns nothing.
                let text = || match is_reset {
                    true => "Done. The key is the same; its PIN is the new one.".to_owned(),
                    false => done(directory_ms),
                };
                return output.result(&Enrolled { kid, directory_ms }, text);
            }
            EnrollStep::Failed { problem } => return Err(CallError::Refused(problem).into()),
        };
        at = talk.daemon.call(&next)?;
    }
}

impl Talk<'_> {
    fn account(&mut self, upn: &str, input: EnrollInput) -> anyhow::Result<EnrollInput> {
        let question = format!("Set up a PIN on this machine for {upn}?");
        if self.answers.confirm(&question)? {
            return Ok(EnrollInput {
                confirm: true,
                ..input
            });
        }
        let session = input.session;
        self.daemon.call(&EnrollCancel { session })?;
        bail!("given up; nothing was changed");
    }

    fn pin(
        &mut self,
        rules: &[String],
        problem: Option<Failure>,
        input: EnrollInput,
    ) -> anyhow::Result<EnrollInput> {
        if let Answers::Terminal(_) = self.answers {
            show_rules(rules, self.output);
        }
        let pin = self.secret("pin", "New PIN: ", problem)?;
        let pin_again = match self.answers {
            Answers::Terminal(_) => self.secret("pin", "New PIN again: ", None)?,
            // Whoever wrote it down has not mistyped it twice.
            Answers::Given(_) => pin.clone(),
        };
        Ok(EnrollInput {
            pin: Some(pin),
            pin_again: Some(pin_again),
            ..input
        })
    }

    /// Asks, and says why again. Without a further answer the reason is the end.
    fn secret(
        &mut self,
        name: &str,
        prompt: &str,
        problem: Option<Failure>,
    ) -> anyhow::Result<Secret> {
        if let (Some(problem), Answers::Terminal(_)) = (&problem, &self.answers) {
            self.output.progress(&problem.sentence);
        }
        match (self.answers.secret(name, prompt)?, problem) {
            (Some(secret), _) => Ok(secret),
            (None, Some(problem)) => Err(CallError::Refused(problem).into()),
            (None, None) => Err(anyhow!("no answer {name}= was given")),
        }
    }
}

/// What a new PIN must be.
pub(crate) fn show_rules(rules: &[String], output: &Output) {
    output.progress("Choose a PIN.");
    rules
        .iter()
        .for_each(|rule| output.progress(&format!("  {rule}")));
}

fn empty(at: &EnrollAnswer) -> EnrollInput {
    EnrollInput {
        session: at.session.clone(),
        confirm: false,
        password: None,
        otp: None,
        pin: None,
        pin_again: None,
        proof: None,
    }
}

/// Proves to the domain's agent, by the person's own ticket, that it is the person who wants this.
fn prove(service: &str, statement: &str) -> anyhow::Result<Proof> {
    // A token for any other service would be worth something to whoever gets it.
    if !service.starts_with("latchkey-sync/") {
        bail!("the daemon wants a proof for {service}, which is no Latchkey agent");
    }
    let statement = unhex(statement).ok_or_else(|| anyhow!("the statement is not readable"))?;
    let proof = kerberos::gss::initiate(service, &statement).map_err(|error| {
        anyhow!(
            "you hold no usable Kerberos ticket to prove yourself with; sign in with your \
             password first, e.g. by kinit ({error})"
        )
    })?;
    Ok(Proof {
        token: hex(&proof.token),
        mic: hex(&proof.mic),
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else {
        return None;
    };
    let nibble = |digit: u8| char::from(digit).to_digit(16);
    pairs
        .iter()
        .map(|[h, l]| Some((nibble(*h)? << 4 | nibble(*l)?) as u8))
        .collect()
}

fn doing(what: &str) -> &str {
    match what {
        "making_key" => "Making your key in the TPM …",
        SETTING_PIN => "Setting your PIN in the TPM …",
        "registering" => "Registering it …",
        "waiting_for_directory" => "Waiting for Active Directory …",
        other => other,
    }
}

/// The step in which a key that is there gets another PIN.
const SETTING_PIN: &str = "setting_pin";

fn done(directory_ms: Option<u64>) -> String {
    match directory_ms.map(Duration::from_millis) {
        Some(took) => format!(
            "Done. Your PIN can be used now; Active Directory had your key after {} ms.",
            took.as_millis()
        ),
        None => "Done. Active Directory does not have your key yet; until then sign in with your \
                 password. `latchkey status` tells when."
            .to_owned(),
    }
}
