//! Sets of keys.

use serde_json::{Value, json};
use token::{Jwks, RsaJwk, SigningJwk, half_hash};

use crate::keys::{ALICE, MALLORY};

fn jwk(more: &Value) -> Value {
    let key = serde_json::to_value(RsaJwk::from_key(&*ALICE).unwrap()).unwrap();
    let members = key.as_object().unwrap().iter();
    let more = more.as_object().unwrap().iter();
    members
        .chain(more)
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn read(keys: &[Value]) -> Result<Jwks, token::Error> {
    Jwks::read(&json!({ "keys": keys }).to_string())
}

#[test]
fn a_set_says_what_its_keys_are_for_and_is_read_back() {
    let keys = [&*ALICE, &*MALLORY].map(|key| SigningJwk::new(RsaJwk::from_key(key).unwrap()));
    let set = Jwks {
        keys: keys.to_vec(),
    };
    let text = serde_json::to_value(&set).unwrap();
    for member in text["keys"].as_array().unwrap() {
        assert_eq!(member["kty"], "RSA");
        assert_eq!(member["use"], "sig");
        assert_eq!(member["alg"], "RS256");
    }
    assert_eq!(Jwks::read(&text.to_string()).unwrap(), set);
    assert!(set.find(Some(&keys[1].kid)).is_some());
    assert!(set.find(Some("another")).is_none());
    assert!(set.find(None).is_none(), "there are two");
}

#[test]
fn members_for_other_things_are_passed_over() {
    let set = read(&[
        jwk(&json!({ "use": "enc" })),
        jwk(&json!({ "alg": "RS512" })),
        json!({ "kty": "EC", "crv": "P-256", "x": "AA", "y": "AA" }),
        json!({ "kty": "oct", "k": "AAAA", "kid": "hmac" }),
        jwk(&json!({ "kid": "mine" })),
    ])
    .unwrap();
    assert_eq!(set.keys.len(), 1);
    assert!(set.find(Some("mine")).is_some());
    assert!(set.find(None).is_some(), "it is the only one");
}

#[test]
fn a_key_is_for_the_algorithm_that_its_member_names_and_no_other() {
    use openssl::{
        hash::MessageDigest,
        rsa::Padding,
        sign::{RsaPssSaltlen, Signer},
    };
    let signed = |alg: &str, padding| {
        let header = crate::keys::base64url(format!(r#"{{"alg":"{alg}"}}"#).as_bytes());
        let claims = crate::keys::base64url(br#"{"sub":"app","exp":1800000600}"#);
        let input = format!("{header}.{claims}");
        let mut signer = Signer::new(MessageDigest::sha256(), &ALICE).unwrap();
        signer.set_rsa_padding(padding).unwrap();
        if padding == Padding::PKCS1_PSS {
            signer
                .set_rsa_pss_saltlen(RsaPssSaltlen::DIGEST_LENGTH)
                .unwrap();
        }
        let signature = signer.sign_oneshot_to_vec(input.as_bytes()).unwrap();
        format!("{input}.{}", crate::keys::base64url(&signature))
    };
    let messages = [
        ("RS256", signed("RS256", Padding::PKCS1)),
        ("PS256", signed("PS256", Padding::PKCS1_PSS)),
    ];
    for registered in ["RS256", "PS256"] {
        let key = read(&[jwk(&json!({ "alg": registered }))])
            .unwrap()
            .find(None);
        for (alg, message) in &messages {
            let unverified = token::Unverified::read(message, token::X5cForm::Array).unwrap();
            assert_eq!(unverified.subject().as_deref(), Some("app"));
            let now = model::UnixTime(1_800_000_000);
            let outcome = unverified.verify::<Value>(key.as_ref().unwrap(), now);
            assert_eq!(outcome.is_ok(), *alg == registered, "{alg} {registered}");
        }
    }
    let crossed = signed("RS256", Padding::PKCS1_PSS);
    let key = read(&[jwk(&json!({}))]).unwrap().find(None).unwrap();
    let outcome = token::Unverified::read(&crossed, token::X5cForm::Array)
        .unwrap()
        .verify::<Value>(&key, model::UnixTime(1_800_000_000));
    assert_eq!(outcome, Err(token::Error::Signature));
}

#[test]
fn a_set_with_a_broken_or_weak_key_is_refused() {
    let weak = serde_json::to_value(RsaJwk::from_key(&crate::keys::rsa(1024)).unwrap()).unwrap();
    for keys in [
        vec![weak],
        vec![json!({ "kty": "RSA", "n": "AA", "e": "AQAB" })],
        vec![json!({ "n": "AQAB" })],
        vec![json!("x")],
    ] {
        assert!(read(&keys).is_err(), "{keys:?}");
    }
    assert!(Jwks::read("{}").is_err());
    assert!(Jwks::read(r#"{"keys":[],"keys":[]}"#).is_err());
}

#[test]
fn the_half_hash_is_that_of_openid_connect_core() {
    // The example of OpenID Connect Core, appendix A.6: c_hash of the code.
    let code = "Qcb0Orv1zh30vL1MPRsbm-diHiMwcLyZvn1arpZv-Jxf_11jnpEX3Tgfvk";
    assert_eq!(half_hash(code), "LDktKdoQak3Pk0cnXxCltA");
}
