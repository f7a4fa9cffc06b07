//! Puts the built programs into a host, where and as a package would put them.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use deb::Package;
use deb::contents::{CLI, From, PAM_PROFILE, Row};
pub use deb::{Profile, target_folder, workspace};

use super::address::{Role, role};
use super::{Host, Lab};

impl Lab {
    /// Copies the programs that belong on `host` from the workspace's build of `profile`; on a
    /// workstation the PAM module goes into the stack too.
    ///
    /// # Errors
    /// When one of them was not built, or cannot be written.
    pub fn install(&self, host: &Host, profile: Profile) -> Result<()> {
        let role = role(&host.name)?;
        let (cli, packages): (&[Row], &[Package]) = match role {
            Role::DomainController => (&[CLI], &[]),
            Role::Stranger => (&[], &[]),
            Role::Server => (&[CLI], &[Package::Server, Package::Agent]),
            Role::Workstation => (&[], &[Package::Workstation]),
        };
        for row in cli
            .iter()
            .chain(packages.iter().flat_map(|package| package.rows()))
        {
            if let From::Built(file) = row.from {
                let source = profile.folder().join(file);
                let bytes = std::fs::read(&source)
                    .with_context(|| format!("{} (cargo build --workspace)", source.display()))?;
                host.write_file(&row.path(), bytes, row.mode)?;
            }
        }
        match role {
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

/// Puts the PAM module into a workstation's stack, as the package's script does.
fn enable_pam(host: &Host) -> Result<()> {
    let From::Kept(source) = PAM_PROFILE.from else {
        bail!("the profile of the PAM module is a built file: a bug")
    };
    let profile = std::fs::read(workspace().join(source)).context(source)?;
    host.write_file(&PAM_PROFILE.path(), profile, PAM_PROFILE.mode)?;
    host.command(&["pam-auth-update", "--package", "--enable", "latchkey"])
        .ok()?;
    Ok(())
}
