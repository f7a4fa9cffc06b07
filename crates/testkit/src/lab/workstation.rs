//! The Linux members of the domain: the server, and workstations with SSSD and a TPM.

use std::time::Duration;

use anyhow::Result;

use super::Lab;
use super::address::{DOMAIN, full_name};
use super::call::until_ok;
use super::domain::{kerberos_configuration, prepare_names};
use super::host::Host;
use super::pki::Pki;
use super::secrets::Secrets;

const SSSD: &str = include_str!("sssd.conf");
const TPM_PORT: u16 = 2321;
const TPM_CONTROL_PORT: u16 = TPM_PORT + 1;
const SECOND_TPM_PORT: u16 = 2331;

/// What every Linux member has: names, Kerberos, the TLS authority.
pub(super) fn prepare(host: &Host, pki: &Pki) -> Result<()> {
    prepare_names(host)?;
    host.write_file("/etc/krb5.conf", kerberos_configuration(), 0o644)?;
    host.write_file("/etc/latchkey/tls/ca.pem", pki.read("tls-ca.crt")?, 0o644)
}

/// The server's own: its TLS certificate with the authority behind it.
pub(super) fn prepare_server(host: &Host, pki: &Pki) -> Result<()> {
    prepare(host, pki)?;
    let chain = [pki.read("server.crt")?, pki.read("tls-ca.crt")?].concat();
    host.write_file("/etc/latchkey/tls/fullchain.pem", chain, 0o644)?;
    host.write_file("/etc/latchkey/tls/key.pem", pki.read("server.key")?, 0o600)
}

/// Joins a workstation to the domain and starts its TPM and SSSD; returns when people resolve.
pub(super) fn join(host: &Host, secrets: &Secrets) -> Result<()> {
    start_tpm(host)?;
    let server = format!("--domain-controller={}", full_name("dc"));
    let name = format!("--host-fqdn={}", full_name(&host.name));
    let words = [
        "adcli",
        "join",
        "--login-user=Administrator",
        "--stdin-password",
        &server,
        &name,
        DOMAIN,
    ];
    // A controller that is busy with others may be late with a name: then the join is begun anew.
    let deadline = Duration::from_secs(60);
    until_ok("the workstation to join", deadline, || {
        host.command(&words).stdin(secrets.administrator.as_str())
    })?;
    host.write_file("/etc/sssd/sssd.conf", SSSD, 0o600)?;
    host.command(&["pam-auth-update", "--enable", "mkhomedir"])
        .ok()?;
    start_sssd(host)
}

/// Starts SSSD and waits until it knows a person of the domain.
pub(super) fn start_sssd(host: &Host) -> Result<()> {
    host.command(&["sssd", "--interactive", "--logger=stderr"])
        .daemon("sssd")?;
    let deadline = Duration::from_secs(60);
    until_ok("SSSD to know alice", deadline, || {
        host.command(&["getent", "passwd", "alice"])
    })?;
    Ok(())
}

/// Starts the software TPM and waits until it answers. Its state survives [`stop_tpm`].
pub(super) fn start_tpm(host: &Host) -> Result<()> {
    run_tpm(host, "swtpm", TPM_PORT)
}

impl Lab {
    /// Starts another TPM on a workstation, of the same kind, for what must not share the first;
    /// returns its TCTI.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn start_second_tpm(&self, workstation: &str) -> Result<String> {
        run_tpm(&self.host(workstation)?, "swtpm2", SECOND_TPM_PORT)?;
        Ok(format!("swtpm:host=127.0.0.1,port={SECOND_TPM_PORT}"))
    }
}

/// Runs swtpm as the daemon `name`, its control channel on the port behind `port`.
fn run_tpm(host: &Host, name: &str, port: u16) -> Result<()> {
    let state = format!("/var/lib/{name}");
    host.command(&["mkdir", "-p", "-m", "700", &state]).ok()?;
    let control = port + 1;
    host.command(&[
        "swtpm",
        "socket",
        "--tpm2",
        "--tpmstate",
        &format!("dir={state}"),
        "--server",
        &format!("type=tcp,port={port},bindaddr=127.0.0.1"),
        "--ctrl",
        &format!("type=tcp,port={control},bindaddr=127.0.0.1"),
        "--flags",
        "not-need-init,startup-clear",
    ])
    .daemon(name)?;
    let control = format!("127.0.0.1:{control}");
    until_ok("the TPM to answer", Duration::from_secs(20), || {
        host.command(&["swtpm_ioctl", "--tcp", &control, "-g"])
    })?;
    Ok(())
}

/// Shuts the TPM down as an orderly machine does: without `TPM2_Shutdown` it would count the next
/// start against the dictionary-attack limit. It talks with one client at a time, so whoever
/// else holds it must have been stopped.
pub(super) fn stop_tpm(host: &Host) -> Result<()> {
    let tcti = format!("--tcti=swtpm:host=127.0.0.1,port={TPM_PORT}");
    host.command(&["tpm2_shutdown", &tcti])
        .within(Duration::from_secs(10))
        .ok()?;
    let control = format!("127.0.0.1:{TPM_CONTROL_PORT}");
    host.command(&["swtpm_ioctl", "--tcp", &control, "-s"])
        .ok()?;
    crate::wait::until("the TPM to end", Duration::from_secs(10), || {
        host.pid("swtpm").is_none()
    })?;
    host.stop("swtpm")
}
