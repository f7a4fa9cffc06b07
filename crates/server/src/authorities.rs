//! The authority that issues device certificates now, and those that did before it.
//!
//! What must hold: every request goes by what the store has at that moment, because another server of
//! the tenant may have made the newest one. One that was followed signs nothing any more; what it
//! issued is good to its own end, or to a date that an administrator stated where its key got out.

use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use anyhow::Context as _;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use model::{Guid, UnixTime};
use openssl::{
    pkey::{PKey, Public},
    x509::{X509, X509Ref},
};
use serde::{Deserialize, Serialize};
use store::{Audit, Sealed, SealedName};
use zeroize::Zeroizing;

use crate::{
    app::{App, sealed_name},
    authority::{Authority, Issue, LONGEST_S, has_signed},
};

/// What is read of the store together.
pub(crate) const NAMES: &[SealedName] = &[
    SealedName::DeviceCaKey,
    SealedName::DeviceCaCertificate,
    SealedName::FormerDeviceCas,
];

/// One that was followed.
pub(crate) struct Former {
    pub(crate) certificate: X509,
    /// What it issued is good until then at most.
    pub(crate) until: UnixTime,
}

/// All of them.
pub(crate) struct Authorities {
    pub(crate) current: Authority,
    /// The newest first.
    pub(crate) former: Vec<Former>,
}

/// What was opened last, and what it was opened of.
#[derive(Default)]
pub(crate) struct Opened(RwLock<Option<(Vec<Sealed>, Arc<Authorities>)>>);

/// A former one, as it is kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    certificate: String,
    until: UnixTime,
}

/// Whose signature a certificate was found to have. That stays as it is, and finding it out takes longer
/// than all else about a statement; whether the signer counts, and until when, is looked at each time.
#[derive(Clone, Default)]
pub(crate) struct SignedBy(Arc<OnceLock<X509>>);

impl SignedBy {
    fn is_by(&self, authority: &X509, certificate: &X509Ref) -> anyhow::Result<bool> {
        let Self(known) = self;
        if let Some(known) = known.get() {
            return Ok(known == authority);
        }
        let is_good = has_signed(&*authority.public_key()?, certificate);
        if is_good {
            let _ = known.set(authority.clone());
        }
        Ok(is_good)
    }
}

impl Authorities {
    /// Whether a certificate is one of a device of ours and valid at `now`. `signed` is what was found out
    /// about it before.
    pub(crate) fn has_issued(
        &self,
        certificate: &X509Ref,
        signed: &SignedBy,
        now: UnixTime,
    ) -> anyhow::Result<bool> {
        if !Authority::is_in_its_time(certificate, now)? {
            return Ok(false);
        }
        let trusted = self.former.iter().filter(|former| now < former.until);
        let former = trusted.map(|former| &former.certificate);
        for authority in former.chain([self.current.certificate()]) {
            if signed.is_by(authority, certificate)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn open(app: &App, sealed: &[Sealed]) -> anyhow::Result<Self> {
        let open = |name: SealedName| {
            let found = sealed.iter().find(|sealed| sealed.name == name);
            let sealed_as = sealed_name(&app.tenant, name.as_str());
            let opened = found.map(|found| app.keyring.master.open(&sealed_as, &found.value));
            opened.transpose()
        };
        let lacks = "the store lacks the authority of devices";
        let key = open(SealedName::DeviceCaKey)?.context(lacks)?;
        let certificate = open(SealedName::DeviceCaCertificate)?.context(lacks)?;
        let kept: Vec<Kept> = match open(SealedName::FormerDeviceCas)? {
            None => Vec::new(),
            Some(json) => serde_json::from_slice(json.expose())?,
        };
        let former = kept.into_iter().map(|kept| {
            let certificate = X509::from_der(&STANDARD.decode(kept.certificate)?)?;
            let until = kept.until;
            anyhow::Ok(Former { certificate, until })
        });
        let key = PKey::private_key_from_der(key.expose())?;
        Ok(Self {
            current: Authority::new(key, X509::from_der(certificate.expose())?),
            former: former.collect::<Result<_, _>>()?,
        })
    }
}

impl App {
    /// The authorities as they are now.
    pub(crate) async fn authorities(&self) -> anyhow::Result<Arc<Authorities>> {
        let sealed = self.store.sealed_together(self.tenant.id, NAMES).await?;
        self.authorities_of(&sealed)
    }

    /// The same, of what was read of the store a moment ago.
    pub(crate) fn authorities_of(&self, sealed: &[Sealed]) -> anyhow::Result<Arc<Authorities>> {
        let Opened(opened) = &self.opened_authorities;
        {
            let known = opened.read().unwrap_or_else(PoisonError::into_inner);
            if let Some((_, authorities)) = known.as_ref().filter(|(of, _)| of == sealed) {
                return Ok(Arc::clone(authorities));
            }
        }
        let authorities = Arc::new(Authorities::open(self, sealed)?);
        let newest = Some((sealed.to_owned(), Arc::clone(&authorities)));
        *opened.write().unwrap_or_else(PoisonError::into_inner) = newest;
        Ok(authorities)
    }

    /// Issues a device's certificate, DER.
    pub(crate) async fn issue(
        &self,
        device: Guid,
        key: &PKey<Public>,
        renews: bool,
    ) -> anyhow::Result<Vec<u8>> {
        let issue = Issue {
            device,
            tenant: self.tenant.id,
            key,
            renews,
        };
        let authorities = self.authorities().await?;
        let certificate = authorities.current.issue(&issue, self.clock.now())?;
        Ok(certificate.to_der()?)
    }

    /// Makes the next authority, which issues from now on. Those before it are trusted for `trust_s`
    /// more at the most, or else until the last that they issued has ended. False where somebody else
    /// has done the same meanwhile.
    pub(crate) async fn rotate_authority(
        &self,
        trust_s: Option<i64>,
        audit: Audit,
    ) -> anyhow::Result<bool> {
        let (now, tenant) = (audit.at, self.tenant.id);
        let sealed = self.store.sealed_together(tenant, NAMES).await?;
        let known = Authorities::open(self, &sealed)?;
        let seen = sealed
            .into_iter()
            .find(|sealed| sealed.name == SealedName::DeviceCaCertificate)
            .context("the store lacks the authority of devices")?;
        let next = Authority::make(tenant, now)?;
        let last = (known.current.certificate(), now.plus(LONGEST_S));
        let before = known
            .former
            .iter()
            .map(|former| (&former.certificate, former.until));
        let mut kept = Vec::new();
        for (certificate, until) in std::iter::once(last).chain(before) {
            let until = trust_s.map_or(until, |trust_s| until.min(now.plus(trust_s)));
            if now < until {
                let certificate = STANDARD.encode(certificate.to_der()?);
                kept.push(Kept { certificate, until });
            }
        }
        let seal = |name: SealedName, value: &[u8]| {
            let sealed_as = sealed_name(&self.tenant, name.as_str());
            let value = self.keyring.master.seal(&sealed_as, value)?;
            anyhow::Ok(Sealed { name, value })
        };
        let next = vec![
            seal(SealedName::DeviceCaKey, &Zeroizing::new(next.key_der()?))?,
            seal(SealedName::DeviceCaCertificate, &next.certificate_der()?)?,
            seal(SealedName::FormerDeviceCas, &serde_json::to_vec(&kept)?)?,
        ];
        Ok(self
            .store
            .exchange_sealed(tenant, seen, next, audit)
            .await?)
    }
}

#[cfg(test)]
mod tests {
    use model::Guid;
    use openssl::pkey::Public;

    use super::*;
    use crate::authority::{Issue, make_key};

    const NOW: UnixTime = UnixTime(1_800_000_000);
    const RENEWED_S: i64 = 180 * 86_400;

    fn tenant() -> Guid {
        Guid::from_le_bytes([1; 16])
    }

    fn issued_by(authority: &Authority) -> X509 {
        let der = make_key().unwrap().public_key_to_der().unwrap();
        let key: PKey<Public> = PKey::public_key_from_der(&der).unwrap();
        let issue = Issue {
            device: Guid::from_le_bytes([2; 16]),
            tenant: tenant(),
            key: &key,
            renews: true,
        };
        authority.issue(&issue, NOW).unwrap()
    }

    #[test]
    fn what_a_former_authority_issued_is_good_to_its_end_or_to_the_date_that_was_stated() {
        let old = Authority::make(tenant(), NOW).unwrap();
        let certificate = issued_by(&old);
        let after = |until: UnixTime| Authorities {
            current: Authority::make(tenant(), NOW).unwrap(),
            former: vec![Former {
                certificate: old.certificate().clone(),
                until,
            }],
        };
        let (to_its_end, a_week) = (after(NOW.plus(LONGEST_S)), after(NOW.plus(7 * 86_400)));
        for (authorities, at, expected) in [
            (&to_its_end, NOW, true),
            (&to_its_end, NOW.plus(RENEWED_S - 1), true),
            (&to_its_end, NOW.plus(RENEWED_S), false),
            (&to_its_end, NOW.plus(-2 * 3600), false),
            (&a_week, NOW.plus(7 * 86_400 - 1), true),
            (&a_week, NOW.plus(7 * 86_400), false),
        ] {
            let found = authorities
                .has_issued(&certificate, &SignedBy::default(), at)
                .unwrap();
            assert_eq!(found, expected, "{at:?}");
        }
    }

    #[test]
    fn a_device_certificate_is_of_its_authority_and_of_no_other() {
        let ours = Authorities {
            current: Authority::make(tenant(), NOW).unwrap(),
            former: Vec::new(),
        };
        let other = Authority::make(tenant(), NOW).unwrap();
        let has_issued = |certificate: &X509, signed: &SignedBy| {
            ours.has_issued(certificate, signed, NOW).unwrap()
        };
        let signed = SignedBy::default();
        // The second time by what was found out.
        for _ in 0..2 {
            assert!(has_issued(&issued_by(&ours.current), &signed));
        }
        assert!(!has_issued(&issued_by(&other), &SignedBy::default()));
        // Nothing is left for whatever this thread does next.
        assert!(openssl::error::ErrorStack::get().errors().is_empty());
    }
}
