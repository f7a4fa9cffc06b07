//! Public keys: the three forms, against OpenSSL.

use keycred::{KeyMaterial, RsaPublicKey};
use openssl::{bn::BigNum, pkey::PKey, rsa::Rsa};

fn openssl_key(bits: u32) -> (RsaPublicKey, Rsa<openssl::pkey::Public>) {
    let private = Rsa::generate(bits).unwrap();
    let (n, e) = (private.n().to_vec(), private.e().to_vec());
    let public = Rsa::from_public_components(
        BigNum::from_slice(&n).unwrap(),
        BigNum::from_slice(&e).unwrap(),
    );
    (
        RsaPublicKey::from_components(&n, &e).unwrap(),
        public.unwrap(),
    )
}

#[test]
fn der_forms_agree_with_openssl() {
    for bits in [512, 1024, 1031, 2048] {
        let (ours, theirs) = openssl_key(bits);
        let spki = theirs.public_key_to_der().unwrap();
        let pkcs1 = theirs.public_key_to_der_pkcs1().unwrap();
        assert_eq!(ours.to_spki_der(), spki);
        assert_eq!(ours.bits(), bits);
        assert_eq!(KeyMaterial::read(&spki), KeyMaterial::Spki(ours.clone()));
        assert_eq!(KeyMaterial::read(&pkcs1), KeyMaterial::Pkcs1(ours.clone()));
        assert_eq!(RsaPublicKey::from_rsa1(&ours.to_rsa1()), Ok(ours));
    }
}

#[test]
fn the_blob_of_a_usual_key_has_its_usual_size_and_exponent() {
    let (key, _) = openssl_key(2048);
    let blob = key.to_rsa1();
    assert_eq!(blob.len(), 283);
    assert_eq!(blob[24..27], [1, 0, 1]);
    assert_ne!(blob[27], 0);
    let padded = RsaPublicKey::from_components(
        &[&[0, 0], key.modulus()].concat(),
        &[&[0], key.exponent()].concat(),
    );
    assert_eq!(padded.unwrap().to_rsa1(), blob);
}

#[test]
fn der_with_a_tail_or_in_a_longer_form_is_refused() {
    let (key, theirs) = openssl_key(512);
    let spki = theirs.public_key_to_der().unwrap();
    let pkcs1 = theirs.public_key_to_der_pkcs1().unwrap();
    let tail = |der: &[u8]| [der, &[0]].concat();
    assert!(RsaPublicKey::from_spki_der(&tail(&spki)).is_err());
    assert!(RsaPublicKey::from_pkcs1_der(&tail(&pkcs1)).is_err());
    // The same length in one more byte than it needs: BER, not DER.
    let (head, content) = pkcs1.split_at(2);
    let longer = [&[head[0], 0x81, head[1]], content].concat();
    assert!(RsaPublicKey::from_pkcs1_der(&longer).is_err());
    assert_eq!(RsaPublicKey::from_pkcs1_der(&pkcs1), Ok(key));
}

#[test]
fn a_key_that_is_not_rsa_is_other_material() {
    let ed25519 = PKey::generate_ed25519()
        .unwrap()
        .public_key_to_der()
        .unwrap();
    assert_eq!(KeyMaterial::read(&ed25519), KeyMaterial::Other);
    assert!(RsaPublicKey::from_spki_der(&ed25519).is_err());
}

#[test]
fn numbers_that_cannot_be_a_key_are_refused() {
    let components = RsaPublicKey::from_components;
    assert!(components(&[], &[3]).is_err());
    assert!(components(&[15], &[0, 0]).is_err());
    assert!(components(&[16], &[3]).is_err());
    assert!(components(&[15], &[4]).is_err());
    assert!(components(&[0xff; 2049], &[3]).is_err());
    assert!(components(&[15], &[0xff; 9]).is_err());
    assert!(components(&[15], &[3]).is_ok());
}

#[test]
fn a_blob_that_contradicts_itself_is_refused() {
    let (key, _) = openssl_key(512);
    let good = key.to_rsa1();
    for (index, value) in [
        (0, b'X'),
        (3, b'2'),
        (4, 1),
        (8, 200),
        (12, 63),
        (16, 1),
        (20, 1),
    ] {
        let mut bad = good.clone();
        bad[index] = value;
        assert!(RsaPublicKey::from_rsa1(&bad).is_err(), "byte {index}");
    }
    assert!(RsaPublicKey::from_rsa1(&[&good[..], &[0]].concat()).is_err());
    assert!((0..good.len()).all(|end| RsaPublicKey::from_rsa1(&good[..end]).is_err()));
}
