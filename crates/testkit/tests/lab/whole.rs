//! A workstation as its people have it: set up by the package, systemd around the daemon, `login` on a
//! terminal. From the first password to a PIN, through a day without a network, to another PIN; by every
//! name that a person has; beside an account of the machine's own that is called the same.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use testkit::company::{Company, PEOPLE_GROUP, TOTP_SECRET, one_time_code};
use testkit::lab::address::full_name;
use testkit::lab::{Host, Talk};
use testkit::wait::{until, until_some};

use crate::packages::packaged;
use crate::policy::{Object, machine};
use crate::sessions::ticket_comes_with_the_network;
use crate::terminal::{
    choose_pin, confirm_both_factors, end_of_shell, leave, login, login_by_password, login_by_pin,
    prompt, shell_by_pin,
};

const PIN: &str = "662607015034";
const NEXT: &str = "137035999084";
const THIRD: &str = "299792458112";
const FOURTH: &str = "835461823904";
const TICKET: &str = "krbtgt/CORP.LATCHKEY.TEST@CORP.LATCHKEY.TEST";

/// The session has a ticket that came with it, and a service of the domain takes it.
fn ticket_is_used(talk: &mut Talk, person: &str) -> Result<()> {
    talk.type_line("echo cache=$KRB5CCNAME; klist")?;
    talk.expect("cache=FILE:/tmp/krb5cc_")?;
    talk.expect(TICKET)?;
    directory_takes_it(talk, person)
}

/// A service of the domain takes the ticket for that person's.
fn directory_takes_it(talk: &mut Talk, person: &str) -> Result<()> {
    let directory = full_name("dc");
    talk.type_line(&format!("ldapwhoami -Q -Y GSSAPI -H ldap://{directory}"))?;
    talk.expect(&format!("u:CORP\\{person}")).map(drop)
}

/// What the machine knows of the only credential on it.
fn credential(company: &Company, person: &str) -> Result<Value> {
    let status = company.status(person)?;
    let found = status.pointer("/credentials/0").cloned();
    found.with_context(|| format!("no credential in {status}"))
}

/// `latchkey pin reset` in a session of alice's, up to the new PIN.
fn reset(company: &Company, talk: &mut Talk, more: &str) -> Result<()> {
    company.give_factor("alice")?;
    talk.type_line(&format!("latchkey pin reset {more}"))?;
    talk.expect("[Y/n] ")?;
    talk.type_line("y")?;
    talk.expect("Password: ")?;
    talk.type_line(company.lab.password("alice")?)?;
    talk.expect("Code from your authenticator: ")?;
    talk.type_line(&one_time_code()?)
}

#[test]
fn a_person_comes_with_a_password_gets_a_pin_and_lives_with_it() -> Result<()> {
    let packaged = packaged()?;
    let company = &packaged.company;
    let values = [machine("Enabled", 1), machine("EnablePinRecovery", 1)];
    let _object = Object::linked(company, "hello", &values)?;
    let host = company.workstation()?;

    // The password, the enrollment before the shell, the end of the session.
    company.give_factor("alice")?;
    let mut talk = login_by_password(company, "alice")?;
    confirm_both_factors(company, &mut talk, "alice")?;
    choose_pin(&mut talk, PIN)?;
    talk.expect("Done. Your PIN can be used now")?;
    end_of_shell(company, talk, "alice")?;
    host.command(&["kdestroy"]).user("alice").ok()?;

    // The PIN, its ticket, a use of the ticket.
    let mut talk = shell_by_pin(company, "alice", PIN)?;
    ticket_is_used(&mut talk, "alice")?;
    let shown = leave(talk)?;
    ensure!(!shown.contains(PIN), "the PIN is on the screen: {shown}");

    // Without a network, and with it again.
    let mut talk = ticket_comes_with_the_network(company, "alice", PIN)?;
    directory_takes_it(&mut talk, "alice")?;

    // Another PIN, by whoever knows the first.
    let key = credential(company, "alice")?["key_id"].clone();
    talk.type_line("latchkey pin change")?;
    talk.expect("PIN as it is: ")?;
    talk.type_line(PIN)?;
    choose_pin(&mut talk, NEXT)?;
    talk.expect("The PIN is changed.")?;
    leave(talk)?;
    wrong_pin(company, "alice", PIN)?;

    // By whoever forgot it: the same key, by the server's word.
    let mut talk = shell_by_pin(company, "alice", NEXT)?;
    reset(company, &mut talk, "")?;
    choose_pin(&mut talk, THIRD)?;
    prompt(company, &mut talk, "alice")?;
    leave(talk)?;
    ensure!(credential(company, "alice")?["key_id"] == key, "a new key");
    wrong_pin(company, "alice", NEXT)?;

    // And with another key.
    let mut talk = shell_by_pin(company, "alice", THIRD)?;
    let old = company.keys_in_directory("alice")?;
    reset(company, &mut talk, "--new-key")?;
    choose_pin(&mut talk, FOURTH)?;
    talk.expect("Done. Your PIN can be used now")?;
    leave(talk)?;
    ensure!(credential(company, "alice")?["key_id"] != key, "the key");
    until("AD to have the new key alone", PATIENCE, || {
        let keys = company.keys_in_directory("alice");
        keys.is_ok_and(|keys| keys.len() == 1 && keys != old)
    })?;
    wrong_pin(company, "alice", THIRD)?;
    let mut talk = shell_by_pin(company, "alice", FOURTH)?;
    ticket_is_used(&mut talk, "alice")?;
    leave(talk)?;
    company.forget_everyone()
}

/// `login` says that it is not the PIN, and asks for the password.
fn wrong_pin(company: &Company, person: &str, pin: &str) -> Result<()> {
    let mut talk = login_by_pin(company, person, pin)?;
    talk.expect("Wrong PIN")?;
    talk.expect("Password: ").map(drop)
}

/// Somebody whose principal name does not begin as the account's short one; goes with the test.
struct Newcomer<'c> {
    company: &'c Company,
    password: String,
}

impl<'c> Newcomer<'c> {
    const NAME: &'static str = "erin";
    const PRINCIPAL: &'static str = "erin.smith@corp.latchkey.test";

    fn hired(company: &'c Company) -> Result<Self> {
        let name = Self::NAME;
        let password = company.lab.password("alice")?.to_owned();
        let newcomer = Self { company, password };
        let dn = format!("CN={name},OU=Staff,DC=corp,DC=latchkey,DC=test");
        company
            .controller()?
            .command(&["samba-tool", "user", "create", name, "--userou=OU=Staff"])
            .stdin(format!("{0}\n{0}\n", newcomer.password))
            .ok()?;
        company.on_controller(&format!(
            "printf 'dn: {dn}\\nchangetype: modify\\nreplace: userPrincipalName\\n\
             userPrincipalName: {}\\n' | ldbmodify -H /var/lib/samba/private/sam.ldb && \
             samba-tool group addmembers '{PEOPLE_GROUP}' {name}",
            Self::PRINCIPAL
        ))?;
        until_some("the newcomer at the server", PATIENCE, || {
            let words = ["latchkey-server", "admin", "user", "totp", Self::PRINCIPAL];
            let call = company
                .server()?
                .command(&[&words[..], &["--secret-stdin"]].concat());
            call.stdin(format!("{TOTP_SECRET}\n")).ok()
        })?;
        // The account comes up before its groups do.
        until_some("the newcomer's group at the server", PATIENCE, || {
            let shown = company.admin(&["user", "show", Self::PRINCIPAL])?;
            ensure!(
                shown["groups"].to_string().contains(PEOPLE_GROUP),
                "{shown}"
            );
            Ok::<_, anyhow::Error>(())
        })?;
        Ok(newcomer)
    }

    /// Enrolls in a session that the password opened.
    fn enrolled(&self) -> Result<()> {
        let mut talk = login(self.company, Self::NAME)?;
        talk.expect("Password: ")?;
        talk.type_line(&self.password)?;
        talk.expect(&format!(
            "Set up a PIN on this machine for {}?",
            Self::PRINCIPAL
        ))?;
        talk.type_line("OK")?;
        talk.expect("Password: ")?;
        talk.type_line(&self.password)?;
        talk.expect("Code from your authenticator: ")?;
        talk.type_line(&one_time_code()?)?;
        choose_pin(&mut talk, PIN)?;
        talk.expect("Done. Your PIN can be used now")?;
        end_of_shell(self.company, talk, Self::NAME).map(drop)
    }
}

impl Drop for Newcomer<'_> {
    fn drop(&mut self) {
        let line = format!("samba-tool user delete {}", Self::NAME);
        if let Err(error) = self.company.on_controller(&line) {
            eprintln!("{} stays: {error:#}", Self::NAME);
        }
    }
}

#[test]
fn every_form_of_a_name_leads_to_the_same_person_by_pin() -> Result<()> {
    let packaged = packaged()?;
    let company = &packaged.company;
    let object = Object::linked(company, "hello", &[machine("Enabled", 1)])?;
    let newcomer = Newcomer::hired(company)?;
    newcomer.enrolled()?;
    drop(object);
    let uid = company.workstation()?.sh("id -u erin")?;
    for name in [
        "erin",
        r"CORP\erin",
        "erin@corp.latchkey.test",
        Newcomer::PRINCIPAL,
    ] {
        let signed_in = || {
            let mut talk = login_by_pin(company, name, PIN)?;
            prompt(company, &mut talk, "erin")?;
            talk.type_line("echo uid=$(id -u)")?;
            talk.expect(&format!("uid={}", uid.trim()))?;
            ticket_is_used(&mut talk, "erin")?;
            leave(talk)?;
            company
                .workstation()?
                .command(&["kdestroy"])
                .user("erin")
                .ok()
        };
        signed_in().with_context(|| format!("by the name {name}"))?;
    }
    company.forget_everyone()?;
    drop(newcomer);
    Ok(())
}

/// An account of the machine's own; it goes with the test.
pub(super) struct Local(Host);

impl Local {
    const UID: u32 = 4242;
    const PASSWORD: &'static str = "correct horse battery";

    pub(super) fn called(host: Host, name: &str) -> Result<Self> {
        let uid = Self::UID;
        host.sh(&format!(
            "cp -a /etc/passwd /root/passwd.kept && cp -a /etc/shadow /root/shadow.kept && \
             echo '{name}:x:{uid}:{uid}::/home/local:/bin/bash' >>/etc/passwd && \
             echo \"{name}:$(openssl passwd -6 '{}'):20000::::::\" >>/etc/shadow && \
             install -d -o {uid} -g {uid} /home/local",
            Self::PASSWORD
        ))?;
        Ok(Self(host))
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        let back = "mv /root/passwd.kept /etc/passwd; mv /root/shadow.kept /etc/shadow";
        if let Err(error) = self.0.sh(back) {
            eprintln!("a local account stays: {error:#}");
        }
    }
}

#[test]
fn a_local_account_of_the_same_name_stays_the_machine_s_own() -> Result<()> {
    let packaged = packaged()?;
    let company = &packaged.company;
    company.enrolled("alice", PIN)?;
    let host = company.workstation()?;
    let uid = host.sh("id -u alice")?;
    let local = Local::called(host.clone(), "alice")?;

    // The short name is the machine's: its own password opens it, and no PIN is asked for.
    let mut talk = login(company, "alice")?;
    let shown = talk.expect("Password: ")?;
    ensure!(!shown.contains("PIN"), "{shown}");
    talk.type_line(Local::PASSWORD)?;
    prompt(company, &mut talk, "alice")?;
    talk.type_line("echo uid=$(id -u) cache=$KRB5CCNAME.; latchkey status")?;
    talk.expect(&format!("uid={} cache=.", Local::UID))?;
    talk.expect("IsUserAzureAD : NO")?;
    leave(talk)?;

    // With the domain in it, a name is the person's, who gets no session of the other's.
    for name in [r"CORP\alice", "alice@corp.latchkey.test"] {
        let signed_in = || {
            let mut talk = login_by_pin(company, name, PIN)?;
            prompt(company, &mut talk, "alice")?;
            talk.type_line("echo uid=$(id -u); klist")?;
            talk.expect(&format!("uid={}", uid.trim()))?;
            talk.expect(TICKET)?;
            leave(talk)
        };
        signed_in().with_context(|| format!("by the name {name}"))?;
    }
    drop(local);
    company.sign_in("alice", PIN)?.ok()?;
    company.forget_everyone()
}

const PATIENCE: Duration = Duration::from_secs(30);
