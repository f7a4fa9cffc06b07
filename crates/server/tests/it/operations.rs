//! What runs a server: its certificate, its health, its limits, its logs and its copies.

use openssl::x509::X509;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    parties::{ALICE, PASSWORD, otp, ready, session},
    server::{TestServer, rsa_key, self_signed},
};

async fn plain(address: std::net::SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_is_taken_up_and_open_connections_go_on() {
    let mut server = TestServer::start().await;
    let mut open = server.connect().await;
    let other = rsa_key("tls of tomorrow");
    let certificate = self_signed("localhost", &other);
    let file = |name: &str| server.folder.join(name);
    std::fs::write(file("key.pem"), other.private_key_to_pem_pkcs8().unwrap()).unwrap();
    // Half of a renewal changes nothing.
    server.running().reload();
    server.get("/healthz", "").await;
    std::fs::write(file("cert.pem"), certificate.to_pem().unwrap()).unwrap();
    server.running().reload();
    let before = server.trust(certificate);
    assert_eq!(server.get("/healthz", "").await.text, "ok\n");
    let request = "GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    open.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    open.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("ready\n"), "{answer}");
    let shown: X509 = open.ssl().peer_certificate().unwrap();
    assert_eq!(shown.to_der().unwrap(), before.to_der().unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_on_an_address_of_their_own_and_nowhere_else() {
    let mut server = TestServer::start().await;
    assert!(server.running().metrics_address.is_none());
    server.configure("metrics_listen = \"127.0.0.1:0\"");
    server.restart().await;
    server.get("/readyz", "").await;
    let address = server.running().metrics_address.unwrap();
    let text = plain(address, "/metrics").await;
    for line in [
        "latchkey_request_seconds_count{route=\"/readyz\",method=\"GET\",status=\"200\"} 1",
        "latchkey_users 0",
    ] {
        assert!(text.contains(line), "{line} in\n{text}");
    }
    assert!(plain(address, "/healthz").await.ends_with("ok\n"));
    assert_eq!(server.get("/metrics", "").await.status, 404);
    assert!(
        plain(address, "/admin/v1/users")
            .await
            .starts_with("HTTP/1.1 404")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_asks_too_often_is_told_when_to_come_again() {
    let mut server = TestServer::start().await;
    server.configure("[limits]\nper_client = 1\nburst_s = 3");
    server.restart().await;
    let mut refused = None;
    for _ in 0..10 {
        let answer = server.get("/agent/v1/work", "one and the same").await;
        if answer.status == 429 {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.unwrap();
    assert_eq!(refused.headers["retry-after"], "1");
    assert_eq!(refused.body["retry_after_s"], 1);
    // Others go on.
    assert_eq!(server.get("/agent/v1/work", "another").await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_try_to_sign_in_is_in_the_log_with_what_became_of_it() {
    let (mut server, agent, device) = ready().await;
    let attempt = session(&device.begin(&server, ALICE, Some("ngcmfa")).await);
    device.password(&server, &agent, &attempt, "wrong").await;
    device.password(&server, &agent, &attempt, PASSWORD).await;
    let code = device
        .factor(&server, &attempt, "otp", &otp(server.now()))
        .await
        .good();
    device
        .redeem(&server, &code, crate::parties::VERIFIER)
        .await
        .good();
    // The log is written a moment later, and before the end.
    server.restart().await;
    let rows = server.admin("GET", "/sign-ins?after=0", None).await.good();
    let told: Vec<_> = rows
        .as_array()
        .unwrap()
        .iter()
        .filter(|row| row["name"] == ALICE || row["stage"] == "authorization_code")
        .map(|row| {
            (
                row["stage"].as_str().unwrap(),
                row["result"].as_u64().unwrap(),
            )
        })
        .collect();
    let expected = [
        ("password", 50126),
        ("password", 50076),
        ("second factor", 0),
        ("authorization_code", 0),
    ];
    assert_eq!(told, expected);
    let last = rows.as_array().unwrap().last().unwrap();
    assert_eq!(last["device"], json!(device.id));
    assert_eq!(last["user"], json!(crate::parties::guid(11)));
    assert_eq!(last["address"], "127.0.0.1");
    let shown = server.command(&["admin", "sign-in", "list", "--user", ALICE]);
    assert!(String::from_utf8(shown.stdout).unwrap().contains("50126"));
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_the_sign_in_log_go_with_their_age_unless_they_are_to_stay() {
    let mut server = TestServer::start().await;
    let store = server.store();
    let row = |age_days: i64| store::SignIn {
        at_ms: (server.now() - age_days * 86_400) * 1000,
        user: None,
        name: format!("{age_days} days"),
        client: String::new(),
        resource: String::new(),
        device: None,
        ip: String::new(),
        stage: "password".to_owned(),
        result: 50126,
        request: String::new(),
    };
    let rows = (0..1200).map(|_| row(40)).chain([row(31), row(29)]);
    let logged = store.log_sign_ins(server.tenant, rows.collect());
    logged.await.unwrap();
    server.configure("[logs]\nsign_in_days = 0");
    server.restart().await;
    server.stop().await;
    let kept = async |most| store.sign_ins(server.tenant, 0, most).await.unwrap();
    assert_eq!(kept(2000).await.len(), 1202);

    let path = server.folder.join("server.toml");
    let config = std::fs::read_to_string(&path).unwrap();
    let config = config.replace("sign_in_days = 0", "sign_in_days = 30");
    std::fs::write(&path, config).unwrap();
    // Each start takes a piece out before anything else.
    for _ in 0..2 {
        server.restart().await;
        server.stop().await;
    }
    let left = store.sign_ins(server.tenant, 0, 2000).await.unwrap();
    let names: Vec<_> = left.iter().map(|row| row.sign_in.name.as_str()).collect();
    assert_eq!(names, ["29 days"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_is_made_while_the_server_runs_and_put_back_while_it_does_not() {
    let mut server = TestServer::start().await;
    let group = |name: &str| Some(json!({ "name": name }));
    server
        .admin("POST", "/groups", group("Before"))
        .await
        .good();
    let copy = server.folder.join("copy.sqlite");
    let copy = copy.to_str().unwrap();
    let output = server.command(&["backup", copy]);
    assert!(output.status.success(), "{output:?}");
    let twice = server.command(&["backup", copy]);
    assert!(!twice.status.success(), "a copy is not written over");
    server.admin("POST", "/groups", group("After")).await.good();

    let running = server.command(&["restore", copy, "--force"]);
    assert!(!running.status.success());
    server.stop().await;
    let there = server.command(&["restore", copy]);
    assert!(!there.status.success(), "a store is not written over");
    let output = server.command(&["restore", copy, "--force"]);
    assert!(output.status.success(), "{output:?}");
    server.restart().await;
    let groups = server.admin("GET", "/groups", None).await.good();
    let names: Vec<_> = groups
        .as_array()
        .unwrap()
        .iter()
        .map(|g| &g["name"])
        .collect();
    assert_eq!(names, ["Before"]);
    // What was there is set aside, not lost.
    let aside = server.folder.join("data/store.sqlite.before-restore-1");
    assert!(aside.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_a_newer_release_or_of_something_else_is_not_put_back() {
    let mut server = TestServer::start().await;
    let copy = server.folder.join("copy.sqlite");
    let words = ["restore", copy.to_str().unwrap(), "--force"];
    assert!(server.command(&["backup", words[1]]).status.success());
    server.stop().await;
    let bytes = std::fs::read(&copy).unwrap();
    // `user_version` is the big-endian number at byte 60 (SQLite's file format, 1.3).
    let mut newer = bytes.clone();
    newer[60..64].copy_from_slice(&99_u32.to_be_bytes());
    for content in [
        newer,
        b"not a store".to_vec(),
        bytes[..bytes.len() / 2].to_vec(),
    ] {
        std::fs::write(&copy, content).unwrap();
        let output = server.command(&words);
        assert!(!output.status.success(), "{output:?}");
    }
    assert!(
        !server
            .folder
            .join("data/store.sqlite.before-restore-1")
            .exists()
    );
    server.restart().await;
    server.admin("GET", "/settings", None).await.good();
}

#[tokio::test(flavor = "multi_thread")]
async fn check_config_says_what_would_keep_the_server_from_starting() {
    let server = TestServer::start().await;
    let good = server.command(&["check-config"]);
    let lines = String::from_utf8(good.stdout).unwrap();
    assert!(good.status.success(), "{lines}");
    let wrong = |name: &str, content: &[u8]| {
        let path = server.folder.join(name);
        let before = std::fs::read(&path).unwrap();
        std::fs::write(&path, content).unwrap();
        let output = server.command(&["check-config"]);
        std::fs::write(&path, before).unwrap();
        assert!(!output.status.success(), "{name}");
        String::from_utf8(output.stdout).unwrap()
    };
    let foreign = self_signed("elsewhere", &rsa_key("tls"));
    let lines = wrong("cert.pem", &foreign.to_pem().unwrap());
    assert!(lines.contains("WRONG certificate"), "{lines}");
    let lines = wrong("data/master.key", b"x");
    assert!(lines.contains("WRONG master key"), "{lines}");
    let config = std::fs::read_to_string(server.folder.join("server.toml")).unwrap();
    wrong("server.toml", format!("{config}\nlisen = 1").as_bytes());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_key_may_come_as_a_credential() {
    let mut server = TestServer::start().await;
    server.stop().await;
    let folder = server.folder.join("credentials");
    std::fs::create_dir(&folder).unwrap();
    std::fs::rename(
        server.folder.join("data/master.key"),
        folder.join("master.key"),
    )
    .unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_latchkey-server"))
        .args(["check-config", "--config"])
        .arg(server.folder.join("server.toml"))
        .env("CREDENTIALS_DIRECTORY", &folder)
        .output()
        .unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{lines}");
    assert!(lines.contains("credentials/master.key"), "{lines}");
    let without = server.command(&["check-config"]);
    assert!(!without.status.success());
}
