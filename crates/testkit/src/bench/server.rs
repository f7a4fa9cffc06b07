//! What a sign-in by key costs the server, beside the arithmetic that it cannot do without.
//!
//! The program that asks is a bench of the server's own tests: it makes the accounts, signs the
//! requests beforehand, and says how much processor time the server took for them.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;

use super::{Row, median};
use crate::lab::target_folder;

/// What the bench prints of one store with so many accounts.
#[derive(Deserialize)]
struct Measured {
    store: String,
    accounts: u32,
    answers: u32,
    server_cpu_s: f64,
    seconds: f64,
    peak_mib: f64,
}

impl Measured {
    /// Answers for a second of one processor.
    fn rate(&self) -> f64 {
        f64::from(self.answers) / self.server_cpu_s
    }
}

/// Measures the answers to requests for primary refresh tokens on both stores.
///
/// # Errors
/// When a request is not granted, or a program is not there.
pub fn server(quick: bool) -> Result<Vec<Row>> {
    let program = build_bench("sign_ins")?;
    let before = bound()?;
    let mut bench = Command::new(program);
    bench.env(
        "LATCHKEY_BENCH_SERVER",
        target_folder().join("release/latchkey-server"),
    );
    if quick {
        bench.arg("--quick");
    }
    let told = output(&mut bench)?;
    // The neighbours of the machine change: the bound is taken on both sides of what it bounds.
    let bound = median(&[before, bound()?])?;
    let measured = told.lines().map(serde_json::from_str);
    rows(&measured.collect::<Result<Vec<Measured>, _>>()?, bound)
}

fn rows(measured: &[Measured], bound: f64) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (store, names) in STORES {
        let of = |accounts| {
            let mut found = measured.iter().filter(|row| row.store == store);
            let found = found.find(|row| row.accounts == accounts);
            found.with_context(|| format!("{store} with {accounts} accounts was not measured"))
        };
        let (few, many) = (of(1_000)?, of(100_000)?);
        let note = format!(
            "{} answers to requests by key of 64 devices, whose certificates and keys were read before, for \
             1,000 accounts in {store}, by processor time of \
             the server alone ({:.0} a second by the clock, beside the program that asks; with 100,000 \
             accounts {:.0} by processor time); the bound is 3 verifications, 1 encryption and 1 \
             signature by RSA-2048 of `openssl speed`, an encryption taken for as long as a \
             verification; a device's certificate is verified once and remembered",
            few.answers,
            f64::from(few.answers) / few.seconds,
            many.rate(),
        );
        rows.push(Row::rate(names[0], few.rate(), bound, 0.6, note));
        let ms = |measured: &Measured| 1000.0 / measured.rate();
        let note =
            format!("processor time of an answer with 100,000 accounts beside 1,000 in {store}");
        rows.push(Row::time(names[1], ms(many), ms(few), 1.3, note));
        let note =
            format!("the most memory of the server with 100,000 accounts in {store}, of 300 MiB");
        rows.push(Row::memory(names[2], many.peak_mib, 300.0, note));
    }
    Ok(rows)
}

const STORES: [(&str, [&str; 3]); 2] = [
    (
        "sqlite",
        [
            "server.prt_sqlite",
            "server.growth_sqlite",
            "server.memory_sqlite",
        ],
    ),
    (
        "postgresql",
        [
            "server.prt_postgresql",
            "server.growth_postgresql",
            "server.memory_postgresql",
        ],
    ),
];

/// Builds the program that asks; it need not be quick.
pub(super) fn build_bench(name: &str) -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let told = output(Command::new(cargo).args([
        "build",
        "--locked",
        "--package=server",
        &format!("--bench={name}"),
        "--message-format=json",
    ]))?;
    let built = told
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let text = |built: &serde_json::Value, at: &str| {
        let text = built.pointer(at).and_then(serde_json::Value::as_str);
        text.map(str::to_owned)
    };
    let mut benches = built.filter(|built| text(built, "/target/name").as_deref() == Some(name));
    let found = benches.find_map(|built| text(&built, "/executable").map(PathBuf::from));
    found.context("cargo built no bench of that name")
}

/// Answers a second of one processor that did nothing but the arithmetic of it.
fn bound() -> Result<f64> {
    let told = output(Command::new("openssl").args(["speed", "-mr", "-seconds", "2", "rsa2048"]))?;
    let line = told.lines().find(|line| line.starts_with("+F2:"));
    let line = line.with_context(|| format!("no figure in {told}"))?;
    let mut figures = line.split(':').skip(3).map(str::parse::<f64>);
    let (Some(Ok(signatures)), Some(Ok(verifications))) = (figures.next(), figures.next()) else {
        bail!("no figures in {line}");
    };
    Ok(1.0 / (1.0 / signatures + 4.0 / verifications))
}

pub(super) fn output(command: &mut Command) -> Result<String> {
    let ended = command.output().with_context(|| format!("{command:?}"))?;
    let said = String::from_utf8_lossy(&ended.stderr);
    ensure!(ended.status.success(), "{command:?} failed: {said}");
    Ok(String::from_utf8(ended.stdout)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_bench_prints_becomes_three_rows_for_each_store() {
        let line = |store: &str, accounts: u32, cpu: f64, mib: f64| {
            let line = serde_json::json!({
                "store": store, "accounts": accounts, "answers": 4000,
                "server_cpu_s": cpu, "seconds": 5.0, "peak_mib": mib,
            });
            serde_json::from_str(&line.to_string()).unwrap()
        };
        let measured: Vec<Measured> = vec![
            line("sqlite", 1_000, 5.0, 30.0),
            line("postgresql", 1_000, 8.0, 30.0),
            line("sqlite", 100_000, 6.0, 80.0),
            line("postgresql", 100_000, 12.0, 301.0),
        ];
        let rows = rows(&measured, 1000.0).unwrap();
        let told: Vec<_> = rows.iter().map(|row| (row.name, row.met)).collect();
        let expected = [
            ("server.prt_sqlite", true),
            ("server.growth_sqlite", true),
            ("server.memory_sqlite", true),
            ("server.prt_postgresql", false),
            ("server.growth_postgresql", false),
            ("server.memory_postgresql", false),
        ];
        assert_eq!(told, expected);
        assert!(super::rows(&measured[..2], 1000.0).is_err());
    }

    #[test]
    fn the_bound_is_read_of_openssl() {
        assert!(bound().unwrap() > 1.0);
    }
}
