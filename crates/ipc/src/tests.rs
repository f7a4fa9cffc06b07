use super::*;

#[test]
fn a_request_survives_the_frame() {
    let sent = Signin {
        user: Some("alice".into()),
        pin: Secret::new("12\"3\\é".into()),
        service: "login".into(),
        remote: false,
        offline: false,
        phrase: None,
    };
    let frame = encode_request(7, &sent);
    let (length, text) = frame.split_first_chunk::<4>().unwrap();
    assert_eq!(u32::from_le_bytes(*length) as usize, text.len());
    let incoming = decode_request(text).unwrap();
    assert_eq!((incoming.id, incoming.op), (7, "signin"));
    assert_eq!(incoming.args::<Signin>().unwrap().pin.expose(), "12\"3\\é");
}

#[test]
fn an_answer_is_matched_to_its_request() {
    let frame = encode_answer(
        7,
        Ok(&HelloAnswer {
            release: "1".into(),
        }),
    );
    assert_eq!(
        decode_answer::<HelloAnswer>(7, &frame[4..])
            .unwrap()
            .release,
        "1"
    );
    assert_eq!(
        decode_answer::<HelloAnswer>(8, &frame[4..])
            .unwrap_err()
            .code,
        "bad_answer"
    );
    let refusal = Failure {
        tries_left: Some(3),
        ..Failure::new("wrong_pin", "Wrong.")
    };
    let frame = encode_answer::<Done>(7, Err(&refusal));
    assert_eq!(decode_answer::<Done>(7, &frame[4..]).unwrap_err(), refusal);
}

#[test]
fn bad_messages_are_refused_with_a_code() {
    for text in ["", "{}", "[]", r#"{"v":1,"id":1,"op":"hello"}"#] {
        assert_eq!(
            decode_request(text.as_bytes()).err().unwrap().code,
            "bad_request",
            "{text}"
        );
    }
    let other = r#"{"v":2,"id":1,"op":"hello","args":{}}"#;
    assert_eq!(
        decode_request(other.as_bytes()).err().unwrap().code,
        "bad_version"
    );
    let extra = r#"{"v":1,"id":1,"op":"unlock","args":{"uid":1,"pin":"3","x":1}}"#;
    assert_eq!(
        decode_request(extra.as_bytes())
            .unwrap()
            .args::<Unlock>()
            .unwrap_err()
            .code,
        "bad_request"
    );
}

#[test]
fn an_answer_may_be_longer_than_a_request_and_has_a_bound_of_its_own() {
    let report = |length: usize| {
        let text = format!("\"{}\"", "x".repeat(length));
        let report = serde_json::value::RawValue::from_string(text).unwrap();
        encode_answer(7, Ok(&PolicyAnswer { report }))
    };
    let frame = report(MAX_REQUEST * 2);
    let answer: PolicyAnswer = decode_answer(7, &frame[4..]).unwrap();
    assert_eq!(answer.report.get().len(), MAX_REQUEST * 2 + 2);
    let frame = report(MAX_ANSWER);
    assert!(frame.len() < MAX_REQUEST);
    let refusal = decode_answer::<PolicyAnswer>(7, &frame[4..]).unwrap_err();
    assert_eq!(refusal.code, "too_long");
}

#[test]
fn the_prerequisites_have_the_names_that_administrators_know() {
    let prerequisites = Prerequisites {
        ngc_set: false.into(),
        is_device_joined: true.into(),
        is_user_known: true.into(),
        policy_enabled: true.into(),
        post_logon_enabled: true.into(),
        device_eligible: true.into(),
        session_is_not_remote: false.into(),
        cert_enrollment: CertEnrollment::None,
        pre_req_result: PreReqResult::WillNotProvision,
    };
    let text = serde_json::to_string(&prerequisites).unwrap();
    expect_test::expect![[r#"{"NgcSet":"NO","IsDeviceJoined":"YES","IsUserAzureAD":"YES","PolicyEnabled":"YES","PostLogonEnabled":"YES","DeviceEligible":"YES","SessionIsNotRemote":"NO","CertEnrollment":"none","PreReqResult":"WillNotProvision"}"#]].assert_eq(&text);
}
