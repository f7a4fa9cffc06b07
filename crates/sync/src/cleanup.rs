//! `cleanup`: key values of the scope that nobody should have, reported, and taken out on demand.
//!
//! What the agent wrote goes with `--yes`. What others wrote goes only where an administrator named
//! its kind or was asked about the very value; a value that is not taken out stays byte by byte what
//! it is. More than the deletion threshold stop before the first of them.

mod findings;

use std::{
    collections::HashSet,
    fmt::Write as _,
    io::{BufRead as _, IsTerminal as _, Write as _},
};

use anyhow::{Context as _, bail};
use directory::{Directory, KeyHolder};
use keycred::KeyCredential;
use model::Guid;
use serde::{Deserialize, Serialize};

pub use self::findings::{Finding, Kind};
use crate::{
    config::Config,
    door::{self, Tickets},
    state::{Folder, Journal},
    threshold::{self, Deletions, Side, Threshold},
    written::{self, Written},
};

/// What cleanups took out, so that the running agent does not take it for somebody else's work.
pub const FILE: &str = "cleaned.json";

/// What is asked of it.
#[derive(clap::Args)]
pub struct Args {
    /// Take out what the agent itself wrote, and values of the kinds named.
    #[arg(long)]
    yes: bool,
    /// Values of this kind, whoever wrote them.
    #[arg(long)]
    kind: Vec<Kind>,
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
    let written = Journal::<Written>::open(&folder, written::FILE)?;
    let directory = door::connect(&config, &Tickets::default()).await?;
    let holders = holders(&directory, &config).await?;
    let devices = devices(&directory, &holders).await?;
    let found = findings::of(&holders, &devices, &written, config.allow_foreign_keys);

    let asks = !args.yes && !args.json && std::io::stdin().is_terminal();
    let mut chosen = Vec::new();
    for finding in &found {
        let is_chosen = match asks {
            true => asked(finding)?,
            false => args.yes && (finding.ours || args.kind.contains(&finding.kind)),
        };
        if is_chosen && (args.kind.is_empty() || args.kind.contains(&finding.kind)) {
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
    note(&folder, &chosen)?;
    for finding in &chosen {
        take_out(&directory, finding).await?;
    }
    if !chosen.is_empty() {
        threshold::passed(&folder, Side::Keys, 0)?;
    }
    said(&found, chosen.len(), args.json)
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
