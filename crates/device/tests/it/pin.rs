//! A PIN's life: earlier ones refused, old ones due, wrong ones slowed down.

use std::fs;

use ipc::{CanReset, Failure, PinReset, PinRules, Status, TokenInfo};
use serde_json::Value;

use crate::bench::{ALICE, BOB, Bench, PIN, sid, write};
use crate::ffi::as_user;
use crate::signing::{pin_change, unlock};

const SECOND: &str = "995511";
const THIRD: &str = "884422";
const WRONG: &str = "000001";

fn change(bench: &Bench, old: &str, new: &str) -> Result<(), Failure> {
    as_user(ALICE, || bench.call(&pin_change(old, new))).map(drop)
}

fn code<T>(outcome: Result<T, Failure>) -> String {
    outcome
        .err()
        .map_or_else(String::new, |failure| failure.code)
}

fn with_rules(rules: &[(&str, u32)]) -> Bench {
    let mut bench = Bench::prepare();
    bench.leave_pin_rules(rules);
    bench.serve();
    bench
}

fn credential(bench: &Bench) -> Value {
    let text = fs::read_to_string(bench.credential_file()).unwrap();
    serde_json::from_str::<Value>(&text).unwrap()["data"].clone()
}

/// The credential as one whose PIN was set at that second.
fn set_at(bench: &Bench, second: i64) {
    let mut kept = credential(bench);
    kept["pin"] = serde_json::json!({ "set": second });
    write(&bench.credential_file(), &kept);
}

#[test]
fn earlier_pins_are_refused_as_far_back_as_the_policy_says_and_after_a_restart() {
    let mut bench = with_rules(&[("History", 3)]);
    change(&bench, PIN, SECOND).unwrap();
    change(&bench, SECOND, THIRD).unwrap();
    bench.end();
    bench.serve();
    for used in [PIN, SECOND, THIRD] {
        assert_eq!(code(change(&bench, THIRD, used)), "pin_refused", "{used}");
    }
    change(&bench, THIRD, "771133").unwrap();
    // The fourth back is out of the policy's sight.
    change(&bench, "771133", PIN).unwrap();
}

#[test]
fn a_policy_that_is_raised_or_lowered_counts_what_is_known() {
    let mut bench = with_rules(&[("History", 0)]);
    change(&bench, PIN, SECOND).unwrap();
    assert_eq!(credential(&bench)["pin"]["history"], Value::Null);
    let serve_with = |bench: &mut Bench, history| {
        bench.end();
        bench.leave_pin_rules(&[("History", history)]);
        bench.serve();
    };
    serve_with(&mut bench, 50);
    // What was replaced while nobody asked is not known.
    change(&bench, SECOND, PIN).unwrap();
    assert_eq!(code(change(&bench, PIN, SECOND)), "pin_refused");
    serve_with(&mut bench, 1);
    assert_eq!(code(change(&bench, PIN, PIN)), "pin_refused");
    change(&bench, PIN, SECOND).unwrap();
    assert_eq!(credential(&bench)["pin"]["history"], Value::Null);
}

#[test]
fn whoever_does_not_know_the_pin_learns_nothing_of_earlier_ones() {
    let bench = with_rules(&[("History", 5)]);
    change(&bench, PIN, SECOND).unwrap();
    for new in [PIN, SECOND, "123456"] {
        assert_eq!(code(change(&bench, WRONG, new)), "wrong_pin");
        bench.forget_waits();
    }
}

#[test]
fn what_is_kept_of_an_earlier_pin_has_neither_it_nor_what_stands_for_the_present_one() {
    let bench = with_rules(&[("History", 10)]);
    change(&bench, PIN, SECOND).unwrap();
    let kept = credential(&bench);
    let tags = kept["pin"]["history"]["tags"].as_array().unwrap();
    assert_eq!(tags.len(), 1, "of the PIN of now there is none: {kept}");
    let text = kept.to_string();
    assert!(!text.contains(PIN) && !text.contains(SECOND));
    // Of the same PIN of the same person on another device nothing is the same.
    let other = with_rules(&[("History", 10)]);
    change(&other, PIN, SECOND).unwrap();
    assert_ne!(credential(&other)["pin"]["history"], kept["pin"]["history"]);
}

#[test]
fn an_expired_pin_opens_nothing_and_its_successor_does() {
    let mut bench = Bench::prepare();
    bench.leave_pin_rules(&[("Expiration", 10)]);
    let long_ago = 1_700_000_000;
    set_at(&bench, long_ago);
    bench.serve();
    let refused = unlock(&bench, PIN).unwrap_err();
    assert_eq!(refused.code, "pin_change_required");
    assert!(refused.sentence.contains("10 days"), "{refused}");
    assert_eq!(days_left(&bench), Some(0));
    change(&bench, PIN, SECOND).unwrap();
    unlock(&bench, SECOND).unwrap();
    assert_eq!(days_left(&bench), Some(10));
    assert_eq!(code(unlock(&bench, PIN)), "wrong_pin");
}

fn days_left(bench: &Bench) -> Option<u32> {
    let status = as_user(ALICE, || {
        bench.call(&Status {
            remote: false,
            tests: false,
        })
    });
    status.unwrap().credentials[0].pin_expires_in_days
}

#[test]
fn a_pin_that_rules_of_now_would_not_take_opens_nothing_before_it_is_replaced() {
    let bench = with_rules(&[("MinimumPINLength", 14)]);
    let refused = unlock(&bench, PIN).unwrap_err();
    assert_eq!(refused.code, "pin_change_required");
    assert!(refused.sentence.contains("at least 14"), "{refused}");
    assert_eq!(code(unlock(&bench, WRONG)), "wrong_pin");
    let rules = as_user(ALICE, || bench.call(&PinRules { user: None }));
    let rules = rules.unwrap().rules.join(" ");
    assert!(rules.contains("14 to 127 digits"), "{rules}");
    assert_eq!(code(change(&bench, PIN, SECOND)), "pin_refused");
    change(&bench, PIN, "48151623429900").unwrap();
    unlock(&bench, "48151623429900").unwrap();
}

#[test]
fn root_changes_a_pin_that_it_knows_and_a_person_nobody_else_s() {
    let bench = Bench::start();
    let named = |old, new| ipc::PinChange {
        user: Some("alice".to_owned()),
        ..pin_change(old, new)
    };
    let by_bob = as_user(BOB, || bench.call(&named(PIN, SECOND)));
    assert_eq!(code(by_bob), "not_allowed");
    assert_eq!(code(bench.call(&named(WRONG, SECOND))), "wrong_pin");
    bench.call(&named(PIN, SECOND)).unwrap();
    unlock(&bench, SECOND).unwrap();
}

fn info(bench: &Bench) -> ipc::TokenInfoAnswer {
    let own = TokenInfo {
        uid: ALICE,
        remote: false,
    };
    bench.call(&own).unwrap()
}

#[test]
fn after_three_wrong_pins_the_next_waits_and_wants_the_phrase_also_after_a_restart() {
    let mut bench = Bench::start();
    for _ in 0..2 {
        let refused = unlock(&bench, WRONG).unwrap_err();
        assert_eq!((&*refused.code, refused.retry_after_s), ("wrong_pin", None));
    }
    assert_eq!(info(&bench).phrase, None);
    let third = unlock(&bench, WRONG).unwrap_err();
    assert_eq!((&*third.code, third.retry_after_s), ("wrong_pin", Some(5)));
    bench.end();
    bench.serve();
    let wait = info(&bench).retry_after_s;
    assert!(
        wait.is_some_and(|wait_s| (1..=5).contains(&wait_s)),
        "{wait:?}"
    );
    let paused = unlock(&bench, PIN).unwrap_err();
    assert_eq!(paused.code, "pin_paused");
    assert!(paused.retry_after_s.is_some(), "{paused}");
    // What waits is no try.
    assert_eq!(info(&bench).tries_left, 7);
}

#[test]
fn the_phrase_is_wanted_until_a_right_pin_and_costs_no_try() {
    let bench = Bench::start();
    let record = bench.config.state.join(format!("tries/{ALICE}.json"));
    // Three wrong ones, long enough ago.
    write(
        &record,
        &serde_json::json!({"wrong": 3, "last": 1_700_000_000}),
    );
    let phrase = info(&bench).phrase.unwrap();
    let try_with = |typed: Option<&str>, old, new| {
        let request = ipc::PinChange {
            phrase: typed.map(str::to_owned),
            ..pin_change(old, new)
        };
        as_user(ALICE, || bench.call(&request))
    };
    for typed in [None, Some(""), Some("no")] {
        assert_eq!(code(try_with(typed, PIN, SECOND)), "phrase_required");
    }
    assert_eq!(code(unlock(&bench, PIN)), "phrase_required");
    assert_eq!(info(&bench).tries_left, 10);
    let fourth = try_with(Some(&phrase), WRONG, SECOND).unwrap_err();
    assert_eq!(
        (&*fourth.code, fourth.retry_after_s),
        ("wrong_pin", Some(15))
    );
    write(
        &record,
        &serde_json::json!({"wrong": 4, "last": 1_700_000_000}),
    );
    try_with(Some(&phrase.to_lowercase()), PIN, SECOND).unwrap();
    assert!(!record.exists());
    assert_eq!(info(&bench).phrase, None);
}

#[test]
fn many_tries_at_once_are_counted_one_by_one() {
    let bench = Bench::start();
    let codes: Vec<String> = std::thread::scope(|scope| {
        let tries: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| code(unlock(&bench, WRONG))))
            .collect();
        tries.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let compared = codes.iter().filter(|code| *code == "wrong_pin").count();
    assert_eq!(compared, 3, "{codes:?}");
    assert_eq!(info(&bench).tries_left, 7);
}

#[test]
fn a_key_whose_recovery_key_was_destroyed_is_not_reset_and_says_so_before() {
    let mut bench = Bench::prepare();
    bench.pretend_joined();
    bench.leave_policy("Enabled", 1);
    bench.serve();
    let status = as_user(ALICE, || {
        bench.call(&Status {
            remote: false,
            tests: false,
        })
    })
    .unwrap();
    assert_eq!(status.credentials[0].can_reset, CanReset::DestructiveOnly);
    let reset = |new_key| as_user(ALICE, || bench.call(&PinReset { new_key }));
    let refused = reset(false).unwrap_err();
    assert_eq!(refused.code, "not_recoverable");
    assert!(refused.sentence.contains("--new-key"), "{refused}");
    let none = as_user(BOB, || bench.call(&PinReset { new_key: true }));
    assert_eq!(code(none), "no_credential");
}

#[test]
fn a_tpm_that_is_in_lockout_is_said_to_be_with_its_own_time_and_no_try_is_lost() {
    let mut bench = Bench::prepare();
    bench.lock_tpm();
    bench.serve();
    let refused = unlock(&bench, PIN).unwrap_err();
    assert_eq!(
        (&*refused.code, refused.retry_after_s),
        ("tpm_locked", Some(700))
    );
    assert!(refused.sentence.contains("12 minutes"), "{refused}");
    assert_eq!(info(&bench).tries_left, 10);
    let told = bench
        .call(&Status {
            remote: false,
            tests: false,
        })
        .unwrap()
        .tpm;
    assert!(told.contains("takes no PIN for 12 minutes"), "{told}");
}

#[test]
fn what_happened_to_a_pin_is_in_the_events_and_the_pin_is_not() {
    let bench = Bench::start();
    change(&bench, PIN, SECOND).unwrap();
    let events = fs::read_to_string(bench.config.state.join("events.jsonl")).unwrap();
    let event: Value = serde_json::from_str(events.lines().last().unwrap()).unwrap();
    assert_eq!(event["event"], 3901);
    assert_eq!(event["sid"], sid(ALICE).to_string());
    assert!(!events.contains(PIN) && !events.contains(SECOND));
}
