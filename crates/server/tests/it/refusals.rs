//! What the server does not do, and what it says of it.

use api::oauth::challenge_path;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::{
    parties::{
        ALICE, Agent, CAROL, Device, PASSWORD, SECRET, VERIFIER, guid, jws, otp, ready, session,
        sid,
    },
    server::{TestServer, rsa_key},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_one_time_code_enrolls_one_agent_within_the_hour() {
    let server = TestServer::start().await;
    let code = server.admin("POST", "/agent-codes", None).await.good();
    let code = code["code"].as_str().unwrap();
    let key = rsa_key("agent");
    assert_eq!(
        Agent::enroll_with(&server, "x", &key).await.code(),
        (403, "bad_code")
    );
    Agent::enroll_with(&server, code, &key).await.good();
    assert_eq!(
        Agent::enroll_with(&server, code, &key).await.code(),
        (403, "bad_code")
    );
    let late = server.admin("POST", "/agent-codes", None).await.good();
    server.pass(3601);
    let late = Agent::enroll_with(&server, late["code"].as_str().unwrap(), &key).await;
    assert_eq!(late.code(), (403, "bad_code"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agents_statement_is_taken_once_and_by_its_own_key_only() {
    let server = TestServer::start().await;
    let agent = Agent::enroll(&server).await;
    let assertion = agent.assertion(&server, "one");
    agent.show(&server, &assertion).await.good();
    assert_eq!(agent.show(&server, &assertion).await.number(), 700_027);
    let stranger = Agent {
        id: agent.id.clone(),
        key: rsa_key("stranger"),
    };
    let forged = stranger.assertion(&server, "two");
    assert_eq!(agent.show(&server, &forged).await.number(), 700_027);
    for (name, value) in [
        ("aud", json!("https://elsewhere.example")),
        ("iss", json!(guid(99))),
        ("exp", json!(server.now() + 3600)),
        ("exp", json!(server.now() - 3600)),
        ("jti", json!("")),
    ] {
        let assertion = agent.assertion(&server, "three");
        let claims = assertion.split('.').nth(1).unwrap();
        let claims = URL_SAFE_NO_PAD.decode(claims).unwrap();
        let mut claims: Value = serde_json::from_slice(&claims).unwrap();
        claims[name] = value;
        let changed = jws(&agent.key, Vec::new(), &claims);
        assert_eq!(
            agent.show(&server, &changed).await.number(),
            700_027,
            "{claims}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_speaks_for_its_own_domain_only() {
    let server = TestServer::start().await;
    let agent = Agent::enroll(&server).await;
    let user = |sid: &str, external: u8| {
        json!({ "method": "PUT", "path": format!("/Users/{}", guid(11)), "data": {
            "externalId": guid(external), "userName": "x", "displayName": "x", "active": true,
            "urn:latchkey:scim:1.0:Directory": { "sid": sid, "samAccountName": "x", "dn": "x" },
        }})
    };
    let operations = json!([
        user("S-1-5-21-9-9-9-1104", 11),
        user("S-1-5-21-10-20-30-1104", 12),
        { "method": "DELETE", "path": "/Things/1" },
        user("S-1-5-21-10-20-30-1104", 11),
    ]);
    let answer = agent.bulk(&server, operations).await.good();
    let statuses: Vec<_> = answer["Operations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["status"].clone())
        .collect();
    assert_eq!(statuses, ["400", "400", "400", "200"]);
    let many: Vec<_> = (0..1001)
        .map(|_| user("S-1-5-21-10-20-30-1104", 11))
        .collect();
    assert_eq!(agent.bulk(&server, json!(many)).await.status, 413);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_path_of_an_agent_or_a_device_wants_its_own_kind_of_token() {
    let (server, agent, device) = ready().await;
    let (agent_token, device_token) = (agent.token(&server).await, device.token(&server).await);
    let none = format!("{}.{}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#), {
        device_token.split('.').nth(1).unwrap()
    });
    let keys = format!("{}?user={}", api::device::KEYS_PATH, sid(1104));
    let agents = [
        ("GET", api::agent::CHANGES_PATH),
        ("GET", api::agent::KEYS_PATH),
        ("GET", api::agent::WORK_PATH),
    ];
    let agents = agents.into_iter().chain([
        ("POST", api::agent::STATUS_PATH),
        ("POST", api::scim::BULK_PATH),
        ("POST", "/agent/v1/work/x"),
    ]);
    let key = api::device::key_path("x");
    let devices = [
        ("GET", keys.as_str()),
        ("GET", key.as_str()),
        ("DELETE", key.as_str()),
    ];
    let agents = agents.map(|request| (request, &device_token));
    let devices = devices.into_iter().map(|request| (request, &agent_token));
    for ((method, path), wrong) in agents.chain(devices) {
        for (token, code) in [
            (wrong.as_str(), "token_refused"),
            (&none, "token_refused"),
            ("x", "token_refused"),
        ] {
            let bearer = format!("Bearer {token}");
            let headers = [("authorization", bearer.as_str())];
            let answer = server.send(method, path, &headers, Vec::new()).await;
            assert_eq!(answer.code(), (401, code), "{method} {path}");
        }
        let answer = server.send(method, path, &[], Vec::new()).await;
        assert_eq!(answer.code(), (401, "token_required"), "{method} {path}");
    }
    server.pass(3700);
    assert_eq!(
        server.get(&keys, &device_token).await.code(),
        (401, "token_refused")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_join_needs_the_computers_own_key_and_a_time_near_now() {
    let (server, _, mut device) = ready().await;
    assert_eq!(
        device.try_join(&server, 700).await.code(),
        (401, "bad_identity")
    );
    assert_eq!(
        device.try_join(&server, -700).await.code(),
        (401, "bad_identity")
    );
    device.key = rsa_key("stranger");
    assert_eq!(
        device.try_join(&server, 0).await.code(),
        (404, "device_not_synced")
    );
    device.id = guid(77);
    assert_eq!(
        device.try_join(&server, 0).await.code(),
        (404, "device_not_synced")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_join_can_be_for_the_members_of_a_group_only() {
    let (server, _, device) = ready().await;
    let group = Some(json!({ "group": "Outer" }));
    server
        .admin("PUT", "/settings/join-devices-group", group)
        .await
        .good();
    assert_eq!(
        device.try_join(&server, 0).await.code(),
        (403, "not_allowed")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_is_known_by_its_last_certificate_and_a_fresh_nonce() {
    let (server, agent, mut device) = ready().await;
    let old = device.certificate.clone();
    device.join(&server).await;
    let new = std::mem::replace(&mut device.certificate, old);
    let request = device.statement(&device.token_request(&server).await);
    device.show(&server, &request).await.good();
    device.certificate = new;

    let stale = device.statement(&device.token_request(&server).await);
    server.pass(301);
    assert_eq!(
        device.show(&server, &stale).await.number(),
        50155,
        "an old nonce"
    );

    let stranger = Device {
        key: rsa_key("stranger"),
        ..device.clone()
    };
    let forged = stranger.statement(&stranger.token_request(&server).await);
    assert_eq!(
        stranger.show(&server, &forged).await.number(),
        50155,
        "another key"
    );

    let mut own = Device {
        key: rsa_key("stranger"),
        ..Device::new()
    };
    own.certificate = crate::server::self_signed(&own.id.to_string(), &own.key)
        .to_der()
        .unwrap();
    let minted = own.statement(&own.token_request(&server).await);
    assert_eq!(
        own.show(&server, &minted).await.number(),
        50155,
        "another authority"
    );

    let mut anew = Device {
        key: rsa_key("another device key"),
        ..device.clone()
    };
    agent
        .bulk(&server, json!([anew.as_operation()]))
        .await
        .good();
    anew.join(&server).await;
    let request = device.statement(&device.token_request(&server).await);
    assert_eq!(
        device.show(&server, &request).await.number(),
        50155,
        "the key before"
    );
    let device = anew;
    let request = device.statement(&device.token_request(&server).await);
    device.show(&server, &request).await.good();

    let mut computer = device.as_operation();
    computer["data"]["active"] = json!(false);
    agent.bulk(&server, json!([computer])).await.good();
    let request = device.statement(&device.token_request(&server).await);
    assert_eq!(
        device.show(&server, &request).await.number(),
        50155,
        "disabled in AD"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_devices_statement_is_taken_once() {
    let (server, _, device) = ready().await;
    let mut claims = device.token_request(&server).await;
    let request = device.statement(&claims);
    device.show(&server, &request).await.good();
    assert_eq!(device.show(&server, &request).await.number(), 50155);
    claims["exp"] = json!(server.now() + 200);
    let anew = device.statement(&claims);
    assert_eq!(
        device.show(&server, &anew).await.number(),
        50155,
        "the same nonce signed again"
    );
    let credential = device.statement(&device.credential(&server).await);
    let begin = async || device.begin_with(&server, &credential, ALICE, None).await;
    assert_eq!(begin().await.number(), 50058);
    assert_eq!(begin().await.number(), 50155);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_over_its_bound_is_refused_uncounted_and_the_desk_goes_on() {
    let (server, agent, device) = ready().await;
    let session = session(&device.begin(&server, ALICE, Some("ngcmfa")).await);
    let long = "p".repeat(1025);
    for _ in 0..6 {
        let answer = device.factor(&server, &session, "password", &long).await;
        assert_eq!(answer.number(), 90014);
    }
    // The longest one that is taken, in its longest form on the way to the agent.
    let longest = "\u{1}".repeat(1024);
    let answer = device.password(&server, &agent, &session, &longest).await;
    assert_eq!(answer.number(), 50126);
    let answer = device.password(&server, &agent, &session, PASSWORD).await;
    assert_eq!(answer.number(), 50076);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_begins_on_a_known_device_only() {
    let (server, _, device) = ready().await;
    let path = challenge_path(server.tenant);
    let fields = [("client_id", api::WORKSTATION_CLIENT), ("username", ALICE)];
    assert_eq!(server.post_form(&path, &[], &fields).await.number(), 50097);
    let mut claims = device.credential(&server).await;
    claims["grant_type"] = json!("device_token");
    let credential = device.statement(&claims);
    let headers = [(api::oauth::DEVICE_CREDENTIAL_HEADER, credential.as_str())];
    assert_eq!(
        server.post_form(&path, &headers, &fields).await.number(),
        50155
    );
    let unknown = [("client_id", "someone"), ("username", ALICE)];
    assert_eq!(
        server.post_form(&path, &headers, &unknown).await.number(),
        700_016
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_nobody_has_is_refused_like_a_wrong_password() {
    let (server, agent, device) = ready().await;
    let mut told = Vec::new();
    for name in [ALICE, "nobody@corp.example", "nobody"] {
        let begun = device.begin(&server, name, Some("ngcmfa")).await;
        assert_eq!(
            (begun.number(), &begun.body["factor"]),
            (50058, &json!("password")),
            "{name}"
        );
        let session = session(&begun);
        let shown = std::time::Instant::now();
        let (answer, asked) = tokio::join!(
            device.factor(&server, &session, "password", "wrong"),
            agent.check_one_password(&server),
        );
        // However fast the agent was: the time of an answer tells nothing either.
        let took = shown.elapsed();
        assert!(took >= std::time::Duration::from_secs(1), "{took:?}");
        let known = name == ALICE;
        assert_eq!(asked == json!(sid(1104)), known, "{asked}");
        told.push((
            answer.status,
            answer.body["error_description"].clone(),
            answer.number(),
        ));
    }
    assert_eq!(told[0], told[1]);
    assert_eq!(told[0], told[2]);
    assert_eq!(told[0].2, 50126);
}

#[tokio::test(flavor = "multi_thread")]
async fn five_wrong_passwords_make_the_next_one_wait_without_asking_the_agent() {
    let (server, agent, device) = ready().await;
    let session = session(&device.begin(&server, ALICE, Some("ngcmfa")).await);
    for _ in 0..5 {
        let answer = device.password(&server, &agent, &session, "wrong").await;
        assert_eq!(answer.number(), 50126);
    }
    let locked = device.factor(&server, &session, "password", PASSWORD).await;
    assert_eq!(locked.number(), 50053);
    let wait = locked.body["retry_after_s"].as_i64().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    server.pass(wait);
    let asked = device.password(&server, &agent, &session, PASSWORD).await;
    assert_eq!(asked.number(), 50076, "{}", asked.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn five_wrong_one_time_passwords_lock_the_factor_until_it_is_set_anew() {
    let (server, agent, device) = ready().await;
    let session = session(&device.begin(&server, ALICE, Some("ngcmfa")).await);
    device.password(&server, &agent, &session, PASSWORD).await;
    for _ in 0..5 {
        let wrong = otp(server.now() + 3000);
        assert_eq!(
            device
                .factor(&server, &session, "otp", &wrong)
                .await
                .number(),
            500_121
        );
    }
    let locked = device
        .factor(&server, &session, "otp", &otp(server.now()))
        .await;
    assert_eq!(locked.number(), 50053);
    assert!(locked.body["retry_after_s"].as_i64().unwrap() > 300);
    let body = Some(json!({ "secret": SECRET }));
    server
        .admin("POST", &format!("/users/{ALICE}/totp"), body)
        .await
        .good();
    device
        .factor(&server, &session, "otp", &otp(server.now()))
        .await
        .good();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_one_time_password_is_taken_once() {
    let (server, agent, device) = ready().await;
    let used = otp(server.now());
    device.sign_in(&server, &agent, &used).await.good();
    assert_eq!(
        device.sign_in(&server, &agent, &used).await.number(),
        500_121
    );
    server.pass(60);
    device
        .sign_in(&server, &agent, &otp(server.now()))
        .await
        .good();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_agent_passwords_cannot_be_checked_and_nothing_is_counted() {
    let (server, agent, device) = ready().await;
    let session = session(&device.begin(&server, ALICE, Some("ngcmfa")).await);
    let answer = device.factor(&server, &session, "password", PASSWORD).await;
    assert_eq!((answer.status, answer.number()), (503, 90033));
    let asked = device.password(&server, &agent, &session, PASSWORD).await;
    assert_eq!(asked.number(), 50076);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_is_good_once_for_a_minute_and_for_who_has_the_verifier() {
    let (server, agent, device) = ready().await;
    let next = async || {
        server.pass(60);
        device
            .sign_in(&server, &agent, &otp(server.now()))
            .await
            .good()
    };
    let code = next().await;
    device.redeem(&server, &code, VERIFIER).await.good();
    assert_eq!(
        device.redeem(&server, &code, VERIFIER).await.number(),
        70008
    );
    let code = next().await;
    let other = VERIFIER.replace('d', "e");
    assert_eq!(
        device.redeem(&server, &code, &other).await.number(),
        501_481
    );
    assert_eq!(
        device.redeem(&server, &code, VERIFIER).await.number(),
        70008
    );
    let code = next().await;
    server.pass(61);
    assert_eq!(
        device.redeem(&server, &code, VERIFIER).await.number(),
        70008
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn registering_a_key_needs_both_factors_a_moment_ago() {
    let (server, agent, device) = ready().await;
    let registration = device.registration(&rsa_key("user"), 1104, 1);
    let session = session(&device.begin(&server, ALICE, None).await);
    let code = device
        .password(&server, &agent, &session, PASSWORD)
        .await
        .good();
    let weak = device.redeem(&server, &code, VERIFIER).await.good();
    let weak = weak["access_token"].as_str().unwrap();
    let refused = device.register(&server, weak, &registration).await;
    assert_eq!(refused.code(), (401, "mfa_required"));
    let token = device.user_token(&server, &agent).await;
    server.pass(601);
    let refused = device.register(&server, &token, &registration).await;
    assert_eq!(refused.code(), (401, "mfa_stale"));
    server.pass(600);
    let refused = device.register(&server, &token, &registration).await;
    assert_eq!(refused.code(), (401, "token_refused"));
    let refused = device
        .register(&server, &device.token(&server).await, &registration)
        .await;
    assert_eq!(refused.code(), (401, "token_refused"));
}

#[tokio::test(flavor = "multi_thread")]
async fn registering_a_key_is_for_the_members_of_a_group_and_for_nobody_without_one() {
    let (server, agent, device) = ready().await;
    let token = device.user_token(&server, &agent).await;
    let registration = device.registration(&rsa_key("user"), 1104, 1);
    for group in [json!({ "group": null }), json!({ "group": "Inner" })] {
        let is_member = group["group"].is_string();
        server
            .admin("PUT", "/settings/register-keys-group", Some(group))
            .await
            .good();
        let answer = device.register(&server, &token, &registration).await;
        if is_member {
            answer.good();
        } else {
            assert_eq!(answer.code(), (403, "not_allowed"));
        }
    }
    let outsider = json!([{ "method": "DELETE", "path": format!("/Groups/{}", guid(21)) }]);
    agent.bulk(&server, outsider).await.good();
    let answer = device.register(&server, &token, &registration).await;
    assert_eq!(answer.code(), (403, "not_allowed"));
    let unknown = Some(json!({ "group": CAROL }));
    let answer = server
        .admin("PUT", "/settings/register-keys-group", unknown)
        .await;
    assert_eq!(answer.code(), (404, "not_found"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_needs_the_devices_signature_over_this_user_and_this_key() {
    let (server, agent, device) = ready().await;
    let token = device.user_token(&server, &agent).await;
    let (key, other) = (rsa_key("user"), rsa_key("another user"));
    let for_another_user = device.registration(&key, 1105, 1);
    let mut for_another_key = device.registration(&key, 1104, 1);
    for_another_key["kngc"] = device.registration(&other, 1104, 1)["kngc"].clone();
    let mut another_sequence = device.registration(&key, 1104, 1);
    another_sequence["latchkey"]["sequence"] = json!(2);
    let stranger = Device {
        key: rsa_key("stranger"),
        ..Device::new()
    };
    let by_a_stranger = stranger.registration(&key, 1104, 1);
    for wrong in [
        for_another_user,
        for_another_key,
        another_sequence,
        by_a_stranger,
    ] {
        let answer = device.register(&server, &token, &wrong).await;
        assert_eq!(answer.code(), (400, "bad_evidence"));
    }
    let mut no_key = device.registration(&key, 1104, 1);
    no_key["kngc"] = json!("AAAA");
    assert_eq!(
        device.register(&server, &token, &no_key).await.code(),
        (400, "bad_key")
    );
    assert_eq!(
        device.register(&server, &token, &json!({})).await.code(),
        (400, "bad_request")
    );
    assert_eq!(agent.changes(&server, "", 0).await["changes"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_another_device_can_be_neither_seen_nor_deleted() {
    let (server, agent, device) = ready().await;
    let token = device.user_token(&server, &agent).await;
    let registration = device.registration(&rsa_key("user"), 1104, 1);
    let kid = device.register(&server, &token, &registration).await.good()["kid"].clone();
    let mut other = Device {
        id: guid(32),
        ..Device::new()
    };
    let mut computer = other.as_operation();
    computer["path"] = json!(format!("/Computers/{}", other.id));
    agent.bulk(&server, json!([computer])).await.good();
    other.join(&server).await;
    let path = api::device::key_path(kid.as_str().unwrap());
    let token = other.token(&server).await;
    assert_eq!(server.get(&path, &token).await.code(), (404, "unknown_key"));
    assert_eq!(
        server.delete(&path, &token).await.code(),
        (404, "unknown_key")
    );
    let leave = server
        .delete(&api::device::device_path(device.id), &token)
        .await;
    assert_eq!(leave.code(), (403, "forbidden"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_over_its_bound_is_refused_unread() {
    let server = TestServer::start().await;
    let body = vec![b'a'; api::MAX_BODY + 1];
    let answer = server.send("POST", &server.token_path(), &[], body).await;
    assert_eq!(answer.code(), (413, "bad_request"));
    let body = vec![b'a'; api::MAX_BULK_BODY + 1];
    let answer = server.send("POST", api::scim::BULK_PATH, &[], body).await;
    assert_eq!(answer.code(), (413, "bad_request"));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_tenant_of_this_server_is_served() {
    let server = TestServer::start().await;
    let path = api::oauth::token_path(guid(99));
    let answer = server
        .post_form(&path, &[], &[("grant_type", "srv_challenge")])
        .await;
    assert_eq!(answer.number(), 90002);
}
