//! The part of a Kerberos profile that a login by key needs.

use std::fmt::Write;

use crate::Error;

/// What a login must know of a realm. A program writes [`Profile::render`] to a file of root's
/// and names it first in `KRB5_CONFIG`, before the system's own: the first file wins.
///
/// Certificate revocation lists and the KDC's host names can be given to libkrb5 in no other way;
/// anchors and identity go with each call ([`crate::PkinitRequest`]).
#[derive(Debug, Clone, Default)]
pub struct Profile {
    /// In capitals.
    pub realm: String,
    /// KDCs by address or name; none: the DNS tells.
    pub kdcs: Vec<String>,
    /// Names that a KDC certificate may carry as dNSName where it has no KDC principal name.
    pub kdc_hostnames: Vec<String>,
    /// Revocation lists, PEM files.
    pub crl_files: Vec<String>,
    /// Refuse a KDC whose certificate no list covers.
    pub require_crl: bool,
    /// Take a KDC certificate that is made for servers, not only one made for KDCs.
    pub server_purpose_is_enough: bool,
}

impl Profile {
    /// The text of the file.
    pub fn render(&self) -> Result<String, Error> {
        let values = [&self.kdcs, &self.kdc_hostnames, &self.crl_files]
            .into_iter()
            .flatten();
        if !std::iter::once(&self.realm)
            .chain(values)
            .all(|value| is_plain(value))
        {
            return Err(Error::unfit("a value of the Kerberos profile"));
        }
        let mut text = String::new();
        self.write(&mut text)
            .map_err(|_| Error::unfit("the Kerberos profile"))?;
        Ok(text)
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        let Self {
            realm,
            kdcs,
            kdc_hostnames,
            crl_files,
            require_crl,
            server_purpose_is_enough,
        } = self;
        let purpose = if *server_purpose_is_enough {
            "kpServerAuth"
        } else {
            "kpKDC"
        };
        // A PKINIT request does not fit a datagram, and a reverse lookup is nobody's proof.
        writeln!(text, "[libdefaults]")?;
        writeln!(text, "    default_realm = {realm}")?;
        writeln!(text, "    dns_lookup_kdc = {}", kdcs.is_empty())?;
        writeln!(text, "    udp_preference_limit = 1")?;
        writeln!(text, "    rdns = false")?;
        writeln!(text, "[realms]")?;
        writeln!(text, "    {realm} = {{")?;
        for kdc in kdcs {
            writeln!(text, "        kdc = {kdc}")?;
        }
        for name in kdc_hostnames {
            writeln!(text, "        pkinit_kdc_hostname = {name}")?;
        }
        for file in crl_files {
            writeln!(text, "        pkinit_revoke = FILE:{file}")?;
        }
        writeln!(text, "        pkinit_require_crl_checking = {require_crl}")?;
        writeln!(text, "        pkinit_eku_checking = {purpose}")?;
        writeln!(text, "        pkinit_dh_min_bits = 2048")?;
        writeln!(text, "        disable_encrypted_timestamp = true")?;
        writeln!(text, "    }}")
    }
}

/// The profile has no quoting that every release reads alike: values that would need it are refused.
fn is_plain(value: &str) -> bool {
    !value.is_empty()
        && value
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !b"{}\"#;*=".contains(&byte))
}
