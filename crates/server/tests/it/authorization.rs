//! Who may ask what: every path of the server and every method of it, asked by every kind of caller,
//! against a table that somebody has read. A path that is not in the table fails.

use std::path::Path;

use expect_test::expect_file;
use serde_json::json;

use crate::{
    administrators::{administrator, console, person, token, without_factor},
    parties::{Device, guid, ready, sid},
    server::TestServer,
};

/// A caller and what it bears.
type Caller = (&'static str, String);

async fn callers(
    server: &TestServer,
    device: &Device,
    agent: &crate::parties::Agent,
) -> Vec<Caller> {
    console(server).await;
    let mut callers = vec![
        ("no token", String::new()),
        ("no token of ours", "a.b.c".to_owned()),
        ("device", device.token(server).await),
        ("agent", agent.token(server).await),
        ("user for keys", device.user_token(server, agent).await),
    ];
    let upn = person(server, "plain", None).await;
    callers.push(("user", token(server, &upn).await));
    let upn = without_factor(server, "hasty", Some("global")).await;
    callers.push(("global without mfa", token(server, &upn).await));
    for role in ["reader", "helpdesk", "authentication", "policy", "global"] {
        callers.push((role, administrator(server, role, role).await));
    }
    let upn = person(server, "gone", Some("global")).await;
    callers.push(("global, signed out", token(server, &upn).await));
    server
        .admin("DELETE", &format!("/users/{upn}/sessions"), None)
        .await
        .good();
    callers
}

/// A path with something in it that is not there, so that whoever passes changes nothing.
fn filled(server: &TestServer, path: &str) -> String {
    let nothing = guid(99).to_string();
    let segments = path.split('/').map(|segment| match segment {
        "{tenant}" => server.tenant.to_string(),
        "{role}" => "reader".to_owned(),
        name if name.starts_with('{') => nothing.clone(),
        word => word.to_owned(),
    });
    let path = segments.collect::<Vec<_>>().join("/");
    // What a query lacks is told before who asks.
    match path.as_str() {
        api::device::KEYS_PATH => format!("{path}?user={}", sid(1104)),
        _ => path,
    }
}

/// The methods of a path, as the server says for one that no path has.
async fn methods(server: &TestServer, path: &str, bearer: &str) -> Vec<String> {
    let bearer = format!("Bearer {bearer}");
    let answer = server
        .send("TRACE", path, &[("authorization", &bearer)], Vec::new())
        .await;
    assert_eq!(answer.status, 405, "{path}: {}", answer.text);
    let allowed = answer.headers["allow"].to_str().unwrap();
    let methods = allowed.split(',').map(str::trim);
    let mut methods: Vec<_> = methods
        .filter(|method| *method != "HEAD")
        .map(str::to_owned)
        .collect();
    methods.sort();
    methods
}

async fn status(server: &TestServer, method: &str, path: &str, bearer: &str) -> u16 {
    let bearer = format!("Bearer {bearer}");
    let headers = match bearer.as_str() {
        "Bearer " => Vec::new(),
        bearer => vec![("authorization", bearer)],
    };
    let body = match method {
        "POST" | "PUT" => json!({}).to_string().into_bytes(),
        _ => Vec::new(),
    };
    server.send(method, path, &headers, body).await.status
}

#[tokio::test(flavor = "multi_thread")]
async fn every_path_lets_in_whom_the_table_names_and_nobody_else() {
    let (server, agent, device) = ready().await;
    let callers = callers(&server, &device, &agent).await;
    let (_, global) = callers.iter().find(|(name, _)| *name == "global").unwrap();
    let mut lines = Vec::new();
    let mut paths = server.paths().to_vec();
    paths.sort();
    for path in &paths {
        let asked = filled(&server, path);
        for method in methods(&server, &asked, global).await {
            let mut passed = Vec::new();
            for (name, bearer) in &callers {
                match status(&server, &method, &asked, bearer).await {
                    401 | 403 => {}
                    _ => passed.push(*name),
                }
            }
            let passed = match passed.len() {
                0 => "nobody without more than a token".to_owned(),
                all if all == callers.len() => "everybody".to_owned(),
                _ => passed.join(", "),
            };
            lines.push(format!("{method:6} {path}\n           {passed}\n"));
        }
    }
    let table = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/authorization.txt");
    expect_file![table].assert_eq(&lines.concat());
}
