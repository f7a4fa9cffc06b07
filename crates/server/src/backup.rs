//! `latchkey-server backup` and `restore`: the store in one file, and the way back.
//!
//! The master key is not in it, and is to be kept apart: with both, whoever has them has everything.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use store::Store;

use crate::{config, config::Config, init, say};

/// Writes what was committed last to a file, while the server goes on.
#[derive(clap::Args)]
pub struct BackupArgs {
    /// The file, which is not there yet.
    file: PathBuf,
    /// The server's configuration.
    #[arg(long, default_value = config::PATH)]
    config: PathBuf,
}

/// Puts a copy in the place of the store, while the server is stopped.
#[derive(clap::Args)]
pub struct RestoreArgs {
    /// The file that `backup` wrote.
    file: PathBuf,
    /// The server's configuration.
    #[arg(long, default_value = config::PATH)]
    config: PathBuf,
    /// Sets a store aside that is there.
    #[arg(long)]
    force: bool,
}

/// Runs `backup`.
pub fn back_up(args: &BackupArgs) -> anyhow::Result<()> {
    let config = Config::read(&args.config)?;
    expect_sqlite(&config)?;
    let file = config.store_file();
    if !file.exists() {
        bail!("{} is not there: nothing to copy", file.display());
    }
    // By a reader, which brings no schema up to date under a server of the release before.
    Store::restore_sqlite(&file, &args.file)?;
    say(&format!("copied   {}", args.file.display()))?;
    let key = config.master_key_file();
    Ok(say(&format!(
        "not in it: {} (keep a copy of it apart from this one)",
        key.display()
    ))?)
}

/// Runs `restore`.
pub fn restore(args: &RestoreArgs) -> anyhow::Result<()> {
    let config = Config::read(&args.config)?;
    expect_sqlite(&config)?;
    if std::os::unix::net::UnixStream::connect(&config.admin_socket).is_ok() {
        bail!("the server runs: stop it first");
    }
    let file = config.store_file();
    let beside = with_suffix(&file, ".restored");
    let _ = fs::remove_file(&beside);
    // The copy is looked through before anything is set aside.
    Store::restore_sqlite(&args.file, &beside)
        .with_context(|| format!("{} is no copy of a store", args.file.display()))?;
    if file.exists() && !args.force {
        fs::remove_file(&beside)?;
        bail!(
            "{} is there: --force sets it aside under another name",
            file.display()
        );
    }
    let aside = set_aside(&file)?;
    fs::rename(&beside, &file)?;
    if let Some(folder) = file.parent() {
        fs::File::open(folder)?.sync_all()?;
        init::hand_over(folder)?;
    }
    say(&format!("restored {}", file.display()))?;
    if let Some(aside) = aside {
        say(&format!("set aside {}", aside.display()))?;
    }
    Ok(say("next: start the server")?)
}

/// Moves a store, with its journal, to a name that nothing has.
fn set_aside(file: &Path) -> anyhow::Result<Option<PathBuf>> {
    if !file.exists() {
        // A journal without its store is nobody's.
        for suffix in ["-wal", "-shm"] {
            let _ = fs::remove_file(with_suffix(file, suffix));
        }
        return Ok(None);
    }
    let aside = (1..)
        .map(|n| with_suffix(file, &format!(".before-restore-{n}")))
        .find(|aside| !aside.exists())
        .context("no name is free: a bug")?;
    for suffix in ["-wal", "-shm", ""] {
        let from = with_suffix(file, suffix);
        if from.exists() {
            fs::rename(from, with_suffix(&aside, suffix))?;
        }
    }
    Ok(Some(aside))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn expect_sqlite(config: &Config) -> anyhow::Result<()> {
    if config.store.is_some() {
        bail!(
            "the store is PostgreSQL: pg_dump copies it, and pg_restore brings it back; \
             `check-config` then says whether it fits"
        );
    }
    Ok(())
}
