//! The domain controller as clients see it.

use std::process::Command;

use testkit::lab::address::{BASE_DN, full_name};
use testkit::lab::{AGENT_ACCOUNT, AGENT_KEYTAB, AGENT_SERVICE, CRL_URL, KdcCertificate, Lab};

use crate::shared;

#[test]
fn a_person_gets_a_ticket_by_password_and_the_directory_knows_her() {
    let (_turn, lab) = shared();
    let host = lab.host("ws1").unwrap();
    let alice = |words: &[&str]| host.command(words).user("alice");
    alice(&["kinit", "alice"])
        .stdin(lab.password("alice").unwrap())
        .ok()
        .unwrap();
    let tickets = alice(&["klist"]).ok().unwrap();
    assert!(
        tickets.contains("krbtgt/CORP.LATCHKEY.TEST@CORP.LATCHKEY.TEST"),
        "{tickets}"
    );

    let directory = format!("ldap://{}", full_name("dc"));
    let who = alice(&["ldapwhoami", "-Q", "-Y", "GSSAPI", "-H", &directory])
        .ok()
        .unwrap();
    assert_eq!(who, "u:CORP\\alice\n");
    let share = format!("//{}/sysvol", full_name("dc"));
    let listing = alice(&["smbclient", "--use-kerberos=required", &share, "-c", "ls"])
        .ok()
        .unwrap();
    assert!(listing.contains("corp.latchkey.test"), "{listing}");
    alice(&["kdestroy"]).ok().unwrap();
}

#[test]
fn a_wrong_password_gives_no_ticket() {
    let (_turn, lab) = shared();
    let host = lab.host("ws1").unwrap();
    let answer = host
        .command(&["kinit", "bob"])
        .stdin("not it\n")
        .run()
        .unwrap();
    assert_ne!(answer.status, 0);
}

#[test]
fn names_resolve_in_both_directions() {
    let (_turn, lab) = shared();
    let host = lab.host("ws1").unwrap();
    for (name, address) in [
        ("dc", "10.77.0.10"),
        ("server", "10.77.0.20"),
        ("ws1", "10.77.0.31"),
    ] {
        let name = full_name(name);
        let dc = lab.host("dc").unwrap();
        assert!(
            dc.sh(&format!("getent ahostsv4 {name}"))
                .unwrap()
                .starts_with(address)
        );
        assert!(
            host.sh(&format!("getent hosts {address}"))
                .unwrap()
                .contains(&name)
        );
    }
}

/// What the directory says to the agent's account that wants to `add` or `delete` a key of `dn`.
fn change_key(lab: &Lab, verb: &str, dn: &str) -> String {
    let directory = format!("ldap://{}", full_name("dc"));
    let change = format!(
        "dn: {dn}\nchangetype: modify\n{verb}: msDS-KeyCredentialLink\n\
         msDS-KeyCredentialLink: B:8:00020000:{dn}\n"
    );
    let server = lab.host("server").unwrap();
    server
        .command(&["kinit", "-k", "-t", AGENT_KEYTAB, AGENT_ACCOUNT])
        .ok()
        .unwrap();
    let words = ["ldapmodify", "-Q", "-Y", "GSSAPI", "-H", &directory];
    server.command(&words).stdin(change).run().unwrap().text()
}

#[test]
fn the_agents_account_may_write_keys_of_its_unit_and_no_others() {
    let (_turn, lab) = shared();
    // What is written is taken out again: other tests give carol keys.
    for verb in ["add", "delete"] {
        let written = change_key(lab, verb, &format!("CN=carol,OU=Staff,{BASE_DN}"));
        assert!(
            written.contains("modifying entry") && !written.contains("ldap_modify:"),
            "{written}"
        );
    }
    for dn in [
        format!("CN=dave,OU=Others,{BASE_DN}"),
        format!("CN=Administrator,CN=Users,{BASE_DN}"),
        format!("CN=DC,OU=Domain Controllers,{BASE_DN}"),
    ] {
        let refused = change_key(lab, "add", &dn);
        assert!(
            refused.contains("Insufficient access (50)"),
            "{dn}: {refused}"
        );
    }
}

#[test]
fn the_agents_keytab_holds_its_service_before_and_after_it_is_exported_anew() {
    let (_turn, lab) = shared();
    let server = lab.host("server").unwrap();
    for _ in 0..2 {
        let keys = server.command(&["klist", "-k", AGENT_KEYTAB]).ok().unwrap();
        assert!(
            keys.contains(AGENT_SERVICE) && keys.contains(AGENT_ACCOUNT),
            "{keys}"
        );
        lab.export_agent_keytab().unwrap();
    }
}

#[test]
fn the_authority_of_the_kdc_is_where_domain_members_look_for_it() {
    let (_turn, lab) = shared();
    let keys = format!("CN=Public Key Services,CN=Services,CN=Configuration,{BASE_DN}");
    let dc = lab.host("dc").unwrap();
    let database = "/var/lib/samba/private/sam.ldb";
    for dn in [
        format!("CN=NTAuthCertificates,{keys}"),
        format!("CN=Lab KDC CA,CN=Certification Authorities,{keys}"),
    ] {
        let words = [
            "ldbsearch",
            "-H",
            database,
            "-s",
            "base",
            "-b",
            &dn,
            "cACertificate",
        ];
        let entry = dc.command(&words).ok().unwrap();
        assert!(entry.contains("cACertificate:: MII"), "{entry}");
    }
}

#[test]
fn the_revocation_list_is_served_and_names_the_revoked_certificate() {
    let (_turn, lab) = shared();
    let host = lab.host("ws1").unwrap();
    let fetch = format!(
        "curl --silent --fail {} | openssl crl -inform DER -noout -text",
        CRL_URL
    );
    let list = host.sh(&fetch).unwrap();
    assert!(
        list.contains(&serial_of(lab, KdcCertificate::Revoked)),
        "{list}"
    );
    assert!(
        !list.contains(&serial_of(lab, KdcCertificate::DnsNames)),
        "{list}"
    );
}

fn serial_of(lab: &Lab, kind: KdcCertificate) -> String {
    let file = lab.pki().path(&format!("{}.crt", kind.name()));
    let answer = Command::new("openssl")
        .args(["x509", "-noout", "-serial", "-in"])
        .arg(file)
        .output();
    let line = String::from_utf8(answer.unwrap().stdout).unwrap();
    line.trim().strip_prefix("serial=").unwrap().to_owned()
}

fn names_in(lab: &Lab, kind: KdcCertificate) -> String {
    let file = lab.pki().path(&format!("{}.crt", kind.name()));
    let words = [
        "x509",
        "-noout",
        "-ext",
        "subjectAltName,extendedKeyUsage",
        "-in",
    ];
    let answer = Command::new("openssl")
        .args(words)
        .arg(file)
        .output()
        .unwrap();
    String::from_utf8(answer.stdout).unwrap()
}

#[test]
fn one_kdc_certificate_has_dns_names_only_and_the_other_the_realms_name_too() {
    let (_turn, lab) = shared();
    let dns = names_in(lab, KdcCertificate::DnsNames);
    assert!(
        dns.contains("DNS:dc.corp.latchkey.test, DNS:corp.latchkey.test, DNS:CORP\n"),
        "{dns}"
    );
    assert!(dns.contains("Signing KDC Response"), "{dns}");
    let pkinit = names_in(lab, KdcCertificate::PkinitName);
    assert!(pkinit.contains("othername: 1.3.6.1.5.2.2"), "{pkinit}");
}

#[test]
fn the_domain_answers_again_after_the_kdc_was_given_another_certificate() {
    let (_turn, lab) = shared();
    let host = lab.host("ws1").unwrap();
    for kind in [KdcCertificate::PkinitName, KdcCertificate::DnsNames] {
        lab.use_kdc_certificate(kind).unwrap();
        host.command(&["kinit", "bob"])
            .stdin(lab.password("bob").unwrap())
            .ok()
            .unwrap();
    }
}
