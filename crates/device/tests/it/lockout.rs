//! A TPM that has seen too many failures, and who may have it take PINs again.

use std::fs;

use ipc::TpmUnlock;
use serde_json::Value;

use crate::bench::{ALICE, Bench, PIN};
use crate::ffi::as_user;
use crate::signing::unlock;

/// A bench whose TPM is locked and has this lockout value; `known` is what the device has of it.
fn bench(known: Option<[u8; 32]>) -> Bench {
    let mut bench = Bench::prepare();
    bench.lock_tpm();
    bench.set_lockout_value([5; 32]);
    if let Some(known) = known {
        fs::write(bench.config.state.join("tpm-lockout.auth"), known).unwrap();
    }
    bench.serve();
    assert_eq!(unlock(&bench, PIN).unwrap_err().code, "tpm_locked");
    bench
}

fn events(bench: &Bench) -> Vec<(u64, String)> {
    let events = fs::read_to_string(bench.config.state.join("events.jsonl")).unwrap();
    let events = events.lines().map(|line| {
        let event: Value = serde_json::from_str(line).unwrap();
        let by = event["By"].as_str().unwrap_or_default().to_owned();
        (event["event"].as_u64().unwrap(), by)
    });
    events.filter(|(id, _)| *id > 5000).collect()
}

#[test]
fn root_has_the_tpm_take_pins_again_by_the_machine_s_own_value_and_nobody_else_has() {
    let bench = bench(Some([5; 32]));
    let refused = as_user(ALICE, || bench.call(&TpmUnlock { code: None }));
    assert_eq!(refused.unwrap_err().code, "not_allowed");
    assert_eq!(unlock(&bench, PIN).unwrap_err().code, "tpm_locked");
    for was_locked in [true, false] {
        let unlocked = bench.call(&TpmUnlock { code: None }).unwrap();
        assert_eq!(unlocked.was_locked, was_locked);
    }
    unlock(&bench, PIN).unwrap();
    assert_eq!(
        events(&bench),
        [(5001, "root".into()), (5001, "root".into())]
    );
}

#[test]
fn a_value_that_was_wrong_is_not_tried_again_also_after_a_restart() {
    let mut bench = bench(Some([6; 32]));
    let refused = |bench: &Bench| bench.call(&TpmUnlock { code: None }).unwrap_err();
    let first = refused(&bench);
    assert_eq!(first.code, "lockout_value_wrong");
    assert!(first.sentence.contains("no other for a day"), "{first}");
    bench.end();
    bench.serve();
    let second = refused(&bench);
    assert_eq!(second.code, "lockout_value_wrong");
    assert!(!second.sentence.contains("a day"), "{second}");
    assert_eq!(
        events(&bench),
        [(5002, "root".into()), (5002, "root".into())]
    );
}

#[test]
fn a_machine_without_the_value_says_so_and_makes_none_up() {
    let bench = bench(None);
    let refused = bench.call(&TpmUnlock { code: None }).unwrap_err();
    assert_eq!(refused.code, "no_lockout_value");
    assert!(!bench.config.state.join("tpm-lockout.auth").exists());
}
