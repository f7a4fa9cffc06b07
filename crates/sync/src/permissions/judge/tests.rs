use super::*;

const AGENT: &str = "S-1-5-21-1-2-3-1104";
const GROUP: &str = "S-1-5-21-1-2-3-1200";
const EVERYONE: &str = "S-1-5-11";

fn sid(text: &str) -> Sid {
    text.parse().unwrap()
}

fn property(name: &str, id: u8, set: Option<u8>) -> Property {
    Property {
        name: name.to_owned(),
        id: Guid::from_le_bytes([id; 16]),
        set: set.map(|set| Guid::from_le_bytes([set; 16])),
    }
}

pub(in super::super) fn judge() -> Judge {
    Judge {
        token: vec![sid(AGENT), sid(GROUP), sid(EVERYONE)],
        own: vec![sid(AGENT), sid(GROUP)],
        sid: sid(AGENT),
        keys: property("msDS-KeyCredentialLink", 1, None),
    }
}

pub(in super::super) fn with(aces: Vec<Ace>) -> Descriptor {
    Descriptor {
        control: 0x8004,
        owner: Some(sid("S-1-5-32-544")),
        group: None,
        dacl: Some(Acl { revision: 4, aces }),
        sacl: None,
    }
}

fn on(user: &Ace) -> Descriptor {
    with(vec![Ace {
        flags: INHERITED,
        ..user.clone()
    }])
}

#[test]
fn the_one_entry_is_enough_and_says_so_in_its_text() {
    let judge = judge();
    let wanted = judge.wanted();
    assert_eq!(
        wanted.to_sddl(),
        format!("(OA;CIIO;RPWP;{};{USER_CLASS};{AGENT})", judge.keys.id)
    );
    let unit = with(vec![wanted.clone()]);
    assert!(judge.hands_down_keys(&unit));
    // The unit itself is no user.
    assert!(!judge.may_write_keys(&unit));
    assert!(judge.may_write_keys(&on(&wanted)));
    assert_eq!(judge.excess(&unit, Place::Scope), []);
}

#[test]
fn a_right_by_a_group_counts_and_a_denial_in_front_takes_it() {
    let judge = judge();
    let by_group = Ace {
        sid: sid(GROUP),
        ..judge.wanted()
    };
    assert!(judge.hands_down_keys(&with(vec![by_group.clone()])));
    let denial = Ace {
        kind: 6,
        sid: sid(EVERYONE),
        ..judge.wanted()
    };
    assert!(!judge.hands_down_keys(&with(vec![denial, by_group])));
}

#[test]
fn what_does_not_reach_users_is_no_right() {
    let judge = judge();
    for ace in [
        Ace {
            flags: 0,
            ..judge.wanted()
        },
        Ace {
            inherited_type: Some(Guid::from_le_bytes([7; 16])),
            ..judge.wanted()
        },
        Ace {
            mask: READ_PROPERTY,
            ..judge.wanted()
        },
        Ace {
            mask: WRITE_PROPERTY,
            ..judge.wanted()
        },
        Ace {
            sid: sid("S-1-5-21-1-2-3-9"),
            ..judge.wanted()
        },
    ] {
        assert!(!judge.hands_down_keys(&with(vec![ace])));
    }
}

#[test]
fn an_attribute_is_read_by_itself_its_set_or_all() {
    let judge = judge();
    let name = property("displayName", 2, Some(3));
    for object in [Some([2; 16]), Some([3; 16]), None] {
        let ace = Ace {
            object_type: object.map(Guid::from_le_bytes),
            sid: sid(EVERYONE),
            ..judge.reading(Kind::User, Some(&name))
        };
        assert!(judge.may_read(&on(&ace), &name), "{object:?}");
    }
    assert!(!judge.may_read(&on(&judge.wanted()), &name));
}

#[test]
fn every_right_beyond_the_one_is_named() {
    let judge = judge();
    let wanted = judge.wanted();
    let cases = [
        (Place::Root, wanted.clone(), "every account"),
        (Place::AdminSdHolder, wanted.clone(), "protected accounts"),
        (Place::Outside, wanted.clone(), "outside the agent's scope"),
        (
            Place::Scope,
            Ace {
                inherited_type: None,
                ..wanted.clone()
            },
            "computers too",
        ),
        (
            Place::Scope,
            Ace {
                object_type: None,
                ..wanted.clone()
            },
            "write attributes",
        ),
        (
            Place::Scope,
            Ace {
                mask: 0x0004_0000,
                object_type: None,
                ..wanted.clone()
            },
            "WRITE_DAC",
        ),
        (
            Place::Scope,
            Ace {
                mask: 0x1000_0000,
                ..wanted.clone()
            },
            "WRITE_OWNER",
        ),
        (
            Place::Root,
            Ace {
                mask: CONTROL_ACCESS,
                object_type: EXTENDED[1].0.parse().ok(),
                ..wanted.clone()
            },
            "replicate all changes",
        ),
        (
            Place::Root,
            Ace {
                mask: CONTROL_ACCESS,
                object_type: None,
                sid: sid(GROUP),
                ..wanted.clone()
            },
            "every extended right",
        ),
    ];
    for (place, ace, said) in cases {
        let descriptor = with(vec![ace]);
        let found = judge.excess(&descriptor, place);
        assert_eq!(found.len(), 1, "{said}");
        assert!(found[0].1.contains(said), "{}", found[0].1);
    }
    let everyones = Ace {
        sid: sid(EVERYONE),
        ..wanted.clone()
    };
    let inherited = Ace {
        flags: INHERITED,
        ..wanted.clone()
    };
    let reading = Ace {
        mask: READ_PROPERTY,
        object_type: None,
        ..wanted
    };
    let fine = with(vec![everyones, inherited, reading]);
    assert_eq!(judge.excess(&fine, Place::Root), []);
}
