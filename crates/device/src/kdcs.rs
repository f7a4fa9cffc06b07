//! The certificates by which domain controllers proved themselves at sign-ins.
//!
//! What must hold: this is told to an administrator, and nothing is believed because of it. A login
//! helper, a process of the person's own, has seen the certificate, and the daemon keeps it once the
//! ticket that came with it was proven by the host's own key; that the one belongs to the other, only
//! the helper says. A controller is known by the name in the certificate that the domain has for one
//! of its controllers; a certificate with no such name is not kept.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use ipc::{KdcInfo, KdcList, KdcListAnswer};
use model::UnixTime;
use openssl::x509::X509;
use serde::{Deserialize, Serialize};

use crate::{
    Error,
    daemon::{Daemon, now},
    error::refused,
    files,
    peer::Peer,
    text::{self, base64_bytes},
};

/// A certificate and when it was seen last, to an hour.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seen {
    #[serde(with = "base64_bytes")]
    certificate: Vec<u8>,
    seen: UnixTime,
}

/// By the controller's name.
type ByHost = BTreeMap<String, Seen>;

/// What `kdcs.json` holds.
pub(crate) struct Kdcs {
    path: PathBuf,
    writing: Mutex<()>,
}

impl Kdcs {
    /// In the daemon's folder.
    pub(crate) fn in_folder(folder: &Path) -> Self {
        Self {
            path: folder.join("kdcs.json"),
            writing: Mutex::default(),
        }
    }

    fn read(&self) -> Result<ByHost, Error> {
        Ok(files::read(&self.path)?.unwrap_or_default())
    }

    /// Every certificate that was seen, DER.
    pub(crate) fn certificates(&self) -> Result<Vec<Vec<u8>>, Error> {
        let seen = self.read()?.into_values();
        Ok(seen.map(|seen| seen.certificate).collect())
    }

    /// Keeps a certificate under whichever of these names is in it. Is it another than before?
    fn keep(&self, certificate: &[u8], names: &[String], now: UnixTime) -> Result<bool, Error> {
        let Some(host) = host_of(certificate, names) else {
            return Ok(false);
        };
        let _alone = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut kdcs = self.read()?;
        let is_known =
            |kept: &Seen| kept.certificate == certificate && kept.seen.0.abs_diff(now.0) < GRAIN_S;
        if kdcs.get(&host).is_some_and(is_known) {
            return Ok(false);
        }
        let is_new = kdcs
            .get(&host)
            .is_none_or(|kept| kept.certificate != certificate);
        // Controllers that are gone are nobody's concern.
        kdcs.retain(|host, _| names.iter().any(|name| name.eq_ignore_ascii_case(host)));
        let certificate = certificate.to_vec();
        let seen = now;
        kdcs.insert(host, Seen { certificate, seen });
        files::write(&self.path, &kdcs)?;
        Ok(is_new)
    }
}

/// The first of the certificate's DNS names that is one of `names`.
fn host_of(certificate: &[u8], names: &[String]) -> Option<String> {
    let own = X509::from_der(certificate).ok()?.subject_alt_names()?;
    own.iter()
        .filter_map(|name| name.dnsname())
        .find_map(|own| names.iter().find(|name| name.eq_ignore_ascii_case(own)))
        .map(|name| name.to_ascii_lowercase())
}

impl Daemon {
    /// Keeps what a helper saw of the KDC at a sign-in that was verified. A failure is no reason to
    /// refuse the sign-in.
    pub(crate) fn keep_kdc_certificate(self: &Arc<Self>, encoded: &str) {
        let keep = || {
            let Some(certificate) = text::from_base64(encoded) else {
                return Ok(false);
            };
            self.kdcs.keep(&certificate, &self.kdc_names()?, now())
        };
        match keep() {
            Ok(true) => self.refresh_lists_soon(),
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(%error, "a domain controller's certificate could not be kept");
            }
        }
    }
}

/// Every domain controller's certificate that was seen.
pub(crate) async fn list(
    daemon: &Arc<Daemon>,
    peer: &Peer,
    _: KdcList,
) -> Result<KdcListAnswer, Error> {
    if !peer.is_root() {
        return Err(refused(
            "not_allowed",
            "Only root may see which domain controllers answered.",
        ));
    }
    let kdcs = daemon.kdcs.read()?.into_iter().map(|(host, seen)| KdcInfo {
        host,
        certificate: text::base64(&seen.certificate),
        seen: seen.seen.0,
    });
    Ok(KdcListAnswer {
        kdcs: kdcs.collect(),
    })
}

/// A certificate that was seen within this time is not written again.
const GRAIN_S: u64 = 3600;

#[cfg(test)]
mod tests {
    use openssl::{
        asn1::Asn1Time,
        hash::MessageDigest,
        pkey::{PKey, Private},
        rsa::Rsa,
        x509::extension::SubjectAlternativeName,
    };

    use super::*;

    fn certificate(names: &[&str], key: &PKey<Private>) -> Vec<u8> {
        let mut builder = X509::builder().unwrap();
        builder.set_version(2).unwrap();
        let (from, to) = (Asn1Time::days_from_now(0), Asn1Time::days_from_now(1));
        builder.set_not_before(&from.unwrap()).unwrap();
        builder.set_not_after(&to.unwrap()).unwrap();
        builder.set_pubkey(key).unwrap();
        let mut extension = SubjectAlternativeName::new();
        for name in names {
            extension.dns(name);
        }
        let extension = extension.build(&builder.x509v3_context(None, None));
        builder.append_extension(extension.unwrap()).unwrap();
        builder.sign(key, MessageDigest::sha256()).unwrap();
        builder.build().to_der().unwrap()
    }

    #[test]
    fn a_controller_has_its_newest_certificate_and_nobody_else_has_one() {
        let folder = std::env::temp_dir().join(format!("latchkey-kdcs-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let kdcs = Kdcs::in_folder(&folder);
        let key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
        let old = certificate(&["corp.test", "DC1.corp.test"], &key);
        let new = certificate(&["dc1.corp.test"], &key);
        let other = certificate(&["dc2.corp.test"], &key);
        let names = ["dc1.corp.test".to_owned(), "DC2.corp.test".to_owned()];
        let keep = |certificate: &[u8], names: &[String], at| {
            kdcs.keep(certificate, names, UnixTime(at)).unwrap();
            let kept = kdcs.read().unwrap().into_iter();
            kept.map(|(host, seen)| (host, seen.certificate, seen.seen.0))
                .collect::<Vec<_>>()
        };
        let first =
            |certificate: &Vec<u8>, at| ("dc1.corp.test".to_owned(), certificate.clone(), at);
        assert_eq!(keep(&old, &names, 10_000), [first(&old, 10_000)]);
        // What says nothing new is not written again before an hour is over.
        assert_eq!(keep(&old, &names, 10_001), [first(&old, 10_000)]);
        assert_eq!(keep(&old, &names, 13_600), [first(&old, 13_600)]);
        assert_eq!(keep(&new, &names, 13_601), [first(&new, 13_601)]);
        // Of nobody who is a controller, and no certificate at all.
        let strange = certificate(&["www.corp.test"], &key);
        assert_eq!(keep(&strange, &names, 13_602), [first(&new, 13_601)]);
        assert_eq!(keep(b"\x30\x00", &names, 13_603), [first(&new, 13_601)]);
        let second = ("dc2.corp.test".to_owned(), other.clone(), 13_604);
        assert_eq!(
            keep(&other, &names, 13_604),
            [first(&new, 13_601), second.clone()]
        );
        // The first one is gone from the domain.
        let second = (second.0, second.1, 20_000);
        assert_eq!(keep(&other, &names[1..], 20_000), [second]);
        std::fs::remove_dir_all(folder).unwrap();
    }
}
