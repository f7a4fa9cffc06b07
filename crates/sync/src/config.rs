//! `/etc/latchkey/sync.toml`: what the agent may do, which no server can widen.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use serde::Deserialize;

use crate::scope::{Dn, Scope};

/// Where the configuration is.
pub const PATH: &str = "/etc/latchkey/sync.toml";

/// The configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// The server; the agent is enrolled with one, and this one must be it.
    pub server: Option<String>,
    /// A domain controller by DNS name; none: DNS tells.
    pub dc: Option<String>,
    /// In capitals.
    pub realm: String,
    /// sAMAccountName of the agent's account.
    pub account: String,
    /// The agent's service principal, `latchkey-sync/host`.
    pub principal: String,
    /// The keytab with the keys of both.
    pub keytab: PathBuf,
    /// The folder of the agent's state.
    pub state: PathBuf,
    /// The folder of what lives as long as the machine runs: the control socket, the metrics.
    pub runtime: PathBuf,
    /// It imports and compares, and changes nothing.
    pub staging: bool,
    /// Keys that come without a device's signature and a user's ticket.
    pub allow_foreign_keys: bool,
    /// Whose keys, and which users are imported.
    pub scope: Scope,
    /// How much at most.
    pub limits: Limits,
    /// Whether keys that others took out are written again.
    pub reassert: Reassert,
}

/// What becomes of a key that somebody else took out of the directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reassert {
    /// It counts as revoked.
    #[default]
    Never,
    /// It is written again where the domain controller is of a release that is known to take keys
    /// out by itself.
    Auto,
}

/// Caps that hold whatever the server says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Keys written per hour.
    pub additions_per_hour: usize,
    /// Keys taken out per hour; more wait, and with none allowed they are refused.
    pub removals_per_hour: usize,
    /// Keys of one user, those of others included.
    pub per_user_keys: usize,
    /// Passwords checked per hour, of all users together; beyond it the agent says that no domain
    /// controller can be asked.
    pub password_checks_per_hour: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            additions_per_hour: 500,
            removals_per_hour: 500,
            per_user_keys: 20,
            password_checks_per_hour: 2000,
        }
    }
}

/// The file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    server: Option<String>,
    dc: Option<String>,
    realm: String,
    account: String,
    principal: String,
    keytab: PathBuf,
    #[serde(default = "default_state")]
    state: PathBuf,
    #[serde(default = "default_runtime")]
    runtime: PathBuf,
    #[serde(default)]
    staging: bool,
    #[serde(default)]
    allow_foreign_keys: bool,
    scope: RawScope,
    #[serde(default)]
    limits: Limits,
    #[serde(default)]
    reassert: Reassert,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawScope {
    ous: Vec<String>,
    #[serde(default)]
    groups: Vec<String>,
}

fn default_state() -> PathBuf {
    PathBuf::from("/var/lib/latchkey-sync")
}

fn default_runtime() -> PathBuf {
    PathBuf::from("/run/latchkey-sync")
}

impl Config {
    /// Reads the file.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| {
            format!(
                "cannot read {}, which `latchkey-sync init` writes",
                path.display()
            )
        })?;
        Self::parse(&text).with_context(|| format!("{} is not right", path.display()))
    }

    /// Reads its text.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let raw: Raw = toml::from_str(text)?;
        ensure!(
            !raw.scope.ous.is_empty(),
            "scope.ous names no organizational unit"
        );
        ensure!(
            raw.realm == raw.realm.to_ascii_uppercase() && !raw.realm.is_empty(),
            "realm must be in capitals"
        );
        ensure!(
            raw.principal.starts_with("latchkey-sync/") && !raw.principal.contains('@'),
            "principal must be latchkey-sync/host, without a realm"
        );
        ensure!(
            !raw.account.contains(['@', '\\']),
            "account must be a bare sAMAccountName"
        );
        let names = |key: &str, names: &[String]| -> anyhow::Result<Vec<Dn>> {
            let wrong = |name| format!("scope.{key}: {name} is not a distinguished name");
            let names = names.iter();
            let read = names.map(|name| Dn::parse(name).with_context(|| wrong(name)));
            read.collect()
        };
        let (ous, groups) = (
            names("ous", &raw.scope.ous)?,
            names("groups", &raw.scope.groups)?,
        );
        Ok(Self {
            scope: Scope::new(ous, groups),
            server: raw.server.map(|url| url.trim_end_matches('/').to_owned()),
            dc: raw.dc,
            realm: raw.realm,
            account: raw.account,
            principal: raw.principal,
            keytab: raw.keytab,
            state: raw.state,
            runtime: raw.runtime,
            staging: raw.staging,
            allow_foreign_keys: raw.allow_foreign_keys,
            limits: raw.limits,
            reassert: raw.reassert,
        })
    }

    /// The agent's account as a Kerberos principal.
    pub fn account_principal(&self) -> String {
        format!("{}@{}", self.account, self.realm)
    }

    /// The agent's service as a Kerberos principal.
    pub fn service_principal(&self) -> String {
        format!("{}@{}", self.principal, self.realm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        realm = "CORP.TEST"
        account = "svc"
        principal = "latchkey-sync/host.corp.test"
        keytab = "/etc/latchkey/sync.keytab"
        [scope]
        ous = ["OU=Staff,DC=corp,DC=test"]
    "#;

    #[test]
    fn a_short_file_is_enough() {
        let config = Config::parse(GOOD).unwrap();
        assert_eq!(
            config.service_principal(),
            "latchkey-sync/host.corp.test@CORP.TEST"
        );
        assert!(!config.allow_foreign_keys);
        assert_eq!(config.limits, Limits::default());
    }

    #[test]
    fn what_would_be_misread_is_refused() {
        for (from, to) in [
            ("realm", "relm"),
            ("ous", "ou"),
            ("[scope]", "[scope]\ngroups = [\"Staff\"]"),
            ("CORP.TEST\"", "corp.test\""),
            ("latchkey-sync/", "host/"),
            ("\"svc\"", "\"svc@CORP.TEST\""),
            ("[\"OU=Staff,DC=corp,DC=test\"]", "[]"),
            ("OU=Staff", "Staff"),
        ] {
            assert!(
                Config::parse(&GOOD.replace(from, to)).is_err(),
                "{from} → {to}"
            );
        }
    }
}
