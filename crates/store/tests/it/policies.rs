//! Policies, enrollment configurations, and what devices said became of them.

use model::Guid;
use policy::{
    assigned::{Enrollment, Given, State, Target},
    merge::{Outcome, State as Became},
    settings::{self, Scope, Value},
};
use store::{
    DeviceEnrollment, DirectoryChange, EnrollmentConfiguration, EnrollmentContent, Error,
    ObjectKind, Policy, PolicyContent, PolicyReport, Store,
};

use crate::{
    NOW, audit, guid, on_every_store,
    people::{apply, device, group, join, user},
    sid, tenant,
};

on_every_store!(
    a_policy_is_changed_from_the_version_that_was_seen_and_former_ones_stay,
    a_policy_is_assigned_to_groups_that_are_there,
    there_are_no_more_policies_than_there_may_be,
    the_stamp_moves_with_policies_and_with_groups_and_with_nothing_else,
    whoever_watches_policies_is_told_of_what_may_change_them,
    a_device_and_its_users_are_found_with_all_their_groups,
    configurations_are_kept_by_priority_and_so_is_what_they_were,
    what_a_device_got_and_reported_goes_with_it,
);

fn hello() -> Vec<Given> {
    let setting = settings::by_id("use-hello").unwrap();
    vec![Given::new(setting, Scope::Device, Value::Number(1)).unwrap()]
}

fn content(name: &str) -> PolicyContent {
    PolicyContent {
        name: name.to_owned(),
        description: "for people".to_owned(),
        template: None,
        platforms: "windows10".to_owned(),
        technologies: "mdm".to_owned(),
        scope_tags: vec![guid(0)],
        values: hello(),
        assignments: vec![Target::AllDevices],
    }
}

fn new_policy(id: u8, name: &str) -> Policy {
    Policy {
        id: guid(id),
        content: content(name),
        version: 1,
        created: NOW,
        modified: NOW,
        modified_by: "test".to_owned(),
    }
}

async fn create(store: &Store, policy: Policy) {
    let created = store.create_policy(tenant(), policy, 100, audit("create"));
    created.await.unwrap();
}

async fn change(store: &Store, seen: u32, content: PolicyContent) -> store::Result<bool> {
    let place = (guid(61), seen);
    store
        .change_policy(tenant(), place, content, audit("change"))
        .await
}

async fn a_policy_is_changed_from_the_version_that_was_seen_and_former_ones_stay(store: Store) {
    create(&store, new_policy(61, "zeta")).await;
    create(&store, new_policy(62, "Alpha")).await;
    let all = store.policies(tenant()).await.unwrap();
    assert_eq!(all, [new_policy(62, "Alpha"), new_policy(61, "zeta")]);

    assert!(change(&store, 1, content("beta")).await.unwrap());
    assert!(!change(&store, 1, content("gamma")).await.unwrap());
    let found = store.policy(tenant(), guid(61)).await.unwrap().unwrap();
    assert_eq!((found.version, found.content.name.as_str()), (2, "beta"));
    let delete = async || {
        store
            .delete_policy(tenant(), guid(61), audit("delete"))
            .await
    };
    assert!(delete().await.unwrap());
    assert!(!delete().await.unwrap());
    assert_eq!(store.policy(tenant(), guid(61)).await.unwrap(), None);
    let former = store.former_policies(tenant(), guid(61)).await.unwrap();
    let former: Vec<_> = former
        .iter()
        .map(|former| (former.version, former.content.name.as_str()))
        .collect();
    assert_eq!(former, [(2, "beta"), (1, "zeta")]);
    assert_eq!(store.policies(guid(9)).await.unwrap(), []);
}

async fn a_policy_is_assigned_to_groups_that_are_there(store: Store) {
    let assigned = |target| PolicyContent {
        assignments: vec![target],
        ..content("pilot")
    };
    let missing = Policy {
        content: assigned(Target::Group(guid(21))),
        ..new_policy(61, "pilot")
    };
    let refused = store.create_policy(tenant(), missing, 100, audit("create"));
    assert!(matches!(refused.await, Err(Error::Conflict(_))));
    assert_eq!(store.policies(tenant()).await.unwrap(), []);

    create(&store, new_policy(61, "pilot")).await;
    let refused = change(&store, 1, assigned(Target::NotGroup(guid(21)))).await;
    assert!(matches!(refused, Err(Error::Conflict(_))));
    apply(&store, vec![group(21, &[])]).await;
    let change = async |seen| change(&store, seen, assigned(Target::Group(guid(21)))).await;
    assert!(change(1).await.unwrap());
    // What it was assigned to before may be gone.
    let gone = DirectoryChange::Delete(ObjectKind::Group, guid(21));
    apply(&store, vec![gone]).await;
    assert!(change(2).await.unwrap());
}

async fn there_are_no_more_policies_than_there_may_be(store: Store) {
    create(&store, new_policy(61, "one")).await;
    let more = store.create_policy(tenant(), new_policy(62, "two"), 1, audit("create"));
    assert!(matches!(more.await, Err(Error::Conflict(_))));
}

async fn the_stamp_moves_with_policies_and_with_groups_and_with_nothing_else(store: Store) {
    let stamp = async || store.policy_stamp(tenant()).await.unwrap();
    let mut last = stamp().await;
    let mut moved = async || {
        let now = stamp().await;
        std::mem::replace(&mut last, now) != now
    };
    create(&store, new_policy(61, "one")).await;
    assert!(moved().await);
    change(&store, 1, content("two")).await.unwrap();
    assert!(moved().await);
    apply(
        &store,
        vec![user(11, "alice@corp.example")]
            .into_iter()
            .map(DirectoryChange::PutUser)
            .collect(),
    )
    .await;
    assert!(!moved().await);
    apply(&store, vec![group(21, &[11])]).await;
    assert!(moved().await);
    apply(&store, vec![group(21, &[11])]).await;
    assert!(!moved().await);
    apply(&store, vec![group(21, &[])]).await;
    assert!(moved().await);
    let own = store.create_group(tenant(), guid(22), "Own", audit("group"));
    own.await.unwrap();
    let put_in = async || {
        let added = store.add_member(tenant(), guid(22), guid(11), audit("add"));
        added.await.unwrap()
    };
    assert!(put_in().await);
    assert!(moved().await);
    assert!(!put_in().await);
    assert!(!moved().await);
    let gone = DirectoryChange::Delete(ObjectKind::Group, guid(21));
    apply(&store, vec![gone]).await;
    assert!(moved().await);
    store
        .delete_policy(tenant(), guid(61), audit("delete"))
        .await
        .unwrap();
    assert!(moved().await);
}

async fn whoever_watches_policies_is_told_of_what_may_change_them(store: Store) {
    join(&store, device(31, b"one")).await;
    let mut news = store.watch_policies();
    news.mark_unchanged();
    store.forget_tries(tenant(), "otp", "alice").await.unwrap();
    assert!(!news.has_changed().unwrap());
    apply(&store, vec![group(21, &[11])]).await;
    assert!(news.has_changed().unwrap());
    news.mark_unchanged();
    create(&store, new_policy(61, "one")).await;
    assert!(news.has_changed().unwrap());
    news.mark_unchanged();
    let off = store.set_device_enabled(tenant(), guid(31), false, audit("off"));
    assert!(off.await.unwrap());
    assert!(news.has_changed().unwrap());
}

async fn a_device_and_its_users_are_found_with_all_their_groups(store: Store) {
    let changes = vec![
        DirectoryChange::PutUser(user(11, "alice@corp.example")),
        group(21, &[11]),
        group(22, &[21, 31]),
    ];
    apply(&store, changes).await;
    let asked = vec![sid(1011), sid(9999)];
    let reached = store.reached(tenant(), guid(31), asked).await.unwrap();
    assert_eq!(reached.device, [guid(22)].into());
    assert_eq!(reached.users, [(sid(1011), [guid(21), guid(22)].into())]);
    let known = store.users_by_sid(tenant(), vec![sid(9999), sid(1011)]);
    let known = known.await.unwrap();
    let known: Vec<_> = known.iter().map(|user| user.guid).collect();
    assert_eq!(known, [guid(11)]);
}

fn configuration(id: Guid, priority: u32, state: State) -> EnrollmentConfiguration {
    EnrollmentConfiguration {
        id,
        priority,
        content: EnrollmentContent {
            enrollment: Enrollment {
                state,
                ..Enrollment::default()
            },
            ..EnrollmentContent::default()
        },
        version: 1,
        created: NOW,
        modified: NOW,
        modified_by: "test".to_owned(),
    }
}

async fn configurations_are_kept_by_priority_and_so_is_what_they_were(store: Store) {
    let (one, two) = (
        configuration(guid(71), 2, State::Enabled),
        configuration(guid(72), 1, State::Disabled),
    );
    let put = async |all: Vec<EnrollmentConfiguration>| {
        store
            .put_enrollment_configurations(tenant(), all, audit("put"))
            .await
    };
    put(vec![one.clone(), two.clone()]).await.unwrap();
    let all = async || store.enrollment_configurations(tenant()).await.unwrap();
    assert_eq!(all().await, [two.clone(), one.clone()]);
    let next = |one: EnrollmentConfiguration, priority| EnrollmentConfiguration {
        priority,
        version: 2,
        ..one
    };
    let (first, second) = (next(one.clone(), 1), next(two.clone(), 2));
    put(vec![first.clone(), second.clone()]).await.unwrap();
    assert_eq!(all().await, [first.clone(), second]);
    let gone = store.delete_enrollment_configuration(tenant(), guid(72), audit("delete"));
    assert!(gone.await.unwrap());
    assert_eq!(all().await, std::slice::from_ref(&first));
    let former = async |id| {
        let former = store.former_enrollment_configurations(tenant(), guid(id));
        former.await.unwrap()
    };
    assert_eq!(former(71).await, std::slice::from_ref(&one));
    assert_eq!(former(72).await, [next(two.clone(), 2), two.clone()]);
    // From a version that is none any more, and of one that is deleted.
    for stale in [next(one, 3), next(two, 1)] {
        assert!(matches!(put(vec![stale]).await, Err(Error::Conflict(_))));
    }
    let mut missing = next(first.clone(), 1);
    missing.version = 3;
    missing.content.assignments = vec![Target::Group(guid(99))];
    assert!(matches!(
        put(vec![missing.clone()]).await,
        Err(Error::Conflict(_))
    ));
    // What it was assigned to before may be gone.
    apply(&store, vec![group(99, &[])]).await;
    put(vec![missing.clone()]).await.unwrap();
    let gone = DirectoryChange::Delete(ObjectKind::Group, guid(99));
    apply(&store, vec![gone]).await;
    missing.version = 4;
    put(vec![missing]).await.unwrap();
}

async fn what_a_device_got_and_reported_goes_with_it(store: Store) {
    let enrollment = DeviceEnrollment {
        configuration: "All users and all devices".to_owned(),
        given: hello(),
        at: NOW,
    };
    let kept = store.keep_device_enrollment(tenant(), guid(31), enrollment.clone());
    kept.await.unwrap();
    join(&store, device(31, b"one")).await;
    let outcome = Outcome {
        loc_uri: "./Device/Vendor/x".to_owned(),
        state: Became::Overridden,
        by: Some("group policy".to_owned()),
    };
    let report = PolicyReport {
        device: guid(31),
        etag: "\"tag\"".to_owned(),
        at: NOW,
        outcomes: vec![(None, vec![outcome]), (Some(sid(1011)), Vec::new())],
    };
    for _ in 0..2 {
        let kept = store.keep_policy_report(tenant(), report.clone());
        kept.await.unwrap();
    }
    let given = async || store.device_enrollment(tenant(), guid(31)).await.unwrap();
    let reported = async || store.policy_report(tenant(), guid(31)).await.unwrap();
    assert_eq!(given().await, Some(enrollment));
    assert_eq!(reported().await, Some(report.clone()));
    let page = async |after| store.policy_reports(tenant(), after, 10).await.unwrap();
    assert_eq!(page(None).await, [report]);
    assert_eq!(page(Some(guid(31))).await, []);
    let gone = store.delete_device(tenant(), guid(31), audit("delete"));
    assert!(gone.await.unwrap());
    assert_eq!((given().await, reported().await), (None, None));
}
