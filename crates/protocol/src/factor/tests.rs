use super::*;

const T0: UnixTime = UnixTime(1_700_000_000);

use Answer::{Denied, Right, Spent, Unreachable, Wrong};
use Method::{AccessPass, Approval, Otp, SecurityKey};

/// One word for a stage, so that a table reads as a story.
fn word(stage: Stage) -> &'static str {
    match stage {
        Stage::Choosing => "choosing",
        Stage::Contacting { number: None, .. } => "contacting",
        Stage::Contacting { .. } => "contacting, number shown",
        Stage::Approved { .. } => "approved",
        Stage::Denied => "denied",
        Stage::TimedOut { .. } => "timed out",
        Stage::Unreachable { .. } => "unreachable",
        Stage::Exhausted => "exhausted",
    }
}

/// Plays inputs at seconds after the begin, and expects a word after each.
fn play(story: &[(i64, Input, &str)]) -> Confirmation {
    let mut confirmation = Confirmation::begin(vec![Approval, Otp], T0);
    for (second, input, expected) in story {
        confirmation.step(*input, T0.plus(*second));
        let stage = word(confirmation.stage());
        assert_eq!(stage, *expected, "after {input:?} at {second}");
    }
    confirmation
}

fn chosen(method: Method) -> Input {
    Input::Chosen(method)
}

fn answered(method: Method, answer: Answer) -> Input {
    Input::Answered(method, answer)
}

#[test]
fn a_right_answer_by_the_chosen_way_approves() {
    let number = Input::Contacted { number: Some(42) };
    let confirmation = play(&[
        (0, chosen(Approval), "contacting"),
        (0, number, "contacting, number shown"),
        (9, Input::Waited, "contacting, number shown"),
        (10, answered(Approval, Right), "approved"),
    ]);
    let (method, at) = (Approval, T0.plus(10));
    assert_eq!(confirmation.stage(), Stage::Approved { method, at });
    assert_eq!(confirmation.next(T0.plus(10)), []);
}

#[test]
fn an_answer_to_what_was_not_asked_changes_nothing() {
    play(&[
        (0, answered(Otp, Right), "choosing"),
        (1, Input::Contacted { number: Some(1) }, "choosing"),
        (2, chosen(Approval), "contacting"),
        (3, answered(Otp, Right), "contacting"),
        (4, answered(SecurityKey, Denied), "contacting"),
    ]);
}

#[test]
fn an_answer_is_awaited_by_the_way_that_is_under_way_and_in_its_time() {
    let confirmation = play(&[(0, chosen(Approval), "contacting")]);
    assert!(confirmation.awaits(Approval, T0.plus(PATIENCE_S - 1)));
    assert!(!confirmation.awaits(Approval, T0.plus(PATIENCE_S)));
    assert!(!confirmation.awaits(Otp, T0));
}

#[test]
fn a_way_that_is_not_offered_cannot_be_chosen() {
    play(&[
        (0, chosen(SecurityKey), "choosing"),
        (0, chosen(AccessPass), "choosing"),
    ]);
}

#[test]
fn wrong_and_replayed_answers_are_counted_together_and_end_it() {
    let confirmation = play(&[
        (0, chosen(Otp), "contacting"),
        (1, answered(Otp, Wrong), "contacting"),
        (2, answered(Otp, Spent), "contacting"),
        (3, answered(Otp, Wrong), "contacting"),
        (4, chosen(Approval), "contacting"),
        (5, chosen(Otp), "contacting"),
        (6, answered(Otp, Spent), "contacting"),
        (6, answered(Otp, Wrong), "contacting"),
        (7, answered(Otp, Wrong), "exhausted"),
        (8, answered(Otp, Right), "exhausted"),
        (9, chosen(Approval), "exhausted"),
    ]);
    assert_eq!(confirmation.answers_left(), 0);
    assert_eq!(confirmation.next(T0.plus(9)), []);
}

#[test]
fn after_a_denial_nothing_may_be_tried() {
    let confirmation = play(&[
        (0, chosen(Approval), "contacting"),
        (1, answered(Approval, Denied), "denied"),
        (2, chosen(Otp), "denied"),
        (3, answered(Approval, Right), "denied"),
    ]);
    assert_eq!(confirmation.next(T0.plus(3)), []);
}

#[test]
fn after_a_time_out_every_way_may_be_tried_again() {
    let confirmation = play(&[
        (0, chosen(Approval), "contacting"),
        (PATIENCE_S - 1, Input::Waited, "contacting"),
        (PATIENCE_S, answered(Approval, Right), "timed out"),
        (PATIENCE_S + 1, chosen(Approval), "contacting"),
    ]);
    assert_eq!(confirmation.next(T0.plus(PATIENCE_S)), [Approval, Otp]);
}

#[test]
fn an_unreachable_way_leaves_the_others() {
    let mut confirmation = play(&[
        (0, chosen(Approval), "contacting"),
        (0, answered(Approval, Unreachable), "unreachable"),
        (1, chosen(Approval), "unreachable"),
    ]);
    assert_eq!(confirmation.next(T0), [Otp]);
    assert_eq!(confirmation.step(chosen(Otp), T0.plus(1)), Some(Otp));
}

#[test]
fn contacts_are_counted_so_that_nobody_is_worn_down() {
    let mut confirmation = Confirmation::begin(vec![Approval], T0);
    let contacts = (0..20)
        .filter(|_| confirmation.step(chosen(Approval), T0).is_some())
        .count();
    assert_eq!(contacts, usize::from(CONTACTS));
    confirmation.step(answered(Approval, Right), T0);
    assert_eq!(
        word(confirmation.stage()),
        "approved",
        "the last one counts"
    );
}

#[test]
fn the_whole_has_an_end_whatever_is_tried() {
    let confirmation = play(&[
        (LIFE_S - 5, chosen(Otp), "contacting"),
        (LIFE_S, answered(Otp, Right), "timed out"),
        (LIFE_S, chosen(Otp), "timed out"),
    ]);
    assert!(confirmation.is_over(T0.plus(LIFE_S)));
    assert_eq!(confirmation.next(T0.plus(LIFE_S)), []);
}

#[test]
fn what_is_kept_between_two_requests_goes_on_where_it_was() {
    let confirmation = play(&[
        (0, chosen(Otp), "contacting"),
        (1, answered(Otp, Wrong), "contacting"),
    ]);
    let kept = serde_json::to_string(&confirmation).unwrap();
    let read: Confirmation = serde_json::from_str(&kept).unwrap();
    assert_eq!(read, confirmation);
    let shown = serde_json::to_value(read.stage()).unwrap();
    assert_eq!(shown["state"], read.stage().as_str());
    let until = T0.plus(LIFE_S);
    let expected = serde_json::json!({
        "state": "contacting", "method": "otp", "number": null, "until": until,
    });
    assert_eq!(shown, expected);
}

#[test]
fn every_method_has_one_word() {
    for method in Method::ALL {
        assert_eq!(Method::of(method.as_str()), Some(method));
        let told = serde_json::to_value(method).unwrap();
        assert_eq!(told, method.as_str());
    }
    assert_eq!(Method::of("sms"), None);
}
