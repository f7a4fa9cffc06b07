//! The beginning and the end of sessions, as people have them: `login` on a terminal, an enrollment
//! before the shell, the PIN afterwards.

use std::time::Duration;

use anyhow::{Result, ensure};
use testkit::company::{Company, refused, text, upn};
use testkit::lab::{KdcCertificate, Talk};
use testkit::wait::until;

use crate::company;
use crate::policy::{Object, last_event, machine, value};
use crate::terminal::{
    choose_pin, confirm_both_factors, end_of_shell, leave, login_by_password, login_by_pin, prompt,
    shell_by_pin,
};

const PIN: &str = "161803398874";
const DONE: &str = "Done. Your PIN can be used now";
const TICKET: &str = "krbtgt/CORP.LATCHKEY.TEST@CORP.LATCHKEY.TEST";

/// Signs in by PIN, and the session has the ticket.
fn pin_brings_a_ticket(company: &Company, person: &str) -> Result<()> {
    let mut talk = shell_by_pin(company, person, PIN)?;
    talk.type_line("klist")?;
    talk.expect(TICKET)?;
    primary_comes(company, person)?;
    leave(talk).map(drop)
}

/// In the background of a session comes what it is worth at the server, which hears later than the domain
/// who may sign in.
fn primary_comes(company: &Company, person: &str) -> Result<()> {
    until("a primary refresh token", Duration::from_secs(60), || {
        let status = company.status(person);
        status.is_ok_and(|status| status["AzureAdPrt"] == "YES")
    })
}

/// With the workstation off the network; back on it in the end.
pub(super) fn unplugged<T>(company: &Company, act: impl FnOnce() -> Result<T>) -> Result<T> {
    unplugged_host(company, &company.workstation()?.name, act)
}

/// The same with any host.
pub(super) fn unplugged_host<T>(
    company: &Company,
    host: &str,
    act: impl FnOnce() -> Result<T>,
) -> Result<T> {
    company.lab.unplug(host)?;
    let outcome = act();
    company.lab.plug(host)?;
    outcome
}

/// Opens a session by PIN without a network, which has no ticket, and waits for the one that comes by
/// itself with the network.
pub(super) fn ticket_comes_with_the_network(
    company: &Company,
    person: &str,
    pin: &str,
) -> Result<Talk> {
    let host = company.workstation()?;
    host.command(&["kdestroy"]).user(person).ok()?;
    let talk = unplugged(company, || {
        let mut talk = login_by_pin(company, person, pin)?;
        talk.expect("No domain controller answers. You are signed in without a ticket")?;
        prompt(company, &mut talk, person)?;
        talk.type_line("klist")?;
        talk.expect("No credentials cache")?;
        Ok(talk)
    })?;
    until(
        "a ticket without a question",
        Duration::from_secs(60),
        || host.command(&["klist", "-s"]).user(person).ok().is_ok(),
    )?;
    Ok(talk)
}

/// Is the PIN of `person` kept in the daemon?
pub(super) fn is_kept(company: &Company, person: &str) -> Result<bool> {
    let status = company.status(person)?;
    Ok(status.pointer("/credentials/0/pin_kept") == Some(&true.into()))
}

#[test]
fn without_a_domain_controller_the_pin_opens_a_session_and_the_ticket_comes_with_the_network()
-> Result<()> {
    let (_turn, company) = company();
    company.forget_everyone()?;
    company.enrolled("alice", PIN)?;
    pin_brings_a_ticket(company, "alice")?;
    let host = company.workstation()?;
    let talk = ticket_comes_with_the_network(company, "alice", PIN)?;
    ensure!(is_kept(company, "alice")?, "the PIN is not kept");

    // The lock wipes it; the next right PIN brings it back; the end of the session wipes it.
    host.command(&["latchkey", "lock"]).user("alice").ok()?;
    ensure!(!is_kept(company, "alice")?, "the PIN is kept after a lock");
    company.sign_in("alice", PIN)?.ok()?;
    ensure!(is_kept(company, "alice")?, "the PIN is not kept again");
    leave(talk)?;
    ensure!(!is_kept(company, "alice")?, "the PIN outlives the session");
    company.forget_everyone()
}

#[test]
fn a_stranger_s_wrong_pins_keep_no_ticket_away_and_are_not_made_up_for_by_it() -> Result<()> {
    let (_turn, company) = company();
    company.forget_everyone()?;
    company.enrolled("alice", PIN)?;
    pin_brings_a_ticket(company, "alice")?;
    let host = company.workstation()?;
    host.command(&["kdestroy"]).user("alice").ok()?;
    let refusal = |pin: &str| -> Result<String> {
        let answer = refused(&company.sign_in("alice", pin)?)?;
        Ok(text(&answer, "code")?.to_owned())
    };
    // A KDC that is refused at once leaves no try under way that was begun before the wrong PINs.
    company
        .lab
        .use_kdc_certificate(KdcCertificate::WrongAuthority)?;
    let talk = (|| {
        let talk = shell_by_pin(company, "alice", PIN)?;
        for _ in 0..3 {
            ensure!(refusal("161803398875")? == "wrong_pin");
        }
        Ok(talk)
    })();
    company.lab.use_kdc_certificate(KdcCertificate::DnsNames)?;
    let talk = talk?;
    until(
        "a ticket without a question",
        Duration::from_secs(90),
        || host.command(&["klist", "-s"]).user("alice").ok().is_ok(),
    )?;
    // The ticket has made up for none of them.
    until("the wait to end", Duration::from_secs(10), || {
        refusal(PIN).is_ok_and(|code| code == "phrase_required")
    })?;
    leave(talk)?;
    company.forget_everyone()
}

#[test]
fn a_pin_that_was_changed_is_kept_no_more() -> Result<()> {
    let (_turn, company) = company();
    company.forget_everyone()?;
    company.enrolled("alice", PIN)?;
    let talk = shell_by_pin(company, "alice", PIN)?;
    ensure!(is_kept(company, "alice")?, "the PIN is not kept");
    let next = "271828182845";
    company
        .workstation()?
        .command(&["latchkey", "pin", "change", "--answers-stdin"])
        .user("alice")
        .stdin(format!("old={PIN}\npin={next}\n"))
        .ok()?;
    ensure!(!is_kept(company, "alice")?, "the PIN of before is kept");
    company.sign_in("alice", next)?.ok()?;
    ensure!(is_kept(company, "alice")?, "the next PIN is not kept");
    leave(talk)?;
    company.forget_everyone()
}

#[test]
fn where_a_policy_gives_no_days_nobody_signs_in_without_a_domain_controller() -> Result<()> {
    let (_turn, company) = company();
    company.forget_everyone()?;
    company.enrolled("alice", PIN)?;
    pin_brings_a_ticket(company, "alice")?;
    let none = value(
        "MACHINE",
        r"Software\Policies\Latchkey",
        "OfflineSignInDays",
        0,
    );
    let object = Object::linked(company, "no days", &[none])?;
    let host = company.workstation()?;
    let refresh = || host.command(&["latchkey", "policy", "refresh"]).ok();
    refresh()?;
    unplugged(company, || {
        let mut talk = login_by_pin(company, "alice", PIN)?;
        talk.expect("Your organization does not take the PIN without one")?;
        Ok(())
    })?;
    drop(object);
    refresh()?;
    company.forget_everyone()
}

#[test]
fn a_kdc_that_cannot_prove_itself_brings_a_session_an_alarm_and_no_ticket() -> Result<()> {
    let (_turn, company) = company();
    company.forget_everyone()?;
    company.enrolled("alice", PIN)?;
    pin_brings_a_ticket(company, "alice")?;
    let host = company.workstation()?;
    host.command(&["kdestroy"]).user("alice").ok()?;
    company
        .lab
        .use_kdc_certificate(KdcCertificate::WrongAuthority)?;
    let talk = (|| {
        let mut talk = login_by_pin(company, "alice", PIN)?;
        talk.expect("could not prove that it is one")?;
        talk.expect("You are signed in without a ticket")?;
        talk.expect("alice@ws1")?;
        let event = last_event(company, "alice")?;
        ensure!(
            (&event["event"], &event["ErrorCode"]) == (&7001.into(), &"kdc_not_trusted".into()),
            "{event}"
        );
        Ok(talk)
    })();
    company.lab.use_kdc_certificate(KdcCertificate::DnsNames)?;
    // It is tried again, without a question.
    let talk = talk?;
    until(
        "a ticket without a question",
        Duration::from_secs(90),
        || host.command(&["klist", "-s"]).user("alice").ok().is_ok(),
    )?;
    leave(talk)?;
    company.forget_everyone()
}

#[test]
fn whoever_has_an_access_pass_alone_enrolls_with_it() -> Result<()> {
    let (_turn, company) = company();
    company.forget_everyone()?;
    company.admin(&["user", "forget-factors", &upn("bob")])?;
    let pass = company.admin(&["user", "access-pass", &upn("bob")])?;
    company.password_sign_in("bob")?;
    let answers = format!(
        "password={}\ntap={}\npin={PIN}\n",
        company.lab.password("bob")?,
        text(&pass, "pass")?
    );
    company
        .workstation()?
        .command(&["latchkey", "enroll", "--answers-stdin", "--json"])
        .user("bob")
        .stdin(answers)
        .ok()?;
    company.sign_in("bob", PIN)?.ok()?;
    company.forget_everyone()
}

#[test]
fn a_program_that_is_killed_ends_its_session_too() -> Result<()> {
    let (_turn, company) = company();
    company.forget_everyone()?;
    company.enrolled("alice", PIN)?;
    let one = shell_by_pin(company, "alice", PIN)?;
    let other = shell_by_pin(company, "alice", PIN)?;
    let host = company.workstation()?;
    host.sh("kill -9 $(pgrep -o -x login)")?;
    drop(one);
    ensure!(
        is_kept(company, "alice")?,
        "the other session is still open"
    );
    host.sh("kill -9 $(pgrep -x login)")?;
    until("the PIN to go", Duration::from_secs(10), || {
        is_kept(company, "alice").is_ok_and(|kept| !kept)
    })?;
    drop(other);
    company.forget_everyone()
}

#[test]
fn a_disabled_account_is_told_so_and_stays_out_with_the_cable_pulled() -> Result<()> {
    let (_turn, company) = company();
    company.forget_everyone()?;
    company.enrolled("bob", PIN)?;
    pin_brings_a_ticket(company, "bob")?;
    company.on_controller("samba-tool user disable bob")?;
    let outcome = (|| {
        let mut talk = login_by_pin(company, "bob", PIN)?;
        talk.expect("The account is disabled in the domain.")?;
        drop(talk);
        unplugged(company, || {
            let mut talk = login_by_pin(company, "bob", PIN)?;
            talk.expect("When the domain was last asked, it said: The account is disabled")?;
            Ok(())
        })
    })();
    company.on_controller("samba-tool user enable bob")?;
    outcome?;
    // The domain's next yes takes the no back.
    pin_brings_a_ticket(company, "bob")?;
    company.forget_everyone()
}

#[test]
fn a_primary_refresh_token_comes_by_itself_once_the_server_hears_that_the_person_may_sign_in()
-> Result<()> {
    let (_turn, company) = company();
    company.forget_everyone()?;
    company.enrolled("bob", PIN)?;
    let sees_bob_active = |is_active: bool| {
        until("the server to hear of it", Duration::from_secs(60), || {
            let user = company.admin(&["user", "show", &upn("bob")]);
            user.is_ok_and(|user| user["active"] == is_active)
        })
    };
    company.on_controller("samba-tool user disable bob")?;
    let unheard = sees_bob_active(false).and_then(|()| company.server()?.stop("latchkey-sync"));
    company.on_controller("samba-tool user enable bob")?;
    let talk = unheard.and_then(|()| {
        let talk = shell_by_pin(company, "bob", PIN)?;
        until("the server's no", Duration::from_secs(20), || {
            let status = company.status("bob");
            status.is_ok_and(|status| status.get("AzureAdPrtFailure").is_some())
        })?;
        Ok(talk)
    });
    company.run_agent()?;
    let talk = talk?;
    sees_bob_active(true)?;
    primary_comes(company, "bob")?;
    leave(talk)?;
    company.forget_everyone()
}

#[test]
fn a_sign_in_by_password_leads_through_an_enrollment_and_the_next_is_by_pin() -> Result<()> {
    let (_turn, company) = company();
    company.forget_everyone()?;
    company.give_factor("alice")?;
    let _on = Object::linked(company, "hello", &[machine("Enabled", 1)])?;
    let mut talk = login_by_password(company, "alice")?;
    confirm_both_factors(company, &mut talk, "alice")?;
    // Each refusal in words, and another try.
    choose_pin(&mut talk, "123456")?;
    talk.expect("New PIN: ")?;
    talk.type_line(PIN)?;
    talk.expect("New PIN again: ")?;
    talk.type_line("161803398875")?;
    talk.expect("The two PINs differ.")?;
    choose_pin(&mut talk, PIN)?;
    talk.expect(DONE)?;
    let shown = end_of_shell(company, talk, "alice")?;
    assert!(!shown.contains(PIN), "the PIN is on the screen: {shown}");
    pin_brings_a_ticket(company, "alice")?;
    company.forget_everyone()
}

#[test]
fn whoever_skips_the_enrollment_or_breaks_it_off_has_a_shell_and_is_asked_again() -> Result<()> {
    let (_turn, company) = company();
    company.forget_everyone()?;
    company.give_factor("bob")?;
    let _on = Object::linked(company, "hello", &[machine("Enabled", 1)])?;
    let mut talk = login_by_password(company, "bob")?;
    talk.expect("Set up a PIN on this machine for bob@")?;
    talk.type_line("")?;
    talk.expect("you are asked again at your next sign-in")?;
    end_of_shell(company, talk, "bob")?;

    // Ctrl-C where something is typed unseen.
    let mut talk = login_by_password(company, "bob")?;
    talk.expect("Set up a PIN on this machine for bob@")?;
    talk.type_line("ok")?;
    talk.expect("Password: ")?;
    talk.type_line("\u{3}")?;
    talk.expect("broken off")?;
    talk.expect("bob@ws1")?;
    talk.type_line("exit")?;
    // The shell around `login` that the terminal began with has heard Ctrl-C too, and ends by it.
    talk.finish()?;

    // Where a policy keeps it from starting, nobody is asked.
    let _off = Object::linked(
        company,
        "by hand",
        &[machine("DisablePostLogonProvisioning", 1)],
    )?;
    let shown = end_of_shell(company, login_by_password(company, "bob")?, "bob")?;
    assert!(!shown.contains("Set up a PIN"), "{shown}");
    company.forget_everyone()
}

#[test]
fn a_daemon_that_dies_during_an_enrollment_keeps_nobody_out_and_the_next_sign_in_goes_on()
-> Result<()> {
    let (_turn, company) = company();
    company.forget_everyone()?;
    company.give_factor("alice")?;
    let _on = Object::linked(company, "hello", &[machine("Enabled", 1)])?;
    let mut talk = login_by_password(company, "alice")?;
    confirm_both_factors(company, &mut talk, "alice")?;
    talk.expect("New PIN: ")?;
    company.workstation()?.kill("latchkeyd", "KILL")?;
    talk.type_line(PIN)?;
    talk.expect("New PIN again: ")?;
    talk.type_line(PIN)?;
    talk.expect("No PIN was set up: ")?;
    end_of_shell(company, talk, "alice")?;
    company.run_daemon()?;

    company.give_factor("alice")?;
    let mut talk = login_by_password(company, "alice")?;
    confirm_both_factors(company, &mut talk, "alice")?;
    choose_pin(&mut talk, PIN)?;
    talk.expect(DONE)?;
    end_of_shell(company, talk, "alice")?;
    pin_brings_a_ticket(company, "alice")?;
    company.forget_everyone()
}
