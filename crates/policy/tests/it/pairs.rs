//! Who gets what in the exported domain.

use std::{collections::BTreeMap, fs};

use policy::gpo::offline::{Answer, evaluate_folder};
use serde_json::{Value, to_value};

use crate::fixtures::{evaluate, folder, json, text};

const USERS: [&str; 9] = [
    "alice", "bob", "carol", "dave", "erin", "frank", "gina", "henry", "ivan",
];
const COMPUTERS: [&str; 4] = ["LIN1", "LIN2", "LIN3", "LIN4"];

#[test]
fn all_sixteen_pairs_get_what_the_specifications_say() {
    let expected = json("expected.json");
    let pairs = expected["pairs"].as_array().unwrap();
    assert_eq!(pairs.len(), 16);
    for pair in pairs {
        let (user, computer) = (&pair["user"], &pair["computer"]);
        let answer = evaluate(user.as_str().unwrap(), computer.as_str().unwrap());
        assert!(answer.failures.is_empty(), "{:?}", answer.failures);
        let answer = to_value(answer).unwrap();
        for (field, value) in pair.as_object().unwrap() {
            assert_eq!(&answer[field], value, "{user} at {computer}: {field}");
        }
        let result = &answer["computer_result"];
        for field in [
            "apply_order_last_wins",
            "skipped",
            "merged",
            "dn",
            "token_sids",
        ] {
            let wanted = &expected["computers"][computer.as_str().unwrap()][field];
            assert_eq!(
                sorted(&result[field]),
                sorted(wanted),
                "{computer}: {field}"
            );
        }
    }
}

/// Tokens are sets; every other list is in its order.
fn sorted(value: &Value) -> Value {
    let mut value = value.clone();
    if let Some(list) = value.as_array_mut()
        && list.iter().all(Value::is_string)
    {
        list.sort_by_key(|item| item.to_string());
    }
    value
}

#[test]
fn every_link_above_a_user_gets_its_verdict() {
    for (user, wanted) in json("expected.json")["users_no_loopback"]
        .as_object()
        .unwrap()
    {
        // LIN3 has no loopback and no OU.
        let answer = to_value(evaluate(user, "LIN3")).unwrap();
        assert_eq!(answer["user_skipped"], wanted["skipped"], "{user}");
        assert_eq!(answer["user_merged"], wanted["merged"], "{user}");
    }
}

#[test]
fn the_other_users_are_decided_by_the_same_rules() {
    // Who is not among the pairs: does "Use Windows Hello for Business" hold at each computer, and
    // by which GPO of the user half?
    let enable = Some("user: Enable Windows Hello for Business");
    let device = Some("computer: WHfB for device group");
    let kiosk = Some("computer: Kiosk machine disable");
    let replaced = Some("user: Replace loopback");
    let local = Some("user: Domain-local group scope");
    for (user, sources) in [
        // Three groups deep, and let in by a full control entry too.
        ("bob", [enable, enable, enable, replaced]),
        // In the blocking OU and in no group.
        ("erin", [device, kiosk, None, replaced]),
        // A member in a container.
        ("frank", [enable, enable, enable, replaced]),
        // By the primary group alone.
        ("henry", [enable, enable, enable, replaced]),
        // Universal group in a domain-local group: reaches only the GPO for that one.
        ("ivan", [local, local, local, replaced]),
    ] {
        for (computer, source) in COMPUTERS.iter().zip(sources) {
            let answer = evaluate(user, computer);
            assert_eq!(
                answer.use_whfb_source.as_deref(),
                source,
                "{user} at {computer}"
            );
            let is_on = source.map(|s| s != "computer: Kiosk machine disable");
            assert_eq!(answer.use_whfb, is_on, "{user} at {computer}");
        }
    }
    let bob = evaluate("bob", "LIN3").user_apply_order_last_wins;
    assert!(
        bob.contains(&"Full control implies apply".to_owned()),
        "{bob:?}"
    );
    let carol = evaluate("carol", "LIN3").user_apply_order_last_wins;
    assert!(
        !carol.contains(&"Full control implies apply".to_owned()),
        "{carol:?}"
    );
}

#[test]
fn memberships_give_the_same_answers_as_token_groups() {
    let folder = folder();
    // Beside this copy of the LDIF files there is no tokengroups.json.
    let copy = Scratch::new("memberships");
    for path in fs::read_dir(folder.join("ldif")).unwrap() {
        let path = path.unwrap().path();
        fs::copy(&path, copy.0.join(path.file_name().unwrap())).unwrap();
    }
    for user in USERS {
        for computer in COMPUTERS {
            let sysvol = folder.join("sysvol");
            let other = evaluate_folder(&copy.0, &sysvol, user, computer, None).unwrap();
            assert_same(other, evaluate(user, computer));
        }
    }
}

#[test]
fn the_computers_own_view_gives_the_same_answers_as_an_administrators() {
    let folder = folder();
    let copy = Scratch::new("own-view");
    for name in ["som", "som-site", "accounts", "accounts-default-containers"] {
        let name = format!("{name}.ldif");
        fs::copy(folder.join("ldif").join(&name), copy.0.join(&name)).unwrap();
    }
    let seen = text("ldif/gpc-as-seen-by-LIN1.ldif");
    fs::write(copy.0.join("gpc.ldif"), seen).unwrap();
    fs::write(copy.0.join("tokengroups.json"), text("tokengroups.json")).unwrap();
    for user in USERS {
        let sysvol = folder.join("sysvol");
        let other = evaluate_folder(&copy.0, &sysvol, user, "LIN1", None).unwrap();
        assert_same(other, evaluate(user, "LIN1"));
    }
}

/// Same but for the tokens, which may name groups that no GPO asks for, and the notes about them.
fn assert_same(mut a: Answer, mut b: Answer) {
    for answer in [&mut a, &mut b] {
        answer.computer_result.token_sids.clear();
        answer.notes.clear();
    }
    assert_eq!(to_value(a).unwrap(), to_value(b).unwrap());
}

#[test]
fn every_computer_skips_what_it_cannot_answer_and_says_so() {
    let answer = evaluate("alice", "LIN1");
    assert!(
        answer
            .notes
            .iter()
            .any(|note| note.starts_with("WMI filtered is not applied")),
        "{:?}",
        answer.notes
    );
}

#[test]
fn an_answer_can_be_read() {
    let text = evaluate("gina", "LIN1").to_string();
    for line in [
        "gina at LIN1",
        "Use Windows Hello for Business: disabled (user: WHfB Opt Out)",
        "  WHfB Opt Out",
        "  Link disabled: link disabled (OU=People,OU=Corp,DC=gpo,DC=example,DC=test)",
        "  SOFTWARE\\Policies\\Microsoft\\PassportForWork\\Enabled = 0 (WHfB Opt Out)",
    ] {
        assert!(text.lines().any(|l| l == line), "{line}\n{text}");
    }
}

#[test]
fn a_site_is_found_by_name_and_a_wrong_one_is_refused() {
    let folder = folder();
    let (ldif, sysvol) = (folder.join("ldif"), folder.join("sysvol"));
    let at = |site| evaluate_folder(&ldif, &sysvol, "alice", "LIN1", site);
    let named = at(Some("Default-First-Site-Name")).unwrap();
    assert_same(named, evaluate("alice", "LIN1"));
    let error = at(Some("Elsewhere")).unwrap_err();
    assert_eq!(error.to_string(), "no site Elsewhere");
}

#[test]
fn a_file_that_cannot_be_understood_fails_the_evaluation() {
    let folder = folder();
    let copy = Scratch::new("broken");
    let policies = copy.0.join("Policies");
    copy_tree(&folder.join("sysvol/gpo.example.test/Policies"), &policies);
    let enable = policies.join("{867A5A13-7D4E-40B2-8DE0-6B85ED476565}");
    let check = |wanted: &str| {
        let answer = evaluate_folder(&folder.join("ldif"), &copy.0, "alice", "LIN1", None);
        let failures = answer.unwrap().failures;
        let reasons: Vec<&str> = failures.iter().map(|f| f.reason.as_str()).collect();
        assert_eq!(reasons, [wanted]);
        assert_eq!(failures[0].gpo, "Enable Windows Hello for Business");
    };
    let whole = fs::read(enable.join("User/Registry.pol")).unwrap();
    fs::write(enable.join("User/Registry.pol"), &whole[..whole.len() - 3]).unwrap();
    check("not a valid Registry.pol: ends inside an entry");
    fs::remove_file(enable.join("User/Registry.pol")).unwrap();
    fs::write(enable.join("GPT.INI"), "[General]\nVersion=0\n").unwrap();
    check("User/Registry.pol is not in SYSVOL yet");
    fs::remove_file(enable.join("GPT.INI")).unwrap();
    check("GPT.INI is not in SYSVOL");
}

#[test]
fn names_in_the_files_are_those_of_the_tables() {
    let gpos: BTreeMap<String, String> = text("gpos.tsv")
        .lines()
        .filter_map(|line| {
            let mut columns = line.split('\t').skip(1);
            Some((columns.next()?.to_owned(), columns.next()?.to_owned()))
        })
        .collect();
    assert_eq!(gpos.len(), 26);
    for applied in evaluate("alice", "LIN2")
        .computer_result
        .apply_order_last_wins
    {
        assert_eq!(gpos.get(&applied.guid), Some(&applied.gpo));
    }
}

fn copy_tree(from: &std::path::Path, to: &std::path::Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap().path();
        let target = to.join(entry.file_name().unwrap());
        if entry.is_dir() {
            copy_tree(&entry, &target);
        } else {
            fs::copy(&entry, &target).unwrap();
        }
    }
}

/// A folder that is gone with the test.
struct Scratch(std::path::PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("policy-{name}-{}", std::process::id()))
            .join("ldif");
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(self.0.parent().unwrap());
    }
}
