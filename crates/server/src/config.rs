//! The configuration file: what `init` writes and `run` reads. Unknown keys are errors.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};

/// Where `init` writes it.
pub(crate) const PATH: &str = "/etc/latchkey/server.toml";

/// Where the administrator's socket is unless the file says otherwise.
const ADMIN_SOCKET: &str = "/run/latchkey-server/admin.sock";

/// The configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `https://host[:port]`, as devices and agents reach it.
    pub url: String,
    /// Where it listens.
    pub listen: SocketAddr,
    /// The folder with the store.
    pub data: PathBuf,
    /// The master key's file; `master.key` in `data` unless it is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub master_key: Option<PathBuf>,
    /// The TLS certificate in PEM, its chain after it.
    pub tls_cert: PathBuf,
    /// Its key in PEM.
    pub tls_key: PathBuf,
    /// The administrator's socket.
    #[serde(default = "admin_socket")]
    pub admin_socket: PathBuf,
    /// The log as JSON, one object per line.
    #[serde(default)]
    pub log_json: bool,
}

/// The default of `admin_socket`.
pub(crate) fn admin_socket() -> PathBuf {
    PathBuf::from(ADMIN_SOCKET)
}

impl Config {
    /// Reads the file.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        let text = fs::read_to_string(path)
            .with_context(|| format!("{shown} cannot be read; `latchkey-server init` makes it"))?;
        let config: Self = toml::from_str(&text).with_context(|| format!("{shown} is wrong"))?;
        check_url(&config.url)?;
        Ok(config)
    }

    /// As the file holds it.
    pub(crate) fn to_toml(&self) -> anyhow::Result<String> {
        Ok(toml::to_string(self)?)
    }

    /// The store's file.
    pub fn store_file(&self) -> PathBuf {
        self.data.join("store.sqlite")
    }

    /// The master key's file.
    pub fn master_key_file(&self) -> PathBuf {
        self.master_key
            .clone()
            .unwrap_or_else(|| self.data.join("master.key"))
    }
}

/// Whether a URL is one that this server can have: `https`, a host, nothing after it.
pub(crate) fn check_url(url: &str) -> anyhow::Result<http::Uri> {
    let uri: http::Uri = url.parse().with_context(|| format!("{url} is not a URL"))?;
    let is_bare = uri.path_and_query().is_none_or(|rest| rest.as_str() == "/");
    ensure!(
        uri.scheme_str() == Some("https") && uri.host().is_some() && is_bare && !url.ends_with('/'),
        "{url} must be https://HOST or https://HOST:PORT, without anything after it"
    );
    Ok(uri)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        url = "https://server.example"
        listen = "0.0.0.0:443"
        data = "/data"
        tls_cert = "/cert"
        tls_key = "/key"
    "#;

    #[test]
    fn what_is_written_is_read_again() {
        let config: Config = toml::from_str(GOOD).unwrap();
        assert_eq!(config.master_key_file(), Path::new("/data/master.key"));
        assert_eq!(
            toml::from_str::<Config>(&config.to_toml().unwrap()).unwrap(),
            config
        );
    }

    #[test]
    fn an_unknown_key_is_an_error() {
        let error = toml::from_str::<Config>(&format!("{GOOD}\nlisen = 1")).unwrap_err();
        assert!(error.to_string().contains("lisen"), "{error}");
    }

    #[test]
    fn a_url_is_https_and_bare() {
        assert!(check_url("https://server.example:8443").is_ok());
        for url in [
            "http://server.example",
            "https://server.example/",
            "https://server.example/x",
            "x",
        ] {
            assert!(check_url(url).is_err(), "{url}");
        }
    }
}
