//! A workstation without a TPM, and what a policy makes of it.

use std::time::Duration;

use anyhow::Result;
use testkit::company::{refused, text};
use testkit::lab::Profile;
use testkit::wait::until;

use crate::company;
use crate::policy::{Object, is_offered, last_event, machine, refusal};

const PIN: &str = "161803398874";

#[test]
fn a_workstation_without_a_tpm_enrolls_until_a_policy_wants_hardware() -> Result<()> {
    let (_turn, company) = company();
    company.forget_everyone()?;
    let company = company.with_workstation("ws3")?;
    let host = company.workstation()?;
    // No word about TPMs: there is none at /dev/tpmrm0.
    company.join_configured(Profile::Debug, "join = \"manual\"\n")?;
    assert_eq!(company.status("root")?["key_storage"], "software");
    company.enrolled("alice", PIN)?;
    company.sign_in("alice", PIN)?.ok()?;
    let answer = refused(&company.sign_in("alice", "314159265358")?)?;
    assert_eq!(answer["tries_left"], 9, "{answer}");

    // Whatever ends the daemon ends what keeps its keys, and the next one finds them.
    let running = || host.sh("pgrep -cf '^/usr/bin/swtpm .*software-tpm' || true");
    assert_eq!(running()?.trim(), "1");
    host.kill("latchkeyd", "KILL")?;
    until("the software TPM to end", Duration::from_secs(5), || {
        running().is_ok_and(|count| count.trim() == "0")
    })?;
    company.run_daemon()?;
    company.sign_in("alice", PIN)?.ok()?;

    let values = [machine("Enabled", 1), machine("RequireSecurityDevice", 1)];
    let object = Object::linked(&company, "TPMs only", &values)?;
    assert!(!is_offered(&company, "bob")?);
    let event = last_event(&company, "bob")?;
    assert_eq!(event["event"], 360, "{event}");
    assert_eq!(event["DeviceEligible"], "NO", "{event}");
    let reason = text(&event, "Reason")?;
    assert!(
        reason.starts_with("hardware requirements met: No"),
        "{reason}"
    );
    assert_eq!(refusal(&company, "bob")?, "hardware_required");
    host.command(&["latchkey", "policy", "refresh"]).ok()?;
    let answer = refused(&company.sign_in("alice", PIN)?)?;
    assert_eq!(text(&answer, "code")?, "key_not_in_hardware", "{answer}");

    drop(object);
    host.command(&["latchkey", "policy", "refresh"]).ok()?;
    company.sign_in("alice", PIN)?.ok()?;
    host.command(&["latchkey", "leave"]).ok()?;
    assert!(!host.path("/var/lib/latchkey/software-tpm.key").exists());
    host.stop("latchkeyd")
}
