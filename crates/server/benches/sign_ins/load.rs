//! The accounts, the devices that sign in, and their requests.

use std::sync::Arc;

use api::{WORKSTATION_CLIENT, oauth::GRANT_JWT_BEARER};
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, body::Bytes, client::conn::http1::SendRequest};
use hyper_util::rt::TokioIo;
use model::{Guid, UnixTime, sha256};
use openssl::{
    pkey::{PKey, Private},
    rsa::Rsa,
};
use serde_json::{Value, json};
use store::{AttestationLevel, Attested, Audit, NewKey, Store};
use tokio::task::JoinSet;

use crate::{
    parties::{Agent, Device, assertion, guid, rand, rsa1, sid},
    server::TestServer,
};

/// Devices that sign in; each has a connection of its own.
const DEVICES: u32 = 64;

/// Rows of one commit.
const BULK: u32 = 500;

/// A device, its user's principal name and key.
struct Party {
    device: Device,
    upn: String,
    key: PKey<Private>,
}

/// Those who sign in.
pub(crate) struct Load {
    parties: Vec<Arc<Party>>,
}

impl Load {
    /// Fills the store, and has the devices join that will sign in.
    pub(crate) async fn prepare(server: &TestServer, store: &Store, accounts: u32) -> Self {
        let agent = Agent::enroll(server).await;
        for first in (DEVICES..accounts).step_by(BULK as usize) {
            let numbers = first..accounts.min(first + BULK);
            let users: Vec<Value> = numbers.map(user).collect();
            agent.bulk(server, json!(users)).await.good();
        }
        let mut parties = Vec::new();
        for n in 0..DEVICES {
            // All of them have one key: to the server it does not matter.
            let mut device = Device {
                id: Guid::from_le_bytes(rand()),
                ..Device::new()
            };
            let brought = json!([user(n), device.as_operation()]);
            agent.bulk(server, brought).await.good();
            device.join(server).await;
            let key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
            let registered = new_key(n, device.id, rsa1(&key));
            let registering = store.register_key(server.tenant, registered, audit());
            registering.await.unwrap();
            parties.push(Arc::new(Party {
                device,
                upn: upn(n),
                key,
            }));
        }
        Self { parties }
    }

    /// Requests for so many tokens, in turn by the devices; each is good once.
    pub(crate) async fn sign(&self, server: &TestServer, answers: usize) -> Vec<Vec<String>> {
        let turns = answers.div_ceil(self.parties.len());
        let mut nonces = Vec::new();
        for _ in 0..turns {
            // A device may use each of them once, and all devices the same ones.
            let device = &self.parties[0].device;
            nonces.push([device.nonce(server).await, device.nonce(server).await]);
        }
        let (nonces, now) = (Arc::new(nonces), server.now());
        let mut signing = JoinSet::new();
        for party in &self.parties {
            let (party, nonces) = (Arc::clone(party), Arc::clone(&nonces));
            signing.spawn_blocking(move || {
                let sign = |nonces: &[String; 2]| party.request(nonces, now);
                nonces.iter().map(sign).collect()
            });
        }
        signing.join_all().await
    }

    /// Shows every request, each device one after the other; all must be granted.
    pub(crate) async fn show(&self, server: &TestServer, requests: Vec<Vec<String>>) {
        let mut showing = JoinSet::new();
        for requests in requests {
            let stream = TokioIo::new(server.connect().await);
            let (sender, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
            tokio::spawn(connection);
            showing.spawn(show(sender, requests));
        }
        showing.join_all().await;
    }
}

impl Party {
    /// What the device sends for a primary refresh token by its user's key.
    fn request(&self, [outer, inner]: &[String; 2], now: i64) -> String {
        let said = json!({
            "iss": self.upn,
            "aud": "common",
            "iat": now - 3600,
            "exp": now + 3600,
            "scope": "openid aza ugs",
            "request_nonce": inner,
        });
        let statement = self.device.statement(&json!({
            "client_id": WORKSTATION_CLIENT,
            "scope": "openid aza ugs",
            "grant_type": GRANT_JWT_BEARER,
            "username": self.upn,
            "assertion": assertion(&self.key, &sha256(&rsa1(&self.key)), &said),
            "request_nonce": outer,
        }));
        let fields = [
            ("windows_api_version", "2.2"),
            ("grant_type", GRANT_JWT_BEARER),
            ("request", &statement),
            ("client_info", "1"),
        ];
        serde_urlencoded::to_string(fields).unwrap()
    }
}

async fn show(mut sender: SendRequest<Full<Bytes>>, requests: Vec<String>) {
    for body in requests {
        let request = Request::post("/common/oauth2/token")
            .header("host", "localhost")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Full::new(Bytes::from(body)))
            .unwrap();
        sender.ready().await.unwrap();
        let response = sender.send_request(request).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let text = String::from_utf8_lossy(&body);
        assert!(
            status.is_success() && text.contains("session_key_jwe"),
            "{text}"
        );
    }
}

fn upn(n: u32) -> String {
    format!("user{n}@corp.example")
}

fn user_guid(n: u32) -> Guid {
    let mut bytes = [0xbe; 16];
    bytes[..4].copy_from_slice(&n.to_le_bytes());
    Guid::from_le_bytes(bytes)
}

/// A user as the agent brings it.
fn user(n: u32) -> Value {
    let name = format!("user{n}");
    json!({ "method": "PUT", "path": format!("/Users/{}", user_guid(n)), "data": {
        "externalId": user_guid(n),
        "userName": upn(n),
        "displayName": format!("User {n}"),
        "active": true,
        "urn:latchkey:scim:1.0:Directory": {
            "sid": sid(10_000 + n), "samAccountName": name, "dn": format!("CN={name},DC=corp,DC=example")
        },
    }})
}

fn new_key(n: u32, device: Guid, material: Vec<u8>) -> NewKey {
    NewKey {
        kid: Guid::from_le_bytes(rand()),
        user: user_guid(n),
        account: Some((guid(1), sid(10_000 + n))),
        device,
        material,
        evidence: None,
        attestation: None,
        attested: Attested {
            level: AttestationLevel::None,
            reason: String::new(),
            at: UnixTime(1_800_000_000),
        },
        now_ms: 1_800_000_000_000,
    }
}

fn audit() -> Audit {
    Audit {
        at: UnixTime(1_800_000_000),
        actor: "admin".to_owned(),
        action: "bench",
        subject: String::new(),
    }
}
