//! The processes that hold a lab together.
//!
//! A supervisor owns namespaces of its own; every host lives inside them, in namespaces of its own
//! again. Nothing else keeps a lab alive, so that ending the supervisor in any way, `kill -9`
//! included, ends the lab whole: the kernel ends a PID namespace with its first process and drops
//! mounts and links with the last user of theirs. Both first processes are shell scripts because
//! they must outlive the program that started them, whichever program that was.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::address;
use super::call::enter;
use super::process::Process;
use crate::wait;

const SUPERVISOR: &str = include_str!("supervisor.sh");
const HOST: &str = include_str!("host.sh");
const PATIENCE: Duration = Duration::from_secs(30);

/// The first process of a host, which starts and reaps the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum First {
    /// A shell that does nothing: what runs is started from outside.
    Shell,
    /// systemd, with the services that packages enable.
    Systemd,
}

impl First {
    fn word(self) -> &'static str {
        match self {
            Self::Shell => "shell",
            Self::Systemd => "systemd",
        }
    }
}

/// Tries everything that a lab in a folder of `labs` asks of the kernel, and names all that is
/// missing.
pub(super) fn probe(labs: &Path) -> Result<()> {
    let overlay = format!(
        "d=$(mktemp -d -p '{}') && mkdir $d/l $d/u $d/w $d/m \
         && mount -t overlay -o lowerdir=$d/l,upperdir=$d/u,workdir=$d/w o $d/m && umount $d/m; \
         s=$?; rm -r $d; exit $s",
        labs.display()
    );
    let bridge = "ip link add lab0 type bridge && ip link add one type veth peer name two \
                  && ip link set one master lab0";
    let trials: [(&str, &[&str]); 7] = [
        ("PID namespaces", &["--pid", "--fork", "true"]),
        ("mount namespaces", &["--mount", "true"]),
        ("network namespaces", &["--net", "true"]),
        ("UTS namespaces", &["--uts", "true"]),
        ("IPC namespaces", &["--ipc", "true"]),
        ("overlay mounts", &["--mount", "sh", "-c", &overlay]),
        ("bridges and veth links", &["--net", "sh", "-c", bridge]),
    ];
    let mut missing = Vec::new();
    for (name, words) in trials {
        let answer = Command::new("timeout")
            .args(["3", "unshare"])
            .args(words)
            .stdin(Stdio::null())
            .output()
            .context("unshare")?;
        if !answer.status.success() {
            let why = String::from_utf8_lossy(&answer.stderr)
                .trim()
                .replace('\n', "; ");
            missing.push(format!("{name} ({why})"));
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    bail!(
        "this machine does not let us have what the lab needs: {}",
        missing.join(", ")
    )
}

/// Starts the supervisor of the lab in `folder`.
pub(super) fn start(folder: &Path) -> Result<Process> {
    let log = fs::File::create(folder.join("supervisor.log"))?;
    let script = folder.join("supervisor.sh");
    fs::write(&script, SUPERVISOR)?;
    let started = Command::new("setsid")
        .args(["--fork", "unshare", "--pid", "--fork", "--kill-child"])
        .args(["--net", "--mount", "--uts", "--ipc", "sh"])
        .args([script.as_path(), folder])
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .status()
        .context("setsid")?;
    if !started.success() {
        bail!("the lab's supervisor did not start: {started}");
    }
    announced(&folder.join("supervisor"), &folder.join("supervisor.log"))
}

/// Starts the host `name` on the read-only `layers` (topmost first), still without a link.
pub(super) fn start_host(
    supervisor: Process,
    folder: &Path,
    name: &str,
    layers: &[&Path],
    first: First,
) -> Result<Process> {
    let own = folder.join("hosts").join(name);
    for part in ["upper", "work", "root"] {
        fs::create_dir_all(own.join(part))?;
    }
    let script = own.join("host.sh");
    fs::write(&script, HOST)?;
    let log = own.join("log");
    let layers: Vec<String> = layers
        .iter()
        .map(|layer| layer.display().to_string())
        .collect();
    let line = "log=$1; shift; setsid \"$@\" </dev/null >\"$log\" 2>&1 &";
    let started = enter(supervisor.number)
        .args(["sh", "-c", line, "sh"])
        .arg(&log)
        .args(["unshare", "--pid", "--fork", "--kill-child"])
        .args(["--net", "--mount", "--uts", "--ipc", "sh"])
        .args([&script, &own])
        .args([&layers.join(":"), name, first.word()])
        .stdin(Stdio::null())
        .status()
        .context("nsenter")?;
    if !started.success() {
        bail!("the host {name} did not start: {started}");
    }
    announced(&own.join("init"), &log)
}

/// Starts a host in `folder` that belongs to no lab: on the read-only `layer`, with the machine's own
/// network and systemd as its first process. [`end`] finds it as it finds a supervisor.
pub(super) fn start_alone(folder: &Path, name: &str, layer: &Path) -> Result<Process> {
    for part in ["upper", "work", "root"] {
        fs::create_dir_all(folder.join(part))?;
    }
    let script = folder.join("supervisor.sh");
    fs::write(&script, HOST)?;
    let log = fs::File::create(folder.join("log"))?;
    let started = Command::new("setsid")
        .args(["--fork", "unshare", "--pid", "--fork", "--kill-child"])
        .args(["--mount", "--uts", "--ipc", "sh"])
        .args([script.as_path(), folder, layer, Path::new(name)])
        .arg(First::Systemd.word())
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .status()
        .context("setsid")?;
    if !started.success() {
        bail!("the host {name} did not start: {started}");
    }
    announced(&folder.join("init"), &folder.join("log"))
}

/// Removes the control groups that hosts with systemd below `folder` left when they ended.
pub(super) fn remove_groups(folder: &Path) -> Result<()> {
    // A kernel without them has none left.
    let line = "mount -t cgroup2 cgroup2 /mnt && cd /mnt && test -d \"$1\" || exit 0
                find \"$1\" -depth -type d -exec rmdir {} + \
                && rmdir --parents --ignore-fail-on-non-empty \"${1%/*}\"";
    // The kernel takes a moment to see the last process off.
    wait::until("control groups to end", PATIENCE, || {
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", line, "sh"]);
        command.arg(format!("latchkey{}", folder.display()));
        command.output().is_ok_and(|answer| answer.status.success())
    })
}

fn announced(file: &Path, log: &Path) -> Result<Process> {
    let read =
        || -> Result<Process> { Process::with_number(fs::read_to_string(file)?.trim().parse()?) };
    wait::until_some(&format!("{} to appear", file.display()), PATIENCE, read)
        .with_context(|| fs::read_to_string(log).unwrap_or_default())
}

/// Links the host `name` to the lab's bridge under its address.
pub(super) fn link(supervisor: Process, init: Process, name: &str) -> Result<()> {
    let address = format!("{}/24", address::address(name)?);
    // The peer is given by the machine's number of the host, so only the network is entered.
    let bridge = supervisor.number.to_string();
    let init = init.number.to_string();
    ip(
        &bridge,
        &[
            "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", &init,
        ],
    )?;
    ip(&bridge, &["link", "set", name, "master", "lab0", "up"])?;
    ip(&init, &["address", "add", &address, "dev", "eth0"])?;
    ip(&init, &["link", "set", "eth0", "up"])
}

/// Pulls the plug of the host `name` out of the bridge, or puts it in again.
pub(super) fn plug(supervisor: Process, name: &str, state: &str) -> Result<()> {
    ip(
        &supervisor.number.to_string(),
        &["link", "set", name, state],
    )
}

/// Ends the supervisor of the lab in `folder`, or the host that stands alone there, if there is one: it
/// is found by its script, so that one whose lab was never finished is found too.
pub(super) fn end(folder: &Path) -> Result<()> {
    let script = folder.join("supervisor.sh").display().to_string();
    for entry in fs::read_dir("/proc")?.flatten() {
        let name = entry.file_name();
        let Some(number) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let words = fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
        if words.split('\0').any(|word| word == script) {
            // It may have gone with one that was ended just before.
            Process::with_number(number).map_or(Ok(()), Process::kill)?;
        }
    }
    Ok(())
}

fn ip(target: &str, words: &[&str]) -> Result<()> {
    let answer = Command::new("nsenter")
        .args(["--target", target, "--net", "ip"])
        .args(words)
        .output()
        .context("nsenter")?;
    if !answer.status.success() {
        bail!(
            "ip {}: {}",
            words.join(" "),
            String::from_utf8_lossy(&answer.stderr).trim()
        );
    }
    Ok(())
}
