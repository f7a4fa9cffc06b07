//! Signed messages.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use model::UnixTime;
use openssl::{hash::MessageDigest, pkey::PKey, sign::Signer};
use serde::{Deserialize, Serialize};
use token::{
    Draft, Error, Header, LEEWAY_S, MAX_MESSAGE, RsaJwk, Unverified, VerifyingKey, X5cForm,
};

use crate::keys::{ALICE, MALLORY, base64url, certificate, message, rsa, sign_digest, verifying};

const NOW: UnixTime = UnixTime(1_800_000_000);
const HEADER: &str = r#"{"alg":"RS256"}"#;
const CLAIMS: &str = r#"{"sub":"alice","exp":1800000600}"#;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Claims {
    sub: String,
    exp: i64,
}

fn claims() -> Claims {
    Claims {
        sub: "alice".to_owned(),
        exp: NOW.0 + 600,
    }
}

fn verify(message: &str) -> Result<Claims, Error> {
    Unverified::read(message, X5cForm::Array)?.verify(&verifying(&ALICE), NOW)
}

fn signed_by_alice(header: &Header) -> String {
    token::sign(header, &claims(), |digest| {
        Ok::<_, Error>(sign_digest(&ALICE, digest))
    })
    .unwrap()
}

#[test]
fn the_vector_of_rfc_7515_a_2_verifies() {
    #[derive(Deserialize)]
    struct Joe {
        iss: String,
        exp: i64,
    }
    let jwk: RsaJwk = serde_json::from_str(
        r#"{"kty":"RSA","e":"AQAB","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"}"#,
    )
    .unwrap();
    let key = VerifyingKey::rs256(jwk.to_key().unwrap()).unwrap();
    let message = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
    let read = || Unverified::read(message, X5cForm::Array).unwrap();
    let joe: Joe = read().verify(&key, UnixTime(1_300_819_379)).unwrap();
    assert_eq!((joe.iss.as_str(), joe.exp), ("joe", 1_300_819_380));
    let late = read().verify::<Joe>(&key, UnixTime(1_300_819_380 + LEEWAY_S));
    assert_eq!(late.err(), Some(Error::Expired));
}

#[test]
fn what_a_signer_of_digests_signs_is_read_back_with_its_header() {
    let chain = vec![certificate(&ALICE).to_der().unwrap()];
    let header = Header {
        typ: Some("JWT".into()),
        kid: Some("k".into()),
        x5c: chain,
    };
    let message = signed_by_alice(&header);
    let read = Unverified::read(&message, X5cForm::Array).unwrap();
    assert_eq!(*read.header(), header);
    let key = VerifyingKey::rs256_of_certificate(&certificate(&ALICE)).unwrap();
    assert_eq!(read.verify::<Claims>(&key, NOW), Ok(claims()));
}

#[test]
fn another_key_does_not_verify() {
    let message = message(&MALLORY, HEADER, CLAIMS);
    assert_eq!(verify(&message), Err(Error::Signature));
}

#[test]
fn no_other_algorithm_is_taken_whoever_signed() {
    for alg in [
        "none", "None", "HS256", "RS384", "RS512", "PS256", "ES256", "rs256", "",
    ] {
        let message = message(&ALICE, &format!(r#"{{"alg":"{alg}"}}"#), CLAIMS);
        assert_eq!(verify(&message), Err(Error::Algorithm("RS256")), "{alg}");
    }
}

#[test]
fn an_unsigned_message_is_refused_under_either_name() {
    for header in [r#"{"alg":"none"}"#, HEADER] {
        let input = format!(
            "{}.{}.",
            base64url(header.as_bytes()),
            base64url(CLAIMS.as_bytes())
        );
        assert!(verify(&input).is_err(), "{header}");
    }
}

#[test]
fn the_public_key_is_no_hmac_secret() {
    let spki = ALICE.public_key_to_pem().unwrap();
    let secret = PKey::hmac(&spki).unwrap();
    for alg in ["HS256", "RS256"] {
        let header = format!(r#"{{"alg":"{alg}"}}"#);
        let input = format!(
            "{}.{}",
            base64url(header.as_bytes()),
            base64url(CLAIMS.as_bytes())
        );
        let mut signer = Signer::new(MessageDigest::sha256(), &secret).unwrap();
        let mac = signer.sign_oneshot_to_vec(input.as_bytes()).unwrap();
        assert!(
            verify(&format!("{input}.{}", base64url(&mac))).is_err(),
            "{alg}"
        );
    }
}

#[test]
fn a_change_of_any_character_is_refused() {
    let message = message(&ALICE, HEADER, CLAIMS);
    assert_eq!(verify(&message), Ok(claims()));
    for at in 0..message.len() {
        let mut changed = message.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        assert!(
            verify(std::str::from_utf8(&changed).unwrap()).is_err(),
            "at {at}"
        );
    }
}

#[test]
fn a_message_has_one_spelling() {
    let message = message(&ALICE, HEADER, CLAIMS);
    for other in [
        format!("{message}="),
        format!("{message}."),
        format!("{message}.e30"),
        format!("{message}\n"),
        format!(" {message}"),
        message.replacen('.', "..", 1),
        message.replacen('.', "=.", 1),
        String::new(),
        ".".to_owned(),
        "..".to_owned(),
    ] {
        assert!(
            matches!(verify(&other), Err(Error::Malformed(_))),
            "{other}"
        );
    }
}

#[test]
fn duplicate_members_are_refused_at_every_depth() {
    for (header, claims) in [
        (r#"{"alg":"RS256","alg":"RS256"}"#, CLAIMS),
        (r#"{"alg":"none","alg":"RS256"}"#, CLAIMS),
        (HEADER, r#"{"sub":"alice","sub":"bob","exp":1800000600}"#),
        (
            HEADER,
            r#"{"sub":"alice","exp":1800000600,"exp":1900000000}"#,
        ),
        (
            HEADER,
            r#"{"sub":"alice","exp":1800000600,"x":[{"a":1,"\u0061":2}]}"#,
        ),
    ] {
        let message = message(&ALICE, header, claims);
        assert!(
            matches!(verify(&message), Err(Error::Malformed(_))),
            "{header} {claims}"
        );
    }
}

#[test]
fn a_header_that_asks_for_more_than_is_known_is_refused() {
    for header in [
        r#"{"alg":"RS256","crit":["b64"],"b64":false}"#,
        r#"{"alg":"RS256","crit":[]}"#,
        r#"{"typ":"JWT"}"#,
        r#"{"alg":"RS256"} "#.repeat(2).as_str(),
        r#"["RS256"]"#,
        "null",
    ] {
        let message = message(&ALICE, header, CLAIMS);
        assert!(
            matches!(verify(&message), Err(Error::Malformed(_))),
            "{header}"
        );
    }
}

#[test]
fn times_count_with_a_minute_of_leeway() {
    for (claims, outcome) in [
        (format!(r#""exp":{}"#, NOW.0 - 59), Ok(())),
        (format!(r#""exp":{}"#, NOW.0 - 60), Err(Error::Expired)),
        (
            format!(r#""exp":{},"nbf":{}"#, NOW.0 + 9, NOW.0 + 60),
            Ok(()),
        ),
        (
            format!(r#""exp":{},"nbf":{}"#, NOW.0 + 9, NOW.0 + 61),
            Err(Error::NotYetValid),
        ),
        (
            format!(r#""exp":{},"iat":{}"#, NOW.0 + 9, NOW.0 + 61),
            Err(Error::NotYetValid),
        ),
        (format!(r#""exp":{}"#, i64::MIN), Err(Error::Expired)),
        (format!(r#""exp":{},"nbf":{}"#, i64::MAX, i64::MIN), Ok(())),
    ] {
        let message = message(&ALICE, HEADER, &format!(r#"{{"sub":"alice",{claims}}}"#));
        assert_eq!(verify(&message).map(drop), outcome, "{claims}");
    }
}

#[test]
fn a_message_without_an_end_is_refused() {
    for claims in [
        r#"{"sub":"alice"}"#,
        r#"{"sub":"alice","exp":"1800000600"}"#,
        "{}",
        "7",
        "",
    ] {
        let message = message(&ALICE, HEADER, claims);
        assert!(
            matches!(verify(&message), Err(Error::Malformed(_))),
            "{claims}"
        );
    }
}

#[test]
fn a_plain_string_for_a_chain_is_taken_only_on_demand() {
    let der = certificate(&ALICE).to_der().unwrap();
    let header = format!(r#"{{"alg":"RS256","x5c":"{}"}}"#, STANDARD.encode(&der));
    let message = message(&ALICE, &header, CLAIMS);
    assert!(Unverified::read(&message, X5cForm::Array).is_err());
    let read = Unverified::read(&message, X5cForm::ArrayOrString).unwrap();
    assert_eq!(read.header().x5c, [der]);
}

#[test]
fn a_chain_that_is_empty_long_or_not_base64_is_refused() {
    for x5c in [
        r"[]",
        r#"["AA==","AA==","AA==","AA==","AA=="]"#,
        r#"["_"]"#,
        "[1]",
        "{}",
    ] {
        let message = message(&ALICE, &format!(r#"{{"alg":"RS256","x5c":{x5c}}}"#), CLAIMS);
        let read = Unverified::read(&message, X5cForm::ArrayOrString);
        assert!(matches!(read, Err(Error::Malformed(_))), "{x5c}");
    }
}

#[test]
fn messages_have_a_greatest_length() {
    let long = Claims {
        sub: "a".repeat(MAX_MESSAGE),
        exp: 0,
    };
    let draft = Draft::new(&Header::default(), &long).unwrap();
    assert!(matches!(draft.finish(&[0; 256]), Err(Error::Unsendable(_))));
    let message = message(&ALICE, HEADER, &serde_json::to_string(&long).unwrap());
    assert_eq!(
        verify(&message),
        Err(Error::Malformed("longer than 16 KiB"))
    );
}

#[test]
fn weak_and_foreign_keys_verify_nothing() {
    let public =
        |key: &PKey<_>| PKey::public_key_from_der(&key.public_key_to_der().unwrap()).unwrap();
    assert!(matches!(
        VerifyingKey::rs256(public(&rsa(1024))),
        Err(Error::Key(_))
    ));
    let ed25519 = PKey::generate_ed25519().unwrap();
    assert!(matches!(
        VerifyingKey::rs256(public(&ed25519)),
        Err(Error::Key(_))
    ));
}

#[test]
fn a_signer_that_fails_has_its_own_error_passed_on() {
    #[derive(Debug, PartialEq)]
    enum Failure {
        Token(Error),
        WrongPin,
    }
    impl From<Error> for Failure {
        fn from(error: Error) -> Self {
            Self::Token(error)
        }
    }
    let outcome = token::sign(&Header::default(), &claims(), |_| Err(Failure::WrongPin));
    assert_eq!(outcome, Err(Failure::WrongPin));
    let long = Claims {
        sub: "a".repeat(MAX_MESSAGE),
        exp: 0,
    };
    let outcome = token::sign(&Header::default(), &long, |_| Ok::<_, Failure>(vec![]));
    assert!(matches!(outcome, Err(Failure::Token(Error::Unsendable(_)))));
}
