use keycred::der::wrap;
use openssl::{
    asn1::Asn1Time,
    bn::BigNum,
    cms::{CMSOptions, CmsContentInfo},
    hash::MessageDigest,
    pkey::{PKey, Private},
    rsa::Rsa,
    stack::Stack,
    x509::{X509, X509NameBuilder, extension::SubjectKeyIdentifier},
};

use super::*;

fn key() -> PKey<Private> {
    PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap()
}

/// A certificate of that name and number, signed by itself.
fn certificate(name: &str, serial: u32, key: &PKey<Private>) -> X509 {
    let mut subject = X509NameBuilder::new().unwrap();
    subject.append_entry_by_text("CN", name).unwrap();
    let subject = subject.build();
    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    let number = BigNum::from_u32(serial).unwrap().to_asn1_integer().unwrap();
    builder.set_serial_number(&number).unwrap();
    builder.set_subject_name(&subject).unwrap();
    builder.set_issuer_name(&subject).unwrap();
    let (from, to) = (Asn1Time::days_from_now(0), Asn1Time::days_from_now(1));
    builder.set_not_before(&from.unwrap()).unwrap();
    builder.set_not_after(&to.unwrap()).unwrap();
    builder.set_pubkey(key).unwrap();
    let id = SubjectKeyIdentifier::new();
    let id = id.build(&builder.x509v3_context(None, None)).unwrap();
    builder.append_extension(id).unwrap();
    builder.sign(key, MessageDigest::sha256()).unwrap();
    builder.build()
}

/// An answer whose key agreement is signed by one of two certificates.
fn answer(options: CMSOptions) -> (Vec<u8>, X509) {
    let key = key();
    // A serial with a leading zero byte in DER.
    let signer = certificate("dc.corp.test", 0x8000_0001, &key);
    let mut others = Stack::new().unwrap();
    let authority = certificate("authority", 1, &self::key());
    others.push(authority).unwrap();
    let options = options | CMSOptions::BINARY;
    let signed = CmsContentInfo::sign(
        Some(&signer),
        Some(&key),
        Some(&others),
        Some(b"agreement"),
        options,
    );
    (reply(&signed.unwrap().to_der().unwrap()), signer)
}

/// An AS-REP with this ContentInfo.
fn reply(content: &[u8]) -> Vec<u8> {
    let info = wrap(BARE_0, content);
    let value = wrap(EXPLICIT_0, &wrap(SEQUENCE, &info));
    let data = |kind: u8, value: &[u8]| {
        let kind = wrap(context(1), &wrap(INTEGER, &[kind]));
        let value = wrap(context(2), &wrap(OCTET_STRING, value));
        wrap(SEQUENCE, &[kind, value].concat())
    };
    let data = [data(19, b"salt"), data(17, &value)].concat();
    let version = wrap(EXPLICIT_0, &wrap(INTEGER, &[5]));
    let kind = wrap(context(1), &wrap(INTEGER, &[11]));
    let data = wrap(context(2), &wrap(SEQUENCE, &data));
    let realm = wrap(context(3), b"\x1b\x04CORP");
    let reply = wrap(SEQUENCE, &[version, kind, data, realm].concat());
    wrap(AS_REP, &reply)
}

#[test]
fn the_signer_s_certificate_is_found_by_either_name() {
    for options in [CMSOptions::empty(), CMSOptions::USE_KEYID] {
        let (answer, signer) = answer(options);
        assert_eq!(kdc_certificate(&answer), Some(signer.to_der().unwrap()));
    }
}

#[test]
fn the_signer_s_certificate_is_found_as_heimdal_names_it() {
    let certificate = certificate("dc.corp.test", 7, &key());
    let id = certificate.subject_key_id().unwrap().as_slice();
    let id = wrap(EXPLICIT_0, &wrap(OCTET_STRING, id));
    let info = wrap(SEQUENCE, &[wrap(INTEGER, &[1]), id].concat());
    let der = certificate.to_der().unwrap();
    let signed = [
        wrap(INTEGER, &[3]),
        wrap(SET, &[]),
        wrap(SEQUENCE, &[]),
        wrap(EXPLICIT_0, &der),
        wrap(SET, &info),
    ];
    let signed = wrap(EXPLICIT_0, &wrap(SEQUENCE, &signed.concat()));
    let kind = wrap(OBJECT_IDENTIFIER, SIGNED_DATA);
    let answer = reply(&wrap(SEQUENCE, &[kind, signed].concat()));
    assert_eq!(kdc_certificate(&answer), Some(der));
}

#[test]
fn an_answer_that_is_cut_off_or_changed_brings_its_certificate_or_none() {
    let (answer, signer) = answer(CMSOptions::empty());
    let signer = signer.to_der().unwrap();
    for end in 0..answer.len() {
        assert_eq!(kdc_certificate(&answer[..end]), None, "{end}");
    }
    for at in 0..answer.len() {
        let mut changed = answer.clone();
        changed[at] ^= 1 << (at % 8);
        if let Some(found) = kdc_certificate(&changed) {
            assert_eq!(found.len(), signer.len(), "{at}");
        }
    }
}

#[test]
fn an_answer_without_a_signature_in_clear_brings_none() {
    let empty = wrap(
        AS_REP,
        &wrap(SEQUENCE, &wrap(context(2), &wrap(SEQUENCE, &[]))),
    );
    let error = wrap(0x7e, &wrap(SEQUENCE, &[]));
    for answer in [
        &empty[..],
        &error,
        &[],
        &[AS_REP],
        &[0xff; 64],
        &[AS_REP, 0x84, 0xff, 0xff, 0xff, 0xff],
    ] {
        assert_eq!(kdc_certificate(answer), None);
    }
}
