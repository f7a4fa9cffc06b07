//! Policies of the server on a real workstation: made, assigned, delivered, beaten by group policy, and told
//! of at the server.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use testkit::company::Company;
use testkit::wait::until_some;

use crate::company;
use crate::policy::{Object, is_offered, machine, refusal, refusal_of_pin};

/// A device holds its poll: a change is there in seconds. The rest is for a machine with much to do.
const SOON: Duration = Duration::from_secs(60);

/// A policy of the server's; it is deleted in the end.
struct Assigned<'a>(&'a Company, &'static str);

impl<'a> Assigned<'a> {
    /// Makes one with these words of the command line, and says for whom.
    fn made(
        company: &'a Company,
        name: &'static str,
        values: &[&str],
        whom: &[&str],
    ) -> Result<Self> {
        company.admin(&[&["policies", "create", name], values].concat())?;
        let policy = Self(company, name);
        company.admin(&[&["policies", "assign", name], whom].concat())?;
        Ok(policy)
    }

    /// What became of a setting for a person, or for the device, as soon as that is `state`.
    fn becomes(&self, setting: &str, for_person: bool, state: &str) -> Result<Value> {
        until_some(&format!("{setting} to be {state}"), SOON, || {
            let rows = self.0.admin(&["policies", "status", self.1])?;
            let rows = rows.as_array().context("no rows")?;
            let row = rows.iter().find(|row| {
                row["setting"] == setting
                    && row["user"].is_string() == for_person
                    && row["state"] == state
                    && row["current"] == true
            });
            row.cloned().with_context(|| format!("{rows:?}"))
        })
    }
}

impl Drop for Assigned<'_> {
    fn drop(&mut self) {
        let gone = self.0.admin(&["policies", "delete", self.1, "--yes"]);
        if let Err(error) = gone {
            eprintln!("{} stays: {error:#}", self.1);
        }
    }
}

/// A group of the server's own; it is deleted in the end.
struct Group<'a>(&'a Company, &'static str);

impl<'a> Group<'a> {
    fn of(company: &'a Company, name: &'static str, member: &str) -> Result<Self> {
        company.admin(&["group", "create", name])?;
        let group = Self(company, name);
        company.admin(&["group", "add", name, member])?;
        Ok(group)
    }
}

impl Drop for Group<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.0.admin(&["group", "delete", self.1]) {
            eprintln!("{} stays: {error:#}", self.1);
        }
    }
}

/// What a person's machine says of a setting, as soon as it has `part` in it.
fn explains(company: &Company, person: &str, setting: &str, part: &str) -> Result<()> {
    let host = company.workstation()?;
    until_some(&format!("{setting} to be {part}"), SOON, || {
        let words = ["latchkey", "policy", "explain", setting];
        let told = host.command(&words).user(person).ok()?;
        ensure!(told.contains(part), "{told}");
        Ok::<_, anyhow::Error>(())
    })
}

#[test]
fn a_profile_for_a_group_is_offered_to_its_member_and_to_nobody_else() -> Result<()> {
    let (_turn, company) = company();
    company.forget_everyone()?;
    let group = Group::of(company, "Pilots", "alice")?;
    let values = [
        "--profile",
        "account-protection",
        "--set",
        "Block Windows Hello for Business=Disabled",
        "--set",
        "Enable to use a Trusted Platform Module (TPM)=Yes",
        "--set",
        "Enable to certificate for on-premises resources=Not configured",
        "--set",
        "Minimum PIN length=8",
    ];
    let pilot = Assigned::made(company, "WHfB pilot", &values, &["--group", "Pilots"])?;
    assert!(is_offered(company, "alice")?);
    assert!(!is_offered(company, "bob")?);
    let by_pilot = "set by \"WHfB pilot\" (server policy for the device)";
    explains(company, "alice", "use-hello", by_pilot)?;
    assert_eq!(refusal_of_pin(company, "alice", "481516")?, "pin_refused");
    pilot.becomes("min-pin-length", true, "applied")?;

    // A change is there without anybody's asking, and so is what only the catalog has.
    company.admin(&[
        "policies",
        "set",
        "WHfB pilot",
        "--setting",
        "min-pin-length=10",
    ])?;
    explains(company, "alice", "min-pin-length", "10")?;
    let values = ["--setting", "digits=required", "--user"];
    let digits = Assigned::made(company, "Digits", &values, &["--all-users"])?;
    let by_digits = "set by \"Digits\" (server policy for the user)";
    explains(company, "alice", "digits", by_digits)?;
    assert_eq!(
        refusal_of_pin(company, "alice", "abcdefghijkl")?,
        "pin_refused"
    );
    digits.becomes("digits", true, "applied")?;
    company.enrolled("alice", "161803398874")?;

    drop(group);
    company.forget_everyone()
}

#[test]
fn group_policy_beats_the_server_and_the_server_hears_of_it() -> Result<()> {
    let (_turn, company) = company();
    company.forget_everyone()?;
    let values = [
        "--setting",
        "use-hello=on",
        "--setting",
        "min-pin-length=10",
    ];
    let cloud = Assigned::made(company, "Cloud Hello", &values, &["--all-devices"])?;
    assert!(is_offered(company, "alice")?);
    cloud.becomes("use-hello", false, "applied")?;

    assert_eq!(refusal_of_pin(company, "alice", "48151623")?, "pin_refused");

    // A whole is ignored: the length too.
    let object = Object::linked(company, "Domain Hello", &[machine("Enabled", 1)])?;
    assert!(is_offered(company, "alice")?);
    let ignored = "from \"Cloud Hello\" (server policy for the device): ignored, because \
                   \"Domain Hello\" (group policy, computer half) governs by group policy";
    for setting in ["use-hello", "min-pin-length"] {
        explains(company, "alice", setting, ignored)?;
    }
    let report = ["latchkey", "policy", "report"];
    let told = company.workstation()?.command(&report).user("alice").ok()?;
    ensure!(
        told.contains("Policies of the server are ignored as a whole"),
        "{told}"
    );
    company.enrolled("alice", "48151623")?;
    company.forget_everyone()?;
    object.load(&[machine("Enabled", 0)])?;
    assert!(!is_offered(company, "alice")?);
    assert_eq!(refusal(company, "alice")?, "policy_disabled");
    let row = cloud.becomes("use-hello", true, "overridden")?;
    let by = row["by"].as_str().context("by nobody")?;
    ensure!(by.contains("Domain Hello"), "{row}");

    drop(object);
    assert!(is_offered(company, "alice")?);
    cloud.becomes("use-hello", true, "applied")?;
    explains(company, "alice", "min-pin-length", "Cloud Hello")
}

#[test]
fn what_devices_get_when_they_join_stops_no_policy_and_reaches_nobody_who_has_joined() -> Result<()>
{
    let (_turn, company) = company();
    company.forget_everyone()?;
    let _off = TenantWideOff::set(company)?;
    let values = ["--setting", "use-hello=on"];
    let offered = Assigned::made(company, "Offered", &values, &["--all-devices"])?;
    assert!(is_offered(company, "alice")?);
    drop(offered);
    // It joined before: the default of the client holds, and whoever asks may enroll.
    assert!(!is_offered(company, "alice")?);
    company.enrolled("alice", "161803398874")?;
    company.forget_everyone()?;

    join_again(company)?;
    let by_tenant = "(tenant-wide configuration)";
    explains(company, "alice", "use-hello", by_tenant)?;
    let offered = Assigned::made(company, "Offered", &values, &["--all-devices"])?;
    assert!(is_offered(company, "alice")?);
    offered.becomes("use-hello", true, "applied")?;
    drop(offered);

    company.admin(&["enrollment", "set", "state=notConfigured"])?;
    explains(company, "alice", "use-hello", by_tenant)
}

/// Devices that join are not to enroll; in the end they may, and this one joins so.
struct TenantWideOff<'a>(&'a Company);

impl<'a> TenantWideOff<'a> {
    fn set(company: &'a Company) -> Result<Self> {
        company.admin(&["enrollment", "set", "state=disabled"])?;
        Ok(Self(company))
    }
}

impl Drop for TenantWideOff<'_> {
    fn drop(&mut self) {
        let on = self.0.admin(&["enrollment", "set", "state=notConfigured"]);
        if let Err(error) = on.and_then(|_| join_again(self.0)) {
            eprintln!("nobody may enroll at ws1: {error:#}");
        }
    }
}

fn join_again(company: &Company) -> Result<()> {
    let host = company.workstation()?;
    host.command(&["latchkey", "leave"]).ok()?;
    host.command(&["latchkey", "join"]).ok().map(drop)
}
