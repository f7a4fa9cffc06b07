//! The authorities that the forest trusts for domain controllers' certificates, told apart by
//! what they are trusted for, and adding one.

use openssl::x509::X509;

use crate::{
    Directory, Error,
    accounts::{CONTROL, DOMAIN_CONTROLLER, READ_ONLY_DOMAIN_CONTROLLER},
    filter::Filter,
    message::{Change, Request, Scope, Search},
    search::{ENTRY_EXISTS, Query, VALUE_EXISTS, success},
};

/// Certificates in DER (MS-ADTS 6.1.1.2.4.1.1).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Authorities {
    /// Of NTAuthCertificates: whose certificates sign in, and KDCs among them.
    pub nt_auth: Vec<Vec<u8>>,
    /// Of Certification Authorities: the roots.
    pub roots: Vec<Vec<u8>>,
}

/// A domain controller's account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainController {
    /// Its DN.
    pub dn: String,
    /// Its DNS name.
    pub host: String,
    /// It takes changes.
    pub writable: bool,
}

const CERTIFICATE: &str = "cACertificate";

impl Directory {
    /// The authorities of the forest.
    pub async fn authorities(&self) -> Result<Authorities, Error> {
        Ok(Authorities {
            nt_auth: self.certificates(&self.nt_auth_dn(), Scope::Base).await?,
            roots: self.certificates(&self.roots_dn(), Scope::Children).await?,
        })
    }

    /// Makes the forest trust an authority: NTAuthCertificates and, by its `name`, Certification
    /// Authorities. Certificates of others stay. Wants an Enterprise Admin's ticket; answers
    /// whether anything was added.
    ///
    /// *Invariant:* `name` holds nothing that a DN would have to escape.
    pub async fn trust_authority(&self, name: &str, certificate: &[u8]) -> Result<bool, Error> {
        let root = format!("CN={name},{}", self.roots_dn());
        let to_root = self.add_certificate(&root, certificate).await?;
        // Last: from here on KDCs with its certificates are believed.
        let to_nt_auth = self
            .add_certificate(&self.nt_auth_dn(), certificate)
            .await?;
        Ok(to_root || to_nt_auth)
    }

    /// The accounts of the domain's writable domain controllers.
    pub async fn domain_controllers(&self) -> Result<Vec<DomainController>, Error> {
        let mut controllers = self.controllers().await?;
        controllers.retain(|controller| controller.writable);
        Ok(controllers)
    }

    /// The accounts of all the domain's domain controllers, read-only ones too.
    pub async fn controllers(&self) -> Result<Vec<DomainController>, Error> {
        let is = |bit| Filter::Bits(CONTROL, bit);
        let query = Query {
            base: self.domain().dn.clone(),
            scope: Scope::Subtree,
            filter: Filter::And(vec![
                Filter::equal("objectCategory", "computer"),
                Filter::Or(vec![is(DOMAIN_CONTROLLER), is(READ_ONLY_DOMAIN_CONTROLLER)]),
                Filter::Present("dNSHostName"),
            ]),
            attributes: &["dNSHostName", CONTROL],
            extended_dn: false,
            read: |entry, _| {
                Ok(DomainController {
                    dn: entry.dn.clone(),
                    host: entry.required_text("dNSHostName")?,
                    writable: entry.flags(CONTROL) & DOMAIN_CONTROLLER != 0,
                })
            },
        };
        Ok(self.pages(query).all().await?.into())
    }

    async fn certificates(&self, base: &str, scope: Scope) -> Result<Vec<Vec<u8>>, Error> {
        let search = Search {
            base,
            scope,
            filter: &Filter::Present(CERTIFICATE),
            attributes: &[CERTIFICATE],
            page: None,
            extended_dn: false,
        };
        let mut found: Vec<Vec<u8>> = Vec::new();
        for entry in self.all(&search).await? {
            // An object that lost its last certificate keeps a value of one zero byte.
            let values = entry.values(CERTIFICATE).iter();
            found.extend(values.filter(|der| X509::from_der(der).is_ok()).cloned());
        }
        Ok(found)
    }

    async fn add_certificate(&self, dn: &str, certificate: &[u8]) -> Result<bool, Error> {
        // The class wants all three; a single zero byte is how an empty list is written.
        const EMPTY: &[&[u8]] = &[&[0]];
        let created = self
            .call(&Request::Add(
                dn,
                &[
                    ("objectClass", &[b"certificationAuthority"]),
                    (CERTIFICATE, &[certificate]),
                    ("authorityRevocationList", EMPTY),
                    ("certificateRevocationList", EMPTY),
                ],
            ))
            .await?;
        if created.code != ENTRY_EXISTS {
            return success(created).map(|_| true);
        }
        let known = self.certificates(dn, Scope::Base).await?;
        if known.iter().any(|known| known == certificate) {
            return Ok(false);
        }
        let change = [Change::Add(CERTIFICATE, certificate)];
        let added = self.call(&Request::Modify(dn, &change)).await?;
        if added.code == VALUE_EXISTS {
            return Ok(false);
        }
        success(added).map(|_| true)
    }

    fn nt_auth_dn(&self) -> String {
        format!("CN=NTAuthCertificates,{}", self.services_dn())
    }

    fn roots_dn(&self) -> String {
        format!("CN=Certification Authorities,{}", self.services_dn())
    }

    fn services_dn(&self) -> String {
        format!(
            "CN=Public Key Services,CN=Services,{}",
            self.domain().configuration
        )
    }
}
