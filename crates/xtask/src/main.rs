//! The project's own tasks: `cargo xtask demo|test|bench|lab|package`.
//!
//! Only the command line is here. It depends on nothing that needs a library of the system, so that
//! it builds first on a fresh machine and can install what the rest needs.

mod bench;
mod demo;
mod lab;
mod package;
mod test;

use std::io::Write as _;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, bail};
use lexopt::Arg::{Long, Short, Value};
use testkit::lab::workspace;

const USAGE: &str = "\
cargo xtask demo [--keep] [--json] [--name NAME]   the whole story, from no credential to a ticket
cargo xtask test [--long]                          everything that guards a commit
cargo xtask bench [server|policies|signin|sync|import|export|policy] [--quick] [--json] the budgets, measured
cargo xtask package [--out DIR] [--profile dev|release] [--version V] the Debian packages
cargo xtask lab up [NAME] [--workstations N] [--controllers dc2,rodc]
cargo xtask lab down|status [NAME] [--json]
cargo xtask lab shell HOST [--name NAME]           a shell in a host
cargo xtask lab run HOST [--name NAME] -- CMD…     a command in a host
";

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(fault) => {
            complain(&format!("error: {fault:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<ExitCode> {
    let mut words = lexopt::Parser::from_env();
    match words.next()? {
        None | Some(Long("help") | Short('h')) => {
            say(USAGE.trim_end());
            Ok(ExitCode::SUCCESS)
        }
        Some(Value(task)) => match task.to_string_lossy().as_ref() {
            "demo" => demo::run(words),
            "lab" => lab::run(words),
            "test" => test::run(words),
            "bench" => bench::run(words),
            "package" => package::run(words),
            other => bail!("no task {other}\n{USAGE}"),
        },
        Some(other) => Err(other.unexpected().into()),
    }
}

/// Builds what the words of `cargo build` name.
fn build(words: &[&str]) -> Result<()> {
    let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--locked"])
        .args(words)
        .current_dir(workspace())
        .stdout(Stdio::null())
        .status()
        .context("cargo")?;
    if !status.success() {
        bail!("cargo build {} failed", words.join(" "));
    }
    Ok(())
}

/// One line for the person or the program that reads the output.
fn say(line: &str) {
    // A reader that has gone away wants no more lines.
    let _gone = writeln!(std::io::stdout(), "{line}");
}

/// One line about what happens meanwhile.
fn complain(line: &str) {
    let _gone = writeln!(std::io::stderr(), "{line}");
}
