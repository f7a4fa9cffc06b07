//! `cargo xtask bench`: the budgets, measured with the release build in a fresh lab.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use lexopt::Arg::{Long, Value};
use testkit::bench::{self, Row};
use testkit::lab::Lab;
use testkit::packages;

use crate::{build, complain, say};

const LAB: &str = "bench";
/// The lab whose directory has a crowd.
const CROWDED: &str = "bench-import";

/// What is measured, and how often.
#[derive(Clone, Copy)]
struct Plan {
    signin: bool,
    sync: bool,
    import: bool,
    export: bool,
    policy: bool,
    policies: bool,
    server: bool,
    quick: bool,
    /// Pairs of sign-ins.
    pairs: usize,
    /// How long the daemon is left alone.
    idle: Duration,
    /// Registrations of keys.
    registrations: usize,
    /// Keys that are written at once.
    exported: usize,
    /// Readings of the policies, cold and warm.
    readings: usize,
}

/// Group policy objects that are linked to the domain.
const POLICY_OBJECTS: usize = 200;

/// Runs what follows `bench` on the command line.
pub(crate) fn run(mut words: lexopt::Parser) -> Result<ExitCode> {
    let (mut topic, mut json, mut quick) = (None, false, false);
    while let Some(word) = words.next()? {
        match word {
            Long("json") => json = true,
            Long("quick") => quick = true,
            Value(word) if topic.is_none() => topic = Some(word.to_string_lossy().into_owned()),
            other => return Err(other.unexpected().into()),
        }
    }
    let topic = topic.as_deref().unwrap_or("all");
    if ![
        "all", "server", "policies", "signin", "sync", "import", "export", "policy",
    ]
    .contains(&topic)
    {
        bail!("no topic {topic}: server, policies, signin, sync, import, export, policy, all");
    }
    let is_wanted = |name| topic == name || topic == "all";
    let plan = Plan {
        signin: is_wanted("signin"),
        sync: is_wanted("sync"),
        import: is_wanted("import") || is_wanted("sync"),
        export: is_wanted("export") || is_wanted("sync"),
        policy: is_wanted("policy"),
        policies: is_wanted("policies"),
        server: is_wanted("server"),
        quick,
        pairs: if quick { 10 } else { 50 },
        idle: Duration::from_secs(if quick { 20 } else { 180 }),
        registrations: if quick { 5 } else { 500 },
        exported: if quick { 1_200 } else { 10_000 },
        readings: if quick { 3 } else { 10 },
    };
    if !packages::is_root() {
        bail!("the bench needs root: its lab makes namespaces, mounts and links");
    }
    packages::install(&[packages::BUILD, packages::LAB, packages::TEST], complain)?;
    build(&["--release", "--workspace"])?;
    build(&[
        "--release",
        "--package",
        "tpm",
        "--example",
        "raw_signature",
    ])?;
    build(&["--release", "--package", "sync", "--example", "key-maker"])?;

    let start = Instant::now();
    let mut rows = Vec::new();
    if plan.server {
        complain("measuring the server with 1,000 and with 100,000 accounts");
        rows.extend(bench::server(plan.quick)?);
    }
    if plan.policies {
        complain("measuring the server with 10,000 devices that wait for policies");
        rows.extend(bench::policies(plan.quick)?);
    }
    if plan.import {
        complain("measuring the import of a large directory, which is made once per machine");
        let crowd = if quick { 5_000 } else { 100_000 };
        let measured = bench::import(CROWDED, crowd, complain);
        Lab::down(CROWDED)?;
        rows.extend(measured?);
    }
    if plan.signin || plan.sync || plan.policy || plan.export {
        let measured = measure(plan);
        Lab::down(LAB)?;
        rows.extend(measured?);
    }
    // Neighbours on the machine move even ratios; who reads the rows should know of them.
    let load = std::fs::read_to_string("/proc/loadavg")?;
    complain(&format!(
        "measured in {:.1} s; load at the end {}",
        start.elapsed().as_secs_f64(),
        load.trim()
    ));
    if json {
        say(&serde_json::json!({ "rows": rows }).to_string());
    } else {
        table(&rows);
    }
    Ok(ExitCode::SUCCESS)
}

/// What is measured in a company.
fn measure(plan: Plan) -> Result<Vec<Row>> {
    let company = bench::found(LAB, complain)?;
    let mut rows = Vec::new();
    if plan.signin {
        complain("measuring sign-in");
        rows.extend(bench::signin(&company, plan.pairs, plan.idle)?);
    }
    if plan.sync {
        complain("measuring the way of a key into AD");
        rows.extend(bench::sync(&company, plan.registrations)?);
    }
    if plan.policy {
        // Late: it leaves the domain with its objects.
        complain("measuring the way of the policies to a device");
        rows.extend(bench::policy(&company, POLICY_OBJECTS, plan.readings)?);
    }
    if plan.export {
        // The last one: it leaves the domain with its users.
        complain("measuring many keys at once into AD");
        rows.extend(bench::export(&company, plan.exported)?);
    }
    Ok(rows)
}

fn table(rows: &[Row]) {
    say(&format!(
        "{:<30} {:>9} {:>9}       {:>6} {:>7}",
        "", "ours", "reference", "ratio", "target"
    ));
    for row in rows {
        say(&format!(
            "{:<30} {:>9.1} {:>9.1} {:<4}  {:>6.2} {:>7.2}  {}",
            row.name,
            row.ours,
            row.reference,
            row.unit,
            row.ratio,
            row.target,
            if row.met { "met" } else { "missed" }
        ));
    }
    for row in rows {
        say(&format!("{}: {}", row.name, row.note));
    }
}
