//! A domain controller whose certificate was revoked, and the lists that say so.

use std::time::Duration;

use anyhow::{Result, ensure};
use testkit::company::{Company, refused, text};
use testkit::lab::{CRL_URL, KdcCertificate};
use testkit::wait::until;

use crate::company;

const PIN: &str = "161803398874";
const DEVICE: &str = "/etc/latchkey/device.toml";

/// Starts the daemon anew with these lines in its configuration, and waits until it has published
/// what its helpers read, with or without a list.
fn restarted(company: &Company, toml: &str, with_list: bool) -> Result<()> {
    let host = company.workstation()?;
    host.stop("latchkeyd")?;
    host.write_file(DEVICE, toml, 0o600)?;
    host.sh("rm -rf /run/latchkey/pki/crl")?;
    company.run_daemon()?;
    until("the helpers' profile", Duration::from_secs(30), || {
        let profile = host.read_text("/run/latchkey/pki/krb5.conf");
        profile.is_ok_and(|profile| profile.contains("pkinit_revoke") == with_list)
    })
}

#[test]
fn a_kdc_whose_certificate_is_on_its_authority_s_list_is_refused() -> Result<()> {
    let (_turn, company) = company();
    company.forget_everyone()?;
    company.enrolled("alice", PIN)?;
    let host = company.workstation()?;
    let before = host.read_text(DEVICE)?;
    let outcome = (|| {
        // The address comes out of the certificate that was seen at a sign-in.
        company.sign_in("alice", PIN)?.ok()?;
        restarted(company, &before, true)?;
        company.sign_in("alice", PIN)?.ok()?;
        company.lab.use_kdc_certificate(KdcCertificate::Revoked)?;
        let answer = refused(&company.sign_in("alice", PIN)?)?;
        ensure!(text(&answer, "code")? == "kdc_not_trusted", "{answer}");

        // Nobody looks.
        restarted(company, &format!("{before}crl = \"off\"\n"), false)?;
        company.sign_in("alice", PIN)?.ok()?;
        company.lab.use_kdc_certificate(KdcCertificate::DnsNames)?;

        // Where a list is demanded, none is a refusal, and a list that is named is enough.
        let demanded = format!("{before}crl = \"require\"\n");
        host.sh("rm -f /var/lib/latchkey/kdcs.json")?;
        restarted(company, &demanded, false)?;
        let answer = refused(&company.sign_in("alice", PIN)?)?;
        ensure!(text(&answer, "code")? == "kdc_not_trusted", "{answer}");
        let named = format!("{demanded}crl_urls = [\"{CRL_URL}\"]\n");
        restarted(company, &named, true)?;
        company.sign_in("alice", PIN)?.ok()?;
        Ok(())
    })();
    company.lab.use_kdc_certificate(KdcCertificate::DnsNames)?;
    host.stop("latchkeyd")?;
    host.write_file(DEVICE, before, 0o600)?;
    company.run_daemon()?;
    outcome?;
    company.forget_everyone()
}
