//! The tenant, its agents, and what they bring in.

use store::{
    Attestation, Chain, Computer, DirectoryChange, Domain, EnrollmentCode, Error, ObjectKind,
    Sealed, SealedName, Settings, SigningKey, Spend, Store, Withheld,
};

use crate::{
    NOW, audit, domain, first_key, guid, on_every_store, other_domain,
    people::{apply, synced, user},
    sid, some_agent, some_domain, some_tenant, tenant,
};

on_every_store!(
    there_is_one_tenant,
    sealed_secrets_are_kept_all_or_none_and_exchanged_by_whoever_has_seen_the_last,
    settings_are_what_was_set_last,
    an_enrollment_code_is_spent_once_whoever_comes_first,
    an_enrollment_that_is_refused_leaves_the_code,
    a_statement_is_spent_until_it_expires,
    an_object_of_another_domain_is_left_alone,
    a_computer_keeps_the_certificates_that_came_last,
    a_signing_key_follows_another,
    host_names_are_a_list,
    the_audit_log_is_a_chain,
);

async fn there_is_one_tenant(store: Store) {
    let tenant = some_tenant();
    assert_eq!(store.tenant().await.unwrap(), Some(tenant.clone()));
    let second = store
        .create_tenant(tenant, Vec::new(), first_key(), audit("init"))
        .await;
    assert!(matches!(second, Err(Error::Conflict(_))), "{second:?}");
}

async fn sealed_secrets_are_kept_all_or_none_and_exchanged_by_whoever_has_seen_the_last(
    store: Store,
) {
    const NAMES: &[SealedName] = &[SealedName::DeviceCaKey, SealedName::DeviceCaCertificate];
    let secret = |name, byte| Sealed {
        name,
        value: vec![byte],
    };
    let pair = |byte| NAMES.iter().map(|name| secret(*name, byte)).collect();
    store
        .put_sealed(tenant(), pair(1), audit("put"))
        .await
        .unwrap();
    store
        .put_sealed(tenant(), pair(2), audit("put"))
        .await
        .unwrap();
    let one = async |name| store.sealed(tenant(), name).await.unwrap();
    assert_eq!(one(SealedName::DeviceCaKey).await, Some(vec![2]));
    assert_eq!(one(SealedName::RecoveryKey).await, None);

    let mut tasks = tokio::task::JoinSet::new();
    for byte in 10..20 {
        let (store, new) = (store.clone(), pair(byte));
        tasks.spawn(async move {
            let seen = secret(SealedName::DeviceCaCertificate, 2);
            let exchanged = store.exchange_sealed(tenant(), seen, new, audit("exchange"));
            exchanged.await.unwrap().then_some(byte)
        });
    }
    let done: Vec<u8> = tasks.join_all().await.into_iter().flatten().collect();
    assert_eq!(done.len(), 1);
    let mut kept = store.sealed_together(tenant(), NAMES).await.unwrap();
    kept.sort_by_key(|secret| NAMES.iter().position(|name| *name == secret.name));
    assert_eq!(kept, pair(done[0]));
    let rows = store.audit_rows(tenant(), 100).await.unwrap();
    assert_eq!(
        rows.iter().filter(|row| row.action == "exchange").count(),
        1
    );
}

async fn settings_are_what_was_set_last(store: Store) {
    let settings = Settings {
        register_keys_groups: vec![guid(9), guid(8)],
        attestation: Attestation::Require,
        attestation_by_group: vec![(guid(9), Attestation::Off)],
        ..Settings::default()
    };
    store
        .set_settings(tenant(), settings.clone(), audit("set"))
        .await
        .unwrap();
    assert_eq!(store.settings(tenant()).await.unwrap(), settings);
    let rows = store.audit_rows(tenant(), 1).await.unwrap();
    assert_eq!((rows[0].action.as_str(), rows[0].at), ("set", NOW));
}

async fn an_enrollment_code_is_spent_once_whoever_comes_first(store: Store) {
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
        let store = store.clone();
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

async fn an_enrollment_that_is_refused_leaves_the_code(store: Store) {
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

async fn a_statement_is_spent_until_it_expires(store: Store) {
    let spend = async |now| {
        let statement = Spend {
            id: [7; 32],
            until: NOW.plus(100),
        };
        store.spend(tenant(), statement, now).await.unwrap()
    };
    assert!(spend(NOW).await);
    assert!(!spend(NOW.plus(99)).await);
    assert!(spend(NOW.plus(100)).await);
}

async fn an_object_of_another_domain_is_left_alone(store: Store) {
    let alice = user(11, "alice@corp.example");
    apply(&store, vec![DirectoryChange::PutUser(alice.clone())]).await;
    let taken = synced(11, other_domain(), "alice@corp.example");
    let changes = vec![
        DirectoryChange::PutUser(taken),
        DirectoryChange::PutUser(alice.clone()),
        DirectoryChange::Delete(ObjectKind::User, guid(11)),
    ];
    let applied = store
        .apply((tenant(), other_domain()), changes, NOW)
        .await
        .unwrap();
    assert_eq!(applied, [Err(Withheld::NotOurs); 3]);
    assert_eq!(store.user(tenant(), guid(11)).await.unwrap(), Some(alice));
}

async fn a_computer_keeps_the_certificates_that_came_last(store: Store) {
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

async fn a_signing_key_follows_another(store: Store) {
    let second = SigningKey {
        name: "second".to_owned(),
        not_before: NOW.plus(10),
        ..first_key()
    };
    store
        .add_signing_key(tenant(), second.clone(), audit("add"))
        .await
        .unwrap();
    let retired = store.retire_signing_key(tenant(), "token-key", NOW.plus(20), audit("retire"));
    assert!(retired.await.unwrap());
    let first = SigningKey {
        retires: Some(NOW.plus(20)),
        ..first_key()
    };
    assert_eq!(store.signing_keys(tenant()).await.unwrap(), [second, first]);
    let delete = async |name, seconds| {
        let row = store::Audit {
            at: NOW.plus(seconds),
            ..audit("delete")
        };
        store.delete_signing_key(tenant(), name, row).await.unwrap()
    };
    assert!(!delete("token-key", 19).await);
    assert!(delete("token-key", 20).await);
    assert!(!delete("second", 100).await);
}

async fn host_names_are_a_list(store: Store) {
    for (name, is_new) in [
        ("B.example", true),
        ("a.example", true),
        ("b.example", false),
    ] {
        let added = store.add_host(tenant(), name, audit("host")).await.unwrap();
        assert_eq!(added, is_new, "{name}");
    }
    assert!(
        store
            .remove_host(tenant(), "A.example", audit("host"))
            .await
            .unwrap()
    );
    assert_eq!(store.hosts(tenant()).await.unwrap(), ["b.example"]);
}

async fn the_audit_log_is_a_chain(store: Store) {
    let before = store.audit_rows(tenant(), 100).await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let store = store.clone();
        tasks.spawn(async move { store.add_audit(tenant(), audit("look")).await.unwrap() });
    }
    tasks.join_all().await;
    let whole = store.check_audit(tenant()).await.unwrap();
    assert_eq!(whole, Chain::Whole(before.len() as u64 + 20));
    let behind = store
        .audit_after(tenant(), before[0].id, 100)
        .await
        .unwrap();
    assert_eq!(behind.len(), 20);
    assert!(behind.windows(2).all(|pair| pair[0].id < pair[1].id));
}
