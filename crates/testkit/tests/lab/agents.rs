//! Cycles on the scheduler's word, and two agents of one domain, of which one writes.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use testkit::company::{Company, text};
use testkit::lab::Host;
use testkit::wait::{until, until_some};

use crate::chain::PIN;
use crate::company;

const ONE: &str = "latchkey-sync";
const TWO: &str = "latchkey-sync-two";

/// A lease, what others wait longer, and a round of asking.
const TAKE_OVER: Duration = Duration::from_secs(60 + 5 + 20 + 10);
const SOON: Duration = Duration::from_secs(40);

const TWO_TOML: &str = r#"server = "https://server.corp.latchkey.test"
realm = "CORP.LATCHKEY.TEST"
account = "svc-latchkey"
principal = "latchkey-sync/server.corp.latchkey.test"
keytab = "/etc/latchkey/sync.keytab"
state = "/var/lib/latchkey-sync-two"
runtime = "/run/latchkey-sync-two"
"#;
const SCOPE: &str = "[scope]\nous = [\"OU=Staff,DC=corp,DC=latchkey,DC=test\"]\n";
const TWO_CONFIG: &str = "/etc/latchkey/sync-two.toml";

/// What one of the agents answers.
fn ask(server: &Host, config: &str, words: &[&str]) -> Result<Value> {
    let words = [&["latchkey-sync", "--config", config], words, &["--json"]].concat();
    let said = server.command(&words).within(SOON).ok()?;
    serde_json::from_str(&said).with_context(|| said)
}

fn first(server: &Host, words: &[&str]) -> Result<Value> {
    ask(server, "/etc/latchkey/sync.toml", words)
}

fn second(server: &Host, words: &[&str]) -> Result<Value> {
    ask(server, TWO_CONFIG, words)
}

/// What an agent's status says at a place.
fn says(status: &Value, pointer: &str) -> Result<Value> {
    let found = status.pointer(pointer).cloned();
    found.with_context(|| format!("no {pointer} in {status}"))
}

/// The profiles and results of steps.
fn steps(runs: &Value) -> Result<Vec<String>> {
    let runs = runs.as_array().context("no list of steps")?;
    let step = |run: &Value| {
        let (connector, profile) = (text(run, "connector")?, text(run, "profile")?);
        Ok(format!("{connector} {profile}: {}", text(run, "result")?))
    };
    runs.iter().map(step).collect()
}

#[test]
fn a_cycle_runs_on_the_administrators_word_and_tells_its_steps() -> Result<()> {
    let (_turn, company) = company();
    let server = company.server()?;
    let set = |interval| {
        let words = [
            "scheduler",
            "set",
            "--customized-sync-cycle-interval",
            interval,
        ];
        first(&server, &words)
    };
    let effective = "/CurrentlyEffectiveSyncCycleInterval";
    assert_eq!(says(&set("00:10:00")?, effective)?, "00:30:00");
    assert_eq!(says(&set("1.02:00:00")?, effective)?, "1.02:00:00");
    assert_eq!(says(&set("none")?, effective)?, "00:30:00");
    let shown = first(&server, &["scheduler", "show"])?;
    assert_eq!(says(&shown, "/StagingModeEnabled")?, false);
    assert_eq!(says(&shown, "/SyncCycleEnabled")?, true);

    // The agent's first cycle may still run.
    let words = ["scheduler", "start", "initial", "--wait"];
    let runs = until_some("a cycle", SOON, || first(&server, &words))?;
    let expected = [
        "AD Full Import: success",
        "server Full Import: success",
        "AD Full Synchronization: success",
        "server Full Synchronization: success",
        "server Export: success",
        "AD Export: success",
    ];
    assert_eq!(says(&runs, "/policy")?, "Initial");
    assert_eq!(steps(&runs["steps"])?, expected);
    assert_eq!(steps(&first(&server, &["runs", "--last", "6"])?)?, expected);
    // A test before may have taken keys away.
    until_some("nothing to wait", SOON, || {
        let waiting = says(&first(&server, &["pending"])?, "/waiting")?;
        ensure!(waiting == serde_json::json!([]), "{waiting}");
        Ok(())
    })?;
    let stopped = first(&server, &["scheduler", "stop"])?;
    assert_eq!(says(&stopped, "/stopped")?, false);

    let status = first(&server, &["status"])?;
    assert_eq!(says(&status, "/running/lease/held")?, true);
    assert!(says(&status, "/running/last_success")?.is_string());
    until("the metrics to say so", SOON, || {
        let metrics = server.read_text("/run/latchkey-sync/metrics.prom");
        metrics.is_ok_and(|text| text.contains("latchkey_sync_lease_held 1\n"))
    })
}

/// Shows `latchkey-sync` a machine on which it has never been; its answers to what may be repeated.
const INIT: &str = r#"set -e
folders="/var/lib/latchkey-sync /run/latchkey-sync"
for folder in $folders; do mount -t tmpfs tmpfs $folder; done
chmod 700 /var/lib/latchkey-sync
key=$(openssl x509 -in /etc/latchkey/tls/ca.pem -noout -pubkey |
    openssl pkey -pubin -outform DER | sha256sum | cut -d' ' -f1)
init() {
    latchkey-sync --config /run/latchkey-sync/sync.toml init --server https://server.corp.latchkey.test \
        --realm CORP.LATCHKEY.TEST --principal latchkey-sync/server.corp.latchkey.test \
        --ou OU=Staff,DC=corp,DC=latchkey,DC=test --fingerprint sha256:$key --code-file /dev/stdin "$@"
}
echo wrong | init 2>&1 && exit 1
latchkey-server admin agent code --json | sed 's/.*"code":"\([^"]*\)".*/\1/' | init
echo | init
echo | init --staging 2>&1 && exit 1
latchkey-sync --config /run/latchkey-sync/sync.toml check-config
latchkey-sync --config /run/latchkey-sync/sync.toml status
"#;

#[test]
fn init_enrolls_an_agent_on_a_machine_that_had_none_and_may_be_repeated() -> Result<()> {
    let (_turn, company) = company();
    let server = company.server()?;
    let call = server.command(&["unshare", "--mount", "bash", "-c", INIT]);
    let said = call.within(SOON).ok()?;
    for expected in [
        "code is unknown",
        "sync.toml is written, and dc.corp.latchkey.test let svc-latchkey in",
        "This agent is enrolled already",
        "--replace puts this one in its place",
        "the configuration is good",
        "running    no",
    ] {
        ensure!(said.contains(expected), "no {expected}: {said}");
    }
    let of_status = said
        .lines()
        .find_map(|line| line.strip_prefix("agent      "));
    let agent = of_status.context("no agent")?;
    company.admin(&["agent", "revoke", agent])?;
    let status = first(&server, &["status"])?;
    ensure!(
        status["agent"] != agent,
        "the agent that was there is another"
    );
    Ok(())
}

#[test]
fn an_old_key_of_the_agent_is_renewed_also_where_the_answer_is_lost() -> Result<()> {
    let (_turn, company) = company();
    let server = company.server()?;
    let holds = || {
        let status = first(&server, &["status"]);
        status.is_ok_and(|status| status["running"]["lease"]["held"] == true)
    };
    let keys = "/var/lib/latchkey-sync/agent.key";
    let former = server.read_text(keys)?;
    server.stop(ONE)?;
    server.sh(&format!(
        "touch -d '91 days ago' {keys}; rm /var/lib/latchkey-sync/scheduler.json"
    ))?;
    company.run_agent()?;
    until("a new key", SOON, || {
        server.read_text(keys).is_ok_and(|key| key != former)
    })?;
    until("the agent to go on with it", SOON, holds)?;

    // As if it had died before it heard that the server took the key.
    let renewed = server.read_text(keys)?;
    server.stop(ONE)?;
    server.sh(&format!("mv {keys} {keys}.next"))?;
    server.write_file(keys, &former, 0o600)?;
    company.run_agent()?;
    until("the agent to try both keys", SOON, holds)?;
    assert_eq!(server.read_text(keys)?, renewed);
    Ok(())
}

/// A second agent of the same domain, beside the first; it goes with this.
struct Second<'c> {
    company: &'c Company,
    server: Host,
}

impl<'c> Second<'c> {
    fn enroll(company: &'c Company) -> Result<Self> {
        let server = company.server()?;
        let second = Self { company, server };
        second.write("")?;
        let pin = second
            .server
            .sh("openssl x509 -in /etc/latchkey/tls/ca.pem -noout -pubkey \
             | openssl pkey -pubin -outform DER | sha256sum")?;
        let pin = format!("sha256:{}", pin.split(' ').next().unwrap_or_default());
        let code = company.admin(&["agent", "code"])?;
        let enroll = ["--config", TWO_CONFIG, "enroll", "--code-stdin"];
        let words = [&["latchkey-sync"], &enroll[..], &["--fingerprint", &pin]].concat();
        let code = format!("{}\n", text(&code, "code")?);
        second.server.command(&words).stdin(code).ok()?;
        Ok(second)
    }

    fn write(&self, more: &str) -> Result<()> {
        let config = format!("{TWO_TOML}{more}{SCOPE}");
        self.server.write_file(TWO_CONFIG, config, 0o600)
    }

    fn run(&self) -> Result<()> {
        let words = ["latchkey-sync", "--config", TWO_CONFIG, "run"];
        self.company.start(&self.server, TWO, &words, None)
    }

    fn status(&self) -> Result<Value> {
        let status = second(&self.server, &["status"])?;
        ensure!(status["running"].is_object(), "it does not run yet");
        Ok(status)
    }

    fn holds(&self) -> Result<bool> {
        Ok(says(&self.status()?, "/running/lease/held")? == true)
    }
}

impl Drop for Second<'_> {
    fn drop(&mut self) {
        for name in [ONE, TWO] {
            let _ = signal(&self.server, name, "CONT");
        }
        let _ = self.server.stop(TWO);
        let clean = "rm -rf /var/lib/latchkey-sync-two /run/latchkey-sync-two";
        let _ = self.server.sh(clean);
    }
}

fn signal(server: &Host, name: &str, signal: &str) -> Result<()> {
    let pid = server.pid(name).with_context(|| format!("no {name}"))?;
    server.sh(&format!("kill -s {signal} {pid}")).map(drop)
}

#[test]
fn of_two_agents_one_writes_and_one_that_was_paused_does_not_go_on() -> Result<()> {
    let (_turn, company) = company();
    company.forget_everyone()?;
    let server = company.server()?;
    let two = Second::enroll(company)?;

    // In staging it shows what it would do, and does none of it.
    two.write("staging = true\n")?;
    two.run()?;
    let words = ["scheduler", "start", "initial", "--wait"];
    let runs = until_some("a cycle in staging", SOON, || second(&server, &words))?;
    let imports = ["AD Full Import: success", "server Full Import: success"];
    let syncs = [
        "AD Full Synchronization: success",
        "server Full Synchronization: success",
    ];
    let exports = [
        "server Export: stopped-not-active",
        "AD Export: stopped-not-active",
    ];
    assert_eq!(steps(&runs["steps"])?, [imports, syncs, exports].concat());
    let waits = || says(&second(&server, &["pending"])?, "/waiting");
    assert_eq!(waits()?, serde_json::json!([]), "the server has it all");
    signal(&server, ONE, "STOP")?;
    let mail = |change: &str| {
        company.on_controller(&format!(
            "printf 'dn: CN=carol,OU=Staff,DC=corp,DC=latchkey,DC=test\nchangetype: modify\n\
             replace: mail\n{change}' | ldbmodify -H /var/lib/samba/private/sam.ldb"
        ))
    };
    mail("mail: carol@mail.example\n")?;
    let words = ["scheduler", "start", "delta", "--wait"];
    second(&server, &words)?;
    let waiting = waits()?;
    mail("")?;
    signal(&server, ONE, "CONT")?;
    assert_eq!(waiting.as_array().map(Vec::len), Some(1), "{waiting}");
    assert_eq!(waiting[0]["change"], "put", "{waiting}");
    let shown = second(&server, &["scheduler", "show"])?;
    assert_eq!(says(&shown, "/StagingModeEnabled")?, true);
    server.stop(TWO)?;

    // Out of staging it says who writes, and leaves it to that one.
    two.write("")?;
    two.run()?;
    until_some("the second agent to name the first", SOON, || {
        let status = two.status()?;
        ensure!(says(&status, "/running/lease/held")? == false, "it writes");
        says(&status, "/running/lease/holder").map(drop)
    })?;
    let kid = company.enrolled("alice", PIN)?;
    assert_eq!(company.keys_in_directory("alice")?.len(), 1);
    let log = || server.read_text(&format!("/var/log/{TWO}.log"));
    assert!(!log()?.contains("change carried out"), "{}", log()?);

    // The first one is stopped for as long as its lease lasts: the second one takes over.
    signal(&server, ONE, "STOP")?;
    until("the second agent to take over", TAKE_OVER, || {
        two.holds().unwrap_or(false)
    })?;
    let listed = company.admin(&["agent", "list"])?;
    let active = listed.as_array().context("no list of agents")?;
    let active = active.iter().filter(|agent| agent["active"] == true);
    assert_eq!(active.count(), 1, "{listed}");

    // Now there is something to write, the second one cannot, and the first one wakes.
    signal(&server, TWO, "STOP")?;
    company.admin(&["key", "delete", &kid])?;
    signal(&server, ONE, "CONT")?;
    until_some("the first agent to know better", SOON, || {
        let status = first(&server, &["status"])?;
        ensure!(says(&status, "/running/lease/held")? == false, "it writes");
        says(&status, "/running/lease/holder").map(drop)
    })?;
    let words = ["scheduler", "start", "delta", "--wait"];
    let runs = until_some("a cycle that exports nothing", SOON, || {
        first(&server, &words)
    })?;
    ensure!(
        steps(&runs["steps"])?
            .iter()
            .all(|step| !step.contains("Export") || step.ends_with("stopped-not-active")),
        "{runs}"
    );
    assert_eq!(
        company.keys_in_directory("alice")?.len(),
        1,
        "it was written"
    );
    let waits = first(&server, &["pending"])?;
    ensure!(waits.to_string().contains(&kid), "{waits}");
    signal(&server, TWO, "CONT")?;
    until("the one that holds the lease to write", SOON, || {
        company
            .keys_in_directory("alice")
            .is_ok_and(|keys| keys.is_empty())
    })?;

    // One that ends gives the lease back.
    drop(two);
    until("the first agent to write again", SOON, || {
        let status = first(&server, &["status"]);
        status.is_ok_and(|status| status["running"]["lease"]["held"] == true)
    })?;
    company.forget_everyone()
}
