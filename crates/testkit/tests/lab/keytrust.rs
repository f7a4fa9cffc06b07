//! Key trust with stock tools only: what the product must reach, shown without the product.

use anyhow::Result;
use testkit::lab::address::full_name;
use testkit::lab::{Host, KdcCertificate, Lab, Output};

use crate::shared;

/// A key of alice's, a leaf for it from an authority made for this one certificate, and both
/// authorities as anchors: the one form that MIT's client sends a certificate with.
const MAKE_KEY: &str = r#"
set -e; rm -rf /tmp/trust; mkdir /tmp/trust; cd /tmp/trust
openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=throw-away -keyout ca.key -out ca.crt
cat >leaf.cnf <<END
keyUsage = critical, digitalSignature
subjectKeyIdentifier = hash
extendedKeyUsage = 1.3.6.1.4.1.311.20.2.2, 1.3.6.1.5.2.3.4
subjectAltName = otherName:1.3.6.1.4.1.311.20.2.3;UTF8:alice@corp.latchkey.test
END
openssl req -new -newkey rsa:2048 -nodes -subj /CN=alice -keyout leaf.key -out leaf.csr
openssl x509 -req -in leaf.csr -CA ca.crt -CAkey ca.key -CAcreateserial -extfile leaf.cnf -out leaf.crt
openssl x509 -in leaf.crt -noout -pubkey >leaf.pub
"#;

/// A ticket for alice by her key, from a KDC that /tmp/kdc-ca.crt vouches for.
pub(crate) fn sign_in(host: &Host) -> Result<Output> {
    host.command(&[
        "kinit",
        "-X",
        "X509_user_identity=FILE:/tmp/trust/leaf.crt,/tmp/trust/leaf.key",
        "-X",
        "X509_anchors=FILE:/tmp/kdc-ca.crt",
        "-X",
        "X509_anchors=FILE:/tmp/trust/ca.crt",
        "alice",
    ])
    .env("KRB5_CONFIG", "/tmp/kdc-name.conf:/etc/krb5.conf")
    .run()
}

/// Makes alice's key on ws1.
pub(crate) fn prepare(lab: &Lab) -> Result<Host> {
    let host = lab.host("ws1")?;
    host.sh(MAKE_KEY)?;
    host.write_file("/tmp/kdc-ca.crt", lab.pki().read("kdc-ca.crt")?, 0o644)?;
    let name = format!(
        "[realms]\nCORP.LATCHKEY.TEST = {{\n pkinit_kdc_hostname = {}\n}}\n",
        full_name("dc")
    );
    host.write_file("/tmp/kdc-name.conf", name, 0o644)?;
    Ok(host)
}

const TOOL: [&str; 3] = ["samba-tool", "user", "keytrust"];

/// Writes that key to alice's account, by Samba's own tool.
pub(crate) fn add_key(lab: &Lab, host: &Host) -> Result<()> {
    let dc = lab.host("dc")?;
    dc.write_file(
        "/root/alice.pub",
        host.read_file("/tmp/trust/leaf.pub")?,
        0o644,
    )?;
    let add = ["add", "alice", "/root/alice.pub"];
    dc.command(&[&TOOL[..], &add].concat()).ok().map(drop)
}

#[test]
fn a_key_in_the_directory_logs_in_and_one_that_is_not_there_does_not() {
    let (_turn, lab) = shared();
    let host = prepare(lab).unwrap();
    let refused = sign_in(&host).unwrap();
    assert_ne!(refused.status, 0, "{}", refused.text());

    add_key(lab, &host).unwrap();
    sign_in(&host).unwrap().ok().unwrap();
    let tickets = host.sh("klist; kdestroy").unwrap();
    assert!(
        tickets.contains("Default principal: alice@CORP.LATCHKEY.TEST"),
        "{tickets}"
    );
    let log = lab.kdc_log().unwrap();
    assert!(
        log.contains("PK-INIT(ietf) pre-authentication succeeded -- alice@"),
        "not in the log"
    );

    lab.use_kdc_certificate(KdcCertificate::WrongAuthority)
        .unwrap();
    let rogue = sign_in(&host).unwrap();
    lab.use_kdc_certificate(KdcCertificate::DnsNames).unwrap();
    assert_ne!(rogue.status, 0, "{}", rogue.text());

    let dc = lab.host("dc").unwrap();
    dc.command(&[&TOOL[..], &["delete", "alice", "--all"]].concat())
        .ok()
        .unwrap();
    let refused = sign_in(&host).unwrap();
    assert_ne!(refused.status, 0, "{}", refused.text());
}
