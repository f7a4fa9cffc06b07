//! A key that is made before its PIN is known: what is there until then, and what becomes of it.

use tpm::{Error, Keeper};

use crate::pin::signs;
use crate::root::{recovery_key, signer};
use crate::swtpm::{ALICE, BOB, Swtpm, holder, pin};

const PIN: &str = "135790";

#[test]
fn a_key_without_a_pin_leaves_nothing_in_the_tpm_and_takes_its_pin_later() {
    let swtpm = Swtpm::start();
    let mut tpm = swtpm.open();
    let new = tpm.begin_user_key(&holder(ALICE), &Keeper::Nobody).unwrap();
    drop(tpm);
    // Another program's turn, as after a death of ours.
    for kind in [
        "handles-nv-index",
        "handles-transient",
        "handles-loaded-session",
    ] {
        assert_eq!(swtpm.succeeds(&format!("tpm2_getcap {kind}")), "", "{kind}");
    }
    let mut tpm = swtpm.open();
    let key = tpm.finish_user_key(&new, &pin(PIN), None).unwrap();
    assert!(signs(&mut tpm, &key, PIN).unwrap());
    let wrong = tpm.unlock(&key, &pin("000000")).err().unwrap();
    assert!(
        matches!(wrong, Error::WrongPin { tries_left: 9 }),
        "{wrong}"
    );
}

#[test]
fn a_key_whose_place_was_taken_is_lost_and_harms_nobody() {
    let swtpm = Swtpm::start();
    let mut tpm = swtpm.open();
    let alice = tpm.begin_user_key(&holder(ALICE), &Keeper::Nobody).unwrap();
    let bob = tpm.begin_user_key(&holder(BOB), &Keeper::Nobody).unwrap();
    let bob = tpm.finish_user_key(&bob, &pin(PIN), None).unwrap();
    for _ in 0..2 {
        let lost = tpm.finish_user_key(&alice, &pin(PIN), None).err().unwrap();
        assert!(matches!(lost, Error::KeyUnusable(_)), "{lost}");
    }
    assert!(signs(&mut tpm, &bob, PIN).unwrap());
    let again = tpm.begin_user_key(&holder(ALICE), &Keeper::Nobody).unwrap();
    let again = tpm.finish_user_key(&again, &pin(PIN), None).unwrap();
    assert!(signs(&mut tpm, &again, PIN).unwrap() && signs(&mut tpm, &bob, PIN).unwrap());
}

#[test]
fn a_key_of_another_tpm_is_lost() {
    let (swtpm, other) = (Swtpm::start(), Swtpm::start());
    let mut tpm = swtpm.open();
    let new = tpm.begin_user_key(&holder(ALICE), &Keeper::Nobody).unwrap();
    let lost = other.open().finish_user_key(&new, &pin(PIN), None).err();
    assert!(matches!(lost, Some(Error::KeyUnusable(_))));
}

#[test]
fn a_key_that_the_server_may_recover_gets_no_pin_without_its_word_and_is_not_lost_for_it() {
    let swtpm = Swtpm::start();
    let mut tpm = swtpm.open();
    let (recovery, public) = recovery_key();
    let new = tpm.begin_user_key(&holder(ALICE), &Keeper::Server(public));
    let new = new.unwrap();
    assert!(tpm.finish_user_key(&new, &pin(PIN), None).is_err());
    let mut bobs = signer(&recovery, BOB);
    assert!(
        tpm.finish_user_key(&new, &pin(PIN), Some(&mut bobs))
            .is_err()
    );
    let mut sign = signer(&recovery, ALICE);
    let key = tpm.finish_user_key(&new, &pin(PIN), Some(&mut sign));
    assert!(signs(&mut tpm, &key.unwrap(), PIN).unwrap());
}
