//! A TPM that refuses everybody, and who has it take PINs again: root at the machine, and a person with a
//! code of an administrator's.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use testkit::company::{Company, refused, text};
use testkit::wait::until;

use crate::chain::PIN;
use crate::company;

const VALUE: &str = "/var/lib/latchkey/tpm-lockout.auth";

/// Guesses a value of somebody else's until the TPM has had enough, while nobody else talks to it.
const GUESS: &str = "export TPM2TOOLS_TCTI=swtpm:host=127.0.0.1,port=2321
    tpm2_nvdefine 0x1500001 -s 4 -a 'authread|authwrite' -p right >/dev/null
    for _ in $(seq 40); do
        tpm2_nvread 0x1500001 -C 0x1500001 -P wrong >/dev/null 2>&1 || true
    done
    tpm2_nvundefine 0x1500001
    tpm2_getcap properties-variable | grep 'inLockout'";

fn lock(company: &Company) -> Result<()> {
    let host = company.workstation()?;
    host.stop("latchkeyd")?;
    let told = host.sh(GUESS)?;
    ensure!(told.trim_end().ends_with('1'), "{told}");
    company.run_daemon()?;
    let answer = refused(&company.sign_in("alice", PIN)?)?;
    ensure!(text(&answer, "code")? == "tpm_locked", "{answer}");
    Ok(())
}

fn works_again(company: &Company) -> Result<()> {
    company.sign_in("alice", PIN)?.ok()?;
    let status = company.status("alice")?;
    let left = status.pointer("/credentials/0/tries_left");
    ensure!(left == Some(&Value::from(10)), "{status}");
    Ok(())
}

#[test]
fn a_tpm_that_refuses_everybody_is_unlocked_by_root_and_by_a_code() -> Result<()> {
    let (_turn, company) = company();
    company.forget_everyone()?;
    company.enrolled("alice", PIN)?;
    let host = company.workstation()?;
    until(
        "the value to be at the server",
        Duration::from_secs(90),
        || {
            let told = host.command(&["latchkey", "events", "--id", "5003", "--json"]);
            told.ok().is_ok_and(|told| told.contains("5003"))
        },
    )?;

    lock(company)?;
    let unlock = ["latchkey", "tpm", "unlock", "--json"];
    let told = host.command(&unlock).ok()?;
    ensure!(told.contains("\"was_locked\":true"), "{told}");
    works_again(company)?;

    // This machine has lost the value, and root knows no way.
    lock(company)?;
    let value = host.read_file(VALUE)?;
    host.sh(&format!("rm {VALUE}"))?;
    let answer = refused(&host.command(&unlock).run()?)?;
    ensure!(text(&answer, "code")? == "no_lockout_value", "{answer}");
    let made = company.admin(&["device", "unlock", "ws1"])?;
    let code = made["code"].as_str().context("no code")?;
    let by_code = ["latchkey", "tpm", "unlock", "--code-stdin", "--json"];
    let wrong = host.command(&by_code).user("alice").stdin("0000-0000\n");
    refused(&wrong.run()?)?;
    let right = host.command(&by_code).user("alice");
    let told = right.stdin(format!("{code}\n")).ok()?;
    ensure!(told.contains("\"was_locked\":true"), "{told}");
    ensure!(host.read_file(VALUE)? == value, "another value is kept now");
    works_again(company)?;
    let again = host.command(&by_code).user("alice");
    refused(&again.stdin(format!("{code}\n")).run()?)?;
    company.forget_everyone()
}
