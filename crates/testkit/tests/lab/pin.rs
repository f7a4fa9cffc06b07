//! A PIN's life where people meet it: due at `su` and `login`, used before, forgotten, tried wrongly.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use testkit::company::{Company, one_time_code, refused, text};
use testkit::lab::{Host, Talk};
use testkit::wait;

use crate::company;
use crate::policy::{Object, machine, value};
use crate::terminal::{choose_pin, end_of_shell, leave, login_by_pin, su};

const PIN: &str = "161803398874";
const NEXT: &str = "14142135623730";
const WRONG: &str = "314159265358";
const TICKET: &str = "krbtgt/CORP.LATCHKEY.TEST@CORP.LATCHKEY.TEST";
pub(super) const COMPLEXITY: &str = r"Software\Policies\Microsoft\PassportForWork\PINComplexity";

const FAKE_TIME: &str = "LD_PRELOAD=/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

/// Rules for PINs by the domain's own means; they go with the object.
fn rules<'a>(company: &'a Company, rules: &[(&str, u32)]) -> Result<Object<'a>> {
    let values: Vec<Value> = rules
        .iter()
        .map(|(name, number)| value("MACHINE", COMPLEXITY, name, *number))
        .collect();
    let object = Object::linked(company, "the life of PINs", &values)?;
    refresh(company)?;
    Ok(object)
}

fn refresh(company: &Company) -> Result<()> {
    let call = company
        .workstation()?
        .command(&["latchkey", "policy", "refresh"]);
    call.ok().map(drop)
}

/// The session that follows has a ticket by the PIN.
fn has_ticket(mut talk: Talk, person: &str) -> Result<()> {
    talk.expect(&format!("{person}@ws1"))?;
    talk.type_line("echo cache=$KRB5CCNAME; klist")?;
    talk.expect("cache=FILE:/tmp/krb5cc_")?;
    talk.expect(TICKET)?;
    let shown = leave(talk)?;
    for secret in [PIN, NEXT] {
        ensure!(!shown.contains(secret), "a PIN is on the screen: {shown}");
    }
    Ok(())
}

/// The code with which a sign-in by PIN is refused.
fn refusal(company: &Company, person: &str, pin: &str) -> Result<String> {
    Ok(text(&refused(&company.sign_in(person, pin)?)?, "code")?.to_owned())
}

fn credential(company: &Company, person: &str) -> Result<Value> {
    let status = company.status(person)?;
    let credential = status.pointer("/credentials/0");
    credential
        .cloned()
        .with_context(|| format!("none in {status}"))
}

/// What is tested is not the wait for the next PIN.
fn forget_waits(host: &Host) -> Result<()> {
    host.sh("rm -f /var/lib/latchkey/tries/*").map(drop)
}

#[test]
fn a_pin_that_newer_rules_would_not_take_is_replaced_at_su_before_the_session() -> Result<()> {
    let (_turn, company) = company();
    company.forget_everyone()?;
    company.enrolled("alice", PIN)?;
    let object = rules(company, &[("MinimumPINLength", 14), ("History", 3)])?;
    assert_eq!(refusal(company, "alice", PIN)?, "pin_change_required");

    let host = company.workstation()?;
    let mut talk = su(&host, "alice")?;
    talk.expect("PIN: ")?;
    talk.type_line(PIN)?;
    talk.expect("has to be changed")?;
    talk.expect("14 to 127 digits")?;
    choose_pin(&mut talk, PIN)?;
    talk.expect("at least 14 characters")?;
    talk.expect("New PIN: ")?;
    talk.type_line(NEXT)?;
    talk.expect("New PIN again: ")?;
    talk.type_line(WRONG)?;
    talk.expect("The two PINs differ.")?;
    choose_pin(&mut talk, NEXT)?;
    has_ticket(talk, "alice")?;

    assert_eq!(refusal(company, "alice", PIN)?, "wrong_pin");
    company.sign_in("alice", NEXT)?.ok()?;
    drop(object);
    refresh(company)?;
    company.forget_everyone()
}

#[test]
fn whoever_finds_no_new_pin_in_three_goes_has_the_password() -> Result<()> {
    let (_turn, company) = company();
    company.forget_everyone()?;
    company.enrolled("alice", PIN)?;
    let object = rules(company, &[("MinimumPINLength", 14)])?;
    let mut talk = su(&company.workstation()?, "alice")?;
    talk.expect("PIN: ")?;
    talk.type_line(PIN)?;
    for bad in [PIN, "11111111111111", "12345678901234"] {
        choose_pin(&mut talk, bad)?;
    }
    talk.expect("sign in with your password")?;
    talk.expect("Password: ")?;
    talk.type_line(company.lab.password("alice")?)?;
    end_of_shell(company, talk, "alice")?;
    assert_eq!(refusal(company, "alice", PIN)?, "pin_change_required");
    drop(object);
    refresh(company)?;
    company.sign_in("alice", PIN)?.ok()?;
    company.forget_everyone()
}

#[test]
fn an_expired_pin_is_replaced_at_login_and_the_status_tells_the_days() -> Result<()> {
    let (_turn, company) = company();
    company.forget_everyone()?;
    company.enrolled("bob", PIN)?;
    let host = company.workstation()?;
    // Bob sets his PIN three days ago.
    host.stop("latchkeyd")?;
    // The program of libfaketime would stand between the daemon and whoever stops it.
    let earlier = ["env", FAKE_TIME, "FAKETIME=-3d", "latchkeyd"];
    company.start(&host, "latchkeyd", &earlier, None)?;
    let set = wait::until_some("a PIN of three days ago", Duration::from_secs(30), || {
        let words = ["latchkey", "pin", "change", "--answers-stdin"];
        let answers = format!("old={PIN}\npin={WRONG}\n");
        host.command(&words).user("bob").stdin(answers).ok()
    });
    host.stop("latchkeyd")?;
    company.run_daemon()?;
    set?;

    let object = rules(company, &[("Expiration", 5)])?;
    assert_eq!(credential(company, "bob")?["pin_expires_in_days"], 2);
    company.sign_in("bob", WRONG)?.ok()?;
    drop(object);
    let object = rules(company, &[("Expiration", 2)])?;
    assert_eq!(credential(company, "bob")?["pin_expires_in_days"], 0);
    let mut talk = login_by_pin(company, "bob", WRONG)?;
    talk.expect("2 days old or older")?;
    choose_pin(&mut talk, NEXT)?;
    has_ticket(talk, "bob")?;
    assert_eq!(credential(company, "bob")?["pin_expires_in_days"], 2);
    drop(object);
    refresh(company)?;
    company.forget_everyone()
}

#[test]
fn a_pin_of_before_is_refused_in_words_at_the_terminal() -> Result<()> {
    let (_turn, company) = company();
    company.forget_everyone()?;
    company.enrolled("alice", PIN)?;
    let object = rules(company, &[("History", 5)])?;
    let host = company.workstation()?;
    let words = ["latchkey", "pin", "change", "--answers-stdin", "--json"];
    let change = |answers: String| host.command(&words).user("alice").stdin(answers).run();
    change(format!("old={PIN}\npin={NEXT}\n"))?.ok()?;
    let mut talk = host
        .command(&["latchkey", "pin", "change"])
        .user("alice")
        .talk()?;
    talk.expect("PIN as it is: ")?;
    talk.type_line(NEXT)?;
    talk.expect("None of your last 5 PINs.")?;
    choose_pin(&mut talk, PIN)?;
    talk.expect("must not be one of the last 5")?;
    choose_pin(&mut talk, "27182818284590")?;
    talk.expect("The PIN is changed.")?;
    let answer = refused(&change(format!("old=27182818284590\npin={NEXT}\n"))?)?;
    assert_eq!(text(&answer, "code")?, "pin_refused", "{answer}");
    company.sign_in("alice", "27182818284590")?.ok()?;
    drop(object);
    refresh(company)?;
    company.forget_everyone()
}

/// `latchkey pin reset` with every answer ready.
fn reset(
    company: &Company,
    person: &str,
    pin: &str,
    more: &[&str],
) -> Result<testkit::lab::Output> {
    company.give_factor(person)?;
    let answers = format!(
        "password={}\notp={}\npin={pin}\n",
        company.lab.password(person)?,
        one_time_code()?
    );
    let words = ["latchkey", "pin", "reset", "--answers-stdin", "--json"];
    let call = company.workstation()?.command(&[&words, more].concat());
    call.user(person)
        .within(Duration::from_secs(60))
        .stdin(answers)
        .run()
}

fn answer(printed: &str) -> Result<Value> {
    Ok(serde_json::from_str(
        printed.lines().last().unwrap_or_default(),
    )?)
}

#[test]
fn a_locked_pin_is_reset_by_the_server_s_word_and_the_key_stays() -> Result<()> {
    let (_turn, company) = company();
    company.forget_everyone()?;
    let recovery = [machine("Enabled", 1), machine("EnablePinRecovery", 1)];
    let object = Object::linked(company, "PIN recovery", &recovery)?;
    refresh(company)?;
    let kid = company.enrolled("alice", PIN)?;
    let in_directory = company.keys_in_directory("alice")?;
    let host = company.workstation()?;
    let mut session = su(&host, "alice")?;
    session.expect("PIN: ")?;
    session.type_line(PIN)?;
    session.expect("alice@ws1")?;
    for _ in 0..10 {
        company.sign_in("alice", WRONG)?;
        forget_waits(&host)?;
    }
    assert_eq!(refusal(company, "alice", PIN)?, "pin_locked");
    let before = credential(company, "alice")?;
    assert_eq!(
        (&before["CanReset"], &before["pin_kept"]),
        (&"DestructiveAndNonDestructive".into(), &true.into()),
        "{before}"
    );
    let mut talk = su(&host, "alice")?;
    let shown = talk.expect("Password: ")?;
    assert!(shown.contains("latchkey pin reset"), "{shown}");
    drop(talk);

    let wrong = host
        .command(&["latchkey", "pin", "reset", "--answers-stdin", "--json"])
        .user("alice")
        .stdin("password=not it\n")
        .run()?;
    assert_eq!(text(&refused(&wrong)?, "code")?, "wrong_password");
    let done = answer(&reset(company, "alice", NEXT, &[])?.ok()?)?;
    assert_eq!(text(&done, "kid")?, kid);
    assert_eq!(company.keys_in_directory("alice")?, in_directory);
    let after = credential(company, "alice")?;
    assert_eq!(
        (&after["key_id"], &after["tries_left"], &after["pin_kept"]),
        (&before["key_id"], &Value::from(10), &Value::from(false))
    );
    drop(session);
    assert_eq!(refusal(company, "alice", PIN)?, "wrong_pin");
    let mut talk = su(&host, "alice")?;
    talk.expect("PIN: ")?;
    talk.type_line(NEXT)?;
    has_ticket(talk, "alice")?;
    let told = host.command(&["latchkey", "events", "--id", "383", "--json"]);
    let told = told.user("alice").ok()?;
    assert!(told.contains("\"UPN\":\"alice@"), "{told}");
    drop(object);
    refresh(company)?;
    company.forget_everyone()
}

#[test]
fn a_pin_of_a_key_without_recovery_is_reset_with_a_new_key() -> Result<()> {
    let (_turn, company) = company();
    company.forget_everyone()?;
    let kid = company.enrolled("alice", PIN)?;
    let before = company.keys_in_directory("alice")?;
    let can_reset = credential(company, "alice")?;
    assert_eq!(can_reset["CanReset"], "DestructiveOnly", "{can_reset}");
    let refusal_of_reset = refused(&reset(company, "alice", NEXT, &[])?)?;
    assert_eq!(text(&refusal_of_reset, "code")?, "not_recoverable");
    company.sign_in("alice", PIN)?.ok()?;

    company.password_sign_in("alice")?;
    let done = answer(&reset(company, "alice", NEXT, &["--new-key"])?.ok()?)?;
    assert_ne!(text(&done, "kid")?, kid);
    wait::until(
        "AD to have the new key alone",
        Duration::from_secs(30),
        || {
            company
                .keys_in_directory("alice")
                .is_ok_and(|keys| keys.len() == 1 && keys != before)
        },
    )?;
    assert_eq!(refusal(company, "alice", PIN)?, "wrong_pin");
    let mut talk = su(&company.workstation()?, "alice")?;
    talk.expect("PIN: ")?;
    talk.type_line(NEXT)?;
    has_ticket(talk, "alice")?;
    company.forget_everyone()
}

#[test]
fn after_three_wrong_pins_su_asks_for_the_phrase_and_then_takes_the_right_one() -> Result<()> {
    let (_turn, company) = company();
    company.forget_everyone()?;
    company.enrolled("alice", PIN)?;
    let host = company.workstation()?;
    for _ in 0..3 {
        assert_eq!(refusal(company, "alice", WRONG)?, "wrong_pin");
    }
    let paused = refused(&company.sign_in("alice", PIN)?)?;
    assert_eq!(text(&paused, "code")?, "pin_paused", "{paused}");
    assert!(
        paused["retry_after_s"].as_u64().is_some_and(|s| s <= 5),
        "{paused}"
    );
    // A daemon that starts anew knows it still.
    host.stop("latchkeyd")?;
    company.run_daemon()?;
    wait::until("the wait to end", Duration::from_secs(10), || {
        refusal(company, "alice", PIN).is_ok_and(|code| code == "phrase_required")
    })?;
    company.enrolled("bob", PIN)?;
    company.sign_in("bob", PIN)?.ok()?;
    let mut talk = su(&host, "alice")?;
    talk.expect("Type LATCHKEY to go on: ")?;
    talk.type_line("latchkey")?;
    talk.expect("PIN: ")?;
    talk.type_line(PIN)?;
    has_ticket(talk, "alice")?;
    company.sign_in("alice", PIN)?.ok()?;
    company.forget_everyone()
}
