//! `latchkey pin`: another PIN, known or forgotten.

use ipc::{CallError, Failure, PinChange, PinReset, PinRules, TokenInfo};

use crate::{
    answers::Answers,
    arguments::Pin,
    daemon::{self, QUICK},
    enroll, ffi,
    output::Output,
    person::{ask, is_remote},
};

pub(crate) fn run(pin: Pin, output: &Output) -> anyhow::Result<()> {
    match pin {
        Pin::Change { answers_stdin } => change(answers_stdin, output),
        Pin::Reset {
            new_key,
            answers_stdin,
        } => enroll::lead(&PinReset { new_key }, answers_stdin, output),
    }
}

fn change(answers_stdin: bool, output: &Output) -> anyhow::Result<()> {
    let mut answers = match answers_stdin {
        true => Answers::from_stdin()?,
        false => Answers::terminal()?,
    };
    let phrase = phrase(&mut answers)?;
    let old = ask(&mut answers, "old", "PIN as it is: ")?;
    let is_given = answers.are_given();
    if !is_given {
        let rules = daemon::ask(&PinRules { user: None }, QUICK)?.rules;
        enroll::show_rules(&rules, &mut answers);
    }
    let mut tries = 0;
    loop {
        let new = ask(&mut answers, "pin", "New PIN: ")?;
        let again = match is_given {
            false => ask(&mut answers, "pin", "New PIN again: ")?,
            // Whoever wrote it down has not mistyped it twice.
            true => new.clone(),
        };
        let outcome = if again.expose() == new.expose() {
            daemon::ask(
                &PinChange {
                    user: None,
                    old: old.clone(),
                    new,
                    phrase: phrase.clone(),
                },
                QUICK,
            )
        } else {
            Err(Failure::new("pin_mismatch", "The two PINs differ.").into())
        };
        tries += 1;
        match outcome {
            Ok(done) => return output.result(&done, || "The PIN is changed.".to_owned()),
            Err(CallError::Refused(failure))
                if is_about_new(&failure) && tries < TRIES && answers.has("pin") =>
            {
                answers.warn(&failure.sentence);
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Is it the new PIN that is refused, so that another one may be taken?
fn is_about_new(failure: &Failure) -> bool {
    matches!(failure.code.as_str(), "pin_refused" | "pin_mismatch")
}

/// The phrase, where the daemon wants it typed before the next PIN; not where answers were given in
/// advance. A refusal where the next PIN has to wait.
pub(crate) fn phrase(answers: &mut Answers) -> anyhow::Result<Option<String>> {
    if answers.are_given() {
        return Ok(None);
    }
    let request = TokenInfo {
        uid: ffi::uid(),
        remote: is_remote(),
    };
    // What it refuses, it refuses again with the PIN.
    let Ok(info) = daemon::ask(&request, QUICK) else {
        return Ok(None);
    };
    if let Some(wait_s) = info.retry_after_s {
        let sentence = format!("Too many wrong PINs: the next one is taken in {wait_s} s.");
        let failure = Failure {
            retry_after_s: Some(wait_s),
            ..Failure::new("pin_paused", sentence)
        };
        return Err(CallError::Refused(failure).into());
    }
    let Some(phrase) = info.phrase else {
        return Ok(None);
    };
    let question = format!("Too many wrong PINs. Type {phrase} to go on: ");
    answers.word("phrase", &question)
}

/// So many new PINs may be refused in one go.
const TRIES: u32 = 3;
