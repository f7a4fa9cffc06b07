//! Users, groups, roles and devices.

use model::Guid;
use store::{
    AttestationTrust, Device, DirectoryChange, Error, Group, GroupKind, ObjectKind, Page, Password,
    Role, RoleAssignment, ScopeTag, Store, TransportKey, User, UserKind, Withheld,
};

use crate::{
    NOW, audit, domain, guid,
    keys::{new_key, register, told},
    on_every_store, sid, tenant,
};

on_every_store!(
    users_are_found_by_name_in_any_case_and_no_second_one_gets_it,
    a_user_of_the_servers_own_becomes_a_directorys_where_that_is_allowed,
    of_two_with_one_source_anchor_none_is_put_and_none_takes_anothers_place,
    users_are_found_by_their_logon_name,
    a_user_of_the_servers_own_is_made_changed_and_deleted,
    an_agent_does_not_change_from_when_on_tokens_count,
    users_are_listed_by_pages,
    members_are_found_through_groups_and_circles_of_them,
    a_group_of_the_servers_own_is_made_changed_and_deleted,
    whoever_comes_back_is_in_groups_of_the_directory_and_in_no_other,
    roles_are_given_to_users_and_through_groups,
    a_scope_tag_in_use_stays,
    a_device_that_joins_again_is_replaced,
    of_joins_at_one_time_no_more_go_through_than_their_owner_may_have,
    a_devices_newer_certificate_takes_the_place_of_the_one_before,
    a_device_that_is_deleted_leaves_a_tombstone_and_no_key,
    a_device_is_found_by_its_certificate_and_its_owner,
    a_source_is_known_for_its_time_and_for_one_account,
    whoever_is_shut_out_is_woken,
);

pub(crate) fn synced(byte: u8, domain: Guid, upn: &str) -> User {
    User {
        guid: guid(byte),
        kind: UserKind::Synced {
            domain,
            sid: sid(1000 + u32::from(byte)),
            sam: format!("Sam{byte}"),
            dn: "CN=Name".to_owned(),
        },
        upn: upn.to_owned(),
        display_name: "Name".to_owned(),
        mail: Some("name@example".to_owned()),
        active: true,
        account_expires: Some(NOW.plus(1000)),
        locked_until: None,
        logon_hours: None,
        source_anchor: None,
        tokens_valid_from: model::UnixTime(0),
    }
}

pub(crate) fn user(byte: u8, upn: &str) -> User {
    synced(byte, domain(), upn)
}

fn cloud(byte: u8, upn: &str) -> User {
    User {
        kind: UserKind::Cloud,
        ..user(byte, upn)
    }
}

pub(crate) fn group(byte: u8, members: &[u8]) -> DirectoryChange {
    let group = Group {
        guid: guid(byte),
        kind: GroupKind::Synced {
            domain: domain(),
            sid: sid(1000 + u32::from(byte)),
            dn: "CN=Group".to_owned(),
        },
        name: format!("Group {byte}"),
    };
    DirectoryChange::PutGroup(group, members.iter().map(|byte| guid(*byte)).collect())
}

pub(crate) async fn apply(store: &Store, changes: Vec<DirectoryChange>) {
    let count = changes.len();
    let applied = store
        .apply((tenant(), domain()), changes, NOW)
        .await
        .unwrap();
    assert_eq!(applied, vec![Ok(()); count]);
}

async fn users_are_found_by_name_in_any_case_and_no_second_one_gets_it(store: Store) {
    let (one, other) = (user(11, "Änne@corp.example"), user(12, "bob@corp.example"));
    let changes = [&one, &other].map(|user| DirectoryChange::PutUser(user.clone()));
    apply(&store, changes.to_vec()).await;
    let find = async |upn| store.user_by_upn(tenant(), upn).await.unwrap();
    assert_eq!(find("äNNE@CORP.example").await, Some(one.clone()));
    assert_eq!(store.user(tenant(), guid(12)).await.unwrap(), Some(other));
    let second = vec![DirectoryChange::PutUser(user(12, &one.upn))];
    let applied = store.apply((tenant(), domain()), second, NOW);
    assert_eq!(applied.await.unwrap(), [Err(Withheld::NameTaken)]);
    assert_eq!(find(&one.upn).await, Some(one.clone()));

    // Two that change names at once.
    let swapped = [user(11, "bob@corp.example"), user(12, &one.upn)];
    apply(&store, swapped.map(DirectoryChange::PutUser).to_vec()).await;
    assert_eq!(find(&one.upn).await.map(|user| user.guid), Some(guid(12)));
    // Two that are new and have one name: the first gets it.
    let namesakes = [user(13, "eve@corp.example"), user(14, "EVE@corp.example")];
    let namesakes = namesakes.map(DirectoryChange::PutUser).to_vec();
    let applied = store.apply((tenant(), domain()), namesakes, NOW);
    assert_eq!(applied.await.unwrap(), [Ok(()), Err(Withheld::NameTaken)]);
    let gone = DirectoryChange::Delete(ObjectKind::User, guid(13));
    apply(&store, vec![gone]).await;
    assert_eq!(store.count_users(tenant()).await.unwrap(), 2);
}

async fn a_user_of_the_servers_own_becomes_a_directorys_where_that_is_allowed(store: Store) {
    let place = (tenant(), domain());
    let put = async |user: &User| {
        let change = vec![DirectoryChange::PutUser(user.clone())];
        store.apply(place, change, NOW).await.unwrap()[0]
    };
    let password = || Password {
        hash: "one".to_owned(),
        must_change: false,
    };
    let own = |byte, upn, mail: &str, anchor: Option<&str>| User {
        mail: Some(mail.to_owned()),
        source_anchor: anchor.map(str::to_owned),
        ..cloud(byte, upn)
    };
    for user in [
        own(41, "by-name@corp.example", "1@mail.example", None),
        own(42, "42@cloud.example", "By-Mail@mail.example", None),
        own(43, "43@cloud.example", "3@mail.example", Some("QUFB")),
        own(44, "chief@corp.example", "4@mail.example", None),
    ] {
        let made = store.create_user(tenant(), user, password(), audit("create"));
        made.await.unwrap();
    }
    let made = store.create_group(tenant(), guid(61), "own", audit("group"));
    made.await.unwrap();
    let added = store.add_member(tenant(), guid(61), guid(41), audit("in"));
    assert!(added.await.unwrap());
    let assignment = RoleAssignment {
        principal: guid(44),
        role: Role::Reader,
        scope_tags: Vec::new(),
    };
    let given = store.assign_role(tenant(), assignment, audit("role"));
    given.await.unwrap();

    let by_name = user(51, "By-Name@corp.example");
    let by_mail = User {
        mail: Some("by-mail@MAIL.example".to_owned()),
        ..user(52, "52@corp.example")
    };
    let by_anchor = User {
        source_anchor: Some("QUFB".to_owned()),
        ..user(53, "53@corp.example")
    };
    let chief = user(54, "chief@corp.example");
    let blocked = [put(&by_name).await, put(&chief).await];
    assert_eq!(blocked, [Err(Withheld::NotOurs); 2]);

    let mut settings = store.settings(tenant()).await.unwrap();
    settings.block_soft_match = false;
    let set = store.set_settings(tenant(), settings.clone(), audit("set"));
    set.await.unwrap();
    assert_eq!(put(&by_anchor).await, Err(Withheld::HardMatchBlocked));
    settings.block_hard_match = false;
    let set = store.set_settings(tenant(), settings, audit("set"));
    set.await.unwrap();
    assert_eq!(put(&chief).await, Err(Withheld::HoldsRole));
    // By its anchor one of the server's own, by its name another: neither gives way.
    let torn = User {
        source_anchor: Some("QUFB".to_owned()),
        ..user(55, "by-name@corp.example")
    };
    assert_eq!(put(&torn).await, Err(Withheld::NotOurs));
    assert!(store.user(tenant(), guid(43)).await.unwrap().is_some());
    for (user, was) in [(&by_name, 41), (&by_mail, 42), (&by_anchor, 43)] {
        assert_eq!(put(user).await, Ok(()), "{}", user.upn);
        assert_eq!(put(user).await, Ok(()), "twice");
        assert_eq!(store.user(tenant(), guid(was)).await.unwrap(), None);
        let found = store.user(tenant(), user.guid).await.unwrap();
        assert_eq!(found.as_ref(), Some(user));
        let password = store.password(tenant(), user.guid).await.unwrap();
        assert!(password.is_none(), "the directory's counts from now on");
    }
    let members = store.members(tenant(), guid(61), None, 10).await.unwrap();
    assert_eq!(members, [guid(51)]);
    let rows = store.audit_rows(tenant(), 3).await.unwrap();
    assert!(
        rows.iter().all(|row| row.action == "user.match"),
        "{rows:?}"
    );
}

async fn of_two_with_one_source_anchor_none_is_put_and_none_takes_anothers_place(store: Store) {
    let mut settings = store.settings(tenant()).await.unwrap();
    settings.block_hard_match = false;
    let set = store.set_settings(tenant(), settings, audit("set"));
    set.await.unwrap();
    let own = User {
        source_anchor: Some("QUFB".to_owned()),
        ..cloud(41, "41@cloud.example")
    };
    let password = Password {
        hash: "one".to_owned(),
        must_change: false,
    };
    let made = store.create_user(tenant(), own, password, audit("create"));
    made.await.unwrap();
    let put = async |users: &[&User]| {
        let changes = users.iter().copied().cloned();
        let changes = changes.map(DirectoryChange::PutUser).collect();
        store
            .apply((tenant(), domain()), changes, NOW)
            .await
            .unwrap()
    };
    let anchored = |byte: u8, anchor: &str| User {
        source_anchor: Some(anchor.to_owned()),
        ..user(byte, &format!("{byte}@corp.example"))
    };
    let taken = |byte| Err(Withheld::AnchorTaken(guid(byte)));
    // Both are new: nobody knows who of them is the server's own.
    let (first, second) = (anchored(51, "QUFB"), anchored(52, "QUFB"));
    assert_eq!(put(&[&first, &second]).await, [taken(52), taken(51)]);
    assert!(store.user(tenant(), guid(41)).await.unwrap().is_some());
    // One is there already, or has its objectGUID for an anchor.
    let plain = user(53, "53@corp.example");
    let copy = anchored(54, &plain.anchor().unwrap());
    assert_eq!(put(&[&first, &plain]).await, [Ok(()), Ok(())]);
    assert_eq!(put(&[&second, &copy]).await, [taken(51), taken(53)]);
    assert_eq!(put(&[&first]).await, [Ok(())], "its own");
    // It is mended, or anchors move in one request.
    let moved = anchored(51, "QkJC");
    assert_eq!(put(&[&moved, &second]).await, [Ok(()), Ok(())]);
    let copy = user(54, "54@corp.example");
    assert_eq!(put(&[&copy]).await, [Ok(())]);
}

async fn users_are_found_by_their_logon_name(store: Store) {
    let alice = user(11, "alice@corp.example");
    apply(&store, vec![DirectoryChange::PutUser(alice.clone())]).await;
    let find = async |domain, sam| store.user_by_sam(tenant(), domain, sam).await.unwrap();
    // Both domains of this company are called CORP; the user is in one of them.
    assert_eq!(find(Some("corp"), "sAM11").await, Some(alice.clone()));
    assert_eq!(find(None, "sam11").await, Some(alice.clone()));
    assert_eq!(find(Some("other"), "sam11").await, None);
    let namesake = User {
        kind: UserKind::Synced {
            domain: domain(),
            sid: sid(1012),
            sam: "SAM11".to_owned(),
            dn: "CN=Other".to_owned(),
        },
        ..user(12, "other@corp.example")
    };
    apply(&store, vec![DirectoryChange::PutUser(namesake)]).await;
    assert_eq!(find(None, "sam11").await, None);
}

async fn a_user_of_the_servers_own_is_made_changed_and_deleted(store: Store) {
    let password = |hash: &str| Password {
        hash: hash.to_owned(),
        must_change: hash == "one",
    };
    let alice = cloud(11, "Alice@cloud.example");
    let create = async |user: User| {
        store
            .create_user(tenant(), user, password("one"), audit("create"))
            .await
    };
    create(alice.clone()).await.unwrap();
    let again = create(cloud(12, "alice@CLOUD.example")).await;
    assert!(matches!(again, Err(Error::Conflict(_))), "{again:?}");
    let synced = create(user(12, "bob@corp.example")).await;
    assert!(matches!(synced, Err(Error::Conflict(_))), "{synced:?}");
    let hash = async || store.password(tenant(), guid(11)).await.unwrap();
    assert!(hash().await == Some(password("one")));
    assert!(
        store
            .set_password(tenant(), guid(11), password("two"), audit("password"))
            .await
            .unwrap()
    );
    assert!(hash().await == Some(password("two")));
    let renamed = User {
        display_name: "Alice".to_owned(),
        active: false,
        ..alice
    };
    let update = async |user: User| store.update_user(tenant(), user, audit("update")).await;
    assert!(update(renamed.clone()).await.unwrap());
    assert!(!update(cloud(13, "nobody@cloud.example")).await.unwrap());
    assert_eq!(store.user(tenant(), guid(11)).await.unwrap(), Some(renamed));
    let delete = async || store.delete_user(tenant(), guid(11), audit("delete")).await;
    assert!(delete().await.unwrap());
    assert!(!delete().await.unwrap());
    assert!(hash().await.is_none());
    assert_eq!(store.user(tenant(), guid(11)).await.unwrap(), None);
}

async fn an_agent_does_not_change_from_when_on_tokens_count(store: Store) {
    let alice = user(11, "alice@corp.example");
    apply(&store, vec![DirectoryChange::PutUser(alice.clone())]).await;
    assert!(
        store
            .revoke_tokens(tenant(), guid(11), NOW, audit("revoke"))
            .await
            .unwrap()
    );
    apply(&store, vec![DirectoryChange::PutUser(alice.clone())]).await;
    let found = store.user(tenant(), guid(11)).await.unwrap().unwrap();
    assert_eq!(found.tokens_valid_from, NOW);
    // Nor does one take a user of the server's own.
    let own = cloud(12, "own@cloud.example");
    let password = Password {
        hash: "hash".to_owned(),
        must_change: false,
    };
    store
        .create_user(tenant(), own, password, audit("create"))
        .await
        .unwrap();
    let changes = vec![
        DirectoryChange::PutUser(user(12, "own@cloud.example")),
        DirectoryChange::Delete(ObjectKind::User, guid(12)),
    ];
    let applied = store
        .apply((tenant(), domain()), changes, NOW)
        .await
        .unwrap();
    assert_eq!(applied, [Err(Withheld::NotOurs), Err(Withheld::NotOurs)]);
}

async fn users_are_listed_by_pages(store: Store) {
    let names = ["anna", "Bert", "berta", "BERTRAM", "carl", "ärmel"];
    let changes = (11..).zip(names).map(|(byte, name)| {
        let upn = format!("{name}@corp.example");
        DirectoryChange::PutUser(user(byte, &upn))
    });
    apply(&store, changes.collect()).await;
    let list = async |prefix: &str, most: u32| {
        let mut page = Page {
            prefix: prefix.to_owned(),
            after: None,
            most,
        };
        let mut seen = Vec::new();
        loop {
            let listing = store.users(tenant(), page.clone()).await.unwrap();
            assert!(listing.rows.len() <= most as usize);
            seen.extend(listing.rows.into_iter().map(|user| user.guid));
            let Some(next) = listing.next else {
                return seen;
            };
            page.after = Some(next);
        }
    };
    let all: Vec<Guid> = (11..17).map(guid).collect();
    for most in [1, 2, 3, 6, 100] {
        assert_eq!(list("", most).await, all, "{most}");
    }
    assert_eq!(list("BERT", 2).await, all[1..4]);
    assert_eq!(list("Ä", 2).await, all[5..]);
    assert_eq!(list("nobody", 2).await, []);
    let broken = Page {
        after: Some("broken".to_owned()),
        ..Page::first(2)
    };
    let refused = store.users(tenant(), broken).await;
    assert!(matches!(refused, Err(Error::Conflict(_))), "{refused:?}");
}

async fn members_are_found_through_groups_and_circles_of_them(store: Store) {
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
    assert_eq!(
        store.groups_of(tenant(), guid(12)).await.unwrap(),
        [guid(21), guid(22), guid(23)]
    );
    apply(&store, vec![group(22, &[])]).await;
    assert!(!is_member(11, 22).await);
    assert!(is_member(11, 21).await);
    assert_eq!(store.groups_of(tenant(), guid(13)).await.unwrap(), []);
    let members = async |after, most| {
        store
            .members(tenant(), guid(21), after, most)
            .await
            .unwrap()
    };
    assert_eq!(members(None, 1).await, [guid(11)]);
    assert_eq!(members(Some(guid(11)), 10).await, [guid(23)]);
}

async fn a_group_of_the_servers_own_is_made_changed_and_deleted(store: Store) {
    apply(&store, vec![group(21, &[11])]).await;
    let create = async |byte, name| {
        store
            .create_group(tenant(), guid(byte), name, audit("create"))
            .await
    };
    create(22, "Own").await.unwrap();
    let again = create(23, "OWN").await;
    assert!(matches!(again, Err(Error::Conflict(_))), "{again:?}");
    // A group of the directory may have the same name.
    create(23, "Group 21").await.unwrap();
    let named = store.groups_named(tenant(), "gROUP 21").await.unwrap();
    assert_eq!(named.len(), 2);
    let add = async |group, member| {
        store
            .add_member(tenant(), guid(group), guid(member), audit("add"))
            .await
            .unwrap()
    };
    assert!(add(22, 21).await);
    assert!(!add(22, 21).await);
    assert!(!add(21, 12).await, "a directory's group is its agent's");
    assert!(store.is_member(tenant(), guid(11), guid(22)).await.unwrap());
    let rename = async |byte, name| {
        store
            .rename_group(tenant(), guid(byte), name, audit("rename"))
            .await
            .unwrap()
    };
    assert!(rename(22, "Mine").await);
    assert!(!rename(21, "Mine too").await);
    let remove = async || {
        store
            .remove_member(tenant(), guid(22), guid(21), audit("remove"))
            .await
            .unwrap()
    };
    assert!(remove().await);
    assert!(!remove().await);
    let delete = async |byte| {
        store
            .delete_group(tenant(), guid(byte), audit("delete"))
            .await
            .unwrap()
    };
    assert!(delete(22).await);
    assert!(!delete(21).await);
    let groups = store.groups(tenant(), Page::first(10)).await.unwrap();
    assert_eq!(groups.rows.len(), 2);
}

async fn whoever_comes_back_is_in_groups_of_the_directory_and_in_no_other(store: Store) {
    let alice = DirectoryChange::PutUser(user(11, "alice@corp.example"));
    apply(&store, vec![alice.clone(), group(21, &[11])]).await;
    let own = guid(22);
    store
        .create_group(tenant(), own, "Own", audit("create"))
        .await
        .unwrap();
    assert!(
        store
            .add_member(tenant(), own, guid(11), audit("add"))
            .await
            .unwrap()
    );
    let gone = DirectoryChange::Delete(ObjectKind::User, guid(11));
    apply(&store, vec![gone, alice]).await;
    assert_eq!(
        store.groups_of(tenant(), guid(11)).await.unwrap(),
        [guid(21)]
    );
}

async fn roles_are_given_to_users_and_through_groups(store: Store) {
    apply(&store, vec![group(21, &[11]), group(22, &[21])]).await;
    let assignment = |principal, role, tags: &[u8]| RoleAssignment {
        principal: guid(principal),
        role,
        scope_tags: tags.iter().map(|tag| guid(*tag)).collect(),
    };
    let (reader, helpdesk) = (
        assignment(11, Role::Reader, &[]),
        assignment(22, Role::Helpdesk, &[61]),
    );
    for given in [&assignment(11, Role::Reader, &[61]), &reader, &helpdesk] {
        store
            .assign_role(tenant(), given.clone(), audit("assign"))
            .await
            .unwrap();
    }
    let roles = async |user| store.roles_of(tenant(), guid(user)).await.unwrap();
    assert_eq!(roles(11).await, [helpdesk, reader]);
    assert_eq!(roles(12).await, []);
    assert!(
        store
            .withdraw_role(tenant(), guid(22), Role::Helpdesk, audit("withdraw"))
            .await
            .unwrap()
    );
    assert_eq!(roles(11).await.len(), 1);
    assert_eq!(store.role_assignments(tenant()).await.unwrap().len(), 1);
}

async fn a_scope_tag_in_use_stays(store: Store) {
    let tag = ScopeTag {
        id: guid(61),
        name: "Berlin".to_owned(),
        description: "The office".to_owned(),
    };
    store
        .put_scope_tag(tenant(), tag.clone(), audit("tag"))
        .await
        .unwrap();
    let assignment = RoleAssignment {
        principal: guid(11),
        role: Role::Policy,
        scope_tags: vec![guid(61)],
    };
    store
        .assign_role(tenant(), assignment, audit("assign"))
        .await
        .unwrap();
    let delete = async || {
        store
            .delete_scope_tag(tenant(), guid(61), audit("tag"))
            .await
    };
    assert!(matches!(delete().await, Err(Error::Conflict(_))));
    assert_eq!(store.scope_tags(tenant()).await.unwrap(), [tag]);
    assert!(
        store
            .withdraw_role(tenant(), guid(11), Role::Policy, audit("withdraw"))
            .await
            .unwrap()
    );
    assert!(delete().await.unwrap());
    assert!(!delete().await.unwrap());
}

pub(crate) fn device(byte: u8, certificate: &[u8]) -> Device {
    Device {
        id: guid(byte),
        domain: Some(domain()),
        owner: Some(guid(11)),
        join_type: 6,
        display_name: format!("WS{byte}"),
        os_version: "1".to_owned(),
        certificate: certificate.to_vec(),
        transport_key: Some(TransportKey::Rsa1(vec![1])),
        attestation_key: Some(vec![2]),
        attestation_trust: AttestationTrust::None,
        endorsement_key: None,
        endorsement_hash: Some([3; 32]),
        endorsement_certificate: None,
        enabled: true,
        joined: NOW,
        last_seen: None,
    }
}

pub(crate) async fn join(store: &Store, device: Device) {
    let joined = store.join_device(tenant(), device, None, audit("join"));
    assert!(joined.await.unwrap());
}

async fn of_joins_at_one_time_no_more_go_through_than_their_owner_may_have(store: Store) {
    let mut tasks = tokio::task::JoinSet::new();
    for byte in 40..60 {
        let store = store.clone();
        tasks.spawn(async move {
            let device = device(byte, &[byte]);
            let joined = store.join_device(tenant(), device, Some(3), audit("join"));
            joined.await.unwrap().then_some(byte)
        });
    }
    let joined: Vec<u8> = tasks.join_all().await.into_iter().flatten().collect();
    assert_eq!(joined.len(), 3);
    let owned = store.devices_of(tenant(), guid(11)).await.unwrap();
    assert_eq!(owned.len(), 3);
    // One that is there joins again, and is no further one.
    let again = device(joined[0], b"again");
    let again = store.join_device(tenant(), again, Some(3), audit("join"));
    assert!(again.await.unwrap());
    let rows = store.audit_rows(tenant(), 100).await.unwrap();
    assert_eq!(rows.iter().filter(|row| row.action == "join").count(), 4);
}

async fn a_devices_newer_certificate_takes_the_place_of_the_one_before(store: Store) {
    let renew = async |byte, certificate: &[u8]| {
        let (id, certificate) = (guid(byte), certificate.to_vec());
        store
            .renew_device_certificate(tenant(), id, certificate, audit("renew"))
            .await
            .unwrap()
    };
    join(&store, device(31, b"one")).await;
    join(&store, device(32, b"other")).await;
    assert!(renew(31, b"newer").await);
    let find = async |der: &[u8]| {
        let hash = model::sha256(der);
        store.device_by_certificate(tenant(), hash).await.unwrap()
    };
    assert_eq!(find(b"newer").await, Some(device(31, b"newer")));
    assert_eq!(find(b"one").await, None);
    assert_eq!(find(b"other").await, Some(device(32, b"other")));
    assert!(!renew(33, b"of nobody").await);
    let rows = store.audit_rows(tenant(), 100).await.unwrap();
    assert_eq!(rows.iter().filter(|row| row.action == "renew").count(), 1);
}

async fn a_device_that_joins_again_is_replaced(store: Store) {
    join(&store, device(31, b"one")).await;
    assert!(
        store
            .set_device_enabled(tenant(), guid(31), false, audit("off"))
            .await
            .unwrap()
    );
    let again = Device {
        transport_key: Some(TransportKey::Jwk("{}".to_owned())),
        ..device(31, b"two")
    };
    join(&store, again.clone()).await;
    let off = Device {
        enabled: false,
        ..again
    };
    assert_eq!(store.device(tenant(), guid(31)).await.unwrap(), Some(off));
    assert_eq!(store.count_devices(tenant()).await.unwrap(), 1);
}

async fn a_device_that_is_deleted_leaves_a_tombstone_and_no_key(store: Store) {
    join(&store, device(31, b"one")).await;
    register(&store, new_key(50, 11, 31, 1, "e")).await;
    register(&store, new_key(51, 12, 31, 2, "e")).await;
    register(&store, new_key(52, 11, 32, 3, "e")).await;
    let mut news = store.watch_keys();
    news.mark_unchanged();
    let delete = async || {
        store
            .delete_device(tenant(), guid(31), audit("delete"))
            .await
            .unwrap()
    };
    assert!(delete().await);
    assert!(news.has_changed().unwrap());
    assert!(!delete().await);
    let feed = told(&store).await;
    let feed: Vec<_> = feed.into_iter().map(|(op, kid, _)| (op, kid)).collect();
    let expected = [
        (store::ChangeOp::Add, guid(52)),
        (store::ChangeOp::Remove, guid(50)),
        (store::ChangeOp::Remove, guid(51)),
    ];
    assert_eq!(feed, expected);
    let tombstone = async || store.tombstone(tenant(), guid(31)).await.unwrap();
    let left = tombstone().await.unwrap();
    assert_eq!((left.deleted, left.by.as_str()), (NOW, "test"));
    join(&store, device(31, b"two")).await;
    assert_eq!(tombstone().await, None);
}

async fn a_device_is_found_by_its_certificate_and_its_owner(store: Store) {
    join(&store, device(31, b"one")).await;
    join(&store, device(32, b"two")).await;
    let find = async |der: &[u8]| {
        store
            .device_by_certificate(tenant(), model::sha256(der))
            .await
            .unwrap()
    };
    assert_eq!(find(b"one").await, Some(device(31, b"one")));
    join(&store, device(31, b"newer")).await;
    assert_eq!(find(b"one").await, None);
    assert_eq!(
        store.devices_of(tenant(), guid(11)).await.unwrap(),
        [device(31, b"newer"), device(32, b"two")]
    );
    assert_eq!(store.devices_of(tenant(), guid(12)).await.unwrap(), []);
    let page = Page {
        prefix: "ws32".to_owned(),
        ..Page::first(10)
    };
    let found = store.devices(tenant(), page).await.unwrap();
    assert_eq!(found.rows, [device(32, b"two")]);
    store
        .device_seen(tenant(), guid(32), NOW.plus(9))
        .await
        .unwrap();
    let seen = store.device(tenant(), guid(32)).await.unwrap().unwrap();
    assert_eq!(seen.last_seen, Some(NOW.plus(9)));
    let trust = async |key: u8| {
        store
            .set_attestation_trust(
                tenant(),
                guid(32),
                vec![key],
                AttestationTrust::FirstUse,
                audit("trust"),
            )
            .await
            .unwrap()
    };
    assert!(!trust(9).await);
    assert!(trust(2).await);
}

async fn a_source_is_known_for_its_time_and_for_one_account(store: Store) {
    let note = async |until| {
        let noted = store.note_source(tenant(), guid(11), "address:192.0.2.7", until);
        noted.await.unwrap();
    };
    let is_known = async |account: u8, source: &str, at| {
        let known = store.is_known_source(tenant(), guid(account), source, at);
        known.await.unwrap()
    };
    note(NOW.plus(10)).await;
    assert!(is_known(11, "address:192.0.2.7", NOW.plus(9)).await);
    assert!(!is_known(11, "address:192.0.2.7", NOW.plus(10)).await);
    assert!(!is_known(12, "address:192.0.2.7", NOW).await);
    assert!(!is_known(11, "address:192.0.2.8", NOW).await);
    note(NOW.plus(20)).await;
    assert!(is_known(11, "address:192.0.2.7", NOW.plus(10)).await);
}

async fn whoever_is_shut_out_is_woken(store: Store) {
    join(&store, device(31, b"one")).await;
    let news = store.watch_keys();
    let mut before = *news.borrow();
    let mut woken = async || {
        let mut news = news.clone();
        let last = before;
        let changed = news.wait_for(|now| *now != last);
        let changed = tokio::time::timeout(std::time::Duration::from_secs(10), changed);
        before = *changed.await.unwrap().unwrap();
    };
    let off = store.set_device_enabled(tenant(), guid(31), false, audit("off"));
    assert!(off.await.unwrap());
    woken().await;
    let user = User {
        active: false,
        ..synced(51, guid(2), "off@corp.example")
    };
    let put = vec![DirectoryChange::PutUser(user)];
    assert_eq!(
        store.apply((tenant(), guid(2)), put, NOW).await.unwrap(),
        [Ok(())]
    );
    woken().await;
    let revoked = store.revoke_tokens(tenant(), guid(51), NOW, audit("revoke"));
    assert!(revoked.await.unwrap());
    woken().await;
}
