//! An RSA public key and the three forms it is written in.
//!
//! Numbers are held without leading zeros: Samba's KDC encodes the numbers of a value as they
//! stand and compares the outcome with the certificate's, so a zero too many never matches.

use model::sha256;

use crate::{Error, der, roca};

/// An RSA public key: an odd modulus of at most 16,384 bits and an odd exponent of at most 64.
///
/// Whether a key is strong enough is not asked here; the server asks that of what is registered.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct RsaPublicKey {
    modulus: Vec<u8>,
    exponent: Vec<u8>,
}

const MAX_MODULUS: usize = 2048;
const MAX_EXPONENT: usize = 8;

impl RsaPublicKey {
    /// From the two numbers, big-endian; leading zeros are dropped.
    pub fn from_components(modulus: &[u8], exponent: &[u8]) -> Result<Self, Error> {
        let (modulus, exponent) = (without_zeros(modulus), without_zeros(exponent));
        if modulus.len() > MAX_MODULUS {
            return Err(Error::Key("the modulus has more than 16,384 bits"));
        }
        if exponent.len() > MAX_EXPONENT {
            return Err(Error::Key("the exponent has more than 64 bits"));
        }
        let odd = |number: &[u8]| number.last().is_some_and(|byte| byte & 1 == 1);
        if !odd(modulus) || !odd(exponent) {
            return Err(Error::Key("the modulus or the exponent is not odd"));
        }
        Ok(Self {
            modulus: modulus.to_vec(),
            exponent: exponent.to_vec(),
        })
    }

    /// From a DER SubjectPublicKeyInfo with `rsaEncryption` and NULL (RFC 3279 2.3.1).
    pub fn from_spki_der(der: &[u8]) -> Result<Self, Error> {
        let bad = Error::Key("not a DER SubjectPublicKeyInfo of an RSA key");
        let key = der::take(der::SEQUENCE, der)
            .and_then(|(content, _)| content.strip_prefix(der::RSA_ENCRYPTION))
            .and_then(|bit_string| der::take(der::BIT_STRING, bit_string))
            .and_then(|(bits, _)| bits.strip_prefix(&[0]))
            .ok_or_else(|| bad.clone())
            .and_then(Self::from_pkcs1_der)?;
        if key.to_spki_der() == der {
            Ok(key)
        } else {
            Err(bad)
        }
    }

    /// From a DER RSAPublicKey (RFC 8017 A.1.1).
    pub fn from_pkcs1_der(der: &[u8]) -> Result<Self, Error> {
        let bad = Error::Key("not a DER RSAPublicKey");
        let numbers = || {
            let (content, _) = der::take(der::SEQUENCE, der)?;
            let (modulus, rest) = der::take(der::INTEGER, content)?;
            let (exponent, _) = der::take(der::INTEGER, rest)?;
            Some((modulus, exponent))
        };
        let (modulus, exponent) = numbers().ok_or_else(|| bad.clone())?;
        let key = Self::from_components(modulus, exponent)?;
        // DER has one form for a key: whatever differs from it was not DER, or had a tail.
        if key.to_pkcs1_der() == der {
            Ok(key)
        } else {
            Err(bad)
        }
    }

    /// From a BCRYPT_RSAKEY_BLOB with the magic `RSA1`, as Windows Hello writes user keys.
    pub fn from_rsa1(blob: &[u8]) -> Result<Self, Error> {
        let rsa1 = Rsa1::read(blob)?;
        let key = Self::from_components(rsa1.modulus, rsa1.exponent)?;
        if rsa1.bits != key.bits() {
            return Err(Error::Key("BitLength does not agree with the modulus"));
        }
        Ok(key)
    }

    /// The BCRYPT_RSAKEY_BLOB; for RSA-2048 with exponent 65537 it has 283 bytes.
    pub fn to_rsa1(&self) -> Vec<u8> {
        let mut blob = MAGIC_RSA1.to_vec();
        let lengths = [
            self.bits(),
            self.exponent.len() as u32,
            self.modulus.len() as u32,
            0,
            0,
        ];
        for length in lengths {
            blob.extend_from_slice(&length.to_le_bytes());
        }
        blob.extend_from_slice(&self.exponent);
        blob.extend_from_slice(&self.modulus);
        blob
    }

    /// The DER SubjectPublicKeyInfo: what a certificate holds and OpenSSL reads.
    pub fn to_spki_der(&self) -> Vec<u8> {
        let mut bits = vec![0];
        bits.extend(self.to_pkcs1_der());
        let mut content = der::RSA_ENCRYPTION.to_vec();
        content.extend(der::wrap(der::BIT_STRING, &bits));
        der::wrap(der::SEQUENCE, &content)
    }

    /// KeyID of the value that [`crate::KeyCredential::for_user`] writes for this key: the SHA-256
    /// of its `RSA1` blob, whichever form the key was read from.
    pub fn key_id(&self) -> [u8; 32] {
        sha256(&self.to_rsa1())
    }

    /// The modulus, big-endian, without leading zeros.
    pub fn modulus(&self) -> &[u8] {
        &self.modulus
    }

    /// The exponent, big-endian, without leading zeros.
    pub fn exponent(&self) -> &[u8] {
        &self.exponent
    }

    /// Length of the modulus in bits.
    pub fn bits(&self) -> u32 {
        let zeros = self.modulus.first().map_or(0, |byte| byte.leading_zeros());
        self.modulus.len() as u32 * 8 - zeros
    }

    /// Whether it has the fingerprint of CVE-2017-15361 (ROCA): whoever has such a key can compute its
    /// private half.
    pub fn has_roca_fingerprint(&self) -> bool {
        roca::has_fingerprint(&self.modulus)
    }

    fn to_pkcs1_der(&self) -> Vec<u8> {
        let mut content = der::unsigned(&self.modulus);
        content.extend(der::unsigned(&self.exponent));
        der::wrap(der::SEQUENCE, &content)
    }
}

/// The fields of a BCRYPT_RSAKEY_BLOB as they stand, whether they make a good key or not.
pub(crate) struct Rsa1<'a> {
    /// BitLength.
    pub(crate) bits: u32,
    /// The public exponent.
    pub(crate) exponent: &'a [u8],
    /// The modulus.
    pub(crate) modulus: &'a [u8],
}

/// The magic of a BCRYPT_RSAKEY_BLOB with a public key.
pub(crate) const MAGIC_RSA1: &[u8; 4] = b"RSA1";

impl<'a> Rsa1<'a> {
    pub(crate) fn read(blob: &'a [u8]) -> Result<Self, Error> {
        let rest = blob
            .strip_prefix(MAGIC_RSA1)
            .ok_or(Error::Key("it does not begin with the magic RSA1"))?;
        let (head, numbers) = rest
            .split_first_chunk::<20>()
            .ok_or(Error::Key("the RSA1 blob ends within its head"))?;
        let (fields, _) = head.as_chunks::<4>();
        let fields: Vec<u32> = fields
            .iter()
            .map(|field| u32::from_le_bytes(*field))
            .collect();
        let [bits, exponent, modulus, prime1, prime2] = fields[..] else {
            return Err(Error::Key("the RSA1 blob ends within its head"));
        };
        if (prime1, prime2) != (0, 0) {
            return Err(Error::Key("the RSA1 blob announces primes"));
        }
        let (exponent, rest) = numbers
            .split_at_checked(exponent as usize)
            .ok_or(Error::Key("the RSA1 blob ends within its exponent"))?;
        if rest.len() != modulus as usize {
            return Err(Error::Key(
                "the RSA1 blob's length does not fit its modulus",
            ));
        }
        Ok(Self {
            bits,
            exponent,
            modulus: rest,
        })
    }
}

fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}
