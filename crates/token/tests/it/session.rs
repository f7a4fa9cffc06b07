//! Requests and answers under a session key.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use model::{Secret, UnixTime};
use openssl::{
    encrypt::Decrypter,
    hash::MessageDigest,
    pkey::{PKey, Private},
    rsa::Padding,
    sign::Signer,
    symm::{Cipher, decrypt},
};
use serde_json::{Value, json};
use token::{
    AnswerForm, Error, KdfVersion, SessionKey, SessionRequest, TransportKey, open_answer,
    seal_answer, sign_with_session_key,
};

use crate::keys::{ALICE, MALLORY, base64url, rsa};

const NOW: UnixTime = UnixTime(1_800_000_000);

/// A request under the session key of [`published`], by the second derivation.
const REQUEST: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCIsImN0eCI6IlVRb3Frb1JXWDVRaDZ6U25FdldPWllYMk13dUFQeHZEIiwia2RmX3ZlciI6Mn0.eyJjbGllbnRfaWQiOiIzOGFhM2I4Ny1hMDZkLTQ4MTctYjI3NS03YTMxNjk4OGQ5M2IiLCJncmFudF90eXBlIjoicmVmcmVzaF90b2tlbiJ9.WFvGLuVYQySxeTsgTovwRdD8c1H-FWr9Cf7B2oWTMtg";

/// The session key of the exchange that MS-OAPXBC 3.2.5.1.3.3 publishes.
fn published() -> SessionKey {
    let digits = "3987bc6d45c8d46e9969bf679b9f2a17922ed0d40055c313232f290ae9d87bf0";
    let bytes = (0..32)
        .map(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).unwrap())
        .collect();
    SessionKey::from_bytes(Secret::new(bytes)).unwrap()
}

fn claims() -> Value {
    json!({ "refresh_token": "0.prt", "request_nonce": "n", "iat": "1800000000", "exp": "1800000300" })
}

fn signed(version: KdfVersion) -> String {
    sign_with_session_key(&published(), version, &[7; 24], &claims()).unwrap()
}

fn verify(message: &str) -> Result<Value, Error> {
    SessionRequest::read(message)?.verify(&published(), NOW)
}

/// A message with any header, under the key that `ctx` derives by the first derivation: the test
/// computes it by itself.
fn forged(header: &str, payload: &str) -> String {
    let hmac = |key: &[u8], input: &[u8]| {
        let key = PKey::hmac(key).unwrap();
        let mut signer = Signer::new(MessageDigest::sha256(), &key).unwrap();
        signer.sign_oneshot_to_vec(input).unwrap()
    };
    let label = b"AzureAD-SecureConversation\0";
    let block = [&[0, 0, 0, 1][..], label, &[7; 24], &[0, 0, 1, 0]].concat();
    let derived = hmac(published().bytes().expose(), &block);
    let input = format!(
        "{}.{}",
        base64url(header.as_bytes()),
        base64url(payload.as_bytes())
    );
    let signature = hmac(&derived, input.as_bytes());
    format!("{input}.{}", base64url(&signature))
}

fn header(more: &str) -> String {
    let ctx = STANDARD.encode([7; 24]);
    format!(r#"{{"alg":"HS256","ctx":"{ctx}"{more}}}"#)
}

#[test]
fn a_signature_of_another_implementation_verifies() {
    // Its payload names no refresh token, so that it is compared with what is made here.
    let payload = json!({ "client_id": "38aa3b87-a06d-4817-b275-7a316988d93b", "grant_type": "refresh_token" });
    let ctx = STANDARD.decode("UQoqkoRWX5Qh6zSnEvWOZYX2MwuAPxvD").unwrap();
    let made = sign_with_session_key(
        &published(),
        KdfVersion::Two,
        &ctx.try_into().unwrap(),
        &payload,
    );
    assert_eq!(made.unwrap(), REQUEST);
}

#[test]
fn a_request_names_its_refresh_token_and_verifies_by_both_derivations() {
    for version in [KdfVersion::One, KdfVersion::Two] {
        let message = signed(version);
        let request = SessionRequest::read(&message).unwrap();
        assert_eq!(request.refresh_token(), "0.prt");
        assert_eq!(request.kdf_version(), version);
        assert_eq!(request.verify(&published(), NOW), Ok(claims()));
    }
    let payload = claims().to_string();
    assert_eq!(verify(&forged(&header(""), &payload)), Ok(claims()));
    assert_eq!(
        verify(&forged(&header(r#","kdf_ver":1"#), &payload)),
        Ok(claims())
    );
}

#[test]
fn a_request_of_another_session_key_does_not_verify() {
    let message = signed(KdfVersion::Two);
    let request = SessionRequest::read(&message).unwrap();
    let outcome = request.verify::<Value>(&SessionKey::make().unwrap(), NOW);
    assert_eq!(outcome, Err(Error::Signature));
}

#[test]
fn a_change_of_any_character_is_refused() {
    let message = signed(KdfVersion::Two);
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
fn a_payload_cannot_be_moved_under_a_context_of_the_second_derivation() {
    let message = signed(KdfVersion::Two);
    let parts: Vec<&str> = message.split('.').collect();
    let other = base64url(br#"{"refresh_token":"0.prt","request_nonce":"m"}"#);
    let moved = format!("{}.{other}.{}", parts[0], parts[2]);
    assert_eq!(verify(&moved), Err(Error::Signature));
}

#[test]
fn no_other_algorithm_version_or_extension_is_taken() {
    let payload = claims().to_string();
    let ctx = STANDARD.encode([7; 24]);
    for alg in ["none", "HS384", "RS256", "hs256", ""] {
        let header = format!(r#"{{"alg":"{alg}","ctx":"{ctx}"}}"#);
        let outcome = verify(&forged(&header, &payload));
        assert_eq!(outcome, Err(Error::Algorithm("HS256")), "{alg}");
    }
    for more in [
        r#","kdf_ver":0"#,
        r#","kdf_ver":3"#,
        r#","kdf_ver":"2""#,
        r#","crit":["b64"]"#,
        r#","ctx":"AAAA""#,
        r#","alg":"HS256""#,
    ] {
        let outcome = verify(&forged(&header(more), &payload));
        assert!(matches!(outcome, Err(Error::Malformed(_))), "{more}");
    }
    for ctx in ["", "AAAA", "!", &STANDARD.encode([0; 65])] {
        let header = format!(r#"{{"alg":"HS256","ctx":"{ctx}"}}"#);
        let outcome = verify(&forged(&header, &payload));
        assert!(matches!(outcome, Err(Error::Malformed(_))), "{ctx}");
    }
}

#[test]
fn a_payload_of_two_meanings_or_of_none_is_refused() {
    for payload in [
        r#"{"refresh_token":"0.prt","refresh_token":"0.other"}"#,
        r#"{"request_nonce":"n"}"#,
        r#"{"refresh_token":7}"#,
        r#"["refresh_token"]"#,
    ] {
        let outcome = verify(&forged(&header(""), payload));
        assert!(matches!(outcome, Err(Error::Malformed(_))), "{payload}");
    }
}

#[test]
fn times_count_where_they_are_there() {
    for (times, outcome) in [
        ("", None),
        (r#","exp":1799999000"#, Some(Error::Expired)),
        (r#","exp":"1799999000""#, Some(Error::Expired)),
        (r#","iat":1800000300"#, Some(Error::NotYetValid)),
        (r#","iat":1799990000"#, None),
        (r#","exp":1800000300.5"#, None),
        (r#","exp":1799999000.5"#, Some(Error::Expired)),
    ] {
        let payload = format!(r#"{{"refresh_token":"0.prt"{times}}}"#);
        let verified = verify(&forged(&header(""), &payload));
        assert_eq!(verified.err(), outcome, "{times}");
    }
}

#[test]
fn an_answer_opens_with_its_session_key_only() {
    let key = published();
    let message = seal_answer(&key, AnswerForm::Gcm, b"{\"a\":1}").unwrap();
    assert_eq!(open_answer(&key, &message).unwrap().expose(), b"{\"a\":1}");
    let other = open_answer(&SessionKey::make().unwrap(), &message);
    assert_eq!(other.err(), Some(Error::Sealed));
    for at in 0..message.len() {
        let mut changed = message.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let changed = std::str::from_utf8(&changed).unwrap();
        assert!(open_answer(&key, changed).is_err(), "at {at}");
    }
}

#[test]
fn the_legacy_form_has_a_block_for_a_nonce_and_no_tag_and_is_not_read_here() {
    let key = published();
    let message = seal_answer(&key, AnswerForm::LegacyCbc, b"{\"a\":1}").unwrap();
    let parts: Vec<Vec<u8>> = message
        .split('.')
        .map(|part| {
            use base64::engine::general_purpose::URL_SAFE_NO_PAD;
            URL_SAFE_NO_PAD.decode(part).unwrap()
        })
        .collect();
    let header: Value = serde_json::from_slice(&parts[0]).unwrap();
    assert_eq!(
        (&header["alg"], &header["enc"]),
        (&json!("dir"), &json!("A256GCM"))
    );
    assert_eq!((parts[1].len(), parts[2].len(), parts[4].len()), (0, 16, 0));
    let ctx = STANDARD.decode(header["ctx"].as_str().unwrap()).unwrap();
    let label = b"AzureAD-SecureConversation\0";
    let block = [&[0, 0, 0, 1][..], label, &ctx, &[0, 0, 1, 0]].concat();
    let hmac = PKey::hmac(key.bytes().expose()).unwrap();
    let derived = Signer::new(MessageDigest::sha256(), &hmac)
        .unwrap()
        .sign_oneshot_to_vec(&block)
        .unwrap();
    let plain = decrypt(Cipher::aes_256_cbc(), &derived, Some(&parts[2]), &parts[3]);
    assert_eq!(plain.unwrap(), b"{\"a\":1}");
    assert!(matches!(
        open_answer(&key, &message),
        Err(Error::Malformed(_))
    ));
}

fn unwrap(key: &PKey<Private>, wrapped: &[u8]) -> Option<Vec<u8>> {
    let mut decrypter = Decrypter::new(key).unwrap();
    decrypter.set_rsa_padding(Padding::PKCS1_OAEP).unwrap();
    let mut plain = vec![0; decrypter.decrypt_len(wrapped).unwrap()];
    let length = decrypter.decrypt(wrapped, &mut plain).ok()?;
    plain.truncate(length);
    Some(plain)
}

fn transport(key: &PKey<Private>) -> Result<TransportKey, Error> {
    let public = key.public_key_to_der().unwrap();
    TransportKey::new(PKey::public_key_from_der(&public).unwrap())
}

#[test]
fn a_session_key_is_the_content_key_of_what_its_device_gets() {
    let key = SessionKey::make().unwrap();
    let message = key.wrap(&transport(&ALICE).unwrap()).unwrap();
    let parts: Vec<Vec<u8>> = message
        .split('.')
        .map(|part| {
            use base64::engine::general_purpose::URL_SAFE_NO_PAD;
            URL_SAFE_NO_PAD.decode(part).unwrap()
        })
        .collect();
    assert_eq!(parts[0], br#"{"alg":"RSA-OAEP","enc":"A256GCM"}"#);
    assert_eq!(
        [parts[2].len(), parts[3].len(), parts[4].len()],
        [12, 1, 16]
    );
    assert_eq!(
        unwrap(&ALICE, &parts[1]).as_ref(),
        Some(key.bytes().expose())
    );
    assert_ne!(
        unwrap(&MALLORY, &parts[1]).as_ref(),
        Some(key.bytes().expose())
    );
    assert!(matches!(transport(&rsa(1024)), Err(Error::Key(_))));
}
