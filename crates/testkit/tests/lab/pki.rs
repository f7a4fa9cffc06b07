//! `latchkey pki` where it matters: a KDC that shows what it issued signs people in, and its
//! judgement of certificates is that of the rules.

use anyhow::{Context as _, Result};
use serde_json::Value;
use testkit::lab::address::full_name;
use testkit::lab::{Host, Lab, Options, Output, Profile};

use crate::keytrust;

/// The authority's folder on the domain controller.
const FOLDER: &str = "/var/lib/latchkey-pki";
const SERVED: &str = "/srv/pki/corp-kdc.crl";
const URL: &str = "http://dc.corp.latchkey.test/corp-kdc.crl";

/// A lab whose KDC has never heard of keys, and the program on its domain controller.
struct Domain {
    lab: Lab,
    dc: Host,
}

impl Domain {
    fn fresh() -> Result<Self> {
        let name = crate::name("tests-pki");
        Lab::down(&name)?;
        let lab = Lab::up(&name, Options::default())?;
        let dc = lab.host("dc")?;
        lab.install(&dc, Profile::Debug)?;
        dc.sh("sed -i '/^\\[kdc\\]/,$d' /etc/krb5.conf /var/lib/samba/private/krb5.conf")?;
        dc.command(&["kinit", "Administrator"])
            .stdin(lab.administrator_password())
            .ok()?;
        Ok(Self { lab, dc })
    }

    fn pki(&self, words: &[&str]) -> Result<String> {
        self.dc
            .command(&[&["latchkey", "pki"], words].concat())
            .ok()
    }

    fn issue(&self, more: &[&str]) -> Result<String> {
        let name = full_name("dc");
        let words = ["--json", "issue-dc", &name, "--install"];
        let said: Value = serde_json::from_str(&self.pki(&[&words[..], more].concat())?)?;
        let serial = said["serial"].as_str().context("a serial number")?;
        Ok(serial.to_owned())
    }

    /// What `check` says on the domain controller, and the rules that are not kept.
    fn check(&self, more: &[&str]) -> Result<(Output, Vec<String>)> {
        let words = ["latchkey", "pki", "--json", "check"];
        let output = self.dc.command(&[&words[..], more].concat()).run()?;
        let broken = broken(&output)?;
        Ok((output, broken))
    }
}

/// Rules with the verdict `fail` or `not-judged`.
fn broken(output: &Output) -> Result<Vec<String>> {
    let report: Value = serde_json::from_str(&output.stdout)
        .with_context(|| format!("no report: {}", output.text()))?;
    let controllers = report["domain_controllers"].as_array();
    let controllers = controllers.context("no domain controllers")?;
    anyhow::ensure!(controllers.len() == 1, "{report}");
    let rules = controllers.iter().flat_map(|dc| dc["rules"].as_array());
    Ok(rules
        .flatten()
        .filter(|found| found["verdict"] != "pass")
        .filter_map(|found| found["rule"].as_str().map(str::to_owned))
        .collect())
}

#[test]
fn a_kdc_with_its_certificate_signs_people_in_and_each_broken_rule_is_named() {
    let domain = Domain::fresh().unwrap();
    let (lab, dc) = (&domain.lab, &domain.dc);

    let (unprepared, found) = domain.check(&[]).unwrap();
    assert_ne!(unprepared.status, 0);
    assert!(found.contains(&"kdc-certificate".to_owned()), "{found:?}");

    let words = ["init", "--name", "Corp KDC CA", "--crl-url", URL];
    domain
        .pki(&[&words[..], &["--publish", SERVED]].concat())
        .unwrap();
    let serial = domain.issue(&[]).unwrap();
    let (_, found) = domain.check(&[]).unwrap();
    let untrusted = [
        "crl-signed",
        "issuer-in-ntauth",
        "root-in-directory",
        "chain",
    ];
    assert_eq!(found, untrusted);
    domain.pki(&["trust"]).unwrap();
    let again = domain.pki(&["trust"]).unwrap();
    assert!(again.contains("already"), "{again}");
    let (passed, found) = domain.check(&[]).unwrap();
    assert_eq!((passed.status, found), (0, vec![]), "{}", passed.text());

    lab.restart_samba().unwrap();
    let host = keytrust::prepare(lab).unwrap();
    keytrust::add_key(lab, &host).unwrap();
    let refused = keytrust::sign_in(&host).unwrap();
    assert_ne!(refused.status, 0, "the lab's own authority was believed");
    let authority = dc.read_file(&format!("{FOLDER}/ca.crt")).unwrap();
    host.write_file("/tmp/kdc-ca.crt", authority, 0o644)
        .unwrap();
    keytrust::sign_in(&host).unwrap().ok().unwrap();
    host.sh("klist && kdestroy").unwrap();

    let due = domain.pki(&["issue-dc", &full_name("dc"), "--install", "--if-due"]);
    assert!(due.unwrap().contains("not due"));
    domain.pki(&["crl", "revoke", &serial]).unwrap();
    let (revoked, found) = domain.check(&[]).unwrap();
    assert_eq!((revoked.status, found), (1, vec!["not-revoked".to_owned()]));

    for (flags, rule) in [
        (
            ["--domain", "other.latchkey.test", "--netbios", "CORP"],
            "name-of-domain",
        ),
        (
            ["--domain", "corp.latchkey.test", "--netbios", "OTHER"],
            "name-for-windows",
        ),
    ] {
        domain.issue(&flags).unwrap();
        assert_eq!(domain.check(&[]).unwrap().1, [rule]);
    }

    domain.issue(&["--kdc-san"]).unwrap();
    dc.sh(&format!("mv {SERVED} {SERVED}.away")).unwrap();
    let unreachable = ["crl-reachable", "crl-signed", "crl-current", "not-revoked"];
    assert_eq!(domain.check(&[]).unwrap().1, unreachable);
    let renewed = format!("umask 077; latchkey pki crl renew; stat -c %a {SERVED} /etc/krb5.conf");
    let modes = dc.sh(&renewed).unwrap();
    assert!(modes.ends_with("\n644\n644\n"), "{modes}");
    assert_eq!(domain.check(&[]).unwrap().1, [""; 0]);

    lab.restart_samba().unwrap();
    keytrust::sign_in(&host).unwrap().ok().unwrap();

    let wrong = lab.pki().read("kdc-wrong.crt").unwrap();
    dc.write_file("/tmp/wrong.crt", wrong, 0o644).unwrap();
    let (_, found) = domain.check(&["--certificate", "/tmp/wrong.crt"]).unwrap();
    for rule in ["issuer-in-ntauth", "root-in-directory", "chain"] {
        assert!(found.contains(&rule.to_owned()), "{rule}: {found:?}");
    }

    // Elsewhere nothing is made up about a certificate that cannot be seen.
    let server = lab.host("server").unwrap();
    lab.install(&server, Profile::Debug).unwrap();
    server
        .command(&["kinit", "Administrator"])
        .stdin(lab.administrator_password())
        .ok()
        .unwrap();
    let output = server
        .command(&["latchkey", "pki", "--json", "check"])
        .run()
        .unwrap();
    assert_eq!(output.status, 0, "{}", output.text());
    assert!(
        output.stdout.contains("\"passed\":false"),
        "{}",
        output.stdout
    );
    assert!(
        !output.stdout.contains("\"verdict\":\"fail\""),
        "{}",
        output.stdout
    );
    Lab::down(lab.name()).unwrap();
}
