//! The PIN where people meet it: `su` and `login` on a terminal, in Debian's own PAM stack.

use anyhow::{Result, ensure};
use testkit::company::Company;
use testkit::lab::{Host, Talk};

use crate::company;
use crate::policy::{Object, value};
use crate::terminal::{end_of_shell, shell_by_pin, su};

const PIN: &str = "161803398874";
const TICKET: &str = "krbtgt/CORP.LATCHKEY.TEST@CORP.LATCHKEY.TEST";

/// Answers `Password: ` with the domain password of `person`, and expects a session from it.
fn password_works(company: &Company, mut talk: Talk, person: &str) -> Result<String> {
    let shown = talk.expect("Password: ")?;
    talk.type_line(company.lab.password(person)?)?;
    end_of_shell(company, talk, person)?;
    Ok(shown)
}

/// Nobody may be asked for a PIN: the password is the first thing that is asked for.
fn only_the_password_is_asked(mut talk: Talk) -> Result<()> {
    let shown = talk.expect("Password: ")?;
    ensure!(!shown.contains("PIN"), "a PIN was asked for: {shown}");
    talk.type_line(PIN)?;
    let (status, all) = talk.finish()?;
    ensure!(
        status != 0 && !all.contains("@ws1"),
        "the PIN opened a session as a password: {all}"
    );
    Ok(())
}

/// With a line more in the workstation's `/etc/passwd`, which is taken out again.
fn with_local_account(host: &Host, line: &str, act: impl FnOnce() -> Result<()>) -> Result<()> {
    let before = host.read_file("/etc/passwd")?;
    let with_line = [&before, line.as_bytes(), b"\n"].concat();
    host.write_file("/etc/passwd", with_line, 0o644)?;
    let outcome = act();
    host.write_file("/etc/passwd", before, 0o644)?;
    outcome
}

#[test]
fn su_takes_the_pin_and_the_session_has_the_ticket() -> Result<()> {
    let (_turn, company) = company();
    company.forget_everyone()?;
    company.enrolled("alice", PIN)?;
    let mut talk = su(&company.workstation()?, "alice")?;
    let shown = talk.expect("PIN: ")?;
    assert!(!shown.contains("Password"), "{shown}");
    talk.type_line(PIN)?;
    talk.expect("alice@ws1")?;
    talk.type_line("echo cache=$KRB5CCNAME; id -un; klist; exit")?;
    talk.expect("cache=FILE:/tmp/krb5cc_")?;
    talk.expect("Default principal: alice@CORP.LATCHKEY.TEST")?;
    talk.expect(TICKET)?;
    let (status, shown) = talk.finish()?;
    assert_eq!(status, 0, "{shown}");
    assert!(shown.contains("\nalice\r\n"), "{shown}");
    assert!(!shown.contains(PIN), "the PIN is on the screen: {shown}");
    company.forget_everyone()
}

#[test]
fn login_takes_the_pin_and_the_session_has_the_ticket() -> Result<()> {
    let (_turn, company) = company();
    company.forget_everyone()?;
    company.enrolled("bob", PIN)?;
    let mut talk = shell_by_pin(company, "bob", PIN)?;
    talk.type_line("echo cache=$KRB5CCNAME; klist; exit")?;
    talk.expect("cache=FILE:/tmp/krb5cc_")?;
    talk.expect("Default principal: bob@CORP.LATCHKEY.TEST")?;
    talk.expect(TICKET)?;
    let (status, shown) = talk.finish()?;
    assert_eq!(status, 0, "{shown}");
    company.forget_everyone()
}

#[test]
fn a_wrong_pin_tells_the_tries_left_and_the_password_still_works() -> Result<()> {
    let (_turn, company) = company();
    company.forget_everyone()?;
    company.enrolled("alice", PIN)?;
    let host = company.workstation()?;
    for left in [9, 8] {
        let mut talk = su(&host, "alice")?;
        talk.expect("PIN: ")?;
        talk.type_line("314159265358")?;
        talk.expect(&format!("Wrong PIN, {left} tries left."))?;
        password_works(company, talk, "alice")?;
    }
    let mut talk = su(&host, "alice")?;
    talk.expect("PIN: ")?;
    talk.type_line(PIN)?;
    end_of_shell(company, talk, "alice")?;
    let status = company.status("alice")?;
    let left = status.pointer("/credentials/0/tries_left");
    assert_eq!(left.and_then(|left| left.as_u64()), Some(10), "{status}");
    company.forget_everyone()
}

#[test]
fn an_empty_pin_leads_to_the_password_and_costs_no_try() -> Result<()> {
    let (_turn, company) = company();
    company.forget_everyone()?;
    company.enrolled("alice", PIN)?;
    let mut talk = su(&company.workstation()?, "alice")?;
    talk.expect("PIN: ")?;
    talk.type_line("")?;
    let shown = password_works(company, talk, "alice")?;
    assert!(!shown.contains("PIN"), "{shown}");
    let status = company.status("alice")?;
    let left = status.pointer("/credentials/0/tries_left");
    assert_eq!(left.and_then(|left| left.as_u64()), Some(10), "{status}");
    company.forget_everyone()
}

#[test]
fn whoever_has_no_credential_is_asked_for_the_password_only() -> Result<()> {
    let (_turn, company) = company();
    company.forget_everyone()?;
    company.enrolled("alice", PIN)?;
    let talk = su(&company.workstation()?, "bob")?;
    let shown = password_works(company, talk, "bob")?;
    assert!(!shown.contains("PIN"), "{shown}");
    company.forget_everyone()
}

#[test]
fn a_local_account_gets_nothing_by_the_name_of_a_person_of_the_domain() -> Result<()> {
    let (_turn, company) = company();
    company.forget_everyone()?;
    company.enrolled("bob", PIN)?;
    let host = company.workstation()?;
    let line = "bob:x:4242:4242:not of the domain:/tmp:/bin/sh";
    with_local_account(&host, line, || {
        only_the_password_is_asked(su(&host, "bob")?)?;
        let refused = testkit::company::refused(&company.sign_in("bob", PIN)?)?;
        assert_eq!(refused["code"], "no_credential", "{refused}");
        Ok(())
    })?;
    company.sign_in("bob", PIN)?.ok()?;
    company.forget_everyone()
}

#[test]
fn a_local_account_gets_nothing_by_the_number_of_a_person_of_the_domain() -> Result<()> {
    let (_turn, company) = company();
    company.forget_everyone()?;
    company.enrolled("alice", PIN)?;
    let host = company.workstation()?;
    let number = host.sh("id -u alice")?;
    let line = format!("mallory:x:{}:4242::/tmp:/bin/sh", number.trim());
    with_local_account(&host, &line, || {
        only_the_password_is_asked(su(&host, "mallory")?)?;
        let refused = testkit::company::refused(&company.sign_in("mallory", PIN)?)?;
        assert_eq!(refused["code"], "no_credential", "{refused}");
        Ok(())
    })?;
    company.sign_in("alice", PIN)?.ok()?;
    company.forget_everyone()
}

#[test]
fn a_key_that_is_not_in_the_directory_is_said_to_be_missing_and_the_password_works() -> Result<()> {
    let (_turn, company) = company();
    company.forget_everyone()?;
    company.enrolled("alice", PIN)?;
    company.clear_keys_in_directory("alice")?;
    let mut talk = su(&company.workstation()?, "alice")?;
    talk.expect("PIN: ")?;
    talk.type_line(PIN)?;
    talk.expect("The domain does not know your key")?;
    password_works(company, talk, "alice")?;
    company.forget_everyone()
}

#[test]
fn without_the_daemon_only_the_password_is_asked() -> Result<()> {
    let (_turn, company) = company();
    company.forget_everyone()?;
    company.enrolled("alice", PIN)?;
    let host = company.workstation()?;
    host.stop("latchkeyd")?;
    let shown = su(&host, "alice").and_then(|talk| password_works(company, talk, "alice"));
    company.run_daemon()?;
    let shown = shown?;
    assert!(!shown.contains("PIN"), "{shown}");
    company.forget_everyone()
}

#[test]
fn over_the_network_no_pin_is_asked() -> Result<()> {
    let (_turn, company) = company();
    company.forget_everyone()?;
    company.enrolled("alice", PIN)?;
    let host = company.workstation()?;
    let mut near = host
        .command(&["pamtester", "login", "alice", "authenticate"])
        .talk()?;
    near.expect("PIN: ")?;
    near.type_line(PIN)?;
    near.expect("successfully authenticated")?;
    only_the_password_is_asked(from_elsewhere(&host)?)?;
    company.forget_everyone()
}

/// The beginning of a sign-in of alice's over the network.
fn from_elsewhere(host: &Host) -> Result<Talk> {
    let words = ["pamtester", "-I", "rhost=10.77.0.99", "login", "alice"];
    host.command(&[&words[..], &["authenticate"]].concat())
        .talk()
}

#[test]
fn over_the_network_the_pin_is_taken_where_a_policy_says_so() -> Result<()> {
    let (_turn, company) = company();
    company.forget_everyone()?;
    company.enrolled("alice", PIN)?;
    let host = company.workstation()?;
    let refresh = || host.command(&["latchkey", "policy", "refresh"]).ok();
    let on = value(
        "MACHINE",
        r"Software\Policies\Latchkey",
        "PinInRemoteSessions",
        1,
    );
    let object = Object::linked(company, "PINs from elsewhere", &[on])?;
    refresh()?;
    let mut far = from_elsewhere(&host)?;
    far.expect("PIN: ")?;
    far.type_line(PIN)?;
    far.expect("successfully authenticated")?;

    // Whoever is at the other end may not use up the person's last tries.
    for _ in 0..5 {
        let mut far = from_elsewhere(&host)?;
        far.expect("PIN: ")?;
        far.type_line("314159265358")?;
        password_is_next(far)?;
        // What is tested is not the wait for the next.
        host.sh("rm -f /var/lib/latchkey/tries/*")?;
    }
    only_the_password_is_asked(from_elsewhere(&host)?)?;

    company.sign_in("alice", PIN)?.ok()?;
    drop(object);
    refresh()?;
    only_the_password_is_asked(from_elsewhere(&host)?)?;
    company.forget_everyone()
}

/// The PIN was refused, and the stack goes on to the password, which is not given.
fn password_is_next(mut talk: Talk) -> Result<()> {
    talk.expect("Wrong PIN")?;
    talk.expect("Password: ")?;
    talk.type_line("")?;
    talk.finish()?;
    Ok(())
}
