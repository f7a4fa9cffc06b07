//! A person at a terminal of the workstation: the openings and ends that most conversations share.

use anyhow::{Result, ensure};
use testkit::company::{Company, one_time_code};
use testkit::lab::{Host, Talk};

/// `login`, up to the name.
pub(crate) fn login(company: &Company, name: &str) -> Result<Talk> {
    let mut talk = company.workstation()?.command(&["login"]).talk()?;
    talk.expect("login: ")?;
    talk.type_line(name)?;
    Ok(talk)
}

/// `login` with the password. Where there is a PIN, it is not passed over.
pub(crate) fn login_by_password(company: &Company, person: &str) -> Result<Talk> {
    let mut talk = login(company, person)?;
    talk.expect("Password: ")?;
    talk.type_line(company.lab.password(person)?)?;
    Ok(talk)
}

/// `login` with the PIN, up to what it answers.
pub(crate) fn login_by_pin(company: &Company, name: &str, pin: &str) -> Result<Talk> {
    let mut talk = login(company, name)?;
    talk.expect("PIN: ")?;
    talk.type_line(pin)?;
    Ok(talk)
}

/// The same, up to the shell.
pub(crate) fn shell_by_pin(company: &Company, person: &str, pin: &str) -> Result<Talk> {
    let mut talk = login_by_pin(company, person, pin)?;
    prompt(company, &mut talk, person)?;
    Ok(talk)
}

/// `su` to `person`, called by somebody who is neither root nor that person.
pub(crate) fn su(host: &Host, person: &str) -> Result<Talk> {
    host.command(&["su", "-", person]).user("carol").talk()
}

/// The person's shell asks for a command.
pub(crate) fn prompt(company: &Company, talk: &mut Talk, person: &str) -> Result<()> {
    let host = company.workstation()?.name;
    talk.expect(&format!("{person}@{host}")).map(drop)
}

/// From the question whether to enroll to the question for a PIN.
pub(crate) fn confirm_both_factors(company: &Company, talk: &mut Talk, person: &str) -> Result<()> {
    talk.expect(&format!(
        "Set up a PIN on this machine for {person}@corp.latchkey.test?"
    ))?;
    talk.type_line("OK")?;
    talk.expect("Password: ")?;
    talk.type_line(company.lab.password(person)?)?;
    talk.expect("Code from your authenticator: ")?;
    talk.type_line(&one_time_code()?)
}

/// Answers a new PIN, twice.
pub(crate) fn choose_pin(talk: &mut Talk, pin: &str) -> Result<()> {
    talk.expect("New PIN: ")?;
    talk.type_line(pin)?;
    talk.expect("New PIN again: ")?;
    talk.type_line(pin)
}

/// Leaves a shell that was seen already, and returns all that the terminal showed.
pub(crate) fn leave(mut talk: Talk) -> Result<String> {
    talk.type_line("exit 0")?;
    let (status, shown) = talk.finish()?;
    ensure!(status == 0, "the session ended with {status}: {shown}");
    Ok(shown)
}

/// The person's shell comes up, and is left.
pub(crate) fn end_of_shell(company: &Company, mut talk: Talk, person: &str) -> Result<String> {
    prompt(company, &mut talk, person)?;
    leave(talk)
}
