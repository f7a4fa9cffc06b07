//! Keys and the feed.

use model::Guid;
use store::{
    AttestationLevel, Attested, Change, ChangeOp, ChangeOutcome, ChangeResult, KeyState, NewKey,
    Registered, Store,
};

use crate::{NOW, audit, domain, guid, on_every_store, other_domain, sid, tenant};

on_every_store!(
    a_key_is_registered_once_whoever_repeats_it,
    a_key_of_another_user_or_device_is_refused,
    a_newer_key_takes_the_older_one_out_first,
    a_change_is_open_until_its_outcome_is_known,
    an_outcome_that_comes_late_or_from_elsewhere_changes_nothing,
    every_outcome_gives_its_state,
    a_removed_key_may_be_registered_again_under_a_new_id,
    a_removal_that_was_refused_is_handed_out_again_by_deleting_again,
    a_refused_removal_stays_closed_once_the_material_is_in_use_again,
    whoever_watches_keys_is_told_of_their_commits_only,
    the_feed_has_pages,
    keys_have_pages_the_newest_first,
    a_key_of_a_user_whom_ad_does_not_have_stays_here,
    the_keys_of_a_user_who_is_gone_go_out,
    the_keys_of_a_computer_that_is_gone_go_out,
    a_key_that_was_lost_counts_as_revoked_unless_something_newer_is_known,
    a_key_that_is_everywhere_is_at_no_controller_before_the_others,
    keys_that_ad_has_are_told_by_their_newest_addition,
    a_key_that_was_removed_elsewhere_is_told_until_no_controller_has_it,
    what_was_found_about_a_key_is_kept,
);

pub(crate) fn new_key(kid: u8, user: u8, device: u8, material: u8, evidence: &str) -> NewKey {
    NewKey {
        kid: guid(kid),
        user: guid(user),
        account: Some((domain(), sid(1000 + u32::from(user)))),
        device: guid(device),
        material: vec![material; 283],
        evidence: Some(evidence.to_owned()),
        attestation: None,
        attested: Attested {
            level: AttestationLevel::None,
            reason: "none was sent".to_owned(),
            at: NOW,
        },
        now_ms: NOW.0 * 1000 + i64::from(kid),
    }
}

pub(crate) async fn register(store: &Store, key: NewKey) -> Registered {
    store
        .register_key(tenant(), key, audit("register"))
        .await
        .unwrap()
}

async fn open(store: &Store) -> Vec<Change> {
    store.changes(tenant(), domain(), 0, 100).await.unwrap()
}

pub(crate) async fn told(store: &Store) -> Vec<(ChangeOp, Guid, Option<String>)> {
    open(store)
        .await
        .into_iter()
        .map(|c| (c.op, c.key.kid, c.evidence))
        .collect()
}

fn result(seq: u64, outcome: ChangeOutcome) -> ChangeResult {
    ChangeResult {
        seq,
        outcome,
        dc: Some("dc".to_owned()),
        code: Some("code".to_owned()),
        detail: Some("detail".to_owned()),
    }
}

async fn report(store: &Store, domain: Guid, seq: u64, outcome: ChangeOutcome) {
    let results = vec![result(seq, outcome)];
    store
        .store_results(tenant(), domain, results, NOW.0 * 1000 + 500)
        .await
        .unwrap();
}

async fn state(store: &Store, kid: u8) -> KeyState {
    store.key(tenant(), guid(kid)).await.unwrap().unwrap().state
}

async fn a_key_is_registered_once_whoever_repeats_it(store: Store) {
    let mut tasks = tokio::task::JoinSet::new();
    for kid in 50..60 {
        let store = store.clone();
        tasks.spawn(async move { register(&store, new_key(kid, 11, 31, 1, "e")).await });
    }
    let answers = tasks.join_all().await;
    assert!(
        answers.iter().all(|answer| answer == &answers[0]),
        "{answers:?}"
    );
    assert_eq!(store.keys(tenant(), None, 100).await.unwrap().rows.len(), 1);
    assert_eq!(open(&store).await.len(), 1);
}

async fn a_key_of_another_user_or_device_is_refused(store: Store) {
    register(&store, new_key(50, 11, 31, 1, "e")).await;
    for key in [new_key(51, 12, 31, 1, "e"), new_key(52, 11, 32, 1, "e")] {
        assert_eq!(register(&store, key).await, Registered::OfAnother);
    }
    assert_eq!(store.keys(tenant(), None, 100).await.unwrap().rows.len(), 1);
    let other = register(&store, new_key(53, 11, 32, 2, "e")).await;
    assert_eq!(other, Registered::Stored(guid(53)));
    let keys = store.keys_of_sid(tenant(), &sid(1011)).await.unwrap();
    assert_eq!(
        keys.iter().map(|key| key.kid).collect::<Vec<_>>(),
        [guid(53), guid(50)]
    );
}

async fn a_newer_key_takes_the_older_one_out_first(store: Store) {
    register(&store, new_key(50, 11, 31, 1, "one")).await;
    register(&store, new_key(51, 11, 31, 2, "two")).await;
    let expected = [
        (ChangeOp::Remove, guid(50), None),
        (ChangeOp::Add, guid(51), Some("two".to_owned())),
    ];
    assert_eq!(told(&store).await, expected);
    assert_eq!(state(&store, 50).await, KeyState::Removing);
    assert_eq!(state(&store, 51).await, KeyState::Registered);
}

async fn a_change_is_open_until_its_outcome_is_known(store: Store) {
    register(&store, new_key(50, 11, 31, 1, "e")).await;
    let change = open(&store).await.remove(0);
    assert_eq!(change.key.material, vec![1; 283]);
    assert_eq!(
        store
            .changes(tenant(), domain(), change.seq, 100)
            .await
            .unwrap(),
        []
    );
    assert_eq!(
        store
            .changes(tenant(), other_domain(), 0, 100)
            .await
            .unwrap(),
        []
    );
    report(&store, domain(), change.seq, ChangeOutcome::Confirmed).await;
    assert_eq!(open(&store).await, []);
    let key = store.key(tenant(), guid(50)).await.unwrap().unwrap();
    assert_eq!(
        (key.state, key.dc.as_deref()),
        (KeyState::Confirmed, Some("dc"))
    );
    assert_eq!(key.confirmed_ms, Some(NOW.0 * 1000 + 500));
    assert_eq!(key.created(), NOW);
}

async fn an_outcome_that_comes_late_or_from_elsewhere_changes_nothing(store: Store) {
    register(&store, new_key(50, 11, 31, 1, "one")).await;
    let first = open(&store).await.remove(0);
    report(&store, other_domain(), first.seq, ChangeOutcome::Confirmed).await;
    assert_eq!(state(&store, 50).await, KeyState::Registered);
    register(&store, new_key(50, 11, 31, 1, "two")).await;
    report(&store, domain(), first.seq, ChangeOutcome::Refused).await;
    assert_eq!(state(&store, 50).await, KeyState::Registered);
    assert_eq!(
        told(&store).await,
        [(ChangeOp::Add, guid(50), Some("two".to_owned()))]
    );
    assert!(
        store
            .delete_key(tenant(), guid(50), audit("delete"))
            .await
            .unwrap()
    );
    let second = open(&store).await.remove(0);
    assert_eq!((second.op, second.evidence), (ChangeOp::Remove, None));
    report(&store, domain(), second.seq, ChangeOutcome::Removed).await;
    report(&store, domain(), second.seq, ChangeOutcome::Refused).await;
    assert_eq!(state(&store, 50).await, KeyState::Removed);
}

async fn a_key_that_was_lost_counts_as_revoked_unless_something_newer_is_known(store: Store) {
    register(&store, new_key(50, 11, 31, 1, "one")).await;
    let first = open(&store).await.remove(0).seq;
    report(&store, domain(), first, ChangeOutcome::Lost).await;
    assert_eq!(state(&store, 50).await, KeyState::Registered, "never there");
    report(&store, domain(), first, ChangeOutcome::Confirmed).await;
    report(&store, other_domain(), first, ChangeOutcome::Lost).await;
    assert_eq!(state(&store, 50).await, KeyState::Confirmed);
    report(&store, domain(), first, ChangeOutcome::Lost).await;
    let lost = store.key(tenant(), guid(50)).await.unwrap().unwrap();
    assert_eq!(
        (lost.state, lost.code.as_deref()),
        (KeyState::Failed, Some("code"))
    );
    register(&store, new_key(50, 11, 31, 1, "two")).await;
    let second = open(&store).await.remove(0).seq;
    report(&store, domain(), second, ChangeOutcome::Confirmed).await;
    report(&store, domain(), first, ChangeOutcome::Lost).await;
    assert_eq!(state(&store, 50).await, KeyState::Confirmed, "of before");
}

async fn a_key_that_is_everywhere_is_at_no_controller_before_the_others(store: Store) {
    let dc = async || store.key(tenant(), guid(50)).await.unwrap().unwrap().dc;
    register(&store, new_key(50, 11, 31, 1, "one")).await;
    let first = open(&store).await.remove(0).seq;
    report(&store, domain(), first, ChangeOutcome::Confirmed).await;
    report(&store, other_domain(), first, ChangeOutcome::Everywhere).await;
    assert_eq!(dc().await.as_deref(), Some("dc"));
    report(&store, domain(), first, ChangeOutcome::Everywhere).await;
    assert_eq!(
        (dc().await, state(&store, 50).await),
        (None, KeyState::Confirmed)
    );
    register(&store, new_key(50, 11, 31, 1, "two")).await;
    let second = open(&store).await.remove(0).seq;
    report(&store, domain(), second, ChangeOutcome::Confirmed).await;
    report(&store, domain(), first, ChangeOutcome::Everywhere).await;
    assert_eq!(dc().await.as_deref(), Some("dc"), "of before");
}

async fn keys_that_ad_has_are_told_by_their_newest_addition(store: Store) {
    let told = async |after, domain| {
        let found = store.keys_in_directory(tenant(), domain, false, after, 2);
        let found = found.await;
        let seqs = found.unwrap().into_iter();
        seqs.map(|(seq, key)| (seq, key.kid, key.dc))
            .collect::<Vec<_>>()
    };
    for kid in 50..53 {
        register(&store, new_key(kid, kid, 31, kid, "one")).await;
    }
    let seqs: Vec<u64> = open(&store).await.iter().map(|change| change.seq).collect();
    assert_eq!(told(0, domain()).await, [], "none is confirmed");
    for seq in &seqs {
        report(&store, domain(), *seq, ChangeOutcome::Confirmed).await;
    }
    let row = |at: usize| (seqs[at], guid(50 + at as u8), Some("dc".to_owned()));
    assert_eq!(told(0, domain()).await, [row(0), row(1)]);
    assert_eq!(told(seqs[1], domain()).await, [row(2)]);
    assert_eq!(told(0, other_domain()).await, []);
    // Written again by a newer change, which is not confirmed yet.
    report(&store, domain(), seqs[0], ChangeOutcome::Lost).await;
    register(&store, new_key(50, 50, 31, 50, "two")).await;
    assert_eq!(told(0, domain()).await, [row(1), row(2)]);
    let newest = open(&store).await.remove(0).seq;
    report(&store, domain(), newest, ChangeOutcome::Confirmed).await;
    assert_eq!(
        told(seqs[2], domain()).await,
        [(newest, guid(50), Some("dc".to_owned()))]
    );
}

async fn a_key_that_was_removed_elsewhere_is_told_until_no_controller_has_it(store: Store) {
    let told = async |with_removed| {
        let found = store.keys_in_directory(tenant(), domain(), with_removed, 0, 9);
        let kids = found.await.unwrap().into_iter();
        kids.map(|(_, key)| key.kid).collect::<Vec<_>>()
    };
    // Confirmed at `dc`: one is removed there, one at another, and one when all have it.
    let mut removals = Vec::new();
    for kid in [50, 51, 52] {
        register(&store, new_key(kid, kid, 31, kid, "one")).await;
        let added = open(&store).await.remove(0).seq;
        report(&store, domain(), added, ChangeOutcome::Confirmed).await;
        if kid == 52 {
            report(&store, domain(), added, ChangeOutcome::Everywhere).await;
        }
        store
            .delete_key(tenant(), guid(kid), audit("delete"))
            .await
            .unwrap();
        let seq = open(&store).await.remove(0).seq;
        let mut removed = result(seq, ChangeOutcome::Removed);
        if kid != 50 {
            removed.dc = Some("another".to_owned());
        }
        let stored = store.store_results(tenant(), domain(), vec![removed], 1);
        stored.await.unwrap();
        removals.push(seq);
    }
    assert_eq!(told(false).await, []);
    assert_eq!(told(true).await, [guid(51)]);
    report(&store, domain(), removals[1], ChangeOutcome::Everywhere).await;
    assert_eq!(told(true).await, []);
    assert_eq!(state(&store, 51).await, KeyState::Removed);
}

async fn the_keys_of_a_computer_that_is_gone_go_out(store: Store) {
    register(&store, new_key(50, 11, 31, 1, "one")).await;
    let gone = store::DirectoryChange::Delete(store::ObjectKind::Computer, guid(31));
    crate::people::apply(&store, vec![gone]).await;
    assert_eq!(told(&store).await, [(ChangeOp::Remove, guid(50), None)]);
}

async fn every_outcome_gives_its_state(store: Store) {
    for (kid, outcome, added, removed) in [
        (
            50,
            ChangeOutcome::Confirmed,
            KeyState::Confirmed,
            KeyState::Removing,
        ),
        (
            51,
            ChangeOutcome::Refused,
            KeyState::Failed,
            KeyState::Removing,
        ),
        (
            52,
            ChangeOutcome::NeedsProof,
            KeyState::NeedsProof,
            KeyState::Removing,
        ),
        (
            53,
            ChangeOutcome::Removed,
            KeyState::Failed,
            KeyState::Removed,
        ),
    ] {
        register(&store, new_key(kid, kid, 31, kid, "e")).await;
        let seq = open(&store).await[0].seq;
        report(&store, domain(), seq, outcome).await;
        assert_eq!(
            state(&store, kid).await,
            added,
            "{outcome:?} of an addition"
        );
        store
            .delete_key(tenant(), guid(kid), audit("delete"))
            .await
            .unwrap();
        let seq = open(&store).await[0].seq;
        report(&store, domain(), seq, outcome).await;
        assert_eq!(
            state(&store, kid).await,
            removed,
            "{outcome:?} of a removal"
        );
    }
}

async fn a_removed_key_may_be_registered_again_under_a_new_id(store: Store) {
    register(&store, new_key(50, 11, 31, 1, "one")).await;
    for _ in 0..2 {
        assert!(
            store
                .delete_key(tenant(), guid(50), audit("delete"))
                .await
                .unwrap()
        );
    }
    assert!(
        !store
            .delete_key(tenant(), guid(51), audit("delete"))
            .await
            .unwrap()
    );
    assert_eq!(told(&store).await, [(ChangeOp::Remove, guid(50), None)]);
    let again = register(&store, new_key(51, 11, 31, 1, "two")).await;
    assert_eq!(again, Registered::Stored(guid(51)));
    let deletions = store
        .audit_rows(tenant(), 100)
        .await
        .unwrap()
        .into_iter()
        .filter(|r| r.action == "delete");
    assert_eq!(deletions.count(), 1);
}

/// A store with a key whose removal the agent has refused.
async fn refuse_a_removal(store: &Store) {
    register(store, new_key(50, 11, 31, 1, "one")).await;
    delete(store, 50).await;
    let seq = open(store).await[0].seq;
    report(store, domain(), seq, ChangeOutcome::Refused).await;
    assert_eq!(open(store).await, []);
}

async fn delete(store: &Store, kid: u8) {
    let deleted = store.delete_key(tenant(), guid(kid), audit("delete")).await;
    assert!(deleted.unwrap());
}

async fn a_removal_that_was_refused_is_handed_out_again_by_deleting_again(store: Store) {
    refuse_a_removal(&store).await;
    for _ in 0..2 {
        delete(&store, 50).await;
        assert_eq!(told(&store).await, [(ChangeOp::Remove, guid(50), None)]);
    }
    let again = open(&store).await.remove(0);
    assert_eq!(
        (again.key.state, again.key.code),
        (KeyState::Removing, None)
    );
    report(&store, domain(), again.seq, ChangeOutcome::Removed).await;
    delete(&store, 50).await;
    assert_eq!(open(&store).await, []);
    assert_eq!(state(&store, 50).await, KeyState::Removed);
}

async fn a_refused_removal_stays_closed_once_the_material_is_in_use_again(store: Store) {
    refuse_a_removal(&store).await;
    register(&store, new_key(51, 11, 31, 1, "two")).await;
    delete(&store, 50).await;
    assert_eq!(
        told(&store).await,
        [(ChangeOp::Add, guid(51), Some("two".to_owned()))]
    );
}

async fn whoever_watches_keys_is_told_of_their_commits_only(store: Store) {
    let mut watch = store.watch_keys();
    watch.mark_unchanged();
    store.forget_tries(tenant(), "otp", "alice").await.unwrap();
    assert!(!watch.has_changed().unwrap());
    register(&store, new_key(50, 11, 31, 1, "e")).await;
    assert!(watch.has_changed().unwrap());
}

async fn the_feed_has_pages(store: Store) {
    assert_eq!(store.last_change(tenant()).await.unwrap(), 0);
    for kid in 50..55 {
        register(&store, new_key(kid, kid, 31, kid, "e")).await;
    }
    let (mut after, mut seen) = (0, Vec::new());
    loop {
        let page = store.changes(tenant(), domain(), after, 2).await.unwrap();
        assert!(page.len() <= 2);
        let Some(last) = page.last() else { break };
        after = last.seq;
        seen.extend(page.into_iter().map(|change| change.key.kid));
    }
    assert_eq!(seen, (50..55).map(guid).collect::<Vec<_>>());
    assert_eq!(store.last_change(tenant()).await.unwrap(), after);
    assert_eq!(store.last_change(guid(9)).await.unwrap(), 0);
}

async fn keys_have_pages_the_newest_first(store: Store) {
    for kid in 50..55 {
        register(&store, new_key(kid, kid, 31, kid, "e")).await;
    }
    let (mut after, mut seen) = (None, Vec::new());
    loop {
        let page = store.keys(tenant(), after, 2).await.unwrap();
        assert!(page.rows.len() <= 2);
        seen.extend(page.rows.into_iter().map(|key| key.kid));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, (50..55).rev().map(guid).collect::<Vec<_>>());
    assert_eq!(store.count_keys(tenant()).await.unwrap(), 5);
    let broken = store.keys(tenant(), Some("broken".to_owned()), 2).await;
    assert!(matches!(broken, Err(store::Error::Conflict(_))));
}

async fn a_key_of_a_user_whom_ad_does_not_have_stays_here(store: Store) {
    let new = NewKey {
        account: None,
        ..new_key(50, 11, 31, 1, "e")
    };
    register(&store, new).await;
    assert_eq!(open(&store).await, []);
    let hash = model::sha256(&[1; 283]);
    let found = store.key_by_material(tenant(), hash).await.unwrap();
    assert_eq!(found.unwrap().sid, None);
    delete(&store, 50).await;
    assert_eq!(state(&store, 50).await, KeyState::Removed);
    assert_eq!(open(&store).await, []);
    let found = store.key_by_material(tenant(), hash).await.unwrap();
    assert_eq!(found, None);
}

async fn the_keys_of_a_user_who_is_gone_go_out(store: Store) {
    let user = crate::people::user(11, "alice@corp.example");
    crate::people::apply(&store, vec![store::DirectoryChange::PutUser(user)]).await;
    register(&store, new_key(50, 11, 31, 1, "one")).await;
    register(&store, new_key(51, 12, 31, 2, "two")).await;
    let mut news = store.watch_keys();
    news.mark_unchanged();
    let gone = store::DirectoryChange::Delete(store::ObjectKind::User, guid(11));
    crate::people::apply(&store, vec![gone]).await;
    assert!(news.has_changed().unwrap());
    let expected = [
        (ChangeOp::Add, guid(51), Some("two".to_owned())),
        (ChangeOp::Remove, guid(50), None),
    ];
    assert_eq!(told(&store).await, expected);
    let of = store.keys_of(tenant(), guid(11)).await.unwrap();
    assert_eq!(of[0].state, KeyState::Removing);
    assert_eq!(store.keys_on(tenant(), guid(31)).await.unwrap().len(), 2);
}

async fn what_was_found_about_a_key_is_kept(store: Store) {
    let new = NewKey {
        attestation: Some("{}".to_owned()),
        ..new_key(50, 11, 31, 1, "e")
    };
    register(&store, new).await;
    let found = Attested {
        level: AttestationLevel::Hardware,
        reason: "its endorsement key was named".to_owned(),
        at: NOW.plus(9),
    };
    let set = async |kid| {
        store
            .set_attested(tenant(), guid(kid), found.clone(), audit("attest"))
            .await
            .unwrap()
    };
    assert!(set(50).await);
    assert!(!set(51).await);
    let key = store.key(tenant(), guid(50)).await.unwrap().unwrap();
    assert_eq!(key.attested, found);
    let said = store.key_attestation(tenant(), guid(50)).await.unwrap();
    assert_eq!(said.as_deref(), Some("{}"));
}
