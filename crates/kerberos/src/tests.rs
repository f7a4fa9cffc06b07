use crate::{Context, Error, Profile, gss};

fn profile() -> Profile {
    Profile {
        realm: "CORP.EXAMPLE".into(),
        kdcs: vec!["dc.corp.example".into()],
        kdc_hostnames: vec!["dc.corp.example".into(), "dc2.corp.example".into()],
        crl_files: vec!["/var/lib/x/crl.pem".into()],
        require_crl: true,
        server_purpose_is_enough: false,
    }
}

#[test]
fn a_profile_is_a_text_that_libkrb5_reads() {
    let text = profile().render().unwrap();
    for line in [
        "default_realm = CORP.EXAMPLE",
        "kdc = dc.corp.example",
        "pkinit_kdc_hostname = dc2.corp.example",
        "pkinit_revoke = FILE:/var/lib/x/crl.pem",
        "pkinit_require_crl_checking = true",
        "pkinit_eku_checking = kpKDC",
        "disable_encrypted_timestamp = true",
        "dns_lookup_kdc = false",
    ] {
        assert!(
            text.lines().any(|found| found.trim() == line),
            "{line} is not in {text}"
        );
    }
}

#[test]
fn a_profile_takes_no_value_that_could_be_more_than_one() {
    for value in ["", "a b", "a\nb", "a}", "{", "a = b", "é", "\"", "#x", "x;"] {
        let realm = Profile {
            realm: value.into(),
            ..profile()
        };
        let kdc = Profile {
            kdcs: vec![value.into()],
            ..profile()
        };
        assert!(realm.render().is_err(), "{value:?} as a realm");
        assert!(kdc.render().is_err(), "{value:?} as a KDC");
    }
}

#[test]
fn the_status_behind_a_refusal_tells_what_is_the_matter_with_an_account() {
    let revoked = -1_765_328_384 + 18;
    for (status, code) in [
        (None, "account_revoked"),
        (Some(0xc000_0072), "account_disabled"),
        (Some(0xc000_0234), "account_locked"),
        (Some(0xc000_0193), "account_expired"),
        (Some(0xc000_006f), "outside_hours"),
        (Some(0xc000_0001), "account_revoked"),
    ] {
        let error = Error::of_pkinit(revoked, "text".into(), (None, status));
        assert_eq!(error.code(), code);
    }
    // It tells of accounts and of nothing else.
    let not_trusted = Error::of_pkinit(revoked + 44, "text".into(), (None, Some(0xc000_0072)));
    assert_eq!(not_trusted.code(), "key_not_trusted");
}

#[test]
fn what_the_kdc_answers_is_told_apart() {
    let base = -1_765_328_384;
    let cases = [
        (base + 6, "unknown_principal"),
        (base + 12, "policy_refused"),
        (base + 18, "account_revoked"),
        (base + 23, "password_expired"),
        (base + 37, "clock_skew"),
        (base + 62, "key_not_trusted"),
        (base + 70, "kdc_not_trusted"),
        (base + 74, "kdc_not_trusted"),
        (base + 75, "name_mismatch"),
        (base + 76, "kdc_not_trusted"),
        (base + 156, "kdc_unreachable"),
        (base + 60, "kerberos"),
    ];
    for (code, name) in cases {
        assert_eq!(Error::from_code(code, String::new()).code(), name, "{code}");
    }
    let wrong = Error::of_password(base + 24, String::new(), None);
    assert_eq!(wrong.code(), "wrong_password");
    let other_key = Error::of_verify(base + 31, String::new());
    assert_eq!(other_key.code(), "kdc_not_trusted");
    assert_eq!(
        Error::of_verify(base + 156, String::new()).code(),
        "kdc_unreachable"
    );
}

#[test]
fn a_refused_reply_and_a_silent_token_are_told_apart() {
    let reason = || Some("-1/of the module".to_owned());
    let base = -1_765_328_384;
    let of = |code, reason| Error::of_pkinit(code, "text".into(), (reason, None));
    assert_eq!(
        of(5, reason()),
        Error::KdcNotTrusted("text (-1/of the module)".into())
    );
    assert_eq!(
        of(base + 210, reason()),
        Error::TokenRefused("text (-1/of the module)".into())
    );
    assert_eq!(of(base + 210, None).code(), "kerberos");
    assert_eq!(of(5, None).code(), "kdc_not_trusted");
    assert_eq!(of(base + 62, reason()).code(), "key_not_trusted");
}

#[test]
fn a_kdc_that_refuses_the_certificate_is_no_kdc_that_cannot_prove_itself() {
    let base = -1_765_328_384;
    let of = |code, reason| Error::of_pkinit(code, "text".into(), (reason, None)).code();
    for code in [64, 70, 71, 72, 73, 74, 77] {
        assert_eq!(of(base + code, None), "key_not_trusted", "{code}");
        // The module found the same of the KDC's.
        let reason = Some("-1/of the module".to_owned());
        assert_eq!(of(base + code, reason), "kdc_not_trusted", "{code}");
    }
    for code in [63, 76] {
        assert_eq!(of(base + code, None), "kdc_not_trusted", "{code}");
    }
}

#[test]
fn bytes_that_are_no_ticket_are_refused() {
    let context = Context::new().unwrap();
    for bytes in [&b""[..], b"\x05", &[0; 64], &[0xff; 300]] {
        assert!(context.unmarshal(bytes).is_err(), "{bytes:?}");
    }
}

#[test]
fn a_failure_carries_the_librarys_own_words() {
    let keytab = std::path::Path::new("/nonexistent/keytab");
    let proof = gss::Proof {
        token: vec![1],
        mic: vec![2],
    };
    let refused = gss::accept(keytab, &proof, b"statement").unwrap_err();
    assert!(
        refused.to_string().contains("/nonexistent/keytab"),
        "{refused}"
    );
    let context = Context::new().unwrap();
    let unfit = context
        .keytab_ccache("a\0b@CORP.EXAMPLE", keytab, "MEMORY:x")
        .unwrap_err();
    assert!(unfit.to_string().contains("principal name"), "{unfit}");
}
