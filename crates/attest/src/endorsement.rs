//! The key by which a TPM is told from every other, and why it is taken for one of a real TPM.
//!
//! Three things can speak for it, and the first that does is the answer: a certificate of a
//! manufacturer that the administrator configured, the administrator who approved this very key, or
//! that it was the first one that the device showed. Where no manufacturer is configured no
//! certificate convinces: there is no list of manufacturers built in.
//!
//! The trust is in the key and not yet in the machine that shows it: that takes the answer to a
//! [`Challenge`](crate::Challenge).

use keycred::der;
use model::UnixTime;
use openssl::asn1::Asn1ObjectRef;
use openssl::error::ErrorStack;
use openssl::nid::Nid;
use openssl::pkey::{Id, PKey, Public};
use openssl::stack::Stack;
use openssl::x509::store::X509StoreBuilder;
use openssl::x509::verify::{X509VerifyFlags, X509VerifyParam};
use openssl::x509::{X509, X509KeyUsage, X509NameRef, X509Ref, X509StoreContext};

use crate::{Key, Refusal, coordinates};

/// tcg-kp-EKCertificate (2.23.133.8.1), encoded.
const EK_CERTIFICATE: &[u8] = &[0x67, 0x81, 0x05, 0x08, 0x01];

/// tcg-at-tpmManufacturer, tcg-at-tpmModel and tcg-at-tpmVersion.
const MANUFACTURER: &str = "2.23.133.2.1";
const MODEL: &str = "2.23.133.2.2";
const VERSION: &str = "2.23.133.2.3";

/// OpenSSL's level of 112 bits: no RSA below 2,048 bits, no SHA-1 in a signature.
const SECURITY_LEVEL: i32 = 2;

/// The public half of an endorsement key of one of the two usual templates.
pub struct EndorsementKey {
    pub(crate) key: PKey<Public>,
    spki: Vec<u8>,
}

impl EndorsementKey {
    /// Reads a DER SubjectPublicKeyInfo.
    pub fn from_spki_der(der: &[u8]) -> Result<Self, Refusal> {
        let key = PKey::public_key_from_der(der).map_err(|_| Refusal::EndorsementKey)?;
        // Made anew: one key has one hash, however it was written.
        let key = match key.id() {
            Id::RSA => {
                let rsa = key.rsa()?;
                if rsa.n().num_bits() != 2048 || rsa.e().to_vec() != [1, 0, 1] {
                    return Err(Refusal::EndorsementKey);
                }
                key
            }
            Id::EC => {
                let ec = key.ec_key()?;
                if ec.group().curve_name() != Some(Nid::X9_62_PRIME256V1) {
                    return Err(Refusal::EndorsementKey);
                }
                let (x, y) = coordinates(ec.group(), ec.public_key())?;
                Key::P256 { x: &x, y: &y }.to_openssl()?
            }
            _ => return Err(Refusal::EndorsementKey),
        };
        let spki = key.public_key_to_der()?;
        Ok(Self { key, spki })
    }

    /// SHA-256 of the SubjectPublicKeyInfo: by this an administrator approves a TPM beforehand.
    pub fn hash(&self) -> [u8; 32] {
        model::sha256(&self.spki)
    }
}

/// The manufacturers' certificates that an administrator trusts.
///
/// Each is trusted by itself: a root for all that is below it, an authority in the middle for what is
/// below that one. So nothing has to be fetched to complete a chain.
#[derive(Default)]
pub struct Manufacturers(Vec<X509>);

impl Manufacturers {
    /// Reads certificates in PEM, any number of them.
    pub fn from_pem(pem: &[u8]) -> Result<Self, Refusal> {
        let list = X509::stack_from_pem(pem).map_err(|_| Refusal::Manufacturers)?;
        // OpenSSL takes a text without any for a list of none.
        if list.is_empty() && !pem.trim_ascii().is_empty() {
            return Err(Refusal::Manufacturers);
        }
        Ok(Self(list))
    }

    /// Reads certificates in DER.
    pub fn from_ders<'a>(ders: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, Refusal> {
        let list = ders.into_iter().map(X509::from_der);
        let list = list.collect::<Result<_, _>>();
        Ok(Self(list.map_err(|_| Refusal::Manufacturers)?))
    }
}

/// What an administrator trusts.
#[derive(Clone, Copy)]
pub struct Rules<'a> {
    /// Whose certificates convince. An empty list trusts nobody.
    pub manufacturers: &'a Manufacturers,
    /// Keys that were approved one by one, by [`EndorsementKey::hash`].
    pub approved: &'a [[u8; 32]],
    /// Whether the key that a device shows first is trusted from then on.
    pub first_use: bool,
}

/// Who speaks for an endorsement key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// A configured manufacturer, and what it says of the TPM.
    Manufacturer(Model),
    /// The administrator.
    Approved,
    /// Nobody: it was the first. It may be a program that plays a TPM.
    FirstUse,
}

/// A kind of TPM, as its certificate names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// The manufacturer's four letters in hexadecimal, such as `id:49424D00`.
    pub manufacturer: String,
    /// The part number.
    pub model: String,
    /// The firmware's version when the certificate was made, in hexadecimal.
    pub version: String,
}

/// Decides by what an endorsement key is trusted, if it is. A certificate may be followed by what
/// fills up its NV index.
pub fn trust(
    key: &EndorsementKey,
    certificate: Option<&[u8]>,
    rules: &Rules<'_>,
    now: UnixTime,
) -> Result<Trust, Refusal> {
    let refusal = match certificate {
        Some(certificate) if !rules.manufacturers.0.is_empty() => {
            match certified(key, certificate, rules.manufacturers, now) {
                Ok(model) => return Ok(Trust::Manufacturer(model)),
                Err(refusal) => refusal,
            }
        }
        _ => Refusal::UnknownTpm,
    };
    if rules.approved.contains(&key.hash()) {
        return Ok(Trust::Approved);
    }
    if rules.first_use {
        return Ok(Trust::FirstUse);
    }
    Err(refusal)
}

/// The rules of the TCG EK Credential Profile that a program can hold a certificate to.
fn certified(
    key: &EndorsementKey,
    certificate: &[u8],
    manufacturers: &Manufacturers,
    now: UnixTime,
) -> Result<Model, Refusal> {
    let not_one = Refusal::NotAnEndorsementCertificate;
    let certificate = X509::from_der(certificate).map_err(|_| not_one("it is not X.509"))?;
    let of_key = certificate.public_key().map_err(|_| not_one("its key"))?;
    if !of_key.public_eq(&key.key) {
        return Err(Refusal::OtherCertificate);
    }
    let der = certificate.to_der()?;
    if !der::purposes(&der).contains(&EK_CERTIFICATE) {
        return Err(not_one("its purpose is another"));
    }
    if der::is_authority(&der) {
        return Err(not_one("it is an authority's"));
    }
    let usage = match key.key.id() {
        Id::RSA => X509KeyUsage::KEY_ENCIPHERMENT,
        _ => X509KeyUsage::KEY_AGREEMENT,
    };
    if !certificate
        .key_usage()
        .is_some_and(|found| found.contains(usage))
    {
        return Err(not_one("its key is for another usage"));
    }
    let model = model(&certificate).ok_or(not_one("it does not name a kind of TPM"))?;
    is_issued(&certificate, manufacturers, now)?;
    Ok(model)
}

fn is_issued(
    certificate: &X509Ref,
    manufacturers: &Manufacturers,
    now: UnixTime,
) -> Result<(), Refusal> {
    let mut store = X509StoreBuilder::new()?;
    for manufacturer in &manufacturers.0 {
        store.add_cert(manufacturer.clone())?;
    }
    let mut rules = X509VerifyParam::new()?;
    rules.set_time(now.0);
    rules.set_auth_level(SECURITY_LEVEL);
    rules.set_flags(X509VerifyFlags::PARTIAL_CHAIN)?;
    store.set_param(&rules)?;
    let (store, between) = (store.build(), Stack::new()?);
    let result = X509StoreContext::new()?.init(&store, certificate, &between, |context| {
        let verified = context.verify_cert()?;
        Ok::<_, ErrorStack>((verified, context.error()))
    })?;
    // OpenSSL leaves on its queue why a signature is wrong: whatever this thread does next for somebody
    // else would be taken to have failed of it.
    drop(ErrorStack::get());
    match result {
        (true, _) => Ok(()),
        (false, why) => Err(Refusal::UnknownManufacturer(why.error_string().to_owned())),
    }
}

/// The three attributes of the directory name among the certificate's alternative names.
fn model(certificate: &X509Ref) -> Option<Model> {
    let names = certificate.subject_alt_names()?;
    let mut found = names.iter().filter_map(|name| name.directory_name());
    found.find_map(|name| {
        Some(Model {
            manufacturer: attribute(name, MANUFACTURER)?,
            model: attribute(name, MODEL)?,
            version: attribute(name, VERSION)?,
        })
    })
}

fn attribute(name: &X509NameRef, id: &str) -> Option<String> {
    let is_it = |object: &Asn1ObjectRef| object.to_string() == id;
    let entry = name.entries().find(|entry| is_it(entry.object()))?;
    entry.data().to_string().ok()
}
