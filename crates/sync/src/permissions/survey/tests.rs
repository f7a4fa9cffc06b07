use model::Guid;

use super::*;
use crate::permissions::judge::tests::{judge, with};

const DOMAIN: &str = "DC=corp,DC=test";
const STAFF: &str = "OU=Staff,DC=corp,DC=test";

fn object(dn: &str, kind: Option<Kind>, aces: Vec<Ace>) -> Guarded {
    Guarded {
        dn: dn.to_owned(),
        kind,
        descriptor: Some(with(aces).to_bytes()),
        is_protected: false,
    }
}

/// What is said of these, and of a unit that hands the right down.
fn surveyed(objects: &[Guarded]) -> Report {
    let judge = judge();
    let unit = object(STAFF, None, vec![judge.wanted()]);
    let property = |id| Property {
        name: "uSNChanged".to_owned(),
        id: Guid::from_le_bytes([id; 16]),
        set: None,
    };
    let mut survey = Survey::new(DOMAIN, judge, Report::default());
    survey.of_users(&unit, vec![]).unwrap();
    for kind in [Kind::Computer, Kind::Group] {
        survey.of_all(kind, vec![property(9)]).unwrap();
    }
    survey.see(&unit).unwrap();
    for object in objects {
        survey.see(object).unwrap();
    }
    survey.end()
}

#[test]
fn full_control_is_named_on_whatever_object_it_is_given() {
    let everything = || Ace {
        flags: 0,
        mask: 0x000f_01ff,
        object_type: None,
        inherited_type: None,
        ..judge().wanted()
    };
    let objects = [
        (
            "CN=Domain Admins,CN=Users,DC=corp,DC=test",
            Some(Kind::Group),
        ),
        (
            "CN=Administrator,CN=Users,DC=corp,DC=test",
            Some(Kind::User),
        ),
        (
            "CN=DC,OU=Domain Controllers,DC=corp,DC=test",
            Some(Kind::Computer),
        ),
        ("CN=alice,OU=Staff,DC=corp,DC=test", Some(Kind::User)),
        ("CN=Printers,OU=Staff,DC=corp,DC=test", Some(Kind::Group)),
        ("CN=corp.other,CN=System,DC=corp,DC=test", None),
    ];
    let objects = objects.map(|(dn, kind)| object(dn, kind, vec![everything()]));
    let report = surveyed(&objects);
    let named: Vec<&str> = report.excessive.iter().map(|found| &*found.dn).collect();
    let all: Vec<&str> = objects.iter().map(|object| &*object.dn).collect();
    assert_eq!(named, all);
}

#[test]
fn the_one_right_is_too_much_on_whatever_is_no_user_of_the_scope() {
    let one = || vec![judge().wanted_of_one()];
    let report = surveyed(&[
        object("CN=alice,OU=Staff,DC=corp,DC=test", Some(Kind::User), one()),
        object(
            "CN=ws,OU=Staff,DC=corp,DC=test",
            Some(Kind::Computer),
            one(),
        ),
        object("CN=dave,OU=Others,DC=corp,DC=test", Some(Kind::User), one()),
    ]);
    let named: Vec<&str> = report.excessive.iter().map(|found| &*found.dn).collect();
    assert_eq!(
        named,
        [
            "CN=ws,OU=Staff,DC=corp,DC=test",
            "CN=dave,OU=Others,DC=corp,DC=test"
        ]
    );
    assert_eq!(report.scopes[0].users, 1);
}

#[test]
fn what_cannot_be_read_of_groups_is_given_by_an_entry_that_reaches_groups() {
    let group = object("CN=a,DC=corp,DC=test", Some(Kind::Group), vec![]);
    let hidden = Guarded {
        descriptor: None,
        ..group.clone()
    };
    let report = surveyed(&[group, hidden]);
    assert!(!report.is_complete());
    assert_eq!(report.unread, 1);
    let class = "bf967a9c-0de6-11d0-a285-00aa003049e2";
    let told: Vec<(&str, &str)> = report
        .missing
        .iter()
        .map(|missing| (&*missing.ace, &*missing.command))
        .collect();
    let account = judge().sid;
    let property = Guid::from_le_bytes([9; 16]);
    assert_eq!(
        told,
        [
            (
                &*format!("(OA;CIIO;RC;;{class};{account})"),
                "dsacls \"DC=corp,DC=test\" /I:S /G \":RC;;group\""
            ),
            (
                &*format!("(OA;CIIO;RP;{property};{class};{account})"),
                "dsacls \"DC=corp,DC=test\" /I:S /G \":RP;uSNChanged;group\""
            ),
        ]
    );
    let samba = report.missing[0].samba_command.as_deref();
    assert!(
        samba.unwrap().starts_with("samba-tool dsacl set"),
        "{samba:?}"
    );
}

#[test]
fn an_account_without_the_right_is_counted_where_the_right_ends() {
    let walled = Guarded {
        descriptor: Some({
            let mut descriptor = with(vec![]);
            descriptor.control |= 0x1000;
            descriptor.to_bytes()
        }),
        ..object("OU=Walled,OU=Staff,DC=corp,DC=test", None, vec![])
    };
    let user = |dn: &str| object(dn, Some(Kind::User), vec![]);
    let report = surveyed(&[
        walled,
        user("CN=wanda,OU=Walled,OU=Staff,DC=corp,DC=test"),
        user("CN=alice,OU=Staff,DC=corp,DC=test"),
        user("CN=dave,OU=Others,DC=corp,DC=test"),
    ]);
    let blocked = &report.blocked[0];
    assert_eq!(
        (&*blocked.dn, blocked.accounts),
        ("OU=Walled,OU=Staff,DC=corp,DC=test", 1)
    );
    assert!(blocked.samba_command.contains("CIIO;RPWP"));
    let missing = &report.missing[0];
    assert_eq!((&*missing.ou, missing.accounts), (STAFF, 1));
}
