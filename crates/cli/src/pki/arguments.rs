//! What can be typed after `latchkey pki`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// The authority for the certificates of domain controllers.
#[derive(Args)]
pub(crate) struct Pki {
    /// The authority's folder.
    #[arg(long, default_value = "/var/lib/latchkey-pki", global = true)]
    pub(crate) dir: PathBuf,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Make an authority for domain controllers' certificates, for a domain that has none.
    Init(Init),
    /// Issue the certificate that a domain controller's KDC shows.
    IssueDc(Box<IssueDc>),
    /// The revocation list.
    #[command(subcommand)]
    Crl(Crl),
    /// List the certificates that were issued.
    List,
    /// Make the forest trust the authority (Enterprise Admin's ticket).
    Trust(Where),
    /// Judge what every domain controller shows, rule by rule.
    Check(Check),
}

#[derive(Args)]
pub(crate) struct Init {
    /// The authority's name: letters, digits, spaces, dots and hyphens.
    #[arg(long, value_parser = authority_name)]
    pub(crate) name: String,
    /// Where everybody can get the revocation list: an http address.
    #[arg(long, value_parser = list_address)]
    pub(crate) crl_url: String,
    /// A file that a web server serves at that address; the list is copied there.
    #[arg(long)]
    pub(crate) publish: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct IssueDc {
    /// The domain controller's full DNS name.
    #[arg(value_parser = host_name)]
    pub(crate) host: String,
    /// The domain's DNS name; the host's without its first part if not given.
    #[arg(long, value_parser = host_name)]
    pub(crate) domain: Option<String>,
    /// The domain's NetBIOS name; the domain's first part in capitals if not given.
    #[arg(long, value_parser = label)]
    pub(crate) netbios: Option<String>,
    /// Name the realm's ticket service too (id-pkinit-san), for clients that look for it.
    #[arg(long)]
    pub(crate) kdc_san: bool,
    /// How long the certificate is valid.
    #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=1825))]
    pub(crate) days: u32,
    /// A request (PKCS#10, PEM) that was made where the key is; without it the key is made here.
    #[arg(long, conflicts_with = "install")]
    pub(crate) csr: Option<PathBuf>,
    /// Put certificate and key into the KDC of Samba on this machine.
    #[arg(long)]
    pub(crate) install: bool,
    /// Samba's private folder.
    #[arg(long, default_value = "/var/lib/samba/private")]
    pub(crate) samba_private: PathBuf,
    /// The Kerberos configuration that Samba's KDC reads.
    #[arg(long, default_value = "/etc/krb5.conf")]
    pub(crate) krb5_conf: PathBuf,
    /// Write units for systemd that renew certificate and revocation list.
    #[arg(long, requires = "install")]
    pub(crate) timer: bool,
    /// Do nothing while the installed certificate has a third of its life before it.
    #[arg(long, requires = "install")]
    pub(crate) if_due: bool,
    /// The unit to restart after a new certificate was installed.
    #[arg(long, requires = "install", value_parser = unit)]
    pub(crate) restart: Option<String>,
}

#[derive(Subcommand)]
pub(crate) enum Crl {
    /// Make the next revocation list.
    Renew,
    /// Revoke a certificate.
    Revoke {
        /// Its serial number, as `pki list` shows it.
        serial: String,
    },
}

/// Which domain.
#[derive(Args)]
pub(crate) struct Where {
    /// The Kerberos realm; the one that this machine's Kerberos configuration names if not given.
    #[arg(long)]
    pub(crate) realm: Option<String>,
    /// The domain controller to ask; the best that DNS names if not given.
    #[arg(long)]
    pub(crate) server: Option<String>,
}

#[derive(Args)]
pub(crate) struct Check {
    #[command(flatten)]
    pub(crate) domain: Where,
    /// The certificate of a domain controller that is elsewhere (PEM or DER); may be repeated.
    #[arg(long)]
    pub(crate) certificate: Vec<PathBuf>,
    /// The Kerberos configuration that tells what the KDC of this machine shows.
    #[arg(long, default_value = "/etc/krb5.conf")]
    pub(crate) krb5_conf: PathBuf,
}

/// What a common name and a name in a DN hold without being escaped.
fn authority_name(text: &str) -> Result<String, &'static str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || " .-".contains(c);
    let trimmed = text.trim() == text && !text.is_empty() && text.len() <= 64;
    if trimmed && text.chars().all(plain) {
        return Ok(text.to_owned());
    }
    Err("1 to 64 letters, digits, spaces, dots and hyphens")
}

/// RFC 5280 4.2.1.13 leaves the scheme open; whoever checks has no ticket and no anchor yet.
fn list_address(text: &str) -> Result<String, &'static str> {
    let ours = text
        .strip_prefix("http://")
        .is_some_and(|rest| rest.contains('/') && !rest.starts_with('/'));
    if ours && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(text.to_owned());
    }
    Err("an address that begins with http:// and names a file")
}

fn host_name(text: &str) -> Result<String, &'static str> {
    let labels = text.split('.').count();
    if labels >= 2 && text.len() <= 253 && text.split('.').all(is_label) {
        return Ok(text.to_ascii_lowercase());
    }
    Err("a full DNS name")
}

fn label(text: &str) -> Result<String, &'static str> {
    if is_label(text) && text.len() <= 15 {
        return Ok(text.to_ascii_uppercase());
    }
    Err("1 to 15 letters, digits and hyphens")
}

fn is_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (1..=63).contains(&text.len()) && text.bytes().all(inner) && !text.starts_with('-')
}

fn unit(text: &str) -> Result<String, &'static str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "@._-".contains(c);
    if !text.is_empty() && !text.starts_with('-') && text.chars().all(plain) {
        return Ok(text.to_owned());
    }
    Err("the name of a unit")
}
