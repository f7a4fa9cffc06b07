//! The domain's group policies onto a device, beside Samba's own client on the same machine with
//! the same account.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::{Row, columns, median};
use crate::company::Company;

/// Where the workstation has the domain controller's release of Samba.
const SAMBA: &str = "/srv/samba";

/// Measures the reading of `objects` linked group policy objects, `turns` times.
///
/// # Errors
/// When one of the two cannot read them all.
pub fn policy(company: &Company, objects: usize, turns: usize) -> Result<Vec<Row>> {
    // The reference reads the computer's policies; so that ours reads no more, nobody is enrolled.
    company.forget_everyone()?;
    make_objects(company, objects)?;
    install_samba(company)?;
    let workstation = company.workstation()?;
    let refresh = ["latchkey", "policy", "refresh", "--force", "--json"];
    let told: Value = serde_json::from_str(&workstation.command(&refresh).ok()?)?;
    let read = told.get("fetched").and_then(Value::as_u64);
    ensure!(
        read.is_some_and(|read| read >= objects as u64),
        "not all of {objects} objects were read: {told}"
    );
    let count = (turns + super::WARM_UP).to_string();
    let turns_script = include_str!("policy/turns.sh");
    let told = workstation
        .command(&[
            "bash",
            "-c",
            turns_script,
            "bash",
            SAMBA,
            &count,
            &objects.to_string(),
        ])
        .within(LIMIT)
        .ok()?;
    let [cold, cold_reference, warm, warm_reference] = columns(&told)?;
    let note = |caches: &str| {
        format!(
            "{turns} turns, {objects} objects linked to the domain, {caches}; `latchkey policy \
             refresh` beside `samba-gpupdate --rsop --target=Computer` of Samba {}, each a whole \
             process on the same workstation with the same machine account",
            company.lab.samba()
        )
    };
    Ok(vec![
        Row::time(
            "policy.refresh_cold",
            median(&cold)?,
            median(&cold_reference)?,
            0.3,
            note("nothing cached"),
        ),
        Row::time(
            "policy.refresh_warm",
            median(&warm)?,
            median(&warm_reference)?,
            0.05,
            note("nothing changed since the last time"),
        ),
    ])
}

/// One object by Samba's own tools, and copies of it.
fn make_objects(company: &Company, objects: usize) -> Result<()> {
    let controller = company.controller()?;
    let cache = "/run/administrator.ccache";
    controller
        .command(&["kinit", "-c", cache, "Administrator"])
        .stdin(format!("{}\n", company.lab.administrator_password()))
        .ok()?;
    let tool = |words: &[&str]| {
        let cache = format!("--use-krb5-ccache={cache}");
        let domain = [
            "--use-kerberos=required",
            "-H",
            "ldap://dc.corp.latchkey.test",
        ];
        let all = [&["samba-tool", "gpo"], words, &[cache.as_str()], &domain].concat();
        controller.command(&all).ok()
    };
    let said = tool(&["create", "bench 0"])?;
    let guid = said.split(['{', '}']).nth(1);
    let guid = format!(
        "{{{}}}",
        guid.with_context(|| format!("no GUID in {said}"))?
    );
    controller.write_file("/run/bench.json", VALUES, 0o600)?;
    tool(&["load", &guid, "--content=/run/bench.json"])?;
    let script = include_str!("policy/objects.py");
    controller
        .command(&["python3", "-", &guid, &objects.to_string()])
        .stdin(script)
        .within(LIMIT)
        .ok()?;
    Ok(())
}

/// Brings the domain controller's release of Samba to the workstation, as a member of the domain.
fn install_samba(company: &Company) -> Result<()> {
    let workstation = company.workstation()?;
    let there = format!("{}{SAMBA}", workstation.root().display());
    std::fs::create_dir_all(&there)?;
    let controller = company.controller()?.root();
    for part in ["usr", "etc", "bin", "lib", "lib64", "sbin"] {
        let copied = Command::new("cp")
            .arg("-a")
            .arg(controller.join(part))
            .arg(&there)
            .status()?;
        ensure!(
            copied.success(),
            "{part} of the domain controller was not copied"
        );
    }
    let secret = include_str!("policy/secret.py");
    workstation.write_file(&format!("{SAMBA}/etc/samba/secret.py"), secret, 0o600)?;
    let script = include_str!("policy/member.sh");
    workstation
        .command(&["sh", "-c", script, "sh", SAMBA])
        .within(LIMIT)
        .ok()?;
    Ok(())
}

/// Of both halves, what an administrator might set.
const VALUES: &str = r#"[
{"keyname": "Software\\Policies\\Microsoft\\PassportForWork", "valuename": "Enabled",
 "class": "USER", "type": "REG_DWORD", "data": 1},
{"keyname": "Software\\Policies\\Microsoft\\PassportForWork", "valuename": "RequireSecurityDevice",
 "class": "MACHINE", "type": "REG_DWORD", "data": 1},
{"keyname": "Software\\Policies\\Microsoft\\PassportForWork\\PINComplexity",
 "valuename": "MinimumPINLength", "class": "MACHINE", "type": "REG_DWORD", "data": 8}
]"#;

/// How long one series may take.
const LIMIT: Duration = Duration::from_secs(900);
