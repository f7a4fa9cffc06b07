//! Assertions by users' keys.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use model::UnixTime;
use serde_json::Value;
use token::{Error, HelloAssertion};

use crate::keys::{ALICE, MALLORY, message, verifying};

const NOW: UnixTime = UnixTime(1_800_000_000);
const CLAIMS: &str =
    r#"{"iss":"alice@corp.example","aud":"common","iat":1799999700,"exp":1800000300}"#;

fn header(kid: &str, more: &str) -> String {
    format!(r#"{{"typ":"JWT","alg":"RS256","kid":"{kid}"{more}}}"#)
}

#[test]
fn an_assertion_names_its_key_and_verifies_with_it_only() {
    let header = header(&STANDARD.encode([9; 32]), r#","use":"ngc""#);
    let by_alice = message(&ALICE, &header, CLAIMS);
    let assertion = HelloAssertion::read(&by_alice).unwrap();
    assert_eq!(assertion.key_id(), &[9; 32]);
    let claims: Value = assertion.verify(&verifying(&ALICE), NOW).unwrap();
    assert_eq!(claims["iss"], "alice@corp.example");
    let by_mallory = message(&MALLORY, &header, CLAIMS);
    let outcome = HelloAssertion::read(&by_mallory)
        .unwrap()
        .verify::<Value>(&verifying(&ALICE), NOW);
    assert_eq!(outcome, Err(Error::Signature));
}

#[test]
fn what_names_no_key_or_another_use_is_none() {
    let good = STANDARD.encode([9; 32]);
    for header in [
        header(&good, ""),
        header(&good, r#","use":"sig""#),
        header(&STANDARD.encode([9; 31]), r#","use":"ngc""#),
        header("", r#","use":"ngc""#),
        header(&good, r#","use":"ngc","use":"ngc""#),
        r#"{"alg":"RS256","use":"ngc"}"#.to_owned(),
    ] {
        let message = message(&ALICE, &header, CLAIMS);
        let outcome = HelloAssertion::read(&message);
        assert!(matches!(outcome, Err(Error::Malformed(_))), "{header}");
    }
}

#[test]
fn an_assertion_without_an_end_is_refused() {
    let header = header(&STANDARD.encode([9; 32]), r#","use":"ngc""#);
    let message = message(&ALICE, &header, r#"{"iat":1799999700}"#);
    let outcome = HelloAssertion::read(&message)
        .unwrap()
        .verify::<Value>(&verifying(&ALICE), NOW);
    assert!(matches!(outcome, Err(Error::Malformed(_))));
}
