//! Second factors of a native sign-in, as a workstation asks for them.

use serde_json::{Value, json};

use super::pass_for;
use crate::{
    oauth::{
        browser::{Browser, hidden},
        people::{DORA, EMIL, PASSWORD, people},
    },
    parties::{Device, otp, ready},
    server::{Answer, TestServer},
};

/// A company with people of its own, and a device that shows these factors.
async fn begin(server: &TestServer, device: &Device, upn: &str, factors: &str) -> String {
    let begun = device.begin_showing(server, upn, factors).await;
    assert_eq!(begun.number(), 50058, "{}", begun.body);
    begun.body["auth_session"].as_str().unwrap().to_owned()
}

async fn give(
    server: &TestServer,
    device: &Device,
    session: &str,
    name: &str,
    value: &str,
) -> Answer {
    device.factor(server, session, name, value).await
}

fn factors(answer: &Answer) -> Vec<&str> {
    let factors = answer.body["confirmation"]["next"].as_array();
    factors.map_or_else(Vec::new, |list| {
        list.iter().filter_map(Value::as_str).collect()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ways_are_told_after_the_password_and_only_those_that_the_client_shows() {
    let (server, agent, device) = ready().await;
    people(&server).await;
    pass_for(&server, DORA, true).await;
    for (shows, expected) in [
        ("otp", vec!["otp"]),
        ("otp approval tap", vec!["otp", "tap"]),
        ("tap webauthn", vec!["tap"]),
    ] {
        let session = begin(&server, &device, DORA, shows).await;
        let (wrong, _) = tokio::join!(
            give(&server, &device, &session, "password", "wrong"),
            agent.check_one_password(&server),
        );
        assert_eq!((wrong.number(), factors(&wrong)), (50126, vec![]));
        let asked = give(&server, &device, &session, "password", PASSWORD).await;
        assert_eq!(asked.number(), 50076, "{}", asked.body);
        assert_eq!(factors(&asked), expected);
        assert_eq!(asked.body["factor"], expected[0]);
        assert_eq!(asked.body["confirmation"]["state"], "contacting");
    }
    let session = begin(&server, &device, EMIL, "otp approval tap").await;
    let none = give(&server, &device, &session, "password", PASSWORD).await;
    assert_eq!(none.number(), 50072, "{}", none.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pass_stands_for_the_password_or_for_the_second_factor() {
    let (server, _, device) = ready().await;
    people(&server).await;
    let pass = pass_for(&server, EMIL, false).await;
    let session = begin(&server, &device, EMIL, "tap").await;
    give(&server, &device, &session, "tap", &pass).await.good();
    let session = begin(&server, &device, EMIL, "tap").await;
    let asked = give(&server, &device, &session, "password", PASSWORD).await;
    assert_eq!(asked.body["factor"], "tap", "{}", asked.body);
    let wrong = give(&server, &device, &session, "tap", "x").await;
    assert_eq!(wrong.number(), 500_121);
    give(&server, &device, &session, "tap", &pass).await.good();
    let session = begin(&server, &device, "nobody@cloud.example", "tap").await;
    let nobody = give(&server, &device, &session, "tap", &pass).await;
    assert_eq!(nobody.number(), 50126);
}

/// Dora is signed in in a browser; what a form of hers carries.
async fn approver(server: &TestServer) -> (Browser<'_>, String) {
    let mut browser = Browser::new(server);
    let page = browser.get("/approvals").await;
    browser.fill_in(&page).await;
    let page = browser.get("/approvals").await;
    let csrf = field(&page, "csrf");
    (browser, csrf)
}

fn field(page: &Answer, name: &str) -> String {
    let fields = hidden(&page.text);
    let found = fields.into_iter().find(|(given, _)| given == name);
    found.unwrap_or_else(|| panic!("{}", page.text)).1
}

/// Asks for an approval; the session and the number.
async fn ask(server: &TestServer, device: &Device) -> (String, u64) {
    let session = begin(server, device, DORA, "otp approval").await;
    give(server, device, &session, "password", PASSWORD).await;
    let asked = give(server, device, &session, "factor", "approval").await;
    assert_eq!(
        (asked.number(), &asked.body["confirmation"]["state"]),
        (50076, &json!("contacting")),
        "{}",
        asked.body
    );
    (
        session,
        asked.body["confirmation"]["number"].as_u64().unwrap(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_elsewhere_is_waited_for_and_lets_in_once() {
    let (server, _, device) = ready().await;
    people(&server).await;
    let (mut browser, csrf) = approver(&server).await;
    let (session, number) = ask(&server, &device).await;
    let page = browser.get("/approvals").await;
    assert!(page.text.contains("ws1"), "{}", page.text);
    let id = field(&page, "id");
    let fields = [
        ("csrf", csrf.as_str()),
        ("id", &id),
        ("step", "approve"),
        ("number", &number.to_string()),
    ];
    let (approved, answer) = tokio::join!(
        browser.submit_at("/approvals", &page, &fields),
        give(&server, &device, &session, "wait", "25"),
    );
    assert!(approved.text.contains("id=\"done\""), "{}", approved.text);
    let code = answer.good();
    device
        .redeem(&server, &code, crate::parties::VERIFIER)
        .await
        .good();
    let over = give(&server, &device, &session, "wait", "0").await;
    assert_eq!(over.number(), 70008);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denial_ends_the_attempt_and_silence_leaves_the_other_ways() {
    let (server, _, device) = ready().await;
    people(&server).await;
    let (mut browser, csrf) = approver(&server).await;
    let (session, _) = ask(&server, &device).await;
    let page = browser.get("/approvals").await;
    let id = field(&page, "id");
    let fields = [("csrf", csrf.as_str()), ("id", &id), ("step", "deny")];
    browser.submit_at("/approvals", &page, &fields).await;
    let denied = give(&server, &device, &session, "wait", "25").await;
    assert_eq!(denied.number(), 500_121);
    assert_eq!(denied.body["confirmation"]["state"], "denied");
    assert!(denied.body["auth_session"].is_null(), "{}", denied.body);
    let code = otp(server.now());
    let refused = give(&server, &device, &session, "otp", &code).await;
    assert_eq!(
        refused.body["confirmation"]["state"], "denied",
        "{}",
        refused.body
    );

    let (session, _) = ask(&server, &device).await;
    let waiting = give(&server, &device, &session, "wait", "0").await;
    assert_eq!(waiting.body["confirmation"]["state"], "contacting");
    server.pass(protocol::factor::PATIENCE_S);
    let late = give(&server, &device, &session, "wait", "0").await;
    assert_eq!(
        (late.number(), &late.body["confirmation"]["state"]),
        (500_121, &json!("timed_out"))
    );
    assert_eq!(factors(&late), ["approval", "otp"]);
    let asked = give(&server, &device, &session, "factor", "otp").await;
    assert_eq!(asked.body["factor"], "otp");
    let code = otp(server.now());
    give(&server, &device, &session, "otp", &code).await.good();
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_asked_who_is_signed_in_nowhere() {
    let (server, _, device) = ready().await;
    people(&server).await;
    let session = begin(&server, &device, DORA, "otp approval").await;
    let asked = give(&server, &device, &session, "password", PASSWORD).await;
    assert_eq!(factors(&asked), ["otp"]);
    let refused = give(&server, &device, &session, "factor", "approval").await;
    assert_eq!(refused.body["factor"], "otp", "{}", refused.body);
}
