use std::{fs, path::Path};

use policy::{
    assigned::Held,
    gpo::{Data, HalfResult, Loopback, Registry},
    merge::ServerValue,
};

use super::{delivered::Delivered, *};

const ALICE: &str = "S-1-5-21-1-2-3-1104";
const HELLO: &str = r"SOFTWARE\Policies\Microsoft\PassportForWork";
const POLICIES: &str = "Vendor/MSFT/PassportForWork/8f1c1c6e-2a0e-4a2b-9d32-5a39ce6d5d11/Policies";

/// Alice's policies in a folder of their own, with a whole set of these values of group policy.
fn alice(name: &str, gpo: &[(&str, u32)]) -> (Policies, Subject) {
    let folder = std::env::temp_dir().join(format!("latchkey-{name}-{}", std::process::id()));
    let policies = Policies::in_folder(&folder).unwrap();
    let values = gpo
        .iter()
        .map(|(name, number)| (HELLO, *name, Data::Dword(*number)));
    let evaluation = Evaluation {
        computer: HalfResult {
            registry: Registry::from_values("Hello", values),
            ..HalfResult::default()
        },
        user: Some(HalfResult::default()),
        loopback: Loopback::None,
        failures: Vec::new(),
        notes: Vec::new(),
    };
    let subject = Subject::Person(ALICE.parse().unwrap());
    let kept = Kept {
        set: Some(Set::new(evaluation, "dc.corp.test")),
        error: None,
    };
    policies.keep(&subject, &kept).unwrap();
    (policies, subject)
}

fn deliver(policies: &Policies, content: &str) {
    fs::write(policies.folder.join("server.json"), content).unwrap();
}

/// A delivery in which the server turns the PIN on for the device, and asks Alice for ten digits.
fn delivery() -> String {
    format!(
        r#"{{"version":1,"data":{{"received":1700000000,"etag":"x","policies":{{
        "version":1,"tenant":[],"conflicts":[],
        "device":[{{"policy":"Cloud","loc_uri":"./Device/{POLICIES}/UsePassportForWork","value":"true"}}],
        "users":{{"{ALICE}":{{
        "device":[{{"policy":"Cloud","loc_uri":"./Device/{POLICIES}/UsePassportForWork","value":"true"}}],
        "user":[{{"policy":"Long PINs",
        "loc_uri":"./User/{POLICIES}/PINComplexity/MinimumPINLength","value":"10"}}]}}}}}}}}}}"#
    )
}

fn remove(policies: &Policies) {
    fs::remove_dir_all(policies.folder.parent().unwrap_or(Path::new(""))).unwrap();
}

#[test]
fn what_a_server_delivered_counts_for_whom_it_is_until_group_policy_decides() {
    for (gpo, offered, length) in [
        (&[][..], true, 10),
        (&[("Enabled", 1)], true, 6),
        (&[("Enabled", 0)], false, 6),
    ] {
        let (policies, subject) = alice("delivered", gpo);
        deliver(&policies, &delivery());
        let in_force = policies.in_force(&subject);
        let effective = in_force.effective().unwrap();
        assert_eq!(effective.provision().is_offered(), offered, "{gpo:?}");
        assert_eq!(effective.pin_rules().min_length, length, "{gpo:?}");
        let report = in_force.report(None, "ws1".into());
        assert_eq!(report.about.server_at, Some(1_700_000_000));
        let ignored = report.notes.iter().any(|note| note.contains("ignored"));
        assert_eq!(ignored, !gpo.is_empty(), "{:?}", report.notes);
        // Another person has the device's part of it and not hers.
        let bob = Subject::Person("S-1-5-21-1-2-3-1105".parse().unwrap());
        let kept = policies.kept(&subject);
        policies.keep(&bob, &kept).unwrap();
        let effective = policies.in_force(&bob).effective().unwrap();
        assert_eq!(effective.provision().is_offered(), offered, "{gpo:?}");
        assert_eq!(effective.pin_rules().min_length, 6);
        remove(&policies);
    }
}

#[test]
fn a_delivery_that_cannot_be_read_gives_nothing_and_takes_nothing() {
    let good = delivery();
    let torn = good.split_at(good.len() / 2).0;
    let newer = good.replace("\"version\":1", "\"version\":2");
    let unknown = good.replace("\"tenant\"", "\"tenants\"");
    let foreign = good.replace("\"value\":\"true\"", "\"value\":true");
    let nobody = good.replace(ALICE, "alice");
    let padded = format!("{good}{}", " ".repeat(8 * 1024 * 1024));
    for content in ["", torn, &newer, &unknown, &foreign, &nobody, &padded] {
        for (gpo, allowed) in [(&[][..], false), (&[("Enabled", 1)], true)] {
            let (policies, subject) = alice("undelivered", gpo);
            deliver(&policies, content);
            let in_force = policies.in_force(&subject);
            let effective = in_force.effective().unwrap();
            assert_eq!(effective.provision().is_allowed(), allowed, "{gpo:?}");
            assert!(effective.pin_sign_in_allowed());
            let report = in_force.report(None, "ws1".into());
            let notes = report.notes.join(" ");
            assert!(notes.contains("server.json"), "{notes}");
            assert_eq!(report.about.server_at, None);
            remove(&policies);
        }
    }
}

#[test]
fn where_group_policy_was_never_read_a_delivery_alone_decides_nothing() {
    let (policies, subject) = alice("alone", &[]);
    deliver(&policies, &delivery());
    policies.keep(&subject, &Kept::default()).unwrap();
    assert!(policies.in_force(&subject).effective().is_none());
    remove(&policies);
}

#[test]
fn one_failure_keeps_no_other_reading_back_and_an_account_that_is_gone_is_none() {
    let (mut counts, mut failed) = (Counts::default(), None);
    let read = Counts {
        objects: 2,
        fetched: 1,
    };
    settle(Ok(read), &mut counts, &mut failed);
    let gone = refused(UNKNOWN_ACCOUNT, "gone");
    settle(Err(gone), &mut counts, &mut failed);
    assert!(failed.is_none());
    for code in ["first", "second"] {
        settle(Err(refused(code, "failed")), &mut counts, &mut failed);
    }
    settle(Ok(read), &mut counts, &mut failed);
    assert_eq!((counts.objects, counts.fetched), (4, 2));
    assert_eq!(failed.unwrap().failure().code, "first");
}

#[test]
fn a_node_upon_which_the_servers_policies_do_not_agree_stays_as_it_was_or_is_not_set() {
    let alice: Sid = ALICE.parse().unwrap();
    let value = |policy: &str, node: &str, value: &str| ServerValue {
        policy: policy.to_owned(),
        also: Vec::new(),
        loc_uri: format!("./Device/{POLICIES}/{node}"),
        value: value.to_owned(),
    };
    let (hello, digits) = (
        value("A", "UsePassportForWork", "true"),
        value("A", "PINComplexity/Digits", "1"),
    );
    let former = api::policies::Policies {
        device: vec![hello.clone(), digits],
        ..Default::default()
    };
    let former = Delivered::after(None, former, "1".to_owned(), UnixTime(1));
    let conflict = |node: &str, held, user: Option<&Sid>| api::policies::NodeConflict {
        loc_uri: format!("./Device/{POLICIES}/{node}"),
        user: user.cloned(),
        held,
        policies: vec!["A".to_owned(), "B".to_owned()],
    };
    let next = api::policies::Policies {
        users: [(alice.clone(), Default::default())].into(),
        conflicts: vec![
            conflict("UsePassportForWork", Held::Kept, None),
            conflict("UsePassportForWork", Held::Kept, Some(&alice)),
            conflict("PINComplexity/Digits", Held::Unset, None),
            conflict("EnablePinRecovery", Held::Kept, None),
        ],
        ..Default::default()
    };
    let next = Delivered::after(Some(&former), next, "2".to_owned(), UnixTime(2));
    assert_eq!(next.device(None), std::slice::from_ref(&hello));
    assert_eq!(next.device(Some(&alice)), [hello]);
    assert_eq!(next.disagreements(None).count(), 3);
    let told: Vec<_> = next.disagreements(Some(&alice)).collect();
    assert_eq!(told.len(), 1);
    assert!(told[0].contains("A, B; the last value"), "{told:?}");
}
