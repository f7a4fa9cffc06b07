//! Revocation lists of the authorities for KDC certificates, in a folder that login helpers read.
//!
//! libkrb5 takes lists as files and fetches none. The addresses are those that the administrator
//! names and those in certificates of domain controllers that were seen here, as far as an authority
//! of the domain signed them: a certificate alone, which a process of the person's told of, could
//! name any address.
//!
//! What must hold: a list is used only where an authority of the domain signed it, and none takes the
//! place of a newer one: whoever answers for the address could bring one of before a revocation.
//! Where lists are used as far as they are there, one that is about to run out is left out, because
//! libkrb5 would refuse everybody over it.

use std::{path::PathBuf, sync::Arc, time::Duration};

use model::UnixTime;
use openssl::{
    asn1::{Asn1Time, Asn1TimeRef},
    x509::{X509, X509Crl, X509CrlRef, X509Ref},
};
use serde::Deserialize;

use crate::{
    Error,
    daemon::{Daemon, now},
    files, text,
};

/// What is done about revoked certificates of KDCs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lists {
    /// No list is looked at.
    Off,
    /// A list that is there is looked at.
    #[default]
    IfPresent,
    /// A KDC whose certificate no list covers is refused.
    Require,
}

impl Daemon {
    /// Fetches every list anew. One that cannot be had leaves the last one where it is.
    pub(crate) async fn refresh_lists(&self, anchors: &[X509]) {
        if self.config.crl == Lists::Off {
            return;
        }
        for address in self.list_addresses(anchors) {
            let outcome = async {
                let bytes = client::plain::fetch(&address, LARGEST).await?;
                self.keep_list(&address, &bytes, anchors)
            };
            if let Err(error) = outcome.await {
                tracing::warn!(%error, address, "a revocation list could not be had");
            }
        }
    }

    fn list_addresses(&self, anchors: &[X509]) -> Vec<String> {
        let mut addresses = self.config.crl_urls.clone();
        let seen = self.kdcs.certificates().unwrap_or_default();
        for der in seen {
            let Ok(certificate) = X509::from_der(&der) else {
                continue;
            };
            if anchors
                .iter()
                .any(|anchor| has_signed(anchor, &certificate))
            {
                addresses.extend(address_of(&certificate));
            }
        }
        addresses.sort();
        addresses.dedup();
        addresses.truncate(MOST);
        addresses
    }

    fn keep_list(&self, address: &str, bytes: &[u8], anchors: &[X509]) -> Result<(), Error> {
        let signed = |bytes: &[u8]| {
            parse(bytes).filter(|list| anchors.iter().any(|anchor| is_of(list, anchor)))
        };
        let list = signed(bytes).ok_or_else(|| {
            unfit("it is no revocation list that an authority of the domain signed")
        })?;
        files::folder(&self.lists_folder(), 0o755)?;
        let name = text::hex(&model::sha256(address.as_bytes()));
        let file = self.lists_folder().join(format!("{name}.pem"));
        let kept = std::fs::read(&file).ok().and_then(|kept| signed(&kept));
        if let Some(objection) = objection(&list, kept.as_deref(), now()) {
            return Err(unfit(objection));
        }
        files::write_bytes(&file, &list.to_pem()?, 0o644)
    }

    /// The lists that helpers are to use, as far as they are signed by one of these.
    pub(crate) fn lists(&self, anchors: &[X509]) -> Vec<String> {
        let margin = match self.config.crl {
            Lists::Off => return Vec::new(),
            Lists::IfPresent => MARGIN,
            Lists::Require => Duration::ZERO,
        };
        let Ok(folder) = std::fs::read_dir(self.lists_folder()) else {
            return Vec::new();
        };
        let mut files: Vec<PathBuf> = folder
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|end| end == "pem"))
            .filter(|path| {
                let list = std::fs::read(path).ok().and_then(|bytes| parse(&bytes));
                list.is_some_and(|list| {
                    lasts(&list, now().plus(margin.as_secs() as i64))
                        && anchors.iter().any(|anchor| is_of(&list, anchor))
                })
            })
            .collect();
        files.sort();
        let files = files.into_iter();
        files
            .map(|path| path.to_string_lossy().into_owned())
            .collect()
    }

    fn lists_folder(&self) -> PathBuf {
        self.config.public.join("crl")
    }

    /// A KDC's certificate was seen for the first time: it may name a list.
    pub(crate) fn refresh_lists_soon(self: &Arc<Self>) {
        if self.config.crl == Lists::Off {
            return;
        }
        let daemon = Arc::clone(self);
        tokio::spawn(async move {
            if let Err(error) = daemon.refresh_known_lists().await {
                tracing::warn!(%error, "revocation lists could not be refreshed");
            }
        });
    }
}

fn unfit(why: &str) -> Error {
    Error::Server(client::Error::Protocol(why.to_owned()))
}

fn parse(bytes: &[u8]) -> Option<X509Crl> {
    X509Crl::from_der(bytes)
        .or_else(|_| X509Crl::from_pem(bytes))
        .ok()
}

fn is_of(list: &X509CrlRef, authority: &X509Ref) -> bool {
    let key = authority.public_key();
    key.is_ok_and(|key| list.verify(&key).unwrap_or(false))
}

fn has_signed(authority: &X509Ref, certificate: &X509Ref) -> bool {
    let key = authority.public_key();
    key.is_ok_and(|key| certificate.verify(&key).unwrap_or(false))
}

/// The first address of the list in a certificate.
fn address_of(certificate: &X509Ref) -> Option<String> {
    let points = certificate.crl_distribution_points()?;
    let names = points.iter().next()?.distpoint()?.fullname()?;
    let address = names.iter().find_map(|name| name.uri())?;
    address.starts_with("http://").then(|| address.to_owned())
}

/// Why a list is not to be kept in place of the one that is here.
fn objection(list: &X509CrlRef, kept: Option<&X509CrlRef>, now: UnixTime) -> Option<&'static str> {
    if !lasts(list, now) {
        return Some("it has run out");
    }
    kept.is_some_and(|kept| list.last_update() < kept.last_update())
        .then_some("it is older than the one that is here")
}

/// Is the list good until then?
fn lasts(list: &X509CrlRef, until: UnixTime) -> bool {
    let ends_later = |end: &Asn1TimeRef| {
        let until = Asn1Time::from_unix(until.0).ok()?;
        Some(end > &*until)
    };
    list.next_update().and_then(ends_later).unwrap_or(false)
}

/// Of one list.
const LARGEST: usize = 16 * 1024 * 1024;

/// The most lists.
const MOST: usize = 32;

/// Longer than until the lists are fetched and published again.
const MARGIN: Duration = Duration::from_secs(5 * 3600);

#[cfg(test)]
mod tests {
    use super::*;

    /// Of the year 2025.
    const FIRST: &str = "\
-----BEGIN X509 CRL-----
MIGPMDgwCgYIKoZIzj0EAwIwDDEKMAgGA1UEAwwBQRcNMjUwMTAxMDAwMDAwWhcN
MjYwMTAxMDAwMDAwWjAKBggqhkjOPQQDAgNHADBEAiBtpSnadjfWDFVDbZHt2BS8
qsMnex2VBkVfCpnATJEN5QIgGMLIHE3W2TuV/WJ6C/A9ZhhNuWMX2w2iQnESxMuM
Bhc=
-----END X509 CRL-----
";

    /// By the same authority, from June 2025 to June 2026.
    const SECOND: &str = "\
-----BEGIN X509 CRL-----
MIGQMDgwCgYIKoZIzj0EAwIwDDEKMAgGA1UEAwwBQRcNMjUwNjAxMDAwMDAwWhcN
MjYwNjAxMDAwMDAwWjAKBggqhkjOPQQDAgNIADBFAiBHvcpMnlsIAfk6PrwwWduN
v5pguFmxEAHiaOVIj7E3pwIhAJ8mytXVgVE2onOUR4USBw5yqs5hoy/41X/rrrQH
4KrI
-----END X509 CRL-----
";

    #[test]
    fn no_list_takes_the_place_of_a_newer_one_or_is_kept_once_it_has_run_out() {
        let [first, second] = [FIRST, SECOND].map(|pem| parse(pem.as_bytes()).unwrap());
        // In July 2025, and in January and June 2026.
        let [july, january, june] = [1_751_328_000, 1_767_225_601, 1_780_272_001].map(UnixTime);
        let (run_out, older) = (
            Some("it has run out"),
            Some("it is older than the one that is here"),
        );
        for (list, kept, at, expected) in [
            (&first, None, july, None),
            (&first, Some(&*first), july, None),
            (&second, Some(&*first), july, None),
            (&first, Some(&*second), july, older),
            (&first, None, january, run_out),
            (&second, Some(&*first), january, None),
            (&second, None, june, run_out),
        ] {
            assert_eq!(objection(list, kept, at), expected);
        }
    }
}
