//! Every descriptor of the exported domain, read, written and asked.

use model::Sid;
use policy::gpo::descriptor::{
    APPLY_GROUP_POLICY, Ace, Acl, CONTROL_ACCESS, Descriptor, READ_PROPERTY, Refused, allows, parse,
};
use serde_json::{Value, json};

use crate::fixtures::{json, text};

const DOMAIN: &str = "S-1-5-21-3095393701-74305044-1977659500";

fn sid(text: &str) -> Sid {
    text.parse().unwrap()
}

fn base64(text: &str) -> Vec<u8> {
    use base64::{Engine, engine::general_purpose::STANDARD};
    STANDARD.decode(text).unwrap()
}

/// Each descriptor of `sd/`, with what is known about it.
pub(crate) fn all() -> Vec<(Value, Vec<u8>)> {
    let list = json("sd/security-descriptors.json");
    let list = list.as_array().unwrap().iter();
    list.map(|known| (known.clone(), base64(known["raw_base64"].as_str().unwrap())))
        .collect()
}

/// The descriptor of the GPO with this display name.
fn named(name: &str) -> Descriptor {
    let (_, bytes) = all()
        .into_iter()
        .find(|(known, _)| known["displayName"] == name)
        .unwrap();
    parse(&bytes).unwrap()
}

#[test]
fn descriptors_are_read_entry_by_entry_and_written_to_the_same_bytes_and_text() {
    let all = all();
    assert_eq!(all.len(), 28);
    for (known, bytes) in all {
        let name = &known["displayName"];
        let descriptor = parse(&bytes).unwrap();
        let aces = descriptor.dacl.iter().flat_map(|dacl| &dacl.aces);
        let aces: Vec<Value> = aces
            .map(|ace| {
                json!({
                    "type": ace.kind, "flags": ace.flags, "mask": ace.mask,
                    "sid": ace.sid, "object_type": ace.object_type,
                })
            })
            .collect();
        assert_eq!(Value::from(aces), known["aces"], "{name}");
        assert_eq!(descriptor.to_bytes(), bytes, "{name}");
        assert_eq!(
            descriptor.to_sddl(Some(&sid(DOMAIN))),
            known["sddl"],
            "{name}"
        );
        assert_eq!(descriptor.to_sddl(None), known["sddl_sids"], "{name}");
    }
}

/// A stage's text without its audit part, which the directory shows to few.
fn stage(name: &str) -> String {
    let text = text(&format!("stages/ENABLE.{name}.sddl"));
    let line = text.lines().find(|line| line.starts_with("O:")).unwrap();
    line.split("S:AI").next().unwrap().trim().to_owned()
}

#[test]
fn a_security_filter_is_made_as_the_administrator_of_the_fixtures_did() {
    let domain = sid(DOMAIN);
    let group = sid(&format!("{DOMAIN}-1112"));
    let everyone_signed_in = sid("S-1-5-11");
    // A GPO that nobody changed has the descriptor of stage 00.
    let mut descriptor = named("Empty GPO");
    let check = |descriptor: &Descriptor, number: &str| {
        assert_eq!(
            descriptor.to_sddl(Some(&domain)),
            stage(&format!("{number}.ds"))
        );
    };
    check(&descriptor, "00-created");
    assert!(descriptor.allow_apply(&group));
    check(&descriptor, "02-group-added");
    assert!(!descriptor.allow_apply(&group), "both entries are there");
    assert!(descriptor.disallow_apply(&everyone_signed_in));
    check(&descriptor, "03-au-apply-removed");
    assert!(!descriptor.disallow_apply(&everyone_signed_in));
    assert_eq!(descriptor, {
        let mut known = named("Enable Windows Hello for Business");
        known.control = descriptor.control;
        known
    });
    assert_eq!(
        descriptor.for_sysvol().to_sddl(Some(&domain)),
        stage("04-sysvolreset.sysvol")
    );
    assert!(descriptor.remove_trustee(&group));
    assert!(!descriptor.remove_trustee(&group));
    let reread = parse(&descriptor.to_bytes()).unwrap();
    assert_eq!(reread, descriptor);
}

#[test]
fn a_new_gpos_folder_gets_the_descriptor_that_samba_gives_it() {
    let sysvol = named("Empty GPO").for_sysvol();
    assert_eq!(
        sysvol.to_sddl(Some(&sid(DOMAIN))),
        stage("00-created.sysvol")
    );
    assert_eq!(parse(&sysvol.to_bytes()), Ok(sysvol));
}

#[test]
fn what_only_old_clients_and_single_properties_may_is_not_carried_to_files() {
    let mut descriptor = named("Empty GPO");
    let dacl = descriptor.dacl.as_mut().unwrap();
    let before = dacl.aces.len();
    let denied = ace(1, 0x20, "S-1-1-0");
    dacl.aces.insert(0, denied);
    dacl.aces.push(ace(0, 0x14, "S-1-5-32-554"));
    let text = descriptor.for_sysvol().to_sddl(None);
    assert!(text.contains("D:P(D;OICI;0x100116;;;WD)"), "{text}");
    assert!(!text.contains("RU"), "{text}");
    // All but the right to apply and the old clients' entry, and the denial.
    assert_eq!(text.matches('(').count(), before);
}

fn ace(kind: u8, mask: u32, of: &str) -> Ace {
    Ace {
        kind,
        flags: 0,
        mask,
        object_type: None,
        inherited_type: None,
        sid: sid(of),
        rest: Vec::new(),
    }
}

fn of(aces: Vec<Ace>) -> Descriptor {
    Descriptor {
        control: 0x8004,
        owner: None,
        group: None,
        dacl: Some(Acl { revision: 4, aces }),
        sacl: None,
    }
}

#[test]
fn the_right_to_apply_is_checked_entry_by_entry() {
    let apply = APPLY_GROUP_POLICY.parse().ok();
    let other = "00000000-0000-0000-0000-000000000001".parse().ok();
    let me = "S-1-5-21-1-2-3-1000";
    let group = "S-1-5-21-1-2-3-2000";
    let about = |kind, right, of| Ace {
        object_type: right,
        ..ace(kind, CONTROL_ACCESS, of)
    };
    let inherited = |mut ace: Ace| {
        ace.flags = 8;
        ace
    };
    let plain = |kind, of| ace(kind, CONTROL_ACCESS, of);
    let denied = |by| Err(Refused { denied_by: by });
    let generic = ace(0, 0x1000_0000, me);
    for (name, aces, expected) in [
        ("nobody is allowed", vec![], denied(None)),
        ("by the right", vec![about(5, apply, group)], Ok(())),
        (
            "by another right",
            vec![about(5, other, group)],
            denied(None),
        ),
        ("by all rights", vec![about(5, None, group)], Ok(())),
        ("by a plain entry", vec![plain(0, me)], Ok(())),
        ("by a generic one", vec![generic], Ok(())),
        ("of somebody else", vec![plain(0, "S-1-5-18")], denied(None)),
        (
            "only inherited",
            vec![inherited(plain(0, me))],
            denied(None),
        ),
        (
            "reading is not applying",
            vec![ace(0, READ_PROPERTY, me)],
            denied(None),
        ),
        (
            "denied first",
            vec![about(6, apply, group), plain(0, me)],
            denied(Some(sid(group))),
        ),
        ("denied too late", vec![plain(0, me), plain(1, me)], Ok(())),
        (
            "another right denied",
            vec![about(6, other, me), plain(0, me)],
            Ok(()),
        ),
        ("audited", vec![plain(2, me)], denied(None)),
        ("allowed on a condition", vec![plain(9, me)], denied(None)),
        (
            "denied on a condition",
            vec![plain(10, me), plain(0, me)],
            denied(Some(sid(me))),
        ),
    ] {
        let token = [sid(me), sid(group), sid("S-1-1-0")];
        let descriptor = of(aces);
        assert_eq!(
            allows(&descriptor, &token, CONTROL_ACCESS, apply),
            expected,
            "{name}"
        );
        let reread = parse(&descriptor.to_bytes()).unwrap();
        assert_eq!(
            allows(&reread, &token, CONTROL_ACCESS, apply),
            expected,
            "{name}"
        );
    }
    let nobodys = Descriptor {
        dacl: None,
        ..of(vec![])
    };
    assert_eq!(
        allows(&nobodys, &[], CONTROL_ACCESS, apply),
        Ok(()),
        "no list at all"
    );
}

#[test]
fn rights_may_come_from_several_entries() {
    let me = "S-1-5-21-1-2-3-1000";
    let both = CONTROL_ACCESS | READ_PROPERTY;
    let descriptor = of(vec![
        ace(0, CONTROL_ACCESS, me),
        ace(0, READ_PROPERTY, "S-1-1-0"),
    ]);
    assert_eq!(
        allows(&descriptor, &[sid(me), sid("S-1-1-0")], both, None),
        Ok(())
    );
    let refused = Refused { denied_by: None };
    assert_eq!(allows(&descriptor, &[sid(me)], both, None), Err(refused));
}
