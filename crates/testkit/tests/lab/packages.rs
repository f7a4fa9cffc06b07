//! The Debian packages on a clean Debian: what they bring, what they keep, what they leave behind.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{MutexGuard, OnceLock};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use deb::{Package, Profile, Request};
use testkit::company::Company;
use testkit::lab::{AGENT_KEYTAB, Clean, Host};
use testkit::wait::until;

use crate::sessions::is_kept;
use crate::terminal::{leave, su};
use crate::{company, name};

const VERSION: &str = env!("CARGO_PKG_VERSION");
const NEXT_VERSION: &str = "99.0~test";
const PIN: &str = "161803398874";
const PASSWORD: &str = "correct horse battery";

/// What belongs to other packages and the administrator, and must be left as it was found.
const OTHERS: [&str; 5] = [
    "/etc/pam.d",
    "/etc/krb5.conf",
    "/etc/krb5.conf.d",
    "/etc/pam.conf",
    "/etc/nsswitch.conf",
];

/// Packs a package of the programs that the tests run; what is packed goes with the folder.
fn packed(package: Package, version: &str, out: &Path) -> Result<PathBuf> {
    let profile = Profile::Debug;
    deb::build(
        package,
        Request {
            profile,
            version,
            out,
        },
    )
}

/// A folder of this machine that goes with its owner.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Result<Self> {
        let path = deb::target_folder().join("tmp").join(name);
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _gone = fs::remove_dir_all(&self.0);
    }
}

/// Every file below the paths of [`OTHERS`], with what is in it.
fn others(host: &Host) -> Result<BTreeMap<String, Vec<u8>>> {
    let list = format!(
        "find {} -type f -o -type l 2>/dev/null || true",
        OTHERS.join(" ")
    );
    let list = host.sh(&list)?;
    list.lines()
        .map(|path| {
            Ok((
                path.to_owned(),
                host.command(&["cat", path]).ok()?.into_bytes(),
            ))
        })
        .collect()
}

/// What differs between two states of [`others`].
fn changed(before: &BTreeMap<String, Vec<u8>>, after: &BTreeMap<String, Vec<u8>>) -> Vec<String> {
    let paths = before.keys().chain(after.keys());
    let mut changed: Vec<String> = paths
        .filter(|path| before.get(*path) != after.get(*path))
        .cloned()
        .collect();
    changed.sort();
    changed.dedup();
    changed
}

fn is_there(host: &Host, path: &str) -> Result<bool> {
    Ok(host.command(&["test", "-e", path]).run()?.status == 0)
}

/// The modules of `common-auth`, in order.
fn auth_modules(host: &Host) -> Result<Vec<String>> {
    let stack = host.read_text("/etc/pam.d/common-auth")?;
    let lines = stack.lines().filter(|line| line.starts_with("auth"));
    Ok(lines
        .filter_map(|line| line.split_whitespace().find(|word| word.ends_with(".so")))
        .map(str::to_owned)
        .collect())
}

/// A local account signs in by its password, through the whole stack of `login`.
fn password_signs_in(host: &Host) -> Result<()> {
    let call = host.command(&["pamtester", "login", "dora", "authenticate", "acct_mgmt"]);
    let said = call.stdin(format!("{PASSWORD}\n")).run()?;
    ensure!(said.status == 0, "{}", said.text());
    ensure!(!said.text().contains("PIN"), "{}", said.text());
    Ok(())
}

/// systemd understands the unit, and finds it closed enough.
fn unit_is_well(host: &Host, unit: &str, threshold: &str) -> Result<()> {
    let path = format!("/usr/lib/systemd/system/{unit}");
    let said = host.command(&["systemd-analyze", "verify", &path]).run()?;
    ensure!(
        said.status == 0 && said.text().is_empty(),
        "{}",
        said.text()
    );
    let threshold = format!("--threshold={threshold}");
    let words = ["systemd-analyze", "security", "--offline=true", &threshold];
    host.command(&[&words[..], &[&path]].concat()).ok()?;
    let wanted = format!("/etc/systemd/system/multi-user.target.wants/{unit}");
    host.command(&["test", "-L", &wanted])
        .ok()
        .context("the unit is not enabled")?;
    Ok(())
}

/// Everything of the package that runs finds its libraries; every page and completion can be read.
fn files_are_well(host: &Host, package: Package) -> Result<()> {
    let name = package.name();
    let pages = host.sh(&format!(
        "dpkg --listfiles {name} | grep '/man/man.*[.]gz$' | while read -r page; do
             zcat \"$page\" | grep -q '^[.]TH' && echo \"$page\"
         done"
    ))?;
    let count = pages.lines().count();
    ensure!(count > 5, "{name}: {count} manual pages");
    for row in package.rows() {
        if matches!(row.from, deb::contents::From::Built(_)) {
            let linked = host.command(&["ldd", &row.path()]).ok()?;
            ensure!(!linked.contains("not found"), "{}: {linked}", row.path());
        }
        if row.path().contains("/man/man") {
            let page = format!("{}.gz", row.path());
            let words = ["man", "--warnings", "--local-file", &page];
            let shown = host.command(&words).run()?;
            ensure!(
                shown.status == 0 && shown.stderr.is_empty(),
                "{}",
                shown.stderr
            );
        }
    }
    let bash = format!("/usr/share/bash-completion/completions/{name}");
    host.command(&["bash", "-n", &bash]).ok()?;
    host.command(&["dpkg", "--verify", name]).ok()?;
    for path in [
        format!("/usr/share/zsh/vendor-completions/_{name}"),
        format!("/usr/share/fish/vendor_completions.d/{name}.fish"),
        format!("/usr/share/doc/{name}/copyright"),
        format!("/usr/share/doc/{name}/third-party-licences.txt"),
        format!("/usr/share/doc/{name}/bill-of-materials.cdx.json"),
    ] {
        ensure!(is_there(host, &path)?, "{path} is not there");
    }
    Ok(())
}

#[test]
fn a_workstation_is_set_up_by_its_package_upgraded_and_left_as_it_was_found() -> Result<()> {
    let folder = Folder::new(&name("packages-ws"))?;
    let first = packed(Package::Workstation, VERSION, &folder.0)?;
    let next = packed(Package::Workstation, NEXT_VERSION, &folder.0)?;
    let clean = Clean::start(&name("tests-clean-ws"))?;
    let host = &clean.host;
    host.sh(&format!(
        "useradd --password \"$(openssl passwd -6 '{PASSWORD}')\" dora"
    ))?;
    let before = others(host)?;
    password_signs_in(host)?;

    clean.apt(&["purge", "krb5-pkinit"])?;
    let pkinit = "/usr/lib/x86_64-linux-gnu/krb5/plugins/preauth/pkinit.so";
    ensure!(!is_there(host, pkinit)?, "the machine is not clean");
    clean.apt(&["install", &clean.receive(&first)?])?;
    ensure!(
        is_there(host, pkinit)?,
        "apt did not bring what libkrb5 needs"
    );
    files_are_well(host, Package::Workstation)?;
    unit_is_well(host, "latchkeyd.service", "40")?;
    let modules = auth_modules(host)?;
    let expected = ["pam_latchkey.so", "pam_unix.so", "pam_sss.so"];
    assert_eq!(modules[..3], expected, "{modules:?}");
    let installed = others(host)?;
    let touched = changed(&before, &installed);
    assert!(
        touched
            .iter()
            .all(|path| path.starts_with("/etc/pam.d/common-")),
        "{touched:?}"
    );
    password_signs_in(host)?;

    host.sh("echo '# ours' >>/etc/latchkey/device.toml")?;
    host.sh("mkdir -p /var/lib/latchkey && echo kept >/var/lib/latchkey/state")?;
    clean.apt(&["install", &clean.receive(&next)?])?;
    let version = "dpkg-query --show --showformat='${Version}' latchkey";
    assert_eq!(host.sh(version)?, NEXT_VERSION);
    assert!(
        host.read_text("/etc/latchkey/device.toml")?
            .contains("# ours")
    );
    assert_eq!(host.read_text("/var/lib/latchkey/state")?, "kept\n");
    assert_eq!(changed(&installed, &others(host)?), [""; 0]);
    password_signs_in(host)?;

    clean.apt(&["remove", "latchkey"])?;
    assert_eq!(changed(&before, &others(host)?), [""; 0]);
    password_signs_in(host)?;
    assert_eq!(host.read_text("/var/lib/latchkey/state")?, "kept\n");
    assert!(is_there(host, "/etc/latchkey/device.toml")?);

    let said = clean.apt(&["purge", "latchkey"])?;
    assert!(said.contains("every PIN"), "{said}");
    for path in ["/var/lib/latchkey", "/etc/latchkey", "/run/latchkey"] {
        assert!(!is_there(host, path)?, "{path} is still there");
    }
    assert_eq!(changed(&before, &others(host)?), [""; 0]);
    let links = host.sh("find /etc -lname '*latchkey*' -o -name '*latchkey*'")?;
    assert_eq!(links, "", "something of the package is still in /etc");
    Ok(())
}

#[test]
fn a_stack_that_was_changed_by_hand_is_left_to_its_administrator() -> Result<()> {
    let folder = Folder::new(&name("packages-hand"))?;
    let package = packed(Package::Workstation, VERSION, &folder.0)?;
    let clean = Clean::start(&name("tests-clean-hand"))?;
    let host = &clean.host;
    host.sh(
        "sed -i '/pam_unix.so/i auth optional pam_faildelay.so delay=1' /etc/pam.d/common-auth",
    )?;
    let before = others(host)?;
    clean.apt(&["install", &clean.receive(&package)?])?;
    assert_eq!(changed(&before, &others(host)?), [""; 0]);
    clean.apt(&["purge", "latchkey"])?;
    assert_eq!(changed(&before, &others(host)?), [""; 0]);
    Ok(())
}

#[test]
fn server_and_agent_run_as_users_of_their_own_and_go_without_a_trace() -> Result<()> {
    let folder = Folder::new(&name("packages-server"))?;
    let server = packed(Package::Server, VERSION, &folder.0)?;
    let agent = packed(Package::Agent, VERSION, &folder.0)?;
    let clean = Clean::start(&name("tests-clean-server"))?;
    let host = &clean.host;
    let before = others(host)?;
    let (server, agent) = (clean.receive(&server)?, clean.receive(&agent)?);
    clean.apt(&["install", &server, &agent])?;
    files_are_well(host, Package::Server)?;
    files_are_well(host, Package::Agent)?;
    unit_is_well(host, "latchkey-server.service", "20")?;
    unit_is_well(host, "latchkey-sync.service", "20")?;

    // As docs/install.md has it.
    host.sh(
        "install -d -m 750 -g latchkey-server /etc/latchkey/tls && cd /etc/latchkey/tls && \
         openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=server.example \
             -addext subjectAltName=DNS:server.example -keyout key.pem -out fullchain.pem && \
         chown root:latchkey-server key.pem && chmod 640 key.pem && \
         latchkey-server init --url https://server.example --tenant-name Example \
             --tls-cert /etc/latchkey/tls/fullchain.pem --tls-key /etc/latchkey/tls/key.pem \
             --listen 127.0.0.1:0",
    )?;
    let owners = host.sh("stat -c '%U %a' /var/lib/latchkey-server /var/lib/latchkey-server/*")?;
    assert!(
        owners.starts_with("latchkey-server 700\n")
            && owners.lines().count() >= 3
            && owners
                .lines()
                .all(|line| line.starts_with("latchkey-server ")),
        "{owners}"
    );
    let as_user = |user, words: &[&str]| {
        let words = [&["runuser", "-u", user, "--"], words].concat();
        host.command(&words)
    };
    as_user("latchkey-server", &["latchkey-server", "check-config"]).ok()?;
    host.sh("systemctl start latchkey-server")?;
    let settings = ["latchkey-server", "admin", "settings", "show", "--json"];
    testkit::lab::until_ok("the server", Duration::from_secs(30), || {
        host.command(&settings)
    })?;
    host.sh("systemctl reload latchkey-server && systemctl is-active latchkey-server")?;

    host.sh("cp /usr/share/doc/latchkey-sync/examples/sync.toml /etc/latchkey/")?;
    let said = as_user("latchkey-sync", &["latchkey-sync", "status"]).run()?;
    assert!(said.text().contains("not enrolled"), "{}", said.text());

    clean.apt(&["remove", "latchkey-server", "latchkey-sync"])?;
    assert!(is_there(host, "/var/lib/latchkey-server/master.key")?);
    let said = clean.apt(&["purge", "latchkey-server", "latchkey-sync"])?;
    assert!(said.contains("master key are gone"), "{said}");
    for path in [
        "/var/lib/latchkey-server",
        "/var/lib/latchkey-sync",
        "/etc/latchkey/server.toml",
    ] {
        assert!(!is_there(host, path)?, "{path} is still there");
    }
    assert!(
        is_there(host, "/etc/latchkey/sync.toml")?,
        "the administrator's"
    );
    assert_eq!(
        host.sh("getent passwd latchkey-server latchkey-sync || true")?,
        ""
    );
    assert_eq!(changed(&before, &others(host)?), [""; 0]);
    Ok(())
}

/// Lets another host go on with the agent's work: its configuration, its keys, what it has done.
fn hand_agent_over(from: &Host, to: &Host) -> Result<()> {
    let state = from.sh("find /var/lib/latchkey-sync -type f")?;
    let files = state
        .lines()
        .chain([AGENT_KEYTAB, "/etc/latchkey/sync.toml"]);
    for path in files {
        to.write_file(path, from.read_file(path)?, 0o600)?;
    }
    Ok(())
}

/// The shared company with its people at `ws4`, which has the package and systemd; made by the first
/// test that wants it. Its daemon runs until the answer goes.
pub(super) struct Packaged {
    pub(super) company: Company,
    _turn: MutexGuard<'static, ()>,
}

pub(super) fn packaged() -> Result<Packaged> {
    static PACKAGED: OnceLock<Company> = OnceLock::new();
    let (_turn, shared) = company();
    shared.forget_everyone()?;
    let company = match PACKAGED.get() {
        Some(company) => company,
        None => {
            let folder = Folder::new(&name("packages-joined"))?;
            let package = packed(Package::Workstation, VERSION, &folder.0)?;
            let made = shared.with_packaged_workstation("ws4", &package)?;
            PACKAGED.get_or_init(|| made)
        }
    };
    company.workstation()?.sh("systemctl start latchkeyd")?;
    company.forget_everyone()?;
    let company = company.clone();
    Ok(Packaged { company, _turn })
}

impl Drop for Packaged {
    fn drop(&mut self) {
        let host = self.company.workstation();
        if let Err(error) = host.and_then(|host| host.sh("systemctl stop latchkeyd")) {
            eprintln!("latchkeyd goes on at ws4: {error:#}");
        }
    }
}

#[test]
fn behind_the_walls_of_their_units_daemon_and_agent_enroll_and_sign_in() -> Result<()> {
    let packaged = packaged()?;
    let company = &packaged.company;
    let folder = Folder::new(&name("packages-agent"))?;
    let agent = packed(Package::Agent, VERSION, &folder.0)?;
    let (server, host) = (company.server()?, company.workstation()?);
    host.write_file("/root/agent.deb", fs::read(agent)?, 0o644)?;
    host.command(&["dpkg", "--install", "/root/agent.deb"])
        .ok()?;

    server.stop("latchkey-sync")?;
    let outcome = hand_agent_over(&server, &host).and_then(|()| work_behind_walls(company, &host));
    host.sh("systemctl stop latchkey-sync")?;
    hand_agent_over(&host, &server)?;
    company.run_agent()?;
    outcome
}

/// The machine does not sleep before the daemon has wiped what it keeps, and a lock wipes alice's PIN.
fn logind_is_heard(company: &Company, host: &Host) -> Result<()> {
    let held = host.command(&["systemd-inhibit", "--list"]).ok()?;
    let is_ours = |line: &&str| line.starts_with("latchkeyd") && line.contains("delay");
    ensure!(held.lines().any(|line| is_ours(&line)), "{held}");
    let is_kept = || {
        let status = company.status("alice")?;
        Ok::<_, anyhow::Error>(status.pointer("/credentials/0/pin_kept") == Some(&true.into()))
    };
    ensure!(is_kept()?, "the PIN of the session is not kept");
    let sessions =
        host.sh("loginctl list-sessions --no-legend | awk '$3 == \"alice\" {print $1}'")?;
    let session = sessions
        .lines()
        .next()
        .context("logind knows no session of alice's")?;
    host.command(&["loginctl", "lock-session", session]).ok()?;
    until("the PIN to be wiped", Duration::from_secs(10), || {
        is_kept().is_ok_and(|kept| !kept)
    })
}

fn work_behind_walls(company: &Company, host: &Host) -> Result<()> {
    host.sh("chown -R latchkey-sync: /var/lib/latchkey-sync /etc/latchkey/sync.*")?;
    host.sh("systemctl start latchkey-sync")?;
    for unit in ["latchkeyd.service", "latchkey-sync.service"] {
        let line = format!("cat /proc/$(systemctl show -P MainPID {unit})/cgroup");
        let group = host.sh(&line)?;
        ensure!(group.contains(&format!("/system.slice/{unit}")), "{group}");
    }
    company.enrolled("alice", PIN)?;
    let mut session = su(host, "alice")?;
    session.expect("PIN: ")?;
    session.type_line(PIN)?;
    session.expect("alice@ws4")?;
    session.type_line("klist")?;
    session.expect("Default principal: alice@CORP.LATCHKEY.TEST")?;
    logind_is_heard(company, host)?;

    // As the example says.
    let example = "/usr/share/doc/latchkey/examples/krb5.conf";
    let pki = "/run/latchkey/pki";
    let anchors = ["kdc-anchors.pem", "device-root.pem"]
        .map(|file| format!("X509_anchors=FILE:{pki}/{file}"));
    let [kdc, root] = &anchors;
    host.command(&["kinit", "-X", kdc, "-X", root, "alice"])
        .env(
            "KRB5_CONFIG",
            &format!("{example}:{pki}/krb5.conf:/etc/krb5.conf"),
        )
        .user("alice")
        .stdin(format!("{PIN}\n"))
        .ok()?;

    // What it knows is there after a restart, and a TPM that it had in use is free again.
    host.sh("systemctl restart latchkeyd")?;
    company.sign_in("alice", PIN)?.ok()?;
    ensure!(is_kept(company, "alice")?, "the session is not known");
    leave(session)?;
    host.command(&["latchkey", "leave"]).ok()?;
    until("AD to forget the key", Duration::from_secs(30), || {
        company
            .keys_in_directory("alice")
            .is_ok_and(|keys| keys.is_empty())
    })?;
    host.command(&["latchkey", "join"]).ok().map(drop)
}
