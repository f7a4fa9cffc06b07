//! `latchkey signin` and `latchkey pin`.

use anyhow::anyhow;
use ipc::{PinChange, Secret, Signin};

use crate::{
    answers::Answers,
    arguments::{self, Pin},
    daemon::{self, QUICK},
    output::Output,
};

pub(crate) fn sign_in(how: arguments::Signin, output: &Output) -> anyhow::Result<()> {
    let mut answers = if how.pin_stdin {
        Answers::line_from_stdin("pin")?
    } else {
        Answers::terminal()?
    };
    let request = Signin {
        user: how.user,
        pin: ask(&mut answers, "pin", "PIN: ")?,
        service: "latchkey".to_owned(),
        remote: is_remote(),
    };
    let answer = daemon::ask(&request, QUICK)?;
    output.result(&answer, || {
        format!(
            "Signed in as {} in {} ms; the ticket {} is in {}.",
            answer.principal, answer.took_ms, answer.ticket_server, answer.ccache
        )
    })
}

pub(crate) fn change_pin(how: Pin, output: &Output) -> anyhow::Result<()> {
    let mut answers = if how.answers_stdin {
        Answers::from_stdin()?
    } else {
        Answers::terminal()?
    };
    let old = ask(&mut answers, "old", "PIN as it is: ")?;
    let new = ask(&mut answers, "pin", "New PIN: ")?;
    if let Answers::Terminal(_) = answers
        && ask(&mut answers, "pin", "New PIN again: ")?.expose() != new.expose()
    {
        return Err(anyhow!("the two PINs differ; nothing was changed"));
    }
    let done = daemon::ask(&PinChange { old, new }, QUICK)?;
    output.result(&done, || "The PIN is changed.".to_owned())
}

/// Does the person sit elsewhere? The daemon cannot know; whoever hides it could as well sit here.
pub(crate) fn is_remote() -> bool {
    std::env::var_os("SSH_CONNECTION").is_some()
}

fn ask(answers: &mut Answers, name: &str, prompt: &str) -> anyhow::Result<Secret> {
    let answer = answers.secret(name, prompt)?;
    answer.ok_or_else(|| anyhow!("no answer {name}= was given"))
}
