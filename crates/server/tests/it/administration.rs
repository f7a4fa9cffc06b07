//! What administrators do, by their roles.

use serde_json::{Value, json};

use crate::{
    administrators::{administrator, console, person, token},
    parties::{ALICE, CAROL, Device, ready},
    server::{Answer, TestServer, rsa_key},
};

/// One request to the administrator's interface over TLS.
async fn ask(
    server: &TestServer,
    bearer: &str,
    method: &str,
    path: &str,
    body: Option<Value>,
) -> Answer {
    let bearer = format!("Bearer {bearer}");
    let body = body.map(|body| body.to_string().into_bytes());
    let path = format!("/admin/v1{path}");
    server
        .send(
            method,
            &path,
            &[("authorization", &bearer)],
            body.unwrap_or_default(),
        )
        .await
}

fn names(rows: &Value) -> Vec<&str> {
    let rows = rows.as_array().unwrap().iter();
    rows.map(|row| row["upn"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_within_a_scope_sees_and_helps_whom_its_tag_covers() {
    let (server, _agent, _device) = ready().await;
    console(&server).await;
    let upn = person(&server, "helper", None).await;
    // Alice is in Inner, and through it in Outer; Carol is in neither.
    let root = async |method: &str, path: &str, body| server.admin(method, path, body).await;
    root(
        "PUT",
        "/scope-tags/Outer",
        Some(json!({ "name": "Branch" })),
    )
    .await
    .good();
    let within = Some(json!({ "scope_tags": ["Branch"] }));
    root("PUT", &format!("/roles/helpdesk/{upn}"), within)
        .await
        .good();
    let bearer = token(&server, &upn).await;
    let ask = async |method: &str, path: &str| ask(&server, &bearer, method, path, None).await;

    assert_eq!(names(&ask("GET", "/users").await.good()), [ALICE]);
    ask("DELETE", &format!("/users/{ALICE}/sessions"))
        .await
        .good();
    for (method, path) in [
        ("GET", format!("/users/{CAROL}")),
        ("DELETE", format!("/users/{CAROL}/sessions")),
        ("DELETE", format!("/users/{ALICE}/factors")),
        ("GET", "/settings".to_owned()),
        ("GET", "/roles".to_owned()),
        ("GET", "/audit".to_owned()),
    ] {
        let refused = ask(method, &path).await;
        assert_eq!(refused.code(), (403, "forbidden"), "{method} {path}");
    }
    // A tag that limits a role cannot go; taken back, the role is none at once.
    let tag = root("DELETE", "/scope-tags/Outer", None).await;
    assert_eq!(tag.code(), (409, "conflict"));
    root("DELETE", &format!("/roles/helpdesk/{upn}"), None)
        .await
        .good();
    assert_eq!(ask("GET", "/users").await.code(), (403, "forbidden"));
    root("DELETE", "/scope-tags/Outer", None).await.good();
}

#[tokio::test(flavor = "multi_thread")]
async fn helping_an_administrator_is_no_way_to_become_one() {
    let server = TestServer::start().await;
    console(&server).await;
    let boss = person(&server, "boss", Some("global")).await;
    let plain = person(&server, "plain", None).await;
    let root = async |method: &str, path: &str, body| server.admin(method, path, body).await;
    root("POST", "/groups", Some(json!({ "name": "Admins" })))
        .await
        .good();
    root("PUT", "/roles/global/Admins", None).await.good();
    let password = || Some(json!({ "password": "Another long one" }));
    let authentication = administrator(&server, "auth", "authentication").await;
    let policy = administrator(&server, "policy", "policy").await;

    let path = |upn: &str| format!("/users/{upn}/password");
    let good = ask(&server, &authentication, "PUT", &path(&plain), password()).await;
    assert_eq!(good.status, 204);
    let refused = ask(&server, &authentication, "PUT", &path(&boss), password()).await;
    assert_eq!(refused.code(), (403, "forbidden"));
    // Nor is a group that gives a role, or one that makes somebody a member of it.
    let join = format!("/groups/Admins/members/{plain}");
    let refused = ask(&server, &policy, "PUT", &join, None).await;
    assert_eq!(refused.code(), (403, "forbidden"));
    let inner = json!({ "name": "Inner" });
    ask(&server, &policy, "POST", "/groups", Some(inner))
        .await
        .good();
    let join = format!("/groups/Inner/members/{plain}");
    ask(&server, &policy, "PUT", &join, None).await.good();
    root("PUT", "/groups/Admins/members/Inner", None)
        .await
        .good();
    let leave = ask(&server, &policy, "DELETE", &join, None).await;
    assert_eq!(leave.code(), (403, "forbidden"));
    // The member of a member has the role.
    let upn = root("GET", &format!("/users/{plain}"), None).await.good();
    assert_eq!(upn["roles"], json!(["global"]));
    assert_eq!(upn["groups"].as_array().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_of_the_servers_own_lives_and_a_directorys_is_its_agents() {
    let (server, _agent, _device) = ready().await;
    let root = async |method: &str, path: &str, body| server.admin(method, path, body).await;
    let new = |upn: &str| Some(json!({ "upn": upn, "password": "Long enough, surely" }));
    root("POST", "/users", new("dora@cloud.example"))
        .await
        .good();
    for (upn, status) in [
        ("dora@cloud.example", 409),
        ("eve@corp.example", 409),
        ("eve@corp", 409),
        ("eve", 400),
        ("e ve@cloud.example", 400),
        ("eve@a@cloud.example", 400),
    ] {
        assert_eq!(
            root("POST", "/users", new(upn)).await.status,
            status,
            "{upn}"
        );
    }
    let short = Some(json!({ "upn": "eve@cloud.example", "password": "short" }));
    assert_eq!(root("POST", "/users", short).await.status, 400);
    let renamed = Some(json!({ "upn": "dorothea@cloud.example", "active": false }));
    root("PUT", "/users/dora@cloud.example", renamed)
        .await
        .good();
    let user = root("GET", "/users/dorothea@cloud.example", None)
        .await
        .good();
    assert_eq!(
        (&user["active"], &user["kind"]),
        (&json!(false), &json!("cloud"))
    );
    for (method, body) in [("PUT", Some(json!({ "active": false }))), ("DELETE", None)] {
        let refused = root(method, &format!("/users/{ALICE}"), body).await;
        assert_eq!(refused.code(), (409, "conflict"));
    }
    root("DELETE", "/users/dorothea@cloud.example", None)
        .await
        .good();
    let gone = root("GET", "/users/dorothea@cloud.example", None).await;
    assert_eq!(gone.code(), (404, "not_found"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_of_the_servers_own_holds_users_and_devices_and_says_who_may() {
    let (server, agent, device) = ready().await;
    let root = async |method: &str, path: &str, body| server.admin(method, path, body).await;
    root("POST", "/groups", Some(json!({ "name": "Pilots" })))
        .await
        .good();
    for member in [CAROL, "ws1", "Inner"] {
        root("PUT", &format!("/groups/Pilots/members/{member}"), None)
            .await
            .good();
    }
    let members = root("GET", "/groups/Pilots/members", None).await.good();
    let mut found: Vec<_> = members
        .as_array()
        .unwrap()
        .iter()
        .map(|m| &m["name"])
        .collect();
    found.sort_by_key(|name| name.to_string());
    assert_eq!(found, ["Inner", "carol@corp.example", "ws1"]);
    // Two groups are named; who is in either may.
    let both = Some(json!({ "values": ["Outer", "Pilots"] }));
    let set = root("PUT", "/settings/register-keys-group", both)
        .await
        .good();
    assert_eq!(set["value"], json!(["Outer", "Pilots"]));
    let bearer = device.user_token(&server, &agent).await;
    let registration = device.registration(&rsa_key("user"), 1104, 1);
    device
        .register(&server, &bearer, &registration)
        .await
        .good();
    let refused = root("DELETE", "/groups/Pilots", None).await;
    assert_eq!(refused.code(), (409, "conflict"));
    root(
        "PUT",
        "/settings/register-keys-group",
        Some(json!({ "values": ["none"] })),
    )
    .await
    .good();
    root("DELETE", "/groups/Pilots", None).await.good();
    let directorys = root("DELETE", "/groups/Outer", None).await;
    assert_eq!(directorys.code(), (409, "conflict"));
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_are_set_by_their_words_and_refuse_others() {
    let server = TestServer::start().await;
    let set = async |name: &str, values: &[&str]| {
        let body = Some(json!({ "values": values }));
        server
            .admin("PUT", &format!("/settings/{name}"), body)
            .await
    };
    for (name, value, shown) in [
        ("devices-per-user", "7", json!(7)),
        ("allow-device-code", "on", json!(true)),
        ("attestation", "require", json!("require")),
        ("lockout-tries", "3", json!(3)),
    ] {
        assert_eq!(set(name, &[value]).await.good()["value"], shown, "{name}");
    }
    for (name, values) in [
        ("devices-per-user", &["many"][..]),
        ("devices-per-user", &["1", "2"]),
        ("allow-device-code", &["perhaps"]),
        ("attestation", &["always"]),
        ("lockout-tries", &["0"]),
        ("attestation-by-group", &["x"]),
    ] {
        assert_eq!(
            set(name, values).await.code(),
            (400, "bad_request"),
            "{name}"
        );
    }
    assert_eq!(set("nothing", &["1"]).await.code(), (404, "not_found"));
    let shown = server.admin("GET", "/settings", None).await.good();
    assert_eq!(shown["devices-per-user"], 7);
}

/// Devices that have joined, under names of their own.
async fn fleet(server: &TestServer, count: u8) {
    let store = server.store();
    for n in 0..count {
        let device = Device::row(n, &format!("ws{n:02}"));
        let audit = store::Audit {
            at: model::UnixTime(server.now() - 3600),
            actor: "test".to_owned(),
            action: "test",
            subject: String::new(),
        };
        let joined = store.join_device(server.tenant, device, None, audit);
        assert!(joined.await.unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_deletions_are_done_only_with_the_word_that_they_were_shown_with() {
    let server = TestServer::start().await;
    fleet(&server, 40).await;
    let delete = async |devices: &[String], confirm: Option<&str>| {
        let body = json!({ "devices": devices, "confirm": confirm });
        server.admin("POST", "/devices/deletions", Some(body)).await
    };
    let named = |range: std::ops::Range<u8>| range.map(|n| format!("ws{n:02}")).collect::<Vec<_>>();
    // One is no mistake of many; two are fewer than a tenth.
    delete(&named(0..1), None).await.good();
    delete(&named(1..3), None).await.good();
    // With the three before, these would be more than a tenth of all there were.
    let asked = delete(&named(3..6), None).await;
    assert_eq!(asked.code(), (409, "confirmation_required"));
    assert_eq!(asked.body["devices"], json!(named(3..6)));
    let confirm = asked.body["confirm"].as_str().unwrap().to_owned();
    for (devices, word) in [
        (named(3..7), confirm.as_str()),
        (named(3..6), "1-x"),
        (named(3..6), ""),
    ] {
        let refused = delete(&devices, Some(word)).await;
        assert_eq!(refused.code(), (409, "confirmation_required"));
    }
    let left = server.admin("GET", "/devices", None).await.good();
    assert_eq!(left.as_array().unwrap().len(), 37);
    delete(&named(3..6), Some(&confirm)).await.good();
    let late = delete(&named(6..12), None).await;
    let confirm = late.body["confirm"].as_str().unwrap().to_owned();
    server.pass(601);
    // Ten minutes later neither the word nor the earlier deletions count.
    let asked = delete(&named(6..12), Some(&confirm)).await;
    assert_eq!(asked.code(), (409, "confirmation_required"));
    delete(&named(6..8), None).await.good();
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_come_by_pages_and_the_command_line_puts_them_together() {
    let server = TestServer::start().await;
    fleet(&server, 12).await;
    let page = server.admin("GET", "/devices?most=5", None).await;
    let next = page.headers["latchkey-next"].to_str().unwrap().to_owned();
    assert_eq!(page.good().as_array().unwrap().len(), 5);
    let path = format!("/devices?most=5&after={next}");
    let second = server.admin("GET", &path, None).await.good();
    assert_eq!(second[0]["name"], "ws05");
    let bad = server.admin("GET", "/devices?after=%21", None).await;
    assert_eq!(bad.code(), (400, "bad_request"));
    let output = server.command(&["admin", "device", "list", "--json", "--prefix", "WS1"]);
    let rows: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(rows.as_array().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_asks_for_the_word_and_takes_it() {
    let server = TestServer::start().await;
    fleet(&server, 3).await;
    let asked = server.command(&["admin", "device", "delete", "ws00", "ws01", "--json"]);
    assert!(!asked.status.success());
    let asked: Value = serde_json::from_slice(&asked.stdout).unwrap();
    let word = asked["confirm"].as_str().unwrap();
    let confirmed = [
        "admin",
        "device",
        "delete",
        "ws00",
        "ws01",
        "--confirm",
        word,
    ];
    assert!(server.command(&confirmed).status.success());
    let rows = server.admin("GET", "/devices", None).await.good();
    assert_eq!(rows.as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_administrator_does_is_in_the_audit_log_under_their_own_name() {
    let server = TestServer::start().await;
    console(&server).await;
    let bearer = administrator(&server, "global", "global").await;
    let body = Some(json!({ "name": "Pilots" }));
    ask(&server, &bearer, "POST", "/groups", body).await.good();
    let rows = ask(&server, &bearer, "GET", "/audit", None).await.good();
    let user = ask(&server, &bearer, "GET", "/users/global@cloud.example", None)
        .await
        .good();
    let guid = user["guid"].as_str().unwrap();
    assert_eq!(rows[0]["action"], "group.create");
    assert_eq!(rows[0]["actor"], format!("user:{guid}"));
    let whole = ask(&server, &bearer, "GET", "/audit/check", None)
        .await
        .good();
    assert_eq!(whole["whole"], true);
    // Exported by pages, each row once.
    let output = server.command(&["admin", "audit", "export", "--after", "0"]);
    let lines = String::from_utf8(output.stdout).unwrap();
    let ids: Vec<u64> = lines
        .lines()
        .map(|line| {
            serde_json::from_str::<Value>(line).unwrap()["id"]
                .as_u64()
                .unwrap()
        })
        .collect();
    assert_eq!(ids.len() as u64, whole["rows"].as_u64().unwrap());
    assert!(ids.is_sorted_by(|one, next| one < next));
}
