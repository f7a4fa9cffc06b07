//! Sessions with the TPM: how a command proves an authorisation value without sending it.
//!
//! Every session here is salted with a secret that only the storage key can read, computes HMACs
//! over whole commands, and encrypts the first parameter both ways with AES-128-CFB. Without the
//! salt somebody who listens on the bus could test PINs offline (part 1, clauses 17 and 19 of the
//! TPM 2.0 Library Specification).

use attest::Shared;
pub(crate) use attest::coordinates;
pub(crate) use attest::kdf::hmac;
use attest::kdf::kdfa;
use openssl::ec::{EcGroup, EcKey};
use openssl::error::ErrorStack;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Public};
use openssl::rand::rand_bytes;
use openssl::symm::{Cipher, Crypter, Mode};
use zeroize::Zeroizing;

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
        let key = kdfa(salt, "ATH", (nonce_tpm, nonce_caller), 32)?;
        Ok(Self {
            handle,
            key,
            nonce_tpm: nonce_tpm.to_vec(),
        })
    }
}

/// Makes a salt that only the holder of the private half of `key` can read.
pub(crate) fn salt_for(key: &PKey<Public>) -> Result<Shared, ErrorStack> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
    Shared::by_ecdh("SECRET", key, EcKey::generate(&group)?)
}

/// AES-128-CFB over one parameter, keyed by the session and the two newest nonces.
pub(crate) fn cipher(
    mode: Mode,
    session_value: &[u8],
    newer: &[u8],
    older: &[u8],
    data: &[u8],
) -> Result<Zeroizing<Vec<u8>>, ErrorStack> {
    let stream = kdfa(session_value, "CFB", (newer, older), 2 * AES_KEY)?;
    let (key, iv) = stream.split_at(AES_KEY);
    let algorithm = Cipher::aes_128_cfb128();
    let mut crypter = Crypter::new(algorithm, mode, key, Some(iv))?;
    let mut out = Zeroizing::new(vec![0; data.len() + algorithm.block_size()]);
    let length = crypter.update(data, &mut out)?;
    out.truncate(length);
    Ok(out)
}
