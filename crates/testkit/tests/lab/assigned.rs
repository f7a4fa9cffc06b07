//! Policies of the server on a real workstation: made, assigned, delivered, beaten by group policy, and told
//! of at the server.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use testkit::company::{Company, SERVER_URL, TOTP_SECRET, text, upn};
use testkit::foreign;
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

impl Drop for Group<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.0.admin(&["group", "delete", self.1]) {
            eprintln!("{} stays: {error:#}", self.1);
        }
    }
}

/// An administrator of policies and the application that asks Graph for her; both go in the end.
struct Dora<'a>(&'a Company);

impl<'a> Dora<'a> {
    const UPN: &'static str = "dora@cloud.example";
    const PASSWORD: &'static str = "Correct horse & battery";

    fn hired(company: &'a Company) -> Result<Self> {
        let told = |words: &[&str], line: &str| {
            let admin = ["latchkey-server", "admin"];
            let call = company.server()?.command(&[&admin, words].concat());
            call.stdin(format!("{line}\n")).ok()
        };
        told(
            &["user", "create", Self::UPN, "--password-stdin"],
            Self::PASSWORD,
        )?;
        let dora = Self(company);
        told(&["user", "totp", Self::UPN, "--secret-stdin"], TOTP_SECRET)?;
        company.admin(&["role", "add", "policy", Self::UPN])?;
        company.admin(&[
            "app",
            "put",
            "native",
            "--redirect-uri",
            "https://rp.test/callback",
            "--resource",
            "https://graph.microsoft.com",
        ])?;
        Ok(dora)
    }

    /// Runs Microsoft's SDK at the workstation, with nothing of the workstation's but its network.
    fn sets_a_pilot_up_for(&self, member: &str) -> Result<()> {
        let company = self.0;
        let python = foreign::python(&foreign::GRAPH_SDK, |_| {})?.join("bin/python");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/graph_pilot.py");
        let host = SERVER_URL.trim_start_matches("https://");
        let hosts = company.lab.folder().join("sdk-hosts");
        let known = company.server()?.sh(&format!("getent hosts {host}"))?;
        std::fs::write(&hosts, known)?;
        let status = company.status("root")?;
        let network = company.workstation()?.root().with_file_name("ns/net");
        let authority = company.lab.pki().path("tls-ca.crt");
        let with_names = "mount --bind \"$1\" /etc/hosts && exec \"$2\" -B \"$3\"";
        let mut sdk = Command::new("nsenter");
        sdk.arg(format!("--net={}", network.display()))
            .args(["unshare", "--mount", "sh", "-c", with_names, "sh"])
            .args([&hosts, &python, &script])
            .env("HOST", host)
            .env("TENANT", text(&status, "TenantId")?)
            .env("PASSWORD", Self::PASSWORD)
            .env("SECRET", TOTP_SECRET)
            .env("MEMBER", upn(member));
        for name in ["REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"] {
            sdk.env(name, &authority);
        }
        let answer = sdk.output()?;
        let said = String::from_utf8_lossy(&answer.stderr);
        ensure!(answer.status.success(), "{said}");
        Ok(())
    }
}

impl Drop for Dora<'_> {
    fn drop(&mut self) {
        for verb in [["app", "delete", "native"], ["user", "delete", Self::UPN]] {
            if let Err(error) = self.0.admin(&verb) {
                eprintln!("{} stays: {error:#}", verb[2]);
            }
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
fn a_pilot_made_by_microsofts_sdk_is_offered_to_its_member_and_to_nobody_else() -> Result<()> {
    let (_turn, company) = company();
    company.forget_everyone()?;
    // Whatever is there already is gone in the end, policies before the group that they are for.
    let dora = Dora::hired(company)?;
    let _group = Group(company, "Windows Hello for Business Users");
    let pilot = Assigned(company, "Windows Hello for Business");
    let digits = Assigned(company, "Digits");
    dora.sets_a_pilot_up_for("alice")?;
    assert!(is_offered(company, "alice")?);
    assert!(!is_offered(company, "bob")?);
    let by_pilot = "set by \"Windows Hello for Business\" (server policy for the device)";
    explains(company, "alice", "use-hello", by_pilot)?;
    explains(company, "alice", "require-security-device", by_pilot)?;
    let shown = ["latchkey", "policy", "show"];
    let shown = company.workstation()?.command(&shown).user("alice").ok()?;
    ensure!(shown.contains("Windows Hello for Business"), "{shown}");
    assert_eq!(refusal_of_pin(company, "alice", "481516")?, "pin_refused");
    let row = pilot.becomes("min-pin-length", true, "applied")?;
    assert_eq!(text(&row, "upn")?, upn("alice"));

    // What only the catalog has, for users.
    let by_digits = "set by \"Digits\" (server policy for the user)";
    explains(company, "alice", "digits", by_digits)?;
    assert_eq!(
        refusal_of_pin(company, "alice", "abcdefghijkl")?,
        "pin_refused"
    );
    digits.becomes("digits", true, "applied")?;

    // A change is there without anybody's asking.
    company.admin(&[
        "policies",
        "set",
        "Windows Hello for Business",
        "--setting",
        "min-pin-length=10",
    ])?;
    explains(company, "alice", "min-pin-length", "10")?;
    assert_eq!(refusal_of_pin(company, "alice", "48151623")?, "pin_refused");
    company.enrolled("alice", "161803398874")?;
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
