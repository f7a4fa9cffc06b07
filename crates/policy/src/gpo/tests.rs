use std::collections::BTreeMap;

use model::{Guid, Sid};

use super::{
    descriptor::{Ace, Acl, Descriptor},
    registry_pol::{self, Entry},
    *,
};

const DOMAIN: &str = "DC=x";
const KEY: &str = "Software\\Policies\\Example";

fn guid(number: u8) -> Guid {
    Guid::from_le_bytes([number; 16])
}

fn sid(text: &str) -> Sid {
    text.parse().unwrap()
}

/// A descriptor by which everybody who signs in may read the GPO, and apply it too if so said.
fn open(applies: bool) -> Vec<u8> {
    let ace = Ace {
        kind: 0,
        flags: 0,
        mask: if applies { 0x2_0194 } else { 0x2_0094 },
        object_type: None,
        inherited_type: None,
        sid: sid("S-1-5-11"),
        rest: Vec::new(),
    };
    Descriptor {
        control: 0x8004,
        owner: None,
        group: None,
        dacl: Some(Acl {
            revision: 2,
            aces: vec![ace],
        }),
        sacl: None,
    }
    .to_bytes()
}

/// GPO number `n`, called by its letter, with something in both halves.
fn gpo(number: u8) -> Gpc {
    Gpc {
        dn: format!("CN={},CN=Policies,CN=System,DC=x", braced(guid(number))),
        guid: guid(number),
        display_name: Some(char::from(b'A' + number).to_string()),
        path: format!("\\\\x\\sysvol\\x\\Policies\\{}", braced(guid(number))),
        version: 0x1_0001,
        flags: 0,
        functionality: 2,
        machine_extensions: format!("[{}]", extensions::REGISTRY),
        user_extensions: format!("[{}]", extensions::REGISTRY),
        wql_filter: None,
        descriptor: Some(open(true)),
    }
}

/// A place with links to GPOs by number and options.
fn som(dn: &str, links: &[(u8, u32)], options: u32) -> Som {
    let links = links.iter().map(|(number, options)| gplink::Link {
        dn: gpo(*number).dn,
        options: *options,
    });
    Som {
        dn: dn.to_owned(),
        links: gplink::write(&links.collect::<Vec<_>>()),
        options,
    }
}

fn target(dn: &str) -> Target {
    Target::new(dn.to_owned(), sid("S-1-5-21-1-2-3-1000"), [])
}

/// A computer in OU=C below OU=B below OU=A, a person in OU=P, six GPOs.
fn inputs(soms: Vec<Som>) -> Inputs {
    Inputs {
        gpcs: (0..6).map(gpo).collect(),
        soms,
        site: Some("CN=S,CN=Sites,CN=Configuration,DC=x".to_owned()),
        computer: target("CN=c,OU=C,OU=B,OU=A,DC=x"),
        user: Some(target("CN=u,OU=P,DC=x")),
    }
}

fn files(entries: &[Entry]) -> Files {
    let pol = File::Bytes(registry_pol::write(entries).unwrap());
    Files {
        gpt_ini: File::Bytes(gpt_ini::write(0x1_0001)),
        machine: pol.clone(),
        user: pol,
    }
}

/// Files of GPOs that each set one value to their own number.
fn numbered(inputs: &Inputs) -> BTreeMap<Guid, Files> {
    let gpcs = inputs.gpcs.iter().enumerate();
    gpcs.map(|(n, gpc)| {
        (
            gpc.guid,
            files(&[Entry::new(KEY, "N", &Data::Dword(n as u32))]),
        )
    })
    .collect()
}

fn order(half: &HalfResult) -> String {
    half.applied().map(|link| link.gpo.name.as_str()).collect()
}

/// The verdict on the one link to GPO A at the domain.
fn verdict(change: impl FnOnce(&mut Gpc)) -> String {
    let mut inputs = inputs(vec![som(DOMAIN, &[(0, 0)], 0)]);
    change(&mut inputs.gpcs[0]);
    let evaluation = evaluate(&inputs, &numbered(&inputs));
    evaluation.computer.links[0].verdict.to_string()
}

#[test]
fn nearer_is_stronger_the_rightmost_link_is_strongest_and_enforced_goes_the_other_way() {
    let evaluate = |soms| {
        let inputs = inputs(soms);
        evaluate(&inputs, &numbered(&inputs))
    };
    let all = evaluate(vec![
        som("ou=c,OU=B, OU=A,dc=X", &[(0, 0), (1, 2)], 0),
        som("OU=A,DC=x", &[(2, 0)], 0),
        som(DOMAIN, &[(3, 0), (4, 2)], 0),
        som("CN=S,CN=Sites,CN=Configuration,DC=x", &[(5, 2), (5, 0)], 0),
        som("OU=Other,DC=x", &[(0, 2)], 0),
    ]);
    assert_eq!(order(&all.computer), "FDCABEF");
    assert_eq!(all.computer.registry.number(KEY, "n"), Some(5));
    assert_eq!(order(all.user.as_ref().unwrap()), "FDEF");
    // OU=B and OU=P cannot be seen.
    assert_eq!(all.notes.len(), 2, "{:?}", all.notes);

    let blocked = evaluate(vec![
        som("OU=C,OU=B,OU=A,DC=x", &[(0, 0)], 0),
        som("OU=B,OU=A,DC=x", &[], 1),
        som("OU=A,DC=x", &[(2, 0), (1, 3)], 0),
        som(DOMAIN, &[(3, 0), (4, 2)], 0),
        som("CN=S,CN=Sites,CN=Configuration,DC=x", &[(5, 0)], 0),
    ]);
    assert_eq!(order(&blocked.computer), "AE");
    let skipped = blocked.computer.skipped();
    let skipped: Vec<_> = skipped
        .map(|l| format!("{} {}", l.gpo.name, l.verdict))
        .collect();
    assert_eq!(
        skipped,
        [
            "C inheritance blocked",
            "B link disabled",
            "D inheritance blocked",
            "F inheritance blocked"
        ]
    );

    let own = evaluate(vec![
        som("OU=C,OU=B,OU=A,DC=x", &[(0, 0), (1, 0)], 1),
        som(DOMAIN, &[(3, 0)], 0),
    ]);
    assert_eq!(
        order(&own.computer),
        "AB",
        "a block does not concern its own links"
    );
}

#[test]
fn every_reason_not_to_apply_has_its_verdict() {
    assert_eq!(verdict(|_| {}), "applied");
    assert_eq!(
        verdict(|g| g.functionality = 1),
        "gPCFunctionalityVersion is not 2"
    );
    assert_eq!(verdict(|g| g.flags = 2), "flags: computer half disabled");
    assert_eq!(verdict(|g| g.flags = 3), "flags: computer half disabled");
    assert_eq!(verdict(|g| g.flags = 5), "applied");
    assert_eq!(
        verdict(|g| g.version = 0x5_0000),
        "empty: computer version is 0"
    );
    assert_eq!(
        verdict(|g| g.machine_extensions.clear()),
        "no extension list for computer"
    );
    let filter = |g: &mut Gpc| g.wql_filter = Some("[x;{1};0]".to_owned());
    assert_eq!(verdict(filter), "WMI filter present: unsupported");
    assert_eq!(verdict(|g| g.wql_filter = Some(" ".to_owned())), "applied");
    assert_eq!(
        verdict(|g| g.descriptor = Some(open(false))),
        "security filtering: no Apply-Group-Policy (missing 0x100)"
    );
    assert_eq!(
        verdict(|g| g.dn = "CN=other".to_owned()),
        "not readable by the computer account"
    );
}

#[test]
fn what_cannot_be_understood_is_a_failure_and_not_a_policy_less() {
    let failure = |change: fn(&mut Inputs), file: Option<Files>| {
        let mut inputs = inputs(vec![som(DOMAIN, &[(0, 0)], 0)]);
        inputs.user = None;
        change(&mut inputs);
        let mut files = numbered(&inputs);
        match file {
            Some(file) => files.insert(guid(0), file),
            None => files.remove(&guid(0)),
        };
        let failures = evaluate(&inputs, &files).failures;
        assert_eq!(failures.len(), 1, "{failures:?}");
        format!("{}: {}", failures[0].gpo, failures[0].reason)
    };
    let good = || files(&[]);
    for (change, file, expected) in [
        (
            (|i| i.soms[0].links = "[LDAP".to_owned()) as fn(&mut Inputs),
            Some(good()),
            "DC=x: not a valid gPLink: a link does not end",
        ),
        (
            |i| i.gpcs[0].descriptor = Some(vec![1]),
            Some(good()),
            "A: not a valid security descriptor: ends before what it promises",
        ),
        (
            |i| i.gpcs[0].descriptor = None,
            Some(good()),
            "A: the directory did not show its security descriptor",
        ),
        (|_| {}, None, "A: its files were not read"),
        (
            |_| {},
            Some(Files::default()),
            "A: GPT.INI is not in SYSVOL",
        ),
        (
            |_| {},
            Some(Files {
                machine: File::Bytes(b"PReg".to_vec()),
                ..good()
            }),
            "A: not a valid Registry.pol: does not begin with PReg and version 1",
        ),
        (
            |_| {},
            Some(Files {
                machine: File::Failed("timed out".to_owned()),
                ..good()
            }),
            "A: Machine/Registry.pol: timed out",
        ),
        (
            |_| {},
            Some(Files {
                gpt_ini: File::Bytes(gpt_ini::write(0)),
                machine: File::Absent,
                ..good()
            }),
            "A: Machine/Registry.pol is not in SYSVOL yet",
        ),
    ] {
        assert_eq!(failure(change, file), expected);
    }
}

#[test]
fn oddities_are_noted_and_the_rest_holds() {
    let inputs = inputs(vec![som(DOMAIN, &[(0, 0), (1, 0)], 0)]);
    let short = Entry {
        key: KEY.to_owned(),
        value: "Short".to_owned(),
        kind: 4,
        data: vec![1, 0],
    };
    let mut all = numbered(&inputs);
    let odd = files(&[
        short,
        Entry::new(KEY, "**New", &Data::Dword(1)),
        Entry::new(KEY, "Good", &Data::Dword(1)),
    ]);
    let gpt_ini = File::Bytes(gpt_ini::write(0x2_0001));
    all.insert(guid(0), Files { gpt_ini, ..odd });
    let file = Files {
        machine: File::Absent,
        ..files(&[])
    };
    all.insert(guid(1), file);
    let evaluation = evaluate(&inputs, &all);
    assert_eq!(evaluation.failures, []);
    assert_eq!(evaluation.computer.registry.number(KEY, "Good"), Some(1));
    let links = evaluation.computer.links.iter();
    let notes: Vec<_> = links.flat_map(|link| &link.notes).collect();
    assert_eq!(
        notes,
        [
            "version 65537 in the directory, 131073 in SYSVOL: one of them has not replicated",
            "Software\\Policies\\Example\\Short: not a valid registry value: a DWORD that is not \
             4 bytes",
            "Software\\Policies\\Example: unknown instruction **New",
            "has no Machine/Registry.pol",
        ]
    );
}

#[test]
fn files_are_wanted_of_what_applies_and_of_nothing_else() {
    let mut inputs = inputs(vec![
        som(DOMAIN, &[(0, 0), (1, 1)], 0),
        som("OU=A,DC=x", &[(2, 0)], 0),
        som("OU=P,DC=x", &[(3, 0), (4, 0)], 0),
    ]);
    inputs.gpcs[0].flags = 1;
    inputs.gpcs[4].user_extensions.clear();
    let wanted = inputs.wanted();
    let wanted: Vec<_> = wanted.iter().map(|w| (w.guid, w.machine, w.user)).collect();
    assert_eq!(
        wanted,
        [
            (guid(0), true, false),
            (guid(2), true, true),
            (guid(3), false, true)
        ]
    );
    assert_eq!(linked(&inputs.soms).unwrap().len(), 5);
}

#[test]
fn loopback_takes_the_computers_place_and_the_persons_token() {
    let run = |mode: u32| {
        let mut inputs = inputs(vec![
            som(DOMAIN, &[(0, 0)], 0),
            som("OU=A,DC=x", &[(1, 0), (2, 0)], 0),
            som("OU=P,DC=x", &[(3, 0)], 0),
        ]);
        let mut all = numbered(&inputs);
        let mode = Entry::new(
            "SOFTWARE\\Policies\\Microsoft\\Windows\\System",
            "UserPolicyMode",
            &Data::Dword(mode),
        );
        all.insert(guid(0), files(&[mode]));
        // C is for the computer only.
        let computers = "S-1-5-21-1-2-3-515";
        inputs.computer.token.push(sid(computers));
        let mut descriptor = descriptor::parse(&open(false)).unwrap();
        descriptor.allow_apply(&sid(computers));
        inputs.gpcs[2].descriptor = Some(descriptor.to_bytes());
        let evaluation = evaluate(&inputs, &all);
        let user = evaluation.user.unwrap();
        assert_eq!(order(&evaluation.computer), "ABC");
        (
            evaluation.loopback,
            order(&user),
            user.registry.number(KEY, "N"),
        )
    };
    assert_eq!(run(0), (Loopback::None, "AD".to_owned(), Some(3)));
    assert_eq!(run(1), (Loopback::Merge, "ADAB".to_owned(), Some(1)));
    assert_eq!(run(2), (Loopback::Replace, "AB".to_owned(), Some(1)));
    assert_eq!(run(3), (Loopback::None, "AD".to_owned(), Some(3)));
}

/// What holds after two GPOs, the second stronger: values, then what is gone, with all who lost.
fn history(weak: &[Entry], strong: &[Entry]) -> Vec<String> {
    let inputs = inputs(vec![som(DOMAIN, &[(0, 0), (1, 0)], 0)]);
    let all = BTreeMap::from([(guid(0), files(weak)), (guid(1), files(strong))]);
    let evaluation = evaluate(&inputs, &all);
    assert_eq!(evaluation.failures, []);
    let registry = evaluation.computer.registry;
    let lost = |list: &[Overridden]| -> String {
        let each = list.iter().map(|o| match &o.data {
            Some(data) => format!(" <{}:{data}", o.gpo.name),
            None => format!(" <{}:-", o.gpo.name),
        });
        each.collect()
    };
    let values = registry.values.iter().map(|v| {
        let short = v.key.strip_prefix(KEY).unwrap_or(&v.key);
        format!(
            "{short}\\{} {}:{}{}",
            v.value,
            v.winner.name,
            v.data,
            lost(&v.overridden)
        )
    });
    let removed = registry.removed.iter().map(|r| {
        let short = r.key.strip_prefix(KEY).unwrap_or(&r.key);
        format!(
            "{short}\\{} {}:-{}",
            r.value,
            r.by.name,
            lost(&r.overridden)
        )
    });
    values.chain(removed).collect()
}

#[test]
fn instructions_do_what_they_say_in_their_order() {
    let dword = |key: &str, value: &str, number| Entry::new(key, value, &Data::Dword(number));
    let text = |value: &str, data: &str| Entry::new(KEY, value, &Data::Text(data.to_owned()));
    let below = format!("{KEY}\\Sub");
    let deeper = format!("{KEY}\\sub\\Deeper");
    let beside = format!("{KEY}\\SubNot");
    let weak = [
        dword(KEY, "A", 1),
        dword(KEY, "B", 2),
        dword(&below, "C", 3),
        dword(&deeper, "D", 4),
        dword(&beside, "E", 5),
    ];
    let after = |strong: &[Entry]| history(&weak, strong);
    let kept = [
        "\\A A:1",
        "\\B A:2",
        "\\Sub\\C A:3",
        "\\sub\\Deeper\\D A:4",
        "\\SubNot\\E A:5",
    ];
    assert_eq!(after(&[]), kept);
    assert_eq!(
        after(&[text("**SecureKey", "x"), text("**DeleteValues", " ; ")]),
        kept
    );
    assert_eq!(
        after(&[dword(&KEY.to_uppercase(), "a", 9)])[0],
        "\\A B:9 <A:1"
    );
    let gone = |lines: Vec<String>| -> Vec<String> {
        lines
            .into_iter()
            .filter(|line| line.contains(" B:-"))
            .collect()
    };
    assert_eq!(gone(after(&[text("**DEL.a", " ")])), ["\\A B:- <A:1"]);
    assert_eq!(gone(after(&[Entry::delete(KEY, "New")])), ["\\New B:-"]);
    assert_eq!(
        gone(after(&[text("**delvals.", " ")])),
        ["\\A B:- <A:1", "\\B B:- <A:2"]
    );
    assert_eq!(
        gone(after(&[text("**DeleteValues", "b; x")])),
        ["\\B B:- <A:2", "\\x B:-"]
    );
    assert_eq!(
        gone(after(&[text("**DeleteKeys", "SUB")])),
        ["\\Sub\\C B:- <A:3", "\\sub\\Deeper\\D B:- <A:4"]
    );
    assert_eq!(after(&[dword(KEY, "**soft.A", 9)])[0], "\\A A:1 <B:9");
    assert_eq!(after(&[dword(KEY, "**soft.New", 9)])[2], "\\New B:9");
    assert_eq!(
        after(&[
            text("**del.A", " "),
            dword(KEY, "**soft.A", 9),
            text("**delvals.", "")
        ])[3..],
        ["\\A B:- <B:9 <B:- <A:1", "\\B B:- <A:2"]
    );
    // The key alone is created, which is no value.
    assert_eq!(after(&[Entry::new(KEY, "", &Data::None)]), kept);
}

#[test]
fn a_half_that_overflows_becomes_one() {
    let mut gpc = gpo(0);
    gpc.version = 0xffff_0007;
    assert_eq!(gpc.bumped(Half::Computer), 0xffff_0008);
    assert_eq!(gpc.bumped(Half::User), 0x0001_0007);
    gpc.version = 0x0003_ffff;
    assert_eq!(gpc.bumped(Half::Computer), 0x0003_0001);
    assert_eq!(gpc.bumped(Half::User), 0x0004_ffff);
}

#[test]
fn names_are_the_same_however_they_are_written() {
    for (a, b) in [
        ("CN=a,DC=x", "cn=A, dc=X"),
        ("CN=a\\,b,DC=x", "CN=a\\2cb,DC=x"),
        ("CN=\\C3\\A9,DC=x", "CN=\u{c9},DC=x"),
    ] {
        assert!(dn::same(a, b), "{a} {b}");
    }
    for (a, b) in [
        ("CN=a,DC=x", "CN=a,DC=y"),
        ("CN=a\\,DC=x", "CN=a,DC=x"),
        ("CN=a", "OU=a"),
        ("CN=a,DC=x", "CN=a,DC=x,DC=y"),
    ] {
        assert!(!dn::same(a, b), "{a} {b}");
    }
    assert_eq!(dn::parent("CN=a\\,b, OU=c,DC=x"), Some("OU=c,DC=x"));
    let account = "CN=a,CN=Users,OU=C\\,D,ou=A,DC=sub,DC=x";
    assert_eq!(
        som_dns(account, Some("CN=S")),
        [
            "OU=C\\,D,ou=A,DC=sub,DC=x",
            "ou=A,DC=sub,DC=x",
            "DC=sub,DC=x",
            "CN=S"
        ]
    );
    assert_eq!(som_dns("CN=c,CN=Computers,DC=x", None), ["DC=x"]);
}

#[test]
fn an_evaluation_survives_being_kept() {
    let inputs = inputs(vec![som(DOMAIN, &[(0, 0), (1, 1), (2, 2)], 0)]);
    let evaluation = evaluate(&inputs, &numbered(&inputs));
    let text = serde_json::to_string(&evaluation).unwrap();
    assert_eq!(
        serde_json::from_str::<Evaluation>(&text).unwrap(),
        evaluation
    );
    let text = serde_json::to_string(&inputs).unwrap();
    assert_eq!(serde_json::from_str::<Inputs>(&text).unwrap(), inputs);
}

#[test]
fn ldif_is_read_as_any_tool_writes_it() {
    let text = "# a comment\r\nversion: 1\n\ndn: CN=a,\n DC=x\nFlags: -1\nmember;range=0-1: CN=b\n\
                member: CN=c\ndescription:: w6k=\nempty:\n\n\ndn:: Q049w6k=\n\nref: ldap://x\n\n\
                # the end\nsearch: 2\nresult: 0 Success\n";
    let records = ldif::parse(text).unwrap();
    let names: Vec<_> = records.iter().map(|record| record.dn.as_str()).collect();
    assert_eq!(names, ["CN=a,DC=x", "CN=\u{e9}"]);
    assert_eq!(records[0].number("flags"), Some(u32::MAX));
    assert_eq!(
        records[0].texts("MEMBER").collect::<Vec<_>>(),
        ["CN=b", "CN=c"]
    );
    assert_eq!(records[0].text("description"), Some("\u{e9}"));
    assert_eq!(records[0].text("empty"), Some(""));
    for text in ["dn: CN=a\nx", "dn: CN=a\nx:: ?"] {
        assert!(ldif::parse(text).is_err(), "{text}");
    }
}
