//! Random bytes, and the texts made of them. The one place of this program that draws any.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use model::{Guid, sha256};
use openssl::{error::ErrorStack, rand::rand_bytes};

/// `N` random bytes.
pub(crate) fn bytes<const N: usize>() -> Result<[u8; N], ErrorStack> {
    let mut bytes = [0; N];
    rand_bytes(&mut bytes)?;
    Ok(bytes)
}

/// A random id.
pub(crate) fn guid() -> Result<Guid, ErrorStack> {
    bytes().map(Guid::from_random)
}

/// The same with a word and a dot before it: clients take a token without a dot for base64.
pub(crate) fn token_text(kind: &str) -> Result<(String, store::Digest), ErrorStack> {
    let text = format!("{kind}.{}", URL_SAFE_NO_PAD.encode(bytes::<32>()?));
    let digest = sha256(text.as_bytes());
    Ok((text, digest))
}

/// A text of 256 random bits that its bearer shows again, and the digest that is kept of it.
pub(crate) fn bearer_text() -> Result<(String, store::Digest), ErrorStack> {
    let text = URL_SAFE_NO_PAD.encode(bytes::<32>()?);
    let digest = sha256(text.as_bytes());
    Ok((text, digest))
}
