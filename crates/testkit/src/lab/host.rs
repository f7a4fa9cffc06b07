//! One host of a lab.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::call::Call;
use super::process::{Process, started_in};
use crate::wait;

/// A host that runs: commands, daemons and files of it.
#[derive(Debug, Clone)]
pub struct Host {
    /// Its short name, such as `ws1`.
    pub name: String,
    pub(super) init: Process,
}

impl Host {
    /// A command to run in this host.
    #[must_use]
    pub fn command(&self, words: &[&str]) -> Call {
        Call::new(&self.name, self.init.number, words)
    }

    /// A line for the host's shell, run as root to its end; returns its standard output.
    ///
    /// # Errors
    /// When its status is not 0.
    pub fn sh(&self, line: &str) -> Result<String> {
        self.command(&["sh", "-c", line]).ok()
    }

    /// The host's root as this machine reaches it. An absolute link inside would be followed from
    /// the machine's own root, so name real paths.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root", self.init.number))
    }

    /// Where the machine finds the host's absolute `path`.
    #[must_use]
    pub fn path(&self, path: &str) -> PathBuf {
        self.root().join(path.trim_start_matches('/'))
    }

    /// Puts a file in place in one step, its folder made if need be.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn write_file(&self, path: &str, bytes: impl AsRef<[u8]>, mode: u32) -> Result<()> {
        let target = self.path(path);
        let fault = || format!("{}: writing {path}", self.name);
        let folder = target.parent().with_context(fault)?;
        fs::create_dir_all(folder).with_context(fault)?;
        let part = target.with_added_extension("part");
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(mode)
            .open(&part)
            .with_context(fault)?;
        file.write_all(bytes.as_ref()).with_context(fault)?;
        file.set_permissions(fs::Permissions::from_mode(mode))
            .with_context(fault)?;
        fs::rename(&part, &target).with_context(fault)
    }

    /// Reads a file whole.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn read_file(&self, path: &str) -> Result<Vec<u8>> {
        fs::read(self.path(path)).with_context(|| format!("{}: reading {path}", self.name))
    }

    /// Reads a file as text; a log may hold anything, so what is not UTF-8 is replaced.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn read_text(&self, path: &str) -> Result<String> {
        Ok(String::from_utf8_lossy(&self.read_file(path)?).into_owned())
    }

    /// The number of the daemon `name` as this host counts, while it runs.
    #[must_use]
    pub fn pid(&self, name: &str) -> Option<u32> {
        let number: u32 = self
            .read_text(&format!("/run/lab/{name}"))
            .ok()?
            .trim()
            .parse()
            .ok()?;
        let stat = self.read_text(&format!("/proc/{number}/stat")).ok()?;
        started_in(&stat).map(|_| number)
    }

    /// Names of the daemons that were started here and not stopped, in order.
    #[must_use]
    pub fn daemons(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.path("/run/lab")) else {
            return Vec::new();
        };
        let names = entries.flatten().map(|entry| entry.file_name());
        let mut names: Vec<String> = names.map(|n| n.to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// Sends `signal` (such as `KILL`) to the daemon `name` and waits until it has ended.
    ///
    /// # Errors
    /// When it does not run, or does not end within 20 seconds.
    pub fn kill(&self, name: &str, signal: &str) -> Result<()> {
        let Some(number) = self.pid(name) else {
            bail!("{}: {name} does not run", self.name)
        };
        let send = "kill -s \"$1\" \"$2\"";
        self.command(&["sh", "-c", send, "sh", signal, &number.to_string()])
            .ok()?;
        let what = format!("{}: {name} to end after {signal}", self.name);
        wait::until(&what, Duration::from_secs(20), || self.pid(name).is_none())
    }

    /// Asks the daemon `name` to end, if it runs, and forgets it.
    ///
    /// # Errors
    /// When it does not end within 20 seconds.
    pub fn stop(&self, name: &str) -> Result<()> {
        if self.pid(name).is_some() {
            self.kill(name, "TERM")?;
        }
        match fs::remove_file(self.path(&format!("/run/lab/{name}"))) {
            Err(fault) if fault.kind() != std::io::ErrorKind::NotFound => Err(fault.into()),
            _ => Ok(()),
        }
    }
}
