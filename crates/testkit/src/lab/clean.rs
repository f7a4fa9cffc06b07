//! A machine that is no part of a lab: a clean Debian 12, for packages to be installed on.
//!
//! It shares the machine's network, because `apt` fetches there what a package needs; everything
//! else of it is its own, and goes with it. systemd runs it, so that services start as they do for
//! a customer, behind the walls that their units build.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::base::{self, private_folder};
use super::{Host, Lab, clear, folder_of, supervisor, until_ok};

/// As long as `apt` may take, its downloads included.
const PATIENCE: Duration = Duration::from_secs(300);

/// The machine. It ends when this is dropped.
#[derive(Debug)]
pub struct Clean {
    /// Its commands and files.
    pub host: Host,
    folder: PathBuf,
}

impl Clean {
    /// Starts one under a name that no lab has; what a killed test left of it is removed.
    ///
    /// # Errors
    /// When this machine lacks rights or packages, or the package index cannot be fetched.
    pub fn start(name: &str) -> Result<Self> {
        let folder = folder_of(name)?;
        Lab::is_possible(|_| {})?;
        let base = base::prepare(&base::CLEAN, |_| {})?;
        clear(&folder)?;
        private_folder(&folder)?;
        let init = supervisor::start_alone(&folder, name, &base.folder)?;
        let name = name.to_owned();
        let host = Host { name, init };
        let clean = Self { host, folder };
        until_ok("systemd", Duration::from_secs(60), || {
            clean
                .host
                .command(&["systemctl", "is-active", "multi-user.target"])
        })?;
        let names = fs::read("/etc/resolv.conf").context("/etc/resolv.conf")?;
        clean.host.write_file("/etc/resolv.conf", names, 0o644)?;
        Ok(clean)
    }

    /// Runs `apt-get`, and returns all that it said. Its index is as old as the base: where that is
    /// too old, a new one is fetched.
    ///
    /// # Errors
    /// When it fails.
    pub fn apt(&self, words: &[&str]) -> Result<String> {
        let first = self.try_apt(words)?;
        if let Ok(said) = first {
            return Ok(said);
        }
        self.try_apt(&["update"])??;
        self.try_apt(words)?
    }

    /// What it said, or an error that tells it.
    fn try_apt(&self, words: &[&str]) -> Result<Result<String>> {
        let quietly = ["apt-get", "--quiet=2", "--yes", "-o", "Dpkg::Use-Pty=0"];
        let hastily = ["-o", "Dpkg::Options::=--force-unsafe-io"];
        let call = self.host.command(&[&quietly[..], &hastily, words].concat());
        let call = call.env("DEBIAN_FRONTEND", "noninteractive");
        let answer = call.within(PATIENCE).run()?;
        let said = answer.text();
        Ok(answer.ok().map(|_| said))
    }

    /// Puts a package of the machine's where its `apt` finds it; returns the path there.
    ///
    /// # Errors
    /// When it cannot be copied.
    pub fn receive(&self, file: &Path) -> Result<String> {
        let name = file.file_name().context("a package without a name")?;
        let path = format!("/root/{}", name.to_string_lossy());
        self.host.write_file(&path, fs::read(file)?, 0o644)?;
        Ok(path)
    }
}

impl Drop for Clean {
    fn drop(&mut self) {
        // What stays is removed by the next one of this name.
        let _stays = clear(&self.folder);
    }
}
