//! The certificates that this device makes itself: its own, its root, and a leaf for each user.
//!
//! All are signed in the TPM, so the builder gets a signer and no key. The root issues the leaves
//! because MIT's client sends no certificate at all where the chain has a single one, and is a CA
//! of this device alone: it goes to libkrb5 with each call and into no list of anchors.

use std::cell::RefCell;

use keycred::RsaPublicKey;
use model::{Guid, UnixTime};
use openssl::rsa::Rsa;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, DnValue,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyUsagePurpose, OtherNameValue,
    PKCS_RSA_SHA256, PublicKeyData, SanType, SerialNumber, SignatureAlgorithm, SigningKey,
};
use time::OffsetDateTime;

use crate::Error;

/// How long a user's leaf is valid.
pub(crate) const LEAF_LIFETIME_S: i64 = 30 * DAY_S;

/// How long the device's own certificate and its root are: a TPM's life.
const LONG_LIFETIME_S: i64 = 20 * 365 * DAY_S;

/// A KDC's clock may be behind ours.
const BACKDATED_S: i64 = 3600;

const DAY_S: i64 = 24 * 3600;

/// Signs SHA-256 digests, RSASSA-PKCS1-v1_5.
pub(crate) type Sign<'a> = &'a dyn Fn(&[u8; 32]) -> Result<Vec<u8>, Error>;

/// A key in the TPM as the builder sees it.
pub(crate) struct Signer<'a> {
    public: Vec<u8>,
    sign: Sign<'a>,
    failure: RefCell<Option<Error>>,
}

impl<'a> Signer<'a> {
    /// The key `public`, which signs by `sign`.
    pub(crate) fn new(public: &RsaPublicKey, sign: Sign<'a>) -> Result<Self, Error> {
        Ok(Self {
            public: pkcs1(public)?,
            sign,
            failure: RefCell::new(None),
        })
    }

    /// The signer's own failure says more than the builder's.
    fn failure(&self, error: &rcgen::Error) -> Error {
        tracing::warn!(%error, "a certificate was not built");
        self.failure
            .take()
            .unwrap_or(Error::Bug("a certificate cannot be built"))
    }
}

impl PublicKeyData for Signer<'_> {
    fn der_bytes(&self) -> &[u8] {
        &self.public
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_RSA_SHA256
    }
}

impl SigningKey for Signer<'_> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        (self.sign)(&model::sha256(message)).map_err(|error| {
            self.failure.replace(Some(error));
            rcgen::Error::RemoteKeyError
        })
    }
}

/// A key that only gets a certificate.
struct Subject(Vec<u8>);

impl PublicKeyData for Subject {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_RSA_SHA256
    }
}

/// The computer's own certificate for its `userCertificate` in AD: the subject is the device id.
pub(crate) fn own(device: Guid, signer: &Signer<'_>, now: UnixTime) -> Result<Vec<u8>, Error> {
    let mut params = params(&device.to_string(), &signer.public, now, LONG_LIFETIME_S)?;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let built = params.self_signed(signer);
    Ok(built
        .map_err(|error| signer.failure(&error))?
        .der()
        .to_vec())
}

/// The device root's certificate.
pub(crate) fn root(device: Guid, signer: &Signer<'_>, now: UnixTime) -> Result<Vec<u8>, Error> {
    let built = root_params(device, signer, now)?.self_signed(signer);
    Ok(built
        .map_err(|error| signer.failure(&error))?
        .der()
        .to_vec())
}

/// A user's leaf: what a KDC must see beside the key itself is the principal name (Samba refuses
/// a certificate without one even under key trust).
pub(crate) fn leaf(
    device: Guid,
    root: &Signer<'_>,
    user: &RsaPublicKey,
    principal: &str,
    now: UnixTime,
) -> Result<Vec<u8>, Error> {
    let subject = Subject(pkcs1(user)?);
    let mut params = params(principal, &subject.0, now, LEAF_LIFETIME_S)?;
    let name = OtherNameValue::Utf8String(principal.to_owned());
    params.subject_alt_names = vec![SanType::OtherName((UPN.to_vec(), name))];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::Other(SMARTCARD_LOGON.to_vec()),
        ExtendedKeyUsagePurpose::Other(PKINIT_CLIENT.to_vec()),
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    params.use_authority_key_identifier_extension = true;
    let issuer = Issuer::new(root_params(device, root, now)?, root);
    let built = params.signed_by(&subject, &issuer);
    Ok(built.map_err(|error| root.failure(&error))?.der().to_vec())
}

/// The PKCS#10 request for the server's device certificate (MS-DVRJ: the subject is a constant).
pub(crate) fn request(signer: &Signer<'_>) -> Result<Vec<u8>, Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name = name(JOIN_SUBJECT);
    let built = params.serialize_request(signer);
    Ok(built
        .map_err(|error| signer.failure(&error))?
        .der()
        .to_vec())
}

fn root_params(
    device: Guid,
    signer: &Signer<'_>,
    now: UnixTime,
) -> Result<CertificateParams, Error> {
    let name = format!("Latchkey device root {device}");
    let mut params = params(&name, &signer.public, now, LONG_LIFETIME_S)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    Ok(params)
}

fn params(
    common_name: &str,
    public: &[u8],
    now: UnixTime,
    lifetime_s: i64,
) -> Result<CertificateParams, Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name = name(common_name);
    params.not_before = date(now.plus(-BACKDATED_S))?;
    params.not_after = date(now.plus(lifetime_s))?;
    params.serial_number = Some(serial()?);
    params.is_ca = IsCa::ExplicitNoCa;
    // RFC 7093: any hash of the key will do.
    let id = model::sha256(public);
    params.key_identifier_method =
        KeyIdMethod::PreSpecified(id.first_chunk::<20>().copied().unwrap_or_default().to_vec());
    Ok(params)
}

fn name(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(
        DnType::CommonName,
        DnValue::Utf8String(common_name.to_owned()),
    );
    name
}

fn date(time: UnixTime) -> Result<OffsetDateTime, Error> {
    OffsetDateTime::from_unix_timestamp(time.0).map_err(|_| Error::Bug("a date is out of range"))
}

/// Random and positive.
fn serial() -> Result<SerialNumber, Error> {
    let mut bytes = [0; 16];
    openssl::rand::rand_bytes(&mut bytes)?;
    Ok(SerialNumber::from_slice(&bytes))
}

fn pkcs1(public: &RsaPublicKey) -> Result<Vec<u8>, Error> {
    let key = Rsa::public_key_from_der(&public.to_spki_der())?;
    Ok(key.public_key_to_der_pkcs1()?)
}

/// szOID_NT_PRINCIPAL_NAME.
const UPN: [u64; 10] = [1, 3, 6, 1, 4, 1, 311, 20, 2, 3];
/// szOID_KP_SMARTCARD_LOGON.
const SMARTCARD_LOGON: [u64; 10] = [1, 3, 6, 1, 4, 1, 311, 20, 2, 2];
/// id-pkinit-KPClientAuth (RFC 4556).
const PKINIT_CLIENT: [u64; 8] = [1, 3, 6, 1, 5, 2, 3, 4];
/// The subject of every join request (MS-DVRJ).
const JOIN_SUBJECT: &str = "7E980AD9-B86D-4306-9425-9AC066FB014A";

#[cfg(test)]
mod tests {
    use openssl::{
        hash::MessageDigest,
        pkey::{PKey, Private},
        sign::Signer as OpensslSigner,
        stack::Stack,
        x509::{X509, X509Req, X509StoreContext, store::X509StoreBuilder},
    };

    use super::*;

    const NOW: UnixTime = UnixTime(1_800_000_000);

    /// A key of OpenSSL's in the place of the TPM's, which only signs digests.
    fn key() -> (PKey<Private>, RsaPublicKey) {
        let key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
        let public = RsaPublicKey::from_spki_der(&key.public_key_to_der().unwrap()).unwrap();
        (key, public)
    }

    fn sign_digest(key: &PKey<Private>, digest: &[u8; 32]) -> Vec<u8> {
        let mut context = openssl::pkey_ctx::PkeyCtx::new(key).unwrap();
        context.sign_init().unwrap();
        context
            .set_rsa_padding(openssl::rsa::Padding::PKCS1)
            .unwrap();
        context.set_signature_md(openssl::md::Md::sha256()).unwrap();
        let mut signature = Vec::new();
        context.sign_to_vec(digest, &mut signature).unwrap();
        signature
    }

    /// As OpenSSL prints it; releases differ in the spaces around an equals sign.
    fn text(certificate: &X509) -> String {
        let text = String::from_utf8(certificate.to_text().unwrap()).unwrap();
        text.replace(" = ", "=")
    }

    fn device() -> Guid {
        Guid::from_le_bytes([7; 16])
    }

    #[test]
    fn a_leaf_verifies_under_its_root_and_carries_what_a_kdc_asks_for() {
        let ((root_key, root_public), (_, user_public)) = (key(), key());
        let sign = |digest: &[u8; 32]| Ok(sign_digest(&root_key, digest));
        let signer = Signer::new(&root_public, &sign).unwrap();
        let root = X509::from_der(&root(device(), &signer, NOW).unwrap()).unwrap();
        let leaf = leaf(device(), &signer, &user_public, "alice@corp.test", NOW).unwrap();
        let leaf = X509::from_der(&leaf).unwrap();

        let mut store = X509StoreBuilder::new().unwrap();
        store.add_cert(root.clone()).unwrap();
        let mut time = openssl::x509::verify::X509VerifyParam::new().unwrap();
        time.set_time(NOW.0);
        store.set_param(&time).unwrap();
        let verified = X509StoreContext::new()
            .unwrap()
            .init(&store.build(), &leaf, &Stack::new().unwrap(), |c| {
                c.verify_cert()
            })
            .unwrap();
        assert!(verified);

        let leaf_text = text(&leaf);
        for part in [
            "Subject: CN=alice@corp.test",
            "Issuer: CN=Latchkey device root 07070707-0707-0707-0707-070707070707",
            "Digital Signature",
            "PKINIT Client Auth",
            "Microsoft Smartcard Login",
            "CA:FALSE",
            "Subject Key Identifier",
        ] {
            assert!(leaf_text.contains(part), "{part} is not in\n{leaf_text}");
        }
        let root_text = text(&root);
        assert!(root_text.contains("CA:TRUE, pathlen:0"), "{root_text}");
    }

    #[test]
    fn the_computer_s_certificate_and_the_request_are_signed_by_their_key() {
        let (key, public) = key();
        let sign = |digest: &[u8; 32]| Ok(sign_digest(&key, digest));
        let signer = Signer::new(&public, &sign).unwrap();
        let own = X509::from_der(&own(device(), &signer, NOW).unwrap()).unwrap();
        assert!(own.verify(&key).unwrap());
        let request = X509Req::from_der(&request(&signer).unwrap()).unwrap();
        assert!(request.verify(&key).unwrap());
    }

    #[test]
    fn the_signer_s_failure_is_the_one_reported() {
        let (_, public) = key();
        let sign = |_: &[u8; 32]| Err(Error::Bug("no"));
        let signer = Signer::new(&public, &sign).unwrap();
        let error = own(device(), &signer, NOW).unwrap_err();
        assert_eq!(error.to_string(), Error::Bug("no").to_string());
    }

    #[test]
    fn a_signature_over_a_digest_is_one_over_the_message() {
        let (key, _) = key();
        let mut signer = OpensslSigner::new(MessageDigest::sha256(), &key).unwrap();
        let whole = signer.sign_oneshot_to_vec(b"message").unwrap();
        assert_eq!(whole, sign_digest(&key, &model::sha256(b"message")));
    }
}
