//! Debian packages that a task needs on this machine.
//!
//! Each list says why it is needed. Only what is missing is installed, and the package index is
//! fetched only when apt does not know a package, so that a second run does not touch the network.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// A set of packages with the reason for which they are wanted.
#[derive(Debug, Clone, Copy)]
pub struct Needed {
    /// What they are for, as the end of a sentence "needed to …".
    pub reason: &'static str,
    /// Names of the packages.
    pub names: &'static [&'static str],
}

/// What the lab itself runs on this machine.
pub const LAB: Needed = Needed {
    reason: "run the lab",
    names: &[
        "mmdebstrap",
        "debian-archive-keyring",
        "iproute2",
        "util-linux",
        "openssl",
        "oathtool",
    ],
};

/// What the compiler needs to build the workspace.
pub const BUILD: Needed = Needed {
    reason: "build the workspace",
    names: &[
        "build-essential",
        "pkg-config",
        "libssl-dev",
        "libkrb5-dev",
        "libpam0g-dev",
    ],
};

/// What tests outside the lab run beside the code.
pub const TEST: Needed = Needed {
    reason: "test outside the lab",
    names: &[
        "swtpm",
        "swtpm-tools",
        "tpm2-tools",
        "libtss2-tcti-swtpm0",
        "libpam-wrapper",
        "pamtester",
        "dbus",
        "postgresql",
        "chromium",
        "chromium-driver",
    ],
};

/// Installs what is missing of `sets`, telling `say` which and why.
///
/// # Errors
/// When a package is missing and this is not root, or apt fails.
pub fn install(sets: &[Needed], say: fn(&str)) -> Result<()> {
    let mut wanted = Vec::new();
    for set in sets {
        let missing = missing(set.names)?;
        if !missing.is_empty() {
            say(&format!("needed to {}: {}", set.reason, missing.join(" ")));
            wanted.extend(missing);
        }
    }
    if wanted.is_empty() {
        return Ok(());
    }
    if !is_root() {
        bail!(
            "these packages are missing and only root can install them: {}",
            wanted.join(" ")
        );
    }
    if apt(&[
        &["install", "--yes", "--no-install-recommends"],
        wanted.as_slice(),
    ]
    .concat())
    .is_ok()
    {
        return Ok(());
    }
    apt(&["update"])?;
    apt(&[
        &["install", "--yes", "--no-install-recommends"],
        wanted.as_slice(),
    ]
    .concat())
}

/// Whether this process has root's rights over files.
#[must_use]
pub fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

fn missing(names: &'static [&'static str]) -> Result<Vec<&'static str>> {
    let answer = Command::new("dpkg-query")
        .args(["--show", "--showformat", "${db:Status-Status} ${Package}\n"])
        .args(names)
        .output()
        .context("dpkg-query: this needs a Debian system")?;
    let known = String::from_utf8_lossy(&answer.stdout).into_owned();
    Ok(names
        .iter()
        .copied()
        .filter(|name| !is_installed(&known, name))
        .collect())
}

fn is_installed(known: &str, name: &str) -> bool {
    known
        .lines()
        .any(|line| line.strip_prefix("installed ") == Some(name))
}

fn apt(words: &[&str]) -> Result<()> {
    let answer = Command::new("apt-get")
        .args(["--quiet", "--quiet"])
        .args(words)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .output()
        .context("apt-get")?;
    if !answer.status.success() {
        bail!(
            "apt-get {}: {}",
            words.join(" "),
            String::from_utf8_lossy(&answer.stderr).trim()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests;
