//! Clients that prove themselves, and doors that are shut unless somebody opens them.

use api::oauth::ASSERTION_JWT_BEARER;
use openssl::pkey::{PKey, Private};
use serde_json::{Value, json};
use store::AppKind;
use token::{RsaJwk, SigningJwk};

use super::people::{DORA, PASSWORD, allow, claims, company, portal, put_app};
use crate::{
    parties::jws,
    server::{Answer, TestServer, URL, rsa_key},
};

const DAEMON: &str = "a-daemon";

async fn with_daemon() -> TestServer {
    let server = company().await;
    let key = SigningJwk::new(RsaJwk::from_key(&*rsa_key("daemon")).unwrap());
    let mut daemon = portal();
    daemon.client_id = DAEMON.to_owned();
    daemon.kind = AppKind::Confidential;
    daemon.jwks = Some(json!({ "keys": [key] }).to_string());
    put_app(&server, daemon).await;
    server
}

fn statement(server: &TestServer, jti: &str) -> Value {
    json!({
        "iss": DAEMON,
        "sub": DAEMON,
        "aud": format!("{URL}{}", api::oauth::token_path_v2(server.tenant)),
        "jti": jti,
        "exp": server.now() + 300,
    })
}

async fn show(server: &TestServer, key: &PKey<Private>, statement: &Value) -> Answer {
    let assertion = jws(key, Vec::new(), statement);
    show_text(server, &assertion).await
}

async fn show_text(server: &TestServer, assertion: &str) -> Answer {
    let fields = [
        ("grant_type", "client_credentials"),
        ("client_id", DAEMON),
        ("scope", "https://graph.microsoft.com/.default"),
        ("client_assertion_type", ASSERTION_JWT_BEARER),
        ("client_assertion", assertion),
    ];
    let path = api::oauth::token_path_v2(server.tenant);
    server.post_form(&path, &[], &fields).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_proves_itself_and_acts_for_itself() {
    let server = with_daemon().await;
    let key = rsa_key("daemon");
    let tokens = show(&server, &key, &statement(&server, "one")).await.good();
    let access = claims(&tokens["access_token"]);
    assert_eq!(access["idtyp"], "app");
    assert_eq!(access["appid"], DAEMON);
    assert_eq!(access["aud"], api::GRAPH_AUDIENCE);
    assert!(access.get("oid").is_none());
    assert!(tokens.get("refresh_token").is_none());
    // The statement names it too.
    let assertion = jws(&key, Vec::new(), &statement(&server, "two"));
    let fields = [
        ("grant_type", "client_credentials"),
        ("scope", "https://graph.microsoft.com/.default"),
        ("client_assertion_type", ASSERTION_JWT_BEARER),
        ("client_assertion", assertion.as_str()),
    ];
    let path = api::oauth::token_path_v2(server.tenant);
    server.post_form(&path, &[], &fields).await.good();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_of_an_application_is_its_own_to_us_fresh_and_good_once() {
    let server = with_daemon().await;
    let key = rsa_key("daemon");
    let good = |jti: &str| statement(&server, jti);
    let with = |name: &str, value: Value| {
        let mut changed = good(name);
        changed[name] = value;
        changed
    };
    show(&server, &key, &good("once")).await.good();
    for (key, statement) in [
        (&key, good("once")),
        (&rsa_key("mallory"), good("two")),
        (&key, with("aud", json!("https://elsewhere.example/token"))),
        (
            &key,
            with("aud", json!([URL, "https://elsewhere.example/token"])),
        ),
        (&key, with("iss", json!("portal"))),
        (&key, with("sub", json!("portal"))),
        (&key, with("exp", json!(server.now() - 120))),
        (&key, with("exp", json!(server.now() + 86_400))),
        (&key, with("jti", json!(""))),
    ] {
        let answer = show(&server, key, &statement).await;
        assert_eq!(
            (answer.status, answer.number()),
            (401, 700_027),
            "{statement}"
        );
    }
    // One that says when it was made may be shown again, for ten minutes.
    let mut young = good("young");
    young["iat"] = json!(server.now());
    young["exp"] = json!(server.now() + 3600);
    show(&server, &key, &young).await.good();
    server.pass(600);
    show(&server, &key, &young).await.good();
    server.pass(61);
    assert_eq!(show(&server, &key, &young).await.number(), 700_027);
    // The public key is no secret to sign with, and no signature is none.
    let unsigned = jws(&key, Vec::new(), &good("three"));
    let unsigned = format!("{}.", unsigned.rsplit_once('.').unwrap().0);
    assert_eq!(show_text(&server, &unsigned).await.number(), 700_027);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_acts_neither_for_itself_nor_for_another_without_a_proof() {
    let server = with_daemon().await;
    let path = api::oauth::token_path_v2(server.tenant);
    let scope = ("scope", "https://graph.microsoft.com/.default");
    for (client, grant, number) in [
        ("portal", "client_credentials", 7_000_218),
        (DAEMON, "client_credentials", 7_000_218),
        (DAEMON, "refresh_token", 7_000_218),
        (DAEMON, "authorization_code", 7_000_218),
        ("nobody", "client_credentials", 700_016),
    ] {
        let fields = [("grant_type", grant), ("client_id", client), scope];
        let answer = server.post_form(&path, &[], &fields).await;
        assert_eq!(answer.number(), number, "{client} {grant}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_alone_gives_tokens_only_where_both_switches_are_on() {
    let server = company().await;
    let path = api::oauth::token_path_v2(server.tenant);
    let ask = async |password: &str| {
        let fields = [
            ("grant_type", "password"),
            ("client_id", "portal"),
            ("scope", "openid"),
            ("username", DORA),
            ("password", password),
        ];
        server.post_form(&path, &[], &fields).await
    };
    let mut open = portal();
    open.compat.ropc = true;
    for (app, tenant) in [(portal(), false), (open.clone(), false), (portal(), true)] {
        put_app(&server, app).await;
        allow(&server, tenant).await;
        assert_eq!(ask(PASSWORD).await.number(), 7_000_218);
    }
    put_app(&server, open).await;
    let tokens = ask(PASSWORD).await.good();
    assert_eq!(claims(&tokens["id_token"])["amr"], json!(["pwd"]));
    assert_eq!(ask("wrong").await.number(), 50126);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_name_is_signed_in_says_nothing_of_the_name() {
    let server = company().await;
    let realm = async |name: &str| {
        let path = format!("/common/userrealm/{name}?api-version=1.0");
        server.get(&path, "").await.good()
    };
    let known = realm(DORA).await;
    assert_eq!(known["account_type"], "Managed");
    assert_eq!(known, realm("nobody@cloud.example").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_vouches_for_itself_alone() {
    let server = company().await;
    let ask = async |endpoint: &str| {
        let query = [("api-version", "1.1"), ("authorization_endpoint", endpoint)];
        let query = serde_urlencoded::to_string(query).unwrap();
        server
            .get(&format!("/common/discovery/instance?{query}"), "")
            .await
    };
    let own = ask(&format!("{URL}/common/oauth2/v2.0/authorize"))
        .await
        .good();
    assert!(
        own["tenant_discovery_endpoint"]
            .as_str()
            .unwrap()
            .starts_with(URL)
    );
    let other = ask("https://login.example/common/oauth2/authorize").await;
    assert_eq!(other.number(), 50049);
}
