//! The daemon's socket under frames that are nearly right: it answers or hangs up, goes on, says nothing of
//! a panic, and keeps nothing of them.
//!
//! The same seeds each time; `cargo xtask test --long` plays ten times as many.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use testkit::company::{Company, text};
use testkit::lab::Host;
use testkit::wait::until;

use crate::company;

const PIN: &str = "739614025518";
const FUZZER: &str = include_str!("fuzz/fuzzer.py");
const PROGRAM: &str = "/usr/local/bin/fuzzer.py";

/// How many frames of each seed.
const FRAMES: &str = "1000";
const MANY_FRAMES: &str = "15000";

/// By how much memory may have grown since the first seed: what allocators keep.
const GROWTH_KIB: u64 = 12 * 1024;

/// Alice's frames of one seed; how often each answer came.
fn played(host: &Host, person: &str, seed: u32) -> Result<Value> {
    let is_long = std::env::var_os("LATCHKEY_LONG_TESTS").is_some();
    let frames = if is_long { MANY_FRAMES } else { FRAMES };
    let words = ["python3", PROGRAM, &seed.to_string(), frames];
    let told = host
        .command(&words)
        .user(person)
        .within(Duration::from_secs(3600))
        .ok()
        .with_context(|| format!("seed {seed}"))?;
    Ok(serde_json::from_str(&told)?)
}

/// Resident memory in KiB, and open descriptors.
fn size(host: &Host) -> Result<(u64, usize)> {
    let number = host.pid("latchkeyd").context("latchkeyd has ended")?;
    let status = host.read_text(&format!("/proc/{number}/status"))?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let resident = resident.and_then(|value| value.split_whitespace().next());
    let open = host.sh(&format!("ls /proc/{number}/fd | wc -l"))?;
    Ok((resident.context("no VmRSS")?.parse()?, open.trim().parse()?))
}

fn goes_on(company: &Company, host: &Host, log_before: usize) -> Result<()> {
    let log = host.read_text("/var/log/latchkeyd.log")?;
    let fresh = log.get(log_before..).unwrap_or_default();
    ensure!(!fresh.contains("panicked"), "{fresh}");
    company.status("alice")?;
    Ok(())
}

#[test]
fn frames_that_are_nearly_right_neither_end_the_daemon_nor_fill_its_memory() -> Result<()> {
    let (_turn, company) = company();
    company.forget_everyone()?;
    company.enrolled("alice", PIN)?;
    let host = company.workstation()?;
    host.write_file(PROGRAM, FUZZER, 0o755)?;
    let daemon = host.pid("latchkeyd");
    let log_before = host.read_text("/var/log/latchkeyd.log")?.len();

    let first = played(&host, "alice", 1)?;
    for code in ["ok", "bad_request", "bad_version", "unknown_op", "hung up"] {
        ensure!(first[code].as_u64() > Some(0), "no {code} in {first}");
    }
    // What waits for the end of its time goes first.
    let settled = || {
        until("the connections to end", Duration::from_secs(20), || {
            size(&host).is_ok_and(|(_, open)| open < 64)
        })
    };
    settled()?;
    let (resident, open) = size(&host)?;
    for seed in 2..=3 {
        played(&host, "alice", seed)?;
        // Another person's are nobody's credential.
        played(&host, "bob", seed)?;
    }
    settled()?;
    let (after, open_after) = size(&host)?;
    ensure!(host.pid("latchkeyd") == daemon, "the daemon is another");
    ensure!(
        after < resident + GROWTH_KIB,
        "{resident} KiB, then {after}"
    );
    ensure!(
        open_after <= open + 8,
        "{open} descriptors, then {open_after}"
    );
    goes_on(company, &host, log_before)?;

    // Her credential is what it was; wrong PINs among the frames have made the next one wait.
    let status = company.status("alice")?;
    ensure!(
        text(&status["credentials"][0], "state")? == "confirmed",
        "{status}"
    );
    host.sh("rm -f /var/lib/latchkey/tries/*")?;
    company.sign_in("alice", PIN)?.ok()?;
    company.forget_everyone()
}
