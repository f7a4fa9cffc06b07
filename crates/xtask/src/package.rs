//! `cargo xtask package`: builds the programs and packs them for Debian.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use deb::{Package, Profile, Request, target_folder};
use lexopt::Arg::Long;
use testkit::packages;

use crate::{build, complain, say};

/// Runs what follows `package` on the command line; prints the files, one a line.
pub(crate) fn run(mut words: lexopt::Parser) -> Result<ExitCode> {
    let mut out = target_folder().join("packages");
    let mut profile = Profile::Release;
    let mut version = env!("CARGO_PKG_VERSION").to_owned();
    while let Some(word) = words.next()? {
        match word {
            Long("out") => out = PathBuf::from(words.value()?),
            Long("profile") => {
                profile = match words.value()?.to_string_lossy().as_ref() {
                    "dev" => Profile::Debug,
                    "release" => Profile::Release,
                    other => bail!("no profile {other}: dev, release"),
                }
            }
            Long("version") => version = words.value()?.to_string_lossy().into_owned(),
            other => return Err(other.unexpected().into()),
        }
    }
    packages::install(&[packages::BUILD], complain)?;
    match profile {
        Profile::Debug => build(&["--workspace"])?,
        Profile::Release => build(&["--release", "--workspace"])?,
    }
    let request = Request {
        profile,
        version: &version,
        out: &out,
    };
    for package in Package::ALL {
        say(&deb::build(package, request)?.display().to_string());
    }
    Ok(ExitCode::SUCCESS)
}
