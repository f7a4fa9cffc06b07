//! What a sign-in by key costs the server: a store of many accounts, a server that is a process of its
//! own, and devices that ask for primary refresh tokens with requests that were signed beforehand.
//!
//! `LATCHKEY_BENCH_SERVER` is the program to measure. Each line of the output is one measurement, as
//! JSON; what it is held against, and whether that is good enough, `cargo xtask bench server` says.
#![expect(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a bench is a test in all but name, and uses a part of what the tests have"
)]

#[path = "../../../store/tests/it/cluster.rs"]
mod cluster;
mod load;
#[path = "../../tests/it/parties.rs"]
mod parties;
#[path = "../../tests/it/process.rs"]
mod process;
#[path = "../../tests/it/server.rs"]
mod server;
mod usage;

use std::path::Path;

use crate::{
    load::Load,
    process::Process,
    server::TestServer,
    usage::{cpu_seconds, peak_mib},
};

/// Accounts of the directory.
const ACCOUNTS: [u32; 2] = [1_000, 100_000];

/// Answers that count; a fourth of them more goes before, and does not.
const ANSWERS: usize = 4_000;
const QUICK_ANSWERS: usize = 800;

#[tokio::main]
async fn main() {
    let quick = std::env::args().any(|word| word == "--quick");
    let program = std::env::var_os("LATCHKEY_BENCH_SERVER").expect("LATCHKEY_BENCH_SERVER");
    let asked = std::env::args().find_map(|word| word.strip_prefix("--accounts=")?.parse().ok());
    let answers = if quick { QUICK_ANSWERS } else { ANSWERS };
    for accounts in asked.map_or(ACCOUNTS.to_vec(), |accounts: u32| vec![accounts]) {
        let mut server = TestServer::start().await;
        server.stop().await;
        let store = server.store();
        measure(
            "sqlite",
            accounts,
            answers,
            (server, store),
            program.as_ref(),
        )
        .await;
        let database = cluster::Database::empty().await;
        let server = TestServer::on_postgres(&database.address().url);
        let store = database.open().await;
        measure(
            "postgresql",
            accounts,
            answers,
            (server, store),
            program.as_ref(),
        )
        .await;
    }
}

async fn measure(
    name: &str,
    accounts: u32,
    answers: usize,
    (mut server, store): (TestServer, store::Store),
    program: &Path,
) {
    // One machine is all the devices here.
    server.configure("[limits]\nper_address = 0\nper_client = 0");
    let process = Process::start(program, &server.folder);
    server.attach(process.address);
    let load = Load::prepare(&server, &store, accounts).await;
    let before = load.sign(&server, answers / 4).await;
    load.show(&server, before).await;
    let requests = load.sign(&server, answers).await;
    let (cpu, clock) = (cpu_seconds(process.child.id()), std::time::Instant::now());
    load.show(&server, requests).await;
    let seconds = clock.elapsed().as_secs_f64();
    let line = serde_json::json!({
        "store": name,
        "accounts": accounts,
        "answers": answers,
        "server_cpu_s": cpu_seconds(process.child.id()) - cpu,
        "seconds": seconds,
        "peak_mib": peak_mib(process.child.id()),
    });
    println!("{line}");
}
