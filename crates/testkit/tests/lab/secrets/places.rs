//! Where is looked: processes, files and the memory of daemons of a lab's hosts.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use testkit::lab::{Host, Lab};

use super::needles::Needles;

/// Between two looks at the processes.
const PAUSE: Duration = Duration::from_millis(4);

/// What was found: where, and which secret in which writing. Never the secret.
pub(super) type Finds = BTreeSet<String>;

/// Looks at the arguments and the environment of every process of the hosts, again and again.
pub(super) struct Sampler {
    stop: Sender<()>,
    thread: JoinHandle<Sampled>,
}

/// What a sampler saw.
#[derive(Default)]
pub(super) struct Sampled {
    pub(super) finds: Finds,
    /// Every program that was seen running, by the last part of its name.
    pub(super) programs: BTreeSet<String>,
}

impl Sampler {
    /// Starts; looks for what is in `needles`.
    pub(super) fn start(lab: &Lab, needles: Needles) -> Result<Self> {
        let spaces = spaces(lab)?;
        let (stop, stopped) = channel();
        let thread = std::thread::spawn(move || {
            let mut sampled = Sampled::default();
            while stopped.recv_timeout(PAUSE) == Err(RecvTimeoutError::Timeout) {
                sampled.look(&spaces, &needles);
            }
            sampled
        });
        Ok(Self { stop, thread })
    }

    /// Ends; returns what was seen.
    pub(super) fn stop(self) -> Result<Sampled> {
        drop(self.stop);
        let sampled = self.thread.join();
        sampled.map_err(|_| anyhow!("the sampler broke off"))
    }
}

impl Sampled {
    /// One look at all processes in the namespaces `spaces`. A process may go at any moment.
    pub(super) fn look(&mut self, spaces: &BTreeSet<PathBuf>, needles: &Needles) {
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let process = entry.path();
            let space = fs::read_link(process.join("ns/pid"));
            if !space.is_ok_and(|space| spaces.contains(&space)) {
                continue;
            }
            let words = fs::read(process.join("cmdline")).unwrap_or_default();
            let first = words.split(|&byte| byte == 0).next().unwrap_or_default();
            let program = String::from_utf8_lossy(first).into_owned();
            let program = program.rsplit('/').next().unwrap_or_default().to_owned();
            let environment = fs::read(process.join("environ")).unwrap_or_default();
            for (place, bytes) in [("arguments", words), ("environment", environment)] {
                let found = needles.find(&bytes);
                let finds = found
                    .iter()
                    .map(|what| format!("{place} of {program}: {what}"));
                self.finds.extend(finds);
            }
            self.programs.insert(program);
        }
    }
}

/// The PID namespaces of the lab's hosts.
pub(super) fn spaces(lab: &Lab) -> Result<BTreeSet<PathBuf>> {
    let hosts = lab.hosts();
    let spaces = hosts.iter().map(|host| {
        let process = host.root();
        let process = process.parent().context("no process of the host")?;
        Ok(fs::read_link(process.join("ns/pid"))?)
    });
    spaces.collect()
}

/// Every file that a host wrote since it began: above its read-only layers, and in memory.
pub(super) fn files(lab: &Lab, host: &Host, needles: &Needles) -> Result<Finds> {
    let upper = lab.folder().join("hosts").join(&host.name).join("upper");
    let mut finds = Finds::new();
    for (folder, seen_as) in [
        (upper, "/"),
        (host.path("/run"), "/run"),
        (host.path("/tmp"), "/tmp"),
        (host.path("/dev/shm"), "/dev/shm"),
    ] {
        for file in walk(&folder) {
            let inside = Path::new(seen_as).join(file.strip_prefix(&folder)?);
            let place = format!("{}:{}", host.name, inside.display());
            let Ok(open) = File::open(&file) else {
                // It was there a moment ago: a socket, or gone.
                continue;
            };
            let found = needles
                .find_in(open)
                .with_context(|| format!("reading {place}"))?;
            finds.extend(found.iter().map(|what| format!("{place}: {what}")));
        }
    }
    Ok(finds)
}

/// The regular files below `folder`; links are not followed.
fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => files.extend(walk(&entry.path())),
            Ok(kind) if kind.is_file() => files.push(entry.path()),
            _ => {}
        }
    }
    files
}

/// Takes a core of the daemon `name`, as root can at any time, and looks into it; all of its memory
/// is in it, also what the kernel would leave out of a core of its own.
pub(super) fn core(host: &Host, name: &str, needles: &Needles) -> Result<Finds> {
    let core = format!("/tmp/core.{name}");
    debug(
        host,
        name,
        &[
            "set use-coredump-filter off",
            "set dump-excluded-mappings on",
            &format!("generate-core-file {core}"),
        ],
    )?;
    let found = needles.find_in(File::open(host.path(&core))?)?;
    fs::remove_file(host.path(&core))?;
    Ok(found
        .iter()
        .map(|what| format!("core of {name}: {what}"))
        .collect())
}

/// Whether the kernel may write a core of the daemon `name` when it crashes: its limit in bytes, and
/// what `prctl(PR_GET_DUMPABLE)` says inside of it.
pub(super) fn crash_core(host: &Host, name: &str) -> Result<(String, String)> {
    let number = host.pid(name).with_context(|| format!("no {name}"))?;
    let limits = host.read_text(&format!("/proc/{number}/limits"))?;
    let limit = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max core file size"))
        .context("no limit of core files")?;
    let limit = limit.split_whitespace().collect::<Vec<_>>().join(" ");
    let said = debug(host, name, &["print ((int (*)(int)) prctl)(3)"])?;
    let dumpable = said.lines().find_map(|line| line.strip_prefix("$1 = "));
    Ok((limit, dumpable.context("no answer of prctl")?.to_owned()))
}

fn debug(host: &Host, name: &str, orders: &[&str]) -> Result<String> {
    let number = host.pid(name).with_context(|| format!("no {name}"))?;
    let number = number.to_string();
    let mut words = vec!["gdb", "--nx", "--batch", "--pid", &number];
    for order in orders {
        words.extend(["--eval-command", order]);
    }
    host.command(&words).ok()
}
