//! The tenant, its agents, and what they bring in.

use std::sync::Arc;

use store::{
    Computer, Device, DirectoryChange, Domain, EnrollmentCode, Error, Group, ObjectKind, Settings,
    Store, User,
};

use crate::{
    NOW, audit, domain, guid, on_every_store, other_domain, sid, some_agent, some_domain,
    some_tenant, tenant,
};

on_every_store!(
    there_is_one_tenant,
    settings_are_what_was_set_last,
    an_enrollment_code_is_spent_once_whoever_comes_first,
    an_enrollment_that_is_refused_leaves_the_code,
    a_statement_is_spent_until_it_expires,
    users_are_found_by_name_in_any_case_and_not_by_one_that_two_have,
    members_are_found_through_groups_and_circles_of_them,
    an_object_of_another_domain_is_left_alone,
    a_computer_keeps_the_certificates_that_came_last,
    a_device_that_joins_again_is_replaced,
);

fn user(byte: u8, upn: &str) -> User {
    User {
        guid: guid(byte),
        domain: domain(),
        sid: sid(1000 + u32::from(byte)),
        upn: upn.to_owned(),
        sam: "sam".to_owned(),
        display_name: "Name".to_owned(),
        dn: "CN=Name".to_owned(),
        active: true,
    }
}

fn group(byte: u8, members: &[u8]) -> DirectoryChange {
    DirectoryChange::PutGroup(Group {
        guid: guid(byte),
        domain: domain(),
        sid: sid(1000 + u32::from(byte)),
        name: format!("group {byte}"),
        dn: "CN=Group".to_owned(),
        members: members.iter().map(|byte| guid(*byte)).collect(),
    })
}

async fn apply(store: &Arc<dyn Store>, changes: Vec<DirectoryChange>) {
    let count = changes.len();
    let applied = store.apply(tenant(), domain(), changes).await.unwrap();
    assert_eq!(applied, vec![true; count]);
}

async fn there_is_one_tenant(store: Arc<dyn Store>) {
    let (tenant, administrator) = some_tenant();
    assert_eq!(store.tenant().await.unwrap(), Some(tenant.clone()));
    let second = store
        .create_tenant(tenant, administrator, Vec::new(), audit("init"))
        .await;
    assert!(matches!(second, Err(Error::Conflict(_))), "{second:?}");
}

async fn settings_are_what_was_set_last(store: Arc<dyn Store>) {
    let settings = Settings {
        register_keys_group: Some(guid(9)),
        join_devices_group: None,
    };
    store
        .set_settings(tenant(), settings.clone(), audit("set"))
        .await
        .unwrap();
    assert_eq!(store.settings(tenant()).await.unwrap(), settings);
    let rows = store.audit_rows(tenant(), 1).await.unwrap();
    assert_eq!((rows[0].action.as_str(), rows[0].at), ("set", NOW));
}

async fn an_enrollment_code_is_spent_once_whoever_comes_first(store: Arc<dyn Store>) {
    let code = EnrollmentCode {
        digest: [8; 32],
        expires: NOW.plus(60),
    };
    store
        .add_enrollment_code(tenant(), code, audit("code"))
        .await
        .unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for id in 40..50 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            let (domain, agent) = (some_domain(domain()), some_agent(id, domain()));
            store
                .enroll_agent(tenant(), [8; 32], domain, agent, audit("enroll"))
                .await
                .unwrap()
        });
    }
    assert_eq!(
        tasks
            .join_all()
            .await
            .into_iter()
            .filter(|enrolled| *enrolled)
            .count(),
        1
    );
    assert_eq!(store.agents(tenant()).await.unwrap().len(), 3);
}

async fn an_enrollment_that_is_refused_leaves_the_code(store: Arc<dyn Store>) {
    let code = EnrollmentCode {
        digest: [8; 32],
        expires: NOW.plus(60),
    };
    store
        .add_enrollment_code(tenant(), code, audit("code"))
        .await
        .unwrap();
    let wrong = Domain {
        sid: "S-1-5-21-9-9-9".parse().unwrap(),
        ..some_domain(domain())
    };
    let agent = some_agent(40, domain());
    let refused = store
        .enroll_agent(tenant(), [8; 32], wrong, agent.clone(), audit("x"))
        .await;
    assert!(matches!(refused, Err(Error::Conflict(_))), "{refused:?}");
    let right = some_domain(domain());
    assert!(
        store
            .enroll_agent(tenant(), [8; 32], right, agent, audit("x"))
            .await
            .unwrap()
    );
}

async fn a_statement_is_spent_until_it_expires(store: Arc<dyn Store>) {
    let spend = async |now| {
        store
            .spend_statement(tenant(), [7; 32], now, NOW.plus(100))
            .await
            .unwrap()
    };
    assert!(spend(NOW).await);
    assert!(!spend(NOW.plus(99)).await);
    assert!(spend(NOW.plus(100)).await);
}

async fn users_are_found_by_name_in_any_case_and_not_by_one_that_two_have(store: Arc<dyn Store>) {
    let (one, other) = (user(11, "Änne@corp.example"), user(12, "bob@corp.example"));
    let changes = [&one, &other].map(|user| DirectoryChange::PutUser(user.clone()));
    apply(&store, changes.to_vec()).await;
    let find = async |upn| store.user_by_upn(tenant(), upn).await.unwrap();
    assert_eq!(find("äNNE@CORP.example").await, Some(one.clone()));
    assert_eq!(store.user(tenant(), guid(12)).await.unwrap(), Some(other));
    apply(&store, vec![DirectoryChange::PutUser(user(12, &one.upn))]).await;
    assert_eq!(find(&one.upn).await, None);
    apply(
        &store,
        vec![DirectoryChange::Delete(ObjectKind::User, guid(12))],
    )
    .await;
    assert_eq!(find(&one.upn).await, Some(one));
    assert_eq!(store.users(tenant()).await.unwrap().len(), 1);
}

async fn members_are_found_through_groups_and_circles_of_them(store: Arc<dyn Store>) {
    let changes = vec![
        group(21, &[11]),
        group(22, &[21]),
        group(23, &[22, 12]),
        group(21, &[11, 23]),
    ];
    apply(&store, changes).await;
    let is_member = async |member, group| {
        store
            .is_member(tenant(), guid(member), guid(group))
            .await
            .unwrap()
    };
    for group in [21, 22, 23] {
        assert!(is_member(11, group).await, "{group}");
        assert!(is_member(12, group).await, "{group}");
        assert!(!is_member(13, group).await, "{group}");
    }
    assert!(!is_member(11, 24).await);
    apply(&store, vec![group(22, &[])]).await;
    assert!(!is_member(11, 22).await);
    assert!(is_member(11, 21).await);
}

async fn an_object_of_another_domain_is_left_alone(store: Arc<dyn Store>) {
    let alice = user(11, "alice@corp.example");
    apply(&store, vec![DirectoryChange::PutUser(alice.clone())]).await;
    let taken = User {
        domain: other_domain(),
        ..alice.clone()
    };
    let changes = vec![
        DirectoryChange::PutUser(taken),
        DirectoryChange::PutUser(alice.clone()),
        DirectoryChange::Delete(ObjectKind::User, guid(11)),
    ];
    let applied = store
        .apply(tenant(), other_domain(), changes)
        .await
        .unwrap();
    assert_eq!(applied, [false, false, false]);
    assert_eq!(store.user(tenant(), guid(11)).await.unwrap(), Some(alice));
}

async fn a_computer_keeps_the_certificates_that_came_last(store: Arc<dyn Store>) {
    let computer = |certificates: &[&[u8]]| Computer {
        guid: guid(31),
        domain: domain(),
        sid: sid(1031),
        name: "ws1".to_owned(),
        dn: "CN=ws1".to_owned(),
        active: true,
        certificates: certificates.iter().map(|der| der.to_vec()).collect(),
    };
    for certificates in [&[&b"one"[..], b"two"][..], &[b"three"], &[]] {
        let computer = computer(certificates);
        apply(&store, vec![DirectoryChange::PutComputer(computer.clone())]).await;
        assert_eq!(
            store.computer(tenant(), guid(31)).await.unwrap(),
            Some(computer)
        );
    }
}

async fn a_device_that_joins_again_is_replaced(store: Arc<dyn Store>) {
    let device = |certificate: &[u8]| Device {
        id: guid(31),
        domain: domain(),
        display_name: "ws1".to_owned(),
        os_version: "1".to_owned(),
        certificate: certificate.to_vec(),
        transport_key: vec![1],
        attestation_key: Some(vec![2]),
        endorsement_key: None,
        endorsement_certificate: None,
        enabled: true,
        joined: NOW,
    };
    for certificate in [b"one", b"two"] {
        store
            .join_device(tenant(), device(certificate), audit("join"))
            .await
            .unwrap();
    }
    assert_eq!(
        store.device(tenant(), guid(31)).await.unwrap(),
        Some(device(b"two"))
    );
    assert_eq!(store.devices(tenant()).await.unwrap().len(), 1);
    assert!(
        store
            .remove_device(tenant(), guid(31), audit("leave"))
            .await
            .unwrap()
    );
    assert!(
        !store
            .remove_device(tenant(), guid(31), audit("leave"))
            .await
            .unwrap()
    );
}
