//! The lab's certificate authorities: one for KDCs, one for TLS, one that nobody trusts.
//!
//! They are three because the product must never mix them: a KDC trusts none that issues user or
//! device certificates, and a workstation trusts none but the first for a KDC. The authority for
//! devices is the server's own and is not made here. Keys stay in the lab's folder, readable by
//! root alone, and end with the lab.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::address::{DOMAIN, REALM, full_name};
use super::base::private_folder;

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
    const ALL: [Self; 4] = [
        Self::DnsNames,
        Self::PkinitName,
        Self::WrongAuthority,
        Self::Revoked,
    ];

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
        fs::write(
            pki.path("openssl.cnf"),
            CONFIGURATION.replace("CRL_URL", CRL_URL),
        )?;
        for (authority, name) in [
            ("kdc-ca", "Lab KDC CA"),
            ("tls-ca", "Lab TLS CA"),
            ("wrong-ca", "Lab Wrong CA"),
        ] {
            pki.authority(authority, name)?;
        }
        let dc = full_name("dc");
        let names = format!("DNS:{dc},DNS:{DOMAIN}");
        let [dns, pkinit, wrong, revoked] = KdcCertificate::ALL.map(KdcCertificate::name);
        pki.issue("kdc-ca", dns, &dc, "kdc", &names)?;
        pki.issue(
            "kdc-ca",
            pkinit,
            &dc,
            "kdc",
            &format!("{names},otherName:{PKINIT_NAME}"),
        )?;
        pki.issue("wrong-ca", wrong, &dc, "kdc", &names)?;
        pki.issue("kdc-ca", revoked, &dc, "kdc", &names)?;
        pki.revoke(revoked)?;
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

    /// Puts one certificate of the KDC authority on the list that its certificates point to.
    fn revoke(&self, name: &str) -> Result<()> {
        let file = format!("{name}.crt");
        run(self.openssl(&["ca", "-config", "openssl.cnf", "-revoke", &file]))?;
        self.renew_list()
    }

    fn renew_list(&self) -> Result<()> {
        run(self.openssl(&[
            "ca",
            "-config",
            "openssl.cnf",
            "-gencrl",
            "-out",
            "kdc-ca.crl.pem",
        ]))?;
        let words = [
            "crl",
            "-in",
            "kdc-ca.crl.pem",
            "-outform",
            "DER",
            "-out",
            "kdc-ca.crl",
        ];
        run(self.openssl(&words))
    }

    fn authority(&self, stem: &str, name: &str) -> Result<()> {
        let (key, certificate) = (format!("{stem}.key"), format!("{stem}.crt"));
        fs::write(self.path(&format!("{stem}.index")), "")?;
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
        command.env("NAMES", names).env("LAB_REALM", REALM);
        run(command)
    }

    fn openssl(&self, words: &[&str]) -> Command {
        let mut command = Command::new("openssl");
        command
            .args(words)
            .current_dir(&self.folder)
            .stdin(Stdio::null());
        // The configuration reads these even for commands that do not use them.
        command.env("NAMES", "DNS:unused").env("LAB_REALM", REALM);
        command
    }
}

fn run(mut command: Command) -> Result<()> {
    let answer = command.output().context("openssl")?;
    if !answer.status.success() {
        bail!(
            "{command:?}: {}",
            String::from_utf8_lossy(&answer.stderr).trim()
        );
    }
    Ok(())
}

/// id-pkinit-san, with its value in the section `pkinit_name` of the configuration.
const PKINIT_NAME: &str = "1.3.6.1.5.2.2;SEQUENCE:pkinit_name";

const CONFIGURATION: &str = include_str!("openssl.cnf");
