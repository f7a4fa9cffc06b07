//! Sign-in on another device.

use serde_json::{Value, json};

use super::{
    browser::{Browser, Request},
    people::{DORA, allow, claims, company, portal, put_app},
};
use crate::server::{Answer, TestServer};

async fn open() -> TestServer {
    let server = company().await;
    let mut app = portal();
    app.compat.device_code = true;
    put_app(&server, app).await;
    allow(&server, true).await;
    server
}

async fn begin(server: &TestServer, more: &[(&str, &str)]) -> Answer {
    let fields = [&[("client_id", "portal"), ("scope", "openid")][..], more].concat();
    let path = format!("/{}/oauth2/v2.0/devicecode", server.tenant);
    server.post_form(&path, &[], &fields).await
}

async fn poll(server: &TestServer, code: &Value, name: &str) -> Answer {
    let fields = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
        ("client_id", "portal"),
        (name, code["device_code"].as_str().unwrap()),
    ];
    let path = api::oauth::token_path_v2(server.tenant);
    server.post_form(&path, &[], &fields).await
}

async fn typed(browser: &mut Browser<'_>, code: &Value) -> Answer {
    let page = browser.get("/common/oauth2/deviceauth").await;
    let user_code = code["user_code"].as_str().unwrap().to_lowercase();
    browser.submit(&page, &[("otc", &user_code)]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_signs_in_for_a_device_that_waits() {
    let server = open().await;
    let code = begin(&server, &[("amr_values", "ngcmfa")]).await.good();
    let waiting = poll(&server, &code, "device_code").await;
    assert_eq!(waiting.body["error"], "authorization_pending");
    assert_eq!(waiting.number(), 70016);
    let hasty = poll(&server, &code, "device_code").await;
    assert_eq!(hasty.body["error"], "slow_down");
    let mut browser = Browser::new(&server);
    let page = typed(&mut browser, &code).await;
    assert!(page.text.contains("The portal"), "{}", page.text);
    let done = browser.fill_in(&page).await;
    assert!(done.text.contains("You have signed in"), "{}", done.text);
    // Some clients call it `code`.
    let tokens = poll(&server, &code, "code").await.good();
    let amr = &claims(&tokens["id_token"])["amr"];
    assert_eq!(*amr, json!(["pwd", "mfa", "ngcmfa"]));
    let again = poll(&server, &code, "device_code").await;
    assert_eq!(again.body["error"], "expired_token");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_answers_for_a_device_and_the_tokens_say_that_it_was_one() {
    let server = open().await;
    let answer = async |method: &str, code: &Value, body: Option<Value>| {
        // As a person reads it from the screen.
        let typed = code["user_code"].as_str().unwrap().to_lowercase();
        let path = format!("/device-codes/{typed}");
        server.admin(method, &path, body).await
    };
    let as_dora = || Some(json!({ "user": DORA }));
    let code = begin(&server, &[]).await.good();
    let nobody = answer("PUT", &code, Some(json!({ "user": "nobody" }))).await;
    assert_eq!(nobody.code(), (404, "not_found"));
    let typed = code["user_code"].as_str().unwrap();
    let words = ["admin", "device-code", "approve", typed, "--user", DORA];
    let output = server.command(&words);
    assert!(output.status.success(), "{output:?}");
    let tokens = poll(&server, &code, "device_code").await.good();
    let said = claims(&tokens["id_token"]);
    assert_eq!(said["upn"], DORA);
    assert_eq!(said["amr"], json!(["admin"]));
    let twice = answer("PUT", &code, as_dora()).await;
    assert_eq!(twice.code(), (404, "not_found"));

    let code = begin(&server, &[]).await.good();
    answer("DELETE", &code, None).await.good();
    let denied = poll(&server, &code, "device_code").await;
    assert_eq!(denied.body["error"], "authorization_declined");
    let late = begin(&server, &[]).await.good();
    server.pass(15 * 60);
    let late = answer("PUT", &late, as_dora()).await;
    assert_eq!(late.code(), (404, "not_found"));
    let rows = server.admin("GET", "/audit", None).await.good();
    let said = |action: &str| {
        let rows = rows.as_array().unwrap().iter();
        rows.filter(|row| row["action"] == action).count()
    };
    assert_eq!(
        (said("device_code.approve"), said("device_code.deny")),
        (3, 1)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_signed_in_already_is_asked_and_the_page_itself_must_answer() {
    let server = open().await;
    let mut browser = Browser::new(&server);
    browser.sign_in(&Request::new()).await;
    for (answer, error) in [("yes", None), ("no", Some("authorization_declined"))] {
        let code = begin(&server, &[]).await.good();
        let page = typed(&mut browser, &code).await;
        assert!(page.text.contains("asks to be signed in"), "{}", page.text);
        let forged = browser
            .submit(&page, &[("check", "x"), ("agree", answer)])
            .await;
        assert!(forged.text.contains("asks to be signed in"));
        browser.submit(&page, &[("agree", answer)]).await;
        let polled = poll(&server, &code, "device_code").await;
        match error {
            None => drop(polled.good()),
            Some(error) => assert_eq!(polled.body["error"], error),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_offered_only_where_both_switches_are_on_and_for_a_quarter_of_an_hour() {
    let server = company().await;
    assert_eq!(begin(&server, &[]).await.number(), 7_000_218);
    allow(&server, true).await;
    assert_eq!(begin(&server, &[]).await.number(), 7_000_218);
    let mut app = portal();
    app.compat.device_code = true;
    put_app(&server, app).await;
    let code = begin(&server, &[]).await.good();
    server.pass(15 * 60);
    let over = poll(&server, &code, "device_code").await;
    assert_eq!(over.body["error"], "expired_token");
    let page = typed(&mut Browser::new(&server), &code).await;
    assert!(
        page.text.contains("No device shows this code"),
        "{}",
        page.text
    );
}
