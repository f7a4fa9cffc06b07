//! Who may speak for an endorsement key, on certificates that a manufacturer of the test's issues.

use attest::{EndorsementKey, Manufacturers, Model, Refusal, Rules, Trust, trust};
use keycred::der::{SEQUENCE, wrap};
use model::UnixTime;
use openssl::asn1::{Asn1Object, Asn1OctetString, Asn1Time};
use openssl::bn::{BigNum, BigNumContext};
use openssl::ec::PointConversionForm;
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::x509::extension::{
    AuthorityKeyIdentifier, BasicConstraints, KeyUsage, SubjectKeyIdentifier,
};
use openssl::x509::{X509, X509Extension, X509Name};

use crate::forge::p256_key;

const NOW: UnixTime = UnixTime(1_800_000_000);
const YEAR: i64 = 365 * 86_400;

const EK_PURPOSE: &[u8] = &[0x67, 0x81, 0x05, 0x08, 0x01];
const CLIENT_PURPOSE: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x02];

fn rsa() -> PKey<Private> {
    PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap()
}

fn name(parts: &[(&str, &str)]) -> X509Name {
    let mut name = X509Name::builder().unwrap();
    for (id, value) in parts {
        name.append_entry_by_text(id, value).unwrap();
    }
    name.build()
}

fn extension(id: &str, critical: bool, value: &[u8]) -> X509Extension {
    let value = Asn1OctetString::new_from_bytes(value).unwrap();
    X509Extension::new_from_der(&Asn1Object::from_str(id).unwrap(), critical, &value).unwrap()
}

/// A manufacturer's authority.
struct Authority {
    key: PKey<Private>,
    certificate: X509,
}

impl Authority {
    fn new(common_name: &str, above: Option<&Self>) -> Self {
        let (key, own) = (rsa(), name(&[("CN", common_name)]));
        let mut builder = X509::builder().unwrap();
        builder.set_version(2).unwrap();
        let serial = BigNum::from_u32(7).unwrap().to_asn1_integer().unwrap();
        builder.set_serial_number(&serial).unwrap();
        builder.set_subject_name(&own).unwrap();
        let issuer = above.map_or(&*own, |above| above.certificate.subject_name());
        builder.set_issuer_name(issuer).unwrap();
        builder.set_pubkey(&key).unwrap();
        let (from, to) = (NOW.0 - YEAR, NOW.0 + 10 * YEAR);
        builder
            .set_not_before(&Asn1Time::from_unix(from).unwrap())
            .unwrap();
        builder
            .set_not_after(&Asn1Time::from_unix(to).unwrap())
            .unwrap();
        let constraints = BasicConstraints::new().critical().ca().build().unwrap();
        builder.append_extension(constraints).unwrap();
        let usage = KeyUsage::new().critical().key_cert_sign().build().unwrap();
        builder.append_extension(usage).unwrap();
        let context = builder.x509v3_context(above.map(|above| &*above.certificate), None);
        let id = SubjectKeyIdentifier::new().build(&context).unwrap();
        builder.append_extension(id).unwrap();
        if let Some(above) = above {
            let context = builder.x509v3_context(Some(&above.certificate), None);
            let id = AuthorityKeyIdentifier::new().keyid(true).build(&context);
            builder.append_extension(id.unwrap()).unwrap();
        }
        let signer = above.map_or(&key, |above| &above.key);
        builder.sign(signer, MessageDigest::sha256()).unwrap();
        let certificate = builder.build();
        Self { key, certificate }
    }

    fn pem(&self) -> Vec<u8> {
        self.certificate.to_pem().unwrap()
    }

    fn trusted(&self) -> Manufacturers {
        Manufacturers::from_pem(&self.pem()).unwrap()
    }
}

/// What an endorsement certificate says.
struct Content {
    purpose: &'static [u8],
    authority: bool,
    encipherment: bool,
    model: bool,
    until: i64,
    digest: MessageDigest,
}

fn good() -> Content {
    Content {
        purpose: EK_PURPOSE,
        authority: false,
        encipherment: true,
        model: true,
        until: NOW.0 + YEAR,
        digest: MessageDigest::sha256(),
    }
}

impl Content {
    fn issued(&self, key: &PKey<Private>, by: &Authority) -> Vec<u8> {
        let mut builder = X509::builder().unwrap();
        builder.set_version(2).unwrap();
        let serial = BigNum::from_u32(8).unwrap().to_asn1_integer().unwrap();
        builder.set_serial_number(&serial).unwrap();
        builder
            .set_issuer_name(by.certificate.subject_name())
            .unwrap();
        builder.set_pubkey(key).unwrap();
        builder
            .set_not_before(&Asn1Time::from_unix(NOW.0 - YEAR).unwrap())
            .unwrap();
        builder
            .set_not_after(&Asn1Time::from_unix(self.until).unwrap())
            .unwrap();
        let mut constraints = BasicConstraints::new();
        constraints.critical();
        if self.authority {
            constraints.ca();
        }
        builder
            .append_extension(constraints.build().unwrap())
            .unwrap();
        let mut usage = KeyUsage::new();
        usage.critical();
        if self.authority {
            usage.key_cert_sign();
        }
        let usage = match (self.encipherment, key.ec_key().is_ok()) {
            (true, false) => usage.key_encipherment(),
            (true, true) => usage.key_agreement(),
            (false, _) => usage.digital_signature(),
        };
        builder.append_extension(usage.build().unwrap()).unwrap();
        let purpose = wrap(SEQUENCE, &wrap(0x06, self.purpose));
        builder
            .append_extension(extension("2.5.29.37", false, &purpose))
            .unwrap();
        let names = if self.model {
            let tpm = name(&[
                ("2.23.133.2.1", "id:49424D00"),
                ("2.23.133.2.2", "a part"),
                ("2.23.133.2.3", "id:00010002"),
            ]);
            // [4], a directoryName.
            wrap(0xa4, &tpm.to_der().unwrap())
        } else {
            // [2], a dNSName.
            wrap(0x82, b"tpm.example")
        };
        // The subject is empty, so that these names are critical (RFC 5280 4.2.1.6).
        let names = wrap(SEQUENCE, &names);
        builder
            .append_extension(extension("2.5.29.17", true, &names))
            .unwrap();
        let context = builder.x509v3_context(Some(&by.certificate), None);
        let id = AuthorityKeyIdentifier::new().keyid(true).build(&context);
        builder.append_extension(id.unwrap()).unwrap();
        builder.sign(&by.key, self.digest).unwrap();
        builder.build().to_der().unwrap()
    }
}

fn ek(key: &PKey<Private>) -> EndorsementKey {
    EndorsementKey::from_spki_der(&key.public_key_to_der().unwrap()).unwrap()
}

fn rules(manufacturers: &Manufacturers) -> Rules<'_> {
    Rules {
        manufacturers,
        approved: &[],
        first_use: false,
    }
}

#[test]
fn a_manufacturer_that_was_configured_speaks_for_its_tpms() {
    let root = Authority::new("root", None);
    let below = Authority::new("below", Some(&root));
    for key in [rsa(), PKey::from_ec_key(p256_key()).unwrap()] {
        let mut certificate = good().issued(&key, &below);
        // What fills up the index of a TPM.
        certificate.extend([0xFF; 40]);
        let both = Manufacturers::from_pem(&[root.pem(), below.pem()].concat()).unwrap();
        let expected = Trust::Manufacturer(Model {
            manufacturer: "id:49424D00".to_owned(),
            model: "a part".to_owned(),
            version: "id:00010002".to_owned(),
        });
        for manufacturers in [&both, &below.trusted()] {
            let found = trust(&ek(&key), Some(&certificate), &rules(manufacturers), NOW);
            assert_eq!(found.unwrap(), expected);
        }
        // The root alone does not complete the chain.
        let found = trust(&ek(&key), Some(&certificate), &rules(&root.trusted()), NOW);
        assert!(matches!(found, Err(Refusal::UnknownManufacturer(_))));
    }
}

#[test]
fn an_empty_list_of_manufacturers_trusts_nobody() {
    let (root, key) = (Authority::new("root", None), rsa());
    let certificate = good().issued(&key, &root);
    for nobody in [
        Manufacturers::default(),
        Manufacturers::from_pem(b"").unwrap(),
    ] {
        let found = trust(&ek(&key), Some(&certificate), &rules(&nobody), NOW);
        assert_eq!(found, Err(Refusal::UnknownTpm));
    }
}

#[test]
fn a_certificate_that_breaks_a_rule_convinces_nobody() {
    let (root, key) = (Authority::new("root", None), rsa());
    let judged = |certificate: &[u8]| {
        trust(&ek(&key), Some(certificate), &rules(&root.trusted()), NOW).unwrap_err()
    };
    let not_one = |content: Content| {
        let refusal = judged(&content.issued(&key, &root));
        assert!(
            matches!(refusal, Refusal::NotAnEndorsementCertificate(_)),
            "{refusal}"
        );
    };
    not_one(Content {
        purpose: CLIENT_PURPOSE,
        ..good()
    });
    not_one(Content {
        authority: true,
        ..good()
    });
    not_one(Content {
        encipherment: false,
        ..good()
    });
    not_one(Content {
        model: false,
        ..good()
    });
    let refusal = judged(b"no certificate");
    assert!(matches!(refusal, Refusal::NotAnEndorsementCertificate(_)));

    let of_another = good().issued(&rsa(), &root);
    assert_eq!(judged(&of_another), Refusal::OtherCertificate);

    let unknown = |certificate: &[u8]| {
        let refusal = judged(certificate);
        assert!(
            matches!(refusal, Refusal::UnknownManufacturer(_)),
            "{refusal}"
        );
    };
    unknown(&good().issued(&key, &Authority::new("root", None)));
    unknown(
        &Content {
            until: NOW.0 - 1,
            ..good()
        }
        .issued(&key, &root),
    );
    unknown(
        &Content {
            digest: MessageDigest::sha1(),
            ..good()
        }
        .issued(&key, &root),
    );
}

#[test]
fn a_certificate_that_was_cut_short_or_changed_convinces_nobody() {
    let (root, key) = (Authority::new("root", None), rsa());
    let (manufacturers, key) = (root.trusted(), (ek(&key), key));
    let certificate = good().issued(&key.1, &root);
    for length in 0..certificate.len() {
        let cut = &certificate[..length];
        assert!(trust(&key.0, Some(cut), &rules(&manufacturers), NOW).is_err());
    }
    for at in 0..certificate.len() {
        let mut changed = certificate.clone();
        changed[at] ^= 0x04;
        assert!(trust(&key.0, Some(&changed), &rules(&manufacturers), NOW).is_err());
    }
}

#[test]
fn a_key_that_was_approved_needs_no_certificate() {
    let (key, other) = (rsa(), rsa());
    let nobody = Manufacturers::default();
    let approved = [ek(&key).hash()];
    let rules = Rules {
        approved: &approved,
        ..rules(&nobody)
    };
    assert_eq!(trust(&ek(&key), None, &rules, NOW), Ok(Trust::Approved));
    let found = trust(&ek(&other), None, &rules, NOW);
    assert_eq!(found, Err(Refusal::UnknownTpm));
    let spki = key.public_key_to_der().unwrap();
    assert_eq!(approved[0], model::sha256(&spki));
}

#[test]
fn one_key_has_one_hash_however_it_is_written() {
    let key = p256_key();
    let plain = ek(&PKey::from_ec_key(key.clone()).unwrap());
    let mut context = BigNumContext::new().unwrap();
    let short = key
        .public_key()
        .to_bytes(key.group(), PointConversionForm::COMPRESSED, &mut context)
        .unwrap();
    // id-ecPublicKey and prime256v1 (RFC 5480 2.1.1), then the point.
    let id = [
        &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1][..],
        &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7],
    ];
    let id = id.map(|id| wrap(0x06, id)).concat();
    let point = wrap(0x03, &[&[0][..], &short].concat());
    let der = wrap(SEQUENCE, &[wrap(SEQUENCE, &id), point].concat());
    let compressed = EndorsementKey::from_spki_der(&der).unwrap();
    assert_eq!(compressed.hash(), plain.hash());
}

#[test]
fn a_list_of_manufacturers_that_is_not_pem_is_refused_and_not_taken_for_an_empty_one() {
    let refused = |text: &[u8]| Manufacturers::from_pem(text).err();
    assert_eq!(refused(b"a note"), Some(Refusal::Manufacturers));
    let cut = &Authority::new("root", None).pem()[..200];
    assert_eq!(refused(cut), Some(Refusal::Manufacturers));
    assert_eq!(refused(b" \n"), None);
}

#[test]
fn first_use_is_trusted_only_where_it_was_switched_on_and_is_the_last_resort() {
    let (root, key) = (Authority::new("root", None), rsa());
    let (certificate, manufacturers) = (good().issued(&key, &root), root.trusted());
    let approved = [ek(&key).hash()];
    let open = Rules {
        approved: &approved,
        first_use: true,
        ..rules(&manufacturers)
    };
    let found = trust(&ek(&key), Some(&certificate), &open, NOW).unwrap();
    assert!(matches!(found, Trust::Manufacturer(_)), "{found:?}");
    assert_eq!(trust(&ek(&key), None, &open, NOW), Ok(Trust::Approved));
    let first = Rules {
        approved: &[],
        ..open
    };
    assert_eq!(trust(&ek(&key), None, &first, NOW), Ok(Trust::FirstUse));
    let closed = rules(&manufacturers);
    assert_eq!(
        trust(&ek(&key), None, &closed, NOW),
        Err(Refusal::UnknownTpm)
    );
}
