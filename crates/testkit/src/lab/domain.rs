//! The domain controller: provisioned once per machine, filled anew for every lab.
//!
//! Provisioning takes six seconds and has no secret that a lab hands out, so its result is kept as
//! a layer between the base and the host's own files. People, passwords, the agent's account and
//! the certificates are made for each lab.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::json;

use super::address::{self, DOMAIN, NETBIOS, PREFIX, REALM, address, full_name};
use super::base::{Base, fingerprint, private_folder, remove_tree};
use super::call::until_ok;
use super::host::Host;
use super::pki::{KdcCertificate, Pki};
use super::process::Process;
use super::secrets::Secrets;
use super::supervisor::{self, First};
use super::{AGENT_ACCOUNT, AGENT_KEYTAB, AGENT_SERVICE, CACHE};

const POPULATE: &str = include_str!("populate.py");
const NAMES: &str = include_str!("names.py");
const PROVISION: &str = include_str!("provision.sh");
const CROWD: &str = include_str!("crowd.py");
const KERBEROS: &str = include_str!("krb5.conf");
/// What the KDC's own file has besides.
const KDC: &str = "
[kdc]
    enable-pkinit = yes
    pkinit_identity = FILE:/etc/latchkey-lab/kdc.crt,/etc/latchkey-lab/kdc.key
    pkinit_anchors = FILE:/etc/latchkey-lab/kdc-ca.crt
";
/// Where the keytab of the agent's account is made on the domain controller.
const KEYTAB: &str = "/root/agent.keytab";

/// The people of the lab and the unit each is in.
pub(super) const PEOPLE: [(&str, &str); 4] = [
    ("alice", "Staff"),
    ("bob", "Staff"),
    ("carol", "Staff"),
    ("dave", "Others"),
];

/// Where layers are made, and with what.
#[derive(Clone, Copy)]
pub(super) struct Workshop<'a> {
    pub(super) base: &'a Base,
    pub(super) supervisor: Process,
    /// The lab's folder.
    pub(super) lab: &'a Path,
    pub(super) say: fn(&str),
}

/// The layer of a provisioned domain over the base, made if this machine has none.
pub(super) fn provisioned(shop: &Workshop<'_>, crowd: u32) -> Result<PathBuf> {
    // Only the second keeps an order by update sequence numbers, as every other domain controller
    // does: with the first, asking for what changed reads the whole directory.
    let store = if crowd == 0 { "tdb" } else { "mdb" };
    let words = [
        store,
        shop.base.version.as_str(),
        PROVISION,
        NAMES,
        REALM,
        DOMAIN,
        NETBIOS,
        PREFIX,
    ];
    let stem = format!("domain-{:016x}", fingerprint(words.into_iter()));
    shop.layer(&stem, &[], |host| {
        prepare_names(host)?;
        host.write_file("/root/provision.sh", PROVISION, 0o700)?;
        let words = [
            "sh",
            "/root/provision.sh",
            REALM,
            DOMAIN,
            NETBIOS,
            &address("dc")?,
            store,
        ];
        host.command(&words).within(Duration::from_secs(120)).ok()?;
        let hosts = ["dc", "server", "ws1", "ws2", "ws3", "ws4"];
        let mut numbers = BTreeMap::new();
        for name in hosts {
            numbers.insert(name, address::number(name)?);
        }
        let reverse: Vec<&str> = PREFIX.trim_end_matches('.').rsplit('.').collect();
        let plan = json!({
            "zone": DOMAIN,
            "reverse": format!("{}.in-addr.arpa", reverse.join(".")),
            "prefix": PREFIX,
            "hosts": numbers,
        });
        let made = host.command(&["python3", "-c", NAMES]);
        made.stdin(plan.to_string()).ok().map(drop)
    })
}

/// The layer of a domain with so many users more over that of one without them. It takes minutes.
pub(super) fn crowded(shop: &Workshop<'_>, domain: &Path, crowd: u32) -> Result<PathBuf> {
    let below = domain.file_name().unwrap_or_default().to_string_lossy();
    let made_of = fingerprint([below.as_ref(), CROWD].into_iter());
    shop.layer(
        &format!("crowd-{crowd}-{made_of:016x}"),
        &[domain],
        |host| {
            let words = ["python3", "-c", CROWD, &crowd.to_string()];
            let made = host.command(&words).within(Duration::from_secs(3600));
            made.ok().map(drop)
        },
    )
}

impl Workshop<'_> {
    /// The layer `stem`, or what `work` makes of a host on the layers `below`.
    fn layer(
        &self,
        stem: &str,
        below: &[&Path],
        work: impl FnOnce(&Host) -> Result<()>,
    ) -> Result<PathBuf> {
        let shelf = Path::new(CACHE).join("base");
        let layer = shelf.join(stem);
        private_folder(&shelf)?;
        let (kind, _) = stem.split_once('-').unwrap_or((stem, ""));
        let lock = fs::File::create(shelf.join(format!("{kind}.lock")))?;
        lock.lock()
            .context("waiting for the domain of another run")?;
        if layer.exists() {
            return Ok(layer);
        }
        (self.say)(&format!("making the {kind} (once per machine)"));
        let mould = self.lab.join("mould");
        let layers = [below, &[&self.base.folder]].concat();
        let init = supervisor::start_host(self.supervisor, &mould, "dc", &layers, First::Shell)?;
        let host = Host {
            name: "dc".to_owned(),
            init,
        };
        work(&host)?;
        init.kill()?;
        let part = layer.with_added_extension("part");
        remove_tree(&part)?;
        copy_layer(&mould.join("hosts/dc/upper"), &part)?;
        fs::rename(&part, &layer).context("domain into place")?;
        remove_tree(&mould)?;
        Ok(layer)
    }
}

/// Fills the domain of the host `dc`, starts it and waits until it answers.
pub(super) fn start(dc: &Host, pki: &Pki, secrets: &Secrets) -> Result<()> {
    prepare_names(dc)?;
    put_kdc(dc, &pki.read("kdc-ca.crt")?)?;
    let name = KdcCertificate::DnsNames.name();
    let certificate = pki.read(&format!("{name}.crt"))?;
    put_identity(dc, &certificate, &pki.read(&format!("{name}.key"))?)?;

    let people: Vec<_> = PEOPLE
        .iter()
        .map(|&(name, unit)| {
            Ok(json!({ "name": name, "unit": unit, "password": secrets.person(name)? }))
        })
        .collect::<Result<_>>()?;
    let plan = json!({
        "administrator": secrets.administrator,
        "units": ["Staff", "Others"],
        "people": people,
        "groups": { "Latchkey Users": ["alice", "bob"] },
        "agent": {
            "name": AGENT_ACCOUNT,
            "password": secrets.agent,
            "service": AGENT_SERVICE,
            "unit": "Staff",
            "keytab": KEYTAB,
        },
        "authority": BASE64.encode(pki.der("kdc-ca")?),
    });
    dc.command(&["python3", "-c", POPULATE])
        .stdin(plan.to_string())
        .ok()?;

    publish_list(dc, pki)?;
    let own = address("dc")?;
    let words = [
        "python3",
        "-m",
        "http.server",
        "--bind",
        &own,
        "--directory",
        "/srv/pki",
        "80",
    ];
    dc.command(&words).daemon("crl")?;
    start_samba(dc)
}

/// Starts Samba and waits until the directory and the KDC answer.
pub(super) fn start_samba(dc: &Host) -> Result<()> {
    dc.command(&["samba", "--foreground", "--no-process-group"])
        .daemon("samba")?;
    wait_for_directory(dc)?;
    let port = "exec 3<>/dev/tcp/127.0.0.1/88";
    until_ok("the KDC to answer", Duration::from_secs(60), || {
        dc.command(&["bash", "-c", port])
    })?;
    Ok(())
}

fn wait_for_directory(dc: &Host) -> Result<()> {
    let words = [
        "ldapsearch",
        "-x",
        "-LLL",
        "-H",
        "ldap://127.0.0.1",
        "-s",
        "base",
        "-b",
        "",
    ];
    until_ok("the directory to answer", Duration::from_secs(60), || {
        dc.command(&[&words[..], &["-o", "nettimeout=2"]].concat())
    })
    .map(|_| ())
}

/// Tells a KDC where its certificate is, and whose certificates it believes.
pub(super) fn put_kdc(dc: &Host, authority: &[u8]) -> Result<()> {
    dc.write_file("/etc/latchkey-lab/kdc-ca.crt", authority, 0o644)?;
    let kerberos = format!("{KERBEROS}{KDC}");
    dc.write_file("/etc/krb5.conf", &kerberos, 0o644)?;
    dc.write_file("/var/lib/samba/private/krb5.conf", &kerberos, 0o644)
}

/// Gives the KDC a certificate and key in PEM; they are read when Samba starts.
pub(super) fn put_identity(dc: &Host, certificate: &[u8], key: &[u8]) -> Result<()> {
    dc.write_file("/etc/latchkey-lab/kdc.crt", certificate, 0o644)?;
    dc.write_file("/etc/latchkey-lab/kdc.key", key, 0o600)
}

/// Puts the KDC authority's revocation list where its certificates say it is.
fn publish_list(dc: &Host, pki: &Pki) -> Result<()> {
    dc.write_file("/srv/pki/kdc-ca.crl", pki.read("kdc-ca.crl")?, 0o644)?;
    dc.write_file("/srv/pki/kdc-ca.crt", pki.read("kdc-ca.crt")?, 0o644)
}

/// Copies the keys of the agent's account, and of its service name if it has one, to `server`.
pub(super) fn hand_over_keytab(dc: &Host, server: &Host) -> Result<()> {
    server.write_file(AGENT_KEYTAB, dc.read_file(KEYTAB)?, 0o600)
}

/// Makes the keytab anew from what the directory says now.
pub(super) fn export_keytab(dc: &Host) -> Result<()> {
    dc.command(&["rm", "-f", KEYTAB]).ok()?;
    for principal in [AGENT_ACCOUNT, AGENT_SERVICE] {
        let principal = format!("--principal={principal}");
        dc.command(&["samba-tool", "domain", "exportkeytab", KEYTAB, &principal])
            .ok()?;
    }
    Ok(())
}

/// Tells a host its name and those of the others.
pub(super) fn prepare_names(host: &Host) -> Result<()> {
    let name = &host.name;
    let hosts = format!(
        "127.0.0.1 localhost\n{} {} {name}\n",
        address(name)?,
        full_name(name)
    );
    host.write_file("/etc/hosts", hosts, 0o644)?;
    host.write_file("/etc/hostname", format!("{name}\n"), 0o644)?;
    let resolver = format!("search {DOMAIN}\nnameserver {}\n", address("dc")?);
    host.write_file("/etc/resolv.conf", resolver, 0o644)
}

/// Copies an overlay's upper folder with its owners, attributes and deletions.
fn copy_layer(from: &Path, to: &Path) -> Result<()> {
    let status = std::process::Command::new("cp")
        .arg("--archive")
        .args([from, to])
        .status()
        .context("cp")?;
    anyhow::ensure!(status.success(), "copying the provisioned domain: {status}");
    Ok(())
}

/// The client side of Kerberos that every host has.
pub(super) fn kerberos_configuration() -> &'static str {
    KERBEROS
}
