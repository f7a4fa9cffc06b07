//! The client against a real TLS server that answers from a script.

#![cfg(test)]

mod script;

use std::sync::OnceLock;

use api::agent::StatusReport;
use client::{Agent, AgentIdentity, Challenge, Client, Error, fetch_anchor};
use model::{Guid, sha256};
use openssl::{pkey::PKey, rsa::Rsa, x509::X509};

use script::{Authority, Server, answer};

fn authority() -> &'static Authority {
    static AUTHORITY: OnceLock<Authority> = OnceLock::new();
    AUTHORITY.get_or_init(|| Authority::new("A"))
}

fn fingerprint(certificate: &X509) -> String {
    let spki = certificate
        .public_key()
        .unwrap()
        .public_key_to_der()
        .unwrap();
    let hex: String = sha256(&spki)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("sha256:{hex}")
}

fn tenant() -> Guid {
    Guid::from_le_bytes([3; 16])
}

const NONCE: &str = r#"{"Nonce":"n"}"#;

#[tokio::test]
async fn the_anchor_is_found_by_the_pin_of_the_authority_or_of_the_leaf() {
    let (chain, key) = authority().server("localhost");
    for wanted in [&chain[1], &chain[0]] {
        let server = Server::start(&chain, &key, vec![]);
        let anchor = fetch_anchor(&server.url, &fingerprint(wanted))
            .await
            .unwrap();
        assert_eq!(anchor.to_der().unwrap(), wanted.to_der().unwrap());

        let server = Server::start(&chain, &key, vec![answer(200, NONCE)]);
        let client = Client::new(&server.url, &anchor).unwrap();
        assert_eq!(client.nonce(tenant()).await.unwrap(), "n");
        assert!(server.requests()[0].ends_with("grant_type=srv_challenge"));
    }
}

#[tokio::test]
async fn a_chain_without_the_pin_or_for_another_host_is_refused() {
    let other = Authority::new("B");
    let (chain, key) = authority().server("localhost");
    let server = Server::start(&chain, &key, vec![]);
    let wrong = fetch_anchor(&server.url, &fingerprint(&other.certificate)).await;
    assert!(matches!(wrong, Err(Error::Protocol(_))));

    let (chain, key) = authority().server("elsewhere.test");
    let server = Server::start(&chain, &key, vec![]);
    let wrong = fetch_anchor(&server.url, &fingerprint(&chain[1]))
        .await
        .unwrap_err();
    assert!(wrong.to_string().contains("mismatch"), "{wrong}");
}

#[tokio::test]
async fn a_pinned_certificate_that_only_travels_along_does_not_vouch_for_the_leaf() {
    let other = Authority::new("B");
    let (mut chain, key) = authority().server("localhost");
    chain.push(other.certificate.clone());
    let server = Server::start(&chain, &key, vec![]);
    let refused = fetch_anchor(&server.url, &fingerprint(&other.certificate)).await;
    assert!(matches!(refused, Err(Error::Protocol(_))));
}

#[tokio::test]
async fn a_server_of_another_authority_or_host_is_not_talked_to() {
    let other = Authority::new("B");
    let (theirs, their_key) = other.server("localhost");
    let (elsewhere, elsewhere_key) = authority().server("elsewhere.test");
    for (chain, key) in [(theirs, their_key), (elsewhere, elsewhere_key)] {
        let server = Server::start(&chain, &key, vec![answer(200, NONCE)]);
        let client = Client::new(&server.url, &authority().certificate).unwrap();
        assert!(matches!(
            client.nonce(tenant()).await,
            Err(Error::Unreachable(_))
        ));
        assert!(server.requests().is_empty());
    }
}

#[tokio::test]
async fn a_wrong_factor_is_an_answer_and_not_an_error() {
    let (chain, key) = authority().server("localhost");
    let asked = r#"{"error":"insufficient_authorization","error_description":"AADSTS50126: no",
        "error_codes":[50126],"auth_session":"s","factor":"password"}"#;
    let server = Server::start(&chain, &key, vec![answer(400, asked)]);
    let client = Client::new(&server.url, &authority().certificate).unwrap();
    let form = api::oauth::ChallengeForm {
        client_id: "c".to_owned(),
        password: Some("p&w".to_owned()),
        ..Default::default()
    };
    let Challenge::Asked { status, error } = client
        .challenge(tenant(), Some("jws"), &form)
        .await
        .unwrap()
    else {
        panic!("approved")
    };
    assert_eq!((status, error.factor.as_deref()), (400, Some("password")));
    let request = &server.requests()[0];
    assert!(request.contains("x-ms-devicecredential: jws"), "{request}");
    assert!(request.ends_with("client_id=c&password=p%26w"), "{request}");
}

#[tokio::test]
async fn an_answer_without_end_is_given_up() {
    let (chain, key) = authority().server("localhost");
    let long = format!(r#"{{"Nonce":"{}"}}"#, "x".repeat(9 * 1024 * 1024));
    let server = Server::start(&chain, &key, vec![answer(200, &long)]);
    let client = Client::new(&server.url, &authority().certificate).unwrap();
    assert!(matches!(
        client.nonce(tenant()).await,
        Err(Error::Protocol(_))
    ));
}

#[tokio::test]
async fn an_agent_keeps_its_token_and_gets_a_new_one_when_the_server_forgot_it() {
    let (chain, key) = authority().server("localhost");
    let token = |text| {
        answer(
            200,
            &format!(r#"{{"token_type":"Bearer","expires_in":600,"access_token":"{text}"}}"#),
        )
    };
    let server = Server::start(
        &chain,
        &key,
        vec![
            token("first"),
            answer(204, ""),
            answer(204, ""),
            answer(401, r#"{"code":"bad_token","sentence":"No."}"#),
            token("second"),
            answer(200, r#"{"next":"v1.2","changes":[]}"#),
        ],
    );
    let client = Client::new(&server.url, &authority().certificate).unwrap();
    let agent_key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
    let identity = AgentIdentity {
        agent: Guid::from_le_bytes([4; 16]),
        tenant: tenant(),
        key: agent_key,
    };
    let agent = Agent::new(client, identity);
    assert!(agent.work(0).await.unwrap().is_none());
    agent
        .status(&StatusReport {
            results: Vec::new(),
        })
        .await
        .unwrap();
    assert_eq!(agent.changes("v1.1", 0).await.unwrap().next, "v1.2");

    let requests = server.requests();
    let bearers: Vec<_> = requests
        .iter()
        .map(|request| {
            request
                .split_once("Bearer ")
                .map(|(_, rest)| rest.lines().next().unwrap())
        })
        .collect();
    assert_eq!(
        bearers,
        [
            None,
            Some("first"),
            Some("first"),
            Some("first"),
            None,
            Some("second")
        ]
    );
    assert!(
        requests[0].contains("client_assertion=ey"),
        "{}",
        requests[0]
    );
}
