//! Compact JWE for a secret on its way to one key: RSA-OAEP with SHA-256 wraps a fresh key,
//! AES-256-GCM seals the content (RFC 7518 4.3 and 5.3).
//!
//! Sealing draws its own randomness, here and in the files about session keys: a nonce that a
//! caller could repeat would give the content away.

use model::Secret;
use openssl::{
    encrypt::{Decrypter, Encrypter},
    error::ErrorStack,
    hash::MessageDigest,
    pkey::{HasPrivate, HasPublic, Id, PKeyRef},
    rand::rand_bytes,
    rsa::Padding,
    symm::{Cipher, decrypt_aead, encrypt_aead},
};
use serde::{Deserialize, Serialize};

use crate::{Error, compact, json};

const ALG: &str = "RSA-OAEP-256";
const ENC: &str = "A256GCM";
const CONTENT_KEY: usize = 32;
const IV: usize = 12;
const TAG: usize = 16;

#[derive(Serialize, Deserialize)]
struct RawHeader {
    alg: String,
    enc: String,
    #[serde(skip_serializing)]
    zip: Option<json::Present>,
    #[serde(skip_serializing)]
    crit: Option<json::Present>,
}

/// Seals `content` to the holder of the private key. The caller keeps wiping its own copy.
pub fn seal<K: HasPublic>(to: &PKeyRef<K>, content: &[u8]) -> Result<String, Error> {
    expect_rsa(to)?;
    let failed = |_| Error::Library("sealing");
    let header = RawHeader {
        alg: ALG.to_owned(),
        enc: ENC.to_owned(),
        zip: None,
        crit: None,
    };
    let header = serde_json::to_vec(&header).map_err(|_| Error::Unsendable("no header"))?;
    let authenticated = compact::encode(&header);
    let content_key = random_key()?;
    let mut iv = [0; IV];
    rand_bytes(&mut iv).map_err(failed)?;
    let mut tag = [0; TAG];
    let sealed = encrypt_aead(
        Cipher::aes_256_gcm(),
        content_key.expose(),
        Some(&iv),
        authenticated.as_bytes(),
        content,
        &mut tag,
    )
    .map_err(failed)?;
    let wrapped = wrap(to, content_key.expose()).map_err(failed)?;
    compact::within(compact::join(&[&header, &wrapped, &iv, &sealed, &tag]))
}

/// Opens a message that was sealed to this key.
///
/// A key that cannot be unwrapped is replaced by a random one, so that every false message fails
/// at the same place and with the same error (RFC 7516 11.5).
pub fn open<K: HasPrivate>(key: &PKeyRef<K>, message: &str) -> Result<Secret<Vec<u8>>, Error> {
    let [header, wrapped, iv, sealed, tag] = compact::split(message)?;
    let raw: RawHeader = json::read(&compact::decode(header)?)?;
    if raw.alg != ALG {
        return Err(Error::Algorithm(ALG));
    }
    if raw.enc != ENC {
        return Err(Error::Algorithm(ENC));
    }
    if raw.zip.is_some() || raw.crit.is_some() {
        return Err(Error::Malformed("its header has zip or crit"));
    }
    let (iv, tag) = (compact::decode(iv)?, compact::decode(tag)?);
    if iv.len() != IV || tag.len() != TAG {
        return Err(Error::Malformed(
            "nonce or tag does not have the size that A256GCM wants",
        ));
    }
    let sealed = compact::decode(sealed)?;
    let wrapped = compact::decode(wrapped)?;
    let substitute = random_key()?;
    let content_key = unwrap(key, &wrapped)
        .ok()
        .filter(|key| key.expose().len() == CONTENT_KEY)
        .unwrap_or(substitute);
    decrypt_aead(
        Cipher::aes_256_gcm(),
        content_key.expose(),
        Some(&iv),
        header.as_bytes(),
        &sealed,
        &tag,
    )
    .map(Secret::new)
    .map_err(|_| Error::Sealed)
}

pub(crate) fn expect_rsa<K>(key: &PKeyRef<K>) -> Result<(), Error>
where
    K: HasPublic,
{
    if key.id() != Id::RSA || key.bits() < 2048 {
        return Err(Error::Key("not an RSA key of at least 2,048 bits"));
    }
    Ok(())
}

fn random_key() -> Result<Secret<Vec<u8>>, Error> {
    let mut key = vec![0; CONTENT_KEY];
    rand_bytes(&mut key).map_err(|_| Error::Library("drawing random bytes"))?;
    Ok(Secret::new(key))
}

fn wrap<K: HasPublic>(to: &PKeyRef<K>, content_key: &[u8]) -> Result<Vec<u8>, ErrorStack> {
    let mut encrypter = Encrypter::new(to)?;
    encrypter.set_rsa_padding(Padding::PKCS1_OAEP)?;
    encrypter.set_rsa_oaep_md(MessageDigest::sha256())?;
    encrypter.set_rsa_mgf1_md(MessageDigest::sha256())?;
    let mut wrapped = vec![0; encrypter.encrypt_len(content_key)?];
    let length = encrypter.encrypt(content_key, &mut wrapped)?;
    wrapped.truncate(length);
    Ok(wrapped)
}

fn unwrap<K: HasPrivate>(key: &PKeyRef<K>, wrapped: &[u8]) -> Result<Secret<Vec<u8>>, ErrorStack> {
    let mut decrypter = Decrypter::new(key)?;
    decrypter.set_rsa_padding(Padding::PKCS1_OAEP)?;
    decrypter.set_rsa_oaep_md(MessageDigest::sha256())?;
    decrypter.set_rsa_mgf1_md(MessageDigest::sha256())?;
    let mut content_key = vec![0; decrypter.decrypt_len(wrapped)?];
    let length = decrypter.decrypt(wrapped, &mut content_key)?;
    content_key.truncate(length);
    Ok(Secret::new(content_key))
}
