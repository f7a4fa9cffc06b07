//! Applications, sessions and the tokens that are kept.

use store::{
    App, AppKind, Compat, DeviceCode, DeviceCodeState, DirectoryChange, Evaluation, Poll, Prt,
    Redeemed, RefreshFamily, RefreshToken, Renewal, Session, SignIn, SignedIn, Spend, Store,
};

use crate::{
    NOW, audit, guid, on_every_store,
    people::{apply, user},
    sign_in::code,
    tenant,
};

on_every_store!(
    an_application_is_what_was_put_last,
    a_session_lives_until_it_ends,
    a_refresh_token_gives_the_next_one_once,
    a_refresh_token_that_is_shown_twice_ends_its_family,
    a_refresh_token_ends_with_its_time_and_its_family,
    a_prt_is_issued_for_statements_that_are_good_once,
    a_prt_that_was_renewed_is_good_until_its_successor_is_renewed,
    revoking_ends_all_that_lets_a_user_in,
    a_device_code_is_taken_by_whoever_polls_first,
    a_device_code_is_answered_once_and_polled_slowly,
    a_sign_in_is_logged_in_order_and_kept_for_its_time,
    an_evaluation_is_what_was_found_last,
);

async fn an_application_is_what_was_put_last(store: Store) {
    let app = |name: &str| App {
        client_id: "29d9ed98-a469-4536-ade2-f981bc1d605e".to_owned(),
        name: name.to_owned(),
        kind: AppKind::Confidential,
        redirect_uris: vec!["https://a.example/back".to_owned()],
        post_logout_uris: Vec::new(),
        jwks: Some("{}".to_owned()),
        resources: vec!["one".to_owned(), "with space".to_owned()],
        compat: Compat {
            cbc: true,
            ..Compat::default()
        },
        enabled: true,
    };
    for name in ["old", "new"] {
        store
            .put_app(tenant(), app(name), audit("app"))
            .await
            .unwrap();
    }
    let id = app("").client_id;
    let found = store.app(tenant(), &id).await.unwrap();
    assert_eq!(found, Some(app("new")));
    assert_eq!(store.apps(tenant()).await.unwrap(), [app("new")]);
    let delete = async || store.delete_app(tenant(), &id, audit("app")).await.unwrap();
    assert!(delete().await);
    assert!(!delete().await);
}

fn session(byte: u8, user: u8) -> Session {
    Session {
        id: [byte; 32],
        user: guid(user),
        device: None,
        methods: vec!["pwd".to_owned()],
        auth_time: NOW,
        mfa_time: None,
        created: NOW,
        expires: NOW.plus(600),
        last_seen: NOW,
    }
}

async fn put_session(store: &Store, session: Session) {
    store.put_session(tenant(), session, NOW).await.unwrap();
}

async fn a_session_lives_until_it_ends(store: Store) {
    for (byte, user) in [(1, 11), (2, 11), (3, 11), (4, 12)] {
        put_session(&store, session(byte, user)).await;
    }
    let stronger = Session {
        mfa_time: Some(NOW.plus(5)),
        ..session(2, 11)
    };
    put_session(&store, stronger.clone()).await;
    store
        .session_seen(tenant(), [3; 32], NOW.plus(7))
        .await
        .unwrap();
    let find = async |byte: u8, seconds| {
        store
            .session(tenant(), [byte; 32], NOW.plus(seconds))
            .await
            .unwrap()
    };
    assert_eq!(find(2, 599).await, Some(stronger));
    assert_eq!(find(2, 600).await, None);
    let of = store.sessions_of(tenant(), guid(11), NOW).await.unwrap();
    assert_eq!(
        of.iter().map(|session| session.id[0]).collect::<Vec<_>>(),
        [3, 1, 2]
    );
    assert!(store.end_session(tenant(), [1; 32]).await.unwrap());
    let ended = store.end_sessions_of(tenant(), guid(11), Some([2; 32]));
    assert_eq!(ended.await.unwrap(), 1);
    let ended = store.end_sessions_of(tenant(), guid(11), None);
    assert_eq!(ended.await.unwrap(), 1);
    assert_eq!(find(2, 0).await, None);
    assert!(find(4, 0).await.is_some());
}

fn family(byte: u8) -> RefreshFamily {
    RefreshFamily {
        id: guid(byte),
        user: guid(11),
        client: "client".to_owned(),
        device: None,
        methods: vec!["pwd".to_owned()],
        auth_time: NOW,
        mfa_time: None,
        created: NOW,
        expires: NOW.plus(1000),
        revoked: false,
    }
}

fn refresh(byte: u8, family: u8) -> RefreshToken {
    RefreshToken {
        digest: [byte; 32],
        family: guid(family),
        resource: "resource".to_owned(),
        scope: "openid".to_owned(),
        issued: NOW,
        expires: NOW.plus(600),
        spent_at: None,
    }
}

async fn begin_family(store: &Store) {
    store
        .begin_family(tenant(), family(71), refresh(1, 71), NOW)
        .await
        .unwrap();
}

async fn redeem(store: &Store, byte: u8, next: u8, seconds: i64) -> Redeemed {
    store
        .redeem(tenant(), [byte; 32], refresh(next, 71), NOW.plus(seconds))
        .await
        .unwrap()
}

async fn a_refresh_token_gives_the_next_one_once(store: Store) {
    begin_family(&store).await;
    let mut tasks = tokio::task::JoinSet::new();
    for next in 10..20 {
        let store = store.clone();
        tasks.spawn(async move { redeem(&store, 1, next, 1).await });
    }
    let answers = tasks.join_all().await;
    let count = |answer| answers.iter().filter(|a| **a == answer).count();
    assert_eq!(
        (count(Redeemed::Rotated), count(Redeemed::Reused)),
        (1, 9),
        "{answers:?}"
    );
}

async fn a_refresh_token_that_is_shown_twice_ends_its_family(store: Store) {
    begin_family(&store).await;
    assert_eq!(redeem(&store, 1, 2, 1).await, Redeemed::Rotated);
    let (of, spent) = store
        .refresh_token(tenant(), [1; 32])
        .await
        .unwrap()
        .unwrap();
    assert_eq!((of, spent.spent_at), (family(71), Some(NOW.plus(1))));
    assert_eq!(redeem(&store, 2, 3, 2).await, Redeemed::Rotated);
    assert_eq!(redeem(&store, 1, 4, 3).await, Redeemed::Reused);
    assert_eq!(redeem(&store, 3, 5, 4).await, Redeemed::Over);
    let families = store.families_of(tenant(), guid(11), NOW).await.unwrap();
    assert_eq!(families, []);
}

async fn a_refresh_token_ends_with_its_time_and_its_family(store: Store) {
    begin_family(&store).await;
    assert_eq!(redeem(&store, 9, 2, 0).await, Redeemed::Over);
    assert_eq!(redeem(&store, 1, 2, 600).await, Redeemed::Over);
    assert_eq!(redeem(&store, 1, 2, 599).await, Redeemed::Rotated);
    assert!(store.revoke_family(tenant(), guid(71)).await.unwrap());
    assert!(!store.revoke_family(tenant(), guid(71)).await.unwrap());
    assert_eq!(redeem(&store, 2, 3, 0).await, Redeemed::Over);
}

fn prt(byte: u8) -> Prt {
    Prt {
        digest: [byte; 32],
        user: guid(11),
        device: guid(31),
        session_key: vec![9; 60],
        methods: vec!["ngc".to_owned()],
        auth_time: NOW,
        mfa_time: Some(NOW),
        issued: NOW,
        expires: NOW.plus(1000),
        previous: None,
    }
}

async fn issue(store: &Store, byte: u8) {
    assert!(
        store
            .issue_prt(tenant(), prt(byte), Vec::new())
            .await
            .unwrap()
    );
}

async fn a_prt_is_issued_for_statements_that_are_good_once(store: Store) {
    let statement = |byte: u8| Spend {
        id: [byte; 32],
        until: NOW.plus(100),
    };
    let issue = async |byte: u8, statements: [u8; 2]| {
        let statements = statements.map(statement).to_vec();
        let issued = store.issue_prt(tenant(), prt(byte), statements);
        issued.await.unwrap()
    };
    assert!(issue(1, [1, 2]).await);
    for (byte, statements) in [(2, [1, 3]), (3, [4, 2]), (4, [5, 5])] {
        assert!(!issue(byte, statements).await);
        let kept = store.prt(tenant(), [byte; 32], NOW).await.unwrap();
        assert_eq!(kept, None);
    }
}

async fn a_prt_that_was_renewed_is_good_until_its_successor_is_renewed(store: Store) {
    issue(&store, 1).await;
    let renew = async |old: u8, new: u8| {
        let renewal = Renewal {
            digest: [new; 32],
            issued: NOW.plus(10),
            expires: NOW.plus(1010),
        };
        store.renew_prt(tenant(), [old; 32], renewal).await.unwrap()
    };
    let find = async |byte: u8| store.prt(tenant(), [byte; 32], NOW).await.unwrap();
    // The answer with 2 is lost, and 1 is renewed again.
    assert!(renew(1, 2).await);
    assert!(renew(1, 3).await);
    assert_eq!(find(2).await, None);
    assert_eq!(find(1).await, Some(prt(1)));
    let third = Prt {
        issued: NOW.plus(10),
        expires: NOW.plus(1010),
        previous: Some([1; 32]),
        ..prt(3)
    };
    assert_eq!(find(3).await, Some(third));
    assert!(renew(3, 4).await);
    assert_eq!(find(1).await, None);
    assert!(!renew(1, 5).await);
    let revoke = async |device: Option<u8>| {
        store
            .revoke_prts(tenant(), guid(11), device.map(guid))
            .await
            .unwrap()
    };
    assert_eq!((revoke(Some(32)).await, revoke(Some(31)).await), (0, 2));
    issue(&store, 6).await;
    assert_eq!((revoke(None).await, revoke(None).await), (1, 0));
}

async fn revoking_ends_all_that_lets_a_user_in(store: Store) {
    apply(
        &store,
        vec![DirectoryChange::PutUser(user(11, "alice@corp.example"))],
    )
    .await;
    put_session(&store, session(1, 11)).await;
    begin_family(&store).await;
    issue(&store, 1).await;
    store.add_code(tenant(), code(1), NOW).await.unwrap();
    let revoke = async |user| {
        store
            .revoke_tokens(tenant(), guid(user), NOW.plus(5), audit("revoke"))
            .await
            .unwrap()
    };
    assert!(!revoke(12).await);
    assert!(revoke(11).await);
    assert_eq!(redeem(&store, 1, 2, 1).await, Redeemed::Over);
    assert_eq!(store.prt(tenant(), [1; 32], NOW).await.unwrap(), None);
    assert_eq!(store.session(tenant(), [1; 32], NOW).await.unwrap(), None);
    assert_eq!(store.take_code(tenant(), [1; 32], NOW).await.unwrap(), None);
    let found = store.user(tenant(), guid(11)).await.unwrap().unwrap();
    assert_eq!(found.tokens_valid_from, NOW.plus(5));
}

fn device_code(byte: u8) -> DeviceCode {
    DeviceCode {
        digest: [byte; 32],
        user_code: "BCDF-GHJK".to_owned(),
        client: "client".to_owned(),
        resource: "resource".to_owned(),
        scope: String::new(),
        wanted: vec!["ngcmfa".to_owned()],
        state: DeviceCodeState::Pending,
        user: None,
        methods: Vec::new(),
        auth_time: None,
        mfa_time: None,
        created: NOW,
        expires: NOW.plus(900),
        last_poll: None,
    }
}

async fn begin_device_code(store: &Store, byte: u8, seconds: i64) -> bool {
    store
        .begin_device_code(tenant(), device_code(byte), NOW.plus(seconds))
        .await
        .unwrap()
}

async fn poll(store: &Store, byte: u8, seconds: i64) -> Poll {
    store
        .poll_device_code(tenant(), [byte; 32], 5, NOW.plus(seconds))
        .await
        .unwrap()
}

async fn answer(store: &Store, answer: Option<SignedIn>, seconds: i64) -> bool {
    store
        .answer_device_code(tenant(), "BCDF-GHJK", answer, NOW.plus(seconds))
        .await
        .unwrap()
}

fn signed_in() -> SignedIn {
    SignedIn {
        user: guid(11),
        methods: vec!["pwd".to_owned(), "mfa".to_owned()],
        auth_time: NOW.plus(1),
        mfa_time: Some(NOW.plus(2)),
    }
}

async fn a_device_code_is_taken_by_whoever_polls_first(store: Store) {
    assert!(begin_device_code(&store, 1, 0).await);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let store = store.clone();
        tasks.spawn(async move { answer(&store, Some(signed_in()), 3).await });
    }
    let answers = tasks.join_all().await;
    assert_eq!(answers.into_iter().filter(|taken| *taken).count(), 1);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let store = store.clone();
        tasks.spawn(async move { poll(&store, 1, 4).await });
    }
    let mut polls = tasks.join_all().await;
    polls.retain(|poll| *poll != Poll::Over);
    let taken = DeviceCode {
        state: DeviceCodeState::Approved,
        user: Some(guid(11)),
        methods: signed_in().methods,
        auth_time: Some(NOW.plus(1)),
        mfa_time: Some(NOW.plus(2)),
        ..device_code(1)
    };
    assert_eq!(polls, [Poll::Approved(Box::new(taken))]);
}

async fn a_device_code_is_answered_once_and_polled_slowly(store: Store) {
    assert!(begin_device_code(&store, 1, 0).await);
    assert!(!begin_device_code(&store, 2, 1).await);
    assert_eq!(poll(&store, 1, 1).await, Poll::Pending);
    assert_eq!(poll(&store, 1, 5).await, Poll::TooSoon);
    assert_eq!(poll(&store, 1, 10).await, Poll::Pending);
    let typed = async |code| store.device_code(tenant(), code, NOW).await.unwrap();
    assert_eq!(typed("BCDF-GHJK").await.unwrap().digest, [1; 32]);
    assert_eq!(typed("BCDF-GHJL").await, None);
    assert!(!answer(&store, None, 900).await);
    assert!(answer(&store, None, 11).await);
    assert!(!answer(&store, Some(signed_in()), 12).await);
    assert_eq!(typed("BCDF-GHJK").await, None);
    assert_eq!(poll(&store, 1, 13).await, Poll::Denied);
    assert_eq!(poll(&store, 1, 14).await, Poll::Over);
    // A code whose time is over gives its place away.
    assert!(begin_device_code(&store, 3, 20).await);
    assert_eq!(poll(&store, 3, 900).await, Poll::Over);
    assert!(begin_device_code(&store, 4, 901).await);
}

async fn a_sign_in_is_logged_in_order_and_kept_for_its_time(store: Store) {
    let sign_in = |n: u32| SignIn {
        at_ms: i64::from(n),
        user: n.is_multiple_of(2).then(|| guid(11)),
        name: "alice".to_owned(),
        client: "client".to_owned(),
        resource: "resource".to_owned(),
        device: None,
        ip: "192.0.2.1".to_owned(),
        stage: "password".to_owned(),
        result: n,
        request: "request".to_owned(),
    };
    for n in 0..3 {
        let batch = vec![sign_in(2 * n), sign_in(2 * n + 1)];
        store.log_sign_ins(tenant(), batch).await.unwrap();
    }
    let rows = store.sign_ins(tenant(), 0, 4).await.unwrap();
    let rest = store.sign_ins(tenant(), rows[3].id, 4).await.unwrap();
    let results = |rows: &[store::SignInRow]| -> Vec<u32> {
        rows.iter().map(|row| row.sign_in.result).collect()
    };
    assert_eq!(results(&rows), [0, 1, 2, 3]);
    assert_eq!(results(&rest), [4, 5]);
    assert_eq!(rest[0].sign_in, sign_in(4));
    let last = async |user: Option<u8>, before| {
        let user = user.map(guid);
        let rows = store.last_sign_ins(tenant(), user, before, 2).await;
        results(&rows.unwrap())
    };
    assert_eq!(last(None, None).await, [5, 4]);
    assert_eq!(last(Some(11), None).await, [4, 2]);
    assert_eq!(last(Some(11), Some(rest[0].id)).await, [2, 0]);

    // What is old goes, the oldest first and so many at once; what is not stays.
    let prune = async |before, most| store.prune_sign_ins(tenant(), before, most).await.unwrap();
    assert_eq!(store.count_sign_ins(tenant()).await.unwrap(), 6);
    assert_eq!(prune(4, 3).await, 3);
    assert_eq!(prune(4, 3).await, 1);
    assert_eq!(prune(4, 3).await, 0);
    assert_eq!(last(None, None).await, [5, 4]);
    assert_eq!(store.count_sign_ins(tenant()).await.unwrap(), 2);
    assert_eq!(prune(9, 3).await, 2);
    assert_eq!(store.count_sign_ins(tenant()).await.unwrap(), 0);
    // Rows of a clock that was ahead for a while keep none behind them in.
    let ahead = (0..3).map(|n| sign_in(100 + n));
    let rows = ahead.chain((0..3).map(sign_in)).collect();
    store.log_sign_ins(tenant(), rows).await.unwrap();
    assert_eq!(prune(9, 3).await, 3);
}

async fn an_evaluation_is_what_was_found_last(store: Store) {
    for (requires_hardware, seconds) in [(false, 0), (true, 9)] {
        let found = Evaluation {
            requires_hardware,
            at: NOW.plus(seconds),
        };
        store
            .put_evaluation(tenant(), guid(11), guid(31), found)
            .await
            .unwrap();
        let kept = store.evaluation(tenant(), guid(11), guid(31)).await;
        assert_eq!(kept.unwrap(), Some(found));
    }
    let other = store.evaluation(tenant(), guid(12), guid(31)).await;
    assert_eq!(other.unwrap(), None);
}
