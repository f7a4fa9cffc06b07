//! Giving the agent's account the one right, by an administrator's ticket.

use std::fmt::Write;

use anyhow::{Context as _, ensure};
use directory::{Directory, Locator, Need};
use policy::gpo::descriptor::{Ace, Descriptor};

use super::{judge, parsed};
use crate::config::Config;

const ADMINISTRATORS: &str = "S-1-5-32-544";

/// Adds what is missing, or only says so; answers what it did.
pub(super) async fn grant(
    config: &Config,
    dry_run: bool,
    deletions: bool,
) -> anyhow::Result<String> {
    let locator = Locator::new(&config.realm, config.dc.as_deref(), Need::Write);
    let directory = locator.connect().await?;
    let identity = directory.identity(&config.account).await?;
    let judge = judge(identity, &directory).await?;
    let wanted = judge.wanted();
    let mut said = String::new();
    for ou in config.scope.bases() {
        let before = descriptor_of(&directory, ou).await;
        let before = before.with_context(|| format!("scope.ous: {ou}"))?;
        let before = before.with_context(|| unreadable(ou))?;
        let what = match judge.hands_down_keys(&before) {
            true => "is there".to_owned(),
            false => add(&directory, ou, before, &wanted, dry_run).await?,
        };
        writeln!(said, "{ou}: {what}")?;
    }
    if deletions {
        let dn = directory.deleted_objects();
        let what = let_look(&directory, &dn, &judge.looking(), dry_run).await?;
        writeln!(said, "{dn}: {what}")?;
    }
    Ok(said)
}

/// Whoever owns the container of what was deleted may change who sees it; from the beginning that is
/// the system.
async fn let_look(
    directory: &Directory,
    dn: &str,
    wanted: &Ace,
    dry_run: bool,
) -> anyhow::Result<String> {
    let before = match descriptor_of(directory, dn).await? {
        Some(before) => before,
        None if dry_run => return Ok(format!("would add {}", wanted.to_sddl())),
        None => {
            let owner = Descriptor {
                control: 0,
                owner: Some(ADMINISTRATORS.parse()?),
                group: None,
                dacl: None,
                sacl: None,
            };
            set(directory, dn, &owner).await?;
            let now = descriptor_of(directory, dn).await?;
            now.with_context(|| unreadable(dn))?
        }
    };
    let dacl = Descriptor {
        owner: None,
        group: None,
        ..before
    };
    add(directory, dn, dacl, wanted, dry_run).await
}

/// Adds an entry, unless it is there; answers what became of it.
async fn add(
    directory: &Directory,
    dn: &str,
    before: Descriptor,
    wanted: &Ace,
    dry_run: bool,
) -> anyhow::Result<String> {
    let (mut after, ace) = (before.clone(), wanted.to_sddl());
    if !after.allow(std::slice::from_ref(wanted)) {
        return Ok("is there".to_owned());
    }
    if dry_run {
        return Ok(format!("would add {ace}"));
    }
    set(directory, dn, &after).await?;
    let now = descriptor_of(directory, dn).await?;
    let now = now.with_context(|| unreadable(dn))?;
    ensure!(
        aces(&after).all(|ace| aces(&now).any(|now| now == ace)),
        "{dn}: somebody else changed its descriptor at the same time; try again"
    );
    Ok(format!("added {ace}"))
}

async fn set(directory: &Directory, dn: &str, descriptor: &Descriptor) -> anyhow::Result<()> {
    let set = directory.set_descriptor(dn, &descriptor.to_bytes()).await;
    set.map_err(|error| {
        let why = refusal(dn, &error);
        anyhow::Error::new(error).context(why)
    })
}

/// What to say of a descriptor that could not be set: another ticket helps where a right is missing alone.
fn refusal(dn: &str, error: &directory::Error) -> String {
    match error.is_of_rights() {
        true => format!("{dn}: an administrator's ticket is needed (kinit)"),
        false => format!("{dn}: its descriptor cannot be set"),
    }
}

async fn descriptor_of(directory: &Directory, dn: &str) -> anyhow::Result<Option<Descriptor>> {
    let object = directory.guarded(dn).await?;
    parsed(&object.context("there is no such object")?)
}

fn unreadable(dn: &str) -> String {
    format!("the descriptor of {dn} may not be read with this ticket")
}

fn aces(descriptor: &Descriptor) -> impl Iterator<Item = &Ace> {
    descriptor.dacl.iter().flat_map(|dacl| &dacl.aces)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_ticket_is_asked_for_where_the_right_is_missing_and_for_no_other_failure() {
        let refused = |code| directory::Error::Refused {
            code,
            message: String::new(),
        };
        assert!(refusal("OU=a", &refused(50)).contains("kinit"));
        let closed = directory::Error::Unreachable("closed".to_owned());
        for error in [refused(19), refused(53), closed] {
            assert!(!refusal("OU=a", &error).contains("kinit"), "{error}");
        }
    }
}
