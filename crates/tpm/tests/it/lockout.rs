//! The TPM's count of failures, and the value that sets it back.

use model::Secret;
use tpm::{Error, Lockout, Reset, Tpm, UserKey};

use crate::pin::{key_for, signs};
use crate::swtpm::{ALICE, Swtpm, pin};

const PIN: &str = "135790";

fn value(byte: u8) -> Secret<[u8; 32]> {
    // Zeros at the end, which a TPM drops.
    let mut value = [byte; 32];
    value[30..].fill(0);
    Secret::new(value)
}

/// A TPM whose lockout value is ours, with a key at which one wrong PIN was tried, and that refuses everybody
/// by now.
fn locked(swtpm: &Swtpm) -> (Tpm, UserKey) {
    let mut tpm = swtpm.open();
    assert_eq!(
        tpm.set_dictionary_attack(&value(7)).unwrap(),
        Lockout::Taken
    );
    let key = key_for(&mut tpm, ALICE, PIN);
    assert!(tpm.unlock(&key, &pin("000000")).is_err());
    drop(tpm);
    swtpm.succeeds("tpm2_nvdefine 0x1500001 -s 4 -a authread|authwrite -p right");
    while swtpm.open().lockout_wait().unwrap().is_none() {
        let wrong = swtpm.tool("tpm2_nvread 0x1500001 -C 0x1500001 -P wrong");
        assert!(!wrong.status.success());
    }
    let mut tpm = swtpm.open();
    let refused = tpm.unlock(&key, &pin(PIN)).err().unwrap();
    assert!(matches!(refused, Error::InLockout { .. }), "{refused}");
    (tpm, key)
}

#[test]
fn the_lockout_value_has_the_tpm_take_pins_again_and_gives_no_user_a_try() {
    let swtpm = Swtpm::start();
    let (mut tpm, key) = locked(&swtpm);
    assert_eq!(tpm.reset_lockout(&value(7)).unwrap(), Reset::Done);
    assert_eq!(tpm.info().unwrap().dictionary_attack.failures, 0);
    assert_eq!(tpm.tries(&key).unwrap().left, 9);
    assert!(signs(&mut tpm, &key, PIN).unwrap());
    // Once more is harmless.
    assert_eq!(tpm.reset_lockout(&value(7)).unwrap(), Reset::Done);
}

#[test]
fn a_wrong_lockout_value_closes_the_way_for_the_right_one_and_says_so() {
    let swtpm = Swtpm::start();
    let (mut tpm, _) = locked(&swtpm);
    assert_eq!(tpm.reset_lockout(&value(8)).unwrap(), Reset::WrongValue);
    for _ in 0..2 {
        assert_eq!(tpm.reset_lockout(&value(7)).unwrap(), Reset::Closed);
    }
}

#[test]
fn a_tpm_without_a_lockout_value_is_set_back_by_anyones() {
    let swtpm = Swtpm::start();
    let mut tpm = swtpm.open();
    assert_eq!(tpm.reset_lockout(&value(8)).unwrap(), Reset::Done);
    assert!(!tpm.info().unwrap().lockout_auth_set);
}
