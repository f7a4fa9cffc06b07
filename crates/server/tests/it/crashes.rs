//! A server that is killed in the middle of its work: whatever it has answered is there afterwards.
//!
//! Writers keep a ledger of what was acknowledged. The server is a process of its own, and dies by
//! SIGKILL as soon as so many answers have come, with others under way.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use api::scim::{BULK_PATH, BULK_REQUEST_SCHEMA};
use model::Guid;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::{
    parties::{Agent, rand, sid},
    process::Process,
    server::TestServer,
};

#[expect(dead_code, reason = "the store's own tests use more of it")]
#[path = "../../../store/tests/it/cluster.rs"]
pub(crate) mod cluster;

/// Writers at the administrator's socket, and agents that import.
const WRITERS: usize = 6;
const IMPORTERS: usize = 2;

/// Users of one import.
const IMPORTED: u32 = 5;

const PROGRAM: &str = env!("CARGO_BIN_EXE_latchkey-server");

fn rounds() -> usize {
    match std::env::var_os("LATCHKEY_LONG_TESTS") {
        Some(_) => 50,
        None => 3,
    }
}

/// What was acknowledged.
#[derive(Default)]
struct Ledger {
    groups: BTreeSet<String>,
    deleted: BTreeSet<String>,
    users: BTreeSet<String>,
}

/// A load, and what it has seen acknowledged.
struct Load {
    server: TestServer,
    agent: String,
    ledger: Mutex<Ledger>,
    acknowledged: watch::Sender<usize>,
}

impl Load {
    fn note(&self, entry: impl FnOnce(&mut Ledger)) {
        entry(&mut self.ledger.lock().unwrap());
        self.acknowledged.send_modify(|count| *count += 1);
    }

    /// Makes groups, and deletes every third one again, until the server is gone.
    async fn write(&self, round: usize, writer: usize) {
        for n in 0.. {
            let name = format!("group-{round}-{writer}-{n}");
            let body = json!({ "name": name });
            match self.server.try_admin("POST", "/groups", &body).await {
                Ok(answer) if answer.status == 200 => self.note(|ledger| {
                    ledger.groups.insert(name.clone());
                }),
                Ok(answer) => panic!("{}: {}", answer.status, answer.text),
                Err(_) => return,
            }
            if n % 3 > 0 {
                continue;
            }
            // From here on nobody knows whether it is there, until that is acknowledged.
            self.ledger.lock().unwrap().groups.remove(&name);
            let path = format!("/groups/{name}");
            match self.server.try_admin("DELETE", &path, &Value::Null).await {
                Ok(answer) if answer.status == 204 => self.note(|ledger| {
                    ledger.deleted.insert(name.clone());
                }),
                Ok(answer) => panic!("{}: {}", answer.status, answer.text),
                Err(_) => return,
            }
        }
    }

    /// Imports users, until the server is gone.
    async fn import(&self) {
        loop {
            let users: Vec<(Guid, String)> = (0..IMPORTED)
                .map(|_| {
                    let guid = Guid::from_le_bytes(rand::<16>());
                    (guid, format!("{guid}@corp.example"))
                })
                .collect();
            let operations: Vec<_> = users.iter().map(|(guid, upn)| put(*guid, upn)).collect();
            let body = json!({ "schemas": [BULK_REQUEST_SCHEMA], "Operations": operations });
            match self
                .server
                .try_post_json(BULK_PATH, &self.agent, &body)
                .await
            {
                Ok(answer) if answer.status == 200 => self.note(|ledger| {
                    ledger.users.extend(users.into_iter().map(|(_, upn)| upn));
                }),
                Ok(answer) => panic!("{}: {}", answer.status, answer.text),
                Err(_) => return,
            }
        }
    }

    /// Whether everything that was acknowledged is so.
    async fn check(&self) {
        let groups = self.names("/groups", "name").await;
        let users = self.names("/users", "upn").await;
        let ledger = self.ledger.lock().unwrap();
        let lost: Vec<_> = ledger.groups.difference(&groups).collect();
        assert!(lost.is_empty(), "groups that are lost: {lost:?}");
        let back: Vec<_> = ledger.deleted.intersection(&groups).collect();
        assert!(back.is_empty(), "groups that came back: {back:?}");
        let lost: Vec<_> = ledger.users.difference(&users).collect();
        assert!(lost.is_empty(), "users that are lost: {lost:?}");
    }

    async fn names(&self, path: &str, field: &str) -> BTreeSet<String> {
        let (mut names, mut after) = (BTreeSet::new(), String::new());
        loop {
            let page = self
                .server
                .admin("GET", &format!("{path}{after}"), None)
                .await;
            let next = page.headers.get("latchkey-next").cloned();
            let rows = page.good();
            let rows = rows.as_array().unwrap().iter();
            names.extend(rows.map(|row| row[field].as_str().unwrap().to_owned()));
            let Some(next) = next else { return names };
            after = format!("?after={}", next.to_str().unwrap());
        }
    }
}

fn put(guid: Guid, upn: &str) -> Value {
    json!({ "method": "PUT", "path": format!("/Users/{guid}"), "data": {
        "externalId": guid,
        "userName": upn,
        "displayName": "Somebody",
        "active": true,
        "urn:latchkey:scim:1.0:Directory": {
            "sid": sid(2000), "samAccountName": upn, "dn": "CN=somebody"
        },
    }})
}

/// Kills the server under load again and again.
async fn kill_under_load(mut server: TestServer) {
    let process = Process::start(PROGRAM.as_ref(), &server.folder);
    server.attach(process.address);
    let agent = Agent::enroll(&server).await;
    let mut load = Load {
        // Good for ten minutes: it is made anew in each round.
        agent: String::new(),
        server,
        ledger: Mutex::default(),
        acknowledged: watch::Sender::new(0),
    };
    process.kill();
    for round in 0..rounds() {
        let process = Process::start(PROGRAM.as_ref(), &load.server.folder);
        load.server.attach(process.address);
        load.check().await;
        load.agent = agent.token(&load.server).await;
        let sharing = Arc::new(load);
        let mut seen = sharing.acknowledged.subscribe();
        let wanted = *seen.borrow() + 30 + round * 17 % 60;
        let mut tasks = tokio::task::JoinSet::new();
        for writer in 0..WRITERS {
            let load = Arc::clone(&sharing);
            tasks.spawn(async move { load.write(round, writer).await });
        }
        for _ in 0..IMPORTERS {
            let load = Arc::clone(&sharing);
            tasks.spawn(async move { load.import().await });
        }
        seen.wait_for(|count| *count >= wanted).await.unwrap();
        process.kill();
        while let Some(ended) = tasks.join_next().await {
            ended.unwrap();
        }
        load = Arc::into_inner(sharing).unwrap();
    }
    let process = Process::start(PROGRAM.as_ref(), &load.server.folder);
    load.server.attach(process.address);
    load.check().await;
    let chain = load.server.admin("GET", "/audit/check", None).await.good();
    assert_eq!(chain["whole"], true);
    let ledger = load.ledger.lock().unwrap();
    assert!(!ledger.groups.is_empty() && !ledger.deleted.is_empty() && !ledger.users.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_kills_on_sqlite() {
    let mut server = TestServer::start().await;
    server.stop().await;
    kill_under_load(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_kills_on_postgresql() {
    let database = cluster::Database::empty().await;
    let url = database.address().url;
    kill_under_load(TestServer::on_postgres(&url)).await;
}
