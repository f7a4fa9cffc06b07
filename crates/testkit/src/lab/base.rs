//! Root file systems that hosts start from, made once per machine by mmdebstrap.
//!
//! A base is a folder that labs mount read-only under an overlay. Its name carries everything that
//! made it (suites, packages, and the version of Samba found there), so a changed list makes a new
//! one and never alters the old one under a running lab.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use super::CACHE;

/// The first Samba whose KDC knows key trust.
const FIRST_SAMBA: (u32, u32) = (4, 24);

/// How one root file system is made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Recipe {
    name: &'static str,
    suite: &'static str,
    /// A second suite of the same mirror, preferred over the first.
    preferred: Option<&'static str>,
    packages: &'static [&'static str],
    /// The package whose version is part of the base's name.
    telling: &'static str,
    /// Whether `apt` there need not fetch its index before it installs more.
    keeps_index: bool,
}

/// The domain controller: Debian 12's own Samba is too old, the next release's backports are not.
pub(super) const DOMAIN_CONTROLLER: Recipe = Recipe {
    name: "dc",
    suite: "trixie",
    preferred: Some("trixie-backports"),
    packages: &[
        "samba-ad-dc",
        "samba",
        "samba-ad-provision",
        "python3-samba",
        "samba-common-bin",
        "winbind",
        "ldb-tools",
        "krb5-user",
        "ldap-utils",
        "openssl",
        "iproute2",
        "libsasl2-modules-gssapi-mit",
        "python3-setproctitle",
        "mount",
        "procps",
    ],
    telling: "samba-ad-dc",
    keeps_index: false,
};

/// The server and the workstations: the release that the product is built for.
pub(super) const MEMBER: Recipe = Recipe {
    name: "member",
    suite: "bookworm",
    preferred: None,
    packages: &[
        "openssl",
        "ca-certificates",
        "curl",
        "iproute2",
        "nftables",
        "mount",
        "procps",
        "util-linux",
        "login",
        "passwd",
        "sudo",
        "gdb",
        "faketime",
        "libpam-modules",
        "libpam-runtime",
        "pamtester",
        "libtss2-esys-3.0.2-0",
        "libtss2-mu0",
        "libtss2-tctildr0",
        "libtss2-tcti-swtpm0",
        "libtss2-tcti-device0",
        "swtpm",
        "swtpm-tools",
        "tpm2-tools",
        "libtpm2-pkcs11-1",
        "opensc",
        "krb5-user",
        "krb5-pkinit",
        "krb5-kdc",
        "krb5-admin-server",
        "sssd-ad",
        "sssd-krb5",
        "sssd-tools",
        "libsss-nss-idmap0",
        "libpam-sss",
        "libnss-sss",
        "adcli",
        "smbclient",
        "ldap-utils",
        "libsasl2-modules-gssapi-mit",
    ],
    telling: "sssd-ad",
    keeps_index: false,
};

/// A machine of somebody who has never heard of the product, as it is before it gets its packages: a
/// member of a domain by SSSD, with a TPM, and with what tests ask it with.
pub(super) const CLEAN: Recipe = Recipe {
    name: "clean",
    suite: "bookworm",
    preferred: None,
    packages: &[
        "systemd",
        "sssd-ad",
        "libpam-sss",
        "libnss-sss",
        "adcli",
        "krb5-user",
        "krb5-pkinit",
        "dbus",
        "libpam-systemd",
        "ldap-utils",
        "libsasl2-modules-gssapi-mit",
        "login",
        "man-db",
        "mount",
        "openssl",
        "pamtester",
        "swtpm",
        "swtpm-tools",
        "util-linux",
    ],
    telling: "sssd-ad",
    keeps_index: true,
};

/// A base on disk.
#[derive(Debug, Clone)]
pub(super) struct Base {
    pub(super) folder: PathBuf,
    /// The version of its telling package.
    pub(super) version: String,
}

/// Finds the base of `recipe` or makes it. One process at a time: the others wait for the lock.
pub(super) fn prepare(recipe: &Recipe, say: fn(&str)) -> Result<Base> {
    let shelf = Path::new(CACHE).join("base");
    private_folder(&shelf)?;
    let lock = fs::File::create(shelf.join(format!("{}.lock", recipe.name)))?;
    lock.lock().context("waiting for the base of another run")?;

    let stem = format!("{}-{:016x}", recipe.name, recipe.fingerprint());
    if let Some(base) = find(&shelf, &stem)? {
        return Ok(base);
    }
    let start = Instant::now();
    let part = shelf.join(format!("{stem}.part"));
    remove_tree(&part)?;
    say(&format!(
        "making the base {} ({}, once per machine)",
        recipe.name, recipe.suite
    ));
    debootstrap(recipe, &part)?;
    let version = installed_version(&part, recipe.telling)?;
    if recipe.telling == DOMAIN_CONTROLLER.telling {
        demand_key_trust(&version)?;
    }
    let folder = shelf.join(format!("{stem}+{version}"));
    fs::rename(&part, &folder).context("base into place")?;
    say(&format!(
        "made the base {}: {} {version} in {:.1} s",
        recipe.name,
        recipe.telling,
        start.elapsed().as_secs_f64()
    ));
    Ok(Base { folder, version })
}

/// Makes a folder that only root can enter.
pub(super) fn private_folder(folder: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .with_context(|| format!("making {}", folder.display()))
}

/// Removes a folder with all in it, if it is there.
pub(super) fn remove_tree(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(fault) if fault.kind() != std::io::ErrorKind::NotFound => {
            Err(fault).with_context(|| format!("removing {}", folder.display()))
        }
        _ => Ok(()),
    }
}

impl Recipe {
    fn fingerprint(&self) -> u64 {
        let words = [self.suite, self.preferred.unwrap_or_default()];
        fingerprint(words.iter().chain(self.packages).copied())
    }
}

/// FNV-1a: a name for a list of words that stays the same whatever the compiler.
pub(super) fn fingerprint<'a>(words: impl Iterator<Item = &'a str>) -> u64 {
    let bytes = words.flat_map(|word| word.bytes().chain([0]));
    bytes.fold(0xcbf2_9ce4_8422_2325, |sum, byte| {
        (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn find(shelf: &Path, stem: &str) -> Result<Option<Base>> {
    for entry in fs::read_dir(shelf)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if let Some(version) = name
            .strip_prefix(stem)
            .and_then(|rest| rest.strip_prefix('+'))
        {
            return Ok(Some(Base {
                folder: entry.path(),
                version: version.to_owned(),
            }));
        }
    }
    Ok(None)
}

fn debootstrap(recipe: &Recipe, target: &Path) -> Result<()> {
    let mirror = mirror()?;
    let mut command = Command::new("mmdebstrap");
    command.args([
        "--quiet",
        "--variant=apt",
        "--mode=root",
        "--format=directory",
    ]);
    if recipe.keeps_index {
        command.arg("--skip=cleanup/apt/lists");
    }
    command.arg("--aptopt=APT::Install-Recommends \"false\"");
    if let Some(suite) = recipe.preferred {
        command.arg(format!("--aptopt=APT::Default-Release \"{suite}\""));
    }
    command.arg(format!("--include={}", recipe.packages.join(",")));
    command.arg(recipe.suite).arg(target);
    for suite in [Some(recipe.suite), recipe.preferred].into_iter().flatten() {
        command.arg(format!("deb {mirror} {suite} main"));
    }
    let answer = command
        .stdin(Stdio::null())
        .output()
        .context("mmdebstrap")?;
    if !answer.status.success() {
        let text = String::from_utf8_lossy(&answer.stderr).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        let last = lines
            .iter()
            .rev()
            .take(12)
            .rev()
            .copied()
            .collect::<Vec<_>>()
            .join("\n");
        bail!("mmdebstrap for {}: {}\n{last}", recipe.name, answer.status);
    }
    Ok(())
}

/// The Debian mirror that this machine itself uses.
fn mirror() -> Result<String> {
    let answer = Command::new("apt-get")
        .args(["indextargets", "--format", "$(ORIGIN) $(REPO_URI)"])
        .output()
        .context("apt-get indextargets")?;
    let text = String::from_utf8_lossy(&answer.stdout).into_owned();
    first_mirror(&text).context("apt knows no Debian mirror on this machine (run apt-get update)")
}

/// The first archive of origin Debian that does not only hold security updates.
fn first_mirror(targets: &str) -> Option<String> {
    let mut archives = targets.lines().filter_map(|line| line.split_once(' '));
    let found = archives.find(|(origin, uri)| *origin == "Debian" && !uri.contains("security"));
    found.map(|(_, uri)| uri.to_owned())
}

fn installed_version(root: &Path, package: &str) -> Result<String> {
    let answer = Command::new("dpkg-query")
        .arg(format!(
            "--admindir={}",
            root.join("var/lib/dpkg").display()
        ))
        .args(["--show", "--showformat", "${Version}", package])
        .output()
        .context("dpkg-query")?;
    let version = String::from_utf8_lossy(&answer.stdout).trim().to_owned();
    // The epoch goes: a colon would part the folder's name in a list of layers.
    let version = version
        .split_once(':')
        .map_or(version.as_str(), |(_, rest)| rest)
        .to_owned();
    if version.is_empty() {
        bail!("{package} is not in the base");
    }
    Ok(version)
}

fn demand_key_trust(version: &str) -> Result<()> {
    if upstream(version).is_some_and(|found| found >= FIRST_SAMBA) {
        return Ok(());
    }
    let (major, minor) = FIRST_SAMBA;
    bail!("the mirror has Samba {version}; key trust needs at least {major}.{minor}")
}

/// Major and minor number of a version such as `4.24.7+dfsg-1~bpo13+1`.
fn upstream(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests;
