//! Keys of this run, made once.

use std::sync::LazyLock;

use openssl::{
    hash::MessageDigest,
    pkey::{PKey, Private},
    rsa::{Padding, Rsa},
    sign::Signer,
    x509::{X509, X509Name},
};
use token::{RsaJwk, VerifyingKey};

pub(crate) static ALICE: LazyLock<PKey<Private>> = LazyLock::new(|| rsa(2048));
pub(crate) static MALLORY: LazyLock<PKey<Private>> = LazyLock::new(|| rsa(2048));

pub(crate) fn rsa(bits: u32) -> PKey<Private> {
    PKey::from_rsa(Rsa::generate(bits).unwrap()).unwrap()
}

pub(crate) fn verifying(key: &PKey<Private>) -> VerifyingKey {
    VerifyingKey::rs256(RsaJwk::from_key(key).unwrap().to_key().unwrap()).unwrap()
}

/// Signs a digest as a TPM does: the digest goes in, the signature comes out.
pub(crate) fn sign_digest(key: &PKey<Private>, digest: &[u8; 32]) -> Vec<u8> {
    let mut context = openssl::pkey_ctx::PkeyCtx::new(key).unwrap();
    context.sign_init().unwrap();
    context.set_rsa_padding(Padding::PKCS1).unwrap();
    context.set_signature_md(openssl::md::Md::sha256()).unwrap();
    let mut signature = Vec::new();
    context.sign_to_vec(digest, &mut signature).unwrap();
    signature
}

/// Signs any signing input, so that a test can make messages that the crate would not make.
pub(crate) fn message(key: &PKey<Private>, header: &str, claims: &str) -> String {
    let input = format!(
        "{}.{}",
        base64url(header.as_bytes()),
        base64url(claims.as_bytes())
    );
    let mut signer = Signer::new(MessageDigest::sha256(), key).unwrap();
    let signature = signer.sign_oneshot_to_vec(input.as_bytes()).unwrap();
    format!("{input}.{}", base64url(&signature))
}

pub(crate) fn base64url(bytes: &[u8]) -> String {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(crate) fn certificate(key: &PKey<Private>) -> X509 {
    let mut name = X509Name::builder().unwrap();
    name.append_entry_by_text("CN", "device").unwrap();
    let name = name.build();
    let mut builder = X509::builder().unwrap();
    builder.set_subject_name(&name).unwrap();
    builder.set_issuer_name(&name).unwrap();
    builder.set_pubkey(key).unwrap();
    builder.sign(key, MessageDigest::sha256()).unwrap();
    builder.build()
}
