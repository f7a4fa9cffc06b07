//! `cleanup`: key values of the scope that nobody should have, reported, and taken out on demand.
//!
//! What the agent wrote goes with `--yes`. What others wrote goes only where an administrator said so
//! and named its kind, or was asked about the very value; a value that is not taken out stays byte by
//! byte what it is. More than the deletion threshold stop before the first of them. Only where the
//! agent that writes runs is anything taken out: another takes it for somebody else's work.

mod findings;

use std::{
    collections::HashSet,
    fmt::Write as _,
    io::{BufRead as _, IsTerminal as _, Write as _},
};

use anyhow::{Context as _, bail, ensure};
use directory::{Directory, KeyHolder};
use keycred::KeyCredential;
use model::Guid;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::findings::{Finding, Kind};
use crate::{
    config::Config,
    control::{Line, Request},
    door::{self, Tickets},
    state::{Folder, Journal},
    status::plain,
    threshold::{self, Deletions, Side, Threshold},
    written::{self, Written},
};

/// What cleanups took out, so that the running agent does not take it for somebody else's work.
pub const FILE: &str = "cleaned.json";

/// What is asked of it.
#[derive(clap::Args)]
pub struct Args {
    /// Take out, without asking, what the agent wrote; with --kind, values of these kinds only.
    #[arg(long)]
    yes: bool,
    /// Ask about values of this kind only, or take out only these; once for each.
    #[arg(long)]
    kind: Vec<Kind>,
    /// With --yes and --kind: take them out whoever wrote them. Users of other products lose theirs.
    #[arg(long, requires = "yes", requires = "kind")]
    foreign: bool,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

/// The keys that cleanups took out.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Cleaned {
    /// User, and SHA-256 of the key, hexadecimal.
    pub values: HashSet<(Guid, String)>,
}

#[derive(Serialize)]
struct Report<'f> {
    findings: &'f [Finding],
    removed: usize,
}

/// Looks, asks where it may, and takes out.
pub async fn cleanup(config: Config, args: Args) -> anyhow::Result<String> {
    let folder = Folder::open(&config.state)?;
    let elsewhere = expect_to_write(&config).err();
    if args.yes
        && let Some(error) = elsewhere
    {
        return Err(error);
    }
    let written = Journal::<Written>::open(&folder, written::FILE)?;
    let directory = door::connect(&config, &Tickets::default()).await?;
    let holders = holders(&directory, &config).await?;
    let devices = devices(&directory, &holders).await?;
    let found = findings::of(&holders, &devices, &written, config.allow_foreign_keys);

    let asks = !args.json && elsewhere.is_none() && std::io::stdin().is_terminal();
    let mut chosen = Vec::new();
    for finding in found.iter().filter(|finding| args.names(finding)) {
        if args.takes(finding) || !args.yes && asks && asked(finding)? {
            chosen.push(finding);
        }
    }
    let going = Deletions {
        deletions: chosen.len(),
        lately: 0,
        total: holders.iter().map(|holder| holder.values.len()).sum(),
    };
    let threshold = Threshold::read(&folder)?;
    if threshold.stops(Side::Keys, &going) {
        threshold::stopped(&folder, Side::Keys, going)?;
        bail!(threshold.sentence(Side::Keys, &going));
    }
    if !chosen.is_empty() {
        // Somebody may have thought about it for long.
        expect_to_write(&config)?;
    }
    note(&folder, &chosen)?;
    for (removed, finding) in chosen.iter().enumerate() {
        take_out(&directory, finding).await.with_context(|| {
            let (all, account) = (chosen.len(), plain(&finding.account));
            format!("{removed} of {all} taken out; then {account}")
        })?;
    }
    if !chosen.is_empty() {
        threshold::passed(&folder, Side::Keys, 0)?;
    }
    let mut said = said(&found, chosen.len(), args.json)?;
    if let Some(error) = elsewhere.filter(|_| !args.json && !found.is_empty()) {
        writeln!(said, "Nothing can be taken out from here: {error:#}")?;
    }
    Ok(said)
}

impl Args {
    /// Whether it is about such a value at all.
    fn names(&self, finding: &Finding) -> bool {
        self.kind.is_empty() || self.kind.contains(&finding.kind)
    }

    /// Whether such a value goes without a question.
    fn takes(&self, finding: &Finding) -> bool {
        self.yes && (finding.ours || self.foreign)
    }
}

/// An error where this is not the agent that writes.
fn expect_to_write(config: &Config) -> anyhow::Result<()> {
    ensure!(!config.staging, "this agent is in staging mode");
    expect_lease(&Line::to(&config.runtime)?.ask(Request::Status)?)
}

/// What nobody holds is no other's.
fn expect_lease(status: &Value) -> anyhow::Result<()> {
    let lease = |name: &str| status.pointer(&format!("/lease/{name}"));
    ensure!(
        lease("staging") != Some(&Value::Bool(true)),
        "the agent that runs here is in staging mode"
    );
    match lease("holder").and_then(Value::as_str) {
        Some(host) => bail!("{} writes: run cleanup there", plain(host)),
        None => Ok(()),
    }
}

/// Every account of the scope with keys, its groups looked at.
async fn holders(directory: &Directory, config: &Config) -> anyhow::Result<Vec<KeyHolder>> {
    let mut holders = Vec::new();
    for base in config.scope.bases() {
        let mut pages = directory.key_holders(base);
        while let Some(page) = pages.next().await? {
            for holder in page {
                // A computer is protected as it is; of users it takes a look at their groups.
                let whole = directory.keys(holder.user.guid).await?;
                let holder = whole.unwrap_or(holder);
                if config.scope.holds(directory, &holder.user).await? {
                    holders.push(holder);
                }
            }
        }
    }
    Ok(holders)
}

/// The devices of all values that are computers of the directory.
async fn devices(directory: &Directory, holders: &[KeyHolder]) -> anyhow::Result<HashSet<Guid>> {
    let values = holders.iter().flat_map(|holder| &holder.values);
    let named: HashSet<Guid> = values
        .filter_map(|value| KeyCredential::decode(&value.blob).ok()?.device())
        .collect();
    let named: Vec<Guid> = named.into_iter().collect();
    let mut present = HashSet::new();
    for named in named.chunks(100) {
        let found = directory.computers_of(named).await?;
        present.extend(found.into_iter().map(|computer| computer.guid));
    }
    Ok(present)
}

/// Notes what goes, before it does.
fn note(folder: &Folder, chosen: &[&Finding]) -> anyhow::Result<()> {
    if chosen.is_empty() {
        return Ok(());
    }
    let mut cleaned: Cleaned = folder.read(FILE)?.unwrap_or_default();
    let keys = chosen.iter().filter_map(|finding| {
        let key = finding.key.clone()?;
        Some((finding.user, key))
    });
    cleaned.values.extend(keys);
    folder.write(FILE, &cleaned)
}

/// Takes one value out, with the name that its owner has now.
async fn take_out(directory: &Directory, finding: &Finding) -> anyhow::Result<()> {
    let holder = directory.keys(finding.user).await?;
    let KeyHolder { user, values } = holder
        .with_context(|| format!("{} is no user whose keys can be changed", finding.account))?;
    match values.iter().find(|value| value.blob == finding.blob) {
        Some(value) => Ok(directory.delete_key(&user, value).await?),
        None => Ok(()),
    }
}

fn asked(finding: &Finding) -> anyhow::Result<bool> {
    let mut out = std::io::stderr().lock();
    write!(out, "{finding}\nTake it out? [y/N] ")?;
    out.flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(answer.trim().eq_ignore_ascii_case("y"))
}

fn said(findings: &[Finding], removed: usize, json: bool) -> anyhow::Result<String> {
    if json {
        return Ok(serde_json::to_string(&Report { findings, removed })? + "\n");
    }
    let mut said = String::new();
    for finding in findings {
        writeln!(said, "{finding}")?;
    }
    writeln!(said, "{} found, {removed} taken out", findings.len())?;
    if removed == 0 && findings.iter().any(|finding| finding.ours) {
        writeln!(said, "--yes takes out what the agent wrote.")?;
    }
    Ok(said)
}

#[cfg(test)]
mod tests;
