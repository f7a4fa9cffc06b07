//! An authority for the certificates of domain controllers, and for nothing else.
//!
//! *Invariant:* it is not an authority for people, devices or web servers: a KDC that trusts one
//! that issues user certificates no longer asks whether the key is in the directory.
//!
//! Keys are RSA with SHA-256 because Windows' clients that check a KDC strictly take nothing else,
//! and Samba's Heimdal and MIT's client take it too; a P-384 authority would exclude the former.

use model::UnixTime;
use openssl::{
    asn1::{Asn1Integer, Asn1Object, Asn1OctetString, Asn1Time},
    bn::{BigNum, MsbOption},
    error::ErrorStack,
    hash::MessageDigest,
    pkey::{PKey, Private, Public},
    rsa::Rsa,
    x509::{
        X509, X509Builder, X509Crl, X509CrlBuilder, X509Extension, X509Name, X509RevokedBuilder,
        extension::{
            AuthorityKeyIdentifier, BasicConstraints, CrlNumber, ExtendedKeyUsage, KeyUsage,
            SubjectAlternativeName, SubjectKeyIdentifier,
        },
    },
};

use super::der;

const DAY_S: i64 = 86_400;
const AUTHORITY_S: i64 = 10 * 365 * DAY_S;
/// A revocation list is renewed every day; this is how long that may fail unnoticed.
pub(crate) const LIST_S: i64 = 30 * DAY_S;
/// The clock of whoever checks may be behind ours by so much.
const BACKDATED_S: i64 = 3600;

/// id-pkinit-KPKdc (RFC 4556 3.2.4).
const KDC: &str = "1.3.6.1.5.2.3.5";
/// id-pkinit-san (RFC 4556 3.2.2).
const PKINIT_NAME: &str = "1.3.6.1.5.2.2";
/// id-ce-cRLDistributionPoints (RFC 5280 4.2.1.13).
const DISTRIBUTION_POINTS: &str = "2.5.29.31";

/// The authority's key and certificate.
pub(crate) struct Authority {
    key: PKey<Private>,
    certificate: X509,
}

/// What a domain controller's certificate says.
pub(crate) struct Names {
    /// The domain controller's DNS name.
    pub(crate) host: String,
    /// The domain's DNS name.
    pub(crate) domain: String,
    /// The domain's NetBIOS name.
    pub(crate) netbios: String,
    /// The realm, where the name of its ticket-granting service goes in too.
    pub(crate) realm: Option<String>,
}

/// What is not about names.
pub(crate) struct Terms<'a> {
    /// Where the revocation list is.
    pub(crate) list: &'a str,
    /// From when on.
    pub(crate) now: UnixTime,
    /// For how long.
    pub(crate) days: u32,
}

/// Makes an RSA key.
pub(crate) fn make_key(bits: u32) -> Result<PKey<Private>, ErrorStack> {
    PKey::from_rsa(Rsa::generate(bits)?)
}

impl Authority {
    /// A new one.
    pub(crate) fn make(name: &str, now: UnixTime) -> Result<Self, ErrorStack> {
        let key = make_key(3072)?;
        let name = common_name(name)?;
        let mut builder = X509::builder()?;
        builder.set_version(2)?;
        builder.set_serial_number(&*serial()?)?;
        builder.set_subject_name(&name)?;
        builder.set_issuer_name(&name)?;
        builder.set_not_before(&*time(now.plus(-BACKDATED_S))?)?;
        builder.set_not_after(&*time(now.plus(AUTHORITY_S))?)?;
        builder.set_pubkey(&key)?;
        builder.append_extension(BasicConstraints::new().critical().ca().pathlen(0).build()?)?;
        let usage = KeyUsage::new()
            .critical()
            .key_cert_sign()
            .crl_sign()
            .build()?;
        builder.append_extension(usage)?;
        let key_id = SubjectKeyIdentifier::new().build(&builder.x509v3_context(None, None))?;
        builder.append_extension(key_id)?;
        builder.sign(&key, MessageDigest::sha256())?;
        Ok(Self {
            key,
            certificate: builder.build(),
        })
    }

    /// One that was made before.
    pub(crate) fn new(key: PKey<Private>, certificate: X509) -> Self {
        Self { key, certificate }
    }

    /// Its key, to be kept.
    pub(crate) fn key(&self) -> &PKey<Private> {
        &self.key
    }

    /// Its certificate.
    pub(crate) fn certificate(&self) -> &X509 {
        &self.certificate
    }

    /// Issues a domain controller's certificate for `key`.
    pub(crate) fn issue(
        &self,
        names: &Names,
        key: &PKey<Public>,
        terms: &Terms<'_>,
    ) -> Result<X509, ErrorStack> {
        let mut builder = X509::builder()?;
        builder.set_version(2)?;
        builder.set_serial_number(&*serial()?)?;
        builder.set_subject_name(&*common_name(&names.host)?)?;
        builder.set_issuer_name(self.certificate.subject_name())?;
        let end = terms.now.plus(i64::from(terms.days) * DAY_S);
        builder.set_not_before(&*time(terms.now.plus(-BACKDATED_S))?)?;
        builder.set_not_after(&*time(end)?)?;
        builder.set_pubkey(key)?;
        builder.append_extension(BasicConstraints::new().critical().build()?)?;
        let usage = KeyUsage::new()
            .critical()
            .digital_signature()
            .key_encipherment()
            .build()?;
        builder.append_extension(usage)?;
        let purposes = ExtendedKeyUsage::new()
            .other(KDC)
            .server_auth()
            .client_auth()
            .build()?;
        builder.append_extension(purposes)?;
        builder.append_extension(self.subject_names(&builder, names)?)?;
        let context = builder.x509v3_context(Some(&self.certificate), None);
        let key_id = SubjectKeyIdentifier::new().build(&context)?;
        let issuer_id = AuthorityKeyIdentifier::new().keyid(true).build(&context)?;
        builder.append_extension(key_id)?;
        builder.append_extension(issuer_id)?;
        let point = Asn1OctetString::new_from_bytes(&der::distribution_point(terms.list))?;
        let id = Asn1Object::from_str(DISTRIBUTION_POINTS)?;
        builder.append_extension(X509Extension::new_from_der(&id, false, &point)?)?;
        builder.sign(&self.key, MessageDigest::sha256())?;
        Ok(builder.build())
    }

    fn subject_names(
        &self,
        builder: &X509Builder,
        names: &Names,
    ) -> Result<X509Extension, ErrorStack> {
        let mut list = SubjectAlternativeName::new();
        // The NetBIOS name is for Windows' clients: without a template's mark they look for it.
        list.dns(&names.host).dns(&names.domain).dns(&names.netbios);
        if let Some(realm) = &names.realm {
            let id = Asn1Object::from_str(PKINIT_NAME)?;
            list.other_name2(id, &der::ticket_service(realm));
        }
        list.build(&builder.x509v3_context(Some(&self.certificate), None))
    }

    /// The revocation list `number`: serial numbers in hexadecimal and since when.
    pub(crate) fn list(
        &self,
        revoked: &[(&str, UnixTime)],
        number: u32,
        now: UnixTime,
    ) -> Result<X509Crl, ErrorStack> {
        let mut builder = X509CrlBuilder::new()?;
        builder.set_issuer_name(self.certificate.subject_name())?;
        builder.set_last_update(&*time(now.plus(-BACKDATED_S))?)?;
        builder.set_next_update(&*time(now.plus(LIST_S))?)?;
        for (serial, since) in revoked {
            let mut entry = X509RevokedBuilder::new()?;
            entry.set_serial_number(&*BigNum::from_hex_str(serial)?.to_asn1_integer()?)?;
            entry.set_revocation_date(&*time(*since)?)?;
            builder.add_revoked(entry.build())?;
        }
        let scratch = X509::builder()?;
        let context = scratch.x509v3_context(Some(&self.certificate), None);
        builder.append_extension(AuthorityKeyIdentifier::new().keyid(true).build(&context)?)?;
        builder.append_extension(CrlNumber::new(BigNum::from_u32(number)?)?.build()?)?;
        builder.sign(&self.key, MessageDigest::sha256())?;
        builder.build()
    }
}

fn common_name(text: &str) -> Result<X509Name, ErrorStack> {
    let mut name = X509Name::builder()?;
    name.append_entry_by_text("CN", text)?;
    Ok(name.build())
}

/// Positive, and never seen before.
fn serial() -> Result<Asn1Integer, ErrorStack> {
    let mut serial = BigNum::new()?;
    serial.rand(127, MsbOption::MAYBE_ZERO, false)?;
    serial.to_asn1_integer()
}

fn time(time: UnixTime) -> Result<Asn1Time, ErrorStack> {
    Asn1Time::from_unix(time.0)
}
