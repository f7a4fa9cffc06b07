//! The whole story of one credential, as far as the server is in it.

use std::time::{Duration, Instant};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::json;

use crate::{
    parties::{ALICE, Agent, Device, guid, otp, ready, sid},
    server::{TestServer, rsa_key, run_init},
};

/// A long poll that is woken answers long before its time is over.
const AT_ONCE: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread")]
async fn a_key_goes_from_the_device_to_the_agent_and_out_again() {
    let (server, agent, device) = ready().await;
    let user_token = device.user_token(&server, &agent).await;
    let device_token = device.token(&server).await;
    let key = rsa_key("user");
    let registration = device.registration(&key, 1104, 1);

    // The feed wakes the agent.
    let begun = Instant::now();
    let (page, registered) = tokio::join!(
        agent.changes(&server, "", 25),
        device.register(&server, &user_token, &registration),
    );
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
    let registered = registered.good();
    assert_eq!(registered["upn"], ALICE);
    let change = &page["changes"][0];
    assert_eq!(change["op"], "add");
    assert_eq!(
        change["user"],
        json!({ "anchor": guid(11), "sid": sid(1104) })
    );
    assert_eq!(change["key"]["kid"], registered["kid"]);
    assert_eq!(change["key"]["material"], registration["kngc"]);
    assert_eq!(change["key"]["device"], json!(device.id));
    assert_eq!(change["evidence"], registration["latchkey"]);

    // It is handed out until its result is stored, and not after.
    let again = agent.changes(&server, "", 0).await;
    let beyond = agent.changes(&server, "v1.18446744073709551615", 0).await;
    assert_eq!(beyond, again, "a token of a store that knew more");
    assert_eq!(again["changes"], page["changes"]);
    let none = agent
        .changes(&server, page["next"].as_str().unwrap(), 0)
        .await;
    assert_eq!(none, json!({ "next": page["next"], "changes": [] }));

    // The result wakes the device.
    let kid = registered["kid"].as_str().unwrap();
    let path = format!("{}?wait=25&seen=registered", api::device::key_path(kid));
    let begun = Instant::now();
    let (status, ()) = tokio::join!(
        server.get(&path, &device_token),
        agent.report(&server, &change["seq"], "confirmed"),
    );
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
    let status = status.good();
    assert_eq!(status["state"], "confirmed");
    assert_eq!(status["dc"], "dc.corp.example");
    assert!(status["confirmed_ms"].as_i64() >= status["registered_ms"].as_i64());
    agent.report(&server, &change["seq"], "refused").await;
    let path = api::device::key_path(kid);
    assert_eq!(server.get(&path, &device_token).await.good(), status);
    assert_eq!(agent.changes(&server, "", 0).await["changes"], json!([]));

    // Out again.
    server.delete(&path, &device_token).await.good();
    server.delete(&path, &device_token).await.good();
    let page = agent
        .changes(&server, page["next"].as_str().unwrap(), 0)
        .await;
    assert_eq!(page["changes"].as_array().unwrap().len(), 1);
    assert_eq!(page["changes"][0]["op"], "remove");
    agent
        .report(&server, &page["changes"][0]["seq"], "removed")
        .await;
    let list = format!("{}?user={}", api::device::KEYS_PATH, sid(1104));
    let list = server.get(&list, &device_token).await.good();
    assert_eq!(list["keys"][0]["state"], "removed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registration_that_is_repeated_keeps_its_id_and_brings_its_newer_proof() {
    let (mut server, agent, device) = ready().await;
    let token = device.user_token(&server, &agent).await;
    let key = rsa_key("user");
    let first = device
        .register(&server, &token, &device.registration(&key, 1104, 1))
        .await
        .good();
    server.restart().await;
    let again = device.registration(&key, 1104, 2);
    assert_eq!(device.register(&server, &token, &again).await.good(), first);
    let page = agent.changes(&server, "", 0).await;
    assert_eq!(page["changes"].as_array().unwrap().len(), 1);
    assert_eq!(page["changes"][0]["evidence"]["sequence"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_key_of_the_same_user_and_device_replaces_the_older() {
    let (server, agent, device) = ready().await;
    let token = device.user_token(&server, &agent).await;
    let mut kids = Vec::new();
    for (name, sequence) in [("user", 1), ("another user", 2)] {
        let registration = device.registration(&rsa_key(name), 1104, sequence);
        kids.push(device.register(&server, &token, &registration).await.good()["kid"].clone());
    }
    let page = agent.changes(&server, "", 0).await;
    let changes = page["changes"].as_array().unwrap();
    let told: Vec<_> = changes
        .iter()
        .map(|c| (&c["op"], &c["key"]["kid"]))
        .collect();
    assert_eq!(
        told,
        [(&json!("remove"), &kids[0]), (&json!("add"), &kids[1])]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_stored_is_there_after_a_restart() {
    let (mut server, agent, device) = ready().await;
    let token = device.user_token(&server, &agent).await;
    let registration = device.registration(&rsa_key("user"), 1104, 1);
    let kid = device.register(&server, &token, &registration).await.good()["kid"].clone();
    server.restart().await;
    let path = api::device::key_path(kid.as_str().unwrap());
    let status = server.get(&path, &device.token(&server).await).await.good();
    assert_eq!(status["state"], "registered");
    assert_eq!(
        agent.changes(&server, "", 0).await["changes"][0]["key"]["kid"],
        kid
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_leaves_takes_its_keys_along() {
    let (server, agent, device) = ready().await;
    let token = device.user_token(&server, &agent).await;
    let registration = device.registration(&rsa_key("user"), 1104, 1);
    device.register(&server, &token, &registration).await.good();
    let device_token = device.token(&server).await;
    server
        .delete(&api::device::device_path(device.id), &device_token)
        .await
        .good();
    assert_eq!(
        agent.changes(&server, "", 0).await["changes"][0]["op"],
        "remove"
    );
    let refused = server.get(&api::device::key_path("x"), &device_token).await;
    assert_eq!(refused.code(), (403, "device_disabled"));
}

#[tokio::test(flavor = "multi_thread")]
async fn discovery_answers_by_tenant_and_by_domain_with_what_a_device_reads() {
    let server = TestServer::start().await;
    Agent::enroll(&server).await;
    for named in [server.tenant.to_string(), "CORP.example".to_owned()] {
        let path = format!("{}?api-version=1.9", api::device::discover_path(&named));
        let body = server.send("GET", &path, &[], Vec::new()).await.good();
        let read: api::device::Discovery = serde_json::from_value(body).unwrap();
        assert_eq!(read.tenant.tenant_id, server.tenant);
        assert_eq!(read.join.service_version, "2.0");
    }
    let unknown = server
        .send("GET", "/elsewhere.example/Discover", &[], Vec::new())
        .await;
    assert_eq!(unknown.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_sees_what_there_is_and_deletes_a_key() {
    let (server, agent, device) = ready().await;
    let token = device.user_token(&server, &agent).await;
    let registration = device.registration(&rsa_key("user"), 1104, 1);
    let kid = device.register(&server, &token, &registration).await.good()["kid"].clone();
    let run = |arguments: Vec<&'static str>| {
        let output = server.command(&arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(run(vec!["admin", "user", "list"]).contains(ALICE));
    assert!(run(vec!["admin", "user", "show", ALICE]).contains(kid.as_str().unwrap()));
    assert!(run(vec!["admin", "device", "list"]).contains("Debian 12"));
    assert!(run(vec!["admin", "agent", "list"]).contains("latchkey-sync/"));
    assert!(run(vec!["admin", "settings", "show"]).contains("Outer"));
    let totp = run(vec!["admin", "user", "totp", ALICE, "--json"]);
    let totp: serde_json::Value = serde_json::from_str(&totp).unwrap();
    assert!(
        totp["uri"]
            .as_str()
            .unwrap()
            .starts_with("otpauth://totp/Latchkey:alice@")
    );
    let deleted = server.command(&["admin", "key", "delete", kid.as_str().unwrap()]);
    assert!(deleted.status.success(), "{deleted:?}");
    assert_eq!(
        agent.changes(&server, "", 0).await["changes"][0]["op"],
        "remove"
    );
    let unknown = server.command(&["admin", "key", "delete", "x"]);
    assert!(!unknown.status.success());
    let log = run(vec!["admin", "audit", "list"]);
    for action in [
        "server.init",
        "agent.enroll",
        "device.join",
        "key.register",
        "key.delete",
    ] {
        assert!(log.contains(action), "{action}: {log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_init_refuses_and_changes_nothing() {
    let server = TestServer::start().await;
    let before = std::fs::read(server.folder.join("data/master.key")).unwrap();
    let again = run_init(&server.folder);
    let error = String::from_utf8(again.stderr).unwrap();
    assert!(!again.status.success());
    assert!(error.contains("initialised before"), "{error}");
    assert_eq!(
        std::fs::read(server.folder.join("data/master.key")).unwrap(),
        before
    );
    assert!(server.fingerprint.starts_with("sha256:"));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_in_the_store_or_readable_by_others() {
    use std::os::unix::fs::PermissionsExt;
    let (server, agent, device) = ready().await;
    device
        .sign_in(&server, &agent, &otp(server.now()))
        .await
        .good();
    let secret = b"12345678901234567890";
    let needles = [
        secret.to_vec(),
        crate::parties::SECRET.as_bytes().to_vec(),
        STANDARD.encode(secret).into_bytes(),
        crate::parties::PASSWORD.as_bytes().to_vec(),
    ];
    let mut files = 0;
    for entry in std::fs::read_dir(server.folder.join("data")).unwrap() {
        let path = entry.unwrap().path();
        let content = std::fs::read(&path).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{}", path.display());
        for needle in &needles {
            let found = content.windows(needle.len()).any(|part| part == needle);
            assert!(!found, "{}", path.display());
        }
        files += 1;
    }
    assert!(files >= 2, "{files} files");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_computer_may_join_as_soon_as_the_agent_has_brought_it() {
    let server = TestServer::start().await;
    let agent = Agent::enroll(&server).await;
    let device = Device::new();
    let early = device.try_join(&server, 0).await;
    assert_eq!(early.code(), (404, "device_not_synced"));
    assert_eq!(early.body["retry_after_s"], 1);
    let answer = agent.import(&server, &device).await;
    let statuses = answer["Operations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["status"]);
    assert!(statuses.eq([&json!("200"); 5]), "{answer}");
    device.try_join(&server, 0).await.good();
}
