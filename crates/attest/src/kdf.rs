//! The TPM's two ways to make keys of secrets (part 1, 11.4.10), with SHA-256.

use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::sign::Signer;
use zeroize::Zeroizing;

/// KDFa: SP 800-108 in counter mode with HMAC-SHA-256, `length` bytes of it.
pub fn kdfa(
    key: &[u8],
    label: &str,
    (context_u, context_v): (&[u8], &[u8]),
    length: usize,
) -> Result<Zeroizing<Vec<u8>>, ErrorStack> {
    let bits = u32::try_from(length * 8).unwrap_or(u32::MAX).to_be_bytes();
    let mut out = Zeroizing::new(Vec::with_capacity(length + 32));
    let mut counter: u32 = 0;
    while out.len() < length {
        counter += 1;
        let counter = counter.to_be_bytes();
        let label = label.as_bytes();
        let parts = [&counter, label, &[0], context_u, context_v, &bits];
        out.extend_from_slice(&Zeroizing::new(hmac(key, &parts)?));
    }
    out.truncate(length);
    Ok(out)
}

/// KDFe: what two parties to an ECDH exchange share, of which `party_u` and `party_v` are the first
/// coordinates. One round of SHA-256, which is as long as all that is made here.
pub fn kdfe(shared: &[u8], label: &str, party_u: &[u8], party_v: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut input = Zeroizing::new(Vec::with_capacity(256));
    for part in [
        &[0, 0, 0, 1][..],
        shared,
        label.as_bytes(),
        &[0],
        party_u,
        party_v,
    ] {
        input.extend_from_slice(part);
    }
    Zeroizing::new(model::sha256(&input).to_vec())
}

/// HMAC-SHA-256 over the joined `parts`.
pub fn hmac(key: &[u8], parts: &[&[u8]]) -> Result<Vec<u8>, ErrorStack> {
    let key = PKey::hmac(key)?;
    let mut signer = Signer::new(MessageDigest::sha256(), &key)?;
    for part in parts {
        signer.update(part)?;
    }
    signer.sign_to_vec()
}
