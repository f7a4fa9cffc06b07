//! Answers that only the holder of a session key can read: compact JWE by `dir`, under a key that
//! the header's `ctx` derives (MS-OAPXBC 3.2.5.1.3.3).
//!
//! The header says A256GCM in both forms. Entra's own servers put AES-CBC under that header, and
//! some clients read nothing else; their form is not authenticated, so that it is made only for a
//! client that asks for it by its registration, and never read here.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use model::Secret;
use openssl::{
    rand::rand_bytes,
    symm::{Cipher, decrypt_aead, encrypt, encrypt_aead},
};
use serde::{Deserialize, Serialize};

use crate::{Error, KdfVersion, SessionKey, compact, json};

const ALG: &str = "dir";
const ENC: &str = "A256GCM";
const CTX: usize = 24;
const IV: usize = 12;
const TAG: usize = 16;

/// How the content is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerForm {
    /// As the header says: AES-256-GCM over the header too.
    Gcm,
    /// AES-256-CBC with PKCS #7 padding, a nonce of 16 bytes and an empty tag.
    LegacyCbc,
}

#[derive(Serialize, Deserialize)]
struct RawHeader {
    alg: String,
    enc: String,
    ctx: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kid: Option<String>,
    #[serde(skip_serializing)]
    zip: Option<json::Present>,
    #[serde(skip_serializing)]
    crit: Option<json::Present>,
}

/// Seals an answer. The caller keeps wiping its own copy.
pub fn seal_answer(key: &SessionKey, form: AnswerForm, content: &[u8]) -> Result<String, Error> {
    let mut ctx = [0; CTX];
    let mut iv = [0; 16];
    rand_bytes(&mut ctx)
        .and_then(|()| rand_bytes(&mut iv))
        .map_err(|_| Error::Library("drawing random bytes"))?;
    let header = RawHeader {
        alg: ALG.to_owned(),
        enc: ENC.to_owned(),
        ctx: STANDARD.encode(ctx),
        kid: Some("session".to_owned()),
        zip: None,
        crit: None,
    };
    let header = serde_json::to_vec(&header).map_err(|_| Error::Unsendable("no header"))?;
    let derived = key.derive(KdfVersion::One, &ctx, &[])?;
    let failed = |_| Error::Library("sealing");
    let (iv, sealed, tag) = match form {
        AnswerForm::Gcm => {
            let (iv, _) = iv.split_at(IV);
            let mut tag = [0; TAG];
            let authenticated = compact::encode(&header);
            let sealed = encrypt_aead(
                Cipher::aes_256_gcm(),
                derived.expose(),
                Some(iv),
                authenticated.as_bytes(),
                content,
                &mut tag,
            )
            .map_err(failed)?;
            (iv, sealed, tag.to_vec())
        }
        AnswerForm::LegacyCbc => {
            let cipher = Cipher::aes_256_cbc();
            let sealed = encrypt(cipher, derived.expose(), Some(&iv), content).map_err(failed)?;
            (&iv[..], sealed, Vec::new())
        }
    };
    compact::within(compact::join(&[&header, &[], iv, &sealed, &tag]))
}

/// Opens an answer of the authenticated form.
pub fn open_answer(key: &SessionKey, message: &str) -> Result<Secret<Vec<u8>>, Error> {
    let [header, wrapped, iv, sealed, tag] = compact::split(message)?;
    let raw: RawHeader = json::read(&compact::decode(header)?)?;
    if raw.alg != ALG {
        return Err(Error::Algorithm(ALG));
    }
    if raw.enc != ENC {
        return Err(Error::Algorithm(ENC));
    }
    if raw.zip.is_some() || raw.crit.is_some() || !wrapped.is_empty() {
        return Err(Error::Malformed("it has zip, crit or a wrapped key"));
    }
    let ctx = STANDARD
        .decode(raw.ctx)
        .map_err(|_| Error::Malformed("ctx is not base64"))?;
    let (iv, tag) = (compact::decode(iv)?, compact::decode(tag)?);
    if iv.len() != IV || tag.len() != TAG {
        return Err(Error::Malformed(
            "nonce or tag does not have the size that A256GCM wants",
        ));
    }
    decrypt_aead(
        Cipher::aes_256_gcm(),
        key.derive(KdfVersion::One, &ctx, &[])?.expose(),
        Some(&iv),
        header.as_bytes(),
        &compact::decode(sealed)?,
        &tag,
    )
    .map(Secret::new)
    .map_err(|_| Error::Sealed)
}
