//! What it costs to keep ten thousand devices up to date: a server that is a process of its own, and
//! devices that have joined, each with a connection on which it holds its poll for policies.
//!
//! `LATCHKEY_BENCH_SERVER` is the program to measure. The one line of the output is the measurement, as
//! JSON; what it is held against, and whether that is good enough, `cargo xtask bench policies` says.
#![expect(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a bench is a test in all but name, and uses a part of what the tests have"
)]

mod fleet;
#[path = "../../tests/it/parties.rs"]
mod parties;
#[path = "../../tests/it/process.rs"]
mod process;
#[path = "../../tests/it/server.rs"]
mod server;
#[path = "../sign_ins/usage.rs"]
mod usage;

use std::{sync::Arc, time::Duration};

use serde_json::json;

use crate::{fleet::Fleet, process::Process, server::TestServer, usage::peak_mib};

/// Devices that hold their poll.
const DEVICES: usize = 10_000;
const QUICK_DEVICES: usize = 1_000;

/// Check-ins one after the other, of which nothing is new.
const CHECK_INS: usize = 2_000;

/// How long all devices may take to have a change; it is far more than the budget.
const PATIENCE: Duration = Duration::from_secs(120);

#[tokio::main]
async fn main() {
    let quick = std::env::args().any(|word| word == "--quick");
    let asked = std::env::args().find_map(|word| word.strip_prefix("--devices=")?.parse().ok());
    let program = std::env::var_os("LATCHKEY_BENCH_SERVER").expect("LATCHKEY_BENCH_SERVER");
    let devices = asked.unwrap_or(if quick { QUICK_DEVICES } else { DEVICES });
    let mut server = TestServer::start().await;
    server.stop().await;
    // One machine is all the devices here.
    server.configure("[limits]\nper_address = 0\nper_client = 0");
    let process = Process::start(program.as_ref(), &server.folder);
    server.attach(process.address);
    let server = Arc::new(server);
    let fleet = Fleet::join(&server, devices).await;
    let joined_mib = peak_mib(process.child.id());
    let mut polls = fleet.hold(&server).await;
    polls.until_all_wait(PATIENCE).await;
    let mut times = fleet.check_in(&server, CHECK_INS).await;
    times.sort_by(f64::total_cmp);
    let seconds = polls.change(&server, PATIENCE).await;
    let line = json!({
        "devices": devices,
        "peak_mib": peak_mib(process.child.id()),
        "joined_mib": joined_mib,
        "change_99_s": seconds,
        "unchanged_p99_ms": times[times.len() * 99 / 100] * 1000.0,
        "unchanged_median_ms": times[times.len() / 2] * 1000.0,
    });
    println!("{line}");
}
