//! Whatever breaks on a machine, the password lets its people in.

use std::time::Duration;

use anyhow::Result;
use testkit::company::Company;
use testkit::wait::until;

use crate::company;
use crate::terminal::{end_of_shell, su};

const PIN: &str = "577215664901";
const STATE: &str = "/var/lib/latchkey";
const CONFIGURATION: &str = "/etc/latchkey/device.toml";

/// Whoever is asked for a PIN passes it over; the password opens a session.
fn password_opens(company: &Company, person: &str) -> Result<()> {
    let mut talk = su(&company.workstation()?, person)?;
    let shown = talk.expect(": ")?;
    if shown.contains("PIN") {
        talk.type_line("")?;
        talk.expect("Password: ")?;
    }
    talk.type_line(company.lab.password(person)?)?;
    end_of_shell(company, talk, person).map(drop)
}

/// Starts the daemon, and waits until it answers or gives up.
pub(super) fn start_or_end(company: &Company) -> Result<()> {
    let host = company.workstation()?;
    company.start(&host, "latchkeyd", &["latchkeyd"], None)?;
    until(
        "the daemon to start or to end",
        Duration::from_secs(20),
        || {
            let asked = host.command(&["latchkey", "status", "--json"]).run();
            host.pid("latchkeyd").is_none() || asked.is_ok_and(|told| told.status == 0)
        },
    )
}

/// Alice has a PIN; the daemon is down while something is broken, and is started on it. Whether it starts
/// is its own business: her password must open a session, and after the mending her PIN another.
fn with_broken(what: &str, mend: &str) -> Result<()> {
    let (_turn, company) = company();
    company.forget_everyone()?;
    company.enrolled("alice", PIN)?;
    let host = company.workstation()?;
    host.stop("latchkeyd")?;
    host.sh(what)?;
    let opened = start_or_end(company).and_then(|()| password_opens(company, "alice"));
    if host.pid("latchkeyd").is_some() {
        host.stop("latchkeyd")?;
    }
    host.sh(mend)?;
    company.run_daemon()?;
    opened?;
    company.sign_in("alice", PIN)?.ok()?;
    company.forget_everyone()
}

#[test]
fn a_full_disk_keeps_nobody_out() -> Result<()> {
    with_broken(
        &format!(
            "mv {STATE} {STATE}.kept && mkdir {STATE} && mount -t tmpfs -o size=1m none {STATE} && \
             cp -a {STATE}.kept/. {STATE}/ && ! dd if=/dev/zero of={STATE}/full bs=4k 2>/dev/null"
        ),
        &format!("umount {STATE} && rmdir {STATE} && mv {STATE}.kept {STATE}"),
    )
}

#[test]
fn a_configuration_that_cannot_be_read_keeps_nobody_out() -> Result<()> {
    with_broken(
        &format!("cp -a {CONFIGURATION} /root/kept.toml && echo 'tpm = [' >>{CONFIGURATION}"),
        &format!("mv /root/kept.toml {CONFIGURATION}"),
    )
}

#[test]
fn state_that_cannot_be_read_keeps_nobody_out() -> Result<()> {
    with_broken(
        &format!(
            "cp -a {STATE} {STATE}.kept && \
             find {STATE} -name '*.json' -exec sh -c 'echo {{ >\"$1\"' sh {{}} ';'"
        ),
        &format!("rm -r {STATE} && mv {STATE}.kept {STATE}"),
    )
}

#[test]
fn a_tpm_that_does_not_answer_keeps_nobody_out() -> Result<()> {
    let (_turn, company) = company();
    company.forget_everyone()?;
    company.enrolled("alice", PIN)?;
    let host = company.workstation()?;
    // Whoever holds the TPM's only connection goes first.
    host.stop("latchkeyd")?;
    company.lab.stop_tpm("ws1")?;
    let opened = start_or_end(company).and_then(|()| password_opens(company, "alice"));
    if host.pid("latchkeyd").is_some() {
        host.stop("latchkeyd")?;
    }
    company.lab.start_tpm("ws1")?;
    company.run_daemon()?;
    opened?;
    company.sign_in("alice", PIN)?.ok()?;
    company.forget_everyone()
}
