//! Policies on their way to devices, and what devices say became of them.

use api::policies::{POLICIES_PATH, POLICY_STATUS_PATH};
use latchkey_server::{Clock, Config, Server};
use serde_json::{Value, json};

use crate::{
    crashes::cluster,
    graph::{CONFIGURATIONS, POLICIES, assign, body, choice, create, number, root, target},
    parties::{ALICE, Agent, Device, guid, ready, sid},
    server::{Answer, TestServer},
};

const TREE: &str = "Vendor/MSFT/PassportForWork";

/// What a device asks, with the tag that it has.
async fn ask(server: &TestServer, bearer: &str, query: &str, tag: Option<&str>) -> Answer {
    let bearer = format!("Bearer {bearer}");
    let mut headers = vec![("authorization", bearer.as_str())];
    headers.extend(tag.map(|tag| ("if-none-match", tag)));
    let path = format!("{POLICIES_PATH}?{query}");
    server.send("GET", &path, &headers, Vec::new()).await
}

fn tag(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.headers["etag"].to_str().unwrap().to_owned()
}

fn hello() -> Value {
    body(
        "Pilot",
        "device",
        vec![choice("device", "usepassportforwork", "true")],
    )
}

fn all_devices() -> Value {
    json!([target("allDevicesAssignmentTarget", None)])
}

fn group(byte: u8) -> Value {
    json!([target(
        "groupAssignmentTarget",
        Some(&guid(byte).to_string())
    )])
}

/// Policy, node without what all have in common, and value.
fn values(list: &Value) -> Vec<(String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let row = |row: &Value| {
        let uri = text(&row["loc_uri"]);
        let (_, below) = uri.split_once(TREE).unwrap();
        let node = below
            .split_once("/Policies/")
            .map_or(below, |(_, node)| node);
        (text(&row["policy"]), node.to_owned(), text(&row["value"]))
    };
    list.as_array().unwrap().iter().map(row).collect()
}

fn value(policy: &str, node: &str, value: &str) -> (String, String, String) {
    (policy.to_owned(), node.to_owned(), value.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_is_told_what_reaches_it_once_there_is_anything_new() {
    let (server, _, device) = ready().await;
    let token = device.token(&server).await;
    let first = ask(&server, &token, "", None).await;
    let empty = json!({ "version": 1, "device": [], "tenant": [], "users": {}, "conflicts": [] });
    assert_eq!(first.body, empty);
    let seen = tag(&first);
    let same = ask(&server, &token, "wait=0", Some(&seen)).await;
    assert_eq!(
        (same.status, same.headers["etag"].to_str().unwrap()),
        (304, seen.as_str())
    );

    let id = create(&server, hello()).await;
    let (told, ()) = tokio::join!(
        ask(&server, &token, "wait=25", Some(&seen)),
        assign(&server, &id, all_devices()),
    );
    let expected = [value("Pilot", "UsePassportForWork", "true")];
    assert_eq!(values(&told.body["device"]), expected);
    let tenant = server.tenant.to_string();
    assert!(
        told.text.contains(&format!("{TREE}/{tenant}/Policies")),
        "{}",
        told.text
    );

    // What changes nothing for this device is no answer to it.
    let other = create(&server, body("Other", "device", vec![])).await;
    assign(&server, &other, group(21)).await;
    let seen = tag(&told);
    assert_eq!(ask(&server, &token, "", Some(&seen)).await.status, 304);
    let path = format!("{POLICIES}/{id}");
    let (gone, _) = tokio::join!(
        ask(&server, &token, "wait=25", Some(&seen)),
        root(&server, "DELETE", &path, None),
    );
    assert_eq!(gone.body, empty);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_of_a_group_reaches_its_members_and_nobody_else_at_the_device() {
    let (server, _, device) = ready().await;
    let token = device.token(&server).await;
    let (alice, carol, nobody) = (sid(1104), sid(1105), sid(4711));
    let users = format!("user={alice}&user={carol}&user={nobody}");
    let pilot = create(&server, hello()).await;
    let digits = vec![choice("user", "pincomplexity_digits", "1")];
    let digits = create(&server, body("Digits", "user", digits)).await;
    // Alice is in the group within it.
    assign(&server, &pilot, group(22)).await;
    assign(&server, &digits, group(22)).await;
    let told = ask(&server, &token, &users, None).await;
    assert_eq!(told.body["device"], json!([]));
    let of = |sid: &model::Sid, told: &Answer| told.body["users"][sid.to_string()].clone();
    let expected = [value("Pilot", "UsePassportForWork", "true")];
    assert_eq!(values(&of(&alice, &told)["device"]), expected);
    let expected = [value("Digits", "PINComplexity/Digits", "1")];
    assert_eq!(values(&of(&alice, &told)["user"]), expected);
    assert_eq!(of(&carol, &told), json!({ "device": [], "user": [] }));
    assert_eq!(of(&nobody, &told), Value::Null);

    let own = server
        .admin("POST", "/groups", Some(json!({ "name": "own" })))
        .await
        .good();
    let own = own["guid"].as_str().unwrap().to_owned();
    assign(
        &server,
        &pilot,
        json!([target("groupAssignmentTarget", Some(&own))]),
    )
    .await;
    let before = ask(&server, &token, &users, None).await;
    assert_eq!(of(&alice, &before)["device"], json!([]));
    // The device itself comes into the group, and with it whoever is at it.
    let seen = tag(&before);
    let waiting = format!("{users}&wait=25");
    let put = format!("/groups/own/members/{}", device.id);
    let (told, _) = tokio::join!(
        ask(&server, &token, &waiting, Some(&seen)),
        server.admin("PUT", &put, None),
    );
    for list in [&told.body["device"], &of(&carol, &told)["device"]] {
        assert_eq!(values(list), [value("Pilot", "UsePassportForWork", "true")]);
    }
    let used = server.admin("DELETE", "/groups/own", None).await;
    assert_eq!(used.code(), (409, "conflict"));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_policies_that_differ_the_stricter_counts_and_a_contradiction_is_told() {
    let (server, _, device) = ready().await;
    let token = device.token(&server).await;
    let length = |value| number("device", "pincomplexity_minimumpinlength", value);
    for (name, children) in [
        (
            "One",
            vec![length(6), choice("device", "pincomplexity_digits", "1")],
        ),
        (
            "Two",
            vec![length(8), choice("device", "pincomplexity_digits", "2")],
        ),
    ] {
        let id = create(&server, body(name, "device", children)).await;
        assign(&server, &id, all_devices()).await;
    }
    let told = ask(&server, &token, "", None).await;
    let expected = [value("Two", "PINComplexity/MinimumPINLength", "8")];
    assert_eq!(values(&told.body["device"]), expected);
    let conflict = &told.body["conflicts"][0];
    assert_eq!(
        (&conflict["held"], &conflict["policies"]),
        (&json!("unset"), &json!(["One", "Two"]))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_two_policies_give_is_told_under_both_names() {
    let (server, _, device) = ready().await;
    let token = device.token(&server).await;
    for name in ["Two", "One"] {
        let length = number("device", "pincomplexity_minimumpinlength", 8);
        let id = create(&server, body(name, "device", vec![length])).await;
        assign(&server, &id, all_devices()).await;
    }
    let told = ask(&server, &token, "", None).await;
    let expected = [value("One", "PINComplexity/MinimumPINLength", "8")];
    assert_eq!(values(&told.body["device"]), expected);
    assert_eq!(told.body["device"][0]["also"], json!(["Two"]));
    let report = json!({ "etag": tag(&told), "reports": [
        { "outcomes": outcomes(&told.body["device"], "applied", None) },
    ]});
    let taken = server.post_json(POLICY_STATUS_PATH, &token, &report).await;
    assert_eq!(taken.status, 204, "{}", taken.text);
    for name in ["One", "Two"] {
        let path = format!("/policies/{name}/status");
        let rows = server.admin("GET", &path, None).await.good();
        assert_eq!(rows[0]["state"], "applied", "{rows}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_enrollment_configuration_counts_at_the_join_and_never_after() {
    let (server, _, mut device) = ready().await;
    let default = root(&server, "GET", CONFIGURATIONS, None).await.good();
    let default = default["value"][0]["id"].as_str().unwrap().to_owned();
    let change = async |state: &str| {
        let path = format!("{CONFIGURATIONS}/{default}");
        let body = Some(json!({ "state": state, "pinMinimumLength": 7 }));
        root(&server, "PATCH", &path, body).await.good();
    };
    let tenant = async |device: &Device| {
        let token = device.token(&server).await;
        ask(&server, &token, "", None).await.body["tenant"].clone()
    };
    change("disabled").await;
    assert_eq!(tenant(&device).await, json!([]));
    device.join(&server).await;
    let name = "All users and all devices";
    let off = [value(name, "UsePassportForWork", "false")];
    assert_eq!(values(&tenant(&device).await), off);
    change("enabled").await;
    assert_eq!(values(&tenant(&device).await), off);
    device.join(&server).await;
    let on = values(&tenant(&device).await);
    assert!(on.contains(&value(name, "UsePassportForWork", "true")));
    assert!(on.contains(&value(name, "PINComplexity/MinimumPINLength", "7")));

    // One that is assigned comes before the default.
    let new = json!({ "displayName": "Own", "state": "disabled" });
    let new = root(&server, "POST", CONFIGURATIONS, Some(new)).await.body["id"].clone();
    let body = json!({ "enrollmentConfigurationAssignments": all_devices() });
    let path = format!("{CONFIGURATIONS}/{}/assign", new.as_str().unwrap());
    root(&server, "POST", &path, Some(body)).await.good();
    device.join(&server).await;
    assert_eq!(
        values(&tenant(&device).await),
        [value("Own", "UsePassportForWork", "false")]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_answer_is_compressed_for_whoever_takes_that() {
    let (server, _, device) = ready().await;
    let token = device.token(&server).await;
    for n in 0..10 {
        let children = vec![number("device", "pincomplexity_history", 10 + n)];
        let mut long = body(&format!("{n}{}", "x".repeat(200)), "device", children);
        long["description"] = json!("one of many");
        let id = create(&server, long).await;
        assign(&server, &id, all_devices()).await;
    }
    let children = [
        "uppercaseletters",
        "lowercaseletters",
        "digits",
        "specialcharacters",
    ];
    let children = children.map(|name| choice("device", &format!("pincomplexity_{name}"), "1"));
    let id = create(&server, body(&"y".repeat(250), "device", children.to_vec())).await;
    assign(&server, &id, all_devices()).await;
    let plain = ask(&server, &token, "", None).await;
    assert!(plain.text.len() > 1024);
    let bearer = format!("Bearer {token}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("accept-encoding", "br, gzip;q=0.5"),
    ];
    let packed = server
        .send("GET", POLICIES_PATH, &headers, Vec::new())
        .await;
    assert_eq!(packed.headers["content-encoding"], "gzip");
    assert_eq!(
        (packed.text, packed.headers["etag"].clone()),
        (plain.text, plain.headers["etag"].clone())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_is_switched_off_waits_no_longer() {
    let (server, _, device) = ready().await;
    let token = device.token(&server).await;
    let seen = tag(&ask(&server, &token, "", None).await);
    let (refused, _) = tokio::join!(
        ask(&server, &token, "wait=25", Some(&seen)),
        server.admin("POST", "/devices/ws1/disable", None),
    );
    assert_eq!(refused.code(), (403, "device_disabled"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_or_a_report_that_is_not_bounded_is_refused() {
    let (server, _, device) = ready().await;
    let token = device.token(&server).await;
    let many: Vec<_> = (0..33).map(|n| format!("user={}", sid(2000 + n))).collect();
    for query in [many.join("&").as_str(), "user=alice", "wait=long"] {
        let refused = ask(&server, &token, query, None).await;
        assert_eq!(refused.code(), (400, "bad_request"), "{query}");
    }
    let outcome = |text: String| json!({ "loc_uri": text, "state": "applied" });
    let status = |reports: Value| json!({ "etag": "\"x\"", "reports": reports });
    let outcomes = vec![outcome("./Device/x".to_owned()); 2000];
    let report =
        |user: Option<u32>| json!({ "user": user.map(sid), "outcomes": [outcome("x".to_owned())] });
    let post = async |body: Value| server.post_json(POLICY_STATUS_PATH, &token, &body).await;
    for bad in [
        json!({}),
        status(json!([{ "outcomes": [outcome("x".repeat(1025))] }])),
        status(json!([{ "outcomes": outcomes }, report(Some(1))])),
        status(json!([report(Some(1)), report(Some(1))])),
        status((0..34).map(|n| report(Some(n))).collect()),
        status(json!([{ "outcomes": [{ "loc_uri": "x", "state": "fine" }] }])),
    ] {
        let refused = post(bad).await;
        assert_eq!(refused.code(), (400, "bad_request"));
    }
    let good = post(status(json!([{ "outcomes": outcomes }]))).await;
    assert_eq!(good.status, 204, "{}", good.text);
    let kept = server.store().policy_report(server.tenant, device.id).await;
    assert_eq!(kept.unwrap().unwrap().outcomes[0].1.len(), 2000);
}

/// Node by node as a device reports it.
fn outcomes(list: &Value, state: &str, by: Option<&str>) -> Value {
    let row = |row: &Value| json!({ "loc_uri": row["loc_uri"], "state": state, "by": by });
    list.as_array().unwrap().iter().map(row).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_became_of_a_policy_is_told_for_each_device_and_person() {
    let (server, _, device) = ready().await;
    let token = device.token(&server).await;
    let length = |value| vec![number("device", "pincomplexity_minimumpinlength", value)];
    let one = create(&server, body("One", "device", length(6))).await;
    let two = create(&server, body("Two", "device", length(8))).await;
    for id in [&one, &two] {
        assign(&server, id, all_devices()).await;
    }
    let status = async |path: &str| {
        let rows = server.admin("GET", path, None).await.good();
        let row = |row: &Value| {
            let user = row["user"].as_str().map(str::to_owned);
            (
                user,
                row["state"].clone(),
                row["by"].clone(),
                row["current"].clone(),
            )
        };
        rows.as_array().unwrap().iter().map(row).collect::<Vec<_>>()
    };
    let pending = [(None, json!("pending"), Value::Null, json!(false))];
    assert_eq!(status("/policies/Two/status").await, pending);
    let alice = sid(1104);
    let told = ask(&server, &token, &format!("user={alice}"), None).await;
    let by = Some("group policy Workstations");
    let own = &told.body["users"][alice.to_string()]["device"];
    let report = json!({ "etag": tag(&told), "reports": [
        { "outcomes": outcomes(&told.body["device"], "applied", None) },
        { "user": alice, "outcomes": outcomes(own, "overridden", by) },
    ]});
    let taken = server.post_json(POLICY_STATUS_PATH, &token, &report).await;
    assert_eq!(taken.status, 204, "{}", taken.text);
    let alice = Some(alice.to_string());
    let expected = [
        (None, json!("applied"), Value::Null, json!(true)),
        (alice.clone(), json!("overridden"), json!(by), json!(true)),
    ];
    assert_eq!(status("/policies/Two/status").await, expected);
    let stricter = json!("Two, which is stricter");
    let overridden =
        |user: Option<String>| (user, json!("overridden"), stricter.clone(), json!(true));
    assert_eq!(
        status("/policies/One/status").await,
        [overridden(None), overridden(alice)]
    );
    assert_eq!(status("/devices/ws1/policies").await.len(), 4);
    assert_eq!(status(&format!("/users/{ALICE}/policies")).await.len(), 2);
    let rows = server
        .admin("GET", "/policies/Two/status", None)
        .await
        .good();
    assert_eq!(
        (&rows[0]["upn"], &rows[1]["upn"], &rows[1]["name"]),
        (&Value::Null, &json!(ALICE), &json!("alice"))
    );
    let states = "/v1.0/deviceManagement/managedDevices";
    let states = format!("{states}/{}/deviceConfigurationStates", device.id);
    let states = root(&server, "GET", &states, None).await.good();
    let of_alice: Vec<_> = states["value"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|state| state["userPrincipalName"] == ALICE)
        .map(|state| {
            let setting = &state["settingStates"][0];
            assert_eq!(setting["userPrincipalName"], ALICE);
            (
                state["displayName"].clone(),
                setting["errorDescription"].clone(),
            )
        })
        .collect();
    let expected = [
        (json!("Two"), json!(by)),
        (json!("One"), json!("Two, which is stricter")),
    ];
    assert_eq!(of_alice, expected);
    assert_eq!(states["value"][0]["state"], "compliant");

    let digits = |value| vec![choice("device", "pincomplexity_digits", value)];
    for (name, value) in [("Three", "1"), ("Four", "2")] {
        let id = create(&server, body(name, "device", digits(value))).await;
        assign(&server, &id, all_devices()).await;
    }
    let rows = server.admin("GET", "/policy-conflicts", None).await.good();
    let expected = json!([{
        "setting": "digits", "scope": "device", "policies": ["Four", "Three"], "held": "unset",
    }]);
    assert_eq!(rows, expected);
    let three = status("/policies/Three/status").await;
    assert_eq!(
        three[0],
        (None, json!("conflict"), json!("Four"), json!(false))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_at_one_server_is_told_by_another_that_shares_its_database() {
    let database = cluster::Database::empty().await;
    let mut server = TestServer::on_postgres(&database.address().url);
    server.restart().await;
    let agent = Agent::enroll(&server).await;
    let mut device = Device::new();
    agent.import(&server, &device).await;
    device.join(&server).await;
    let config = std::fs::read_to_string(server.folder.join("server.toml")).unwrap();
    let path = server.folder.join("other.toml");
    std::fs::write(&path, config.replace("admin.sock", "other.sock")).unwrap();
    let other = Server::start(Config::read(&path).unwrap(), Clock::system());
    let other = other.await.unwrap();
    // Devices ask the other one; administrators' socket is the first one's.
    server.attach(other.address);
    let token = device.token(&server).await;
    let alice = sid(1104);
    let query = format!("user={alice}&wait=25");
    let id = create(&server, hello()).await;
    let seen = tag(&ask(&server, &token, &query, None).await);
    let (told, ()) = tokio::join!(
        ask(&server, &token, &query, Some(&seen)),
        assign(&server, &id, group(22)),
    );
    let of_alice = &told.body["users"][alice.to_string()]["device"];
    assert_eq!(
        values(of_alice),
        [value("Pilot", "UsePassportForWork", "true")]
    );
    let seen = tag(&told);
    let out = json!([{ "method": "DELETE", "path": format!("/Groups/{}", guid(21)) }]);
    let (told, _) = tokio::join!(
        ask(&server, &token, &query, Some(&seen)),
        agent.bulk(&server, out),
    );
    assert_eq!(told.body["users"][alice.to_string()]["device"], json!([]));
    other.stop().await;
}
