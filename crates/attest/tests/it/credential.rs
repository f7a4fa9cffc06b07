//! The server's half of TPM2_MakeCredential, opened without a TPM: OpenSSL's OAEP and ECDH are the
//! judges. A real TPM is in the tests of `tpm`.

use attest::kdf::{hmac, kdfa, kdfe};
use attest::{AttestationKey, Challenge, EndorsementKey};
use model::Secret;
use openssl::bn::BigNum;
use openssl::derive::Deriver;
use openssl::ec::{EcGroup, EcKey};
use openssl::encrypt::Decrypter;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::rsa::{Padding, Rsa};
use openssl::symm::{Cipher, decrypt};

use crate::forge::{ak_public, p256_key, point};

fn ak() -> AttestationKey {
    AttestationKey::read(&ak_public()).unwrap()
}

fn ek(key: &PKey<Private>) -> EndorsementKey {
    EndorsementKey::from_spki_der(&key.public_key_to_der().unwrap()).unwrap()
}

fn challenge(key: &PKey<Private>, random: [u8; 64]) -> Challenge {
    let credential = Secret::new([0xC5; 32]);
    Challenge::new(&ek(key), &ak(), &credential, &Secret::new(random)).unwrap()
}

/// What TPM2_ActivateCredential does with a seed.
fn open(challenge: &Challenge, seed: &[u8], name: &[u8]) -> Option<Vec<u8>> {
    let (length, rest) = challenge.credential_blob.split_at(2);
    assert_eq!(length, [0, 32]);
    let (outer, identity) = rest.split_at(32);
    let integrity = kdfa(seed, "INTEGRITY", (&[], &[]), 32).unwrap();
    if hmac(&integrity, &[identity, name]).unwrap() != outer {
        return None;
    }
    let storage = kdfa(seed, "STORAGE", (name, &[]), 16).unwrap();
    let plain = decrypt(Cipher::aes_128_cfb128(), &storage, Some(&[0; 16]), identity).unwrap();
    assert_eq!(plain[..2], [0, 32]);
    Some(plain[2..].to_vec())
}

#[test]
fn an_rsa_key_opens_the_seed_that_was_padded_here() {
    let key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
    let challenge = challenge(&key, [0x5A; 64]);
    let mut decrypter = Decrypter::new(&key).unwrap();
    decrypter.set_rsa_padding(Padding::PKCS1_OAEP).unwrap();
    decrypter.set_rsa_oaep_md(MessageDigest::sha256()).unwrap();
    decrypter.set_rsa_mgf1_md(MessageDigest::sha256()).unwrap();
    decrypter.set_rsa_oaep_label(b"IDENTITY\0").unwrap();
    let mut seed = vec![0; 256];
    let length = decrypter.decrypt(&challenge.secret, &mut seed).unwrap();
    seed.truncate(length);
    assert_eq!(seed, [0x5A; 32]);
    assert_eq!(open(&challenge, &seed, ak().name()).unwrap(), [0xC5; 32]);
    assert_eq!(open(&challenge, &seed, b"another key's name"), None);
}

#[test]
fn a_key_on_p256_finds_the_shared_point_whatever_the_randomness() {
    let key = p256_key();
    let (own_x, _) = point(&key);
    let key = PKey::from_ec_key(key).unwrap();
    for random in [[0; 64], [0xFF; 64], [0x5A; 64]] {
        let challenge = challenge(&key, random);
        let (x, y) = (&challenge.secret[2..34], &challenge.secret[36..68]);
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
        let (x_number, y_number) = (
            BigNum::from_slice(x).unwrap(),
            BigNum::from_slice(y).unwrap(),
        );
        let ephemeral =
            EcKey::from_public_key_affine_coordinates(&group, &x_number, &y_number).unwrap();
        let ephemeral = PKey::from_ec_key(ephemeral).unwrap();
        let mut deriver = Deriver::new(&key).unwrap();
        deriver.set_peer(&ephemeral).unwrap();
        let seed = kdfe(&deriver.derive_to_vec().unwrap(), "IDENTITY", x, &own_x);
        assert_eq!(open(&challenge, &seed, ak().name()).unwrap(), [0xC5; 32]);
    }
}

#[test]
fn a_challenge_follows_from_its_randomness_and_each_has_its_own() {
    for key in [
        PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap(),
        PKey::from_ec_key(p256_key()).unwrap(),
    ] {
        assert_eq!(challenge(&key, [1; 64]), challenge(&key, [1; 64]));
        let (one, other) = (challenge(&key, [1; 64]), challenge(&key, [2; 64]));
        assert_ne!(one.secret, other.secret);
        assert_ne!(one.credential_blob, other.credential_blob);
    }
}

#[test]
fn an_endorsement_key_of_another_kind_is_refused() {
    let p384 = EcGroup::from_curve_name(Nid::SECP384R1).unwrap();
    for key in [
        PKey::from_rsa(Rsa::generate(1024).unwrap()).unwrap(),
        PKey::from_rsa(Rsa::generate_with_e(2048, &BigNum::from_u32(3).unwrap()).unwrap()).unwrap(),
        PKey::from_ec_key(EcKey::generate(&p384).unwrap()).unwrap(),
        PKey::generate_ed25519().unwrap(),
    ] {
        let der = key.public_key_to_der().unwrap();
        assert!(EndorsementKey::from_spki_der(&der).is_err());
    }
    assert!(EndorsementKey::from_spki_der(b"").is_err());
}
