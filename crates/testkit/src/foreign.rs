//! Programs of others that tests run as they are published: from PyPI and npm, at fixed versions,
//! in folders of the cache that the next run finds.
//!
//! A folder is named after what is in it, so that another version is another folder, and is complete
//! only when its last file was written.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::packages::{self, Needed};

/// Where the folders are.
const CACHE: &str = "/var/cache/latchkey/foreign";

/// Microsoft's SDK for Graph and what signs its users in: four hundred megabytes, an environment of its
/// own.
pub const GRAPH_SDK: [&str; 3] = [
    "msgraph-beta-sdk==1.66.0",
    "msal==1.39.0",
    "requests==2.34.2",
];

/// What `python` needs.
const PYTHON: Needed = Needed {
    reason: "run other people's programs in Python",
    names: &["python3", "python3-venv"],
};

/// What `node` needs.
const NODE: Needed = Needed {
    reason: "run other people's programs in JavaScript",
    names: &["nodejs"],
};

/// The same, where the machine's Node.js came without it.
const NPM: Needed = Needed {
    reason: "fetch other people's programs in JavaScript",
    names: &["npm"],
};

/// A folder with `bin/python`, which knows these packages (`name==version`).
///
/// # Errors
/// When a package cannot be fetched.
pub fn python(wanted: &[&str], say: fn(&str)) -> Result<PathBuf> {
    folder("python", wanted, |folder| {
        packages::install(&[PYTHON], say)?;
        say(&format!("fetching {}", wanted.join(" ")));
        ok(Command::new("python3").args(["-m", "venv"]).arg(folder))?;
        let mut pip = Command::new(folder.join("bin/pip"));
        // What is never used need not be compiled: some of it is large.
        ok(pip
            .args(["install", "--quiet", "--no-compile"])
            .args(wanted))
    })
}

/// A folder with `node_modules`, in which these packages (`name@version`) are.
///
/// # Errors
/// When a package cannot be fetched.
pub fn node(wanted: &[&str], say: fn(&str)) -> Result<PathBuf> {
    folder("node", wanted, |folder| {
        packages::install(&[NODE], say)?;
        if Command::new("npm").arg("--version").output().is_err() {
            packages::install(&[NPM], say)?;
        }
        say(&format!("fetching {}", wanted.join(" ")));
        fs::create_dir_all(folder)?;
        let mut npm = Command::new("npm");
        npm.args([
            "install",
            "--silent",
            "--ignore-scripts",
            "--no-audit",
            "--prefix",
        ]);
        ok(npm.arg(folder).args(wanted))
    })
}

/// What a program prints that is fed `input`.
///
/// # Errors
/// When it fails.
pub fn fed(command: &mut Command, input: &str) -> Result<String> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut pipe = child.stdin.take().context("no input")?;
    pipe.write_all(input.as_bytes())?;
    drop(pipe);
    let answer = child.wait_with_output()?;
    if !answer.status.success() {
        let told = String::from_utf8_lossy(&answer.stderr);
        bail!("{command:?}: {}", told.trim());
    }
    Ok(String::from_utf8(answer.stdout)?)
}

/// The folder of `wanted`, filled by `fill` where it is not complete. One process at a time.
fn folder(kind: &str, wanted: &[&str], fill: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let mut hasher = DefaultHasher::new();
    wanted.hash(&mut hasher);
    let name = format!("{kind}-{:016x}", hasher.finish());
    fs::create_dir_all(CACHE).context(CACHE)?;
    let lock = File::create(Path::new(CACHE).join(format!("{name}.lock")))?;
    lock.lock()?;
    let folder = Path::new(CACHE).join(name);
    let complete = folder.join("complete");
    if !complete.exists() {
        match fs::remove_dir_all(&folder) {
            Err(fault) if fault.kind() != std::io::ErrorKind::NotFound => return Err(fault.into()),
            _ => {}
        }
        fill(&folder)?;
        fs::write(complete, "")?;
    }
    Ok(folder)
}

fn ok(command: &mut Command) -> Result<()> {
    let answer = command.output().with_context(|| format!("{command:?}"))?;
    if !answer.status.success() {
        let told = String::from_utf8_lossy(&answer.stderr);
        bail!("{command:?}: {}", told.trim());
    }
    Ok(())
}
