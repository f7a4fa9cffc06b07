//! The device authority: an authority of its own, below which there are device certificates and
//! nothing else. Neither TLS nor any KDC trusts it.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use model::{Guid, UnixTime};
use openssl::{
    asn1::{Asn1Object, Asn1OctetString, Asn1Time},
    bn::{BigNum, MsbOption},
    error::ErrorStack,
    hash::MessageDigest,
    nid::Nid,
    pkey::{PKey, PKeyRef, Private, Public},
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

/// No certificate of a device lives longer.
pub(crate) const LONGEST_S: i64 = FOREIGN_S;

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
        Ok(Self::new(key, builder.build()))
    }

    /// One that was made before.
    pub(crate) fn new(key: PKey<Private>, certificate: X509) -> Self {
        Self { key, certificate }
    }

    /// Its certificate.
    pub(crate) fn certificate(&self) -> &X509 {
        &self.certificate
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

    /// Whether `now` is between beginning and end of a certificate.
    pub(crate) fn is_in_its_time(certificate: &X509Ref, now: UnixTime) -> Result<bool, ErrorStack> {
        let now = time(now)?;
        Ok(certificate.not_before() <= now && certificate.not_after() > now)
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
    match is_good(request.verify(&key)) {
        true => Ok(key),
        false => Err(BadRequest(
            "the certificate request is not signed by the key in it",
        )),
    }
}

/// Whether a key has signed a certificate.
pub(crate) fn has_signed(key: &PKeyRef<Public>, certificate: &X509Ref) -> bool {
    is_good(certificate.verify(key))
}

/// What came of looking at a signature. OpenSSL leaves on its queue why one is wrong, and whatever this
/// thread does next for somebody else, a TLS connection, would be taken to have failed of it.
fn is_good(verified: Result<bool, ErrorStack>) -> bool {
    let is_good = verified.unwrap_or(false);
    drop(ErrorStack::get());
    is_good
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
        assert!(ErrorStack::get().errors().is_empty());
        assert!(requested_key("x").is_err());
    }
}
