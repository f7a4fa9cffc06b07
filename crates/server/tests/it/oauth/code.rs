//! The exchange of codes.

use api::GRAPH_AUDIENCE;
use serde_json::json;

use super::{
    browser::{Browser, Request, redeem},
    people::{CALLBACK, audit, claims, company, dora, portal, put_app},
};
use crate::parties::VERIFIER;

#[tokio::test(flavor = "multi_thread")]
async fn a_code_is_good_once_and_its_copy_ends_what_the_first_one_gave() {
    let server = company().await;
    let code = Browser::new(&server).code(&Request::new()).await;
    let tokens = redeem(&server, &code, &[]).await.good();
    let refresh = tokens["refresh_token"].as_str().unwrap();
    let again = redeem(&server, &code, &[]).await;
    assert_eq!((again.status, again.number()), (400, 70008));
    let fields = [
        ("grant_type", "refresh_token"),
        ("client_id", "portal"),
        ("refresh_token", refresh),
    ];
    let path = api::oauth::token_path_v2(server.tenant);
    let revoked = server.post_form(&path, &[], &fields).await;
    assert_eq!(revoked.number(), 70000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_is_given_to_whoever_began_the_sign_in_only() {
    let server = company().await;
    let mut other = portal();
    other.client_id = "other".to_owned();
    put_app(&server, other).await;
    let mut browser = Browser::new(&server);
    browser.sign_in(&Request::new()).await;
    let challenge_of_another = VERIFIER.replace('d', "e");
    for (wrong, number) in [
        (("client_id", "other"), 70000),
        (("redirect_uri", "https://portal.example/other"), 50011),
        (("redirect_uri", ""), 50011),
        (("code_verifier", ""), 501_481),
        (("code_verifier", challenge_of_another.as_str()), 501_481),
        (("client_id", "nobody"), 700_016),
    ] {
        let request = Request::new().path(&server);
        let answer = browser.get(&request).await;
        let code = super::browser::parameter(answer.location(), "code").unwrap();
        let refused = redeem(&server, &code, &[wrong]).await;
        assert_eq!(refused.number(), number, "{wrong:?}");
        // A client that nobody knows touches nothing; any other guess burns the code.
        let after = redeem(&server, &code, &[]).await;
        assert_eq!(after.status == 200, number == 700_016, "{wrong:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_ages_and_falls_with_its_account() {
    let server = company().await;
    let mut browser = Browser::new(&server);
    let code = browser.code(&Request::new()).await;
    server.pass(61);
    assert_eq!(redeem(&server, &code, &[]).await.number(), 70008);

    let code = browser.code(&Request::new()).await;
    let store = server.store();
    let mut user = store.user(server.tenant, dora()).await.unwrap().unwrap();
    user.active = false;
    store
        .update_user(server.tenant, user, audit())
        .await
        .unwrap();
    assert_eq!(redeem(&server, &code, &[]).await.number(), 50057);
    let silent = Request::new().with("prompt", "none").path(&server);
    let silent = browser.get(&silent).await;
    assert!(silent.location().contains("error=login_required"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_for_the_resource_that_was_asked_for() {
    let server = company().await;
    let graph = Request::new().with("scope", "openid User.Read Group.Read.All");
    let tokens = Browser::new(&server).tokens(&graph).await;
    let access = claims(&tokens["access_token"]);
    assert_eq!(access["aud"], GRAPH_AUDIENCE);
    assert_eq!(access["scp"], "User.Read Group.Read.All");
    assert!(
        tokens.get("refresh_token").is_none(),
        "offline_access was not asked for"
    );
    let own = Request::new().with("scope", "api://portal/.default");
    let tokens = Browser::new(&server).tokens(&own).await;
    let access = claims(&tokens["access_token"]);
    assert_eq!(access["aud"], "api://portal");
    assert_eq!(access["scp"], "user_impersonation");
    assert!(tokens.get("id_token").is_none(), "openid was not asked for");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_older_endpoints_speak_of_resources_and_name_the_older_issuer() {
    let server = company().await;
    let mut browser = Browser::new(&server);
    let request = Request::new()
        .with("scope", "openid")
        .with("resource", "https://graph.microsoft.com/");
    let path = request.path(&server).replace("/oauth2/v2.0/", "/oAuth2/");
    let page = browser.get(&path).await;
    let answer = browser.fill_in(&page).await;
    let code = super::browser::parameter(answer.location(), "code").unwrap();
    let fields = [
        ("grant_type", "authorization_code"),
        ("client_id", "portal"),
        ("redirect_uri", CALLBACK),
        ("code_verifier", VERIFIER),
        ("code", code.as_str()),
    ];
    let tokens = server
        .post_form("/common/oauth2/token", &[], &fields)
        .await
        .good();
    assert_eq!(tokens["resource"], GRAPH_AUDIENCE);
    assert!(tokens["refresh_token"].is_string());
    for name in ["access_token", "id_token"] {
        let claims = claims(&tokens[name]);
        let issuer = format!("{}/{}/", crate::server::URL, server.tenant);
        assert_eq!(claims["iss"], json!(issuer), "{name}");
        assert_eq!(claims["ver"], "1.0", "{name}");
    }
}
