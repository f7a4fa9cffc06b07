//! What a stolen password opens: nothing that has to do with factors, by any route.

use super::{audited, otp_of, pass_for, secret_in};
use crate::{
    oauth::{
        browser::{Browser, Request, hidden, parameter},
        people::{DORA, EMIL, PASSWORD, audit, company},
    },
    parties::{SECRET, otp},
    server::{Answer, TestServer},
};

/// Every form of the pages that has to do with factors.
const STEPS: [(&str, &str); 8] = [
    ("/security", "add-app"),
    ("/security", "confirm-app"),
    ("/security", "add-key"),
    ("/security", "confirm-key"),
    ("/security", "remove"),
    ("/security", "anything"),
    ("/approvals", "approve"),
    ("/approvals", "deny"),
];

async fn password_enough(server: &TestServer, is_enough: bool) {
    let store = server.store();
    let mut settings = store.settings(server.tenant).await.unwrap();
    settings.password_enough_for_first_factor = is_enough;
    store
        .set_settings(server.tenant, settings, audit())
        .await
        .unwrap();
}

/// Posts a form with the token of the session, as a page of ours would.
async fn post(browser: &mut Browser<'_>, csrf: &str, (path, step): (&str, &str)) -> Answer {
    let form = Answer {
        status: 200,
        headers: Default::default(),
        text: format!("<form action=\"{path}\"></form>"),
        body: serde_json::Value::Null,
    };
    let fields = [
        ("csrf", csrf),
        ("step", step),
        ("id", "app"),
        ("code", "123456"),
    ];
    browser.submit(&form, &fields).await
}

/// Goes through a sign-in by the password alone, for a page; what is asked next.
async fn by_password(browser: &mut Browser<'_>, upn: &str) -> Answer {
    let page = browser.get("/signin").await;
    let page = browser.submit(&page, &[("login", upn)]).await;
    browser.submit(&page, &[("passwd", PASSWORD)]).await
}

#[track_caller]
fn expect_nothing_told(answer: &Answer) {
    for word in ["id=\"factors\"", "id=\"secret\"", "id=\"add-app\"", SECRET] {
        assert!(!answer.text.contains(word), "{word}: {}", answer.text);
    }
}

async fn expect_nothing_changed(server: &TestServer) {
    let log = audited(server).await;
    let changed = log.iter().any(|action| action.starts_with("factor."));
    assert!(!changed, "{log:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_somebody_with_a_factor_it_opens_no_session_and_shows_nothing() {
    let server = company().await;
    let mut thief = Browser::new(&server);
    let asked = by_password(&mut thief, DORA).await;
    assert!(asked.text.contains("idTxtBx_SAOTCC_OTC"), "{}", asked.text);
    expect_nothing_told(&asked);
    for path in ["/security", "/approvals"] {
        let page = thief.get(path).await;
        assert!(page.text.contains("id=\"i0116\""), "{}", page.text);
        expect_nothing_told(&page);
    }
    for step in STEPS {
        let page = post(&mut thief, "x", step).await;
        assert!(
            page.text.contains("id=\"i0116\""),
            "{step:?}: {}",
            page.text
        );
        expect_nothing_told(&page);
    }
    expect_nothing_changed(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_somebody_without_any_it_may_set_up_nothing_unless_the_tenant_says_so() {
    let server = company().await;
    password_enough(&server, true).await;
    let mut thief = Browser::new(&server);
    let page = by_password(&mut thief, EMIL).await;
    assert_eq!(page.location(), "/security");
    let page = thief.get("/security").await;
    let fields = hidden(&page.text);
    let (_, csrf) = fields.iter().find(|(name, _)| name == "csrf").unwrap();
    let csrf = csrf.clone();

    // The same session, with a token that its own page made, in a tenant that does not say so.
    password_enough(&server, false).await;
    let page = thief.get("/security").await;
    assert_eq!(page.status, 403);
    expect_nothing_told(&page);
    for step in STEPS {
        let page = post(&mut thief, &csrf, step).await;
        let is_asked = page.text.contains("id=\"i0116\"") || page.text.contains("id=\"i0118\"");
        assert!(page.status == 403 || is_asked, "{step:?}: {}", page.text);
        expect_nothing_told(&page);
    }

    // And in one that does, once the account has a factor.
    password_enough(&server, true).await;
    server
        .admin("POST", &format!("/users/{EMIL}/totp"), None)
        .await
        .good();
    for step in STEPS {
        let page = post(&mut thief, &csrf, step).await;
        expect_nothing_told(&page);
    }
    let page = thief.get("/security").await;
    assert!(page.text.contains("id=\"i0118\""), "{}", page.text);
    expect_nothing_told(&page);
    expect_nothing_changed(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_for_a_client_by_the_password_alone_opens_no_more() {
    let server = company().await;
    let mut thief = Browser::new(&server);
    let page = thief.get(&Request::new().path(&server)).await;
    let page = thief.submit(&page, &[("login", EMIL)]).await;
    let signed_in = thief.submit(&page, &[("passwd", PASSWORD)]).await;
    assert!(parameter(signed_in.location(), "code").is_some());
    let page = thief.get("/security").await;
    assert_eq!(page.status, 403, "{}", page.text);
    let page = thief.get("/approvals").await;
    assert!(page.text.contains("id=\"i0116\""), "{}", page.text);
    let listed = server
        .send("GET", &format!("/users/{EMIL}/factors"), &[], Vec::new())
        .await;
    assert_eq!(
        listed.status, 404,
        "the administrator's interface is elsewhere"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_may_let_the_password_register_the_first_factor_and_only_that() {
    let server = company().await;
    password_enough(&server, true).await;
    let mut browser = Browser::new(&server);
    by_password(&mut browser, EMIL).await;
    let page = browser.get("/security").await;
    let setup = browser
        .submit_at("/security", &page, &[("step", "add-app")])
        .await;
    let secret = secret_in(&setup.text);
    let code = otp_of(&secret, server.now());
    let added = browser
        .submit_at("/security", &setup, &[("code", &code)])
        .await;
    assert_eq!(added.location(), "/security?done=added", "{}", added.text);
    let page = browser.get("/security").await;
    assert!(page.text.contains("id=\"i0118\""), "{}", page.text);
    expect_nothing_told(&page);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_needs_a_second_factor_of_the_last_ten_minutes() {
    let server = company().await;
    let mut browser = Browser::new(&server);
    let page = browser.get("/security").await;
    browser.fill_in(&page).await;
    let page = browser.get("/security").await;
    assert!(page.text.contains("id=\"factors\""), "{}", page.text);
    server.pass(10 * 60);
    for step in ["add-app", "add-key", "remove"] {
        let asked = browser
            .submit_at("/security", &page, &[("step", step)])
            .await;
        assert!(
            asked.text.contains("id=\"i0118\""),
            "{step}: {}",
            asked.text
        );
    }
    expect_nothing_changed(&server).await;
    let asked = browser.get("/signin").await;
    browser.fill_in(&asked).await;
    let page = browser.get("/security").await;
    let taken = browser
        .submit_at("/security", &page, &[("step", "remove"), ("id", "app")])
        .await;
    assert_eq!(taken.location(), "/security?done=removed");
    assert!(audited(&server).await.contains(&"factor.remove".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_of_another_page_changes_nothing() {
    let server = company().await;
    let mut browser = Browser::new(&server);
    let page = browser.get("/security").await;
    browser.fill_in(&page).await;
    for csrf in ["", "x"] {
        for step in STEPS {
            let refused = post(&mut browser, csrf, step).await;
            assert_eq!(refused.status, 403, "{step:?}: {}", refused.text);
        }
    }
    let refused = post(&mut browser, "", ("/signout", "")).await;
    assert_eq!(refused.status, 403);
    expect_nothing_changed(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pass_is_good_in_its_time_and_once_where_it_is_so_issued() {
    let server = company().await;
    let once = pass_for(&server, EMIL, true).await;
    let mut browser = Browser::new(&server);
    let by_pass = async |browser: &mut Browser<'_>, upn: &str, pass: &str| {
        let page = browser.get("/signin").await;
        let page = browser.submit(&page, &[("login", upn)]).await;
        let page = browser.submit(&page, &[("step", "tap")]).await;
        browser.submit(&page, &[("pass", pass)]).await
    };
    let typed = once.replace('-', " ").to_lowercase();
    for upn in [DORA, "nobody@cloud.example"] {
        let refused = by_pass(&mut browser, upn, &typed).await;
        assert!(
            refused.text.contains("the pass is wrong"),
            "{}",
            refused.text
        );
    }
    let signed_in = by_pass(&mut browser, EMIL, &typed).await;
    assert_eq!(signed_in.location(), "/security", "{}", signed_in.text);
    let again = by_pass(&mut browser, EMIL, &typed).await;
    assert!(again.text.contains("the pass is wrong"), "{}", again.text);

    let often = pass_for(&server, EMIL, false).await;
    for _ in 0..2 {
        let signed_in = by_pass(&mut browser, EMIL, &often).await;
        assert_eq!(signed_in.location(), "/security", "{}", signed_in.text);
    }
    server.pass(60 * 60);
    let late = by_pass(&mut browser, EMIL, &often).await;
    assert!(late.text.contains("the pass is wrong"), "{}", late.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_at_passes_is_shut_out_whether_there_is_one_or_not() {
    let server = company().await;
    let mut browser = Browser::new(&server);
    for upn in [EMIL, "nobody@cloud.example"] {
        let page = browser.get("/signin").await;
        let page = browser.submit(&page, &[("login", upn)]).await;
        let mut page = browser.submit(&page, &[("step", "tap")]).await;
        for _ in 0..5 {
            page = browser.submit(&page, &[("pass", "2222-2222-2222")]).await;
            assert!(page.text.contains("the pass is wrong"), "{}", page.text);
        }
        let shut = browser.submit(&page, &[("pass", "2222-2222-2222")]).await;
        assert!(shut.text.contains("Too many tries"), "{upn}: {}", shut.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_is_of_the_browser_that_it_was_begun_in() {
    let server = company().await;
    let mut thief = Browser::new(&server);
    let asked = by_password(&mut thief, DORA).await;
    let code = otp(server.now());
    let mut other = Browser::new(&server);
    other.get("/signin").await;
    let refused = other.submit(&asked, &[("otc", &code)]).await;
    assert_eq!(refused.status, 400, "{}", refused.text);
    let fields = hidden(&asked.text);
    let (_, attempt) = fields.iter().find(|(name, _)| name == "attempt").unwrap();
    let waited = other
        .get(&format!("/common/login/wait?attempt={attempt}"))
        .await;
    assert_eq!(waited.status, 400, "{}", waited.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_is_closed_to_frames_caches_and_foreign_scripts() {
    let server = company().await;
    let mut browser = Browser::new(&server);
    let asked = by_password(&mut browser, DORA).await;
    let mut pages = vec![asked];
    for path in [
        "/signin",
        "/security",
        "/approvals",
        "/common/oauth2/deviceauth",
    ] {
        pages.push(browser.get(path).await);
    }
    for page in &pages {
        let header = |name: &str| page.headers[name].to_str().unwrap();
        let policy = header("content-security-policy");
        for word in [
            "default-src 'none'",
            "script-src 'none'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
            "form-action 'self'",
        ] {
            assert!(policy.contains(word), "{policy}");
        }
        assert_eq!(header("cache-control"), "no-store");
        assert_eq!(header("x-frame-options"), "DENY");
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert!(!page.text.contains("<script"), "{}", page.text);
    }
}
