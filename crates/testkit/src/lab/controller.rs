//! Further domain controllers of a lab: `dc2`, which is written to, and `rodc`, which is not.
//!
//! They join the lab's own domain over the network, as an administrator would make them, and start
//! from the same base as the first. Their account is of this lab alone, so nothing of them is kept.
//! The records by which clients find them are put into the first one's database at once: Samba would
//! add them one program run each.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::json;

use super::address::{BASE_DN, DOMAIN, NETBIOS, PREFIX, Role, address, full_name, number, role};
use super::base;
use super::domain::{self, kerberos_configuration};
use super::host::Host;
use super::supervisor::First;
use super::{Lab, write_state};

const RECORDS: &str = include_str!("records.py");
const AUTHORIZED: &str = "/root/administrator";
/// Arguments: DNS domain, the kind of controller, the one to join at.
const JOIN: &str = r#"rm -f /etc/samba/smb.conf
exec samba-tool domain join "$1" "$2" --authentication-file=/root/administrator --server="$3" \
    --dns-backend=SAMBA_INTERNAL --option='ad dc functional level = 2016' \
    --option='log level = 3' --option='log file = /var/log/samba/samba.log' \
    --option='max log size = 0'"#;
/// The site of a domain that knows no other.
const SITE: &str = "Default-First-Site-Name";
const PATIENCE: Duration = Duration::from_secs(180);

impl Lab {
    /// Adds the domain controller `dc2`, or the read-only `rodc`, or finds it. Every host of the lab
    /// asks `dc2` too from then on, after `dc`.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn add_controller(&mut self, name: &str) -> Result<Host> {
        if let Ok(host) = self.host(name) {
            return Ok(host);
        }
        if role(name)? != Role::DomainController {
            bail!("{name} is no domain controller");
        }
        let writable = name != "rodc";
        let base = base::prepare(&base::DOMAIN_CONTROLLER, |_| {})?;
        let host = self.start_host(name, &[&base.folder], First::Shell)?;
        domain::prepare_names(&host)?;
        self.join_controller(&host, writable)?;
        self.announce(name, writable)?;
        if writable {
            for host in self.hosts() {
                ask_both(&host)?;
            }
        }
        domain::start_samba(&host)?;
        if writable {
            // The first one is told to fetch from the new one, and does so once.
            self.drs(&["kcc", &full_name("dc")])?;
            self.replicate(name, "dc")?;
        }
        write_state(self)?;
        Ok(host)
    }

    /// Starts the Samba of a domain controller again; returns when directory and KDC answer.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start_samba(&self, controller: &str) -> Result<()> {
        domain::start_samba(&self.host(controller)?)
    }

    /// Brings every change of domain and configuration that `from` has to `to`; returns when it is
    /// there.
    ///
    /// # Errors
    /// When one of them does not answer.
    pub fn replicate(&self, from: &str, to: &str) -> Result<()> {
        let (to, from) = (full_name(to), full_name(from));
        for context in [BASE_DN, &format!("CN=Configuration,{BASE_DN}")] {
            self.drs(&["replicate", &to, &from, context])?;
        }
        Ok(())
    }

    fn drs(&self, words: &[&str]) -> Result<()> {
        let dc = self.host("dc")?;
        self.authorize(&dc)?;
        let authorized = format!("--authentication-file={AUTHORIZED}");
        let call = [&["samba-tool", "drs"], words, &[&authorized]].concat();
        super::until_ok("replication", Duration::from_secs(60), || dc.command(&call)).map(drop)
    }

    fn join_controller(&self, host: &Host, writable: bool) -> Result<()> {
        self.authorize(host)?;
        let kind = if writable { "DC" } else { "RODC" };
        let words = ["sh", "-c", JOIN, "sh", DOMAIN, kind, &full_name("dc")];
        host.command(&words).within(PATIENCE).ok()?;
        let (certificate, key) = self.pki().kdc(&host.name)?;
        domain::put_kdc(host, &self.pki().read("kdc-ca.crt")?)?;
        domain::put_identity(host, &certificate, &key)
    }

    /// The Administrator's name and password, where Samba's programs read them.
    fn authorize(&self, host: &Host) -> Result<()> {
        let words = format!(
            "username = Administrator\npassword = {}\ndomain = {NETBIOS}\n",
            self.administrator_password()
        );
        host.write_file(AUTHORIZED, words, 0o600)
    }

    /// A read-only controller is found by its site alone.
    fn announce(&self, name: &str, writable: bool) -> Result<()> {
        let plan = json!({
            "zone": DOMAIN,
            "host": name,
            "site": SITE,
            "number": number(name)?,
            "reverse": PREFIX.trim_end_matches('.').rsplit('.').collect::<Vec<_>>().join("."),
            "everywhere": writable,
        });
        let call = self.host("dc")?;
        let call = call.command(&["python3", "-c", RECORDS]);
        call.stdin(plan.to_string()).ok().map(drop)
    }
}

/// A member asks the second controller where the first is silent.
fn ask_both(host: &Host) -> Result<()> {
    if role(&host.name)? == Role::DomainController {
        return Ok(());
    }
    let mut resolver = format!("search {DOMAIN}\noptions timeout:1 attempts:2\n");
    for name in ["dc", "dc2"] {
        resolver.push_str(&format!("nameserver {}\n", address(name)?));
    }
    host.write_file("/etc/resolv.conf", resolver, 0o644)?;
    let first = format!("kdc = {}\n", full_name("dc"));
    let (before, after) = kerberos_configuration()
        .split_once(&first)
        .context("krb5.conf names no KDC")?;
    let both = format!("{before}{first}        kdc = {}\n{after}", full_name("dc2"));
    host.write_file("/etc/krb5.conf", both, 0o644)
}
