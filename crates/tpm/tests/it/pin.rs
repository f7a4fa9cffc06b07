//! What a PIN does, what a wrong one does, and what is left of an old one.

use openssl::hash::MessageDigest;
use openssl::sign::Verifier;
use tpm::{Error, Recovery, Role, Tpm, Tries, UserKey};

use crate::swtpm::{ALICE, BOB, Swtpm, holder, pin};

/// Unlocks and signs; true only where the signature verifies.
pub(crate) fn signs(tpm: &mut Tpm, key: &UserKey, text: &str) -> Result<bool, Error> {
    let message = b"a message";
    let unlocked = tpm.unlock(key, &pin(text))?;
    let signature = tpm.sign_unlocked(unlocked, &model::sha256(message))?;
    let public = key.public_key()?;
    let mut verifier = Verifier::new(MessageDigest::sha256(), &public)?;
    Ok(verifier.verify_oneshot(&signature, message)?)
}

pub(crate) fn key_for(tpm: &mut Tpm, scope: &str, text: &str) -> UserKey {
    tpm.create_user_key(&holder(scope), &pin(text), Recovery::Destroyed)
        .unwrap()
}

fn left(tpm: &mut Tpm, key: &UserKey) -> u32 {
    tpm.tries(key).unwrap().left
}

#[test]
fn the_right_pin_signs_also_after_the_key_was_on_disk() {
    let swtpm = Swtpm::start();
    let mut tpm = swtpm.open();
    let key = key_for(&mut tpm, ALICE, "135790");
    let stored = serde_json::to_string(&key).unwrap();
    drop(tpm);
    let key: UserKey = serde_json::from_str(&stored).unwrap();
    assert!(signs(&mut swtpm.open(), &key, "135790").unwrap());
}

#[test]
fn a_wrong_pin_is_counted_and_the_right_one_resets_the_count() {
    let swtpm = Swtpm::start();
    let mut tpm = swtpm.open();
    let key = key_for(&mut tpm, ALICE, "135790");
    assert_eq!(
        tpm.tries(&key).unwrap(),
        Tries {
            left: 10,
            limit: 10
        }
    );
    for expected in [9, 8, 7] {
        match tpm.unlock(&key, &pin("000000")).err().unwrap() {
            Error::WrongPin { tries_left } => assert_eq!(tries_left, expected),
            other => panic!("{other}"),
        }
        assert_eq!(left(&mut tpm, &key), expected);
    }
    assert!(signs(&mut tpm, &key, "135790").unwrap());
    assert_eq!(left(&mut tpm, &key), 10);
}

#[test]
fn the_count_is_the_tpms_and_survives_its_restart() {
    let mut swtpm = Swtpm::start();
    let mut tpm = swtpm.open();
    let key = key_for(&mut tpm, ALICE, "135790");
    assert!(tpm.unlock(&key, &pin("000000")).is_err());
    drop(tpm);
    swtpm.restart();
    assert_eq!(left(&mut swtpm.open(), &key), 9);
}

#[test]
fn only_a_tpm_that_was_shut_down_in_order_counts_no_failure_at_its_next_start() {
    for (in_order, failures) in [(true, 0), (false, 1)] {
        let mut swtpm = Swtpm::start();
        let mut tpm = swtpm.open();
        let key = key_for(&mut tpm, ALICE, "135790");
        assert!(signs(&mut tpm, &key, "135790").unwrap());
        if in_order {
            tpm.shut_down().unwrap();
        } else {
            drop(tpm);
        }
        swtpm.restart();
        let info = swtpm.open().info().unwrap();
        assert_eq!(info.dictionary_attack.failures, failures, "{in_order}");
    }
}

#[test]
fn ten_wrong_pins_lock_that_user_and_nobody_else() {
    let swtpm = Swtpm::start();
    let mut tpm = swtpm.open();
    let alice = key_for(&mut tpm, ALICE, "135790");
    let bob = key_for(&mut tpm, BOB, "135790");
    for _ in 0..9 {
        let refused = tpm.unlock(&alice, &pin("000000")).err().unwrap();
        assert!(matches!(refused, Error::WrongPin { .. }), "{refused}");
    }
    assert!(matches!(
        tpm.unlock(&alice, &pin("000000")).err().unwrap(),
        Error::Locked
    ));
    assert!(matches!(
        tpm.unlock(&alice, &pin("135790")).err().unwrap(),
        Error::Locked
    ));
    assert_eq!(left(&mut tpm, &alice), 0);

    assert!(signs(&mut tpm, &bob, "135790").unwrap());
    assert_eq!(left(&mut tpm, &bob), 10);
    assert_eq!(tpm.info().unwrap().dictionary_attack.failures, 0);
}

#[test]
fn a_tpm_in_lockout_says_for_how_long_and_tries_no_pin() {
    let swtpm = Swtpm::start();
    let mut tpm = swtpm.open();
    let alice = key_for(&mut tpm, ALICE, "135790");
    assert_eq!(tpm.lockout_wait().unwrap(), None);
    drop(tpm);
    // Somebody else's value, guessed wrongly until the TPM has had enough.
    swtpm.succeeds("tpm2_dictionarylockout -s -n 2 -t 700 -l 86400");
    swtpm.succeeds("tpm2_nvdefine 0x1500001 -s 4 -a authread|authwrite -p right");
    for _ in 0..2 {
        swtpm.refuses("tpm2_nvread 0x1500001 -C 0x1500001 -P wrong", "0x98e");
    }
    let mut tpm = swtpm.open();
    for text in ["135790", "000000"] {
        match tpm.unlock(&alice, &pin(text)).err().unwrap() {
            Error::InLockout { retry_after_s } => assert_eq!(retry_after_s, 700),
            other => panic!("{other}"),
        }
    }
    assert_eq!(left(&mut tpm, &alice), 10);
    drop(tpm);
    swtpm.succeeds("tpm2_dictionarylockout -c");
    assert!(signs(&mut swtpm.open(), &alice, "135790").unwrap());
}

#[test]
fn a_key_with_another_name_on_it_is_refused_before_any_pin_is_tried() {
    let swtpm = Swtpm::start();
    let mut tpm = swtpm.open();
    let alice = key_for(&mut tpm, ALICE, "135790");
    // Alice's files with Bob's name on them: somebody who may write the daemon's folder.
    let forged = serde_json::to_string(&alice).unwrap().replace(ALICE, BOB);
    let forged: UserKey = serde_json::from_str(&forged).unwrap();
    let refused = tpm.unlock(&forged, &pin("135790")).err().unwrap();
    assert!(matches!(refused, Error::KeyUnusable(_)), "{refused}");
    assert_eq!(left(&mut tpm, &alice), 10);
}

#[test]
fn a_key_with_the_counter_of_another_is_refused_before_any_pin_is_tried() {
    let swtpm = Swtpm::start();
    let mut tpm = swtpm.open();
    let alice = key_for(&mut tpm, ALICE, "135790");
    let bob = key_for(&mut tpm, BOB, "246800");
    let mut forged = serde_json::to_value(&alice).unwrap();
    forged["nv_public"] = serde_json::to_value(&bob).unwrap()["nv_public"].clone();
    let forged: UserKey = serde_json::from_value(forged).unwrap();
    let refused = tpm.unlock(&forged, &pin("135790")).err().unwrap();
    assert!(matches!(refused, Error::KeyUnusable(_)), "{refused}");
    assert_eq!(left(&mut tpm, &bob), 10);
}

#[test]
fn an_unlocked_key_keeps_no_slot_of_the_tpm_from_anybody() {
    let swtpm = Swtpm::start();
    let mut tpm = swtpm.open();
    let key = key_for(&mut tpm, ALICE, "135790");
    let unlocked: Vec<_> = (0..8)
        .map(|_| tpm.unlock(&key, &pin("135790")).unwrap())
        .collect();
    for one in unlocked {
        tpm.sign_unlocked(one, &[7; 32]).unwrap();
    }
    let unlocked = tpm.unlock(&key, &pin("135790")).unwrap();
    tpm.prepare();
    key_for(&mut tpm, BOB, "246800");
    tpm.ek_public().unwrap();
    tpm.sign_unlocked(unlocked, &[7; 32]).unwrap();
    // The one that signed last keeps its slot until somebody needs it.
    key_for(&mut tpm, BOB, "246800");
    tpm.ek_public().unwrap();
}

#[test]
fn what_stands_by_for_a_pin_signs_as_ever_and_makes_room_for_anybody() {
    let swtpm = Swtpm::start();
    let mut tpm = swtpm.open();
    let alice = key_for(&mut tpm, ALICE, "135790");
    let bob = key_for(&mut tpm, BOB, "246800");
    for expected in [None, Some(&alice), Some(&alice), Some(&bob), None] {
        tpm.stand_by(expected);
        assert!(signs(&mut tpm, &alice, "135790").unwrap());
        tpm.stand_by(expected);
        tpm.ek_public().unwrap();
        tpm.stand_by(expected);
        assert!(signs(&mut tpm, &bob, "246800").unwrap());
    }
    tpm.stand_by(Some(&alice));
    let refused = tpm.unlock(&alice, &pin("111111")).err().unwrap();
    assert!(matches!(refused, Error::WrongPin { tries_left: 9 }));
    // A proof is not given up for what may come.
    let unlocked = tpm.unlock(&alice, &pin("135790")).unwrap();
    tpm.prepare();
    tpm.stand_by(Some(&bob));
    tpm.sign_unlocked(unlocked, &[7; 32]).unwrap();
}

#[test]
fn a_key_that_stood_by_before_a_change_of_pin_or_a_deletion_signs_no_more() {
    let swtpm = Swtpm::start();
    let mut tpm = swtpm.open();
    let old = key_for(&mut tpm, ALICE, "135790");
    tpm.stand_by(Some(&old));
    let new = tpm
        .change_pin::<Error>(&old, &pin("135790"), &pin("246800"), |_| Ok(()))
        .unwrap();
    tpm.stand_by(Some(&old));
    assert!(signs(&mut tpm, &new, "246800").unwrap());
    tpm.stand_by(Some(&old));
    let refused = signs(&mut tpm, &old, "246800").unwrap_err();
    assert!(matches!(refused, Error::KeyUnusable(_)), "{refused}");
    tpm.stand_by(Some(&new));
    tpm.delete_user_key(&new).unwrap();
    tpm.stand_by(Some(&new));
    let refused = signs(&mut tpm, &new, "246800").unwrap_err();
    assert!(matches!(refused, Error::KeyUnusable(_)), "{refused}");
}

#[test]
fn each_unlocking_signs_with_its_own_key() {
    let swtpm = Swtpm::start();
    let mut tpm = swtpm.open();
    let alice = key_for(&mut tpm, ALICE, "135790");
    let bob = key_for(&mut tpm, BOB, "246800");
    let first = tpm.unlock(&alice, &pin("135790")).unwrap();
    let second = tpm.unlock(&bob, &pin("246800")).unwrap();
    tpm.prepare();
    tpm.prepare();
    for (unlocked, key) in [(first, &alice), (second, &bob)] {
        let signature = tpm
            .sign_unlocked(unlocked, &model::sha256(b"a message"))
            .unwrap();
        let public = key.public_key().unwrap();
        let mut verifier = Verifier::new(MessageDigest::sha256(), &public).unwrap();
        assert!(verifier.verify_oneshot(&signature, b"a message").unwrap());
    }
}

#[test]
fn what_was_unlocked_before_a_change_of_pin_or_a_deletion_signs_no_more() {
    let swtpm = Swtpm::start();
    let mut tpm = swtpm.open();
    let key = key_for(&mut tpm, ALICE, "135790");
    let (early, again) = ("135790", "246800");
    let unlocked = tpm.unlock(&key, &pin(early)).unwrap();
    tpm.prepare();
    let changed = tpm
        .change_pin::<Error>(&key, &pin(early), &pin(again), |_| Ok(()))
        .unwrap();
    let refused = tpm.sign_unlocked(unlocked, &[7; 32]).unwrap_err();
    assert!(matches!(refused, Error::WrongPin { .. }), "{refused}");
    let unlocked = tpm.unlock(&changed, &pin(again)).unwrap();
    tpm.prepare();
    tpm.delete_user_key(&changed).unwrap();
    let refused = tpm.sign_unlocked(unlocked, &[7; 32]).unwrap_err();
    assert!(matches!(refused, Error::KeyUnusable(_)), "{refused}");
}

#[test]
fn after_a_change_of_pin_the_new_one_signs_and_the_old_one_is_wrong() {
    let swtpm = Swtpm::start();
    let mut tpm = swtpm.open();
    let key = key_for(&mut tpm, ALICE, "135790");
    let changed = tpm
        .change_pin::<Error>(&key, &pin("135790"), &pin("246800"), |_| Ok(()))
        .unwrap();
    assert_eq!(changed.public(), key.public());
    assert!(signs(&mut tpm, &changed, "246800").unwrap());
    let refused = tpm.unlock(&changed, &pin("135790")).err().unwrap();
    assert!(
        matches!(refused, Error::WrongPin { tries_left: 9 }),
        "{refused}"
    );
}

#[test]
fn a_saved_copy_of_the_old_blob_opens_with_neither_pin() {
    let swtpm = Swtpm::start();
    let mut tpm = swtpm.open();
    let copy = key_for(&mut tpm, ALICE, "135790");
    tpm.change_pin::<Error>(&copy, &pin("135790"), &pin("246800"), |_| Ok(()))
        .unwrap();
    let refused = signs(&mut tpm, &copy, "135790").unwrap_err();
    assert!(
        matches!(refused, Error::WrongPin { tries_left: 9 }),
        "{refused}"
    );
    let refused = signs(&mut tpm, &copy, "246800").unwrap_err();
    assert!(matches!(refused, Error::KeyUnusable(_)), "{refused}");
}

#[test]
fn a_change_of_pin_needs_the_old_one_and_counts_a_wrong_one() {
    let swtpm = Swtpm::start();
    let mut tpm = swtpm.open();
    let key = key_for(&mut tpm, ALICE, "135790");
    let refused = tpm
        .change_pin::<Error>(&key, &pin("1"), &pin("246800"), |_| {
            panic!("nothing to store")
        })
        .unwrap_err();
    assert!(
        matches!(refused, Error::WrongPin { tries_left: 9 }),
        "{refused}"
    );
    assert!(signs(&mut tpm, &key, "135790").unwrap());
}

#[test]
fn a_change_of_pin_that_cannot_be_stored_changes_nothing() {
    let swtpm = Swtpm::start();
    let mut tpm = swtpm.open();
    let key = key_for(&mut tpm, ALICE, "135790");
    let full = || Error::Unavailable("the disk is full".to_owned());
    tpm.change_pin(&key, &pin("135790"), &pin("246800"), |_| Err(full()))
        .unwrap_err();
    assert!(signs(&mut tpm, &key, "135790").unwrap());
    assert!(tpm.unlock(&key, &pin("246800")).is_err());
}

#[test]
fn a_deleted_key_is_dead_in_every_copy() {
    let swtpm = Swtpm::start();
    let mut tpm = swtpm.open();
    let key = key_for(&mut tpm, ALICE, "135790");
    tpm.delete_user_key(&key).unwrap();
    tpm.delete_user_key(&key).unwrap();
    let refused = tpm.unlock(&key, &pin("135790")).err().unwrap();
    assert!(matches!(refused, Error::KeyUnusable(_)), "{refused}");
}

#[test]
fn a_key_of_another_tpm_is_said_to_be_unusable() {
    let (here, there) = (Swtpm::start(), Swtpm::start());
    let key = key_for(&mut there.open(), ALICE, "135790");
    let mut tpm = here.open();
    let refused = tpm.unlock(&key, &pin("135790")).err().unwrap();
    assert!(matches!(refused, Error::KeyUnusable(_)), "{refused}");
    let device = there
        .open()
        .create_device_key(Role::Device, &auth())
        .unwrap();
    let refused = tpm.sign(&device, &auth(), &[1; 32]).unwrap_err();
    assert!(matches!(refused, Error::KeyUnusable(_)), "{refused}");
}

#[test]
fn a_key_of_another_tpm_is_deleted_without_touching_what_is_here() {
    let (here, there) = (Swtpm::start(), Swtpm::start());
    let foreign = key_for(&mut there.open(), ALICE, "135790");
    let mut tpm = here.open();
    let own = key_for(&mut tpm, ALICE, "135790");
    tpm.delete_user_key(&foreign).unwrap();
    assert!(signs(&mut tpm, &own, "135790").unwrap());
}

fn auth() -> model::Secret<[u8; 32]> {
    model::Secret::new([5; 32])
}

#[test]
fn counters_of_forgotten_users_are_deleted_and_others_are_kept() {
    let swtpm = Swtpm::start();
    let mut tpm = swtpm.open();
    let alice = key_for(&mut tpm, ALICE, "135790");
    key_for(&mut tpm, BOB, "135790");
    drop(tpm);
    swtpm.succeeds("tpm2_nvdefine 0x01804c10 -C o -s 8 -a ownerread|ownerwrite");
    let mut tpm = swtpm.open();
    assert_eq!(
        tpm.forget_other_users(std::slice::from_ref(&alice))
            .unwrap(),
        1
    );
    assert_eq!(
        tpm.forget_other_users(std::slice::from_ref(&alice))
            .unwrap(),
        0
    );
    assert!(signs(&mut tpm, &alice, "135790").unwrap());
    drop(tpm);
    swtpm.succeeds("tpm2_nvreadpublic 0x01804c10");
}
