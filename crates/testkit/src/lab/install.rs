//! Puts the built programs into a host, where and as a package would put them.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::address::{Role, role};
use super::{Host, Lab};

/// Which build is installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// `cargo build`
    Debug,
    /// `cargo build --release`
    Release,
}

/// A built file, where it is installed, with which mode.
type Row = (&'static str, &'static str, u32);

const CLI: Row = ("latchkey", "/usr/bin/latchkey", 0o755);
const SERVER: [Row; 3] = [
    CLI,
    ("latchkey-server", "/usr/sbin/latchkey-server", 0o755),
    ("latchkey-sync", "/usr/sbin/latchkey-sync", 0o755),
];
const WORKSTATION: [Row; 5] = [
    CLI,
    ("latchkeyd", "/usr/sbin/latchkeyd", 0o755),
    (
        "latchkey-login-helper",
        "/usr/libexec/latchkey/latchkey-login-helper",
        // A program that its user may not read is one that it may not trace either.
        0o711,
    ),
    (
        "liblatchkey_pkcs11.so",
        "/usr/lib/x86_64-linux-gnu/pkcs11/liblatchkey_pkcs11.so",
        0o644,
    ),
    (
        "libpam_latchkey.so",
        "/usr/lib/x86_64-linux-gnu/security/pam_latchkey.so",
        0o644,
    ),
];

impl Lab {
    /// Copies the programs that belong on `host` from the workspace's build of `profile`; on a
    /// workstation the PAM module goes into the stack too.
    ///
    /// # Errors
    /// When one of them was not built, or cannot be written.
    pub fn install(&self, host: &Host, profile: Profile) -> Result<()> {
        let built = target_folder().join(match profile {
            Profile::Debug => "debug",
            Profile::Release => "release",
        });
        let rows: &[Row] = match role(&host.name)? {
            Role::DomainController => &[CLI],
            Role::Stranger => &[],
            Role::Server => &SERVER,
            Role::Workstation => &WORKSTATION,
        };
        for &(file, path, mode) in rows {
            let source = built.join(file);
            let bytes = std::fs::read(&source)
                .with_context(|| format!("{} (cargo build --workspace)", source.display()))?;
            host.write_file(path, bytes, mode)?;
        }
        match role(&host.name)? {
            Role::Workstation => enable_pam(host),
            Role::DomainController | Role::Server | Role::Stranger => Ok(()),
        }
    }
}

/// A built program of either profile, the newer one: for the lab's own use, where both do.
pub(super) fn program(name: &str) -> Result<PathBuf> {
    let built = ["debug", "release"].map(|profile| target_folder().join(profile).join(name));
    built
        .into_iter()
        .filter_map(|file| Some((file.metadata().ok()?.modified().ok()?, file)))
        .max()
        .map(|(_, file)| file)
        .with_context(|| format!("{name} is not built (cargo build --workspace)"))
}

/// The profile that puts the PAM module into the stack, and where Debian's tool looks for it.
const PAM_PROFILE: (&str, &str) = (
    "crates/pam-module/latchkey.pam-config",
    "/usr/share/pam-configs/latchkey",
);

/// Puts the PAM module into a workstation's stack, as a package's script does.
fn enable_pam(host: &Host) -> Result<()> {
    let (source, path) = PAM_PROFILE;
    let profile = std::fs::read(workspace().join(source)).context(source)?;
    host.write_file(path, profile, 0o644)?;
    host.command(&["pam-auth-update", "--package", "--enable", "latchkey"])
        .ok()?;
    Ok(())
}

/// Where cargo builds this workspace.
#[must_use]
pub fn target_folder() -> PathBuf {
    let own = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    own.unwrap_or_else(|| workspace().join("target"))
}

/// The folder of the workspace from which this was built.
#[must_use]
pub fn workspace() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}
