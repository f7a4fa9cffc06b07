//! The domain of policy's fixtures, made anew in a live directory: what is evaluated there, over
//! LDAP and SMB with the machine's ticket, is what is evaluated from the exported copies.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;
use testkit::lab::{Host, Lab, Options, Profile};

use super::name;

const USERS: [&str; 9] = [
    "alice", "bob", "carol", "dave", "erin", "frank", "gina", "henry", "ivan",
];
const COMPUTERS: [&str; 4] = ["LIN1", "LIN2", "LIN3", "LIN4"];
const COPIES: &str = "/var/tmp/exported";

#[test]
fn everybody_gets_the_same_from_a_live_domain_as_from_its_copies() -> Result<()> {
    let lab = name("tests-exported");
    Lab::down(&lab)?;
    let lab = Lab::up(&lab, Options::default())?;
    let (dc, ws) = (lab.host("dc")?, lab.host("ws1")?);
    lab.install(&ws, Profile::Debug)?;
    for host in [&dc, &ws] {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policy/tests/fixtures/gpo");
        copy(&fixtures, &host.root().join(COPIES.trim_start_matches('/')))?;
    }
    let names = dc
        .command(&["python3", "-", COPIES])
        .stdin(include_str!("exported.py"))
        .ok()?;
    let names: BTreeMap<String, String> = serde_json::from_str(&names)?;
    ws.command(&["kinit", "-k", "WS1$"])
        .env("KRB5CCNAME", TICKET)
        .ok()?;

    let (ldif, sysvol) = (format!("{COPIES}/ldif"), format!("{COPIES}/sysvol"));
    let copies = ["--ldif", ldif.as_str(), "--sysvol", sysvol.as_str()];
    let expected = fs::read_to_string(ws.root().join("var/tmp/exported/expected.json"))?;
    let expected: Value = serde_json::from_str(&expected)?;
    for user in USERS {
        for computer in COMPUTERS {
            let live = evaluate(&ws, user, computer, &[])?;
            let offline = evaluate(&ws, user, computer, &copies)?;
            let renamed = names.iter().fold(offline.to_string(), |text, (old, new)| {
                text.replace(old, new)
            });
            let renamed: Value = serde_json::from_str(&renamed)?;
            assert_eq!(live, renamed, "{user} at {computer}");
            let pairs = expected["pairs"].as_array().context("pairs")?;
            let is_it = |p: &&Value| p["user"] == user && p["computer"] == format!("{computer}$");
            if let Some(pair) = pairs.iter().find(is_it) {
                for field in [
                    "use_whfb",
                    "user_merged",
                    "user_apply_order_last_wins",
                    "loopback",
                ] {
                    assert_eq!(live[field], pair[field], "{user} at {computer}: {field}");
                }
                let merged = &expected["computers"][format!("{computer}$")]["merged"];
                assert_eq!(&live["computer_result"]["merged"], merged, "{computer}");
            }
        }
    }
    Lab::down(&name("tests-exported"))
}

/// An evaluation without what differs for good reasons: SIDs of single accounts, and notes.
fn evaluate(ws: &Host, user: &str, computer: &str, copies: &[&str]) -> Result<Value> {
    let mut words = vec!["latchkey", "--json", "gpo", "evaluate"];
    words.extend(["--user", user, "--computer", computer]);
    words.extend(copies);
    let answer = ws.command(&words).env("KRB5CCNAME", TICKET).ok()?;
    let mut answer: Value = serde_json::from_str(&answer)?;
    assert_eq!(answer["failures"], Value::Array(Vec::new()));
    answer["notes"].take();
    answer["computer_result"]["token_sids"].take();
    Ok(answer)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?.path();
        let target = to.join(entry.file_name().context("a name")?);
        if entry.is_dir() {
            copy(&entry, &target)?;
        } else {
            fs::copy(&entry, &target)?;
        }
    }
    Ok(())
}

const TICKET: &str = "FILE:/run/exported.ccache";
