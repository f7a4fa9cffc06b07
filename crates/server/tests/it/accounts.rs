//! Accounts: the forms of their names, what happens when one is renamed or shut out, and wrong
//! passwords.

use serde_json::{Value, json};

use crate::{
    oauth::{
        browser::Browser,
        people::{DORA, PASSWORD as DORAS, company},
    },
    parties::{ALICE, Agent, Device, PASSWORD, guid, otp, ready, session, sid},
    server::{Answer, TestServer, rsa_key},
};

/// Alice as the agent brings her, under a name of the test's.
pub(crate) fn alice(upn: &str, sam: &str, active: bool) -> Value {
    json!([{ "method": "PUT", "path": format!("/Users/{}", guid(11)), "data": {
        "externalId": guid(11),
        "userName": upn,
        "displayName": "Alice",
        "active": active,
        "urn:latchkey:scim:1.0:Directory": {
            "sid": sid(1104), "samAccountName": sam, "dn": "CN=alice"
        },
    }}])
}

async fn password(
    (server, agent, device): (&TestServer, &Agent, &Device),
    name: &str,
    password: &str,
) -> Answer {
    let session = session(&device.begin(server, name, Some("ngcmfa")).await);
    device.password(server, agent, &session, password).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_found_by_every_form_of_its_name() {
    let (server, agent, device) = ready().await;
    let parties = (&server, &agent, &device);
    // A principal name with another suffix than the domain's.
    agent
        .bulk(&server, alice("a.liddell@company.example", "alice", true))
        .await
        .good();
    for name in [
        "a.liddell@company.example",
        "A.Liddell@Company.Example",
        "alice@corp.example",
        "CORP\\alice",
        "corp\\ALICE",
        "alice",
    ] {
        let asked = password(parties, name, PASSWORD).await;
        assert_eq!(asked.number(), 50076, "{name}: {}", asked.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rename_changes_nothing_but_the_name() {
    let (server, agent, device) = ready().await;
    let bearer = device.user_token(&server, &agent).await;
    let registration = device.registration(&rsa_key("user"), 1104, 1);
    let kid = device
        .register(&server, &bearer, &registration)
        .await
        .good();
    agent
        .bulk(&server, alice("alicia@corp.example", "alicia", true))
        .await
        .good();
    let user = server.admin("GET", "/users/alicia", None).await.good();
    assert_eq!(user["keys"][0]["kid"], kid["kid"]);
    assert_eq!(user["second_factor"], true);
    let old = server.admin("GET", &format!("/users/{ALICE}"), None).await;
    assert_eq!(old.code(), (404, "not_found"));
    // What was issued before is of the same account.
    let again = device
        .register(&server, &bearer, &registration)
        .await
        .good();
    assert_eq!(again["kid"], kid["kid"]);
    assert_eq!(again["upn"], "alicia@corp.example");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_disabled_is_refused_at_once_and_let_in_again_when_enabled() {
    let (server, agent, device) = ready().await;
    let bearer = device.user_token(&server, &agent).await;
    let registration = device.registration(&rsa_key("user"), 1104, 1);
    device
        .register(&server, &bearer, &registration)
        .await
        .good();
    agent
        .bulk(&server, alice(ALICE, "alice", false))
        .await
        .good();
    let refused = device.register(&server, &bearer, &registration).await;
    assert_eq!(refused.code(), (403, "user_disabled"));
    let parties = (&server, &agent, &device);
    // Whoever has signed in here before is told why.
    let closed = password(parties, ALICE, PASSWORD).await;
    assert_eq!(closed.number(), 50057);
    agent
        .bulk(&server, alice(ALICE, "alice", true))
        .await
        .good();
    device
        .register(&server, &bearer, &registration)
        .await
        .good();
}

#[tokio::test(flavor = "multi_thread")]
async fn why_an_account_is_closed_is_told_where_it_has_signed_in_before_and_nowhere_else() {
    use api::agent::PasswordOutcome::{Disabled, Expired, Locked, MustChange, OutsideHours};
    let (server, agent, device) = ready().await;
    let ask = async |outcome| {
        let session = session(&device.begin(&server, ALICE, Some("ngcmfa")).await);
        let (answer, _) = tokio::join!(
            device.factor(&server, &session, "password", PASSWORD),
            agent.answer_password(&server, |_| outcome),
        );
        answer.number()
    };
    for outcome in [Disabled, Locked, OutsideHours] {
        assert_eq!(ask(outcome).await, 50126, "{outcome:?}");
    }
    // Right, so that it may be told, and known from then on.
    assert_eq!(ask(MustChange).await, 50055);
    for (outcome, number) in [(Disabled, 50057), (Locked, 50053), (OutsideHours, 80012)] {
        assert_eq!(ask(outcome).await, number, "{outcome:?}");
        assert_eq!(ask(Expired).await, 50055, "counts as no wrong one");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_expired_is_refused_where_the_disabled_are_and_who_is_locked_out_gets_no_key() {
    let (server, agent, device) = ready().await;
    let bearer = device.user_token(&server, &agent).await;
    let registration = device.registration(&rsa_key("user"), 1104, 1);
    let parties = (&server, &agent, &device);
    let now = server.now();
    let bring = async |name: &str, at: i64| {
        let mut bulk = alice(ALICE, "alice", true);
        bulk[0]["data"]["urn:latchkey:scim:1.0:Directory"][name] = json!(at);
        bulk[0]["data"]["emails"] = json!([{ "value": "alice@mail.example" }]);
        agent.bulk(&server, bulk).await.good();
    };
    for (name, at, number, status) in [
        ("accountExpires", now + 3600, 50076, 200),
        ("accountExpires", now, 50057, 403),
        ("lockedUntil", now + 3600, 50076, 403),
        ("lockedUntil", now, 50076, 200),
    ] {
        bring(name, at).await;
        let registered = device.register(&server, &bearer, &registration).await;
        assert_eq!(registered.status, status, "{name} {}", registered.body);
        let asked = password(parties, ALICE, PASSWORD).await;
        assert_eq!(asked.number(), number, "{name} {}", asked.body);
    }
    bring("accountExpires", 1_900_000_000).await;
    let shown = server.command(&["admin", "user", "show", ALICE, "--json"]);
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(shown["expires"], "2030-03-17T17:46:40Z");
    assert_eq!(shown["locked_until"], Value::Null);
    assert_eq!(shown["mail"], "alice@mail.example");
    let path = format!("/scim/v2/Users/{}", guid(11));
    let shown = server.get(&path, &agent.token(&server).await).await.good();
    let directory = &shown["urn:latchkey:scim:1.0:Directory"];
    assert_eq!(directory["accountExpires"], 1_900_000_000);
    assert_eq!(directory["logonHours"], Value::Null);
    assert_eq!(shown["emails"][0]["value"], "alice@mail.example");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_is_disabled_waits_no_longer() {
    let (server, agent, device) = ready().await;
    let bearer = device.user_token(&server, &agent).await;
    let registration = device.registration(&rsa_key("user"), 1104, 1);
    let key = device
        .register(&server, &bearer, &registration)
        .await
        .good();
    let token = device.token(&server).await;
    let kid = key["kid"].as_str().unwrap();
    let path = format!("/device/v1/keys/{kid}?wait=25&seen=registered");
    let begun = std::time::Instant::now();
    let disable = async {
        let path = format!("/devices/{}/disable", device.id);
        server.admin("POST", &path, None).await.good();
    };
    let (answer, ()) = tokio::join!(server.get(&path, &token), disable);
    assert_eq!(answer.code(), (403, "device_disabled"));
    assert!(begun.elapsed().as_secs() < 10);
    let path = format!("/devices/{}/enable", device.id);
    server.admin("POST", &path, None).await.good();
    server
        .get(&format!("/device/v1/keys/{kid}"), &token)
        .await
        .good();
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_who_guess_shut_out_themselves_and_not_the_account_where_it_is_known() {
    let (server, agent, device) = ready().await;
    let parties = (&server, &agent, &device);
    // From here on the device is one that Alice signs in at.
    assert_eq!(password(parties, ALICE, PASSWORD).await.number(), 50076);
    server
        .admin(
            "PUT",
            "/settings/allow-ropc",
            Some(json!({ "values": ["on"] })),
        )
        .await
        .good();
    let body = json!({
        "name": "Stranger",
        "compat": { "ropc": true },
        "resources": ["https://graph.microsoft.com"],
    });
    server
        .admin("PUT", "/apps/stranger", Some(body))
        .await
        .good();
    let guess = async |name: &str| {
        let fields = [
            ("grant_type", "password"),
            ("client_id", "stranger"),
            ("username", name),
            ("password", "a guess"),
            ("scope", "openid"),
        ];
        let path = api::oauth::token_path_v2(server.tenant);
        server.post_form(&path, &[], &fields).await
    };
    // Every form of the name is one account.
    for name in [ALICE, "CORP\\alice", "alice", ALICE, "corp\\Alice"] {
        let (answer, _) = tokio::join!(guess(name), agent.check_one_password(&server));
        assert_eq!(answer.number(), 50126, "{}", answer.body);
    }
    assert_eq!(guess(ALICE).await.number(), 50053);
    assert_eq!(guess("alice").await.number(), 50053);
    // Alice herself, at her own device, goes on.
    assert_eq!(password(parties, ALICE, PASSWORD).await.number(), 50076);
    let session = session(&device.begin(&server, ALICE, Some("ngcmfa")).await);
    device.password(&server, &agent, &session, PASSWORD).await;
    device
        .factor(&server, &session, "otp", &otp(server.now()))
        .await
        .good();
    // All tries together stay below ten, which AD counts to at the least that is recommended.
    for _ in 0..2 {
        assert_eq!(password(parties, ALICE, "wrong").await.number(), 50126);
    }
    let session = crate::parties::session(&device.begin(&server, ALICE, Some("ngcmfa")).await);
    let locked = device.factor(&server, &session, "password", PASSWORD).await;
    assert_eq!(locked.number(), 50053);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_no_agent_answers_a_strange_suffix_says_nothing_of_who_has_the_name() {
    let (server, agent, device) = ready().await;
    let synced = "a.liddell@company.example";
    agent
        .bulk(&server, alice(synced, "alice", true))
        .await
        .good();
    let own = "dora@company.example";
    let body = json!({ "upn": own, "password": PASSWORD });
    server.admin("POST", "/users", Some(body)).await.good();
    let two = Some(json!({ "values": ["2"] }));
    server
        .admin("PUT", "/settings/lockout-tries", two)
        .await
        .good();
    let tries = async |name: &'static str| {
        let mut told = Vec::new();
        for _ in 0..3 {
            let session = session(&device.begin(&server, name, Some("ngcmfa")).await);
            let answer = device.factor(&server, &session, "password", "wrong").await;
            told.push((answer.number(), answer.body["error_description"].clone()));
        }
        let sentences = told.iter().map(|(number, text)| {
            let text = text.as_str().unwrap();
            (*number, text.split(" (request").next().unwrap().to_owned())
        });
        sentences.collect::<Vec<_>>()
    };
    let (nobodys, of_a_domain, of_ours) =
        tokio::join!(tries("nobody@company.example"), tries(synced), tries(own));
    let numbers: Vec<_> = nobodys.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, [90033, 90033, 50053]);
    assert_eq!(of_a_domain, nobodys);
    assert_eq!(of_ours, nobodys);
}

/// Somebody types a password at the sign-in page; the page that follows.
async fn typed(server: &TestServer, name: &str, password: &str) -> String {
    let mut browser = Browser::new(server);
    let page = browser.get("/signin").await;
    let page = browser.submit(&page, &[("login", name)]).await;
    browser.submit(&page, &[("passwd", password)]).await.text
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_has_ten_times_an_accounts_tries_at_passwords_and_keeps_its_other_ones() {
    let server = company().await;
    // However slow the machine is, nothing is over before the end.
    for (name, value) in [("tries", "1"), ("window-s", "86400"), ("pause-s", "86400")] {
        let path = format!("/settings/lockout-{name}");
        let value = Some(json!({ "values": [value] }));
        server.admin("PUT", &path, value).await.good();
    }
    for nth in 0..10 {
        let name = format!("nobody-{nth}@cloud.example");
        let wrong = typed(&server, &name, "a guess").await;
        assert!(wrong.contains("password is wrong"), "{nth}: {wrong}");
    }
    // At nobody's password was looked here: whatever else an address has tries at, it has them still.
    for _ in 0..50 {
        let shut = typed(&server, DORA, DORAS).await;
        assert!(shut.contains("Too many wrong passwords"), "{shut}");
    }
    let mut browser = Browser::new(&server);
    let page = browser.get("/signin").await;
    let page = browser.submit(&page, &[("login", DORA)]).await;
    let page = browser.submit(&page, &[("step", "tap")]).await;
    let page = browser.submit(&page, &[("pass", "2222-2222-2222")]).await;
    assert!(page.text.contains("the pass is wrong"), "{}", page.text);
}
