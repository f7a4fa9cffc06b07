use std::io::Write;

use api::device::{DELETED_TYPE, DeletedClaims};
use model::{Guid, UnixTime};
use token::RsaJwk;
use zeroize::Zeroizing;

use crate::{
    Deletion, Error, Expected,
    form::Form,
    http::{Answer, unpacked},
    tls::{host_and_port, parse_fingerprint},
};

fn refusal(status: u16, body: &str) -> Error {
    Answer {
        status,
        etag: None,
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

/// Claims of a deletion, signed by this key under this type.
fn statement(
    key: &openssl::pkey::PKey<openssl::pkey::Private>,
    typ: &str,
    change: impl FnOnce(&mut DeletedClaims),
) -> Deletion {
    let mut claims = DeletedClaims {
        iss: "https://s.test/t/".to_owned(),
        device: Guid::from_le_bytes([1; 16]),
        deleted: UnixTime(1_799_999_000),
        nonce: "nonce".to_owned(),
        iat: NOW.0,
        exp: NOW.0 + 300,
    };
    change(&mut claims);
    let header = token::Header {
        typ: Some(typ.to_owned()),
        kid: Some(RsaJwk::from_key(key).unwrap().thumbprint()),
        x5c: Vec::new(),
    };
    let draft = token::Draft::new(&header, &claims).unwrap();
    let mut context = openssl::pkey_ctx::PkeyCtx::new(key).unwrap();
    context.sign_init().unwrap();
    context
        .set_rsa_padding(openssl::rsa::Padding::PKCS1)
        .unwrap();
    context.set_signature_md(openssl::md::Md::sha256()).unwrap();
    let mut signature = Vec::new();
    context
        .sign_to_vec(&draft.digest(), &mut signature)
        .unwrap();
    Deletion(draft.finish(&signature).unwrap())
}

const NOW: UnixTime = UnixTime(1_800_000_000);

#[test]
fn only_the_servers_own_word_on_this_device_and_this_request_is_believed() {
    let make =
        || openssl::pkey::PKey::from_rsa(openssl::rsa::Rsa::generate(2048).unwrap()).unwrap();
    let (key, stranger) = (make(), make());
    let keys = [RsaJwk::from_key(&key).unwrap()];
    let expected = Expected {
        keys: &keys,
        issuer: "https://s.test/t/",
        device: Guid::from_le_bytes([1; 16]),
        nonce: "nonce",
    };
    let good = statement(&key, DELETED_TYPE, |_| {});
    let deleted = good.verify(&expected, NOW).unwrap();
    assert_eq!(deleted, UnixTime(1_799_999_000));
    for (what, wrong) in [
        ("key", statement(&stranger, DELETED_TYPE, |_| {})),
        ("type", statement(&key, "JWT", |_| {})),
        (
            "device",
            statement(&key, DELETED_TYPE, |claims| {
                claims.device = Guid::from_le_bytes([2; 16]);
            }),
        ),
        (
            "issuer",
            statement(&key, DELETED_TYPE, |claims| claims.iss.clear()),
        ),
        (
            "nonce",
            statement(&key, DELETED_TYPE, |claims| claims.nonce.push('x')),
        ),
        (
            "time",
            statement(&key, DELETED_TYPE, |claims| claims.exp = NOW.0 - 600),
        ),
        ("form", Deletion("x".to_owned())),
    ] {
        assert!(wrong.verify(&expected, NOW).is_err(), "{what}");
    }
}

#[test]
fn a_refusal_with_a_statement_of_deletion_is_an_error_of_its_own() {
    let body = r#"{"error":"invalid_grant","error_description":"AADSTS50155: gone",
        "error_codes":[50155],"device_deleted":"a.b.c"}"#;
    let error = refusal(400, body);
    assert_eq!(error.code(), Some("50155"));
    let Error::DeviceDeleted { statement, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(statement, Deletion("a.b.c".to_owned()));
}

#[test]
fn a_packed_answer_is_read_up_to_the_bound_and_no_further() {
    let packed = |length: usize| {
        let fast = flate2::Compression::fast();
        let mut packing = flate2::write::GzEncoder::new(Vec::new(), fast);
        packing.write_all(&vec![b' '; length]).unwrap();
        packing.finish().unwrap()
    };
    const MOST: usize = 8 * 1024 * 1024;
    assert_eq!(unpacked(&packed(MOST)).unwrap().len(), MOST);
    let small = packed(MOST + 1);
    assert!(small.len() < 64 * 1024);
    assert!(matches!(unpacked(&small), Err(Error::Protocol(_))));
    let torn = small.split_at(100).0;
    assert!(matches!(unpacked(torn), Err(Error::Protocol(_))));
}
