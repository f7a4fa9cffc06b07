//! What it costs the server to keep ten thousand devices up to date.
//!
//! The program that plays the devices is a bench of the server's own tests. Both need as many file
//! descriptors as there are devices.

use std::process::Command;

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::{
    Row,
    server::{build_bench, output},
};
use crate::lab::target_folder;

/// More than the devices of the bench.
const DESCRIPTORS: &str = "--nofile=16384";

/// What the bench prints.
#[derive(Deserialize)]
struct Measured {
    devices: u32,
    peak_mib: f64,
    joined_mib: f64,
    change_99_s: f64,
    unchanged_p99_ms: f64,
    unchanged_median_ms: f64,
}

/// Measures memory, the way of a change, and a check-in of which nothing is new.
///
/// # Errors
/// When a device is refused, or a program is not there.
pub fn policies(quick: bool) -> Result<Vec<Row>> {
    let program = build_bench("polls")?;
    let mut bench = Command::new("prlimit");
    bench.arg(DESCRIPTORS).arg("--").arg(program).env(
        "LATCHKEY_BENCH_SERVER",
        target_folder().join("release/latchkey-server"),
    );
    if quick {
        bench.arg("--quick");
    }
    let told = output(&mut bench)?;
    let line = told.lines().last().context("the bench said nothing")?;
    Ok(rows(&serde_json::from_str(line)?))
}

fn rows(measured: &Measured) -> Vec<Row> {
    let devices = measured.devices;
    let memory = format!(
        "the most memory of one process that holds the polls of {devices} devices over TLS, of 500 MiB \
         ({:.0} MiB before they were held)",
        measured.joined_mib
    );
    let change = format!(
        "from the request that assigns a policy to all of {devices} devices until 99 % of them have it, \
         of 10 s; devices and server share the processors"
    );
    let check_in = format!(
        "99th percentile of check-ins of which nothing is new, one after the other, while {devices} \
         polls are held, of 5 ms; the median is {:.2} ms",
        measured.unchanged_median_ms
    );
    vec![
        Row::memory("policies.memory", measured.peak_mib, 500.0, memory),
        Row::time(
            "policies.change_99",
            measured.change_99_s * 1000.0,
            10_000.0,
            1.0,
            change,
        ),
        Row::time(
            "policies.unchanged_p99",
            measured.unchanged_p99_ms,
            5.0,
            1.0,
            check_in,
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_bench_prints_becomes_three_rows() {
        let line = serde_json::json!({
            "devices": 10_000, "peak_mib": 400.0, "joined_mib": 60.0, "change_99_s": 11.0,
            "unchanged_p99_ms": 1.0, "unchanged_median_ms": 0.5,
        });
        let rows = rows(&serde_json::from_value(line).unwrap());
        let told: Vec<_> = rows.iter().map(|row| (row.name, row.met)).collect();
        let expected = [
            ("policies.memory", true),
            ("policies.change_99", false),
            ("policies.unchanged_p99", true),
        ];
        assert_eq!(told, expected);
    }
}
