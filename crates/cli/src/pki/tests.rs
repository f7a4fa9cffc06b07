//! The authority against OpenSSL's own judgement and against the rules, its folder, and what is
//! told to Samba. Against a real KDC: the lab's tests.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf};

use clap::Parser;
use openssl::{
    asn1::{Asn1Object, Asn1OctetString, Asn1Time},
    bn::BigNum,
    ec::{EcGroup, EcKey},
    hash::MessageDigest,
    nid::Nid,
    pkey::Private,
    x509::{
        X509Extension, X509NameBuilder, X509ReqBuilder,
        extension::{BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAlternativeName},
    },
};

use super::{
    authority::{Authority, Terms, make_key},
    rules::{Domain, Finding, RULES, Shown, Verdict, judge},
    *,
};

const NOW: UnixTime = UnixTime(1_800_000_000);
const DAY_S: i64 = 86_400;
const HOST: &str = "dc.corp.example";
const DN: &str = "CN=DC,OU=Domain Controllers,DC=corp,DC=example";
const LIST_URL: &str = "http://pki.corp.example/kdc.crl";

fn corp(kdc_san: bool) -> Names {
    Names {
        host: HOST.to_owned(),
        domain: "corp.example".to_owned(),
        netbios: "CORP".to_owned(),
        realm: kdc_san.then(|| "CORP.EXAMPLE".to_owned()),
    }
}

fn public(key: &PKey<Private>) -> PKey<Public> {
    PKey::public_key_from_der(&key.public_key_to_der().unwrap()).unwrap()
}

fn issue(authority: &Authority, names: &Names, list: &str) -> X509 {
    let terms = Terms {
        list,
        now: NOW,
        days: 365,
    };
    let key = public(&make_key(2048).unwrap());
    authority.issue(names, &key, &terms).unwrap()
}

fn trusting(authority: &Authority) -> Domain {
    Domain {
        name: "corp.example".to_owned(),
        netbios: "CORP".to_owned(),
        nt_auth: vec![authority.certificate().clone()],
        roots: vec![authority.certificate().clone()],
    }
}

fn judged(
    domain: &Domain,
    certificate: &X509,
    list: &Result<Vec<u8>, String>,
    now: UnixTime,
) -> Vec<Finding> {
    let shown = Shown {
        host: HOST,
        dn: DN,
        certificate,
        list,
    };
    judge(domain, &shown, now).unwrap()
}

fn not_passed(findings: &[Finding]) -> Vec<&'static str> {
    let open = findings
        .iter()
        .filter(|found| found.verdict != Verdict::Pass);
    open.map(|found| found.rule).collect()
}

fn fresh_list(authority: &Authority) -> Result<Vec<u8>, String> {
    Ok(authority.list(&[], 1, NOW).unwrap().to_der().unwrap())
}

#[test]
fn what_the_authority_issues_keeps_every_rule() {
    let authority = Authority::make("Corp KDC CA", NOW).unwrap();
    let (domain, list) = (trusting(&authority), fresh_list(&authority));
    for kdc_san in [false, true] {
        let certificate = issue(&authority, &corp(kdc_san), LIST_URL);
        let findings = judged(&domain, &certificate, &list, NOW);
        assert_eq!(not_passed(&findings), [""; 0], "{findings:?}");
        let rules: Vec<_> = findings.iter().map(|found| found.rule).collect();
        assert_eq!(rules, RULES);
        let text = String::from_utf8(certificate.to_text().unwrap()).unwrap();
        assert!(text.contains("Signing KDC Response"), "{text}");
        assert_eq!(text.contains("othername"), kdc_san, "{text}");
    }
}

#[test]
fn the_realm_s_name_is_the_structure_of_the_specification() {
    let expected = b"\x30\x1d\xa0\x03\x1b\x01R\xa1\x16\x30\x14\xa0\x03\x02\x01\x02\
        \xa1\x0d\x30\x0b\x1b\x06krbtgt\x1b\x01R";
    assert_eq!(der::ticket_service("R"), expected);
}

#[test]
fn names_that_are_not_the_domain_controller_s_break_the_rules_about_them() {
    let authority = Authority::make("Corp KDC CA", NOW).unwrap();
    let (domain, list) = (trusting(&authority), fresh_list(&authority));
    type Break = fn(&mut Names);
    let breaks: [(Break, &str); 3] = [
        (
            |names| names.host = "other.corp.example".to_owned(),
            "name-of-host",
        ),
        (
            |names| names.domain = "other.example".to_owned(),
            "name-of-domain",
        ),
        (
            |names| names.netbios = "OTHER".to_owned(),
            "name-for-windows",
        ),
    ];
    for (broken, rule) in breaks {
        let mut names = corp(false);
        broken(&mut names);
        let findings = judged(&domain, &issue(&authority, &names, LIST_URL), &list, NOW);
        assert_eq!(not_passed(&findings), [rule]);
    }
}

#[test]
fn a_revocation_list_breaks_the_rule_that_it_does_not_keep() {
    let authority = Authority::make("Corp KDC CA", NOW).unwrap();
    let other = Authority::make("Corp KDC CA", NOW).unwrap();
    let domain = trusting(&authority);
    let certificate = issue(&authority, &corp(false), LIST_URL);
    let serial = folder::serial(&certificate).unwrap();
    let list = |authority: &Authority, revoked: &[_], now| {
        Ok(authority.list(revoked, 1, now).unwrap().to_der().unwrap())
    };
    let late = NOW.plus(31 * DAY_S);
    let none = ["crl-reachable", "crl-signed", "crl-current", "not-revoked"];
    let cases = [
        (Err("nobody answers".to_owned()), NOW, &none[..]),
        (Ok(b"<html>".to_vec()), NOW, &none[..]),
        (list(&authority, &[], NOW), late, &["crl-current"]),
        (list(&other, &[], NOW), NOW, &["crl-signed"]),
        (
            list(&authority, &[(&serial, NOW)], NOW),
            NOW,
            &["not-revoked"],
        ),
    ];
    for (list, now, broken) in cases {
        let findings = judged(&domain, &certificate, &list, now);
        assert_eq!(not_passed(&findings), broken);
    }
    for (url, address) in [
        ("https://pki.corp.example/kdc.crl", "https"),
        ("ldap:///x", "ldap"),
    ] {
        let certificate = issue(&authority, &corp(false), url);
        let findings = judged(&domain, &certificate, &fresh_list(&authority), NOW);
        assert_eq!(not_passed(&findings), ["crl-address"], "{address}");
    }
}

#[test]
fn what_the_directory_lacks_and_what_has_expired_is_told_apart() {
    let authority = Authority::make("Corp KDC CA", NOW).unwrap();
    let certificate = issue(&authority, &corp(false), LIST_URL);
    let list = fresh_list(&authority);
    let mut domain = trusting(&authority);
    domain.nt_auth.clear();
    let findings = judged(&domain, &certificate, &list, NOW);
    assert_eq!(not_passed(&findings), ["issuer-in-ntauth"]);

    let mut domain = trusting(&authority);
    domain.roots.clear();
    let findings = judged(&domain, &certificate, &list, NOW);
    assert_eq!(not_passed(&findings), ["root-in-directory", "chain"]);

    let late = NOW.plus(400 * DAY_S);
    let list = Ok(authority.list(&[], 2, late).unwrap().to_der().unwrap());
    let findings = judged(&trusting(&authority), &certificate, &list, late);
    assert_eq!(not_passed(&findings), ["validity", "chain"]);
}

/// A certificate of the authority's, wrong in one point.
struct Wrong {
    key: PKey<Private>,
    digest: MessageDigest,
    usage: bool,
    authority: bool,
    purposes: Vec<&'static str>,
}

const PURPOSES: [&str; 3] = ["1.3.6.1.5.2.3.5", "1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"];

fn wrong(authority: &Authority, wrong: &Wrong) -> X509 {
    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    let serial = BigNum::from_u32(7).unwrap().to_asn1_integer().unwrap();
    builder.set_serial_number(&serial).unwrap();
    let mut name = X509NameBuilder::new().unwrap();
    name.append_entry_by_text("CN", HOST).unwrap();
    builder.set_subject_name(&name.build()).unwrap();
    builder
        .set_issuer_name(authority.certificate().subject_name())
        .unwrap();
    let at = |offset| Asn1Time::from_unix(NOW.0 + offset).unwrap();
    builder.set_not_before(&at(-60)).unwrap();
    builder.set_not_after(&at(DAY_S)).unwrap();
    builder.set_pubkey(&wrong.key).unwrap();
    let mut constraints = BasicConstraints::new();
    if wrong.authority {
        constraints.ca();
    }
    let mut usage = KeyUsage::new();
    usage.digital_signature();
    if wrong.usage {
        usage.key_encipherment();
    }
    if wrong.authority {
        usage.key_cert_sign();
    }
    let mut purposes = ExtendedKeyUsage::new();
    for purpose in &wrong.purposes {
        purposes.other(purpose);
    }
    let mut names = SubjectAlternativeName::new();
    names.dns(HOST).dns("corp.example").dns("CORP");
    let point = Asn1OctetString::new_from_bytes(&der::distribution_point(LIST_URL)).unwrap();
    let point_id = Asn1Object::from_str("2.5.29.31").unwrap();
    let issuer_id = {
        let context = builder.x509v3_context(Some(authority.certificate()), None);
        let mut id = openssl::x509::extension::AuthorityKeyIdentifier::new();
        id.keyid(true).build(&context).unwrap()
    };
    let key_id = {
        let context = builder.x509v3_context(None, None);
        let id = openssl::x509::extension::SubjectKeyIdentifier::new();
        id.build(&context).unwrap()
    };
    let names = names.build(&builder.x509v3_context(None, None)).unwrap();
    for extension in [
        constraints.critical().build().unwrap(),
        usage.critical().build().unwrap(),
        purposes.build().unwrap(),
        names,
        issuer_id,
        key_id,
        X509Extension::new_from_der(&point_id, false, &point).unwrap(),
    ] {
        builder.append_extension(extension).unwrap();
    }
    builder.sign(authority.key(), wrong.digest).unwrap();
    builder.build()
}

#[test]
fn a_certificate_that_is_wrong_in_one_point_breaks_that_rule_alone() {
    let authority = Authority::make("Corp KDC CA", NOW).unwrap();
    let (domain, list) = (trusting(&authority), fresh_list(&authority));
    let curve = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    let curve = PKey::from_ec_key(EcKey::generate(&curve).unwrap()).unwrap();
    let good = || Wrong {
        key: make_key(2048).unwrap(),
        digest: MessageDigest::sha256(),
        usage: true,
        authority: false,
        purposes: PURPOSES.to_vec(),
    };
    let mut cases = vec![
        (good(), ""),
        (
            Wrong {
                key: curve,
                ..good()
            },
            "key",
        ),
        (
            Wrong {
                key: make_key(1024).unwrap(),
                ..good()
            },
            "key",
        ),
        (
            Wrong {
                digest: MessageDigest::sha1(),
                ..good()
            },
            "signature-hash",
        ),
        (
            Wrong {
                usage: false,
                ..good()
            },
            "key-usage",
        ),
        (
            Wrong {
                authority: true,
                ..good()
            },
            "end-entity",
        ),
    ];
    let rules = ["purpose-kdc", "purpose-server", "purpose-client"];
    for (lacking, rule) in PURPOSES.into_iter().zip(rules) {
        let purposes = PURPOSES.into_iter().filter(|id| *id != lacking).collect();
        cases.push((Wrong { purposes, ..good() }, rule));
    }
    for (point, rule) in cases {
        let findings = judged(&domain, &wrong(&authority, &point), &list, NOW);
        let broken: Vec<_> = not_passed(&findings);
        // OpenSSL's own level of security may refuse the chain of a weak key too.
        let broken: Vec<_> = broken.into_iter().filter(|rule| *rule != "chain").collect();
        let expected: Vec<_> = [rule].into_iter().filter(|rule| !rule.is_empty()).collect();
        assert_eq!(broken, expected, "{findings:?}");
    }
}

#[test]
fn a_key_belongs_to_its_own_certificate_only() {
    let authority = Authority::make("Corp KDC CA", NOW).unwrap();
    let own = authority.key().private_key_to_pem_pkcs8().unwrap();
    let other = make_key(2048).unwrap().private_key_to_pem_pkcs8().unwrap();
    assert!(rules::belongs(&own, authority.certificate()));
    assert!(!rules::belongs(&other, authority.certificate()));
    assert!(!rules::belongs(b"", authority.certificate()));
}

/// A folder of a test's own.
fn scratch(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("latchkey-pki-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&path);
    path
}

fn register(publish: Option<PathBuf>) -> Register {
    Register {
        name: "Corp KDC CA".to_owned(),
        crl_url: LIST_URL.to_owned(),
        publish,
        lists: 0,
        issued: Vec::new(),
    }
}

#[test]
fn the_folder_keeps_keys_to_its_owner_and_remembers_what_it_issued_and_revoked() {
    let path = scratch("folder");
    let copy = scratch("copy.crl");
    let mut folder = Folder::make(&path, register(Some(copy.clone())), NOW).unwrap();
    let key = public(&make_key(2048).unwrap());
    let certificate = folder.issue(&corp(false), &key, NOW, 365).unwrap();
    drop(folder);
    let mode = |file: &str| fs::metadata(path.join(file)).unwrap().permissions().mode() & 0o777;
    assert_eq!(
        (mode(""), mode("ca.key"), mode("authority.json")),
        (0o700, 0o600, 0o600)
    );

    let mut folder = Folder::open(&path).unwrap();
    let serial = folder::serial(&certificate).unwrap();
    assert_eq!(folder.register().issued.len(), 1);
    folder.revoke(&serial.to_lowercase(), NOW).unwrap();
    assert!(folder.revoke("00", NOW).is_err());
    let list = fs::read(&copy).unwrap();
    assert_eq!(list, fs::read(path.join("ca.crl")).unwrap());
    let findings = judged(
        &Domain {
            name: "corp.example".to_owned(),
            netbios: "CORP".to_owned(),
            nt_auth: vec![folder.certificate().clone()],
            roots: vec![folder.certificate().clone()],
        },
        &certificate,
        &Ok(list),
        NOW,
    );
    assert_eq!(not_passed(&findings), ["not-revoked"]);
    drop(folder);
    let again = Folder::make(&path, register(None), NOW);
    assert!(again.is_err(), "an authority was made over another");
    fs::remove_dir_all(&path).unwrap();
    fs::remove_file(&copy).unwrap();
}

#[test]
fn a_certificate_is_due_in_the_last_third_of_its_life_or_when_it_is_another_s() {
    let authority = Authority::make("Corp KDC CA", NOW).unwrap();
    let other = Authority::make("Corp KDC CA", NOW).unwrap();
    let certificate = issue(&authority, &corp(false), LIST_URL);
    let due = |authority: &Authority, days: i64| {
        is_due(
            &certificate,
            authority.certificate(),
            NOW.plus(days * DAY_S),
        )
        .unwrap()
    };
    assert!(!due(&authority, 0));
    assert!(!due(&authority, 240));
    assert!(due(&authority, 250));
    assert!(due(&authority, 400));
    assert!(due(&other, 0));
}

#[test]
fn an_installation_that_was_broken_off_is_not_taken_for_done() {
    let private = scratch("private");
    fs::create_dir(&private).unwrap();
    let (linked, configuration) = (private.join("samba.conf"), private.join("krb5.conf"));
    fs::write(&linked, "[libdefaults]\n").unwrap();
    std::os::unix::fs::symlink(&linked, &configuration).unwrap();
    let place = samba::Place::new(&private, &configuration);
    assert!(place.current().is_none());

    let authority = Authority::make("Corp KDC CA", NOW).unwrap();
    let key = authority.key().private_key_to_pem_pkcs8().unwrap();
    let certificate = authority.certificate().to_pem().unwrap();
    place.install(&certificate, &key, &certificate).unwrap();
    assert!(place.current().is_some());
    assert!(configuration.is_symlink(), "a link was replaced");
    let told = fs::read_to_string(&linked).unwrap();
    let told = samba::configured(&told);
    assert_eq!(told.certificate, Some(place.certificate()));

    let other = make_key(2048).unwrap().private_key_to_pem_pkcs8().unwrap();
    fs::write(told.key.unwrap(), other).unwrap();
    assert!(place.current().is_none());
    fs::remove_dir_all(&private).unwrap();
}

#[test]
fn a_request_is_taken_when_its_key_is_strong_and_has_signed_it() {
    let request = |subject: &PKey<Private>, signer: &PKey<Private>| {
        let mut builder = X509ReqBuilder::new().unwrap();
        builder.set_pubkey(subject).unwrap();
        builder.sign(signer, MessageDigest::sha256()).unwrap();
        builder.build().to_pem().unwrap()
    };
    let (key, other) = (make_key(2048).unwrap(), make_key(2048).unwrap());
    let weak = make_key(1024).unwrap();
    let taken = requested_key(&request(&key, &key)).unwrap();
    assert!(taken.public_eq(&key));
    for refused in [request(&key, &other), request(&weak, &weak), b"?".to_vec()] {
        assert!(requested_key(&refused).is_err());
    }
}

#[derive(Parser)]
struct Typed {
    #[command(flatten)]
    pki: Pki,
}

fn typed(words: &str) -> Result<Pki, clap::Error> {
    let words = ["pki"].into_iter().chain(words.split(' '));
    Typed::try_parse_from(words).map(|typed| typed.pki)
}

#[test]
fn names_of_the_domain_come_from_the_host_unless_they_are_given() {
    let of = |words: &str| match typed(words).unwrap().verb {
        Verb::IssueDc(how) => names(&how).unwrap(),
        _ => unreachable!("only issue-dc is typed here"),
    };
    let plain = of("issue-dc DC1.corp.example");
    assert_eq!(
        (&*plain.host, &*plain.domain, &*plain.netbios, plain.realm),
        ("dc1.corp.example", "corp.example", "CORP", None)
    );
    let given = of("issue-dc dc1.corp.example --domain ad.example --netbios firm --kdc-san");
    assert_eq!((&*given.domain, &*given.netbios), ("ad.example", "FIRM"));
    assert_eq!(given.realm.as_deref(), Some("AD.EXAMPLE"));
}

#[test]
fn what_would_not_work_is_a_usage_error() {
    for words in [
        "issue-dc dc",
        "issue-dc dc.corp.example --timer",
        "issue-dc dc.corp.example --csr x --install",
        "issue-dc dc.corp.example --days 0",
        "init --name a,b --crl-url http://h/x",
        "init --name a --crl-url https://h/x",
        "init --name a --crl-url http://h",
    ] {
        let error = typed(words).err().map(|error| error.exit_code());
        assert_eq!(error, Some(2), "{words}");
    }
}
