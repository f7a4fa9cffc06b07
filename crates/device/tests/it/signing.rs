//! Unlocking, signing, and what a ticket is good for.

use ipc::{Cert, PinChange, Sign, Ticket, TokenInfo, Unlock};
use openssl::{
    bn::BigNum,
    hash::MessageDigest,
    pkey::{PKey, Public},
    rsa::Rsa,
    sign::Verifier,
    x509::X509,
};

use crate::bench::{ALICE, Bench, PIN, secret};

const MESSAGE: &[u8] = b"a request to a KDC";

pub(crate) fn from_hex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

pub(crate) fn digest_info(message: &[u8]) -> String {
    let head = "3031300d060960864801650304020105000420";
    let digest = model::sha256(message);
    digest
        .iter()
        .fold(head.to_owned(), |text, byte| text + &format!("{byte:02x}"))
}

pub(crate) fn unlock(bench: &Bench, pin: &str) -> Result<Ticket, ipc::Failure> {
    bench.call(&Unlock {
        uid: ALICE,
        pin: Some(secret(pin)),
    })
}

pub(crate) fn sign(ticket: &Ticket, digest_info: String) -> Sign {
    Sign {
        ticket: ticket.ticket.clone(),
        digest_info,
    }
}

pub(crate) fn pin_change(old: &str, new: &str) -> PinChange {
    PinChange {
        user: None,
        old: secret(old),
        new: secret(new),
        phrase: None,
    }
}

pub(crate) fn public_key(bench: &Bench) -> PKey<Public> {
    let cert = bench.call(&Cert { uid: ALICE }).unwrap();
    let number = |text: &str| BigNum::from_slice(&from_hex(text)).unwrap();
    let rsa = Rsa::from_public_components(number(&cert.modulus), number(&cert.exponent));
    PKey::from_rsa(rsa.unwrap()).unwrap()
}

#[test]
fn a_right_pin_brings_one_signature_and_no_second() {
    let bench = Bench::start();
    let ticket = unlock(&bench, PIN).unwrap();
    let signed = bench.call(&sign(&ticket, digest_info(MESSAGE))).unwrap();
    let key = public_key(&bench);
    let mut verifier = Verifier::new(MessageDigest::sha256(), &key).unwrap();
    let signature = from_hex(&signed.signature);
    assert!(verifier.verify_oneshot(&signature, MESSAGE).unwrap());

    let again = bench.call(&sign(&ticket, digest_info(MESSAGE)));
    assert_eq!(again.unwrap_err().code, "bad_ticket");
}

#[test]
fn a_wrong_pin_is_counted_until_the_key_locks_and_a_right_one_resets_the_count() {
    let bench = Bench::start();
    for left in [9, 8] {
        let refusal = unlock(&bench, "000001").unwrap_err();
        assert_eq!(
            (&*refusal.code, refusal.tries_left),
            ("wrong_pin", Some(left))
        );
    }
    unlock(&bench, PIN).unwrap();
    let info = bench
        .call(&TokenInfo {
            uid: ALICE,
            remote: false,
        })
        .unwrap();
    assert_eq!((info.tries_left, info.tries_limit), (10, 10));

    for _ in 0..9 {
        assert_eq!(unlock(&bench, "000001").unwrap_err().code, "wrong_pin");
        bench.forget_waits();
    }
    for pin in ["000001", PIN] {
        let refusal = unlock(&bench, pin).unwrap_err();
        assert_eq!(
            (&*refusal.code, refusal.tries_left),
            ("pin_locked", Some(0))
        );
    }
}

#[test]
fn only_the_digest_info_of_sha_256_is_signed_and_another_leaves_the_ticket_usable() {
    let bench = Bench::start();
    let ticket = unlock(&bench, PIN).unwrap();
    let good = digest_info(MESSAGE);
    for bad in ["", &good[2..], &good.replacen("3031", "3041", 1), "zz"] {
        let refused = bench.call(&sign(&ticket, bad.to_owned()));
        assert_eq!(refused.unwrap_err().code, "bad_digest", "{bad}");
    }
    bench.call(&sign(&ticket, good)).unwrap();
}

#[test]
fn the_key_does_not_open_without_a_pin_but_for_a_helper_that_the_daemon_started() {
    let bench = Bench::start();
    let info = bench
        .call(&TokenInfo {
            uid: ALICE,
            remote: false,
        })
        .unwrap();
    assert!(info.present && !info.protected_path);
    let refusal = bench.call(&Unlock {
        uid: ALICE,
        pin: None,
    });
    assert_eq!(refusal.unwrap_err().code, "pin_required");
}

#[test]
fn a_leaf_names_the_account_and_is_kept() {
    let bench = Bench::start();
    let first = bench.call(&Cert { uid: ALICE }).unwrap();
    let leaf = X509::from_der(&from_hex(&first.certificate)).unwrap();
    assert!(leaf.public_key().unwrap().public_eq(&public_key(&bench)));
    let text = String::from_utf8(leaf.to_text().unwrap()).unwrap();
    assert!(text.contains("UPN::alice@corp.test"), "{text}");
    let second = bench.call(&Cert { uid: ALICE }).unwrap();
    assert_eq!(first.certificate, second.certificate);
}

#[test]
fn after_a_change_of_pin_the_old_one_is_wrong() {
    let bench = Bench::start();
    let change =
        |old: &str, new: &str| crate::ffi::as_user(ALICE, || bench.call(&pin_change(old, new)));
    assert_eq!(change(PIN, "123456").unwrap_err().code, "pin_refused");
    assert_eq!(change("000001", "995511").unwrap_err().code, "wrong_pin");
    change(PIN, "995511").unwrap();
    assert_eq!(unlock(&bench, PIN).unwrap_err().code, "wrong_pin");
    let ticket = unlock(&bench, "995511").unwrap();
    bench.call(&sign(&ticket, digest_info(MESSAGE))).unwrap();
}

#[test]
fn a_policy_that_turns_the_pin_off_also_holds_where_no_session_is_opened() {
    let mut bench = Bench::prepare();
    bench.turn_pin_off();
    bench.serve();
    assert_eq!(
        unlock(&bench, "000001").unwrap_err().code,
        "policy_disabled"
    );
    let info = bench
        .call(&TokenInfo {
            uid: ALICE,
            remote: false,
        })
        .unwrap();
    assert_eq!(info.tries_left, 10);
}

#[test]
fn a_person_at_the_other_end_of_a_network_is_told_of_no_pin_where_no_policy_takes_it() {
    let bench = Bench::start();
    let far = TokenInfo {
        uid: ALICE,
        remote: true,
    };
    assert_eq!(bench.call(&far).unwrap_err().code, "remote_refused");
}
