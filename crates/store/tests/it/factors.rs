//! Factors: what is good once is good once, whoever races.

use store::{
    AccessPass, Approval, ApprovalState, Endorsement, Factors, SecurityKey, Store, Totp, TpmRoot,
};

use crate::{NOW, audit, guid, on_every_store, tenant};

on_every_store!(
    a_pass_for_one_sign_in_lets_in_one_whoever_races,
    a_pass_is_good_in_its_time_only,
    a_security_key_that_does_not_count_on_is_refused,
    an_approval_is_answered_once_by_its_user_and_spent_once,
    a_generator_is_confirmed_by_its_first_password,
    factors_are_listed_and_taken_together,
    endorsement_keys_and_manufacturers_are_lists,
);

/// How many of ten calls side by side said yes.
async fn count_of_ten<F>(store: &Store, call: impl Fn(Store) -> F) -> usize
where
    F: Future<Output = bool> + Send + 'static,
{
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..10 {
        tasks.spawn(call(store.clone()));
    }
    let answers = tasks.join_all().await;
    answers.into_iter().filter(|said_yes| *said_yes).count()
}

fn pass(once: bool) -> AccessPass {
    AccessPass {
        digest: [1; 32],
        starts: NOW,
        expires: NOW.plus(60),
        once,
        used: None,
    }
}

async fn set_pass(store: &Store, pass: AccessPass) {
    store
        .set_access_pass(tenant(), guid(11), pass, audit("pass"))
        .await
        .unwrap();
}

async fn a_pass_for_one_sign_in_lets_in_one_whoever_races(store: Store) {
    for (once, expected) in [(true, 1), (false, 10)] {
        set_pass(&store, pass(once)).await;
        let used = count_of_ten(&store, |store| async move {
            store
                .use_access_pass(tenant(), guid(11), [1; 32], NOW)
                .await
                .unwrap()
        });
        assert_eq!(used.await, expected);
    }
}

async fn a_pass_is_good_in_its_time_only(store: Store) {
    set_pass(&store, pass(false)).await;
    let is_good = async |user, digest, seconds| {
        store
            .use_access_pass(tenant(), guid(user), [digest; 32], NOW.plus(seconds))
            .await
            .unwrap()
    };
    assert!(!is_good(11, 1, -1).await);
    assert!(!is_good(11, 1, 60).await);
    assert!(!is_good(11, 2, 0).await);
    assert!(!is_good(12, 1, 0).await);
    assert!(is_good(11, 1, 59).await);
    let used = AccessPass {
        used: Some(NOW.plus(59)),
        ..pass(false)
    };
    assert_eq!(
        store.access_pass(tenant(), guid(11)).await.unwrap(),
        Some(used)
    );
}

fn security_key(byte: u8, user: u8, counter: u32) -> SecurityKey {
    SecurityKey {
        id: vec![byte; 20],
        user: guid(user),
        name: "key".to_owned(),
        public: "{}".to_owned(),
        counter,
        created: NOW,
        last_used: None,
    }
}

async fn add_key(store: &Store, key: SecurityKey) -> bool {
    store
        .add_security_key(tenant(), key, audit("key"))
        .await
        .unwrap()
}

async fn a_security_key_that_does_not_count_on_is_refused(store: Store) {
    assert!(add_key(&store, security_key(1, 11, 5)).await);
    assert!(add_key(&store, security_key(2, 11, 0)).await);
    assert!(!add_key(&store, security_key(1, 12, 0)).await);
    let used = async |byte: u8, counter| {
        store
            .use_security_key(tenant(), &[byte; 20], counter, "{1}".to_owned(), NOW)
            .await
            .unwrap()
    };
    assert!(!used(1, 5).await);
    assert!(!used(1, 0).await);
    assert!(used(1, 6).await);
    assert!(!used(1, 6).await);
    assert!(used(2, 0).await && used(2, 0).await);
    assert!(!used(3, 1).await);
    let found = store.security_key(tenant(), &[1; 20]).await.unwrap();
    let expected = SecurityKey {
        public: "{1}".to_owned(),
        last_used: Some(NOW),
        ..security_key(1, 11, 6)
    };
    assert_eq!(found, Some(expected));
}

async fn an_approval_is_answered_once_by_its_user_and_spent_once(store: Store) {
    let approval = |byte: u8| Approval {
        id: [byte; 32],
        user: guid(11),
        number: 42,
        context: "{}".to_owned(),
        state: ApprovalState::Pending,
        created: NOW,
        expires: NOW.plus(60),
        session: None,
    };
    for byte in [1, 2] {
        store
            .begin_approval(tenant(), approval(byte), NOW)
            .await
            .unwrap();
    }
    let answer = async |byte: u8, user, seconds| {
        let (session, now) = (Some([9; 32]), NOW.plus(seconds));
        store
            .answer_approval(
                tenant(),
                ([byte; 32], guid(user)),
                ApprovalState::Approved,
                session,
                now,
            )
            .await
            .unwrap()
    };
    assert!(!answer(1, 12, 0).await);
    assert!(!answer(1, 11, 60).await);
    assert!(answer(1, 11, 0).await);
    assert!(!answer(1, 11, 0).await);
    let pending = store
        .pending_approvals(tenant(), guid(11), NOW)
        .await
        .unwrap();
    assert_eq!(pending, [approval(2)]);
    let found = store.approval(tenant(), [1; 32], NOW).await.unwrap();
    assert_eq!(found.unwrap().session, Some([9; 32]));
    let spent = count_of_ten(&store, |store| async move {
        store.spend_approval(tenant(), [1; 32], NOW).await.unwrap()
    });
    assert_eq!(spent.await, 1);
    assert!(!store.spend_approval(tenant(), [2; 32], NOW).await.unwrap());
}

fn unconfirmed() -> Totp {
    Totp {
        sealed: vec![1],
        last_step: 0,
        name: "telephone".to_owned(),
        created: NOW,
        confirmed: false,
    }
}

async fn a_generator_is_confirmed_by_its_first_password(store: Store) {
    store
        .set_totp(tenant(), guid(11), unconfirmed(), audit("totp"))
        .await
        .unwrap();
    let spent = count_of_ten(&store, |store| async move {
        store.spend_totp(tenant(), guid(11), 7).await.unwrap()
    });
    assert_eq!(spent.await, 1);
    let found = store.totp(tenant(), guid(11)).await.unwrap().unwrap();
    assert!(found.confirmed && found.last_step == 7);
}

async fn factors_are_listed_and_taken_together(store: Store) {
    store
        .set_totp(tenant(), guid(11), unconfirmed(), audit("totp"))
        .await
        .unwrap();
    set_pass(&store, pass(true)).await;
    add_key(&store, security_key(1, 11, 0)).await;
    add_key(&store, security_key(2, 12, 0)).await;
    let factors = async || store.factors(tenant(), guid(11)).await.unwrap();
    let all = Factors {
        totp: Some(unconfirmed()),
        security_keys: vec![security_key(1, 11, 0)],
        access_pass: Some(pass(true)),
    };
    assert_eq!(factors().await, all);
    let taken = async || {
        store
            .delete_factors(tenant(), guid(11), audit("factors"))
            .await
            .unwrap()
    };
    assert!(taken().await);
    assert!(!taken().await);
    assert_eq!(factors().await.security_keys, []);
    let other = store.security_keys(tenant(), guid(12)).await.unwrap();
    assert_eq!(other.len(), 1);
    let delete = async |user| {
        store
            .delete_security_key(tenant(), guid(user), &[2; 20], audit("key"))
            .await
            .unwrap()
    };
    assert!(!delete(11).await);
    assert!(delete(12).await);
}

async fn endorsement_keys_and_manufacturers_are_lists(store: Store) {
    let endorsement = |byte: u8, note: &str| Endorsement {
        hash: [byte; 32],
        note: note.to_owned(),
        added: NOW,
    };
    for list in [
        vec![endorsement(1, "old"), endorsement(2, "two")],
        vec![endorsement(1, "one")],
    ] {
        store
            .add_endorsements(tenant(), list, audit("ek"))
            .await
            .unwrap();
    }
    assert_eq!(
        store.endorsements(tenant()).await.unwrap(),
        [endorsement(1, "one"), endorsement(2, "two")]
    );
    assert!(
        store
            .remove_endorsement(tenant(), [1; 32], audit("ek"))
            .await
            .unwrap()
    );
    let is_endorsed = async |byte| store.is_endorsed(tenant(), [byte; 32]).await.unwrap();
    assert_eq!((is_endorsed(1).await, is_endorsed(2).await), (false, true));
    let root = TpmRoot {
        name: "Maker".to_owned(),
        der: vec![1, 2],
        added: NOW,
    };
    store
        .add_tpm_root(tenant(), root.clone(), audit("root"))
        .await
        .unwrap();
    assert_eq!(store.tpm_roots(tenant()).await.unwrap(), [root]);
    let hash = model::sha256(&[1, 2]);
    assert!(
        store
            .remove_tpm_root(tenant(), hash, audit("root"))
            .await
            .unwrap()
    );
}
