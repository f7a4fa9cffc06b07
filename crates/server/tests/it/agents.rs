//! Agents: which of a domain writes, their next keys, and their end.

use api::agent::{KEY_PATH, LEASE_PATH};
use serde_json::{Value, json};

use crate::{
    parties::{Agent, csr, guid},
    server::{Answer, TestServer, rsa_key},
};

async fn second(server: &TestServer) -> Agent {
    let code = server.admin("POST", "/agent-codes", None).await.good();
    let key = rsa_key("second agent");
    let answer = Agent::enroll_with(server, code["code"].as_str().unwrap(), &key).await;
    Agent {
        id: answer.good()["agent"].as_str().unwrap().to_owned(),
        key,
    }
}

async fn lease(server: &TestServer, token: &str, host: &str, staging: bool) -> Answer {
    let ask = json!({ "staging": staging, "instance": guid(1), "host": host, "version": "1" });
    server.post_json(LEASE_PATH, token, &ask).await
}

/// A request that changes nothing, as all that are written by an agent.
async fn bulk(server: &TestServer, agent: &Agent) -> Answer {
    agent.bulk(server, json!([])).await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_agent_of_a_domain_writes_and_the_other_is_told_where_that_one_is() {
    let server = TestServer::start().await;
    let (one, two) = (Agent::enroll(&server).await, second(&server).await);
    // Agents of the last release know no lease.
    bulk(&server, &two).await.good();
    let tokens = [one.token(&server).await, two.token(&server).await];
    let answer = lease(&server, &tokens[0], "here", false).await.good();
    let expected = json!({ "held": true, "until_s": 60, "allowed_interval_s": 1800 });
    assert_eq!(answer, expected);
    let answer = lease(&server, &tokens[1], "there", false).await.good();
    assert_eq!(
        (&answer["held"], &answer["holder"]),
        (&json!(false), &json!("here"))
    );
    bulk(&server, &one).await.good();
    assert_eq!(bulk(&server, &two).await.status, 409);

    let rows = server.admin("GET", "/agents", None).await.good();
    let shown = |id: &str, field: &str| -> Value {
        let rows = rows.as_array().unwrap();
        let row = rows.iter().find(|row| row["agent"] == id).unwrap();
        row[field].clone()
    };
    assert_eq!(shown(&one.id, "active"), json!(true));
    assert_eq!(shown(&two.id, "active"), json!(false));
    assert_eq!(shown(&two.id, "host"), json!("there"));

    server.pass(65);
    let answer = lease(&server, &tokens[1], "there", false).await.good();
    assert_eq!(answer["held"], json!(true));
    assert_eq!(bulk(&server, &one).await.status, 409);
    let answer = lease(&server, &tokens[1], "there", true).await.good();
    assert_eq!(answer["held"], json!(false), "it gave it back");
    bulk(&server, &one).await.good();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_takes_the_place_of_the_old_one_at_once() {
    let server = TestServer::start().await;
    let agent = Agent::enroll(&server).await;
    let key = rsa_key("next");
    let token = agent.token(&server).await;
    for _ in 0..2 {
        let renewal = json!({ "csr": csr(&key) });
        server.post_json(KEY_PATH, &token, &renewal).await.good();
    }
    let old = agent.show(&server, &agent.assertion(&server, "old")).await;
    assert_eq!(old.status, 401, "{}", old.text);
    let agent = Agent { key, ..agent };
    agent.token(&server).await;
    let wrong = json!({ "csr": "AAAA" });
    let wrong = server.post_json(KEY_PATH, &token, &wrong).await;
    assert_eq!(wrong.code(), (400, "bad_csr"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_is_revoked_is_refused_within_the_same_request() {
    let server = TestServer::start().await;
    let (one, two) = (Agent::enroll(&server).await, second(&server).await);
    let tokens = [one.token(&server).await, two.token(&server).await];
    lease(&server, &tokens[0], "here", false).await.good();
    let path = format!("/agents/{}", one.id);
    server.admin("DELETE", &path, None).await.good();
    let answer = lease(&server, &tokens[0], "here", false).await;
    assert_eq!(answer.code(), (401, "token_refused"));
    let again = one.show(&server, &one.assertion(&server, "again")).await;
    assert!((400..500).contains(&again.status), "{}", again.text);
    let answer = lease(&server, &tokens[1], "there", false).await.good();
    assert_eq!(answer["held"], json!(true), "its lease is free");
    let unknown = server.admin("DELETE", &path, None).await;
    assert_eq!(unknown.status, 404);
}
