//! What the directory vouches for: the service connection point, the KDCs' authorities, the
//! computers' certificates and the agent's service principal name.

use model::Guid;
use openssl::{nid::Nid, x509::X509};

use crate::{
    By, Computer, Directory, Error,
    authorities::Authorities,
    filter::Filter,
    message::{Change, Request, Scope, Search},
    search::{ENTRY_EXISTS, success},
};

/// Where the server is and how to recognise it (MS-ADTS 6.1.1.2.4.1 names the place).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePoint {
    /// The server.
    pub url: String,
    /// `sha256:` and the SHA-256 of the SubjectPublicKeyInfo that its chain must contain.
    pub fingerprint: String,
    /// The agent's service principal: `latchkey-sync/host`.
    pub agent: String,
    /// The tenant.
    pub tenant: Guid,
}

const KEYWORD: &str = "latchkey";
const KEYWORDS: &str = "keywords";
const BINDING: &str = "serviceBindingInformation";

impl Directory {
    /// The service connection point; `None` where nobody has published one.
    pub async fn service_point(&self) -> Result<Option<ServicePoint>, Error> {
        let filter = Filter::Present("objectClass");
        let search = Search {
            base: &self.service_point_dn(),
            scope: Scope::Base,
            filter: &filter,
            attributes: &[KEYWORDS, BINDING],
            page: None,
            extended_dn: false,
        };
        let Some(entry) = self.one(&search).await? else {
            return Ok(None);
        };
        let keywords: Vec<&str> = entry.texts(KEYWORDS).collect();
        let bindings: Vec<&str> = entry.texts(BINDING).collect();
        ServicePoint::read(&keywords, &bindings)
            .map(Some)
            .ok_or(Error::Malformed(
                "the service connection point lacks a part",
            ))
    }

    /// Writes the service connection point. Wants an Enterprise Admin's ticket.
    pub async fn publish_service_point(&self, point: &ServicePoint) -> Result<(), Error> {
        let dn = self.service_point_dn();
        let tenant = point.tenant.to_string();
        let binding = point.binding();
        let keywords: [&[u8]; 2] = [KEYWORD.as_bytes(), tenant.as_bytes()];
        let bindings: [&[u8]; 1] = [binding.as_bytes()];
        let created = self
            .call(&Request::Add(
                &dn,
                &[
                    ("objectClass", &[b"serviceConnectionPoint"]),
                    (KEYWORDS, &keywords),
                    (BINDING, &bindings),
                ],
            ))
            .await?;
        if created.code != ENTRY_EXISTS {
            return success(created).map(drop);
        }
        let changes = [
            Change::Replace(KEYWORDS, &keywords),
            Change::Replace(BINDING, &bindings),
        ];
        success(self.call(&Request::Modify(&dn, &changes)).await?).map(drop)
    }

    /// Registers a service principal name on a user account that lacks it; answers whether it did.
    pub async fn register_service(&self, account: &str, service: &str) -> Result<bool, Error> {
        const ATTRIBUTE: &str = "servicePrincipalName";
        let user = self.user(&By::Account(account.to_owned())).await?;
        let user = user.ok_or(Error::Missing("the agent's account"))?;
        let filter = Filter::Present("objectClass");
        let entry = self.by_guid(user.guid, &filter, &[ATTRIBUTE]).await?;
        let registered = entry.is_some_and(|entry| {
            entry
                .texts(ATTRIBUTE)
                .any(|s| s.eq_ignore_ascii_case(service))
        });
        if !registered {
            let change = [Change::Add(ATTRIBUTE, service.as_bytes())];
            success(self.call(&Request::Modify(&user.dn, &change)).await?)?;
        }
        Ok(!registered)
    }

    /// The authorities whose KDC certificates the forest trusts, DER each: NTAuthCertificates and
    /// Certification Authorities (MS-ADTS 6.1.1.2.4.1.1).
    pub async fn kdc_anchors(&self) -> Result<Vec<Vec<u8>>, Error> {
        let Authorities { nt_auth, roots } = self.authorities().await?;
        let mut anchors: Vec<Vec<u8>> = Vec::new();
        for der in nt_auth.into_iter().chain(roots) {
            if !anchors.contains(&der) {
                anchors.push(der);
            }
        }
        Ok(anchors)
    }

    /// DNS names of the domain's domain controllers.
    pub async fn dc_names(&self) -> Result<Vec<String>, Error> {
        let controllers = self.domain_controllers().await?;
        Ok(controllers.into_iter().map(|dc| dc.host).collect())
    }

    /// Makes `der` the certificate by which the bound computer is known: adds it, and takes out
    /// earlier ones of ours, which name the computer's objectGUID as their subject.
    pub async fn set_own_certificate(&self, own: &Computer, der: &[u8]) -> Result<(), Error> {
        const ATTRIBUTE: &str = "userCertificate";
        let earlier = own
            .certificates
            .iter()
            .filter(|known| known.as_slice() != der && names(known, own.guid));
        let mut changes: Vec<Change<'_>> = earlier
            .map(|known| Change::Delete(ATTRIBUTE, known))
            .collect();
        if !own.certificates.iter().any(|known| known == der) {
            changes.push(Change::Add(ATTRIBUTE, der));
        }
        if changes.is_empty() {
            return Ok(());
        }
        success(self.call(&Request::Modify(&own.dn, &changes)).await?).map(drop)
    }

    fn service_point_dn(&self) -> String {
        format!("CN=Latchkey,CN=Services,{}", self.domain().configuration)
    }
}

impl ServicePoint {
    fn binding(&self) -> String {
        let pin = self.fingerprint.trim_start_matches("sha256:");
        format!("url={};spki-sha256={pin};agent={}", self.url, self.agent)
    }

    pub(crate) fn read(keywords: &[&str], bindings: &[&str]) -> Option<Self> {
        let tenant = keywords.iter().find_map(|keyword| keyword.parse().ok())?;
        bindings.iter().find_map(|binding| {
            let part = |name| binding.split(';').find_map(|part| part.strip_prefix(name));
            let pin = part("spki-sha256=")?;
            let hex = pin.len() == 64 && pin.bytes().all(|digit| digit.is_ascii_hexdigit());
            hex.then_some(())?;
            Some(Self {
                url: part("url=")?.to_owned(),
                fingerprint: format!("sha256:{}", pin.to_ascii_lowercase()),
                agent: part("agent=")?.to_owned(),
                tenant,
            })
        })
    }
}

/// Whether a certificate's subject is this GUID.
fn names(der: &[u8], guid: Guid) -> bool {
    let Ok(certificate) = X509::from_der(der) else {
        return false;
    };
    let mut names = certificate.subject_name().entries_by_nid(Nid::COMMONNAME);
    let name = names.next().and_then(|name| name.data().to_string().ok());
    name.is_some_and(|name| name.eq_ignore_ascii_case(&guid.to_string()))
}
