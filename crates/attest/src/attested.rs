//! What a TPM says of one of its objects, and how it signed it (TPMS_ATTEST and TPMT_SIGNATURE of
//! part 2).
//!
//! Clock, counts and firmware version are passed over: for a signing key below the owner's
//! hierarchy the TPM obfuscates them, so nothing can be decided by them.

use openssl::bn::BigNum;
use openssl::ecdsa::EcdsaSig;
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::pkey::{PKeyRef, Public};
use openssl::sign::Verifier;

use crate::bytes::{Malformed, Reader};
use crate::spec::{GENERATED, alg, tag};

/// A name, its algorithm before the longest digest.
const NAME: usize = 66;

/// clockInfo and firmwareVersion.
const CLOCK_AND_FIRMWARE: usize = 25;

/// The longest signature of RSA, by 4,096 bits.
const RSA: usize = 512;

/// A number of an ECDSA signature on P-256.
const NUMBER: usize = 32;

/// The word of a TPM on an object (TPM2_Certify).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Certified<'a> {
    /// What the asker gave, and got back signed.
    pub extra_data: &'a [u8],
    /// The object's name.
    pub name: &'a [u8],
}

impl<'a> Certified<'a> {
    /// Reads a TPMS_ATTEST. One of another type is malformed: nothing else is ever asked for.
    pub fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new("TPMS_ATTEST", bytes);
        if reader.u32("magic")? != GENERATED {
            return Err(reader.malformed("magic"));
        }
        reader.expect_u16(tag::ATTEST_CERTIFY, "type")?;
        reader.sized(NAME, "qualifiedSigner")?;
        let extra_data = reader.sized(NAME, "extraData")?;
        reader.take(CLOCK_AND_FIRMWARE, "clockInfo")?;
        let name = reader.sized(NAME, "name")?;
        reader.sized(NAME, "qualifiedName")?;
        reader.end()?;
        Ok(Self { extra_data, name })
    }
}

/// A signature over SHA-256 of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signature<'a> {
    /// RSASSA-PKCS1-v1_5.
    Rsassa(&'a [u8]),
    /// ECDSA.
    Ecdsa {
        /// signatureR.
        r: &'a [u8],
        /// signatureS.
        s: &'a [u8],
    },
}

impl<'a> Signature<'a> {
    /// Reads a TPMT_SIGNATURE.
    pub fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new("TPMT_SIGNATURE", bytes);
        let algorithm = reader.u16("sigAlg")?;
        reader.expect_u16(alg::SHA256, "hash")?;
        let signature = match algorithm {
            alg::RSASSA => Self::Rsassa(reader.sized(RSA, "sig")?),
            alg::ECDSA => Self::Ecdsa {
                r: reader.sized(NUMBER, "signatureR")?,
                s: reader.sized(NUMBER, "signatureS")?,
            },
            _ => return Err(reader.malformed("sigAlg")),
        };
        reader.end()?;
        Ok(signature)
    }

    /// Whether the holder of `key` signed `message`. What cannot be checked was not signed.
    pub(crate) fn verifies(self, key: &PKeyRef<Public>, message: &[u8]) -> bool {
        let checked = || -> Result<bool, ErrorStack> {
            match self {
                Self::Rsassa(signature) if key.rsa().is_ok() => {
                    let mut verifier = Verifier::new(MessageDigest::sha256(), key)?;
                    verifier.verify_oneshot(signature, message)
                }
                Self::Ecdsa { r, s } => {
                    let (r, s) = (BigNum::from_slice(r)?, BigNum::from_slice(s)?);
                    let signature = EcdsaSig::from_private_components(r, s)?;
                    let key = key.ec_key()?;
                    signature.verify(&model::sha256(message), &key)
                }
                Self::Rsassa(_) => Ok(false),
            }
        };
        checked().unwrap_or(false)
    }
}
