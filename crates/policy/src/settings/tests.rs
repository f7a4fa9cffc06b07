use super::*;

fn id(name: &str) -> Option<&'static str> {
    by_id(name).map(|setting| setting.id)
}

#[test]
fn no_two_settings_share_a_name_a_place_or_a_node() {
    for (at, a) in SETTINGS.iter().enumerate() {
        for b in &SETTINGS[at + 1..] {
            assert_ne!(a.id, b.id);
            assert_ne!(a.name, b.name);
            let place = |s: &Setting| s.gpo.map(|gpo| (gpo.key, gpo.value));
            assert!(
                place(a).is_none() || place(a) != place(b),
                "{} {}",
                a.id,
                b.id
            );
            let node = |s: &Setting| s.csp.map(|csp| csp.path);
            assert!(node(a).is_none() || node(a) != node(b), "{} {}", a.id, b.id);
        }
    }
}

#[test]
fn every_setting_can_be_set_somewhere_and_says_what_it_is() {
    for setting in SETTINGS {
        assert!(
            setting.gpo.is_some() || setting.csp.is_some(),
            "{}",
            setting.id
        );
        assert!(setting.meaning.ends_with('.'), "{}", setting.id);
        assert!(!setting.default.is_empty(), "{}", setting.id);
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        assert!(setting.id.chars().all(plain), "{}", setting.id);
    }
}

#[test]
fn the_nineteen_policies_of_the_template_are_there_with_their_elements() {
    let mut policies: Vec<_> = SETTINGS
        .iter()
        .filter_map(|setting| setting.admx)
        .filter(|policy| !policy.starts_with("Latchkey_"))
        .collect();
    let values = policies.len();
    policies.dedup();
    assert_eq!((policies.len(), values), (19, 24));
}

#[test]
fn only_two_policies_of_windows_count_in_the_user_half() {
    let both: Vec<_> = SETTINGS
        .iter()
        .filter(|setting| setting.gpo.is_some_and(|gpo| gpo.class == Class::Both))
        .map(|setting| setting.id)
        .collect();
    let expected = [
        "use-hello",
        "no-provisioning-after-sign-in",
        "certificate-trust",
        "enable-on-linux",
    ];
    assert_eq!(both, expected);
}

#[test]
fn the_users_tree_has_eleven_nodes_of_windows() {
    let nodes = SETTINGS
        .iter()
        .filter_map(|setting| setting.loc_uri(Scope::User))
        .filter(|uri| uri.starts_with("./User/Vendor/MSFT/PassportForWork/{TenantId}/Policies/"))
        .count();
    assert_eq!(nodes, 11);
}

#[test]
fn a_setting_is_found_by_its_name_or_by_a_value_name_that_only_it_has() {
    for (name, found) in [
        ("require-security-device", Some("require-security-device")),
        ("Require-Security-Device", Some("require-security-device")),
        ("RequireSecurityDevice", Some("require-security-device")),
        ("minimumpinlength", Some("min-pin-length")),
        ("Digits", Some("digits")),
        ("Plugins", None),
        ("nothing", None),
        ("", None),
    ] {
        assert_eq!(id(name), found, "{name}");
    }
}

#[test]
fn a_registry_value_is_found_whatever_its_case() {
    let found = |key: &str, value: &str| by_registry(key, value).map(|setting| setting.id);
    let hello = r"software\policies\microsoft\PASSPORTFORWORK";
    assert_eq!(found(hello, "enabled"), Some("use-hello"));
    assert_eq!(
        found(&format!(r"{hello}\ExcludeSecurityDevices"), "TPM12"),
        Some("exclude-tpm12")
    );
    assert_eq!(
        found(&format!(r"{hello}\DynamicLock"), "plugins"),
        Some("dynamic-lock-plugins")
    );
    assert_eq!(found(hello, "TPM12"), None);
}

#[test]
fn a_node_is_found_for_any_tenant_with_braces_and_without() {
    let tenant = "8f1c1c6e-2a0e-4a2b-9d32-5a39ce6d5d11";
    let min = "Policies/PINComplexity/MinimumPINLength";
    for (uri, found) in [
        (
            format!("./User/Vendor/MSFT/PassportForWork/{tenant}/{min}"),
            Some(("min-pin-length", Scope::User)),
        ),
        (
            format!("./Device/Vendor/MSFT/PassportForWork/{{{tenant}}}/{min}"),
            Some(("min-pin-length", Scope::Device)),
        ),
        (
            format!("./Vendor/MSFT/PassportForWork/{tenant}/{min}"),
            Some(("min-pin-length", Scope::Device)),
        ),
        (
            "./Device/Vendor/MSFT/PassportForWork/Biometrics/UseBiometrics".to_owned(),
            Some(("use-biometrics", Scope::Device)),
        ),
        // This node is not in the user's tree.
        (
            "./User/Vendor/MSFT/PassportForWork/Biometrics/UseBiometrics".to_owned(),
            None,
        ),
        (
            format!("./User/Vendor/MSFT/PassportForWork/tenant/{min}"),
            None,
        ),
        (
            format!("./User/Vendor/MSFT/PassportForWork/{tenant}/{min}/more"),
            None,
        ),
        (format!("/Vendor/MSFT/PassportForWork/{tenant}/{min}"), None),
        ("./".to_owned(), None),
    ] {
        let answer = by_loc_uri(&uri).map(|(setting, scope)| (setting.id, scope));
        assert_eq!(answer, found, "{uri}");
    }
}

#[test]
fn every_node_is_found_by_its_own_address() {
    let tenant = "8f1c1c6e-2a0e-4a2b-9d32-5a39ce6d5d11";
    for setting in SETTINGS {
        for scope in [Scope::Device, Scope::User] {
            let Some(uri) = setting.loc_uri(scope) else {
                continue;
            };
            let found = by_loc_uri(&uri.replace("{TenantId}", tenant));
            assert_eq!(
                found.map(|(s, scope)| (s.id, scope)),
                Some((setting.id, scope))
            );
        }
    }
}

#[test]
fn texts_become_values_or_a_sentence() {
    for (name, text, value) in [
        ("use-hello", "on", Some(Value::Number(1))),
        ("use-hello", " Disabled ", Some(Value::Number(0))),
        ("use-hello", "TRUE", Some(Value::Number(1))),
        ("use-hello", "2", None),
        ("digits", "required", Some(Value::Number(1))),
        ("digits", "2", Some(Value::Number(2))),
        ("digits", "3", None),
        ("min-pin-length", "4", Some(Value::Number(4))),
        ("min-pin-length", "3", None),
        ("min-pin-length", "128", None),
        ("min-pin-length", "-6", None),
        ("pin-expiration", "730", Some(Value::Number(730))),
        ("pin-expiration", "731", None),
        ("unlock-group-a", "{x}", Some(Value::Text("{x}".to_owned()))),
    ] {
        let setting = by_id(name).unwrap();
        let parsed = setting.parse(text);
        if let Err(bad) = &parsed {
            assert!(
                bad.to_string().contains(name) && bad.to_string().ends_with('.'),
                "{bad}"
            );
        }
        assert_eq!(parsed.ok(), value, "{name} {text}");
    }
}

#[test]
fn what_is_described_can_be_read_back() {
    for setting in SETTINGS {
        let values = match setting.kind {
            Kind::Switch => vec![Value::Number(0), Value::Number(1)],
            Kind::Choice(choices) => choices.iter().map(|(n, _)| Value::Number(*n)).collect(),
            Kind::Number { min, max } => vec![Value::Number(min), Value::Number(max)],
            Kind::Text => vec![Value::Text("text".to_owned())],
        };
        for value in values {
            assert!(setting.accepts(&value));
            assert_eq!(
                setting.parse(&setting.describe(&value)),
                Ok(value),
                "{}",
                setting.id
            );
        }
    }
}

#[test]
fn catalog_ids_follow_from_the_nodes() {
    let use_hello = by_id("use-hello").unwrap();
    assert_eq!(
        use_hello.graph_id(Scope::User).unwrap(),
        "user_vendor_msft_passportforwork_{tenantid}_policies_usepassportforwork"
    );
    assert_eq!(
        use_hello.graph_options(Scope::Device)[0],
        (
            "device_vendor_msft_passportforwork_{tenantid}_policies_usepassportforwork_true".into(),
            1
        )
    );
    let digits = by_id("digits").unwrap();
    let options = digits.graph_options(Scope::Device);
    let required = "device_vendor_msft_passportforwork_{tenantid}_policies_pincomplexity_digits_1";
    assert_eq!(options[1], (required.into(), 1));
    assert!(
        by_id("pin-history")
            .unwrap()
            .graph_options(Scope::User)
            .is_empty()
    );
}
