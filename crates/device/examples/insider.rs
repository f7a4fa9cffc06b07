//! What root on a workstation can do with the device's own keys, for tests that defend against it.
//!
//! The daemon must not run: the TPM of a lab talks with one program at a time. Each verb reads its
//! object from standard input.
//!
//! ```text
//! insider kdc-certificate NAME…    SPKI PEM → a KDC's certificate of the device root, PEM
//! insider sign                     bytes → the device key's signature, base64
//! insider prove SERVICE            bytes → {"token","mic"} with the caller's own Kerberos ticket
//! ```

use std::{
    io::{Read as _, Write as _},
    path::Path,
};

use anyhow::{Context as _, Result, bail, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use keycred::RsaPublicKey;
use model::Secret;
use openssl::{pkey::PKey, x509::X509};
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyUsagePurpose, PKCS_RSA_SHA256, PublicKeyData, SerialNumber, SignatureAlgorithm, SigningKey,
};
use serde::Deserialize;
use time::{Duration, OffsetDateTime};
use tpm::{KeyBlob, Tpm};

const STATE: &str = "/var/lib/latchkey";
const ROOT: &str = "/run/latchkey/pki/device-root.pem";
const TCTI: &str = "swtpm:host=127.0.0.1,port=2321";

/// id-pkinit-KPKdc (RFC 4556).
const KDC: [u64; 8] = [1, 3, 6, 1, 5, 2, 3, 5];

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let mut input = Vec::new();
    std::io::stdin().read_to_end(&mut input)?;
    let answer = match words.split_first() {
        Some((verb, names)) if verb == "kdc-certificate" => kdc_certificate(&input, names)?,
        Some((verb, _)) if verb == "sign" => {
            let device = Device::read()?;
            STANDARD.encode(device.sign(&device.keys.device, &input)?)
        }
        Some((verb, service)) if verb == "prove" => {
            let service = service.first().context("prove for which service?")?;
            let proof = kerberos::gss::initiate(service, &input)?;
            serde_json::json!({
                "token": STANDARD.encode(proof.token),
                "mic": STANDARD.encode(proof.mic),
            })
            .to_string()
        }
        _ => bail!("insider kdc-certificate NAME… | sign | prove SERVICE"),
    };
    std::io::stdout().write_all(answer.as_bytes())?;
    Ok(())
}

/// The parts of the daemon's state that matter here.
#[derive(Deserialize)]
struct State {
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    keys: Keys,
}

#[derive(Deserialize)]
struct Keys {
    device: KeyBlob,
    root: KeyBlob,
}

struct Device {
    keys: Keys,
    auth: Secret<[u8; 32]>,
}

impl Device {
    fn read() -> Result<Self> {
        let folder = Path::new(STATE);
        let state: State = serde_json::from_slice(&std::fs::read(folder.join("device.json"))?)?;
        let auth: [u8; 32] = std::fs::read(folder.join("device-keys.auth"))?
            .as_slice()
            .try_into()?;
        Ok(Self {
            keys: state.data.keys,
            auth: Secret::new(auth),
        })
    }

    fn sign(&self, key: &KeyBlob, message: &[u8]) -> Result<Vec<u8>> {
        let mut tpm = Tpm::open(TCTI)?;
        Ok(tpm.sign(key, &self.auth, &model::sha256(message))?)
    }
}

/// The device root as the certificate builder sees it.
struct Root {
    device: Device,
    public: Vec<u8>,
}

impl PublicKeyData for Root {
    fn der_bytes(&self) -> &[u8] {
        &self.public
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_RSA_SHA256
    }
}

impl SigningKey for Root {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let signed = self.device.sign(&self.device.keys.root, message);
        signed.map_err(|_| rcgen::Error::RemoteKeyError)
    }
}

struct Subject(Vec<u8>);

impl PublicKeyData for Subject {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_RSA_SHA256
    }
}

/// A certificate with every mark of a KDC's on it, under the root that only issues users' leaves.
fn kdc_certificate(spki_pem: &[u8], names: &[String]) -> Result<String> {
    ensure!(!names.is_empty(), "a KDC's certificate carries names");
    let device = Device::read()?;
    let public = device.keys.root.public_key()?;
    let root = Root {
        public: public.rsa()?.public_key_to_der_pkcs1()?,
        device,
    };
    let certificate = X509::from_pem(&std::fs::read(ROOT)?)?;
    let subject = PKey::public_key_from_pem(spki_pem)?;
    RsaPublicKey::from_spki_der(&subject.public_key_to_der()?)?;
    let subject = Subject(subject.rsa()?.public_key_to_der_pkcs1()?);

    let mut params = CertificateParams::new(names.to_vec())?;
    params.distinguished_name = common_name(names.first().map_or("", String::as_str));
    params.not_before = OffsetDateTime::now_utc() - Duration::hours(1);
    params.not_after = OffsetDateTime::now_utc() + Duration::days(1);
    params.serial_number = Some(SerialNumber::from_slice(&[1]));
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::Other(KDC.to_vec())];
    let mut issuer = CertificateParams::default();
    issuer.distinguished_name = common_name(&subject_of(&certificate)?);
    let issued = params.signed_by(&subject, &Issuer::new(issuer, root))?;
    Ok(String::from_utf8(X509::from_der(issued.der())?.to_pem()?)?)
}

fn common_name(name: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, name);
    names
}

fn subject_of(certificate: &X509) -> Result<String> {
    let mut names = certificate
        .subject_name()
        .entries_by_nid(openssl::nid::Nid::COMMONNAME);
    let name = names.next().context("the root has no name")?;
    Ok(name.data().to_string()?)
}
