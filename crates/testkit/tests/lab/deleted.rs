//! A workstation that an administrator suspends, and one that is deleted.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::Value;
use testkit::company::Company;
use testkit::lab::Profile;
use testkit::wait::until;

use crate::chain::PIN;
use crate::company;

/// What the device says of itself, having asked its server.
fn stands(company: &Company) -> Result<(String, String, usize)> {
    let status = company.status("root")?;
    let word = |name: &str| status[name].as_str().unwrap_or_default().to_owned();
    let credentials = status["credentials"].as_array().map_or(0, Vec::len);
    Ok((word("AzureAdJoined"), word("DeviceAuthStatus"), credentials))
}

#[test]
fn a_suspended_workstation_keeps_its_keys_and_a_deleted_one_forgets_them() -> Result<()> {
    let (_turn, company) = company();
    company.forget_everyone()?;
    let company = &company.with_workstation("ws7")?;
    company.join_workstation(Profile::Debug)?;
    company.enrolled("alice", PIN)?;
    let refused = "FAILED. Device is either disabled or deleted";

    company.admin(&["device", "disable", "ws7"])?;
    let suspended = ("YES".to_owned(), refused.to_owned(), 1);
    ensure!(stands(company)? == suspended, "{:?}", stands(company)?);
    company.admin(&["device", "enable", "ws7"])?;
    let enabled = ("YES".to_owned(), "SUCCESS".to_owned(), 1);
    ensure!(stands(company)? == enabled, "{:?}", stands(company)?);
    company.sign_in("alice", PIN)?.ok()?;

    company.admin(&["device", "delete", "ws7"])?;
    let told = stands(company)?;
    ensure!(told.1 == refused || told.0 == "NO", "{told:?}");
    until("the device to forget", Duration::from_secs(20), || {
        stands(company).is_ok_and(|stands| stands.0 == "NO" && stands.2 == 0)
    })?;
    let events = company
        .workstation()?
        .command(&["latchkey", "events", "--id", "5005", "--json"]);
    let events: Value = serde_json::from_str(&events.ok()?)?;
    ensure!(
        events["events"].as_array().map(Vec::len) == Some(1),
        "{events}"
    );
    until("AD to forget the key", Duration::from_secs(30), || {
        company
            .keys_in_directory("alice")
            .is_ok_and(|keys| keys.is_empty())
    })?;

    // Somebody joins it again, and everything works.
    let host = company.workstation()?;
    host.command(&["latchkey", "join"])
        .within(Duration::from_secs(90))
        .ok()?;
    company.enrolled("alice", PIN)?;
    company.sign_in("alice", PIN)?.ok()?;
    host.command(&["latchkey", "leave"]).ok()?;
    host.stop("latchkeyd")
}
