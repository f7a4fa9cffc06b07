//! A KDC that is none: a machine on the network answers for the realm in the domain controller's
//! place, and gets nobody signed in and no password believed.
//!
//! The stranger sits between a host and the domain controller: the host's frames for the controller
//! go to the stranger, which answers Kerberos itself and passes the rest on. It runs MIT's KDC with
//! a realm of the same name, knows alice, takes her real certificate, and has no key of the domain.

use std::cell::Cell;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use testkit::company::{Company, REALM, one_time_code, refused, text};
use testkit::lab::address::{DOMAIN, address, full_name};
use testkit::lab::{Host, Lab, Output, target_folder, until_ok};

use crate::company;

const PIN: &str = "314159265358";
/// What the attacker would like to be bob's password.
const CHOSEN: &str = "chosen by somebody else";
const LOG: &str = "/var/log/krb5kdc.log";
const INSIDER: &str = "/usr/local/sbin/insider";

const KERBEROS: &str = "[libdefaults]
 default_realm = CORP.LATCHKEY.TEST
[plugins]
 certauth = {
  disable = pkinit_san
 }
[logging]
 kdc = FILE:/var/log/krb5kdc.log
";
const KDC: &str = "[kdcdefaults]
 kdc_ports = 88
 kdc_tcp_ports = 88
[realms]
 CORP.LATCHKEY.TEST = {
  pkinit_identity = FILE:/etc/krb5kdc/kdc.crt,/etc/krb5kdc/kdc.key
  pkinit_anchors = FILE:/etc/krb5kdc/anchors.crt
 }
";
/// Frames that come for the domain controller: Kerberos stays here, the rest goes on.
const BETWEEN: &str = "table ip between {
 chain arriving {
  type nat hook prerouting priority -100;
  udp dport 88 redirect to :88
  tcp dport 88 redirect to :88
 }
}
";

struct Rogue<'c> {
    company: &'c Company,
    host: Host,
    /// How many lines of the log were read.
    read: Cell<usize>,
}

impl<'c> Rogue<'c> {
    fn moves_in(company: &'c Company) -> Result<Self> {
        let host = Lab::attach(company.lab.name())?.add_stranger()?;
        host.write_file("/etc/krb5.conf", KERBEROS, 0o644)?;
        host.write_file("/etc/krb5kdc/kdc.conf", KDC, 0o644)?;
        host.sh(&format!(
            "set -e; nft flush ruleset; rm -f {LOG} /var/lib/krb5kdc/principal*
             kdb5_util -r {REALM} create -s -P master 2>&1
             for name in all default eth0; do
                 echo 0 >/proc/sys/net/ipv4/conf/$name/send_redirects
             done
             echo 1 >/proc/sys/net/ipv4/ip_forward"
        ))?;
        host.command(&["nft", "-f", "-"]).stdin(BETWEEN).ok()?;
        let rogue = Self {
            company,
            host,
            read: Cell::new(0),
        };
        rogue.administer("addprinc -randkey alice")?;
        rogue.administer("setstr alice pkinit_cert_match <SUBJECT>.*")?;
        rogue.administer(&format!("addprinc -pw \"{CHOSEN}\" bob"))?;
        Ok(rogue)
    }

    fn administer(&self, line: &str) -> Result<()> {
        let answer = self
            .host
            .command(&["kadmin.local", "-r", REALM, "-q", line])
            .run()?;
        ensure!(answer.status == 0, "{line}: {}", answer.text());
        Ok(())
    }

    /// Answers with a certificate from the authority that nobody trusts.
    fn answers_with_the_wrong_certificate(&self) -> Result<()> {
        let pki = self.company.lab.pki();
        self.answers_with(&pki.read("kdc-wrong.crt")?, &pki.read("kdc-wrong.key")?)
    }

    /// Answers with this certificate, and takes those that the workstation's device root issued.
    fn answers_with(&self, certificate: &[u8], key: &[u8]) -> Result<()> {
        let workstation = self.company.workstation()?;
        // It shows no certificate that it would not believe itself.
        let anchors = [
            workstation.read_file("/run/latchkey/pki/device-root.pem")?,
            self.company.lab.pki().read("wrong-ca.crt")?,
        ];
        let host = &self.host;
        host.write_file("/etc/krb5kdc/anchors.crt", anchors.concat(), 0o644)?;
        host.write_file("/etc/krb5kdc/kdc.crt", certificate, 0o644)?;
        host.write_file("/etc/krb5kdc/kdc.key", key, 0o600)?;
        host.stop("krb5kdc")?;
        host.command(&["krb5kdc", "-n", "-r", REALM])
            .daemon("krb5kdc")?;
        until_ok("the rogue", Duration::from_secs(10), || {
            host.command(&["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/88"])
        })?;
        self.log().map(drop)
    }

    /// What the KDC has logged of requests since the last call.
    fn log(&self) -> Result<String> {
        let all = self.host.read_text(LOG)?;
        let new = all.lines().skip(self.read.replace(all.lines().count()));
        let requests = new.filter(|line| line.contains("S_REQ"));
        Ok(requests.collect::<Vec<_>>().join("\n"))
    }

    /// Comes between `victim` and the domain controller until the answer is dropped.
    fn diverts(&self, victim: &Host) -> Result<Diverted> {
        let own = self
            .host
            .read_text("/sys/class/net/eth0/address")?
            .trim()
            .to_owned();
        let controller = address("dc")?;
        victim.sh(&format!(
            "ip neigh replace {controller} lladdr {own} dev eth0 nud permanent"
        ))?;
        Ok(Diverted {
            victim: victim.clone(),
            controller,
        })
    }
}

impl Drop for Rogue<'_> {
    fn drop(&mut self) {
        // A test that failed says more than this would.
        let _ended_with_the_lab = self.host.stop("krb5kdc");
    }
}

/// A host whose way to the domain controller leads through the stranger.
struct Diverted {
    victim: Host,
    controller: String,
}

impl Drop for Diverted {
    fn drop(&mut self) {
        let line = format!("ip neigh del {} dev eth0", self.controller);
        let _seen_by_the_next_sign_in = self.victim.sh(&line);
    }
}

fn assert_not_signed_in(company: &Company, output: &Output) -> Result<()> {
    let answer = refused(output)?;
    assert_eq!(text(&answer, "code")?, "kdc_not_trusted", "{answer}");
    let tickets = company
        .workstation()?
        .command(&["klist"])
        .user("alice")
        .run()?;
    assert_ne!(tickets.status, 0, "there is a ticket: {}", tickets.text());
    Ok(())
}

/// The KDC wanted proof, and took alice's certificate for it.
fn assert_pkinit_answered(log: &str, issued: &str) {
    assert!(log.contains("NEEDED_PREAUTH"), "{log}");
    assert!(log.contains("ISSUE:") && log.contains(issued), "{log}");
}

/// A certificate for the rogue's own key, issued by the workstation's device root, by root's hand.
fn certificate_of_the_device_root(company: &Company) -> Result<(Vec<u8>, Vec<u8>)> {
    let workstation = company.workstation()?;
    let program = target_folder().join("debug/examples/insider");
    let program = std::fs::read(&program)
        .with_context(|| format!("{} (cargo build --examples)", program.display()))?;
    workstation.write_file(INSIDER, program, 0o755)?;
    let made = workstation.sh("openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048")?;
    let public = workstation
        .command(&["openssl", "pkey", "-pubout"])
        .stdin(made.as_str())
        .ok()?;
    workstation.stop("latchkeyd")?;
    let issued = workstation
        .command(&[INSIDER, "kdc-certificate", &full_name("dc"), DOMAIN])
        .stdin(public)
        .ok();
    company.run_daemon()?;
    Ok((issued?.into_bytes(), made.into_bytes()))
}

#[test]
fn a_kdc_that_does_not_know_the_host_signs_nobody_in() -> Result<()> {
    let (_turn, company) = company();
    let workstation = company.workstation()?;
    let kid = company.enrolled("alice", PIN)?;
    company.sign_in("alice", PIN)?.ok()?;
    workstation.command(&["kdestroy"]).user("alice").ok()?;
    let rogue = Rogue::moves_in(company)?;
    let issued = format!("alice@{REALM} for krbtgt/{REALM}@{REALM}");

    // It gives a ticket for nothing: one that no key of alice's opens.
    rogue.answers_with_the_wrong_certificate()?;
    let diverted = rogue.diverts(&workstation)?;
    assert_not_signed_in(company, &company.sign_in("alice", PIN)?)?;
    let log = rogue.log()?;
    assert!(log.contains("ISSUE:") && log.contains(&issued), "{log}");

    // From an authority that nobody trusts: libkrb5 itself does not take the ticket.
    rogue.administer("modprinc +requires_preauth alice")?;
    assert_not_signed_in(company, &company.sign_in("alice", PIN)?)?;
    let log = rogue.log()?;
    assert_pkinit_answered(&log, &issued);
    assert!(!log.contains("TGS_REQ"), "{log}");
    drop(diverted);

    // From the device root: libkrb5 takes it, and goes on to ask for a ticket for the host.
    let (certificate, key) = certificate_of_the_device_root(company)?;
    rogue.answers_with(&certificate, &key)?;
    let diverted = rogue.diverts(&workstation)?;
    assert_not_signed_in(company, &company.sign_in("alice", PIN)?)?;
    let log = rogue.log()?;
    assert_pkinit_answered(&log, &issued);
    let refused = log.lines().find(|line| line.contains("TGS_REQ"));
    assert!(
        refused.is_some_and(|line| line.contains("Server not found")),
        "{log}"
    );

    // And with a host of that name, whose key it had to invent.
    for name in ["host/WS1", &format!("host/{}", full_name("ws1")), "WS1$"] {
        rogue.administer(&format!("addprinc -randkey {name}"))?;
    }
    assert_not_signed_in(company, &company.sign_in("alice", PIN)?)?;
    let log = rogue.log()?;
    let given = log
        .lines()
        .find(|line| line.contains("TGS_REQ") && line.contains("ISSUE:"));
    assert!(given.is_some(), "{log}");

    // The same machine, the same key: only the way to the domain controller is its own again.
    drop(diverted);
    company.sign_in("alice", PIN)?.ok()?;
    assert_eq!(rogue.log()?, "", "the rogue was still asked");
    company.admin(&["key", "delete", &kid])?;
    Ok(())
}

/// The refusal of an enrollment of bob's with this password.
fn enroll_bob_with(company: &Company, password: &str) -> Result<Value> {
    let answers = format!("password={password}\notp={}\npin={PIN}\n", one_time_code()?);
    let call = company
        .workstation()?
        .command(&["latchkey", "enroll", "--answers-stdin", "--json"]);
    refused(&call.user("bob").stdin(answers).run()?)
}

#[test]
fn a_kdc_that_does_not_know_the_agent_makes_no_password_right() -> Result<()> {
    let (_turn, company) = company();
    company.give_factor("bob")?;
    company.password_sign_in("bob")?;
    let before = company.keys_in_directory("bob")?;
    let rogue = Rogue::moves_in(company)?;
    rogue.administer("addprinc -randkey svc-latchkey")?;
    rogue.administer(&format!(
        "addprinc -randkey latchkey-sync/{}",
        full_name("server")
    ))?;
    rogue.answers_with_the_wrong_certificate()?;
    // The real domain controller says no, and the agent's connection to its directory is open.
    let answer = enroll_bob_with(company, "not it")?;
    assert_eq!(text(&answer, "code")?, "wrong_password", "{answer}");
    assert_eq!(rogue.log()?, "", "the rogue was asked too early");

    let diverted = rogue.diverts(&company.server()?)?;
    let answer = enroll_bob_with(company, CHOSEN)?;
    let log = rogue.log()?;
    assert_eq!(text(&answer, "code")?, "agent_unreachable", "{answer}");
    let service = format!("latchkey-sync/{}", full_name("server"));
    for issued in [format!("krbtgt/{REALM}"), service] {
        let issued = format!("bob@{REALM} for {issued}@{REALM}");
        let line = log.lines().find(|line| line.contains(&issued));
        assert!(line.is_some_and(|line| line.contains("ISSUE:")), "{log}");
    }
    assert_eq!(company.keys_in_directory("bob")?, before);

    drop(diverted);
    let kid = company.enrolled("bob", PIN)?;
    company.admin(&["key", "delete", &kid])?;
    Ok(())
}
