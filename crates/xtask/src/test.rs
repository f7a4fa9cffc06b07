//! `cargo xtask test`: everything that guards a commit, in the order in which it fails fastest.

use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use lexopt::Arg::Long;
use testkit::lab::{Lab, workspace};
use testkit::packages;

use crate::{complain, say};

/// Tells tests to run their long schedules; see `--long`.
const LONG: &str = "LATCHKEY_LONG_TESTS";

/// Names of labs that tests bring up, which are taken down at the end.
const LABS: [&str; 13] = [
    "tests",
    "tests-export",
    "tests-exported",
    "tests-killed",
    "tests-company",
    "tests-controllers",
    "tests-import",
    "tests-secrets",
    "tests-kills",
    "tests-pki",
    "tests-clean-ws",
    "tests-clean-hand",
    "tests-clean-server",
];

const STAGES: [(&str, &[&str]); 6] = [
    ("format", &["fmt", "--all", "--check"]),
    (
        "lints",
        &[
            "clippy",
            "--workspace",
            "--all-targets",
            "--locked",
            "--",
            "--deny",
            "warnings",
        ],
    ),
    ("build", &["build", "--workspace", "--locked"]),
    // Doubles and attackers that tests of the lab start.
    (
        "examples",
        &["build", "--workspace", "--locked", "--examples"],
    ),
    // Everything but the lab. No documentation holds a program to be tried.
    (
        "tests",
        &[
            "test",
            "--workspace",
            "--locked",
            "--lib",
            "--bins",
            "--test",
            "[!l]*",
        ],
    ),
    // Its tests take turns at the labs and wait for other machines: two at a time leave this one idle.
    (
        "lab",
        &[
            "test",
            "--workspace",
            "--locked",
            "--test",
            "lab",
            "--",
            "--test-threads=5",
        ],
    ),
];

/// Runs what follows `test` on the command line.
pub(crate) fn run(mut words: lexopt::Parser) -> Result<ExitCode> {
    let mut long = false;
    while let Some(word) = words.next()? {
        match word {
            Long("long") => long = true,
            other => return Err(other.unexpected().into()),
        }
    }
    if !packages::is_root() {
        bail!("the tests need root: the lab makes namespaces, mounts and links");
    }
    let begin = Instant::now();
    let mut times = Vec::new();
    let start = Instant::now();
    packages::install(&[packages::BUILD, packages::TEST, packages::LAB], complain)?;
    times.push(("packages", start.elapsed()));
    for (name, words) in STAGES {
        let start = Instant::now();
        say(&format!("== {name}: cargo {}", words.join(" ")));
        let status = cargo(words, long).with_context(|| name)?;
        times.push((name, start.elapsed()));
        if !status {
            tell(&times, begin.elapsed());
            take_down()?;
            bail!("{name} failed");
        }
    }
    take_down()?;
    tell(&times, begin.elapsed());
    Ok(ExitCode::SUCCESS)
}

fn cargo(words: &[&str], long: bool) -> Result<bool> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(words).current_dir(workspace());
    if long {
        command.env(LONG, "1");
    }
    Ok(command.status()?.success())
}

fn take_down() -> Result<()> {
    LABS.iter().try_for_each(|name| Lab::down(name))
}

fn tell(times: &[(&str, Duration)], total: Duration) {
    for (name, time) in times {
        say(&format!("{name:<10} {:>7.1} s", time.as_secs_f64()));
    }
    say(&format!("{:<10} {:>7.1} s", "total", total.as_secs_f64()));
}
