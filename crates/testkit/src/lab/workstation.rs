//! The Linux members of the domain: the server, and workstations with SSSD and a TPM.

use std::time::Duration;

use anyhow::Result;

use super::address::{DOMAIN, full_name};
use super::call::until_ok;
use super::domain::{kerberos_configuration, prepare_names};
use super::host::Host;
use super::pki::Pki;
use super::secrets::Secrets;

const SSSD: &str = include_str!("sssd.conf");
const TPM_PORT: u16 = 2321;
const TPM_CONTROL_PORT: u16 = 2322;

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
    host.command(&[
        "adcli",
        "join",
        "--login-user=Administrator",
        "--stdin-password",
        &server,
        &name,
        DOMAIN,
    ])
    .stdin(secrets.administrator.as_str())
    .ok()?;
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
    let state = "/var/lib/swtpm";
    host.command(&["mkdir", "-p", "-m", "700", state]).ok()?;
    let server = format!("type=tcp,port={TPM_PORT},bindaddr=127.0.0.1");
    let control = format!("type=tcp,port={TPM_CONTROL_PORT},bindaddr=127.0.0.1");
    let folder = format!("dir={state}");
    host.command(&[
        "swtpm",
        "socket",
        "--tpm2",
        "--tpmstate",
        &folder,
        "--server",
        &server,
        "--ctrl",
        &control,
        "--flags",
        "not-need-init,startup-clear",
    ])
    .daemon("swtpm")?;
    let control = format!("127.0.0.1:{TPM_CONTROL_PORT}");
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
