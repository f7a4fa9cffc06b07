//! What the lab does to the machine that it runs on: nothing that stays.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use testkit::lab::{Lab, Options};
use testkit::wait;

use crate::{name, shared};

const SMALL: Options = Options {
    workstations: 0,
    crowd: 0,
    say: |_| {},
};

/// What a lab must not change: links, mounts, host name, resolver.
#[derive(Debug, PartialEq)]
struct Machine {
    links: Vec<String>,
    mounts: String,
    name: String,
    hosts: Vec<u8>,
    resolver: Vec<u8>,
}

impl Machine {
    fn now() -> Self {
        let mut links: Vec<String> = fs::read_dir("/sys/class/net")
            .unwrap()
            .map(|link| link.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        links.sort();
        Self {
            links,
            mounts: fs::read_to_string("/proc/self/mounts").unwrap(),
            name: fs::read_to_string("/proc/sys/kernel/hostname").unwrap(),
            hosts: fs::read("/etc/hosts").unwrap(),
            resolver: fs::read("/etc/resolv.conf").unwrap(),
        }
    }
}

/// The lab's processes by their numbers on this machine: those that name its folder, and all that
/// run in a PID namespace of one of its hosts.
fn processes_of(lab: &Lab) -> Vec<u32> {
    let folder = format!("{}/", lab.folder().display());
    let hosts = lab.hosts();
    let spaces: Vec<PathBuf> = hosts
        .iter()
        .filter_map(|host| space_of(&host.root()))
        .collect();
    let belongs = |number: &u32| {
        let words = fs::read(format!("/proc/{number}/cmdline")).unwrap_or_default();
        let space = space_of(Path::new(&format!("/proc/{number}/root")));
        String::from_utf8_lossy(&words).contains(&folder)
            || space.is_some_and(|space| spaces.contains(&space))
    };
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers.filter(belongs).collect()
}

fn space_of(root: &Path) -> Option<PathBuf> {
    fs::read_link(root.with_file_name("ns/pid")).ok()
}

#[test]
fn a_second_up_finds_the_lab_and_returns_at_once() {
    let (_turn, lab) = shared();
    let start = Instant::now();
    let again = Lab::up(&name("tests"), Options::default()).unwrap();
    assert_eq!(again.supervisor(), lab.supervisor());
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "{:?}",
        start.elapsed()
    );
}

#[test]
fn a_killed_lab_leaves_nothing_and_the_next_up_works() {
    let (_turn, _lab) = shared();
    Lab::down(&name("tests-killed")).unwrap();
    let before = Machine::now();

    let lab = Lab::up(&name("tests-killed"), SMALL).unwrap();
    assert_eq!(Machine::now(), before, "a running lab changes nothing");
    let processes = processes_of(&lab);
    assert!(processes.len() > 5, "{processes:?}");

    let number = lab.supervisor().number.to_string();
    assert!(
        Command::new("kill")
            .args(["-KILL", &number])
            .status()
            .unwrap()
            .success()
    );
    wait::until(
        "every process of the killed lab to end",
        Duration::from_secs(10),
        || {
            processes
                .iter()
                .all(|number| !fs::exists(format!("/proc/{number}")).unwrap_or(true))
        },
    )
    .unwrap();
    assert_eq!(Machine::now(), before, "a killed lab leaves nothing");
    assert!(Lab::attach(&name("tests-killed")).is_err());

    let lab = Lab::up(&name("tests-killed"), SMALL).unwrap();
    assert_eq!(lab.host("dc").unwrap().sh("hostname").unwrap(), "dc\n");
    Lab::down(&name("tests-killed")).unwrap();
    assert!(!lab.folder().exists());
    assert_eq!(Machine::now(), before);
}

#[test]
fn a_host_sees_neither_the_machines_environment_nor_its_processes() {
    let (_turn, lab) = shared();
    let host = lab.host("ws1").unwrap();
    let variables = host.sh("env").unwrap();
    let names: Vec<_> = variables
        .lines()
        .filter_map(|line| line.split_once('='))
        .collect();
    for (name, value) in names {
        assert!(
            ["HOME", "LANG", "PATH", "TERM", "PWD", "OLDPWD", "_"].contains(&name),
            "{name}={value}"
        );
    }
    assert_eq!(host.sh("cat /proc/1/comm").unwrap(), "sh\n");
    assert_eq!(host.sh("ls /sys/class/net").unwrap(), "eth0\nlo\n");
}

#[test]
fn an_orphan_is_reaped_by_the_hosts_first_process() {
    let (_turn, lab) = shared();
    let host = lab.host("ws1").unwrap();
    host.command(&["sh", "-c", "true"]).daemon("short").unwrap();
    wait::until("the orphan to be reaped", Duration::from_secs(5), || {
        host.sh("ps -e -o stat=")
            .is_ok_and(|states| !states.contains('Z'))
    })
    .unwrap();
    host.stop("short").unwrap();
}

#[test]
fn a_daemon_is_known_until_it_is_stopped_and_its_output_is_kept() {
    let (_turn, lab) = shared();
    let host = lab.host("server").unwrap();
    host.command(&["sh", "-c", "echo ready; exec sleep infinity"])
        .daemon("sleeper")
        .unwrap();
    assert!(host.pid("sleeper").is_some());
    wait::until("its output", Duration::from_secs(5), || {
        host.read_text("/var/log/sleeper.log")
            .is_ok_and(|log| log == "ready\n")
    })
    .unwrap();
    host.kill("sleeper", "KILL").unwrap();
    assert_eq!(host.pid("sleeper"), None);
    assert_eq!(host.daemons(), ["sleeper"]);
    host.stop("sleeper").unwrap();
    assert!(host.daemons().is_empty());
}

#[test]
fn a_host_that_is_unplugged_is_not_reached_until_it_is_plugged_in_again() {
    let (_turn, lab) = shared();
    let host = lab.host("ws1").unwrap();
    let port = ["bash", "-c", "exec 3<>/dev/tcp/10.77.0.10/88"];
    let reach = || {
        host.command(&port)
            .within(Duration::from_secs(2))
            .run()
            .unwrap()
            .status
    };
    assert_eq!(reach(), 0);
    lab.unplug("dc").unwrap();
    assert_ne!(reach(), 0);
    lab.plug("dc").unwrap();
    wait::until("the host to be reached", Duration::from_secs(20), || {
        reach() == 0
    })
    .unwrap();
}

#[test]
fn a_workstation_is_added_to_a_lab_that_is_up() {
    let (_turn, _lab) = shared();
    let two = Options {
        workstations: 2,
        ..Options::default()
    };
    let lab = Lab::up(&name("tests"), two).unwrap();
    let person = lab.host("ws2").unwrap().sh("id -un alice").unwrap();
    assert_eq!(person, "alice\n");
    assert!(Lab::attach(&name("tests")).unwrap().host("ws2").is_ok());
}
