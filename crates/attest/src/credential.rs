//! A secret that only one TPM can read, and only where it has a certain key (TPM2_MakeCredential,
//! part 1, 24): who answers with the secret has both the endorsement key and the attestation key.
//!
//! Computed here as a TPM would, since a server has none. For the endorsement keys of the usual
//! templates: SHA-256, AES-128-CFB below. OAEP is computed here too, because OpenSSL's draws its
//! randomness itself.

use model::Secret;
use openssl::bn::{BigNum, BigNumContext};
use openssl::ec::{EcKey, EcPoint};
use openssl::error::ErrorStack;
use openssl::pkey::{Id, Private};
use openssl::rsa::Padding;
use openssl::symm::{Cipher, encrypt};
use zeroize::Zeroizing;

use crate::bytes::Writer;
use crate::kdf::{hmac, kdfa};
use crate::shared::{Shared, p256};
use crate::{AttestationKey, EndorsementKey, Refusal};

/// The label of part 1, annexes B and C; OAEP takes it with a zero at its end, KDFe adds the zero.
const LABEL: &str = "IDENTITY";

const HASH: usize = 32;

/// A secret on its way to a TPM, as TPM2_ActivateCredential takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// The contents of TPM2B_ID_OBJECT: the secret, encrypted and bound to the name of a key.
    pub credential_blob: Vec<u8>,
    /// The contents of TPM2B_ENCRYPTED_SECRET: what opens the other, encrypted to the endorsement key.
    pub secret: Vec<u8>,
}

impl Challenge {
    /// Hides `credential` from all but the TPM that has both keys. `random` is for this challenge
    /// alone.
    pub fn new(
        endorsement_key: &EndorsementKey,
        attestation_key: &AttestationKey,
        credential: &Secret<[u8; 32]>,
        random: &Secret<[u8; 64]>,
    ) -> Result<Self, Refusal> {
        let shared = match endorsement_key.key.id() {
            Id::RSA => by_oaep(endorsement_key, random)?,
            _ => Shared::by_ecdh(LABEL, &endorsement_key.key, ephemeral(random)?)?,
        };
        let name = attestation_key.name();
        let storage = kdfa(&shared.secret, "STORAGE", (name, &[]), 16)?;
        let mut plain = Zeroizing::new(vec![0, HASH as u8]);
        plain.extend_from_slice(credential.expose());
        let identity = encrypt(Cipher::aes_128_cfb128(), &storage, Some(&[0; 16]), &plain)?;
        let integrity = kdfa(&shared.secret, "INTEGRITY", (&[], &[]), HASH)?;
        let outer = hmac(&integrity, &[&identity, name])?;
        Ok(Self {
            credential_blob: Writer::new().sized(&outer).bytes(&identity).done(),
            secret: shared.encrypted,
        })
    }
}

/// RSAES-OAEP with SHA-256 (RFC 8017 7.1.1): half of the randomness is the seed, half its padding.
fn by_oaep(to: &EndorsementKey, random: &Secret<[u8; 64]>) -> Result<Shared, ErrorStack> {
    let (seed, padding) = random.expose().split_at(HASH);
    let rsa = to.key.rsa()?;
    let length = rsa.size() as usize;

    let mut block = Zeroizing::new(Vec::with_capacity(length));
    block.extend_from_slice(&model::sha256(format!("{LABEL}\0").as_bytes()));
    block.resize(length - 2 - HASH - seed.len(), 0);
    block.push(1);
    block.extend_from_slice(seed);
    mask(&mut block, padding);
    let mut masked = Zeroizing::new(padding.to_vec());
    mask(&mut masked, &block);

    let mut message = Zeroizing::new(Vec::with_capacity(length));
    message.push(0);
    message.extend_from_slice(&masked);
    message.extend_from_slice(&block);
    let mut encrypted = vec![0; length];
    rsa.public_encrypt(&message, &mut encrypted, Padding::NONE)?;
    Ok(Shared {
        secret: Zeroizing::new(seed.to_vec()),
        encrypted,
    })
}

/// XORs with MGF1 of `seed` (RFC 8017 B.2.1).
fn mask(block: &mut [u8], seed: &[u8]) {
    for (counter, chunk) in (0_u32..).zip(block.chunks_mut(HASH)) {
        let mut input = Zeroizing::new(seed.to_vec());
        input.extend_from_slice(&counter.to_be_bytes());
        let stream = Zeroizing::new(model::sha256(&input));
        for (byte, mask) in chunk.iter_mut().zip(stream.iter()) {
            *byte ^= mask;
        }
    }
}

/// A key from more random bits than it has, so that none is likelier (FIPS 186-5, A.2.1).
fn ephemeral(random: &Secret<[u8; 64]>) -> Result<EcKey<Private>, ErrorStack> {
    let group = p256()?;
    let mut context = BigNumContext::new_secure()?;
    let mut order = BigNum::new()?;
    group.order(&mut order, &mut context)?;
    order.sub_word(1)?;
    let mut number = BigNum::new_secure()?;
    number.copy_from_slice(random.expose())?;
    let mut scalar = BigNum::new_secure()?;
    scalar.nnmod(&number, &order, &mut context)?;
    scalar.add_word(1)?;
    let mut point = EcPoint::new(&group)?;
    point.mul_generator2(&group, &scalar, &mut context)?;
    EcKey::from_private_components(&group, &scalar, &point)
}
