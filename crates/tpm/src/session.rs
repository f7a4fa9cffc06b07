//! Sessions with the TPM: how a command proves an authorisation value without sending it.
//!
//! Every session here is salted with a secret that only the storage key can read, computes HMACs
//! over whole commands, and encrypts the first parameter both ways with AES-128-CFB. Without the
//! salt somebody who listens on the bus could test PINs offline (part 1, clauses 17 and 19 of the
//! TPM 2.0 Library Specification).

use openssl::bn::BigNumContext;
use openssl::derive::Deriver;
use openssl::ec::{EcGroup, EcKey};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Public};
use openssl::rand::rand_bytes;
use openssl::sign::Signer;
use openssl::symm::{Cipher, Crypter, Mode};
use zeroize::Zeroizing;

use crate::wire::Writer;

const NONCE: usize = 32;
const AES_KEY: usize = 16;

pub(crate) type Nonce = [u8; NONCE];

pub(crate) fn fresh_nonce() -> Result<Nonce, ErrorStack> {
    let mut nonce = [0; NONCE];
    rand_bytes(&mut nonce)?;
    Ok(nonce)
}

/// The caller's half of a session.
pub(crate) struct Session {
    pub(crate) handle: u32,
    pub(crate) key: Zeroizing<Vec<u8>>,
    /// The TPM's newest nonce: each answer brings another.
    pub(crate) nonce_tpm: Vec<u8>,
}

impl Session {
    /// The session that `salt` and the two nonces of TPM2_StartAuthSession make.
    pub(crate) fn new(
        handle: u32,
        salt: &[u8],
        nonce_tpm: &[u8],
        nonce_caller: &Nonce,
    ) -> Result<Self, ErrorStack> {
        let key = kdfa(salt, "ATH", nonce_tpm, nonce_caller, 32)?;
        Ok(Self {
            handle,
            key,
            nonce_tpm: nonce_tpm.to_vec(),
        })
    }
}

/// A secret for the TPM, and the form in which it travels (a point on P-256).
pub(crate) struct Salt {
    pub(crate) secret: Zeroizing<Vec<u8>>,
    pub(crate) encrypted: Vec<u8>,
}

/// Makes a salt that only the holder of the private half of `key` can read.
pub(crate) fn salt_for(key: &PKey<Public>) -> Result<Salt, ErrorStack> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
    let ephemeral = EcKey::generate(&group)?;
    let (x, y) = coordinates(&group, ephemeral.public_key())?;
    let (static_x, _) = coordinates(&group, key.ec_key()?.public_key())?;

    let ephemeral = PKey::from_ec_key(ephemeral)?;
    let mut deriver = Deriver::new(&ephemeral)?;
    deriver.set_peer(key)?;
    let shared = Zeroizing::new(deriver.derive_to_vec()?);

    // KDFe with the label SECRET; one round of SHA-256 is as long as the salt.
    let input = Writer::new()
        .u32(1)
        .bytes(&shared)
        .bytes(b"SECRET\0")
        .bytes(&x)
        .bytes(&static_x)
        .done();
    Ok(Salt {
        secret: Zeroizing::new(model::sha256(&input).to_vec()),
        encrypted: Writer::new().sized(&x).sized(&y).plain(),
    })
}

/// Both coordinates of a point on P-256, at full width.
pub(crate) fn coordinates(
    group: &openssl::ec::EcGroupRef,
    point: &openssl::ec::EcPointRef,
) -> Result<(Vec<u8>, Vec<u8>), ErrorStack> {
    let mut context = BigNumContext::new()?;
    let mut x = openssl::bn::BigNum::new()?;
    let mut y = openssl::bn::BigNum::new()?;
    point.affine_coordinates(group, &mut x, &mut y, &mut context)?;
    Ok((x.to_vec_padded(32)?, y.to_vec_padded(32)?))
}

pub(crate) fn hmac(key: &[u8], parts: &[&[u8]]) -> Result<Vec<u8>, ErrorStack> {
    let key = PKey::hmac(key)?;
    let mut signer = Signer::new(MessageDigest::sha256(), &key)?;
    for part in parts {
        signer.update(part)?;
    }
    signer.sign_to_vec()
}

/// KDFa of part 1, clause 11.4.10.2: SP 800-108 in counter mode with HMAC-SHA-256.
pub(crate) fn kdfa(
    key: &[u8],
    label: &str,
    newer: &[u8],
    older: &[u8],
    length: usize,
) -> Result<Zeroizing<Vec<u8>>, ErrorStack> {
    let bits = u32::try_from(length * 8).unwrap_or(u32::MAX).to_be_bytes();
    let mut out = Zeroizing::new(Vec::with_capacity(length + 32));
    let mut counter: u32 = 0;
    while out.len() < length {
        counter += 1;
        let block = Zeroizing::new(hmac(
            key,
            &[
                &counter.to_be_bytes(),
                label.as_bytes(),
                &[0],
                newer,
                older,
                &bits,
            ],
        )?);
        out.extend_from_slice(&block);
    }
    out.truncate(length);
    Ok(out)
}

/// AES-128-CFB over one parameter, keyed by the session and the two newest nonces.
pub(crate) fn cipher(
    mode: Mode,
    session_value: &[u8],
    newer: &[u8],
    older: &[u8],
    data: &[u8],
) -> Result<Zeroizing<Vec<u8>>, ErrorStack> {
    let stream = kdfa(session_value, "CFB", newer, older, 2 * AES_KEY)?;
    let (key, iv) = stream.split_at(AES_KEY);
    let algorithm = Cipher::aes_128_cfb128();
    let mut crypter = Crypter::new(algorithm, mode, key, Some(iv))?;
    let mut out = Zeroizing::new(vec![0; data.len() + algorithm.block_size()]);
    let length = crypter.update(data, &mut out)?;
    out.truncate(length);
    Ok(out)
}
