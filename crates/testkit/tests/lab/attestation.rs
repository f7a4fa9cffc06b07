//! Keys that must be in a TPM, made by the real device in a real TPM.

use anyhow::{Context as _, Result};
use serde_json::Value;
use testkit::company::{Company, refused, text};
use testkit::lab::address::BASE_DN;

use crate::chain::PIN;
use crate::company;
use crate::evaluation::gpo;

fn set(company: &Company, name: &str, value: &str) -> Result<()> {
    company.admin(&["settings", "set", name, value]).map(|_| ())
}

/// What the server found about a key.
fn verdict(company: &Company, kid: &str) -> Result<(String, String)> {
    let keys = company.admin(&["key", "list"])?;
    let keys = keys.as_array().context("no list of keys")?;
    let key = keys.iter().find(|key| key["kid"] == kid);
    let key: &Value = key.context("the key is not listed")?;
    Ok((
        text(key, "level")?.to_owned(),
        text(key, "reason")?.to_owned(),
    ))
}

#[test]
fn where_hardware_is_demanded_a_workstation_enrolls_by_its_tpm_and_not_without_trust() -> Result<()>
{
    let (_turn, company) = company();
    company.forget_everyone()?;
    set(company, "attestation", "require")?;
    let kid = company.enrolled("alice", PIN)?;
    let (level, reason) = verdict(company, &kid)?;
    assert_eq!(level, "hardware", "{reason}");
    assert!(reason.contains("first_use"), "{reason}");
    company.sign_in("alice", PIN)?.ok()?;
    company.forget_everyone()?;

    // The same key of the same TPM, where nobody vouches for it any more.
    set(company, "trust-first-use", "off")?;
    company.give_factor("alice")?;
    company.password_sign_in("alice")?;
    let answer = refused(&company.enrollment("alice", PIN)?.run()?)?;
    assert_eq!(text(&answer, "code")?, "not_attested", "{answer}");
    assert_eq!(company.keys_in_directory("alice")?.len(), 0);
    set(company, "trust-first-use", "on")?;
    set(company, "attestation", "prefer")
}

#[test]
fn a_group_policy_that_demands_hardware_and_recovery_is_met_by_the_key() -> Result<()> {
    let (_turn, company) = company();
    company.forget_everyone()?;
    let name = "Hardware and recovery";
    gpo(company, &["create", name])?;
    gpo(
        company,
        &[
            "set",
            name,
            "require-security-device",
            "attestation=require",
            "pin-recovery=on",
        ],
    )?;
    gpo(company, &["link", name, BASE_DN])?;
    let workstation = company.workstation()?;
    workstation
        .command(&["latchkey", "policy", "refresh"])
        .ok()?;
    let enrolled = company.enrolled("alice", PIN);
    gpo(company, &["delete", name])?;
    workstation
        .command(&["latchkey", "policy", "refresh"])
        .ok()?;
    let (level, reason) = verdict(company, &enrolled?)?;
    assert_eq!(level, "hardware", "{reason}");
    assert!(reason.contains("can allow a reset"), "{reason}");
    company.sign_in("alice", PIN)?.ok()?;
    company.forget_everyone()
}
