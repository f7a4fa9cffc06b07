//! The device's own keys, and what they attest.

use model::Secret;
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Public};
use openssl::rsa::Padding;
use openssl::sign::Verifier;
use tpm::{Error, KeyBlob, Lockout, Recovery, Role, policy};

use crate::swtpm::{ALICE, Swtpm, holder, pin};

fn verifies(key: &PKey<Public>, message: &[u8], signature: &[u8]) -> bool {
    let mut verifier = Verifier::new(MessageDigest::sha256(), key).unwrap();
    verifier.verify_oneshot(signature, message).unwrap()
}

fn auth(byte: u8) -> Secret<[u8; 32]> {
    Secret::new([byte; 32])
}

#[test]
fn the_device_key_and_the_device_root_sign_with_their_value_only() {
    let swtpm = Swtpm::start();
    let mut tpm = swtpm.open();
    for role in [Role::Device, Role::DeviceRoot] {
        let key = tpm.create_device_key(role, &auth(7)).unwrap();
        let stored = serde_json::to_string(&key).unwrap();
        let key: KeyBlob = serde_json::from_str(&stored).unwrap();
        let signature = tpm.sign(&key, &auth(7), &model::sha256(b"hello")).unwrap();
        assert!(verifies(&key.public_key().unwrap(), b"hello", &signature));
        assert!(tpm.sign(&key, &auth(8), &model::sha256(b"hello")).is_err());
    }
    assert_eq!(tpm.info().unwrap().dictionary_attack.failures, 0);
}

#[test]
fn a_value_that_ends_in_zeros_works_like_any_other() {
    let swtpm = Swtpm::start();
    let mut tpm = swtpm.open();
    let mut value = [9; 32];
    value[30..].fill(0);
    let value = Secret::new(value);
    let key = tpm.create_device_key(Role::Device, &value).unwrap();
    let signature = tpm.sign(&key, &value, &model::sha256(b"hello")).unwrap();
    assert!(verifies(&key.public_key().unwrap(), b"hello", &signature));
}

#[test]
fn the_transport_key_opens_what_was_encrypted_to_it() {
    let swtpm = Swtpm::start();
    let mut tpm = swtpm.open();
    let key = tpm.create_device_key(Role::Transport, &auth(1)).unwrap();
    let rsa = key.public_key().unwrap().rsa().unwrap();
    let mut ciphertext = vec![0; 256];
    rsa.public_encrypt(b"a session key", &mut ciphertext, Padding::PKCS1_OAEP)
        .unwrap();
    let opened = tpm.transport_decrypt(&key, &auth(1), &ciphertext).unwrap();
    assert_eq!(opened.expose(), b"a session key");
    assert!(tpm.transport_decrypt(&key, &auth(2), &ciphertext).is_err());
    // Whatever else the network brings is refused, and the next message is opened.
    for length in [0, 1, 255, 257, 3000, 70_000] {
        let refused = tpm
            .transport_decrypt(&key, &auth(1), &vec![7; length])
            .unwrap_err();
        assert!(
            matches!(refused, Error::Refused { .. }),
            "{length}: {refused}"
        );
    }
    assert!(tpm.transport_decrypt(&key, &auth(1), &ciphertext).is_ok());
}

#[test]
fn the_attestation_key_signs_nothing_that_the_tpm_did_not_make() {
    let swtpm = Swtpm::start();
    let mut tpm = swtpm.open();
    let key = tpm.create_device_key(Role::Attestation, &auth(1)).unwrap();
    let refused = tpm
        .sign(&key, &auth(1), &model::sha256(b"made elsewhere"))
        .unwrap_err();
    assert!(
        matches!(
            refused,
            Error::Refused {
                command: "Sign",
                ..
            }
        ),
        "{refused}"
    );
}

#[test]
fn an_attestation_names_the_key_and_its_whole_policy() {
    let swtpm = Swtpm::start();
    let mut tpm = swtpm.open();
    let attestation_key = tpm.create_device_key(Role::Attestation, &auth(1)).unwrap();
    let key = tpm
        .create_user_key(&holder(ALICE), &pin("135790"), Recovery::Destroyed)
        .unwrap();
    let wrong = tpm
        .certify(&key, &pin("1"), &attestation_key, &auth(1), b"nonce")
        .unwrap_err();
    assert!(
        matches!(wrong, Error::WrongPin { tries_left: 9 }),
        "{wrong}"
    );

    let proof = tpm
        .certify(&key, &pin("135790"), &attestation_key, &auth(1), b"nonce")
        .unwrap();
    assert!(verifies(
        &attestation_key.public_key().unwrap(),
        &proof.certify,
        &proof.signature
    ));

    // TPMS_ATTEST: magic, type, signer, nonce, clock, firmware, then the name that was certified.
    assert_eq!(&proof.certify[..6], b"\xffTCG\x80\x17");
    let contains = |part: &[u8]| {
        proof
            .certify
            .windows(part.len())
            .any(|window| window == part)
    };
    assert!(contains(b"\0\x05nonce"));
    assert!(contains(&policy::name(&proof.public)));

    // The policy inside the certified public area follows from the two names alone.
    let branches = policy::KeyBranches::new(
        &policy::name(&proof.nv_public),
        &policy::name(&proof.recovery_public),
        &holder(ALICE),
    );
    assert!(policy::is_user_key(&proof.public, branches.policy()));
    let joined: Vec<u8> = branches.list().iter().flat_map(|branch| branch.0).collect();
    assert_eq!(proof.branches, joined);
}

#[test]
fn the_endorsement_key_is_the_one_of_the_usual_template() {
    let swtpm = Swtpm::start();
    let mut tpm = swtpm.open();
    let ours = tpm.ek_public().unwrap().public_key_to_pem().unwrap();
    assert_eq!(tpm.ek_certificate().unwrap(), None);
    drop(tpm);
    swtpm.succeeds("tpm2_createek -G rsa -c ek.ctx -u ek.pem -f pem");
    assert_eq!(swtpm.read("ek.pem"), ours);
}

#[test]
fn the_endorsement_certificate_is_read_whole() {
    let swtpm = Swtpm::start();
    let certificate: Vec<u8> = (0..1300_u32).map(|number| (number % 251) as u8).collect();
    swtpm.write("certificate", &certificate);
    swtpm.succeeds("tpm2_nvdefine 0x01c00002 -C o -s 1300 -a ownerread|ownerwrite|authread");
    swtpm.succeeds("tpm2_nvwrite 0x01c00002 -C o -i certificate");
    assert_eq!(swtpm.open().ek_certificate().unwrap(), Some(certificate));
}

#[test]
fn the_lockout_hierarchy_is_taken_once_and_never_from_another_owner() {
    let swtpm = Swtpm::start();
    let mut tpm = swtpm.open();
    let info = tpm.info().unwrap();
    assert_eq!(info.manufacturer, "IBM");
    assert!(info.has_pin_fail);
    assert!(!info.lockout_auth_set);

    assert_eq!(tpm.set_dictionary_attack(&auth(3)).unwrap(), Lockout::Taken);
    assert_eq!(tpm.set_dictionary_attack(&auth(4)).unwrap(), Lockout::Owned);
    let info = tpm.info().unwrap();
    assert!(info.lockout_auth_set);
    let protection = info.dictionary_attack;
    assert_eq!((protection.max_tries, protection.recovery_s), (32, 600));
    assert!(!protection.in_lockout);
    drop(tpm);

    // With the value, and not without it, the count can be reset.
    let hex = "03".repeat(32);
    swtpm.succeeds(&format!("tpm2_dictionarylockout -c -p hex:{hex}"));
    swtpm.refuses("tpm2_dictionarylockout -c", "0x98e");
}
