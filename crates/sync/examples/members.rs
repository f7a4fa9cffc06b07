//! Reads a group's members so many at once, as a domain controller of Windows hands out those of a large
//! group: one of Samba hands out all, unless it is asked so.

use std::io::Write as _;

use anyhow::{Context as _, Result};
use clap::Parser;
use directory::Directory;

/// Writes the objectGUID of each member, with the tickets of KRB5CCNAME.
#[derive(Parser)]
struct Args {
    /// The domain's realm.
    #[arg(long)]
    realm: String,
    /// The sAMAccountName of the group.
    #[arg(long)]
    group: String,
    /// At most so many at once.
    #[arg(long)]
    step: usize,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let args = Args::parse();
    let directory = Directory::connect(&args.realm, None).await?;
    let mut groups = directory.groups().all().await?.into_iter();
    let group = groups.find(|group| group.account == args.group);
    let group = group.context("no such group")?.guid;
    let mut out = std::io::stdout().lock();
    for member in directory.members_in_steps(group, args.step).await? {
        writeln!(out, "{member}")?;
    }
    Ok(())
}
