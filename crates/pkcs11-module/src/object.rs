//! The token's three objects and their attributes (PKCS#11 2.40, section 4).

use std::ffi::c_ulong;

use ipc::CertAnswer;

use crate::rv::Rv;

/// Which of the three; the values are their handles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Certificate = 1,
    PrivateKey = 2,
    PublicKey = 3,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Certificate, Self::PrivateKey, Self::PublicKey];

    pub(crate) fn handle(self) -> c_ulong {
        self as c_ulong
    }

    pub(crate) fn of(handle: c_ulong) -> Result<Self, Rv> {
        let found = Self::ALL.into_iter().find(|kind| kind.handle() == handle);
        found.ok_or(Rv::OBJECT_HANDLE_INVALID)
    }
}

/// What the objects are made of.
pub(crate) struct Material {
    certificate: Vec<u8>,
    serial: Vec<u8>,
    issuer: Vec<u8>,
    subject: Vec<u8>,
    id: Vec<u8>,
    modulus: Vec<u8>,
    exponent: Vec<u8>,
}

impl Material {
    /// Reads the daemon's answer.
    pub(crate) fn read(answer: &CertAnswer) -> Option<Self> {
        let certificate = from_hex(&answer.certificate)?;
        let names = Names::of(&certificate)?;
        Some(Self {
            serial: names.serial.to_vec(),
            issuer: names.issuer.to_vec(),
            subject: names.subject.to_vec(),
            id: from_hex(&answer.key_id)?,
            modulus: from_hex(&answer.modulus)?,
            exponent: from_hex(&answer.exponent)?,
            certificate,
        })
    }

    /// The value of one attribute.
    pub(crate) fn attribute(&self, object: Kind, attribute: c_ulong) -> Result<Vec<u8>, Rv> {
        let yes = || Ok(vec![1]);
        let no = || Ok(vec![0]);
        let number = |value: c_ulong| Ok(value.to_ne_bytes().to_vec());
        match attribute {
            CKA_TOKEN => return yes(),
            CKA_MODIFIABLE => return no(),
            CKA_LABEL => return Ok(LABEL.to_vec()),
            CKA_ID => return Ok(self.id.clone()),
            CKA_SUBJECT => return Ok(self.subject.clone()),
            CKA_PRIVATE if object == Kind::PrivateKey => return yes(),
            CKA_PRIVATE => return no(),
            _ => {}
        }
        if object == Kind::Certificate {
            return match attribute {
                CKA_CLASS => number(CKO_CERTIFICATE),
                CKA_CERTIFICATE_TYPE => number(CKC_X_509),
                CKA_VALUE => Ok(self.certificate.clone()),
                CKA_ISSUER => Ok(self.issuer.clone()),
                CKA_SERIAL_NUMBER => Ok(self.serial.clone()),
                CKA_TRUSTED => no(),
                _ => Err(Rv::ATTRIBUTE_TYPE_INVALID),
            };
        }
        match attribute {
            CKA_KEY_TYPE => return number(CKK_RSA),
            CKA_MODULUS => return Ok(self.modulus.clone()),
            CKA_PUBLIC_EXPONENT => return Ok(self.exponent.clone()),
            CKA_DERIVE => return no(),
            CKA_LOCAL => return yes(),
            _ => {}
        }
        if object == Kind::PublicKey {
            return match attribute {
                CKA_CLASS => number(CKO_PUBLIC_KEY),
                CKA_MODULUS_BITS => number(self.modulus.len() as c_ulong * 8),
                CKA_ENCRYPT | CKA_VERIFY | CKA_WRAP => no(),
                _ => Err(Rv::ATTRIBUTE_TYPE_INVALID),
            };
        }
        match attribute {
            CKA_CLASS => number(CKO_PRIVATE_KEY),
            CKA_SIGN | CKA_SENSITIVE | CKA_ALWAYS_SENSITIVE | CKA_NEVER_EXTRACTABLE => yes(),
            CKA_DECRYPT | CKA_UNWRAP | CKA_SIGN_RECOVER => no(),
            CKA_EXTRACTABLE | CKA_ALWAYS_AUTHENTICATE => no(),
            CKA_PRIVATE_EXPONENT..=CKA_COEFFICIENT => Err(Rv::ATTRIBUTE_SENSITIVE),
            _ => Err(Rv::ATTRIBUTE_TYPE_INVALID),
        }
    }
}

/// The parts of a certificate that PKCS#11 wants as attributes, each with its DER header.
struct Names<'a> {
    serial: &'a [u8],
    issuer: &'a [u8],
    subject: &'a [u8],
}

impl<'a> Names<'a> {
    /// RFC 5280 4.1: version, serial, algorithm, issuer, validity, subject.
    fn of(certificate: &'a [u8]) -> Option<Self> {
        let (certificate, _) = element(certificate)?;
        let (signed, _) = element(certificate.content)?;
        let (version, rest) = element(signed.content)?;
        let (serial, rest) = if version.whole.first() == Some(&EXPLICIT_0) {
            element(rest)?
        } else {
            (version, rest)
        };
        let (_algorithm, rest) = element(rest)?;
        let (issuer, rest) = element(rest)?;
        let (_validity, rest) = element(rest)?;
        let (subject, _) = element(rest)?;
        Some(Self {
            serial: serial.whole,
            issuer: issuer.whole,
            subject: subject.whole,
        })
    }
}

struct Element<'a> {
    whole: &'a [u8],
    content: &'a [u8],
}

/// The first DER element and what follows it.
fn element(der: &[u8]) -> Option<(Element<'_>, &[u8])> {
    let (&[_tag, first], after) = der.split_first_chunk::<2>()?;
    let (length, after) = match first {
        0..=0x7f => (usize::from(first), after),
        0x81..=0x84 => {
            let (digits, after) = after.split_at_checked(usize::from(first & 0x7f))?;
            let length = digits
                .iter()
                .fold(0, |length, &digit| length << 8 | usize::from(digit));
            (length, after)
        }
        _ => return None,
    };
    let (content, rest) = after.split_at_checked(length)?;
    let whole = der.get(..der.len() - rest.len())?;
    Some((Element { whole, content }, rest))
}

pub(crate) fn from_hex(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    let digit = |digit: u8| char::from(digit).to_digit(16);
    pairs
        .iter()
        .map(|&[high, low]| Some((digit(high)? << 4 | digit(low)?) as u8))
        .collect()
}

pub(crate) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) const LABEL: &[u8] = b"Latchkey";

const EXPLICIT_0: u8 = 0xa0;

pub(crate) const CKO_CERTIFICATE: c_ulong = 1;
pub(crate) const CKO_PUBLIC_KEY: c_ulong = 2;
pub(crate) const CKO_PRIVATE_KEY: c_ulong = 3;
const CKC_X_509: c_ulong = 0;
const CKK_RSA: c_ulong = 0;

pub(crate) const CKA_CLASS: c_ulong = 0x000;
const CKA_TOKEN: c_ulong = 0x001;
const CKA_PRIVATE: c_ulong = 0x002;
const CKA_LABEL: c_ulong = 0x003;
pub(crate) const CKA_VALUE: c_ulong = 0x011;
const CKA_CERTIFICATE_TYPE: c_ulong = 0x080;
pub(crate) const CKA_ISSUER: c_ulong = 0x081;
pub(crate) const CKA_SERIAL_NUMBER: c_ulong = 0x082;
const CKA_TRUSTED: c_ulong = 0x086;
const CKA_KEY_TYPE: c_ulong = 0x100;
pub(crate) const CKA_SUBJECT: c_ulong = 0x101;
pub(crate) const CKA_ID: c_ulong = 0x102;
const CKA_SENSITIVE: c_ulong = 0x103;
const CKA_ENCRYPT: c_ulong = 0x104;
const CKA_DECRYPT: c_ulong = 0x105;
const CKA_WRAP: c_ulong = 0x106;
const CKA_UNWRAP: c_ulong = 0x107;
const CKA_SIGN: c_ulong = 0x108;
const CKA_SIGN_RECOVER: c_ulong = 0x109;
const CKA_VERIFY: c_ulong = 0x10a;
const CKA_DERIVE: c_ulong = 0x10c;
pub(crate) const CKA_MODULUS: c_ulong = 0x120;
const CKA_MODULUS_BITS: c_ulong = 0x121;
const CKA_PUBLIC_EXPONENT: c_ulong = 0x122;
pub(crate) const CKA_PRIVATE_EXPONENT: c_ulong = 0x123;
const CKA_COEFFICIENT: c_ulong = 0x128;
const CKA_EXTRACTABLE: c_ulong = 0x162;
const CKA_LOCAL: c_ulong = 0x163;
const CKA_NEVER_EXTRACTABLE: c_ulong = 0x164;
const CKA_ALWAYS_SENSITIVE: c_ulong = 0x165;
const CKA_MODIFIABLE: c_ulong = 0x170;
const CKA_ALWAYS_AUTHENTICATE: c_ulong = 0x202;
