//! Sealed messages.

use token::{Error, MAX_MESSAGE, open, seal};

use crate::keys::{ALICE, MALLORY, base64url, rsa};

const PASSWORD: &[u8] = "Päßwörd für alice".as_bytes();

fn parts(message: &str) -> Vec<String> {
    message.split('.').map(str::to_owned).collect()
}

#[test]
fn what_is_sealed_opens_with_its_key_only() {
    let message = seal(&ALICE, PASSWORD).unwrap();
    assert_eq!(open(&ALICE, &message).unwrap().expose(), PASSWORD);
    assert_eq!(open(&MALLORY, &message).err(), Some(Error::Sealed));
    let empty = seal(&ALICE, b"").unwrap();
    assert!(open(&ALICE, &empty).unwrap().expose().is_empty());
}

#[test]
fn sealing_twice_gives_two_messages() {
    let (first, second) = (
        seal(&ALICE, PASSWORD).unwrap(),
        seal(&ALICE, PASSWORD).unwrap(),
    );
    assert!(
        parts(&first)
            .iter()
            .zip(parts(&second))
            .skip(1)
            .all(|(one, other)| *one != other)
    );
}

#[test]
fn the_header_is_the_registered_one() {
    let message = seal(&ALICE, PASSWORD).unwrap();
    assert_eq!(
        parts(&message)[0],
        base64url(br#"{"alg":"RSA-OAEP-256","enc":"A256GCM"}"#)
    );
}

#[test]
fn a_change_of_any_character_is_refused() {
    let message = seal(&ALICE, PASSWORD).unwrap();
    for at in 0..message.len() {
        let mut changed = message.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        assert!(
            open(&ALICE, std::str::from_utf8(&changed).unwrap()).is_err(),
            "at {at}"
        );
    }
}

#[test]
fn parts_of_two_messages_do_not_mix() {
    let (first, second) = (
        parts(&seal(&ALICE, b"one").unwrap()),
        parts(&seal(&ALICE, b"two").unwrap()),
    );
    for at in 1..5 {
        let mut mixed = first.clone();
        mixed[at].clone_from(&second[at]);
        assert_eq!(
            open(&ALICE, &mixed.join(".")).err(),
            Some(Error::Sealed),
            "part {at}"
        );
    }
}

#[test]
fn other_algorithms_and_what_they_would_bring_are_refused() {
    let message = parts(&seal(&ALICE, PASSWORD).unwrap());
    let with_header = |header: &str| {
        let mut parts = message.clone();
        parts[0] = base64url(header.as_bytes());
        open(&ALICE, &parts.join(".")).err().unwrap()
    };
    assert_eq!(
        with_header(r#"{"alg":"dir","enc":"A256GCM"}"#),
        Error::Algorithm("RSA-OAEP-256")
    );
    assert_eq!(
        with_header(r#"{"alg":"RSA1_5","enc":"A256GCM"}"#),
        Error::Algorithm("RSA-OAEP-256")
    );
    assert_eq!(
        with_header(r#"{"alg":"RSA-OAEP-256","enc":"A128CBC-HS256"}"#),
        Error::Algorithm("A256GCM")
    );
    for more in [r#""zip":"DEF""#, r#""crit":["zip"]"#, r#""enc":"A256GCM""#] {
        let header = format!(r#"{{"alg":"RSA-OAEP-256","enc":"A256GCM",{more}}}"#);
        assert!(
            matches!(with_header(&header), Error::Malformed(_)),
            "{more}"
        );
    }
}

#[test]
fn a_short_tag_or_nonce_is_refused() {
    let message = parts(&seal(&ALICE, PASSWORD).unwrap());
    for (at, length) in [(2, 8), (2, 0), (4, 12), (4, 4), (4, 0)] {
        let mut parts = message.clone();
        parts[at] = base64url(&vec![0; length]);
        let outcome = open(&ALICE, &parts.join("."));
        assert!(
            matches!(outcome, Err(Error::Malformed(_))),
            "part {at} with {length} bytes"
        );
    }
    let mut four = message.clone();
    four.pop();
    assert!(matches!(
        open(&ALICE, &four.join(".")),
        Err(Error::Malformed(_))
    ));
}

#[test]
fn messages_have_a_greatest_length() {
    assert!(matches!(
        seal(&ALICE, &[0; MAX_MESSAGE]),
        Err(Error::Unsendable(_))
    ));
    let long = "A".repeat(MAX_MESSAGE + 1);
    assert_eq!(
        open(&ALICE, &long).err(),
        Some(Error::Malformed("longer than 16 KiB"))
    );
}

#[test]
fn nothing_is_sealed_to_a_weak_or_foreign_key() {
    assert!(matches!(seal(&rsa(1024), PASSWORD), Err(Error::Key(_))));
    let ed25519 = openssl::pkey::PKey::generate_ed25519().unwrap();
    assert!(matches!(seal(&ed25519, PASSWORD), Err(Error::Key(_))));
}
