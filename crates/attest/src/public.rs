//! The public area of an object (TPMT_PUBLIC, part 2, 12.2.4).
//!
//! Read are the kinds that occur here, RSA keys and keys on P-256, with names by SHA-256. The
//! bytes are kept: the name of an object is their hash.

use openssl::bn::BigNum;
use openssl::ec::EcKey;
use openssl::error::ErrorStack;
use openssl::pkey::{PKey, Public as PublicHalf};
use openssl::rsa::Rsa;

use crate::bytes::{Malformed, Reader};
use crate::policy;
use crate::shared::p256;
use crate::spec::alg;

/// The longest digest, of SHA-512.
const DIGEST: usize = 64;

/// The longest modulus that is read, of RSA-4096.
const MODULUS: usize = 512;

/// A coordinate on P-256.
const COORDINATE: usize = 32;

/// A public area, and the bytes it was read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Public<'a> {
    /// TPMA_OBJECT.
    pub attributes: u32,
    /// The policy that opens the object; empty where none does.
    pub policy: &'a [u8],
    /// Whether it is a storage key: it then names the cipher for what is below it.
    pub is_parent: bool,
    /// The only scheme that the key is for, where there is one.
    pub scheme: Option<Scheme>,
    /// The key.
    pub key: Key<'a>,
    bytes: &'a [u8],
}

/// How a key signs or decrypts: an algorithm over a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scheme {
    /// TPM_ALG_ID of the scheme.
    pub algorithm: u16,
    /// TPM_ALG_ID of its hash.
    pub hash: u16,
}

/// The key in a public area.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key<'a> {
    /// RSA.
    Rsa {
        /// keyBits.
        bits: u16,
        /// The public exponent.
        exponent: u32,
        /// The modulus.
        modulus: &'a [u8],
    },
    /// A point on P-256.
    P256 {
        /// Its first coordinate.
        x: &'a [u8],
        /// Its second coordinate.
        y: &'a [u8],
    },
}

impl<'a> Public<'a> {
    /// Reads a TPMT_PUBLIC: the contents of a TPM2B_PUBLIC.
    pub fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new("TPMT_PUBLIC", bytes);
        let kind = reader.u16("type")?;
        reader.expect_u16(alg::SHA256, "nameAlg")?;
        let attributes = reader.u32("objectAttributes")?;
        let policy = reader.sized(DIGEST, "authPolicy")?;
        let is_parent = match reader.u16("symmetric")? {
            alg::NULL => false,
            _ => {
                reader.take(4, "symmetric")?;
                true
            }
        };
        let scheme = scheme(&mut reader)?;
        let key = match kind {
            alg::RSA => modulus(&mut reader)?,
            alg::ECC => point(&mut reader)?,
            _ => return Err(reader.malformed("type")),
        };
        reader.end()?;
        Ok(Self {
            attributes,
            policy,
            is_parent,
            scheme,
            key,
            bytes,
        })
    }

    /// The name of the object.
    pub fn name(&self) -> Vec<u8> {
        policy::name(self.bytes)
    }

    /// Whether it has all of these attributes.
    pub fn has(&self, attributes: u32) -> bool {
        self.attributes & attributes == attributes
    }
}

impl Key<'_> {
    /// The key as OpenSSL takes it; a point that is not on the curve is an error.
    pub fn to_openssl(self) -> Result<PKey<PublicHalf>, ErrorStack> {
        match self {
            Self::Rsa {
                exponent, modulus, ..
            } => PKey::from_rsa(Rsa::from_public_components(
                BigNum::from_slice(modulus)?,
                BigNum::from_u32(exponent)?,
            )?),
            Self::P256 { x, y } => {
                let (x, y) = (BigNum::from_slice(x)?, BigNum::from_slice(y)?);
                PKey::from_ec_key(EcKey::from_public_key_affine_coordinates(
                    &*p256()?,
                    &x,
                    &y,
                )?)
            }
        }
    }
}

fn scheme(reader: &mut Reader<'_>) -> Result<Option<Scheme>, Malformed> {
    match reader.u16("scheme")? {
        alg::NULL => Ok(None),
        algorithm @ (alg::RSASSA | alg::OAEP | alg::ECDSA) => Ok(Some(Scheme {
            algorithm,
            hash: reader.u16("scheme")?,
        })),
        _ => Err(reader.malformed("scheme")),
    }
}

fn modulus<'a>(reader: &mut Reader<'a>) -> Result<Key<'a>, Malformed> {
    Ok(Key::Rsa {
        bits: reader.u16("keyBits")?,
        exponent: match reader.u32("exponent")? {
            0 => 65537,
            exponent => exponent,
        },
        modulus: reader.sized(MODULUS, "modulus")?,
    })
}

fn point<'a>(reader: &mut Reader<'a>) -> Result<Key<'a>, Malformed> {
    reader.expect_u16(alg::CURVE_P256, "curveID")?;
    reader.expect_u16(alg::NULL, "kdf")?;
    Ok(Key::P256 {
        x: reader.sized(COORDINATE, "x")?,
        y: reader.sized(COORDINATE, "y")?,
    })
}
