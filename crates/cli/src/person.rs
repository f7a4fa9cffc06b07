//! `latchkey signin`.

use anyhow::anyhow;
use ipc::{Lock, Secret, Signin};

use crate::{
    answers::Answers,
    arguments,
    daemon::{self, QUICK},
    output::Output,
    pin,
};

pub(crate) fn sign_in(how: arguments::Signin, output: &Output) -> anyhow::Result<()> {
    let mut answers = if how.pin_stdin {
        Answers::line_from_stdin("pin")?
    } else {
        Answers::terminal()?
    };
    // Of another user it is not known here what stands before the next try.
    let phrase = match how.user {
        None => pin::phrase(&mut answers)?,
        Some(_) => None,
    };
    let request = Signin {
        user: how.user,
        pin: ask(&mut answers, "pin", "PIN: ")?,
        service: "latchkey".to_owned(),
        remote: is_remote(),
        offline: false,
        phrase,
    };
    let answer = daemon::ask(&request, QUICK)?;
    output.result(&answer, || {
        format!(
            "Signed in as {} in {} ms; the ticket {} is in {}.",
            answer.principal,
            answer.took_ms,
            answer.ticket_server.as_deref().unwrap_or("(none)"),
            answer.ccache.as_deref().unwrap_or("(none)")
        )
    })
}

pub(crate) fn lock(output: &Output) -> anyhow::Result<()> {
    let done = daemon::ask(&Lock {}, QUICK)?;
    output.result(&done, || "Locked: no PIN is kept.".to_owned())
}

/// Does the person sit elsewhere? The daemon cannot know; whoever hides it could as well sit here.
pub(crate) fn is_remote() -> bool {
    std::env::var_os("SSH_CONNECTION").is_some()
}

pub(crate) fn ask(answers: &mut Answers, name: &str, prompt: &str) -> anyhow::Result<Secret> {
    let answer = answers.secret(name, prompt)?;
    answer.ok_or_else(|| anyhow!("no answer {name}= was given"))
}
