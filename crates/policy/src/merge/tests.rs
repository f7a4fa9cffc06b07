use super::*;
use crate::gpo::{Overridden, Removed};
use crate::pin::{Characters, PinRules};

const TENANT: &str = "8f1c1c6e-2a0e-4a2b-9d32-5a39ce6d5d11";

/// `setting=value` for each setting, in one object of one half.
fn half(gpo: &str, values: &[&str]) -> Registry {
    let values = values.iter().map(|text| {
        let (id, value) = text.split_once('=').unwrap();
        let setting = settings::by_id(id).unwrap();
        let place = setting.gpo.unwrap();
        // A number goes in as it is, also one that the setting does not take.
        let data = match (value.parse(), setting.parse(value)) {
            (Ok(number), _) | (_, Ok(Value::Number(number))) => Data::Dword(number),
            (_, Ok(Value::Text(text))) => Data::Text(text),
            (Err(_), Err(bad)) => panic!("{bad}"),
        };
        (place.key, place.value, data)
    });
    Registry::from_values(gpo, values)
}

fn server(policy: &str, scope: Scope, values: &[&str]) -> Vec<ServerValue> {
    let one = |text: &&str| {
        let (id, value) = text.split_once('=').unwrap();
        let uri = settings::by_id(id).unwrap().loc_uri(scope).unwrap();
        ServerValue {
            policy: policy.to_owned(),
            also: Vec::new(),
            loc_uri: uri.replace("{TenantId}", TENANT),
            value: value.to_owned(),
        }
    };
    values.iter().map(one).collect()
}

fn by_gpo(computer: &[&str], user: &[&str]) -> Effective {
    let (computer, user) = (half("Computers", computer), half("Users", user));
    merge(&Sources::gpo(&computer, Some(&user)))
}

fn winner(effective: &Effective, id: &str) -> Option<(Value, Layer)> {
    let (value, source) = effective.resolved(id)?.winner.clone()?;
    Some((value, source.layer))
}

#[test]
fn the_strongest_layer_that_sets_a_setting_wins_and_the_others_are_told_why() {
    let user = server("U", Scope::User, &["digits=forbidden"]);
    let device = server("D", Scope::Device, &["digits=required"]);
    let tenant = server("T", Scope::Device, &["digits=allowed"]);
    let computer = half("C", &["digits=1"]);
    let empty = Registry::default();
    let none = Vec::new();
    for (computer, user, device, tenant, layer) in [
        (&computer, &user, &device, &tenant, Some(Layer::ComputerGpo)),
        (&empty, &user, &device, &tenant, Some(Layer::UserPolicy)),
        (&empty, &none, &device, &tenant, Some(Layer::DevicePolicy)),
        (&empty, &none, &none, &tenant, Some(Layer::Tenant)),
        (&empty, &none, &none, &none, None),
    ] {
        let effective = merge(&Sources {
            computer_gpo: computer,
            user_gpo: Some(&empty),
            user_policy: user,
            device_policy: device,
            tenant,
            server_unknown: None,
        });
        let resolved = effective.resolved("digits").unwrap();
        assert_eq!(
            resolved.winner.as_ref().map(|(_, source)| source.layer),
            layer
        );
        for loser in &resolved.losers {
            assert!(Some(loser.source.layer) > layer, "{loser:?}");
            assert!(loser.why.ends_with("is stronger"), "{loser:?}");
        }
        let set_by = [user, device, tenant]
            .iter()
            .filter(|values| !values.is_empty())
            .count()
            + computer.values.len();
        assert_eq!(resolved.losers.len() + usize::from(layer.is_some()), set_by);
    }
}

#[test]
fn the_user_half_beats_the_computer_half_where_both_count() {
    for (computer, user, offered, allowed) in [
        (&[][..], &[][..], false, true),
        (&["use-hello=on"], &[], true, true),
        (&[], &["use-hello=on"], true, true),
        (&["use-hello=on"], &["use-hello=off"], false, false),
        (&["use-hello=off"], &["use-hello=on"], true, true),
        (&["use-hello=off"], &[], false, false),
    ] {
        let effective = by_gpo(computer, user);
        let provision = effective.provision();
        assert_eq!(
            (provision.is_offered(), provision.is_allowed()),
            (offered, allowed),
            "{computer:?} {user:?}: {provision:?}"
        );
        assert_eq!(effective.pin_sign_in_allowed(), allowed);
        assert_eq!(effective.policy_enabled(), offered);
        assert!(provision.why().ends_with('.'), "{provision:?}");
    }
}

#[test]
fn each_outcome_has_the_event_that_windows_has_for_it() {
    for (computer, event, allowed) in [
        (&["use-hello=on"][..], 358, true),
        (&[], 360, true),
        (&["use-hello=off"], 360, false),
        (
            &["use-hello=on", "no-provisioning-after-sign-in=on"],
            360,
            true,
        ),
        (
            &["use-hello=on", "no-provisioning-after-sign-in=off"],
            358,
            true,
        ),
        (&["use-hello=on", "certificate-trust=on"], 362, false),
        (&["use-hello=on", "certificate-trust=off"], 358, true),
        (&["use-hello=off", "certificate-trust=on"], 360, false),
        (&["use-hello=on", "cloud-trust=on"], 358, true),
    ] {
        let provision = by_gpo(computer, &[]).provision();
        assert_eq!(
            (provision.event(), provision.is_allowed()),
            (event, allowed),
            "{computer:?}"
        );
    }
}

#[test]
fn certificate_trust_and_cloud_trust_are_said_aloud() {
    for setting in ["certificate-trust", "cloud-trust"] {
        let effective = by_gpo(&["use-hello=on", &format!("{setting}=on")], &[]);
        let said = |note: &String| note.contains("\"Computers\"") && note.contains("key trust");
        assert!(
            effective.notes().iter().any(said),
            "{:?}",
            effective.notes()
        );
        assert_eq!(effective.resolved(setting).unwrap().notes.len(), 1);
    }
    assert!(
        by_gpo(&["certificate-trust=off", "cloud-trust=off"], &[])
            .notes()
            .is_empty()
    );
}

#[test]
fn group_policy_that_configures_hello_puts_the_server_out_as_a_whole() {
    let device = server(
        "Cloud",
        Scope::Device,
        &["use-hello=true", "min-pin-length=12"],
    );
    let user = server("Cloud", Scope::User, &["pin-history=9"]);
    let merged = |computer: &[&str], user_half: &[&str]| {
        merge(&Sources {
            computer_gpo: &half("G", computer),
            user_gpo: Some(&half("G", user_half)),
            user_policy: &user,
            device_policy: &device,
            tenant: &[],
            server_unknown: None,
        })
    };
    for (computer, user_half) in [
        (&["use-hello=on"][..], &[][..]),
        (&["use-hello=off"], &[]),
        (&[], &["use-hello=on"]),
        (&["enable-on-linux=on"], &[]),
    ] {
        let effective = merged(computer, user_half);
        assert_eq!(effective.governed_by().unwrap().name, "G");
        assert_eq!(effective.pin_rules(), PinRules::default());
        let min = effective.resolved("min-pin-length").unwrap();
        assert!(
            min.losers[0].why.contains("ignored, because \"G\""),
            "{:?}",
            min.losers
        );
        let said = |note: &String| note.starts_with("Policies of the server are ignored");
        assert_eq!(
            effective.notes().iter().filter(|note| said(note)).count(),
            1
        );
    }
    // Any other setting of group policy only beats its like.
    let effective = merged(&["min-pin-length=8"], &[]);
    assert_eq!(effective.governed_by(), None);
    assert_eq!(effective.pin_rules().min_length, 8);
    assert_eq!(effective.pin_rules().history, 9);
    assert!(effective.provision().is_offered());
    assert!(effective.notes().is_empty(), "{:?}", effective.notes());
}

#[test]
fn where_the_server_s_wish_is_not_known_only_group_policy_may_decide() {
    let merged = |computer: &[&str]| {
        merge(&Sources {
            server_unknown: Some("The file is torn."),
            ..Sources::gpo(&half("G", computer), None)
        })
    };
    for (computer, allowed) in [
        (&[][..], false),
        (&["min-pin-length=8"], false),
        (&["use-hello=off"], false),
        (&["use-hello=on"], true),
    ] {
        let effective = merged(computer);
        let provision = effective.provision();
        let is_unknown = matches!(provision, Provision::Unknown { .. });
        assert_eq!(provision.is_allowed(), allowed, "{computer:?}");
        assert_eq!(
            is_unknown,
            effective.governed_by().is_none(),
            "{computer:?}"
        );
        assert_eq!(provision.why().contains("The file is torn."), is_unknown);
        assert!(effective.notes()[0].ends_with("The file is torn."));
    }
    // Whoever has a PIN keeps it: nobody has turned it off.
    assert!(merged(&[]).pin_sign_in_allowed());
}

#[test]
fn a_server_value_that_is_none_is_said_and_left_out() {
    let mut device = server(
        "Cloud",
        Scope::Device,
        &["min-pin-length=3", "max-pin-length=12"],
    );
    device.extend(server("Mine", Scope::User, &["pin-history=4"]));
    device.push(ServerValue {
        policy: "Odd".to_owned(),
        also: Vec::new(),
        loc_uri: "./Device/Vendor/MSFT/BitLocker/X".to_owned(),
        value: "1".to_owned(),
    });
    let empty = Registry::default();
    let sources = Sources {
        device_policy: &device,
        ..Sources::gpo(&empty, None)
    };
    let effective = merge(&sources);
    let rules = effective.pin_rules();
    assert_eq!(
        (rules.min_length, rules.max_length, rules.history),
        (6, 12, 0)
    );
    let min = effective.resolved("min-pin-length").unwrap();
    assert!(min.losers[0].why.contains("4 to 127"), "{:?}", min.losers);
    let notes = effective.notes();
    assert_eq!(notes.len(), 2, "{notes:?}");
    assert!(
        notes
            .iter()
            .all(|note| note.ends_with("is no setting there.")),
        "{notes:?}"
    );
}

#[test]
fn two_server_policies_that_differ_cancel_each_other_out() {
    let empty = Registry::default();
    let resolve = |a: &str, b: &str| {
        let mut device = server("A", Scope::Device, &[a]);
        device.extend(server("B", Scope::Device, &[b]));
        let tenant = server("T", Scope::Device, &["pin-history=2"]);
        let sources = Sources {
            device_policy: &device,
            tenant: &tenant,
            ..Sources::gpo(&empty, None)
        };
        merge(&sources).resolved("pin-history").unwrap().clone()
    };
    let conflict = resolve("pin-history=5", "pin-history=6");
    assert_eq!(conflict.winner.unwrap().1.layer, Layer::Tenant);
    assert!(conflict.losers[0].why.contains("in conflict with \"B\""));
    assert!(conflict.losers[1].why.contains("in conflict with \"A\""));
    let agreed = resolve("pin-history=5", "pin-history=5");
    assert_eq!(agreed.winner.unwrap().1.name, "A");
}

#[test]
fn a_setting_of_the_computer_does_nothing_in_the_user_half_and_is_reported() {
    let effective = by_gpo(&[], &["use-hello=on", "require-security-device=on"]);
    assert!(!effective.requires_hardware());
    let why = &effective
        .resolved("require-security-device")
        .unwrap()
        .losers[0]
        .why;
    assert!(why.contains("does nothing in the user half"), "{why}");
    assert!(
        effective.notes()[0].contains("require-security-device"),
        "{:?}",
        effective.notes()
    );

    let effective = by_gpo(
        &["require-security-device=off"],
        &["require-security-device=on"],
    );
    let winner = winner(&effective, "require-security-device");
    assert_eq!(winner, Some((Value::Number(0), Layer::ComputerGpo)));
}

#[test]
fn values_beside_the_table_are_reported_where_they_look_like_ours() {
    let registry = Registry::from_values(
        "Typo",
        [
            (
                r"Software\Policies\Microsoft\PassportForWork",
                "Enable",
                Data::Dword(1),
            ),
            (r"Software\Policies\Latchkey", "OfflineDays", Data::Dword(1)),
            (r"Software\Policies\Somebody", "Enabled", Data::Dword(1)),
        ],
    );
    let effective = merge(&Sources::gpo(&registry, None));
    let notes = effective.notes();
    assert_eq!(notes.len(), 2, "{notes:?}");
    assert!(
        notes
            .iter()
            .all(|note| note.ends_with("no setting that Latchkey knows."))
    );
}

#[test]
fn within_a_half_every_weaker_object_is_kept_with_the_reason() {
    let origin = |name: &str| Origin {
        name: name.to_owned(),
        guid: None,
    };
    let mut registry = half("Strong", &["min-pin-length=8"]);
    registry.values[0].overridden = vec![
        Overridden {
            gpo: origin("Eraser"),
            data: None,
        },
        Overridden {
            gpo: origin("Weak"),
            data: Some(Data::Dword(10)),
        },
    ];
    let place = settings::by_id("use-hello").unwrap().gpo.unwrap();
    registry.removed.push(Removed {
        key: place.key.to_owned(),
        value: place.value.to_owned(),
        by: origin("Eraser"),
        overridden: vec![Overridden {
            gpo: origin("Weak"),
            data: Some(Data::Dword(1)),
        }],
    });
    let effective = merge(&Sources::gpo(&registry, None));
    let min = effective.resolved("min-pin-length").unwrap();
    assert_eq!(min.losers.len(), 1);
    assert_eq!(min.losers[0].value, "10");
    assert_eq!(min.losers[0].why, "a stronger object, \"Strong\", sets it");
    let hello = effective.resolved("use-hello").unwrap();
    assert_eq!(hello.winner, None);
    assert_eq!(hello.losers[0].value, "on");
    assert_eq!(
        hello.losers[0].why,
        "a stronger object, \"Eraser\", removes it"
    );
    assert_eq!(effective.governed_by(), None);
}

#[test]
fn data_that_the_setting_does_not_take_is_as_if_unset() {
    let place = settings::by_id("use-hello").unwrap().gpo.unwrap();
    for data in [
        Data::Dword(2),
        Data::Text("1".to_owned()),
        Data::Binary(vec![1]),
    ] {
        let computer = Registry::from_values("Odd", [(place.key, place.value, data)]);
        let effective = merge(&Sources::gpo(&computer, None));
        assert!(!effective.policy_enabled());
        assert_eq!(effective.governed_by(), None);
        let why = &effective.resolved("use-hello").unwrap().losers[0].why;
        assert_eq!(why, "ignored: it is not on or off.");
    }
}

#[test]
fn the_setting_for_linux_stands_in_place_of_the_shared_one() {
    for (computer, user, enabled) in [
        (&["enable-on-linux=on"][..], &["use-hello=off"][..], true),
        (&["enable-on-linux=off"], &["use-hello=on"], false),
        (&["enable-on-linux=off"], &["enable-on-linux=on"], true),
        (&["use-hello=on"], &["enable-on-linux=off"], false),
    ] {
        let effective = by_gpo(computer, user);
        assert_eq!(effective.policy_enabled(), enabled, "{computer:?} {user:?}");
        assert_eq!(effective.pin_sign_in_allowed(), enabled);
        let hello = effective.resolved("use-hello").unwrap();
        assert!(hello.notes[0].starts_with("enable-on-linux"));
    }
}

/// Lengths, then uppercase, lowercase, special, digits: r, f or a.
#[test]
fn pin_rules_follow_from_the_settings() {
    for (computer, lengths, classes, notes) in [
        (&[][..], (6, 127), "fffr", 0),
        (&["min-pin-length=4"], (4, 127), "fffr", 0),
        (
            &["min-pin-length=8", "max-pin-length=12"],
            (8, 12),
            "fffr",
            0,
        ),
        // Not below the maximum: both as if unset.
        (
            &["min-pin-length=12", "max-pin-length=8"],
            (6, 127),
            "fffr",
            1,
        ),
        (
            &["min-pin-length=8", "max-pin-length=8"],
            (6, 127),
            "fffr",
            1,
        ),
        (&["max-pin-length=5"], (6, 127), "fffr", 1),
        (&["min-pin-length=127"], (6, 127), "fffr", 1),
        // Out of range is as if unset.
        (&["min-pin-length=3"], (6, 127), "fffr", 0),
        (
            &["max-pin-length=128", "min-pin-length=8"],
            (8, 127),
            "fffr",
            0,
        ),
        // Nothing required means digits only.
        (&["uppercase-letters=0", "digits=0"], (6, 127), "fffr", 0),
        (&["lowercase-letters=2"], (6, 127), "fffr", 0),
        (&["digits=1"], (6, 127), "aaar", 0),
        (&["digits=1", "special-characters=2"], (6, 127), "aafr", 0),
        (&["uppercase-letters=1"], (6, 127), "raaa", 0),
        (&["digits=2"], (6, 127), "aaaf", 0),
        (&["digits=2", "lowercase-letters=1"], (6, 127), "araf", 0),
        (
            &[
                "digits=2",
                "lowercase-letters=2",
                "uppercase-letters=2",
                "special-characters=2",
            ],
            (6, 127),
            "fffr",
            1,
        ),
    ] {
        let effective = by_gpo(computer, &[]);
        let rules = effective.pin_rules();
        assert_eq!(
            (rules.min_length, rules.max_length),
            lengths,
            "{computer:?}"
        );
        let letter = |class| match class {
            Characters::Required => 'r',
            Characters::Forbidden => 'f',
            Characters::Allowed => 'a',
        };
        let found: String = [
            rules.uppercase,
            rules.lowercase,
            rules.special,
            rules.digits,
        ]
        .into_iter()
        .map(letter)
        .collect();
        assert_eq!(found, classes, "{computer:?}");
        assert_eq!(effective.notes().len(), notes, "{:?}", effective.notes());
    }
}

#[test]
fn what_nobody_sets_is_the_default() {
    let effective = by_gpo(&[], &[]);
    assert!(!effective.requires_hardware());
    assert!(effective.biometrics());
    assert!(!effective.pin_recovery());
    assert!(effective.requires_kdc_eku());
    assert!(!effective.pin_in_remote_sessions());
    assert!(effective.post_logon_enabled());
    assert_eq!(effective.attestation(), Attestation::Prefer);
    assert_eq!(effective.offline_days(), 30);
    assert_eq!(effective.pin_expiration_days(), None);
    assert_eq!(effective.pin_rules(), PinRules::default());
    assert!(effective.notes().is_empty());
    assert!(
        effective
            .settings()
            .iter()
            .all(|r| r.winner.is_none() && r.losers.is_empty())
    );
}

#[test]
fn what_somebody_sets_is_what_he_sets() {
    let effective = by_gpo(
        &[
            "require-security-device=on",
            "use-biometrics=off",
            "pin-recovery=on",
            "require-kdc-eku=off",
            "pin-in-remote-sessions=on",
            "attestation=require",
            "offline-days=0",
            "pin-expiration=90",
            "pin-history=5",
            "unlock-group-a={D6886603-9D2F-4EB2-B667-1971041FA96B}",
        ],
        &[],
    );
    assert!(effective.requires_hardware());
    assert!(!effective.biometrics());
    assert!(effective.pin_recovery());
    assert!(!effective.requires_kdc_eku());
    assert!(effective.pin_in_remote_sessions());
    assert_eq!(effective.attestation(), Attestation::Require);
    assert_eq!(effective.offline_days(), 0);
    assert_eq!(effective.pin_expiration_days(), Some(90));
    assert_eq!(effective.pin_rules().history, 5);
    let unlock = effective.resolved("unlock-group-a").unwrap();
    assert_eq!(
        unlock.notes,
        ["It has no counterpart on Linux and does nothing."]
    );
}

/// The merged registries of a live domain, and who turns it on there for whom.
#[test]
fn the_pairs_of_a_live_domain_come_out_as_expected() {
    let expected = include_str!("../../tests/fixtures/gpo/expected.json");
    let expected: serde_json::Value = serde_json::from_str(expected).unwrap();
    let registry = |merged: &serde_json::Value| {
        let mut registry = Registry::default();
        for value in merged.as_array().unwrap() {
            let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
            registry.values.push(crate::gpo::RegistryValue {
                key: text("key"),
                value: text("value"),
                data: match value["data"].as_u64() {
                    Some(number) => Data::Dword(u32::try_from(number).unwrap()),
                    None => Data::Text(text("data")),
                },
                winner: Origin {
                    name: text("winning_gpo"),
                    guid: None,
                },
                overridden: Vec::new(),
            });
        }
        registry
    };
    let pairs = expected["pairs"].as_array().unwrap();
    for pair in pairs {
        let computer = pair["computer"].as_str().unwrap();
        let computer = registry(&expected["computers"][computer]["merged"]);
        let user = registry(&pair["user_merged"]);
        let effective = merge(&Sources::gpo(&computer, Some(&user)));
        let winner = effective.resolved("use-hello").unwrap().winner.as_ref();
        assert_eq!(
            winner.map(|(value, _)| *value == Value::Number(1)),
            pair["use_whfb"].as_bool()
        );
        let source = winner.map(|(_, source)| match source.layer {
            Layer::UserGpo => format!("user: {}", source.name),
            _ => format!("computer: {}", source.name),
        });
        assert_eq!(
            source.as_deref(),
            pair["use_whfb_source"].as_str(),
            "{pair}"
        );
        assert_eq!(
            effective.pin_sign_in_allowed(),
            pair["use_whfb"].as_bool() != Some(false)
        );
    }
    assert_eq!(pairs.len(), 16);
}

#[test]
fn a_server_is_told_what_became_of_each_of_its_values() {
    let mut device = server(
        "A",
        Scope::Device,
        &[
            "use-hello=on",
            "min-pin-length=8",
            "pin-history=ninety",
            "phone-sign-in=on",
        ],
    );
    device.extend(server("B", Scope::Device, &["min-pin-length=9"]));
    device.push(ServerValue {
        policy: "A".to_owned(),
        also: Vec::new(),
        loc_uri: "./Device/Vendor/Nobody".to_owned(),
        value: "1".to_owned(),
    });
    let told = |computer: &Registry| {
        let sources = Sources {
            device_policy: &device,
            ..Sources::gpo(computer, None)
        };
        merge(&sources).outcomes(Layer::DevicePolicy, &device)
    };
    let alone = told(&Registry::default());
    let states: Vec<_> = alone.iter().map(|outcome| outcome.state).collect();
    use super::State::{Applied, Conflict, Error, NotApplicable, Overridden};
    let expected = [Applied, Conflict, Error, NotApplicable, Conflict, Error];
    assert_eq!(states, expected);
    let governed = told(&half("Everybody", &["use-hello=on"]));
    assert_eq!(governed[0].state, Overridden);
    let by = governed[0].by.as_deref();
    assert_eq!(by, Some("\"Everybody\" (group policy, computer half)"));
}

#[test]
fn a_value_of_two_policies_is_told_under_both_names() {
    let mut device = server("One", Scope::Device, &["min-pin-length=8"]);
    device[0].also = vec!["Two".to_owned()];
    let empty = Registry::default();
    let sources = Sources {
        device_policy: &device,
        ..Sources::gpo(&empty, None)
    };
    let effective = merge(&sources);
    let (value, source) = effective
        .resolved("min-pin-length")
        .and_then(|resolved| resolved.winner.clone())
        .unwrap();
    let both = "\"One\" and \"Two\" (server policy for the device)";
    assert_eq!(
        (value, source.to_string()),
        (Value::Number(8), both.to_owned())
    );
    let told = effective.outcomes(Layer::DevicePolicy, &device);
    assert_eq!(told[0].state, State::Applied);
}
