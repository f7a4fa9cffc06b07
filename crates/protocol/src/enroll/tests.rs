use super::*;

const T0: UnixTime = UnixTime(1_700_000_000);

fn secret(text: &str) -> Secret<String> {
    Secret::new(text.to_owned())
}

fn problem() -> Problem {
    Problem::new("code", "A sentence.")
}

fn pins(pin: &str, again: &str) -> Input {
    Input::Pin {
        pin: secret(pin),
        again: secret(again),
    }
}

fn statement() -> Statement {
    Statement {
        service: "latchkey-sync/server".to_owned(),
        bytes: vec![1],
    }
}

fn proof() -> Proof {
    Proof {
        token: vec![2],
        mic: vec![3],
    }
}

fn kid() -> String {
    "k".to_owned()
}

/// One word for a stage, so that a table reads as a story.
fn word(stage: &Stage) -> &'static str {
    match stage {
        Stage::Account => "account",
        Stage::Biometrics => "biometrics",
        Stage::Asking(Asked::Typed {
            factor, problem, ..
        }) => match (factor, problem) {
            (Factor::Password, None) => "password",
            (Factor::Password, Some(_)) => "password again",
            (Factor::Otp, None) => "otp",
            (Factor::Otp, Some(_)) => "otp again",
            (Factor::AccessPass, None) => "pass",
            (Factor::AccessPass, Some(_)) => "pass again",
        },
        Stage::Asking(Asked::Choice { problem: None, .. }) => "choice",
        Stage::Asking(Asked::Choice { .. }) => "choice again",
        Stage::Asking(Asked::Approval { .. }) => "approval",
        Stage::Checking => "checking",
        Stage::Pin { problem: None } => "pin",
        Stage::Pin { problem: Some(_) } => "pin again",
        Stage::MakingKey => "making key",
        Stage::SettingPin => "setting pin",
        Stage::Stating => "stating",
        Stage::Proof(_) => "proof",
        Stage::Registering => "registering",
        Stage::Waiting { .. } => "waiting",
        Stage::Done {
            directory_ms: None, ..
        } => "done, directory later",
        Stage::Done { .. } => "done",
        Stage::Failed(_) => "failed",
    }
}

fn output_word(output: Option<&Output>) -> &'static str {
    match output {
        None => "",
        Some(Output::CheckFactor(Factor::Password, _)) => "send password",
        Some(Output::CheckFactor(Factor::Otp, _)) => "send otp",
        Some(Output::CheckFactor(Factor::AccessPass, _)) => "send pass",
        Some(Output::Contact(_)) => "contact",
        Some(Output::AwaitApproval) => "await",
        Some(Output::MakeKey(_)) => "make key",
        Some(Output::SetPin(_)) => "set pin",
        Some(Output::State) => "state",
        Some(Output::Register(_)) => "register",
        Some(Output::AskDirectory { .. }) => "ask",
    }
}

/// Runs inputs at their seconds after [`T0`] and compares each stage and output.
fn check(enrollment: &mut Enrollment, story: Vec<(i64, Input, &str, &str)>) {
    for (line, (second, input, stage, output)) in story.into_iter().enumerate() {
        let made = enrollment.step(input, T0.plus(second));
        assert_eq!(
            (word(enrollment.stage()), output_word(made.as_ref())),
            (stage, output),
            "line {line}"
        );
    }
}

fn asked(factor: Factor, problem: Option<Problem>) -> Input {
    Input::FactorChecked(FactorOutcome::Asked(Asked::Typed {
        factor,
        others: vec![Method::Approval],
        problem,
    }))
}

fn until_pin() -> Vec<(i64, Input, &'static str, &'static str)> {
    use FactorOutcome::*;
    vec![
        (0, Input::Confirmed, "password", ""),
        (1, Input::Factor(secret("p")), "checking", "send password"),
        (2, asked(Factor::Otp, None), "otp", ""),
        (3, Input::Factor(secret("1")), "checking", "send otp"),
        (4, Input::FactorChecked(Approved), "pin", ""),
    ]
}

fn until_proof() -> Vec<(i64, Input, &'static str, &'static str)> {
    let mut story = until_pin();
    story.extend([
        (5, pins("481516", "481516"), "making key", "make key"),
        (6, Input::KeyMade(Ok(())), "stating", "state"),
        (7, Input::Stated(Ok(statement())), "proof", ""),
    ]);
    story
}

fn until_waiting() -> Vec<(i64, Input, &'static str, &'static str)> {
    let mut story = until_proof();
    story.extend([
        (8, Input::Proven(proof()), "registering", "register"),
        (
            9,
            Input::Registered(RegisterOutcome::Done { kid: kid() }),
            "waiting",
            "ask",
        ),
    ]);
    story
}

fn begin() -> Enrollment {
    Enrollment::begin(PinRules::default())
}

#[test]
fn a_key_is_due_from_the_second_factor_until_it_is_made_and_only_where_there_will_be_one() {
    let mut enrollment = begin();
    let mut due = Vec::new();
    for (second, input, ..) in until_waiting() {
        enrollment.step(input, T0.plus(second));
        if enrollment.key_is_due() {
            due.push(word(enrollment.stage()));
        }
    }
    assert_eq!(due, ["otp", "pin"]);
    let mut reset = Enrollment::reset(PinRules::default(), kid());
    for (second, input, ..) in until_pin() {
        reset.step(input, T0.plus(second));
        assert!(!reset.key_is_due());
    }
}

#[test]
fn the_straight_way_ends_with_a_credential() {
    let mut enrollment = begin();
    let mut story = until_waiting();
    let confirmed = DirectoryOutcome::Confirmed { took_ms: Some(80) };
    story.push((
        10,
        Input::Directory(DirectoryOutcome::NotYet),
        "waiting",
        "ask",
    ));
    story.push((11, Input::Directory(confirmed), "done", ""));
    check(&mut enrollment, story);
    assert_eq!(
        *enrollment.stage(),
        Stage::Done {
            kid: kid(),
            directory_ms: Some(80)
        }
    );
}

#[test]
fn a_wrong_factor_is_asked_again_and_a_lock_ends_it() {
    use FactorOutcome::*;
    let wrong = |factor| asked(factor, Some(problem()));
    let password = || Input::Factor(secret("p"));
    check(
        &mut begin(),
        vec![
            (0, Input::Confirmed, "password", ""),
            (1, password(), "checking", "send password"),
            (2, wrong(Factor::Password), "password again", ""),
            (3, password(), "checking", "send password"),
            (4, asked(Factor::Otp, None), "otp", ""),
            (5, password(), "checking", "send otp"),
            (6, wrong(Factor::Otp), "otp again", ""),
            (7, password(), "checking", "send otp"),
            (8, wrong(Factor::Password), "password again", ""),
            (9, password(), "checking", "send password"),
            (10, Input::FactorChecked(Ended(problem())), "failed", ""),
        ],
    );
}

#[test]
fn an_approval_elsewhere_is_waited_for_and_silence_or_a_no_lead_to_another_try() {
    use FactorOutcome::*;
    let waiting = || {
        let number = Some(42);
        Input::FactorChecked(Asked(super::Asked::Approval { number }))
    };
    let choice = |problem| {
        let ways = vec![Method::Otp, Method::Approval];
        Input::FactorChecked(Asked(super::Asked::Choice { ways, problem }))
    };
    let chosen = |way| Input::Chosen(way);
    let mut story = until_pin();
    story.truncate(2);
    story.extend([
        (2, choice(None), "choice", ""),
        (3, chosen(Method::AccessPass), "choice", ""),
        (3, chosen(Method::Approval), "checking", "contact"),
        (4, waiting(), "approval", "await"),
        (24, waiting(), "approval", "await"),
        (25, chosen(Method::Otp), "approval", ""),
        (120, choice(Some(problem())), "choice again", ""),
        (121, chosen(Method::Otp), "checking", "contact"),
        (122, asked(Factor::Otp, None), "otp", ""),
        (123, chosen(Method::Approval), "checking", "contact"),
        (124, waiting(), "approval", "await"),
        (
            125,
            asked(Factor::Password, Some(problem())),
            "password again",
            "",
        ),
        (126, Input::Factor(secret("p")), "checking", "send password"),
        (127, Input::FactorChecked(Approved), "pin", ""),
    ]);
    check(&mut begin(), story);
}

#[test]
fn where_there_is_a_sensor_biometrics_come_first_and_may_be_skipped() {
    let mut enrollment = Enrollment::with_sensor(PinRules::default());
    assert_eq!(word(enrollment.stage()), "biometrics");
    let story = vec![
        (0, Input::Confirmed, "biometrics", ""),
        (1, Input::Skipped, "account", ""),
        (2, Input::Confirmed, "password", ""),
    ];
    check(&mut enrollment, story);
}

#[test]
fn a_pin_against_the_rules_or_typed_differently_makes_no_key() {
    let mut story = until_pin();
    story.extend([
        (5, pins("12345", "12345"), "pin again", ""),
        (6, pins("123456", "123456"), "pin again", ""),
        (7, pins("481516", "481517"), "pin again", ""),
        (8, pins("481516", "481516"), "making key", "make key"),
    ]);
    check(&mut begin(), story);
}

#[test]
fn a_forgotten_pin_is_replaced_after_both_factors_and_the_key_stays() {
    let begin = || Enrollment::reset(PinRules::default(), kid());
    let mut story = until_pin();
    story.extend([
        (5, pins("12345", "12345"), "pin again", ""),
        (6, pins("481516", "481516"), "setting pin", "set pin"),
        (7, Input::PinSet(Ok(())), "done, directory later", ""),
    ]);
    let mut reset = begin();
    check(&mut reset, story);
    let directory_ms = None;
    let kid = kid();
    assert_eq!(*reset.stage(), Stage::Done { kid, directory_ms });

    let mut story = until_pin();
    story.extend([
        (5, pins("481516", "481516"), "setting pin", "set pin"),
        (6, Input::PinSet(Err(problem())), "failed", ""),
    ]);
    check(&mut begin(), story);

    let late = 4 + FACTOR_LIFETIME_S + 1;
    let mut story = until_pin();
    story.push((late, pins("481516", "481516"), "password again", ""));
    check(&mut begin(), story);
}

#[test]
fn what_cannot_be_made_stated_or_registered_fails() {
    let failures: [(usize, Input, &str); 3] = [
        (6, Input::KeyMade(Err(problem())), "failed"),
        (7, Input::Stated(Err(problem())), "failed"),
        (
            9,
            Input::Registered(RegisterOutcome::Ended(problem())),
            "failed",
        ),
    ];
    for (at, input, stage) in failures {
        let mut story = until_waiting();
        story.truncate(at);
        story.push((at as i64, input, stage, ""));
        check(&mut begin(), story);
    }
}

#[test]
fn a_factor_too_old_is_asked_again_and_the_key_stays() {
    use FactorOutcome::*;
    let late = 4 + FACTOR_LIFETIME_S + 1;
    let mut story = until_proof();
    story.extend([
        (late, Input::Proven(proof()), "password again", ""),
        (
            late,
            Input::Factor(secret("p")),
            "checking",
            "send password",
        ),
        (late, Input::FactorChecked(Approved), "stating", "state"),
        (late, Input::Stated(Ok(statement())), "proof", ""),
        (late, Input::Proven(proof()), "registering", "register"),
        (
            late,
            Input::Registered(RegisterOutcome::FactorTooOld),
            "password again",
            "",
        ),
    ]);
    check(&mut begin(), story);
}

#[test]
fn the_agent_may_ask_for_a_fresh_proof() {
    let mut story = until_waiting();
    story.extend([
        (
            10,
            Input::Directory(DirectoryOutcome::NeedsProof),
            "stating",
            "state",
        ),
        (11, Input::Stated(Ok(statement())), "proof", ""),
        (12, Input::Proven(proof()), "registering", "register"),
    ]);
    check(&mut begin(), story);
}

#[test]
fn a_slow_directory_ends_the_waiting_but_not_the_credential() {
    let last = 9 + DIRECTORY_PATIENCE_S;
    let mut story = until_waiting();
    let not_yet = || Input::Directory(DirectoryOutcome::NotYet);
    story.push((last - 1, not_yet(), "waiting", "ask"));
    story.push((last, not_yet(), "done, directory later", ""));
    check(&mut begin(), story);
}

#[test]
fn the_directory_s_refusal_fails() {
    let mut story = until_waiting();
    let refused = DirectoryOutcome::Refused(problem());
    story.push((10, Input::Directory(refused), "failed", ""));
    check(&mut begin(), story);
}

#[test]
fn a_registered_key_resumes_at_the_waiting() {
    let (mut enrollment, output) = Enrollment::resume(PinRules::default(), kid(), T0);
    assert_eq!(output_word(Some(&output)), "ask");
    let confirmed = DirectoryOutcome::Confirmed { took_ms: Some(1) };
    check(
        &mut enrollment,
        vec![(1, Input::Directory(confirmed), "done", "")],
    );
}

#[test]
fn an_input_out_of_place_changes_nothing() {
    let mut story = vec![
        (0, Input::Factor(secret("p")), "account", ""),
        (0, pins("481516", "481516"), "account", ""),
        (0, Input::Proven(proof()), "account", ""),
    ];
    story.extend(until_proof());
    story.extend([
        (8, Input::Confirmed, "proof", ""),
        (8, pins("481516", "481516"), "proof", ""),
        (
            8,
            Input::FactorChecked(FactorOutcome::Approved),
            "proof",
            "",
        ),
    ]);
    check(&mut begin(), story);
}
