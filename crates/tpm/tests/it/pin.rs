//! What a PIN does, and what a wrong one does.

use openssl::hash::MessageDigest;
use openssl::sign::Verifier;
use tpm::{Error, Recovery, Tpm, Tries, UserKey};

use crate::swtpm::{ALICE, BOB, Swtpm, pin};

pub(crate) fn signs(tpm: &mut Tpm, key: &UserKey, text: &str) -> bool {
    let message = b"a message";
    let unlocked = match tpm.unlock(key, &pin(text)) {
        Ok(unlocked) => unlocked,
        Err(error) => {
            eprintln!("{error}");
            return false;
        }
    };
    let signature = tpm
        .sign_unlocked(unlocked, &model::sha256(message))
        .unwrap();
    let public = key.public_key().unwrap();
    let mut verifier = Verifier::new(MessageDigest::sha256(), &public).unwrap();
    verifier.verify_oneshot(&signature, message).unwrap()
}

#[test]
fn the_right_pin_signs_and_a_wrong_one_is_counted() {
    let swtpm = Swtpm::start();
    let mut tpm = swtpm.open();
    let key = tpm
        .create_user_key(ALICE, &pin("135790"), Recovery::Destroyed)
        .unwrap();
    assert!(signs(&mut tpm, &key, "135790"));
    assert_eq!(
        tpm.tries(&key).unwrap(),
        Tries {
            left: 10,
            limit: 10
        }
    );
    let refused = tpm.unlock(&key, &pin("000000")).err().unwrap();
    assert!(
        matches!(refused, Error::WrongPin { tries_left: 9 }),
        "{refused}"
    );
    assert_eq!(tpm.tries(&key).unwrap().left, 9);
    assert!(signs(&mut tpm, &key, "135790"));
    assert_eq!(tpm.tries(&key).unwrap().left, 10);
}
