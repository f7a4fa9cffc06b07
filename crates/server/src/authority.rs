//! The device authority: an authority of its own, below which there are device certificates and
//! nothing else. Neither TLS nor any KDC trusts it.
//!
//! It may have a predecessor, which signs nothing any more: what that issued is good to its end, and a
//! device's next certificate is by the new one.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use model::{Guid, UnixTime};
use openssl::{
    asn1::{Asn1Object, Asn1OctetString, Asn1Time},
    bn::{BigNum, MsbOption},
    error::ErrorStack,
    hash::MessageDigest,
    nid::Nid,
    pkey::{PKey, Private, Public},
    rsa::Rsa,
    x509::{
        X509, X509Extension, X509Name, X509Ref, X509Req,
        extension::{BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectKeyIdentifier},
    },
};

const YEAR_S: i64 = 365 * 86_400;
const AUTHORITY_S: i64 = 20 * YEAR_S;

/// Of devices that ask for the next one in time, which are ours.
const RENEWED_S: i64 = 180 * 86_400;

/// Of others: no client of theirs renews one (MS-DVRJ).
const FOREIGN_S: i64 = 10 * YEAR_S;

/// A device's clock may be behind ours by so much.
const BACKDATED_S: i64 = 3600;

/// MS-DVRJ 3.1.5.1.1.1: the device's id.
const DEVICE_ID: &str = "1.2.840.113556.1.5.284.2";

/// The tenant's id, as Entra ID writes it beside those of MS-DVRJ.
const TENANT_ID: &str = "1.2.840.113556.1.5.284.5";

/// The authority's key and certificate.
pub(crate) struct Authority {
    key: PKey<Private>,
    certificate: X509,
    former: Option<X509>,
}

/// What a certificate is to say.
pub(crate) struct Issue<'a> {
    /// The device.
    pub(crate) device: Guid,
    /// Its tenant.
    pub(crate) tenant: Guid,
    /// Its key.
    pub(crate) key: &'a PKey<Public>,
    /// Whether the device asks for the next one before this one ends.
    pub(crate) renews: bool,
}

/// Why a certificate request is refused, for the person who reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadRequest(pub(crate) &'static str);

/// Makes an RSA key of 2,048 bits.
pub(crate) fn make_key() -> Result<PKey<Private>, ErrorStack> {
    PKey::from_rsa(Rsa::generate(2048)?)
}

impl Authority {
    /// A new one for a tenant.
    pub(crate) fn make(tenant: Guid, now: UnixTime) -> Result<Self, ErrorStack> {
        let key = make_key()?;
        let name = common_name(&format!("Latchkey devices {tenant}"))?;
        let mut builder = X509::builder()?;
        builder.set_version(2)?;
        builder.set_serial_number(&*serial()?)?;
        builder.set_subject_name(&name)?;
        builder.set_issuer_name(&name)?;
        builder.set_not_before(&*time(now.plus(-BACKDATED_S))?)?;
        builder.set_not_after(&*time(now.plus(AUTHORITY_S))?)?;
        builder.set_pubkey(&key)?;
        builder.append_extension(BasicConstraints::new().critical().ca().pathlen(0).build()?)?;
        builder.append_extension(KeyUsage::new().critical().key_cert_sign().build()?)?;
        let context = builder.x509v3_context(None, None);
        let key_id = SubjectKeyIdentifier::new().build(&context)?;
        builder.append_extension(key_id)?;
        builder.sign(&key, MessageDigest::sha256())?;
        Ok(Self::new(key, builder.build(), None))
    }

    /// One that was made before, and its predecessor's certificate.
    pub(crate) fn new(key: PKey<Private>, certificate: X509, former: Option<X509>) -> Self {
        Self {
            key,
            certificate,
            former,
        }
    }

    /// Its certificate and its predecessor's.
    pub(crate) fn certificates(&self) -> impl Iterator<Item = &X509> {
        std::iter::once(&self.certificate).chain(&self.former)
    }

    /// Its key in DER, to be sealed.
    pub(crate) fn key_der(&self) -> Result<Vec<u8>, ErrorStack> {
        self.key.private_key_to_der()
    }

    /// Its certificate in DER.
    pub(crate) fn certificate_der(&self) -> Result<Vec<u8>, ErrorStack> {
        self.certificate.to_der()
    }

    /// Issues the certificate of a device; a device's id is its subject, and nothing of what the
    /// request says besides its key goes in.
    pub(crate) fn issue(&self, issue: &Issue<'_>, now: UnixTime) -> Result<X509, ErrorStack> {
        let Issue { device, tenant, .. } = *issue;
        let life = if issue.renews { RENEWED_S } else { FOREIGN_S };
        let mut builder = X509::builder()?;
        builder.set_version(2)?;
        builder.set_serial_number(&*serial()?)?;
        // Clients take the device's id out of the first or the last attribute: there is only one.
        builder.set_subject_name(&*common_name(&device.to_string())?)?;
        builder.set_issuer_name(self.certificate.subject_name())?;
        builder.set_not_before(&*time(now.plus(-BACKDATED_S))?)?;
        builder.set_not_after(&*time(now.plus(life))?)?;
        builder.set_pubkey(issue.key)?;
        builder.append_extension(BasicConstraints::new().critical().build()?)?;
        builder.append_extension(ExtendedKeyUsage::new().critical().client_auth().build()?)?;
        builder.append_extension(guid_extension(DEVICE_ID, device)?)?;
        builder.append_extension(guid_extension(TENANT_ID, tenant)?)?;
        builder.sign(&self.key, MessageDigest::sha256())?;
        Ok(builder.build())
    }

    /// Whether a certificate is one of ours and valid at `now`.
    pub(crate) fn has_issued(
        &self,
        certificate: &X509Ref,
        now: UnixTime,
    ) -> Result<bool, ErrorStack> {
        let now = time(now)?;
        if certificate.not_before() > now || certificate.not_after() <= now {
            return Ok(false);
        }
        for authority in self.certificates() {
            if certificate
                .verify(&*authority.public_key()?)
                .unwrap_or(false)
            {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Reads a PKCS#10 request (base64 DER) and gives its key, which must be RSA with 2,048 bits and
/// have signed the request.
pub(crate) fn requested_key(base64: &str) -> Result<PKey<Public>, BadRequest> {
    let der = STANDARD
        .decode(base64)
        .map_err(|_| BadRequest("the certificate request is not base64"))?;
    let request = X509Req::from_der(&der)
        .map_err(|_| BadRequest("the certificate request is not PKCS#10"))?;
    let key = request
        .public_key()
        .map_err(|_| BadRequest("the certificate request holds no key that can be read"))?;
    if key.rsa().map_or(true, |rsa| rsa.n().num_bits() != 2048) {
        return Err(BadRequest(
            "the key of the certificate request is not RSA with 2,048 bits",
        ));
    }
    match request.verify(&key) {
        Ok(true) => Ok(key),
        Ok(false) | Err(_) => Err(BadRequest(
            "the certificate request is not signed by the key in it",
        )),
    }
}

/// The only common name in a certificate's subject, if there is exactly one.
pub(crate) fn subject_name(certificate: &X509Ref) -> Option<String> {
    let mut names = certificate.subject_name().entries_by_nid(Nid::COMMONNAME);
    let name = names.next()?.data().to_string().ok()?;
    names.next().is_none().then_some(name)
}

fn common_name(text: &str) -> Result<X509Name, ErrorStack> {
    let mut name = X509Name::builder()?;
    name.append_entry_by_nid(Nid::COMMONNAME, text)?;
    Ok(name.build())
}

/// As MS-DVRJ's sample has it: an octet string within, of which the length is in the long form,
/// although DER would have it short. Clients that look for exactly these bytes exist.
fn guid_extension(oid: &str, guid: Guid) -> Result<X509Extension, ErrorStack> {
    let value = [&[0x04, 0x81, 0x10][..], &guid.to_le_bytes()].concat();
    let (oid, value) = (
        Asn1Object::from_str(oid)?,
        Asn1OctetString::new_from_bytes(&value)?,
    );
    X509Extension::new_from_der(&oid, false, &value)
}

fn serial() -> Result<openssl::asn1::Asn1Integer, ErrorStack> {
    let mut serial = BigNum::new()?;
    serial.rand(127, MsbOption::MAYBE_ZERO, false)?;
    serial.to_asn1_integer()
}

fn time(time: UnixTime) -> Result<Asn1Time, ErrorStack> {
    Asn1Time::from_unix(time.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixTime = UnixTime(1_800_000_000);

    fn guid(byte: u8) -> Guid {
        Guid::from_le_bytes([byte; 16])
    }

    fn public(key: &PKey<Private>) -> PKey<Public> {
        PKey::public_key_from_der(&key.public_key_to_der().unwrap()).unwrap()
    }

    fn issue(key: &PKey<Public>, renews: bool) -> Issue<'_> {
        Issue {
            device: guid(2),
            tenant: guid(1),
            key,
            renews,
        }
    }

    #[test]
    fn what_an_authority_issued_is_good_to_its_end_after_another_has_followed() {
        let old = Authority::make(guid(1), NOW).unwrap();
        let key = public(&make_key().unwrap());
        let certificate = old.issue(&issue(&key, true), NOW).unwrap();
        let new = Authority::make(guid(1), NOW).unwrap();
        let former = X509::from_der(&old.certificate_der().unwrap()).unwrap();
        let both = Authority::new(new.key, new.certificate, Some(former));
        assert!(both.has_issued(&certificate, NOW).unwrap());
        assert!(!both.has_issued(&certificate, NOW.plus(RENEWED_S)).unwrap());
        let next = both.issue(&issue(&key, true), NOW).unwrap();
        assert!(both.has_issued(&next, NOW).unwrap());
        assert!(!old.has_issued(&next, NOW).unwrap());
    }

    #[test]
    fn a_device_certificate_is_of_its_authority_and_of_no_other() {
        let ours = Authority::make(guid(1), NOW).unwrap();
        let other = Authority::make(guid(1), NOW).unwrap();
        let key = public(&make_key().unwrap());
        let certificate = ours.issue(&issue(&key, false), NOW).unwrap();
        assert_eq!(subject_name(&certificate).unwrap(), guid(2).to_string());
        assert!(ours.has_issued(&certificate, NOW).unwrap());
        assert!(!other.has_issued(&certificate, NOW).unwrap());
        assert!(!ours.has_issued(&certificate, NOW.plus(FOREIGN_S)).unwrap());
        assert!(
            !ours
                .has_issued(&certificate, NOW.plus(-2 * BACKDATED_S))
                .unwrap()
        );
    }

    #[test]
    fn a_device_certificate_carries_its_ids_as_microsoft_writes_them() {
        let ours = Authority::make(guid(1), NOW).unwrap();
        let key = public(&make_key().unwrap());
        let der = ours
            .issue(&issue(&key, true), NOW)
            .unwrap()
            .to_der()
            .unwrap();
        for byte in [1, 2] {
            let value = [&[0x04, 0x13, 0x04, 0x81, 0x10][..], &[byte; 16]].concat();
            assert!(der.windows(value.len()).any(|part| part == value), "{byte}");
        }
    }

    #[test]
    fn a_request_must_be_signed_by_its_own_key() {
        let (one, other) = (make_key().unwrap(), make_key().unwrap());
        let request = |signer: &PKey<Private>| {
            let mut builder = X509Req::builder().unwrap();
            builder.set_pubkey(&one).unwrap();
            builder.sign(signer, MessageDigest::sha256()).unwrap();
            STANDARD.encode(builder.build().to_der().unwrap())
        };
        assert!(requested_key(&request(&one)).unwrap().public_eq(&one));
        assert!(requested_key(&request(&other)).is_err());
        assert!(requested_key("x").is_err());
    }
}
