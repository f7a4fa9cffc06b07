//! Who may ask what: every path of the server and every method of it, asked by every kind of caller,
//! against a table that somebody has read. A path that is not in the table fails.

use std::path::Path;

use api::GRAPH_AUDIENCE;
use expect_test::expect_file;
use serde_json::json;

use crate::{
    administrators::{console, person, token, token_for, token_with, within, without_factor},
    parties::{Device, guid, ready, sid},
    server::TestServer,
};

/// Permissions at Graph that applications ask for.
const PERMISSIONS: [&str; 12] = [
    "DeviceManagementConfiguration.Read.All",
    "DeviceManagementConfiguration.ReadWrite.All",
    "DeviceManagementServiceConfig.Read.All",
    "DeviceManagementServiceConfig.ReadWrite.All",
    "DeviceManagementRBAC.Read.All",
    "User.Read.All",
    "Group.Read.All",
    "Group.ReadWrite.All",
    "GroupMember.ReadWrite.All",
    "Device.Read.All",
    "UserAuthenticationMethod.Read.All",
    "UserAuthenticationMethod.ReadWrite.All",
];

/// A caller and what it bears: at Graph, and elsewhere.
type Caller = (&'static str, [String; 2]);

async fn callers(
    server: &TestServer,
    device: &Device,
    agent: &crate::parties::Agent,
) -> Vec<Caller> {
    console(server).await;
    let alone = |name, bearer: String| (name, [bearer.clone(), bearer]);
    let tokens = async |upn: &str| {
        let at_graph = token_for(server, upn, GRAPH_AUDIENCE).await;
        // A one-time code is good once.
        server.pass(31);
        [at_graph, token(server, upn).await]
    };
    let mut people = Vec::new();
    let upn = person(server, "plain", None).await;
    people.push(("user", tokens(&upn).await));
    let upn = without_factor(server, "hasty", Some("global")).await;
    people.push(("global without mfa", tokens(&upn).await));
    for role in ["reader", "helpdesk", "authentication", "policy", "global"] {
        let upn = person(server, role, Some(role)).await;
        people.push((role, tokens(&upn).await));
    }
    for (name, role) in [
        ("reader within a tag", "reader"),
        ("policy within a tag", "policy"),
    ] {
        let upn = within(server, &format!("tagged-{role}"), role, "Inner").await;
        people.push((name, tokens(&upn).await));
    }
    let upn = person(server, "gone", Some("global")).await;
    people.push(("global, signed out", tokens(&upn).await));
    server
        .admin("DELETE", &format!("/users/{upn}/sessions"), None)
        .await
        .good();
    // The global role, by an application whose token has one permission.
    let upn = person(server, "bound", Some("global")).await;
    for permission in PERMISSIONS {
        server.pass(31);
        let scope = format!("{GRAPH_AUDIENCE}/{permission}");
        people.push((
            permission,
            [token_with(server, &upn, &scope).await, String::new()],
        ));
    }
    let mut callers = vec![
        alone("no token", String::new()),
        alone("no token of ours", "a.b.c".to_owned()),
        alone("device", device.token(server).await),
        alone("agent", agent.token(server).await),
        alone("user for keys", device.user_token(server, agent).await),
    ];
    callers.extend(people);
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

/// Is it a path of Graph's, for whose audience tokens are?
fn is_graph(path: &str) -> bool {
    ["/v1.0/", "/beta/"]
        .iter()
        .any(|version| path.starts_with(version))
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
        let which = usize::from(!is_graph(path));
        for method in methods(&server, &asked, &global[which]).await {
            let mut passed = Vec::new();
            for (name, bearers) in &callers {
                let bearer = &bearers[which];
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
