//! Refresh tokens.

use serde_json::{Value, json};

use super::{
    browser::{Browser, Request},
    people::{audit, claims, company, dora, portal, put_app},
};
use crate::server::{Answer, TestServer};

const DAY: i64 = 86_400;

async fn refresh(server: &TestServer, token: &str, other: &[(&str, &str)]) -> Answer {
    let mut fields = vec![
        ("grant_type", "refresh_token"),
        ("client_id", "portal"),
        ("refresh_token", token),
    ];
    fields.retain(|(name, _)| !other.iter().any(|(given, _)| given == name));
    fields.extend(other);
    let path = api::oauth::token_path_v2(server.tenant);
    server.post_form(&path, &[], &fields).await
}

fn token(tokens: &Value) -> String {
    tokens["refresh_token"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_gives_the_next_one_and_its_copy_ends_them_all() {
    let server = company().await;
    let first = token(&Browser::new(&server).tokens(&Request::new()).await);
    let answer = refresh(&server, &first, &[]).await.good();
    let id = claims(&answer["id_token"]);
    assert_eq!(id["sub"], json!(dora()));
    assert!(id.get("nonce").is_none(), "the nonce was of the sign-in");
    let second = token(&answer);
    assert_ne!(first, second);
    let third = token(&refresh(&server, &second, &[]).await.good());
    assert_eq!(refresh(&server, &first, &[]).await.number(), 70000);
    assert_eq!(refresh(&server, &third, &[]).await.number(), 70000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_knows_no_rotation_repeats_its_token_until_that_ends() {
    let server = company().await;
    let broker = "29d9ed98-a469-4536-ade2-f981bc1d605e";
    let own = [("client_id", broker)];
    let request = Request::new().with("client_id", broker);
    for (no_pkce, repeats) in [(false, false), (true, true)] {
        let mut app = portal();
        app.client_id = broker.to_owned();
        app.compat.no_pkce = no_pkce;
        put_app(&server, app).await;
        let code = Browser::new(&server).code(&request).await;
        let tokens = super::browser::redeem(&server, &code, &own).await.good();
        let first = token(&tokens);
        let second = token(&refresh(&server, &first, &own).await.good());
        assert_eq!(first == second, repeats);
        let again = refresh(&server, &first, &own).await;
        assert_eq!(again.status == 200, repeats);
        if repeats {
            server.pass(14 * DAY);
            assert_eq!(refresh(&server, &first, &own).await.number(), 70000);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_request_spends_nothing() {
    let server = company().await;
    let mut other = portal();
    other.client_id = "other".to_owned();
    put_app(&server, other).await;
    let first = token(&Browser::new(&server).tokens(&Request::new()).await);
    for (wrong, number) in [
        (("client_id", "other"), 70000),
        (("client_id", "nobody"), 700_016),
        (("scope", "api://elsewhere/read"), 650_057),
        (("scope", "api://portal/a User.Read"), 28000),
    ] {
        let refused = refresh(&server, &first, &[wrong]).await;
        assert_eq!(refused.number(), number, "{wrong:?}");
    }
    let scope = [("scope", "openid User.Read")];
    let tokens = refresh(&server, &first, &scope).await.good();
    let access = claims(&tokens["access_token"]);
    assert_eq!(access["aud"], api::GRAPH_AUDIENCE);
    assert_eq!(refresh(&server, "1.unknown", &[]).await.number(), 70000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_family_ends_with_disuse_and_in_any_case_after_ninety_days() {
    let server = company().await;
    let mut browser = Browser::new(&server);
    let first = token(&browser.tokens(&Request::new()).await);
    server.pass(14 * DAY);
    assert_eq!(refresh(&server, &first, &[]).await.number(), 70000);

    let mut last = token(&browser.tokens(&Request::new()).await);
    for _ in 0..6 {
        server.pass(13 * DAY);
        last = token(&refresh(&server, &last, &[]).await.good());
    }
    server.pass(12 * DAY);
    assert_eq!(refresh(&server, &last, &[]).await.number(), 70000);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_issued_falls_with_the_account_and_with_its_revocation() {
    let server = company().await;
    let store = server.store();
    let mut browser = Browser::new(&server);
    let silent = Request::new().with("prompt", "none").path(&server);
    let userinfo = format!("/{}/openid/userinfo", server.tenant);

    let tokens = browser.tokens(&Request::new()).await;
    let bearer = tokens["access_token"].as_str().unwrap();
    server.get(&userinfo, bearer).await.good();
    server.pass(1);
    let now = model::UnixTime(server.now());
    store
        .revoke_tokens(server.tenant, dora(), now, audit())
        .await
        .unwrap();
    assert_eq!(refresh(&server, &token(&tokens), &[]).await.number(), 70000);
    let refused = server.get(&userinfo, bearer).await;
    assert_eq!(refused.code(), (401, "token_refused"));
    let challenge = &refused.headers["www-authenticate"];
    assert_eq!(challenge, "Bearer error=\"invalid_token\"");
    let missing = server.send("GET", &userinfo, &[], Vec::new()).await;
    assert_eq!(missing.headers["www-authenticate"], "Bearer");
    let after = browser.get(&silent).await;
    assert!(after.location().contains("error=login_required"));

    let tokens = browser.tokens(&Request::new()).await;
    let bearer = tokens["access_token"].as_str().unwrap();
    let mut user = store.user(server.tenant, dora()).await.unwrap().unwrap();
    user.account_expires = Some(model::UnixTime(server.now()));
    store
        .update_user(server.tenant, user, audit())
        .await
        .unwrap();
    assert_eq!(refresh(&server, &token(&tokens), &[]).await.number(), 50057);
    assert_eq!(
        server.get(&userinfo, bearer).await.code(),
        (401, "token_refused")
    );
}
