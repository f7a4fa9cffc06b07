use super::*;

#[test]
fn a_request_survives_the_frame() {
    let sent = Signin {
        user: Some("alice".into()),
        pin: Secret::new("12\"3\\é".into()),
        service: "login".into(),
        remote: false,
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
