//! Lays a package's tree out and packs it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, bail};

use crate::contents::{From, Package};
use crate::{bill, control, manual};

/// Which build of the programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// `cargo build`
    Debug,
    /// `cargo build --release`
    Release,
}

impl Profile {
    /// Where Cargo puts what it builds in this profile.
    #[must_use]
    pub fn folder(self) -> PathBuf {
        target_folder().join(match self {
            Self::Debug => "debug",
            Self::Release => "release",
        })
    }
}

/// What is to be packed.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Of which build.
    pub profile: Profile,
    /// Under which version.
    pub version: &'a str,
    /// Into which folder.
    pub out: &'a Path,
}

/// Packs a package from programs that are built already; returns the file.
///
/// # Errors
/// When a program was not built, or a tool of Debian's fails.
pub fn build(package: Package, request: Request<'_>) -> Result<PathBuf> {
    fs::create_dir_all(request.out)?;
    let tree = request.out.canonicalize()?;
    let tree = tree.join(format!("{}.tree", package.name()));
    if tree.exists() {
        fs::remove_dir_all(&tree)?;
    }
    lay_out(package, request, &tree)?;
    let moment = moment()?;
    date(&tree, moment)?;
    let file = pack(package, request, &tree, moment)?;
    fs::remove_dir_all(&tree)?;
    Ok(file)
}

fn lay_out(package: Package, request: Request<'_>, tree: &Path) -> Result<()> {
    let built = request.profile.folder();
    for row in package.rows() {
        let source = match row.from {
            From::Built(name) => built.join(name),
            From::Kept(path) => workspace().join(path),
        };
        let bytes = fs::read(&source).with_context(|| {
            format!(
                "{} (a program comes by cargo build --workspace)",
                source.display()
            )
        })?;
        write(&inside(tree, &row.path()), bytes, row.mode)?;
    }
    manual::write_manual(package, &built, tree)?;
    manual::compress(tree)?;
    let about = tree.join("usr/share/doc").join(package.name());
    let metadata = bill::metadata()?;
    let linked = metadata.linked_into(package.crates());
    write(&about.join("copyright"), bill::copyright()?, 0o644)?;
    write(
        &about.join("third-party-licences.txt"),
        bill::licences(&linked)?,
        0o644,
    )?;
    write(
        &about.join("bill-of-materials.cdx.json"),
        bill::cyclonedx(package, request.version, &linked).to_string(),
        0o644,
    )?;
    control::write_control(package, request.version, tree)
}

fn pack(
    package: Package,
    request: Request<'_>,
    tree: &Path,
    moment: SystemTime,
) -> Result<PathBuf> {
    let name = format!(
        "{}_{}_{}.deb",
        package.name(),
        request.version,
        control::ARCHITECTURE
    );
    let file = tree.with_file_name(name);
    // What is tried out and thrown away need not be small.
    let compression = match request.profile {
        Profile::Debug => "-Znone",
        Profile::Release => "-Zxz",
    };
    let since = moment.duration_since(SystemTime::UNIX_EPOCH)?;
    output(
        Command::new("dpkg-deb")
            .args(["--root-owner-group", compression, "--build"])
            .args([tree, &file])
            .env("SOURCE_DATE_EPOCH", since.as_secs().to_string()),
    )?;
    Ok(file)
}

/// The moment that everything in the packages is dated: the one that the caller's environment
/// names, as is the custom, or that of the last commit.
fn moment() -> Result<SystemTime> {
    let text = match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(text) => text,
        Err(_) => {
            let words = ["log", "-1", "--format=%ct"];
            let found = output(Command::new("git").args(words).current_dir(workspace()));
            // A tree without a history has no better moment than any other.
            found.map_or_else(
                |_| "0".to_owned(),
                |text| String::from_utf8_lossy(&text).into_owned(),
            )
        }
    };
    let seconds = text.trim().parse().context("SOURCE_DATE_EPOCH")?;
    Ok(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
}

/// Dates a folder with all in it.
fn date(folder: &Path, moment: SystemTime) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => {
                fs::set_permissions(entry.path(), fs::Permissions::from_mode(0o755))?;
                date(&entry.path(), moment)?;
            }
            false => fs::File::open(entry.path())?.set_modified(moment)?,
        }
    }
    Ok(fs::File::open(folder)?.set_modified(moment)?)
}

fn inside(tree: &Path, path: &str) -> PathBuf {
    tree.join(path.trim_start_matches('/'))
}

/// Writes a file of a tree, its folder made if need be.
pub(crate) fn write(path: &Path, bytes: impl AsRef<[u8]>, mode: u32) -> Result<()> {
    let fault = || format!("writing {}", path.display());
    fs::create_dir_all(path.parent().with_context(fault)?).with_context(fault)?;
    fs::write(path, bytes).with_context(fault)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).with_context(fault)
}

/// Runs a tool to its end and returns what it wrote.
pub(crate) fn output(command: &mut Command) -> Result<Vec<u8>> {
    let name = command.get_program().to_string_lossy().into_owned();
    let answer = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| name.clone())?;
    if !answer.status.success() {
        bail!("{name}: {}", String::from_utf8_lossy(&answer.stderr).trim());
    }
    Ok(answer.stdout)
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
