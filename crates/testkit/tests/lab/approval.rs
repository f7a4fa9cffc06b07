//! A second factor without a code: the terminal shows a number, and the person types it where they are
//! signed in already.

use anyhow::{Context as _, Result, ensure};
use testkit::company::{Company, one_time_code, upn};
use testkit::lab::Talk;

use crate::company;
use crate::policy::{Object, machine};
use crate::terminal::{choose_pin, end_of_shell, leave, login_by_password, shell_by_pin};

const PIN: &str = "739614025518";
const BROWSER: &str = include_str!("approval/browser.py");

/// Alice's browser, on another machine than the one that she signs in at.
struct Browser<'c>(&'c Company);

impl<'c> Browser<'c> {
    const COOKIES: &'static str = "/root/alice.cookies";

    /// Signs her in, with both factors.
    fn signed_in(company: &'c Company) -> Result<Self> {
        let browser = Self(company);
        let answers = format!(
            "{}\n{}\n{}\n",
            upn("alice"),
            company.lab.password("alice")?,
            one_time_code()?
        );
        let page = browser.call(&["sign-in"], answers)?;
        ensure!(page.contains("Approvals"), "{page}");
        Ok(browser)
    }

    fn call(&self, words: &[&str], input: String) -> Result<String> {
        let server = self.0.server()?;
        let words = [&["python3", "-c", BROWSER, Self::COOKIES], words].concat();
        server.command(&words).stdin(input).ok()
    }

    fn approves(&self, number: &str) -> Result<String> {
        self.call(&["approve", number], String::new())
    }

    fn denies(&self) -> Result<String> {
        self.call(&["deny"], String::new())
    }
}

impl Drop for Browser<'_> {
    /// Signs her out: the next enrollment is to have no other way than a code.
    fn drop(&mut self) {
        if let Err(error) = self.0.admin(&["user", "sign-out", &upn("alice")]) {
            eprintln!("alice stays signed in: {error:#}");
        }
    }
}

/// `login` with the password, as far as the second factor.
fn up_to_second_factor(company: &Company) -> Result<Talk> {
    let mut talk = login_by_password(company, "alice")?;
    talk.expect("Set up a PIN on this machine for alice@")?;
    talk.type_line("OK")?;
    give_password(company, &mut talk)?;
    Ok(talk)
}

fn give_password(company: &Company, talk: &mut Talk) -> Result<()> {
    talk.expect("Password: ")?;
    talk.type_line(company.lab.password("alice")?)
}

/// Wants no code to be asked for, and returns the number that is shown in its place.
fn number_is_shown(talk: &mut Talk) -> Result<String> {
    talk.expect("(nothing for another way): ")?;
    talk.type_line("")?;
    talk.expect("type the number ")?;
    let shown = talk.expect(" there")?;
    let number = shown.split_whitespace().next().context("no number")?;
    ensure!(number.len() == 2, "{shown}");
    Ok(number.to_owned())
}

/// From the question for a new PIN to a sign-in by it.
fn enrolls(company: &Company, mut talk: Talk) -> Result<()> {
    choose_pin(&mut talk, PIN)?;
    talk.expect("Done. Your PIN can be used now")?;
    end_of_shell(company, talk, "alice")?;
    leave(shell_by_pin(company, "alice", PIN)?)?;
    company.forget_everyone()
}

#[test]
fn a_number_on_the_terminal_that_is_typed_elsewhere_confirms_an_enrollment() -> Result<()> {
    let (_turn, company) = company();
    company.forget_everyone()?;
    let _on = Object::linked(company, "hello", &[machine("Enabled", 1)])?;
    company.give_factor("alice")?;
    let browser = Browser::signed_in(company)?;
    let mut talk = up_to_second_factor(company)?;
    let number = number_is_shown(&mut talk)?;
    let page = browser.approves(&number)?;
    ensure!(page.contains("The sign-in goes on"), "{page}");
    enrolls(company, talk)
}

#[test]
fn whoever_denies_a_number_begins_again_and_confirms_by_another_way() -> Result<()> {
    let (_turn, company) = company();
    company.forget_everyone()?;
    let _on = Object::linked(company, "hello", &[machine("Enabled", 1)])?;
    company.give_factor("alice")?;
    let browser = Browser::signed_in(company)?;
    let mut talk = up_to_second_factor(company)?;
    number_is_shown(&mut talk)?;
    let page = browser.denies()?;
    ensure!(page.contains("Somebody may know your password"), "{page}");
    // The denial is an alarm: the password is asked for anew, and why is said.
    talk.expect("refused")?;
    give_password(company, &mut talk)?;
    // No code is taken twice.
    company.give_factor("alice")?;
    talk.expect("(nothing for another way): ")?;
    talk.type_line(&one_time_code()?)?;
    enrolls(company, talk)
}
