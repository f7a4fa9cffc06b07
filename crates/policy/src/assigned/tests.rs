use std::collections::BTreeSet;

use model::Guid;
use serde_json::{Value as Json, json};

use super::*;
use crate::settings::{SETTINGS, Scope, Value, by_id};

fn given(id: &str, scope: Scope, value: u32) -> Given {
    Given::new(by_id(id).unwrap(), scope, Value::Number(value)).unwrap()
}

/// The example of the original's documentation that the specification quotes.
fn pilot() -> Json {
    let id = |rest: &str| format!("device_vendor_msft_passportforwork_{{tenantid}}{rest}");
    let choice = |rest: &str, option: &str| {
        json!({
            "@odata.type": "#microsoft.graph.deviceManagementConfigurationChoiceSettingInstance",
            "settingDefinitionId": id(rest),
            "choiceSettingValue": { "value": id(&format!("{rest}_{option}")), "children": [] },
        })
    };
    json!([{ "settingInstance": {
        "@odata.type":
            "#microsoft.graph.deviceManagementConfigurationGroupSettingCollectionInstance",
        "settingDefinitionId": id(""),
        "groupSettingCollectionValue": [{ "children": [
            choice("_policies_usepassportforwork", "true"),
            choice("_policies_requiresecuritydevice", "true"),
            {
                "@odata.type": "#microsoft.graph.deviceManagementConfigurationSimpleSettingInstance",
                "settingDefinitionId": id("_policies_pincomplexity_minimumpinlength"),
                "simpleSettingValue": {
                    "@odata.type":
                        "#microsoft.graph.deviceManagementConfigurationIntegerSettingValue",
                    "value": 6,
                },
            },
        ]}],
    }}])
}

fn child(body: &mut Json, at: usize) -> &mut Json {
    body.pointer_mut(&format!(
        "/0/settingInstance/groupSettingCollectionValue/0/children/{at}"
    ))
    .unwrap()
}

#[test]
fn the_example_of_the_documentation_is_read() {
    let read = graph::read(&pilot(), Some(graph::ACCOUNT_PROTECTION)).unwrap();
    let expected = [
        given("use-hello", Scope::Device, 1),
        given("require-security-device", Scope::Device, 1),
        given("min-pin-length", Scope::Device, 6),
    ];
    assert_eq!(read, expected);
}

#[test]
fn whatever_is_written_is_read_again_for_every_setting_and_value() {
    let mut tried = 0;
    for setting in SETTINGS {
        for scope in [Scope::Device, Scope::User] {
            let values = (0..=130).map(Value::Number);
            let text = Value::Text("<rule schemaVersion=\"1.0\"/>".to_owned());
            for value in values.chain([text]) {
                let Ok(given) = Given::new(setting, scope, value) else {
                    continue;
                };
                let written = Json::from(graph::write(std::slice::from_ref(&given), None));
                assert_eq!(graph::read(&written, None), Ok(vec![given.clone()]));
                let kept = serde_json::to_string(&given).unwrap();
                assert_eq!(serde_json::from_str::<Given>(&kept).unwrap(), given);
                let said = given.setting.parse(&given.text());
                assert_eq!(said, Ok(given.value));
                tried += 1;
            }
        }
    }
    assert!(tried > 800, "{tried}");
}

#[test]
fn each_definition_is_there_once_and_leads_to_its_setting() {
    let all = graph::definitions();
    let ids: Vec<_> = all.iter().map(|one| one["id"].as_str().unwrap()).collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
    let categories = graph::categories();
    for definition in &all {
        let id = definition["id"].as_str().unwrap();
        assert_eq!(graph::definition(id).as_ref(), Some(definition));
        let category = &definition["categoryId"];
        assert!(
            categories.iter().any(|known| known["id"] == *category),
            "{id}"
        );
    }
    let digits = "user_vendor_msft_passportforwork_{tenantid}_policies_pincomplexity_digits";
    let digits = graph::definition(digits).unwrap();
    assert_eq!(digits["displayName"], "Digits (User)");
    assert_eq!(digits["options"].as_array().unwrap().len(), 3);
    assert_eq!(graph::definition("device_vendor_msft_nothing"), None);
}

/// Every value below a name, however deep.
fn below<'a>(json: &'a Json, name: &str, found: &mut Vec<&'a Json>) {
    match json {
        Json::Object(fields) => {
            found.extend(fields.get(name).filter(|value| value.is_string()));
            fields.values().for_each(|inner| below(inner, name, found));
        }
        Json::Array(values) => values.iter().for_each(|inner| below(inner, name, found)),
        _ => {}
    }
}

#[test]
fn the_template_has_every_choice_of_the_profile_and_its_policies_name_its_ids() {
    let templates = Json::from(graph::setting_templates());
    let all = |name| {
        let mut found = Vec::new();
        below(&templates, name, &mut found);
        found
    };
    let settings: usize = [Scope::Device, Scope::User]
        .iter()
        .map(|scope| profile::choices(*scope).len())
        .sum();
    let definitions = all("settingDefinitionId");
    // The two collections beside.
    assert_eq!(definitions.len(), settings + 2);
    for id in &definitions {
        assert!(graph::definition(id.as_str().unwrap()).is_some(), "{id}");
    }
    for name in ["settingInstanceTemplateId", "settingValueTemplateId"] {
        let ids: BTreeSet<_> = all(name).iter().map(ToString::to_string).collect();
        assert_eq!(ids.len(), definitions.len(), "{name}");
        let values = graph::read(&pilot(), Some(graph::ACCOUNT_PROTECTION)).unwrap();
        let written = Json::from(graph::write(&values, Some(graph::ACCOUNT_PROTECTION)));
        let mut named = Vec::new();
        below(&written, name, &mut named);
        assert_eq!(named.len(), values.len() + 1, "{name}");
        assert!(named.iter().all(|id| ids.contains(&id.to_string())));
        assert_eq!(
            graph::read(&written, Some(graph::ACCOUNT_PROTECTION)),
            Ok(values)
        );
    }
}

#[test]
fn a_body_that_is_not_as_it_should_be_is_refused_with_the_place() {
    let refused = |change: &dyn Fn(&mut Json)| {
        let mut body = pilot();
        change(&mut body);
        graph::read(&body, None).unwrap_err().to_string()
    };
    type Change<'a> = &'a dyn Fn(&mut Json);
    let cases: [(Change<'_>, &str); 10] = [
        (&|b| *b = json!({}), "settings: a list is wanted."),
        (
            &|b| child(b, 0)["settingDefinitionId"] = json!("device_vendor_x"),
            "children[0]: there is no setting \"device_vendor_x\".",
        ),
        (
            &|b| child(b, 2)["simpleSettingValue"]["value"] = json!(3),
            "minimumpinlength may be 4 to 127, and not 3.",
        ),
        (
            &|b| child(b, 2)["simpleSettingValue"]["value"] = json!("6"),
            "and not \"6\".",
        ),
        (
            &|b| child(b, 0)["@odata.type"] = json!("#microsoft.graph.group"),
            "@odata.type is",
        ),
        (
            &|b| child(b, 0)["choiceSettingValue"]["value"] = json!("maybe"),
            "has no option \"maybe\".",
        ),
        (
            &|b| child(b, 0)["choiceSettingValue"]["children"] = json!([1]),
            "has no children.",
        ),
        (
            &|b| {
                let twice = child(b, 0).clone();
                *child(b, 1) = twice;
            },
            "is there twice.",
        ),
        (
            &|b| {
                let many = vec![json!({}); 10_000];
                b[0]["settingInstance"]["groupSettingCollectionValue"][0]["children"] = many.into();
            },
            "at most 500 are allowed, and there are 10000.",
        ),
        (
            &|b| {
                let alone = child(b, 0).clone();
                b[0]["settingInstance"] = alone;
            },
            "belongs below device_vendor_msft_passportforwork_{tenantid}.",
        ),
    ];
    for (change, expected) in cases {
        let sentence = refused(change);
        assert!(sentence.contains(expected), "{sentence}");
    }
}

#[test]
fn a_template_takes_its_own_settings_only() {
    let digits = graph::write(&[given("digits", Scope::User, 1)], None);
    let refused = graph::read(&Json::from(digits), Some(graph::ACCOUNT_PROTECTION));
    assert!(
        refused
            .unwrap_err()
            .to_string()
            .contains("pincomplexity_digits is not a setting")
    );
}

#[test]
fn a_minimum_that_is_not_below_the_maximum_is_refused_in_either_tree() {
    for scope in [Scope::Device, Scope::User] {
        let lengths = [
            given("min-pin-length", scope, 8),
            given("max-pin-length", scope, 8),
        ];
        let sentence = check(&lengths).unwrap_err().to_string();
        assert!(
            sentence.starts_with("The minimum PIN length, 8,"),
            "{sentence}"
        );
    }
    let apart = [
        given("min-pin-length", Scope::User, 8),
        given("max-pin-length", Scope::Device, 6),
    ];
    assert_eq!(check(&apart), Ok(()));
}

#[test]
fn the_profile_of_the_documentation_is_filled_in_as_its_page_says() {
    let filled = profile::fill(
        Scope::Device,
        [
            (profile::BLOCK, "Disabled"),
            ("Enable to use a Trusted Platform Module (TPM)", "Yes"),
            (
                "Enable to certificate for on-premises resources",
                "Not configured",
            ),
            ("Lowercase letters in PIN", "Required"),
        ],
    );
    let expected = [
        given("use-hello", Scope::Device, 1),
        given("require-security-device", Scope::Device, 1),
        given("lowercase-letters", Scope::Device, 1),
    ];
    assert_eq!(filled.unwrap(), expected);
    let blocked = profile::fill(Scope::User, [(profile::BLOCK, "Enabled")]);
    assert_eq!(blocked.unwrap(), [given("use-hello", Scope::User, 0)]);
}

#[test]
fn the_profile_reveals_the_rest_only_where_it_does_not_block() {
    let refused = |chosen: &[(&str, &str)]| {
        let refused = profile::fill(Scope::User, chosen.iter().copied());
        refused.unwrap_err().to_string()
    };
    let hidden = refused(&[(profile::BLOCK, "Enabled"), ("Minimum PIN length", "8")]);
    assert!(hidden.contains("only where \"Block Windows Hello for Business\" is Disabled"));
    let elsewhere = refused(&[("Digits", "Required")]);
    assert!(elsewhere.contains("settings catalog"), "{elsewhere}");
    let device_only = refused(&[("Enable enhanced anti-spoofing", "Yes")]);
    assert!(
        device_only.contains("is not in this profile"),
        "{device_only}"
    );
    let odd = refused(&[(profile::BLOCK, "Yes")]);
    assert!(odd.contains("Disabled, Enabled or Not configured"), "{odd}");
}

#[test]
fn the_profile_has_thirteen_choices_for_devices_and_ten_for_users() {
    let labels = |scope| profile::choices(scope).len();
    assert_eq!((labels(Scope::Device), labels(Scope::User)), (13, 10));
}

fn guid(n: u8) -> Guid {
    Guid::from_le_bytes([n; 16])
}

#[test]
fn a_policy_reaches_members_by_person_or_by_device_and_nobody_who_is_left_out() {
    let groups = |ids: &[u8]| ids.iter().map(|id| guid(*id)).collect::<BTreeSet<_>>();
    let (laptops, pilots, both, none) = (groups(&[1]), groups(&[2]), groups(&[1, 3]), groups(&[]));
    let by = |assigned: &[Target], device, user: Option<&BTreeSet<Guid>>| {
        reach(assigned, Subject { device, user })
    };
    let (one, two) = (Target::Group(guid(1)), Target::Group(guid(2)));
    assert_eq!(by(&[one], &laptops, None), Reach::Device);
    assert_eq!(by(&[one], &laptops, Some(&pilots)), Reach::Device);
    assert_eq!(by(&[two], &laptops, Some(&pilots)), Reach::User);
    assert_eq!(by(&[two], &laptops, None), Reach::Not);
    assert_eq!(by(&[Target::AllUsers], &laptops, None), Reach::Not);
    assert_eq!(
        by(&[Target::AllUsers], &laptops, Some(&pilots)),
        Reach::User
    );
    assert_eq!(by(&[Target::AllDevices], &none, None), Reach::Device);
    let but = [Target::AllDevices, Target::NotGroup(guid(3))];
    assert_eq!(by(&but, &both, None), Reach::Not);
    assert_eq!(by(&but, &laptops, None), Reach::Device);
    assert_eq!(by(&[], &laptops, Some(&pilots)), Reach::Not);
    let without_pilots = [Target::AllDevices, Target::NotGroup(guid(2))];
    assert_eq!(by(&without_pilots, &laptops, Some(&pilots)), Reach::Not);
}

fn values(combined: &Combined<'_, &str>) -> Vec<(&'static str, Value)> {
    let value = |one: &Delivered<'_, &str>| (one.given.setting.id, one.given.value.clone());
    combined.values.iter().map(value).collect()
}

#[test]
fn of_two_policies_the_stricter_value_counts_whichever_came_first() {
    let cases = [
        ("min-pin-length", 6, 8, 8),
        ("max-pin-length", 20, 30, 20),
        ("pin-expiration", 0, 41, 41),
        ("pin-expiration", 90, 41, 41),
        ("lowercase-letters", 0, 1, 1),
        ("special-characters", 0, 2, 2),
        ("require-security-device", 0, 1, 1),
    ];
    for (id, a, b, expected) in cases {
        for (a, b) in [(a, b), (b, a)] {
            let (one, two) = ([given(id, Scope::Device, a)], [given(id, Scope::Device, b)]);
            let policies = [(&"one", one.as_slice()), (&"two", two.as_slice())];
            let combined = combine(policies, Scope::Device);
            assert_eq!(
                values(&combined),
                [(id, Value::Number(expected))],
                "{a} {b}"
            );
            assert!(combined.conflicts.is_empty());
            let winner = if a == expected { "one" } else { "two" };
            assert_eq!(combined.values[0].by, [&winner]);
            assert_eq!(combined.values[0].instead_of.len(), 1);
        }
    }
}

#[test]
fn policies_that_contradict_each_other_set_nothing_and_are_both_named() {
    for (id, a, b, held) in [
        ("digits", 1, 2, Held::Unset),
        ("use-hello", 0, 1, Held::Kept),
        ("pin-recovery", 1, 0, Held::Kept),
    ] {
        let (one, two) = ([given(id, Scope::User, a)], [given(id, Scope::User, b)]);
        let same = [given(id, Scope::User, a)];
        let policies = [
            (&"one", one.as_slice()),
            (&"two", two.as_slice()),
            (&"three", same.as_slice()),
        ];
        let combined = combine(policies, Scope::User);
        assert!(combined.values.is_empty(), "{id}");
        assert_eq!(combined.conflicts[0].held, held, "{id}");
        assert_eq!(combined.conflicts[0].policies, [&"one", &"two", &"three"]);
        assert_eq!(combine(policies, Scope::Device).conflicts, []);
    }
}

#[test]
fn the_tenant_wide_configuration_starts_as_the_page_shows_it() {
    let properties = Enrollment::default().properties();
    let expected = json!({
        "state": "notConfigured",
        "securityDeviceRequired": true,
        "unlockWithBiometricsEnabled": true,
        "pinMinimumLength": 6,
        "pinMaximumLength": 127,
        "pinUppercaseCharactersUsage": "disallowed",
        "pinLowercaseCharactersUsage": "disallowed",
        "pinSpecialCharactersUsage": "disallowed",
        "pinPreviousBlockCount": 5,
        "pinExpirationInDays": 41,
        "enhancedBiometricsState": "notConfigured",
        "enhancedSignInSecurity": 0,
        "remotePassportEnabled": false,
        "securityKeyForSignIn": "notConfigured",
    });
    assert_eq!(Json::from(properties), expected);
}

#[test]
fn the_tenant_wide_configuration_gives_everything_one_thing_or_nothing() {
    let start = Enrollment::default();
    assert_eq!(start.values(), []);
    let patch = |body: Json| start.patched(body.as_object().unwrap());
    let disabled = patch(json!({ "state": "disabled" })).unwrap();
    assert_eq!(disabled.values(), [given("use-hello", Scope::Device, 0)]);
    let enabled = patch(json!({ "state": "enabled", "pinMinimumLength": 8 })).unwrap();
    let values = enabled.values();
    assert!(values.contains(&given("use-hello", Scope::Device, 1)));
    assert!(values.contains(&given("min-pin-length", Scope::Device, 8)));
    assert!(values.contains(&given("pin-expiration", Scope::Device, 41)));
    let again = start.patched(&enabled.properties()).unwrap();
    assert_eq!(again.properties(), enabled.properties());
    for (body, part) in [
        (json!({ "state": "on" }), "state may be"),
        (json!({ "pinMinimumLength": 3 }), "4 to 127"),
        (json!({ "pinMinimumLength": 127 }), "must be below"),
        (
            json!({ "pinUppercaseCharactersUsage": "forbidden" }),
            "disallowed",
        ),
        (json!({ "securityDeviceRequired": 1 }), "true or false"),
    ] {
        let sentence = patch(body).unwrap_err().to_string();
        assert!(sentence.contains(part), "{sentence}");
    }
}
