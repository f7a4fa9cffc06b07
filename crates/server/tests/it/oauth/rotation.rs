//! Keys that sign tokens, one after another.

use serde_json::Value;

use super::{
    browser::{Browser, Request},
    people::company,
};
use crate::server::TestServer;

async fn keys(server: &TestServer) -> Vec<String> {
    let set = server.get("/common/discovery/v2.0/keys", "").await.good();
    let keys = set["keys"].as_array().unwrap();
    keys.iter()
        .map(|key| key["kid"].as_str().unwrap().to_owned())
        .collect()
}

fn kid(token: &Value) -> String {
    let unverified =
        token::Unverified::read(token.as_str().unwrap(), token::X5cForm::Array).unwrap();
    unverified.header().kid.clone().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_is_shown_before_it_signs_and_the_old_one_until_nothing_of_it_is_good() {
    let server = company().await;
    let userinfo = format!("/{}/openid/userinfo", server.tenant);
    let mut browser = Browser::new(&server);
    let old = browser.tokens(&Request::new()).await;
    let added = server.admin("POST", "/signing-keys", None).await.good();
    let new = added["kid"].as_str().unwrap();
    assert_eq!(keys(&server).await.len(), 2);
    let before = browser.tokens(&Request::new()).await;
    assert_eq!(kid(&before["id_token"]), kid(&old["id_token"]));

    server.pass(86_400);
    let fresh = browser.tokens(&Request::new()).await;
    assert_eq!(kid(&fresh["id_token"]), new);
    // Both verify while the older one is known, and only the newer one after.
    let last_of_old = old["access_token"].as_str().unwrap();
    server.pass(-86_400);
    server.get(&userinfo, last_of_old).await.good();
    server.pass(86_400);
    server.pass(2 * 3600);
    assert_eq!(keys(&server).await, [new]);
    let fresh = browser.tokens(&Request::new()).await;
    let bearer = fresh["access_token"].as_str().unwrap();
    server.get(&userinfo, bearer).await.good();
}
