//! A machine that joins the server of its domain without being told to, and when it does not.

use std::time::Duration;

use anyhow::Result;
use testkit::company::Company;
use testkit::lab::Profile;
use testkit::wait::until;

use crate::company;
use crate::policy::{Object, value};

const LONG: Duration = Duration::from_secs(60);
const WORKPLACE: &str = r"Software\Policies\Microsoft\Windows\WorkplaceJoin";

fn is_joined(company: &Company) -> Result<bool> {
    Ok(company.status("root")?["AzureAdJoined"] == "YES")
}

/// Waits for a line that the daemon has written `times` times.
fn wait_for(company: &Company, line: &str, times: usize) -> Result<()> {
    let host = company.workstation()?;
    until(line, LONG, || {
        let log = host.read_text("/var/log/latchkeyd.log");
        log.is_ok_and(|log| log.matches(line).count() >= times)
    })
}

fn restart(company: &Company) -> Result<()> {
    company.workstation()?.stop("latchkeyd")?;
    company.run_daemon()
}

#[test]
fn a_machine_of_the_domain_joins_by_itself_unless_a_policy_or_somebody_says_no() -> Result<()> {
    let (_turn, company) = company();
    let off = value("MACHINE", WORKPLACE, "autoWorkplaceJoin", 0);
    let object = Object::linked(company, "Join nothing", &[off])?;
    let company = &company.with_workstation("ws6")?;
    let host = company.workstation()?;
    company.lab.install(&host, Profile::Debug)?;
    let tpm = "tcti = \"swtpm:host=127.0.0.1,port=2321\"\n";
    host.write_file("/etc/latchkey/device.toml", tpm, 0o600)?;
    company.run_daemon()?;
    wait_for(company, "a policy wants this machine not to join", 1)?;
    assert!(!is_joined(company)?);

    drop(object);
    restart(company)?;
    wait_for(company, "event=306", 1)?;
    assert!(is_joined(company)?);

    host.command(&["latchkey", "leave"]).ok()?;
    let read = "policies read subject=Computer";
    let log = host.read_text("/var/log/latchkeyd.log")?;
    restart(company)?;
    wait_for(company, read, log.matches(read).count() + 1)?;
    assert!(!is_joined(company)?);

    host.command(&["latchkey", "join"]).within(LONG).ok()?;
    assert!(is_joined(company)?);
    host.command(&["latchkey", "leave"]).ok()?;
    host.stop("latchkeyd")
}
