//! `latchkey gpo evaluate`: which policies apply to somebody at a computer, and why not the others.
//!
//! Of copies without any domain at hand, or of the domain as the holder of the ticket sees it. What
//! the computer may read is judged by the descriptors in both cases.

use std::{collections::BTreeMap, path::Path};

use anyhow::{Context, bail};
use directory::By;
use policy::gpo::{offline, offline::Answer};

use super::{Domain, arguments::Evaluate};
use crate::output::Output;

/// Evaluates copies.
pub(super) fn copies(
    ldif: &Path,
    sysvol: &Path,
    how: &Evaluate,
    output: &Output,
) -> anyhow::Result<()> {
    let site = how.site.as_deref();
    let answer = offline::evaluate_folder(ldif, sysvol, &how.user, &how.computer, site)?;
    tell(&answer, output)
}

/// Evaluates the domain.
pub(super) async fn live(
    domain: &mut Domain,
    how: &Evaluate,
    output: &Output,
) -> anyhow::Result<()> {
    let directory = &domain.directory;
    let account = format!("{}$", how.computer.trim_end_matches('$'));
    let computer = directory.computer(&By::Account(account)).await?;
    let computer = computer.with_context(|| format!("no computer {}", how.computer))?;
    let user = directory.user(&By::Account(how.user.clone())).await?;
    let user = user.with_context(|| format!("no user {}", how.user))?;
    let inputs = directory.gpo_inputs(&computer, Some(&user)).await?;
    let mut files = BTreeMap::new();
    for wanted in inputs.wanted() {
        let read = sysvol::policies::fetch(&mut domain.sysvol, &wanted).await;
        files.insert(wanted.guid, read);
    }
    let answer = Answer::of(&how.user, &how.computer, &inputs, &files);
    tell(&answer, output)
}

fn tell(answer: &Answer, output: &Output) -> anyhow::Result<()> {
    output.result(answer, || answer.to_string())?;
    if answer.failures.is_empty() {
        return Ok(());
    }
    bail!("not everything could be understood; a device would keep what it had")
}
