//! What the agent writes is what others read: a parser of somebody else's, and the KDC for stock
//! clients, before and after the user is renamed.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use testkit::foreign;
use testkit::lab::address::full_name;
use testkit::lab::{Host, Lab};
use testkit::packages::{self, Needed};

use crate::shared;
use crate::sync::Stage;

/// Reads a value from its standard input, and prints what it found.
const READER: &str = r#"
import json, sys
from dsinternals.common.data.DNWithBinary import DNWithBinary
from dsinternals.common.data.hello.KeyCredential import KeyCredential

value = DNWithBinary.fromRawDNWithBinary(sys.stdin.read().strip().encode())
credential = KeyCredential.fromDNWithBinary(value)
material = credential.RawKeyMaterial
print(json.dumps({
    "hash": credential.verifyHash(),
    "usage": credential.Usage.name,
    "source": credential.Source.name,
    "device": credential.DeviceId.toFormatD(),
    "modulus": "%0512x" % material.modulus,
    "exponent": material.exponent,
}))
"#;

/// The parser, and what it needs without saying so.
const PARSER: [&str; 3] = [
    "dsinternals==1.2.4",
    "pyOpenSSL==26.4.0",
    "pycryptodomex==3.24.2",
];

const HEIMDAL: Needed = Needed {
    reason: "sign in with Heimdal's client",
    names: &["heimdal-clients"],
};

/// A leaf of the user's key, issued by an authority made for it.
const MAKE_LEAF: &str = r#"
set -e; cd /tmp/lies
openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=throw-away -keyout ca.key -out ca.crt
cat >leaf.cnf <<END
keyUsage = critical, digitalSignature
subjectKeyIdentifier = hash
extendedKeyUsage = 1.3.6.1.4.1.311.20.2.2, 1.3.6.1.5.2.3.4
subjectAltName = otherName:1.3.6.1.4.1.311.20.2.3;UTF8:bob@corp.latchkey.test
END
openssl req -new -key user.pem -subj /CN=bob -out leaf.csr
openssl x509 -req -in leaf.csr -CA ca.crt -CAkey ca.key -CAcreateserial -extfile leaf.cnf -out leaf.crt
cat leaf.crt ca.crt >chain.crt
"#;

/// Both clients sign in.
fn sign_in(host: &Host, account: &str) -> Result<()> {
    let principal = format!("{account}@CORP.LATCHKEY.TEST");
    let identity = "X509_user_identity=FILE:/tmp/lies/leaf.crt,/tmp/lies/user.pem";
    let anchors =
        ["/tmp/kdc-ca.crt", "/tmp/lies/ca.crt"].map(|file| format!("X509_anchors=FILE:{file}"));
    let mut words = vec!["kinit", "-X", identity];
    words.extend(anchors.iter().flat_map(|anchor| ["-X", anchor.as_str()]));
    words.push(&principal);
    let configuration = "/tmp/kdc-name.conf:/etc/krb5.conf";
    let ccache = "FILE:/tmp/lies/mit";
    let mit = host.command(&words).env("KRB5_CONFIG", configuration);
    mit.env("KRB5CCNAME", ccache).ok().context("MIT")?;

    let words = [
        "/opt/heimdal/kinit",
        "--pk-user=FILE:/tmp/lies/chain.crt,/tmp/lies/user.pem",
        "--x509-anchors=FILE:/tmp/kdc-ca.crt",
        "--cache=FILE:/tmp/lies/heimdal",
        &principal,
    ];
    let heimdal = host.command(&words).env("LD_LIBRARY_PATH", "/opt/heimdal");
    heimdal
        .env("KRB5_CONFIG", "/tmp/heimdal.conf")
        .ok()
        .context("Heimdal")?;
    for cache in [ccache, "FILE:/tmp/lies/heimdal"] {
        let tickets = host.command(&["klist", "-c", cache]).ok()?;
        ensure!(tickets.contains(&principal), "{tickets}");
    }
    Ok(())
}

/// What the clients need beside the key.
fn prepare(lab: &Lab, host: &Host) -> Result<()> {
    host.sh(MAKE_LEAF)?;
    host.write_file("/tmp/kdc-ca.crt", lab.pki().read("kdc-ca.crt")?, 0o644)?;
    let dc = full_name("dc");
    let mit = format!("[realms]\nCORP.LATCHKEY.TEST = {{\n pkinit_kdc_hostname = {dc}\n}}\n");
    host.write_file("/tmp/kdc-name.conf", mit, 0o644)?;
    let heimdal = format!(
        "[libdefaults]\ndefault_realm = CORP.LATCHKEY.TEST\n\
         [realms]\nCORP.LATCHKEY.TEST = {{\n kdc = tcp/{dc}\n \
         pkinit_require_krbtgt_otherName = false\n}}\n"
    );
    host.write_file("/tmp/heimdal.conf", heimdal, 0o644)?;

    packages::install(&[HEIMDAL], |line| eprintln!("{line}"))?;
    let kinit = "/usr/bin/kinit.heimdal";
    host.write_file("/opt/heimdal/kinit", std::fs::read(kinit)?, 0o755)?;
    let needed = Command::new("ldd").arg(kinit).output()?;
    for library in String::from_utf8(needed.stdout)?.lines() {
        let Some((name, path)) = library.trim().split_once(" => ") else {
            continue;
        };
        let path = path.split(' ').next().unwrap_or_default();
        // The C library is that of the host.
        if !["libc.so", "libm.so", "libpthread"]
            .iter()
            .any(|own| name.starts_with(own))
        {
            let file = format!("/opt/heimdal/{name}");
            host.write_file(&file, std::fs::read(path)?, 0o755)?;
        }
    }
    Ok(())
}

#[test]
fn what_the_agent_writes_others_read_and_the_kdc_takes_also_under_another_name() -> Result<()> {
    let (_turn, lab) = shared();
    let stage = Stage::set(lab)?;
    let outcome = read_and_used(lab, &stage);
    let dn = "CN=bob,OU=Staff,DC=corp,DC=latchkey,DC=test";
    stage.change(dn, "delete: msDS-KeyCredentialLink")?;
    outcome
}

fn read_and_used(lab: &Lab, stage: &Stage<'_>) -> Result<()> {
    let told = stage.play("bob", &[stage.honest(&stage.account("bob")?)])?;
    ensure!(
        told.iter().all(|told| told["state"] == "confirmed"),
        "{told:?}"
    );
    let values = stage.keys("bob")?;
    let [value] = values.as_slice() else {
        anyhow::bail!("{} values", values.len());
    };

    let python = foreign::python(&PARSER, |line| eprintln!("{line}"))?;
    let mut reader = Command::new(python.join("bin/python"));
    let read = foreign::fed(reader.args(["-c", READER]), value)?;
    let read: Value = serde_json::from_str(&read)?;
    let modulus = stage
        .server
        .sh("openssl rsa -in /tmp/lies/user.pem -noout -modulus")?;
    let modulus = modulus.trim().trim_start_matches("Modulus=").to_lowercase();
    ensure!(read["modulus"] == modulus, "{read}, not {modulus}");
    ensure!(read["hash"] == true && read["exponent"] == 65537, "{read}");
    ensure!(read["usage"] == "NGC" && read["source"] == "AD", "{read}");
    ensure!(read["device"] == stage.device.to_lowercase(), "{read}");

    prepare(lab, &stage.server)?;
    sign_in(&stage.server, "bob")?;
    let rename = "samba-tool user rename bob --force-new-cn='Robert B' --samaccountname=robert";
    stage.dc.sh(rename)?;
    let renamed = sign_in(&stage.server, "robert");
    stage
        .dc
        .sh("samba-tool user rename robert --force-new-cn=bob --samaccountname=bob")?;
    renamed
}
