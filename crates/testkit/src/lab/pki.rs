//! The lab's certificate authorities: one for KDCs, one for TLS, one that nobody trusts.
//!
//! They are three because the product must never mix them: a KDC trusts none that issues user or
//! device certificates, and a workstation trusts none but the first for a KDC. The first is
//! `latchkey pki`'s, as in a company without certificate services; the other two are nothing that
//! we make elsewhere, so OpenSSL's tool makes them. The authority for devices is the server's own.
//! Keys stay in the lab's folder, readable by root alone, and end with the lab.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use serde::Deserialize;

use super::address::{DOMAIN, full_name};
use super::base::private_folder;
use super::install::program;

/// Where a domain controller's certificate says its revocation list is.
pub const CRL_URL: &str = "http://dc.corp.latchkey.test/kdc-ca.crl";

/// The names that a KDC certificate carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KdcCertificate {
    /// As Windows issues it: the host and the domain as dNSName, no name of the realm.
    DnsNames,
    /// With id-pkinit-san `krbtgt/REALM` besides (RFC 4556 3.2.4).
    PkinitName,
    /// As [`KdcCertificate::DnsNames`], but from the authority that nobody trusts.
    WrongAuthority,
    /// As [`KdcCertificate::DnsNames`], but on the authority's revocation list.
    Revoked,
}

impl KdcCertificate {
    /// The stem of its files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::DnsNames => "kdc-dns",
            Self::PkinitName => "kdc-pkinit",
            Self::WrongAuthority => "kdc-wrong",
            Self::Revoked => "kdc-revoked",
        }
    }
}

/// The folder of all three authorities.
#[derive(Debug, Clone)]
pub struct Pki {
    folder: PathBuf,
}

impl Pki {
    pub(super) fn at(lab: &Path) -> Self {
        Self {
            folder: lab.join("pki"),
        }
    }

    /// Makes the authorities, the certificates of the lab's hosts and the revocation list.
    pub(super) fn make(lab: &Path) -> Result<Self> {
        let pki = Self::at(lab);
        private_folder(&pki.folder)?;
        fs::write(pki.path("openssl.cnf"), CONFIGURATION)?;
        pki.kdc_authority()?;
        for (authority, name) in [("tls-ca", "Lab TLS CA"), ("wrong-ca", "Lab Wrong CA")] {
            pki.authority(authority, name)?;
        }
        let dc = full_name("dc");
        let wrong = KdcCertificate::WrongAuthority.name();
        let names = format!("DNS:{dc},DNS:{DOMAIN}");
        pki.issue("wrong-ca", wrong, &dc, "kdc", &names)?;
        let server = full_name("server");
        pki.issue("tls-ca", "server", &server, "tls", &format!("DNS:{server}"))?;
        Ok(pki)
    }

    /// Where a file of the authorities lies, such as `kdc-ca.crt`.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A file of the authorities, such as `kdc-ca.crt` or `kdc-dns.key`.
    ///
    /// # Errors
    /// When there is no such file.
    pub fn read(&self, name: &str) -> Result<Vec<u8>> {
        fs::read(self.path(name)).with_context(|| format!("the lab's {name}"))
    }

    /// A certificate in DER.
    ///
    /// # Errors
    /// When there is no such certificate.
    pub fn der(&self, name: &str) -> Result<Vec<u8>> {
        let file = format!("{name}.crt");
        let mut command = self.openssl(&["x509", "-in", &file, "-outform", "DER"]);
        Ok(command.output().context("openssl")?.stdout)
    }

    /// The authority of KDCs, what it issues, and its list with one certificate revoked.
    fn kdc_authority(&self) -> Result<()> {
        let home = self.path("kdc");
        let pki = |words: &[&str]| self.latchkey(words);
        pki(&["init", "--name", "Lab KDC CA", "--crl-url", CRL_URL])?;
        let dc = full_name("dc");
        for (kind, more) in [
            (KdcCertificate::DnsNames, &[][..]),
            (KdcCertificate::PkinitName, &["--kdc-san"]),
            (KdcCertificate::Revoked, &[]),
        ] {
            let said = pki(&[&["issue-dc", &dc, "--days", "30"], more].concat())?;
            let issued: Issued = serde_json::from_str(&said).context("latchkey pki issue-dc")?;
            let stem = kind.name();
            fs::rename(issued.certificate, self.path(&format!("{stem}.crt")))?;
            fs::rename(issued.key, self.path(&format!("{stem}.key")))?;
            if kind == KdcCertificate::Revoked {
                pki(&["crl", "revoke", &issued.serial])?;
            }
        }
        for (file, stem) in [("ca.crt", "kdc-ca.crt"), ("ca.crl", "kdc-ca.crl")] {
            fs::copy(home.join(file), self.path(stem)).context(stem)?;
        }
        Ok(())
    }

    /// A certificate and key, as [`KdcCertificate::DnsNames`], for another domain controller.
    pub(super) fn kdc(&self, host: &str) -> Result<(Vec<u8>, Vec<u8>)> {
        let said = self.latchkey(&["issue-dc", &full_name(host), "--days", "30"])?;
        let issued: Issued = serde_json::from_str(&said).context("latchkey pki issue-dc")?;
        Ok((fs::read(issued.certificate)?, fs::read(issued.key)?))
    }

    fn latchkey(&self, words: &[&str]) -> Result<String> {
        let mut command = Command::new(program("latchkey")?);
        command
            .args(["--json", "pki", "--dir"])
            .arg(self.path("kdc"));
        command.args(words).stdin(Stdio::null());
        run(command)
    }

    fn authority(&self, stem: &str, name: &str) -> Result<()> {
        let (key, certificate) = (format!("{stem}.key"), format!("{stem}.crt"));
        run(self.openssl(&[
            "req",
            "-config",
            "openssl.cnf",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-sha256",
            "-days",
            "30",
            "-extensions",
            "authority",
            "-subj",
            &format!("/O=Latchkey/CN={name}"),
            "-keyout",
            &key,
            "-out",
            &certificate,
        ]))
        .map(drop)
    }

    fn issue(&self, ca: &str, stem: &str, name: &str, kind: &str, names: &str) -> Result<()> {
        let (key, request) = (format!("{stem}.key"), format!("{stem}.csr"));
        run(self.openssl(&[
            "req",
            "-config",
            "openssl.cnf",
            "-new",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-sha256",
            "-subj",
            &format!("/CN={name}"),
            "-keyout",
            &key,
            "-out",
            &request,
        ]))?;
        let (ca_certificate, ca_key) = (format!("{ca}.crt"), format!("{ca}.key"));
        let certificate = format!("{stem}.crt");
        let mut command = self.openssl(&[
            "x509",
            "-req",
            "-sha256",
            "-days",
            "30",
            "-in",
            &request,
            "-CA",
            &ca_certificate,
            "-CAkey",
            &ca_key,
            "-CAcreateserial",
            "-extfile",
            "openssl.cnf",
            "-extensions",
            kind,
            "-out",
            &certificate,
        ]);
        command.env("NAMES", names);
        run(command).map(drop)
    }

    fn openssl(&self, words: &[&str]) -> Command {
        let mut command = Command::new("openssl");
        command
            .args(words)
            .current_dir(&self.folder)
            .stdin(Stdio::null());
        // The configuration reads it even for commands that do not use it.
        command.env("NAMES", "DNS:unused");
        command
    }
}

/// What `latchkey pki issue-dc` answers.
#[derive(Deserialize)]
struct Issued {
    serial: String,
    certificate: PathBuf,
    key: PathBuf,
}

/// Runs it and answers what it says.
fn run(mut command: Command) -> Result<String> {
    let program = command.get_program().to_owned();
    let answer = command
        .output()
        .with_context(|| program.display().to_string())?;
    if !answer.status.success() {
        bail!(
            "{command:?}: {}",
            String::from_utf8_lossy(&answer.stderr).trim()
        );
    }
    Ok(String::from_utf8(answer.stdout)?)
}

const CONFIGURATION: &str = include_str!("openssl.cnf");
