//! More than one domain controller: one that stops, and one that may not be written to.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use testkit::company::Company;
use testkit::crowd::Crowd;
use testkit::lab::address::{address, full_name};
use testkit::lab::{Host, Lab, Options, Profile};
use testkit::wait::{until, until_some};

use crate::name;

const PIN: &str = "271828459045";
const LOG: &str = "/var/log/latchkey-sync.log";
/// Enough keys that some are written, some are not, and one is being written.
const CROWD: usize = 200;
const PATIENCE: Duration = Duration::from_secs(60);
/// How long the agent may be without a domain controller while another one runs.
const FAILOVER: Duration = Duration::from_secs(5);

/// A company with the domain controllers `dc`, `dc2` and `rodc`.
fn company() -> (MutexGuard<'static, ()>, &'static Company) {
    static TURN: Mutex<()> = Mutex::new(());
    static COMPANY: OnceLock<Company> = OnceLock::new();
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let founded = || founded().expect("a company with three domain controllers");
    (turn, COMPANY.get_or_init(founded))
}

fn founded() -> Result<Company> {
    let name = name("tests-controllers");
    Lab::down(&name)?;
    let mut lab = Lab::up(&name, Options::default())?;
    for controller in ["dc2", "rodc"] {
        lab.add_controller(controller)?;
    }
    let company = Company::new(lab);
    let fingerprint = company.start_server(Profile::Debug)?;
    company.connect_agent(&fingerprint)?;
    // The service connection point was written at one of them, and a workstation may ask any.
    for (from, to) in [("dc2", "dc"), ("dc", "dc2"), ("dc", "rodc")] {
        company.lab.replicate(from, to)?;
    }
    company.join_workstation(Profile::Debug)?;
    Ok(company)
}

/// What the agent has logged, from a place on.
fn log(server: &Host, from: usize) -> Result<String> {
    let all = server.read_text(LOG)?;
    Ok(all.get(from..).unwrap_or_default().to_owned())
}

/// The controller that the agent connected to last, of what it logged from a place on.
fn connected(server: &Host, from: usize) -> Result<String> {
    let log = log(server, from)?;
    let mut lines = log.lines().rev();
    let line = lines.find(|line| line.contains("connected to the domain controller"));
    let (_, host) = line
        .and_then(|line| line.split_once("dc=\""))
        .with_context(|| format!("not connected: {log}"))?;
    let host = host.split('.').next().unwrap_or_default();
    Ok(host.to_owned())
}

/// Ends every process of Samba without a word to anybody.
fn end_samba(host: &Host) -> Result<()> {
    host.sh("pkill -KILL 'samba|smbd|winbindd|rpcd' || true")?;
    until("Samba to end", FAILOVER, || host.pid("samba").is_none())?;
    host.stop("samba")
}

/// Keeps the writable controllers from each other, or no longer: by `add` or `del`.
fn apart(company: &Company, verb: &str) -> Result<()> {
    for (from, to) in [("dc", "dc2"), ("dc2", "dc")] {
        let route = format!("ip route {verb} prohibit {}", address(to)?);
        company.lab.host(from)?.sh(&route)?;
    }
    Ok(())
}

#[test]
fn where_a_domain_controller_stops_the_other_serves_within_five_seconds() -> Result<()> {
    let (_turn, company) = company();
    let (lab, server) = (&company.lab, company.server()?);
    company.workstation()?.sh("id alice && id bob")?;
    server.stop("latchkey-sync")?;
    let from = log(&server, 0)?.len();
    company.run_agent()?;
    let first = || connected(&server, from);
    let serving = until_some("the agent at work", Duration::from_secs(30), first)?;
    let other = if serving == "dc" { "dc2" } else { "dc" };
    company.enrolled("alice", PIN)?;
    for (from, to) in [(&*serving, other), (other, &*serving)] {
        lab.replicate(from, to)?;
    }
    ensure!(company.keys_at(&serving, "alice")?.len() == 1);
    ensure!(company.keys_at(other, "alice")? == company.keys_at(&serving, "alice")?);
    let place = || -> Result<Option<String>> {
        let keys = company.admin(&["key", "list"])?;
        let mut keys = keys.as_array().into_iter().flatten();
        let key = keys.find(|key| key["state"] == "confirmed");
        let key = key.context("no key is confirmed")?;
        Ok(key["dc"].as_str().map(str::to_owned))
    };
    ensure!(place()? == Some(full_name(&serving)));
    let cycle = ["latchkey-sync", "scheduler", "start", "--wait"];
    server.command(&cycle).ok()?;
    ensure!(place()?.is_none(), "both have it, and one is named");

    // Somebody has come to the first one alone.
    let stopped = lab.host(&serving)?;
    apart(company, "add")?;
    let create = "samba-tool user create erin --random-password --userou=OU=Staff";
    stopped.sh(create)?;
    let erin = ["user", "show", "erin@corp.latchkey.test"];
    until_some("erin at the server", FAILOVER, || company.admin(&erin))?;

    let from = log(&server, 0)?.len();
    let since = Instant::now();
    end_samba(&stopped)?;
    let now = until_some("the other one", 3 * FAILOVER, || connected(&server, from))?;
    let took = since.elapsed();
    apart(company, "del")?;
    ensure!(now == other && took < FAILOVER, "{now} after {took:?}");

    // Who is not there yet is not gone. (The way of the keys may only now find its connection dead.)
    until_some("a whole cycle", 3 * FAILOVER, || {
        server.command(&cycle).ok()
    })?;
    let shown = lab.host(other)?.sh("samba-tool user show erin");
    ensure!(shown.is_err(), "{other} has erin");
    company.admin(&erin)?;

    // Work goes on there, from the password to the key, once SSSD and the daemon have found it too.
    until_some("bob's enrollment", Duration::from_secs(90), || {
        company.enrolled("bob", PIN)
    })?;
    ensure!(company.keys_at(other, "bob")?.len() == 1);
    lab.start_samba(&serving)?;
    let signed_in = company.sign_in("bob", PIN)?.ok();
    for (from, to) in [(other, &*serving), (&*serving, other)] {
        lab.replicate(from, to)?;
    }
    ensure!(company.keys_at(&serving, "bob")? == company.keys_at(other, "bob")?);
    signed_in?;

    // One whose processes hang while its kernel answers is left as soon.
    let from = log(&server, 0)?.len();
    let hung = lab.host(other)?;
    let since = Instant::now();
    // By what they call themselves: a worker's name is that of its task.
    let samba = "-f '^(samba|smbd|winbindd|rpcd|[^ ]*/samba)'";
    hung.sh(&format!("pkill -STOP {samba}"))?;
    let now = until_some("the first one", 3 * FAILOVER, || connected(&server, from));
    let took = since.elapsed();
    hung.sh(&format!("pkill -CONT {samba}"))?;
    let now = now?;
    ensure!(now == serving && took < FAILOVER, "{now} after {took:?}");

    // Seen there, erin is gone once it has her no more.
    server.command(&cycle).ok()?;
    stopped.sh("samba-tool user delete erin")?;
    until("erin's going", Duration::from_secs(40), || {
        company.admin(&erin).is_err()
    })?;
    lab.replicate(&serving, other)?;
    let status = company.status("root")?;
    let credentials = status["credentials"].as_array();
    for credential in credentials.context("no credentials")? {
        let kid = credential["kid"].as_str().unwrap_or_default();
        let delete = ["latchkey", "keys", "delete", kid];
        company.workstation()?.command(&delete).ok()?;
    }
    all_have_forgotten(company)
}

/// Waits until one controller has no key any more, whichever the agent works with, and tells the other.
fn all_have_forgotten(company: &Company) -> Result<()> {
    let people = ["alice", "bob"];
    let none = |dc: &str| -> Result<bool> {
        let keys = people.map(|person| company.keys_at(dc, person));
        Ok(keys
            .into_iter()
            .collect::<Result<Vec<_>>>()?
            .concat()
            .is_empty())
    };
    let first = until_some("the keys to go", Duration::from_secs(40), || {
        let without = ["dc", "dc2"]
            .into_iter()
            .find(|dc| none(dc).is_ok_and(|none| none));
        without.context("both have keys")
    })?;
    let second = if first == "dc" { "dc2" } else { "dc" };
    company.lab.replicate(first, second)?;
    ensure!(none(second)?, "{second} has keys still");
    Ok(())
}

#[test]
fn a_read_only_domain_controller_is_named_and_never_written_to() -> Result<()> {
    let (_turn, company) = company();
    let server = company.server()?;
    let read_only = format!(
        "no writable domain controller: {} is read-only",
        full_name("rodc")
    );
    let config = server.read_text("/etc/latchkey/sync.toml")?;
    let pinned = format!("dc = \"{}\"\n{config}", full_name("rodc"));
    server.write_file("/etc/latchkey/pinned.toml", pinned, 0o600)?;
    let check = [
        "latchkey-sync",
        "--config",
        "/etc/latchkey/pinned.toml",
        "check-config",
    ];
    let said = server.command(&check).run()?;
    ensure!(
        said.status == 1 && said.stderr.contains(&read_only),
        "{}",
        said.text()
    );

    // A branch whose only way is to the read-only one: it waits, and says for what.
    let serving = connected(&server, 0)?;
    let other = if serving == "dc" { "dc2" } else { "dc" };
    apart(company, "add")?;
    company.enrolled("alice", PIN)?;
    let kid = company.status("alice")?;
    let kid = kid
        .pointer("/credentials/0/kid")
        .and_then(|kid| kid.as_str());
    let kid = kid.context("no credential")?.to_owned();
    let from = log(&server, 0)?.len();
    let wall = |hosts: &str| {
        let rules = format!(
            "table inet away; delete table inet away; \
             table inet away {{ chain out {{ type filter hook output priority 0; \
             ip daddr {{ {hosts} }} th dport 389 drop; }}; }}"
        );
        server.command(&["nft", "-f", "-"]).stdin(rules).ok()
    };
    wall("10.77.0.10, 10.77.0.11")?;
    let waited = until_some("the agent to say so", Duration::from_secs(30), || {
        let log = log(&server, from)?;
        ensure!(log.contains(&read_only), "{log}");
        Ok(())
    });
    company
        .workstation()?
        .command(&["latchkey", "keys", "delete", &kid])
        .ok()?;
    let kept = company.keys_at(&serving, "alice")?.len();
    waited?;
    ensure!(kept == 1, "it was taken out behind the wall");

    // The other one can be reached again, and never had the key: it comes after its removal.
    let from = log(&server, 0)?.len();
    wall(&address(&serving)?)?;
    until_some("the removal at the other", Duration::from_secs(40), || {
        let keys = company.admin(&["key", "list"])?;
        let mut keys = keys.as_array().into_iter().flatten();
        ensure!(keys.any(|key| key["kid"] == kid && key["state"] == "removed"));
        Ok(())
    })?;
    ensure!(connected(&server, from)? == other);
    ensure!(company.keys_at(&serving, "alice")?.len() == 1);
    server.sh("nft delete table inet away")?;
    apart(company, "delete")?;
    company.lab.replicate(&serving, other)?;
    until_some("the late removal", Duration::from_secs(40), || {
        let log = log(&server, from)?;
        ensure!(log.contains("key_removed_late"), "{log}");
        Ok(())
    })?;
    all_have_forgotten(company)
}

/// The key values of the crowd at a controller, sorted.
fn crowd_keys(company: &Company, controller: &str) -> Result<Vec<String>> {
    let base = "OU=Crowd,OU=Staff,DC=corp,DC=latchkey,DC=test";
    let found = company.lab.host(controller)?.sh(&format!(
        "ldbsearch -H /var/lib/samba/private/sam.ldb -b {base} msDS-KeyCredentialLink"
    ))?;
    let unfolded = found.replace("\n ", "");
    let values = unfolded.lines();
    let values = values.filter_map(|line| line.strip_prefix("msDS-KeyCredentialLink: "));
    let mut values: Vec<String> = values.map(str::to_owned).collect();
    values.sort_unstable();
    Ok(values)
}

fn reaches(crowd: &Crowd, state: &str) -> Result<()> {
    until_some(state, PATIENCE, || {
        let states = crowd.states()?;
        ensure!(states[state] == CROWD, "{states}");
        Ok(())
    })
}

#[test]
fn a_domain_controller_that_stops_in_the_middle_of_an_export_costs_no_key_and_doubles_none()
-> Result<()> {
    let (_turn, company) = company();
    let (lab, server) = (&company.lab, company.server()?);
    let crowd = Crowd::gather(company, CROWD, Profile::Debug)?;
    lab.replicate("dc", "dc2")?;
    let from = log(&server, 0)?.len();
    crowd.configure()?;
    crowd.is_known(PATIENCE)?;
    let serving = until_some("the agent's connection", PATIENCE, || {
        connected(&server, from)
    })?;
    let other = if serving == "dc" { "dc2" } else { "dc" };
    // What is written at one of them is not at the other when that one stops.
    apart(company, "add")?;
    let from = log(&server, 0)?.len();
    crowd.tell(crowd.keys(0, CROWD, false)?)?;
    until("the first keys", PATIENCE, || {
        log(&server, from).is_ok_and(|log| log.contains("change carried out"))
    })?;
    let stopped = lab.host(&serving)?;
    end_samba(&stopped)?;
    let states = crowd.states()?;
    ensure!(
        states["confirmed"] != CROWD,
        "all was done before: {states}"
    );
    let confirmed = reaches(&crowd, "confirmed");
    apart(company, "del")?;
    lab.start_samba(&serving)?;
    confirmed?;
    ensure!(connected(&server, from)? == other);

    for (from, to) in [(&*serving, other), (other, &*serving)] {
        lab.replicate(from, to)?;
    }
    let keys = crowd_keys(company, other)?;
    let holders: BTreeSet<&str> = keys
        .iter()
        .filter_map(|key| key.rsplit(':').next())
        .collect();
    ensure!(
        keys.len() == CROWD && holders.len() == CROWD,
        "{} keys of {} users",
        keys.len(),
        holders.len()
    );
    ensure!(crowd_keys(company, &serving)? == keys, "they differ");
    let states = crowd.states()?;
    ensure!(states["confirmed"] == CROWD, "{states}");

    crowd.remove_all()?;
    reaches(&crowd, "removed")?;
    lab.replicate(other, &serving)?;
    for controller in [&*serving, other] {
        let left = crowd_keys(company, controller)?.len();
        ensure!(left == 0, "{controller} has {left} keys still");
    }
    Ok(())
}
