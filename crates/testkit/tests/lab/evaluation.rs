//! Group policy evaluated by the agent, for the server that asks how strong a key must be.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use testkit::company::Company;
use testkit::lab::address::BASE_DN;

use crate::company;

const CACHE: &str = "/run/administrator.ccache";

pub(super) fn gpo(company: &Company, words: &[&str]) -> Result<String> {
    let host = company.workstation()?;
    host.command(&["kinit", "-c", CACHE, "Administrator"])
        .stdin(format!("{}\n", company.lab.administrator_password()))
        .ok()?;
    let all = [&["latchkey", "gpo"], words].concat();
    host.command(&all).env("KRB5CCNAME", CACHE).ok()
}

/// What the server learns of alice at ws1.
fn asked(company: &Company) -> Result<Value> {
    company.admin(&["user", "policy", "alice@corp.latchkey.test", "ws1"])
}

fn evaluated(hardware: bool, attestation: bool) -> Value {
    json!({ "evaluated": {
        "requires_hardware": hardware,
        "requires_attestation": attestation,
    } })
}

#[test]
fn the_server_learns_from_the_agent_what_group_policy_asks_of_a_key() -> Result<()> {
    let (_turn, company) = company();
    let name = "Keys in hardware";
    assert_eq!(asked(company)?, evaluated(false, false));
    gpo(company, &["create", name])?;
    gpo(company, &["set", name, "require-security-device"])?;
    gpo(company, &["link", name, BASE_DN])?;
    assert_eq!(asked(company)?, evaluated(true, false));
    gpo(company, &["set", name, "attestation=require"])?;
    assert_eq!(asked(company)?, evaluated(true, true));

    // It applies to others, and the agent can read that.
    gpo(company, &["filter", "add", name, "Domain Controllers"])?;
    assert_eq!(asked(company)?, evaluated(false, false));
    // What the agent cannot read might apply.
    gpo(
        company,
        &["delegation", "remove", name, "Authenticated Users"],
    )?;
    let unknown = asked(company)?;
    let why = unknown["unknown"]["why"].as_str();
    let why = why.with_context(|| unknown.to_string())?;
    assert!(why.contains("may not be read by the agent"), "{why}");
    gpo(company, &["delete", name])?;
    assert_eq!(asked(company)?, evaluated(false, false));

    let server = company.lab.host("server")?;
    server.stop("latchkey-sync")?;
    let unknown = asked(company);
    company.run_agent()?;
    assert_eq!(unknown?["unknown"]["why"], "no agent of the domain answers");
    assert_eq!(asked(company)?, evaluated(false, false));
    Ok(())
}
