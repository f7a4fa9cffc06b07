//! Factors, tries, attempts and codes: what must happen once, happens once, whoever races.

use store::{Attempt, AttemptKind, Code, Error, Limit, Shown, Store, Totp, Verdict};

use crate::{NOW, audit, guid, on_every_store, tenant};

on_every_store!(
    no_more_tries_go_through_than_the_limit_says,
    a_try_that_is_taken_back_or_forgotten_does_not_count,
    a_generator_that_is_set_anew_starts_over,
    a_one_time_password_is_spent_by_one_attempt,
    an_attempt_ends_with_one_code,
    an_attempt_ends_with_its_time,
    a_code_is_taken_by_whoever_comes_first_and_in_time,
    an_attempt_keeps_what_was_shown_in_order,
    a_webauthn_challenge_is_taken_once,
    a_name_with_a_nul_is_one_that_nobody_has,
);

const LIMIT: Limit = Limit {
    tries: 5,
    window_s: 600,
    pause_s: 60,
};

fn attempt(byte: u8) -> Attempt {
    Attempt {
        id: [byte; 32],
        kind: AttemptKind::Native,
        client: "client".to_owned(),
        device: Some(guid(31)),
        username: "alice".to_owned(),
        user: Some(guid(11)),
        resource: "resource".to_owned(),
        code_challenge: Some("challenge".to_owned()),
        two_factors: true,
        request: "{}".to_owned(),
        password_at: None,
        methods: Vec::new(),
        mfa_time: None,
        webauthn: None,
        approval: None,
        expires: NOW.plus(600),
    }
}

fn totp(byte: u8, last_step: u64) -> Totp {
    Totp {
        sealed: vec![byte],
        last_step,
        name: "telephone".to_owned(),
        created: NOW,
        confirmed: true,
    }
}

pub(crate) fn code(byte: u8) -> Code {
    Code {
        id: [byte; 32],
        client: "client".to_owned(),
        device: Some(guid(31)),
        user: guid(11),
        resource: "resource".to_owned(),
        scope: "openid".to_owned(),
        redirect_uri: Some("https://client.example/back".to_owned()),
        nonce: Some("nonce".to_owned()),
        code_challenge: Some("challenge".to_owned()),
        methods: vec!["pwd".to_owned(), "mfa".to_owned()],
        auth_time: NOW,
        mfa_time: Some(NOW),
        prt: Some([7; 32]),
        session: None,
        expires: NOW.plus(60),
    }
}

async fn begin(store: &Store, byte: u8) {
    store
        .begin_attempt(tenant(), attempt(byte), NOW)
        .await
        .unwrap();
}

async fn no_more_tries_go_through_than_the_limit_says(store: Store) {
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let store = store.clone();
        tasks.spawn(async move {
            store
                .begin_try(tenant(), "password", "alice", NOW, LIMIT)
                .await
                .unwrap()
        });
    }
    let verdicts = tasks.join_all().await;
    assert_eq!(
        verdicts
            .iter()
            .filter(|verdict| **verdict == Verdict::Go)
            .count(),
        5
    );
    assert_eq!(
        verdicts
            .iter()
            .filter(|verdict| **verdict == Verdict::Wait(60))
            .count(),
        15
    );
    for (factor, subject) in [("otp", "alice"), ("password", "bob")] {
        let other = store
            .begin_try(tenant(), factor, subject, NOW, LIMIT)
            .await
            .unwrap();
        assert_eq!(other, Verdict::Go, "{factor} {subject}");
    }
}

async fn a_try_that_is_taken_back_or_forgotten_does_not_count(store: Store) {
    let begin = async || {
        store
            .begin_try(tenant(), "otp", "alice", NOW, LIMIT)
            .await
            .unwrap()
    };
    for _ in 0..20 {
        assert_eq!(begin().await, Verdict::Go);
        store
            .take_back_try(tenant(), "otp", "alice", NOW)
            .await
            .unwrap();
    }
    for _ in 0..5 {
        assert_eq!(begin().await, Verdict::Go);
    }
    assert_ne!(begin().await, Verdict::Go);
    store.forget_tries(tenant(), "otp", "alice").await.unwrap();
    assert_eq!(begin().await, Verdict::Go);
}

async fn a_generator_that_is_set_anew_starts_over(store: Store) {
    store
        .set_totp(tenant(), guid(11), totp(1, 0), audit("totp"))
        .await
        .unwrap();
    begin(&store, 1).await;
    assert!(
        store
            .finish_attempt(tenant(), [1; 32], Some(7), code(1))
            .await
            .unwrap()
    );
    let found = async || store.totp(tenant(), guid(11)).await.unwrap();
    assert_eq!(found().await, Some(totp(1, 7)));
    store
        .set_totp(tenant(), guid(11), totp(2, 0), audit("totp"))
        .await
        .unwrap();
    assert_eq!(found().await, Some(totp(2, 0)));
    assert_eq!(store.totp(tenant(), guid(12)).await.unwrap(), None);
}

async fn a_one_time_password_is_spent_by_one_attempt(store: Store) {
    store
        .set_totp(tenant(), guid(11), totp(1, 0), audit("totp"))
        .await
        .unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for byte in 0..10 {
        begin(&store, byte).await;
        let store = store.clone();
        tasks.spawn(async move {
            store
                .finish_attempt(tenant(), [byte; 32], Some(7), code(byte))
                .await
                .unwrap()
        });
    }
    assert_eq!(
        tasks
            .join_all()
            .await
            .into_iter()
            .filter(|finished| *finished)
            .count(),
        1
    );
    begin(&store, 20).await;
    assert!(
        !store
            .finish_attempt(tenant(), [20; 32], Some(6), code(20))
            .await
            .unwrap()
    );
    assert!(
        store
            .attempt(tenant(), [20; 32], NOW)
            .await
            .unwrap()
            .is_some()
    );
    assert!(
        store
            .finish_attempt(tenant(), [20; 32], Some(8), code(20))
            .await
            .unwrap()
    );
}

async fn an_attempt_ends_with_one_code(store: Store) {
    begin(&store, 1).await;
    assert!(
        store
            .finish_attempt(tenant(), [1; 32], None, code(1))
            .await
            .unwrap()
    );
    let again = store.finish_attempt(tenant(), [1; 32], None, code(2)).await;
    assert!(matches!(again, Err(Error::Conflict(_))), "{again:?}");
    assert_eq!(store.take_code(tenant(), [2; 32], NOW).await.unwrap(), None);
    assert_eq!(
        store.take_code(tenant(), [1; 32], NOW).await.unwrap(),
        Some(code(1))
    );
}

async fn an_attempt_ends_with_its_time(store: Store) {
    begin(&store, 1).await;
    store
        .password_shown(tenant(), [1; 32], NOW.plus(5))
        .await
        .unwrap();
    let at = async |time| store.attempt(tenant(), [1; 32], time).await.unwrap();
    let shown = Attempt {
        password_at: Some(NOW.plus(5)),
        methods: vec!["pwd".to_owned()],
        ..attempt(1)
    };
    assert_eq!(at(NOW.plus(599)).await, Some(shown));
    assert_eq!(at(NOW.plus(600)).await, None);
    assert_eq!(store.attempt(tenant(), [2; 32], NOW).await.unwrap(), None);
}

async fn a_code_is_taken_by_whoever_comes_first_and_in_time(store: Store) {
    for byte in [1, 2] {
        begin(&store, byte).await;
        assert!(
            store
                .finish_attempt(tenant(), [byte; 32], None, code(byte))
                .await
                .unwrap()
        );
    }
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let store = store.clone();
        tasks.spawn(async move { store.take_code(tenant(), [1; 32], NOW).await.unwrap() });
    }
    let taken: Vec<_> = tasks.join_all().await.into_iter().flatten().collect();
    assert_eq!(taken, [code(1)]);
    assert_eq!(
        store
            .take_code(tenant(), [2; 32], NOW.plus(60))
            .await
            .unwrap(),
        None
    );
}

async fn an_attempt_keeps_what_was_shown_in_order(store: Store) {
    let nobody = Attempt {
        user: None,
        ..attempt(1)
    };
    store.begin_attempt(tenant(), nobody, NOW).await.unwrap();
    let show = async |method: &str, is_second, seconds| {
        let shown = Shown {
            method: method.to_owned(),
            at: NOW.plus(seconds),
            is_second,
            user: Some(guid(11)),
        };
        store.method_shown(tenant(), [1; 32], shown).await.unwrap()
    };
    assert!(show("fido", false, 1).await);
    assert!(show("pwd", true, 2).await);
    assert!(show("pwd", true, 3).await);
    assert!(!show("otp", true, 600).await);
    let found = store.attempt(tenant(), [1; 32], NOW).await.unwrap();
    let found = found.unwrap();
    assert_eq!(found.methods, ["fido", "pwd"]);
    assert_eq!(
        (found.user, found.password_at, found.mfa_time),
        (Some(guid(11)), Some(NOW.plus(3)), Some(NOW.plus(3)))
    );
    assert!(store.end_attempt(tenant(), [1; 32]).await.unwrap());
    assert!(!store.end_attempt(tenant(), [1; 32]).await.unwrap());
}

async fn a_webauthn_challenge_is_taken_once(store: Store) {
    begin(&store, 1).await;
    let state = "state".to_owned();
    assert!(store.set_webauthn(tenant(), [1; 32], state).await.unwrap());
    assert!(
        store
            .set_approval(tenant(), [1; 32], [9; 32])
            .await
            .unwrap()
    );
    let found = store.attempt(tenant(), [1; 32], NOW).await.unwrap();
    assert_eq!(found.unwrap().approval, Some([9; 32]));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let store = store.clone();
        tasks.spawn(async move { store.take_webauthn(tenant(), [1; 32]).await.unwrap() });
    }
    let taken: Vec<_> = tasks.join_all().await.into_iter().flatten().collect();
    assert_eq!(taken, ["state"]);
}

async fn a_name_with_a_nul_is_one_that_nobody_has(store: Store) {
    let found = store.user_by_upn(tenant(), "alice\0@corp.example").await;
    assert_eq!(found.unwrap(), None);
    let named = Attempt {
        username: "alice\0".to_owned(),
        ..attempt(1)
    };
    store.begin_attempt(tenant(), named, NOW).await.unwrap();
    let row = store::Audit {
        subject: "alice\0".to_owned(),
        ..audit("named")
    };
    store.add_audit(tenant(), row).await.unwrap();
    let chain = store.check_audit(tenant()).await.unwrap();
    assert!(matches!(chain, store::Chain::Whole(_)), "{chain:?}");
}
