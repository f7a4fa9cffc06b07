use zeroize::Zeroizing;

use crate::{
    Error,
    form::Form,
    http::Answer,
    tls::{host_and_port, parse_fingerprint},
};

fn refusal(status: u16, body: &str) -> Error {
    Answer {
        status,
        body: Zeroizing::new(body.into()),
    }
    .refusal()
}

#[test]
fn a_form_escapes_whatever_is_not_plain() {
    let form = Form::default()
        .field("a", "x y")
        .maybe("b", None)
        .field("c", "ä&=+~*");
    assert_eq!(form.into_bytes().as_slice(), b"a=x+y&c=%C3%A4%26%3D%2B%7E*");
}

#[test]
fn a_fingerprint_has_64_digits_behind_its_name() {
    let hex = "0aFf".repeat(16);
    assert_eq!(
        parse_fingerprint(&format!("sha256:{hex}")).unwrap()[..2],
        [0x0a, 0xff]
    );
    for wrong in [
        hex.clone(),
        format!("sha256:{hex}0"),
        format!("sha256:{}", &hex[2..]),
    ] {
        assert_eq!(parse_fingerprint(&wrong), None, "{wrong}");
    }
}

#[test]
fn only_https_is_spoken() {
    assert_eq!(
        host_and_port("https://s.test:8443/").unwrap(),
        ("s.test".to_owned(), 8443)
    );
    assert_eq!(host_and_port("https://s.test").unwrap().1, 443);
    for wrong in ["http://s.test", "s.test", "ftp://s", ""] {
        assert!(host_and_port(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_refusal_is_read_in_every_dialect() {
    let dialects = [
        (
            r#"{"code":"locked","sentence":"Wait.","retry_after_s":60,"tries_left":0}"#,
            "locked",
        ),
        (
            r#"{"code":"locked","message":"Wait.","response":"ERROR_FAIL","retry_after_s":60}"#,
            "locked",
        ),
        (
            r#"{"error":"invalid_grant","error_description":"Wait.","error_codes":[50053],
                "retry_after_s":60}"#,
            "50053",
        ),
        (
            r#"{"error":"invalid_grant","error_description":"Wait.","retry_after_s":60}"#,
            "invalid_grant",
        ),
    ];
    for (body, code) in dialects {
        let Error::Refused(refusal) = refusal(403, body) else {
            panic!("{body}")
        };
        assert_eq!(
            (refusal.code.as_str(), refusal.sentence.as_str()),
            (code, "Wait.")
        );
        assert_eq!((refusal.status, refusal.retry_after_s), (403, Some(60)));
    }
}

#[test]
fn a_gateway_that_speaks_for_the_server_counts_as_unreachable() {
    assert!(matches!(refusal(503, "<html>"), Error::Unreachable(_)));
    assert!(matches!(refusal(500, "<html>"), Error::Protocol(_)));
}

#[test]
fn a_sentence_for_the_person_has_no_control_characters() {
    let Error::Refused(refusal) = refusal(400, r#"{"code":"x","sentence":"a\u001b[2Jb"}"#) else {
        panic!("not a refusal")
    };
    assert_eq!(refusal.sentence, "a[2Jb");
}
