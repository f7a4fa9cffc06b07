//! `/etc/latchkey/device.toml`: where things are. Every key has a default; the file may be absent.

use std::{
    io,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use crate::{Error, key_storage::Choice, revocation::Lists, unasked::Joining};

/// Where the file is when the command line names no other.
pub const DEFAULT_PATH: &str = "/etc/latchkey/device.toml";

/// The daemon's configuration. A key that is not listed here is an error.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What keeps keys: `auto` is hardware where `tcti` is there, else software.
    pub tpm: Choice,
    /// The TPM, as for tpm2-tss.
    pub tcti: String,
    /// The program that keeps keys in software.
    pub swtpm: PathBuf,
    /// Does the machine join by itself, or does somebody have to ask for it?
    pub join: Joining,
    /// The Kerberos realm; none: that of the machine account in the keytab.
    pub realm: Option<String>,
    /// The domain controller to ask; none: the DNS tells.
    pub dc: Option<String>,
    /// KDCs by name or address for sign-ins; none: the DNS tells.
    pub kdcs: Vec<String>,
    /// What is done about revocation lists of the KDCs' authorities: `off`, `if-present`, `require`.
    pub crl: Lists,
    /// Addresses of such lists (`http://`), beside those in KDC certificates that were seen.
    pub crl_urls: Vec<String>,
    /// The keytab of the machine account.
    pub keytab: PathBuf,
    /// The system's Kerberos configuration, read after our own part.
    pub krb5_conf: PathBuf,
    /// The socket.
    pub socket: PathBuf,
    /// State of this device; root only.
    pub state: PathBuf,
    /// What login helpers must read: anchors and their Kerberos configuration.
    pub public: PathBuf,
    /// The login helper.
    pub login_helper: PathBuf,
    /// The PKCS#11 module that the login helper loads.
    pub module: PathBuf,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            tpm: Choice::Auto,
            tcti: "device:/dev/tpmrm0".to_owned(),
            swtpm: "/usr/bin/swtpm".into(),
            join: Joining::default(),
            realm: None,
            dc: None,
            kdcs: Vec::new(),
            crl: Lists::default(),
            crl_urls: Vec::new(),
            keytab: "/etc/krb5.keytab".into(),
            krb5_conf: "/etc/krb5.conf".into(),
            socket: ipc::SOCKET.into(),
            state: "/var/lib/latchkey".into(),
            public: "/run/latchkey/pki".into(),
            login_helper: "/usr/libexec/latchkey/latchkey-login-helper".into(),
            module: "/usr/lib/x86_64-linux-gnu/pkcs11/liblatchkey_pkcs11.so".into(),
        }
    }
}

impl Config {
    /// Reads the file at `path`; a missing file means the defaults.
    pub fn read(path: &Path) -> Result<Self, Error> {
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&text).map_err(|reason| Error::Config {
                path: path.to_owned(),
                reason,
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(Error::Config {
                path: path.to_owned(),
                reason: error.to_string(),
            }),
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_means_the_defaults() {
        assert_eq!(Config::parse("").unwrap().tcti, "device:/dev/tpmrm0");
    }

    #[test]
    fn an_unknown_key_is_an_error_that_names_it() {
        assert!(Config::parse("tcit = \"x\"").unwrap_err().contains("tcit"));
    }

    #[test]
    fn revocation_lists_are_used_as_the_file_says() {
        for (text, lists) in [
            ("", Lists::IfPresent),
            ("crl = \"require\"", Lists::Require),
            ("crl = \"if-present\"", Lists::IfPresent),
            ("crl = \"off\"", Lists::Off),
        ] {
            assert_eq!(Config::parse(text).unwrap().crl, lists);
        }
        assert!(Config::parse("crl = \"maybe\"").is_err());
    }

    #[test]
    fn who_joins_the_machine_is_one_of_two_words() {
        for (text, join) in [
            ("", Joining::Automatic),
            ("join = \"automatic\"", Joining::Automatic),
            ("join = \"manual\"", Joining::Manual),
        ] {
            assert_eq!(Config::parse(text).unwrap().join, join);
        }
        assert!(Config::parse("join = \"never\"").is_err());
    }

    #[test]
    fn what_keeps_keys_is_one_of_three_words() {
        for (text, choice) in [
            ("", Choice::Auto),
            ("tpm = \"auto\"", Choice::Auto),
            ("tpm = \"hardware\"", Choice::Hardware),
            ("tpm = \"software\"", Choice::Software),
        ] {
            assert_eq!(Config::parse(text).unwrap().tpm, choice);
        }
        assert!(Config::parse("tpm = \"none\"").is_err());
    }
}
