//! SCIM 2.0, as an application that provisions accounts speaks it, and as an agent may.

use api::{
    SCIM_AUDIENCE,
    oauth::ASSERTION_JWT_BEARER,
    scim::{ERROR_SCHEMA, LIST_SCHEMA, PATCH_SCHEMA, USER_SCHEMA},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use token::{RsaJwk, SigningJwk};

use crate::{
    administrators::{person, without_factor},
    parties::{ALICE, guid, jws, rand, ready, sid},
    server::{Answer, TestServer, URL, rsa_key},
};

const CLIENT: &str = "hr";

/// Registers the application; its token.
async fn provisioner(server: &TestServer) -> String {
    let key = rsa_key("hr");
    let jwk = SigningJwk::new(RsaJwk::from_key(&*key).unwrap());
    let body = json!({
        "name": "Human resources",
        "confidential": true,
        "jwks": { "keys": [jwk] },
        "resources": [SCIM_AUDIENCE],
    });
    let path = format!("/apps/{CLIENT}");
    server.admin("PUT", &path, Some(body)).await.good();
    let path = api::oauth::token_path_v2(server.tenant);
    let assertion = json!({
        "iss": CLIENT,
        "sub": CLIENT,
        "aud": format!("{URL}{path}"),
        "jti": URL_SAFE_NO_PAD.encode(rand::<16>()),
        "exp": server.now() + 300,
    });
    let assertion = jws(&key, Vec::new(), &assertion);
    let scope = format!("{SCIM_AUDIENCE}/.default");
    let fields = [
        ("grant_type", "client_credentials"),
        ("client_id", CLIENT),
        ("scope", &scope),
        ("client_assertion_type", ASSERTION_JWT_BEARER),
        ("client_assertion", &assertion),
    ];
    let tokens = server.post_form(&path, &[], &fields).await.good();
    tokens["access_token"].as_str().unwrap().to_owned()
}

async fn ask(
    server: &TestServer,
    bearer: &str,
    (method, path): (&str, &str),
    body: Option<Value>,
) -> Answer {
    let bearer = format!("Bearer {bearer}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/scim+json"),
    ];
    let body = body.map(|body| body.to_string().into_bytes());
    let path = format!("/scim/v2{path}");
    server
        .send(method, &path, &headers, body.unwrap_or_default())
        .await
}

fn user(name: &str) -> Option<Value> {
    Some(json!({
        "schemas": [USER_SCHEMA],
        "userName": name,
        "displayName": "Somebody",
        "emails": [{ "value": format!("mail-{name}"), "type": "work", "primary": true }],
        "nickName": "passed over",
    }))
}

fn patch(operations: Value) -> Option<Value> {
    Some(json!({ "schemas": [PATCH_SCHEMA], "Operations": operations }))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_makes_changes_and_deletes_users() {
    let server = TestServer::start().await;
    let bearer = provisioner(&server).await;
    let ask = async |method, path: &str, body| ask(&server, &bearer, (method, path), body).await;

    let made = ask("POST", "/Users", user("emil@cloud.example")).await;
    assert_eq!(made.status, 201);
    assert_eq!(made.headers["content-type"], "application/scim+json");
    let id = made.body["id"].as_str().unwrap().to_owned();
    let one = format!("/Users/{id}");
    assert_eq!(made.headers["location"], format!("/scim/v2{one}"));
    let twice = ask("POST", "/Users", user("EMIL@cloud.example")).await;
    assert_eq!(twice.status, 409);
    assert_eq!(twice.body["scimType"], "uniqueness");

    let filter = "/Users?filter=userName%20eq%20%22Emil@cloud.example%22";
    let found = ask("GET", filter, None).await.good();
    assert_eq!(found["schemas"], json!([LIST_SCHEMA]));
    assert_eq!(
        (&found["totalResults"], &found["Resources"][0]["id"]),
        (&json!(1), &json!(id))
    );

    let off = patch(json!([{ "op": "Replace", "path": "active", "value": false }]));
    assert_eq!(ask("PATCH", &one, off).await.good()["active"], false);
    let renamed = ask("PUT", &one, user("emilia@cloud.example")).await.good();
    assert_eq!(renamed["userName"], "emilia@cloud.example");
    // What is absent is the default again: PUT says all of it.
    assert_eq!(renamed["active"], true);
    assert_eq!(renamed["emails"][0]["value"], "mail-emilia@cloud.example");
    assert_eq!(ask("DELETE", &one, None).await.status, 204);
    let gone = ask("GET", &one, None).await;
    assert_eq!(gone.status, 404);
    assert_eq!(gone.body["schemas"], json!([ERROR_SCHEMA]));
    assert_eq!(
        (&gone.body["status"], &gone.body["code"]),
        (&json!("404"), &json!("not_found"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_fills_groups_and_touches_no_directory_and_no_role() {
    let (server, _agent, _device) = ready().await;
    let bearer = provisioner(&server).await;
    let ask = async |method, path: &str, body| ask(&server, &bearer, (method, path), body).await;
    let group = |members: &[model::Guid]| {
        let members: Vec<_> = members.iter().map(|id| json!({ "value": id })).collect();
        Some(json!({ "displayName": "Pilots", "members": members }))
    };
    let made = ask("POST", "/Groups", group(&[guid(11)])).await.good();
    let one = format!("/Groups/{}", made["id"].as_str().unwrap());
    let more = patch(json!([
        { "op": "add", "path": "members", "value": [{ "value": guid(12) }] },
        { "op": "remove", "path": format!("members[value eq \"{}\"]", guid(11)) },
    ]));
    let changed = ask("PATCH", &one, more).await.good();
    assert_eq!(changed["members"], json!([{ "value": guid(12) }]));
    let nobody = ask("PUT", &one, group(&[guid(99)])).await;
    assert_eq!(
        (nobody.status, &nobody.body["scimType"]),
        (400, &json!("invalidValue"))
    );

    let alice = format!("/Users/{}", guid(11));
    assert_eq!(ask("GET", &alice, None).await.good()["userName"], ALICE);
    for (method, path, body) in [
        ("PUT", alice.as_str(), user("alice@cloud.example")),
        ("DELETE", &alice, None),
        ("DELETE", &format!("/Groups/{}", guid(22)), None),
        ("POST", "/Users", user("eve@corp.example")),
    ] {
        assert_eq!(ask(method, path, body).await.status, 409, "{method} {path}");
    }
    let computer = format!("/Computers/{}", guid(31));
    ask("GET", &computer, None).await.good();
    assert_eq!(ask("DELETE", &computer, None).await.status, 403);

    let boss = person(&server, "boss", Some("global")).await;
    let boss = server
        .admin("GET", &format!("/users/{boss}"), None)
        .await
        .good();
    let boss = format!("/Users/{}", boss["guid"].as_str().unwrap());
    for (method, body) in [("DELETE", None), ("PUT", user("mine@cloud.example"))] {
        assert_eq!(ask(method, &boss, body).await.status, 403, "{method}");
    }
    server
        .admin("PUT", "/roles/reader/Pilots", None)
        .await
        .good();
    assert_eq!(ask("PUT", &one, group(&[guid(11)])).await.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_comes_by_pages_of_either_kind() {
    let server = TestServer::start().await;
    let bearer = provisioner(&server).await;
    for n in 0..7 {
        without_factor(&server, &format!("user{n}"), None).await;
    }
    let list = async |query: &str| {
        let path = format!("/Users?{query}");
        let answer = ask(&server, &bearer, ("GET", &path), None).await.good();
        let rows = answer["Resources"].as_array().unwrap().iter();
        let names: Vec<String> = rows
            .map(|row| row["userName"].as_str().unwrap()[..5].to_owned())
            .collect();
        (answer, names)
    };
    let (first, names) = list("count=3").await;
    assert_eq!(first["totalResults"], 7);
    assert_eq!(names, ["user0", "user1", "user2"]);
    let (_, names) = list("startIndex=4&count=3").await;
    assert_eq!(names, ["user3", "user4", "user5"]);
    let cursor = first["nextCursor"].as_str().unwrap();
    let (second, names) = list(&format!("cursor={cursor}&count=3")).await;
    assert_eq!(names, ["user3", "user4", "user5"]);
    let cursor = second["nextCursor"].as_str().unwrap();
    let (last, names) = list(&format!("cursor={cursor}&count=3")).await;
    assert_eq!(names, ["user6"]);
    assert!(last.get("nextCursor").is_none());
    let (none, names) = list("count=0").await;
    assert_eq!((&none["totalResults"], names.len()), (&json!(7), 0));
    let (_, names) = list("startIndex=99").await;
    assert!(names.is_empty());
    for query in ["filter=userName%20co%20%22a%22", "cursor=%21"] {
        let path = format!("/Users?{query}");
        let refused = ask(&server, &bearer, ("GET", &path), None).await;
        assert_eq!(refused.status, 400, "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_brings_one_resource_of_its_own_domain_and_sees_no_other() {
    let (server, agent, _device) = ready().await;
    let bearer = agent.token(&server).await;
    let ask = async |method, path: &str, body| ask(&server, &bearer, (method, path), body).await;
    let eve = |rid: &str| {
        Some(json!({
            "externalId": guid(13),
            "userName": "eve@corp.example",
            "displayName": "Eve",
            "active": true,
            "urn:latchkey:scim:1.0:Directory": {
                "sid": rid, "samAccountName": "eve", "dn": "CN=eve"
            },
        }))
    };
    let own = sid(1106).to_string();
    assert_eq!(ask("POST", "/Users", eve(&own)).await.status, 201);
    let one = format!("/Users/{}", guid(13));
    let off = patch(json!([{ "op": "replace", "path": "active", "value": false }]));
    assert_eq!(ask("PATCH", &one, off).await.good()["active"], false);
    let foreign = ask("PUT", &one, eve("S-1-5-21-7-7-7-1106")).await;
    assert_eq!(
        (foreign.status, &foreign.body["scimType"]),
        (400, &json!("invalidValue"))
    );
    let filter = format!("/Users?filter=externalId%20eq%20%22{}%22", guid(13));
    assert_eq!(ask("GET", &filter, None).await.good()["totalResults"], 1);

    // An account of the server's own is none of its business, and its name not to be had.
    let upn = without_factor(&server, "dora", None).await;
    let listed = ask("GET", "/Users?cursor=", None).await.good();
    let listed = listed["Resources"].as_array().unwrap();
    let is_eves = |user: &Value| user["id"] == json!(guid(13));
    assert!(listed.iter().any(is_eves), "{listed:?}");
    assert!(listed.iter().all(|user| user["userName"] != upn.as_str()));
    let dora = server
        .admin("GET", &format!("/users/{upn}"), None)
        .await
        .good();
    let dora = format!("/Users/{}", dora["guid"].as_str().unwrap());
    for (method, body) in [("GET", None), ("DELETE", None)] {
        assert_eq!(ask(method, &dora, body).await.status, 404, "{method}");
    }
    let mut thief = eve(&own).unwrap();
    thief["userName"] = json!(upn);
    assert_eq!(ask("PUT", &one, Some(thief)).await.status, 409);
    assert_eq!(ask("DELETE", &one, None).await.status, 204);
    assert_eq!(ask("GET", &one, None).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_does_of_scim_it_says_and_a_persons_token_is_none() {
    let server = TestServer::start().await;
    let bearer = provisioner(&server).await;
    for (path, field) in [
        ("/ServiceProviderConfig", "patch"),
        ("/ResourceTypes", "Resources"),
        ("/ResourceTypes/User", "endpoint"),
        ("/Schemas", "Resources"),
        (&format!("/Schemas/{USER_SCHEMA}"), "attributes"),
    ] {
        let answer = ask(&server, &bearer, ("GET", path), None).await.good();
        assert!(answer.get(field).is_some(), "{path}");
    }
    let none = ask(&server, &bearer, ("GET", "/Schemas/x"), None).await;
    assert_eq!(none.status, 404);
    // The application is switched off: its token is over within the same request.
    let body = json!({ "name": "Off", "resources": [SCIM_AUDIENCE], "enabled": false });
    server
        .admin("PUT", &format!("/apps/{CLIENT}"), Some(body))
        .await
        .good();
    let refused = ask(&server, &bearer, ("GET", "/Users"), None).await;
    assert_eq!(refused.status, 401);
    assert_eq!(refused.body["schemas"], json!([ERROR_SCHEMA]));
}
