//! What a person does in the lab, step by step: the demonstration.
//!
//! The steps are told as they end, each with its time. A step that fails ends the story, and the
//! telling then says which one and why; nothing is told that did not happen.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;
use serde_json::Value;

use crate::company::{self, Company, refused, text};
use crate::lab::{Lab, Options, Profile, address};

/// A step that has ended well.
#[derive(Debug, Clone, Serialize)]
pub struct Step {
    /// Counted from 1.
    #[serde(rename = "n")]
    pub number: usize,
    /// What happened, in a few words that never change.
    pub name: &'static str,
    /// What a reader wants to see of it.
    pub detail: String,
    /// How long it took.
    pub ms: u64,
}

/// Everything that was told.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Told {
    /// The steps in order.
    pub steps: Vec<Step>,
    /// The server name of the ticket that the person ended with.
    pub ticket_server: Option<String>,
    /// Milliseconds from the key's registration to its confirmation in AD.
    pub registered_to_usable_ms: Option<u64>,
}

/// Tells the story: collects the steps and passes each on as it ends.
pub struct Teller {
    told: Told,
    say: fn(&Step),
}

impl Teller {
    /// A teller that passes each finished step to `say`.
    #[must_use]
    pub fn new(say: fn(&Step)) -> Self {
        Self {
            told: Told::default(),
            say,
        }
    }

    /// What was told so far.
    #[must_use]
    pub fn told(&self) -> &Told {
        &self.told
    }

    /// Runs one step and tells it. The step returns its value and its detail.
    ///
    /// # Errors
    /// When the step fails, with its number and name.
    pub fn step<T>(
        &mut self,
        name: &'static str,
        act: impl FnOnce() -> Result<(T, String)>,
    ) -> Result<T> {
        let number = self.told.steps.len() + 1;
        let start = Instant::now();
        let (value, detail) = act().with_context(|| format!("step {number}, {name}"))?;
        let ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        let step = Step {
            number,
            name,
            detail,
            ms,
        };
        (self.say)(&step);
        self.told.steps.push(step);
        Ok(value)
    }
}

/// The PIN of the story's people.
const PIN: &str = "493027581604";

/// Plays the story in a fresh lab `name`, which is left running.
///
/// # Errors
/// At the first step that fails.
pub fn play(name: &str, say: fn(&str), teller: &mut Teller) -> Result<Company> {
    Lab::down(name)?;
    let lab = teller.step("domain up", || {
        let lab = Lab::up(
            name,
            Options {
                say,
                ..Options::default()
            },
        )?;
        let detail = format!(
            "Samba {}, realm {}; ws1 is a member with SSSD and a TPM",
            lab.samba(),
            address::REALM
        );
        Ok((lab, detail))
    })?;
    let company = Company::new(lab);
    let fingerprint = teller.step("server up", || {
        let fingerprint = company.start_server(Profile::Debug)?;
        Ok((
            fingerprint.clone(),
            format!("{} {}…", company::SERVER_URL, shortened(&fingerprint)),
        ))
    })?;
    teller.step("agent connected", || {
        let users = company.connect_agent(&fingerprint)?;
        Ok((
            (),
            format!("{users} users of its scope at the server, service connection point published"),
        ))
    })?;
    teller.step("workstation joined", || {
        let joined = company.join_workstation(Profile::Debug)?;
        Ok(((), format!("device {}", text(&joined, "device_id")?)))
    })?;
    let directory_ms = enroll(&company, teller, "alice", "alice enrolls")?;
    teller.step("key in AD", || {
        let values = company.keys_in_directory("alice")?;
        ensure!(values.len() == 1, "alice has {} values in AD", values.len());
        let ms = directory_ms.context("the directory did not confirm the key during enrollment")?;
        Ok(((), format!("{ms} ms after it was registered")))
    })?;
    teller.told.registered_to_usable_ms = directory_ms;
    sign_in(&company, teller)?;
    use_ticket(&company, teller)?;
    refusals(&company, teller)?;
    Ok(company)
}

fn enroll(
    company: &Company,
    teller: &mut Teller,
    person: &str,
    step: &'static str,
) -> Result<Option<u64>> {
    teller.step(step, || {
        company.give_factor(person)?;
        company.password_sign_in(person)?;
        let done = company.enroll(person, PIN)?;
        let kid = text(&done, "kid")?;
        let detail = format!("password and one-time code, PIN, TPM key, registered as {kid}");
        Ok((done.get("directory_ms").and_then(Value::as_u64), detail))
    })
}

fn sign_in(company: &Company, teller: &mut Teller) -> Result<()> {
    let workstation = company.workstation()?;
    teller.step("PIN sign-in", || {
        workstation.command(&["kdestroy"]).user("alice").ok()?;
        let answer: Value = serde_json::from_str(&company.sign_in("alice", PIN)?.ok()?)?;
        Ok((
            (),
            format!(
                "{} in {} ms, cache {}",
                text(&answer, "principal")?,
                answer.get("took_ms").unwrap_or(&Value::Null),
                text(&answer, "ccache")?
            ),
        ))
    })?;
    let server = teller.step("klist shows the ticket", || {
        let listed = workstation.command(&["klist"]).user("alice").ok()?;
        let server = listed
            .split_whitespace()
            .find(|word| word.starts_with("krbtgt/"))
            .with_context(|| format!("no ticket-granting ticket in {listed}"))?;
        Ok((server.to_owned(), server.to_owned()))
    })?;
    teller.told.ticket_server = Some(server);
    Ok(())
}

fn use_ticket(company: &Company, teller: &mut Teller) -> Result<()> {
    let workstation = company.workstation()?;
    teller.step("SYSVOL by smbclient", || {
        let listed = workstation
            .command(&[
                "smbclient",
                "--use-kerberos=required",
                "//dc.corp.latchkey.test/sysvol",
                "-c",
                "ls",
            ])
            .user("alice")
            .ok()?;
        ensure!(
            listed.contains("corp.latchkey.test"),
            "SYSVOL shows {listed}"
        );
        Ok(((), "the domain's folder is there".to_owned()))
    })?;
    teller.step("ldapwhoami by GSSAPI", || {
        let said = workstation
            .command(&[
                "ldapwhoami",
                "-Q",
                "-Y",
                "GSSAPI",
                "-H",
                "ldap://dc.corp.latchkey.test",
            ])
            .user("alice")
            .ok()?;
        ensure!(said.contains("alice"), "the directory says {said}");
        Ok(((), said.trim().to_owned()))
    })
}

fn refusals(company: &Company, teller: &mut Teller) -> Result<()> {
    teller.step("wrong PIN refused", || {
        let answer = refused(&company.sign_in("alice", "000000000000")?)?;
        ensure!(
            text(&answer, "code")? == "wrong_pin",
            "refused otherwise: {answer}"
        );
        ensure!(
            answer.get("tries_left").is_some_and(Value::is_u64),
            "no tries left in {answer}"
        );
        Ok(((), text(&answer, "sentence")?.to_owned()))
    })?;
    enroll(company, teller, "bob", "bob enrolls")?;
    teller.step("key not in AD refused", || {
        company.clear_keys_in_directory("bob")?;
        let answer = refused(&company.sign_in("bob", PIN)?)?;
        ensure!(
            text(&answer, "code")? == "key_not_in_directory",
            "refused otherwise: {answer}"
        );
        Ok(((), text(&answer, "sentence")?.to_owned()))
    })
}

fn shortened(fingerprint: &str) -> &str {
    fingerprint.get(..20).unwrap_or(fingerprint)
}

#[cfg(test)]
mod tests;
