//! Lockout values and their codes.

use model::UnixTime;
use store::{LockoutCode, Store};

use crate::{
    NOW, audit, guid, on_every_store,
    people::{device, join},
    tenant,
};

on_every_store!(
    a_value_goes_out_once_for_its_code_in_its_time,
    the_fifth_wrong_code_ends_the_right_one,
    a_newer_value_ends_the_code_and_goes_with_its_device,
    a_code_shown_by_many_at_once_is_good_for_one,
);

const RIGHT: [u8; 32] = [7; 32];

async fn put(store: &Store, value: &[u8]) -> bool {
    store
        .put_lockout(tenant(), guid(31), value.to_vec(), audit("put"))
        .await
        .unwrap()
}

async fn set_code(store: &Store, device: u8) -> bool {
    let code = LockoutCode {
        digest: RIGHT,
        expires: NOW.plus(60),
    };
    store
        .set_lockout_code(tenant(), guid(device), code, audit("lockout.code"))
        .await
        .unwrap()
}

async fn take(store: &Store, device: u8, digest: [u8; 32], at: UnixTime) -> Option<Vec<u8>> {
    let audit = store::Audit {
        at,
        ..audit("take")
    };
    store
        .take_lockout(tenant(), guid(device), digest, audit)
        .await
        .unwrap()
}

/// A store with a device that has a value and a code.
async fn with_code(store: &Store) {
    join(store, device(31, b"one")).await;
    join(store, device(32, b"two")).await;
    assert!(put(store, b"value").await);
    assert!(set_code(store, 31).await);
}

async fn a_value_goes_out_once_for_its_code_in_its_time(store: Store) {
    assert!(!put(&store, b"of nobody").await);
    with_code(&store).await;
    assert!(!set_code(&store, 32).await);
    assert_eq!(take(&store, 32, RIGHT, NOW).await, None);
    let value = Some(b"value".to_vec());
    assert_eq!(take(&store, 31, RIGHT, NOW.plus(59)).await, value);
    assert_eq!(take(&store, 31, RIGHT, NOW.plus(59)).await, None);
    assert!(set_code(&store, 31).await);
    assert_eq!(take(&store, 31, RIGHT, NOW.plus(60)).await, None);
    assert_eq!(take(&store, 31, RIGHT, NOW).await, None);
    let rows = store.audit_rows(tenant(), 100).await.unwrap();
    let count = |action| rows.iter().filter(|row| row.action == action).count();
    assert_eq!(
        [count("put"), count("lockout.code"), count("take")],
        [1, 2, 1]
    );
    let kept = store.lockout(tenant(), guid(31)).await.unwrap();
    assert_eq!(kept, value);
}

async fn the_fifth_wrong_code_ends_the_right_one(store: Store) {
    with_code(&store).await;
    for (wrong, expected) in [(4, Some(b"value".to_vec())), (5, None)] {
        assert!(set_code(&store, 31).await);
        for _ in 0..wrong {
            assert_eq!(take(&store, 31, [8; 32], NOW).await, None);
        }
        assert_eq!(take(&store, 31, RIGHT, NOW).await, expected, "{wrong}");
    }
}

async fn a_newer_value_ends_the_code_and_goes_with_its_device(store: Store) {
    with_code(&store).await;
    assert!(put(&store, b"newer").await);
    assert_eq!(take(&store, 31, RIGHT, NOW).await, None);
    assert!(set_code(&store, 31).await);
    let newer = Some(b"newer".to_vec());
    assert_eq!(take(&store, 31, RIGHT, NOW).await, newer);
    let deleted = store.delete_device(tenant(), guid(31), audit("delete"));
    assert!(deleted.await.unwrap());
    assert_eq!(store.lockout(tenant(), guid(31)).await.unwrap(), None);
    assert!(!set_code(&store, 31).await);
}

async fn a_code_shown_by_many_at_once_is_good_for_one(store: Store) {
    with_code(&store).await;
    let mut taking = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let store = store.clone();
        taking.spawn(async move { take(&store, 31, RIGHT, NOW).await });
    }
    let taken = taking.join_all().await;
    assert_eq!(taken.iter().flatten().count(), 1);
}
