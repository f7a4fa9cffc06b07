//! RSA keys as JWK.

use token::RsaJwk;

use crate::keys::ALICE;

/// The key of RFC 7638 3.1.
const RFC_7638: &str = r#"{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}"#;

#[test]
fn the_thumbprint_is_that_of_rfc_7638() {
    let jwk: RsaJwk = serde_json::from_str(RFC_7638).unwrap();
    assert_eq!(
        jwk.thumbprint(),
        "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
    );
}

#[test]
fn a_key_survives_the_way_through_json() {
    let jwk = RsaJwk::from_key(&*ALICE).unwrap();
    let text = serde_json::to_string(&jwk).unwrap();
    let read: RsaJwk = serde_json::from_str(&text).unwrap();
    assert_eq!(read, jwk);
    assert!(read.to_key().unwrap().public_eq(&*ALICE));
}

#[test]
fn other_kinds_and_loose_numbers_are_refused() {
    for text in [
        r#"{"kty":"EC","n":"AQAB","e":"AQAB"}"#,
        r#"{"n":"AQAB","e":"AQAB"}"#,
        r#"{"kty":"RSA","n":"","e":"AQAB"}"#,
        r#"{"kty":"RSA","n":"AAEB","e":"AQAB"}"#,
        r#"{"kty":"RSA","n":"AQAB","e":"AQAB=="}"#,
        r#"{"kty":"RSA","n":"AQ+B","e":"AQAB"}"#,
    ] {
        assert!(serde_json::from_str::<RsaJwk>(text).is_err(), "{text}");
    }
}
