//! The control files of a package: what it is, what it needs, what is done around it.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::build::{output, workspace, write};
use crate::contents::{From, Package, Row};

/// What Debian calls this architecture.
pub(crate) const ARCHITECTURE: &str = if cfg!(target_arch = "aarch64") {
    "arm64"
} else {
    "amd64"
};

/// The scripts that a package may have beside its control file.
const SCRIPTS: [&str; 4] = ["preinst", "postinst", "prerm", "postrm"];

/// Writes `DEBIAN/` into the tree of a package that is otherwise complete.
pub(crate) fn write_control(package: Package, version: &str, tree: &Path) -> Result<()> {
    let folder = workspace().join("packaging").join(package.name());
    let template = fs::read_to_string(folder.join("control"))
        .with_context(|| format!("the control file of {}", package.name()))?;
    let control = template
        .replace("${Version}", version)
        .replace("${Architecture}", ARCHITECTURE)
        .replace("${Installed-Size}", &kilobytes(tree)?.to_string())
        .replace("${shlibs:Depends}", &libraries(package, tree)?);
    write(&tree.join("DEBIAN/control"), control, 0o644)?;
    for script in SCRIPTS {
        match fs::read(folder.join(script)) {
            Ok(text) => write(&tree.join("DEBIAN").join(script), text, 0o755)?,
            Err(fault) if fault.kind() == std::io::ErrorKind::NotFound => {}
            Err(fault) => return Err(fault).context(script),
        }
    }
    let paths: Vec<String> = package.rows().iter().map(Row::path).collect();
    let mut kept = String::new();
    for path in paths.iter().filter(|path| path.starts_with("/etc/")) {
        kept += &format!("{path}\n");
    }
    if !kept.is_empty() {
        write(&tree.join("DEBIAN/conffiles"), kept, 0o644)?;
    }
    let sums = "find . -path ./DEBIAN -prune -o -path ./etc -prune -o -type f -printf '%P\\0' \
                | sort -z | xargs -0 md5sum";
    let sums = output(Command::new("sh").args(["-c", sums]).current_dir(tree))?;
    write(&tree.join("DEBIAN/md5sums"), sums, 0o644)
}

/// What the programs of a package are linked with, as Debian's packages in a `Depends` field.
fn libraries(package: Package, tree: &Path) -> Result<String> {
    let scratch = tree.with_extension("shlibdeps");
    let control = format!(
        "Source: latchkey\n\nPackage: {}\nArchitecture: any\n",
        package.name()
    );
    write(&scratch.join("debian/control"), control, 0o644)?;
    let mut command = Command::new("dpkg-shlibdeps");
    command.args(["-O", "--warnings=0"]).current_dir(&scratch);
    for row in package.rows() {
        if matches!(row.from, From::Built(_)) {
            command.arg(format!("-e{}{}", tree.display(), row.path()));
        }
    }
    let found = output(&mut command)?;
    fs::remove_dir_all(&scratch)?;
    let found = String::from_utf8(found)?;
    match found.trim().strip_prefix("shlibs:Depends=") {
        Some(list) => Ok(list.to_owned()),
        None => bail!("dpkg-shlibdeps said: {found}"),
    }
}

/// The size that `dpkg` shows before it installs.
fn kilobytes(tree: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(tree)? {
        let entry = entry?;
        let found = entry.metadata()?;
        bytes += match found.is_dir() {
            true => kilobytes(&entry.path())? * 1024,
            false => found.len().next_multiple_of(1024),
        };
    }
    Ok(bytes / 1024)
}
