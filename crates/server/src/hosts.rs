//! The names under which this server is reached: the one in its URL, and further ones that an
//! administrator has added.
//!
//! What must hold: tokens have one issuer, whatever name somebody came by; addresses in an answer are
//! of the name that was asked, so that whoever reaches only that one can follow them; and a name that
//! nobody has added is put into no answer, because whoever sends a request chooses it.

use axum::http::{HeaderMap, StatusCode, header::HOST};

use crate::{app::App, error::Refusal};

/// `HOST` or `HOST:PORT` of a URL of ours.
pub(crate) fn authority(url: &str) -> &str {
    url.trim_start_matches("https://")
}

/// A name in the one form that names are compared in.
fn plain(name: &str) -> String {
    let name = name.strip_suffix(":443").unwrap_or(name);
    name.to_ascii_lowercase()
}

impl App {
    /// Every URL of this server, the one that tokens name first.
    pub(crate) async fn urls(&self) -> Result<Vec<String>, store::Error> {
        let further = self.store.hosts(self.tenant.id).await?;
        let further = further.into_iter().map(|name| format!("https://{name}"));
        Ok(std::iter::once(self.url.clone()).chain(further).collect())
    }

    /// The one of them with this name, `HOST` or `HOST:PORT`.
    pub(crate) async fn url_named(&self, name: &str) -> Result<Option<String>, store::Error> {
        let (name, urls) = (plain(name), self.urls().await?);
        Ok(urls.into_iter().find(|url| plain(authority(url)) == name))
    }

    /// The one that a request came by, to begin addresses in its answer with.
    pub(crate) async fn url_for(&self, headers: &HeaderMap) -> Result<String, Refusal> {
        let Some(asked) = headers.get(HOST) else {
            return Ok(self.url.clone());
        };
        let asked = asked.to_str().unwrap_or("");
        self.url_named(asked).await?.ok_or_else(|| {
            let sentence = "this server is not known by the name that was asked: an administrator \
                            adds it (host add)";
            let status = StatusCode::MISDIRECTED_REQUEST;
            Refusal::own(status, "bad_request", sentence)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_the_same_in_any_case_and_with_the_port_that_is_meant_without_one() {
        for (name, expected) in [
            ("Server.Example", "server.example"),
            ("server.example:443", "server.example"),
            ("server.example:8443", "server.example:8443"),
            ("[::1]:443", "[::1]"),
        ] {
            assert_eq!(plain(name), expected);
        }
    }
}
