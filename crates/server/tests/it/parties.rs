//! An agent and a device, and what they say to a server. Their keys are real, their domain is a
//! few constants.

use api::{
    AGENT_AUDIENCE, REGISTRATION_AUDIENCE, WORKSTATION_CLIENT,
    agent::{PasswordOutcome, PolicyOutcome, WorkClaims, WorkOutcome},
    oauth::{ASSERTION_JWT_BEARER, GRANT_JWT_BEARER},
    scim::BULK_REQUEST_SCHEMA,
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use keycred::RsaPublicKey;
use model::{Guid, Sid, UnixTime, sha256};
use openssl::{
    hash::MessageDigest,
    pkey::{PKey, Private},
    sign::Signer,
    x509::{X509, X509Req},
};
use protocol::{Operation, Statement};
use serde_json::{Value, json};

use crate::server::{Answer, TestServer, URL, rsa_key, self_signed};

pub(crate) const SECRET: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
pub(crate) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub(crate) const ALICE: &str = "alice@corp.example";
pub(crate) const CAROL: &str = "carol@corp.example";
pub(crate) const PASSWORD: &str = "Right + proper 100 %";

const DOMAIN_SID: &str = "S-1-5-21-10-20-30";

pub(crate) fn guid(byte: u8) -> Guid {
    Guid::from_le_bytes([byte; 16])
}

pub(crate) fn sid(rid: u32) -> Sid {
    format!("{DOMAIN_SID}-{rid}").parse().unwrap()
}

/// Signs claims as a compact JWS.
pub(crate) fn jws(key: &PKey<Private>, x5c: Vec<Vec<u8>>, claims: &Value) -> String {
    let header = token::Header {
        typ: Some("JWT".to_owned()),
        kid: None,
        x5c,
    };
    token::sign(&header, claims, |digest| {
        let mut context = openssl::pkey_ctx::PkeyCtx::new(key).unwrap();
        context.sign_init().unwrap();
        context
            .set_rsa_padding(openssl::rsa::Padding::PKCS1)
            .unwrap();
        context.set_signature_md(openssl::md::Md::sha256()).unwrap();
        let mut signature = Vec::new();
        context.sign_to_vec(digest, &mut signature).unwrap();
        Ok::<_, token::Error>(signature)
    })
    .unwrap()
}

fn sign(key: &PKey<Private>, message: &[u8]) -> String {
    let mut signer = Signer::new(MessageDigest::sha256(), key).unwrap();
    STANDARD.encode(signer.sign_oneshot_to_vec(message).unwrap())
}

pub(crate) fn csr(key: &PKey<Private>) -> String {
    let mut builder = X509Req::builder().unwrap();
    builder.set_pubkey(key).unwrap();
    builder.sign(key, MessageDigest::sha256()).unwrap();
    STANDARD.encode(builder.build().to_der().unwrap())
}

pub(crate) fn rsa1(key: &PKey<Private>) -> Vec<u8> {
    RsaPublicKey::from_spki_der(&key.public_key_to_der().unwrap())
        .unwrap()
        .to_rsa1()
}

/// What a user's key says: a compact JWS that names the key.
pub(crate) fn assertion(key: &PKey<Private>, kid: &[u8], claims: &Value) -> String {
    let header = json!({ "typ": "JWT", "alg": "RS256", "kid": STANDARD.encode(kid), "use": "ngc" });
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let input = format!("{}.{}", part(&header), part(claims));
    let mut signer = Signer::new(MessageDigest::sha256(), key).unwrap();
    let signature = signer.sign_oneshot_to_vec(input.as_bytes()).unwrap();
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// The one-time password of [`SECRET`] at a time.
pub(crate) fn otp(now: i64) -> String {
    otp_by(b"12345678901234567890", now)
}

/// The one-time password of a secret at a time.
pub(crate) fn otp_by(secret: &[u8], now: i64) -> String {
    let key = PKey::hmac(secret).unwrap();
    let step = (now / 30).to_be_bytes();
    let mac = Signer::new(MessageDigest::sha1(), &key)
        .unwrap()
        .sign_oneshot_to_vec(&step)
        .unwrap();
    let at = usize::from(mac[19] & 15);
    let number = u32::from_be_bytes(mac[at..at + 4].try_into().unwrap()) & 0x7fff_ffff;
    format!("{:06}", number % 1_000_000)
}

/// The agent of the domain.
pub(crate) struct Agent {
    pub(crate) id: String,
    pub(crate) key: PKey<Private>,
}

impl Agent {
    pub(crate) async fn enroll(server: &TestServer) -> Self {
        let code = server.admin("POST", "/agent-codes", None).await.good();
        let key = rsa_key("agent");
        let answer = Self::enroll_with(server, code["code"].as_str().unwrap(), &key)
            .await
            .good();
        assert_eq!(answer["tenant"], json!(server.tenant));
        Self {
            id: answer["agent"].as_str().unwrap().to_owned(),
            key,
        }
    }

    pub(crate) async fn enroll_with(
        server: &TestServer,
        code: &str,
        key: &PKey<Private>,
    ) -> Answer {
        let body = json!({
            "code": code,
            "csr": csr(key),
            "domain": {
                "guid": guid(1),
                "sid": DOMAIN_SID,
                "dns_name": "corp.example",
                "netbios_name": "CORP",
            },
            "principal": "latchkey-sync/server.corp.example@CORP.EXAMPLE",
        });
        server.post_json(api::agent::ENROLL_PATH, "", &body).await
    }

    pub(crate) fn assertion(&self, server: &TestServer, jti: &str) -> String {
        let now = server.now();
        let claims = json!({
            "iss": self.id,
            "sub": self.id,
            "aud": format!("{URL}{}", server.token_path()),
            "jti": jti,
            "iat": now,
            "exp": now + 300,
        });
        jws(&self.key, Vec::new(), &claims)
    }

    pub(crate) async fn show(&self, server: &TestServer, assertion: &str) -> Answer {
        let fields = [
            ("grant_type", "client_credentials"),
            ("client_id", &self.id),
            ("resource", AGENT_AUDIENCE),
            ("client_assertion_type", ASSERTION_JWT_BEARER),
            ("client_assertion", assertion),
        ];
        server.post_form(&server.token_path(), &[], &fields).await
    }

    pub(crate) async fn token(&self, server: &TestServer) -> String {
        let jti = URL_SAFE_NO_PAD.encode(rand::<16>());
        let answer = self
            .show(server, &self.assertion(server, &jti))
            .await
            .good();
        answer["access_token"].as_str().unwrap().to_owned()
    }

    /// Sends the directory in: alice in the group of a group that may register keys, carol not.
    pub(crate) async fn import(&self, server: &TestServer, device: &Device) -> Value {
        let directory = |rid: u32, name: &str| json!({ "sid": sid(rid), "samAccountName": name, "dn": format!("CN={name}") });
        let user = |byte: u8, rid, name: &str| {
            json!({ "method": "PUT", "path": format!("/Users/{}", guid(byte)), "data": {
                "externalId": guid(byte),
                "userName": format!("{name}@corp.example"),
                "displayName": name,
                "active": true,
                "urn:latchkey:scim:1.0:Directory": directory(rid, name),
            }})
        };
        let group = |byte: u8, rid, name: &str, member: Guid| {
            json!({ "method": "PUT", "path": format!("/Groups/{}", guid(byte)), "data": {
                "externalId": guid(byte),
                "displayName": name,
                "members": [{ "value": member }],
                "urn:latchkey:scim:1.0:Directory": directory(rid, name),
            }})
        };
        let operations = json!([
            user(11, 1104, "alice"),
            user(12, 1105, "carol"),
            group(21, 1110, "Inner", guid(11)),
            group(22, 1111, "Outer", guid(21)),
            device.as_operation(),
        ]);
        self.bulk(server, operations).await.good()
    }

    pub(crate) async fn bulk(&self, server: &TestServer, operations: Value) -> Answer {
        let body = json!({ "schemas": [BULK_REQUEST_SCHEMA], "Operations": operations });
        server
            .post_json(api::scim::BULK_PATH, &self.token(server).await, &body)
            .await
    }

    /// Takes one piece of work, and answers by whether the password is [`PASSWORD`].
    pub(crate) async fn check_one_password(&self, server: &TestServer) -> Value {
        self.answer_password(server, |is_right| match is_right {
            true => PasswordOutcome::Right,
            false => PasswordOutcome::Wrong,
        })
        .await
    }

    /// Takes one piece of work, and answers it.
    pub(crate) async fn answer_password(
        &self,
        server: &TestServer,
        outcome: impl Fn(bool) -> PasswordOutcome,
    ) -> Value {
        let token = self.token(server).await;
        let work = server.get("/agent/v1/work?wait=10", &token).await.good();
        let plain = token::open(&self.key, work["sealed"].as_str().unwrap()).unwrap();
        let plain: Value = serde_json::from_slice(plain.expose()).unwrap();
        let is_right = plain["password"] == PASSWORD && plain["sid"] == json!(sid(1104));
        let outcome = outcome(is_right);
        let id = work["id"].as_str().unwrap();
        let claims = WorkClaims {
            id: id.to_owned(),
            outcome: WorkOutcome::Password(outcome),
            iat: server.now(),
            exp: server.now() + 60,
        };
        let answer = jws(
            &self.key,
            Vec::new(),
            &serde_json::to_value(claims).unwrap(),
        );
        let path = api::agent::work_answer_path(id);
        server
            .post_json(&path, &token, &json!({ "answer": answer }))
            .await
            .good();
        plain["sid"].clone()
    }

    /// Takes one piece of work, and answers what group policy asks.
    pub(crate) async fn evaluate_one(&self, server: &TestServer, outcome: PolicyOutcome) {
        let token = self.token(server).await;
        let work = server.get("/agent/v1/work?wait=10", &token).await.good();
        assert_eq!(work["kind"], api::agent::POLICY_WORK);
        let id = work["id"].as_str().unwrap();
        let claims = WorkClaims {
            id: id.to_owned(),
            outcome: WorkOutcome::Policy(outcome),
            iat: server.now(),
            exp: server.now() + 60,
        };
        let claims = serde_json::to_value(claims).unwrap();
        let answer = json!({ "answer": jws(&self.key, Vec::new(), &claims) });
        let path = api::agent::work_answer_path(id);
        server.post_json(&path, &token, &answer).await.good();
    }

    /// Has an administrator ask what group policy asks of alice on a device; the answer is kept.
    pub(crate) async fn policy(&self, server: &TestServer, device: Guid, outcome: PolicyOutcome) {
        let path = format!("/users/{ALICE}/policy/{device}");
        let (asked, ()) = tokio::join!(
            server.admin("GET", &path, None),
            self.evaluate_one(server, outcome),
        );
        asked.good();
    }

    pub(crate) async fn changes(&self, server: &TestServer, token: &str, wait: u32) -> Value {
        let path = format!("{}?token={token}&wait={wait}", api::agent::CHANGES_PATH);
        server.get(&path, &self.token(server).await).await.good()
    }

    pub(crate) async fn report(&self, server: &TestServer, seq: &Value, state: &str) {
        let result = json!({ "seq": seq, "state": state, "dc": "dc.corp.example" });
        let body = json!({ "results": [result] });
        let token = self.token(server).await;
        server
            .post_json(api::agent::STATUS_PATH, &token, &body)
            .await
            .good();
    }
}

pub(crate) fn rand<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    openssl::rand::rand_bytes(&mut bytes).unwrap();
    bytes
}

/// A workstation.
#[derive(Clone)]
pub(crate) struct Device {
    pub(crate) id: Guid,
    pub(crate) key: PKey<Private>,
    /// What the server issued.
    pub(crate) certificate: Vec<u8>,
    /// What it shows of its TPM.
    pub(crate) latchkey: Value,
    /// What it was told when it joined.
    pub(crate) told: Value,
}

impl Device {
    pub(crate) fn new() -> Self {
        Self {
            id: guid(31),
            key: rsa_key("device"),
            certificate: Vec::new(),
            latchkey: json!({ "ek_public": null, "ek_certificate": null, "ak_public": "AAEC" }),
            told: Value::Null,
        }
    }

    /// One that has joined, as the store has it.
    pub(crate) fn row(n: u8, name: &str) -> store::Device {
        store::Device {
            id: guid(100 + n),
            domain: None,
            owner: None,
            join_type: 0,
            display_name: name.to_owned(),
            os_version: "Debian 12".to_owned(),
            certificate: vec![n],
            transport_key: None,
            attestation_key: None,
            attestation_trust: store::AttestationTrust::None,
            endorsement_key: None,
            endorsement_hash: None,
            endorsement_certificate: None,
            enabled: true,
            joined: UnixTime(1_800_000_000),
            last_seen: None,
        }
    }

    /// As the agent brings it: the certificate that it wrote into AD itself.
    pub(crate) fn as_operation(&self) -> Value {
        let certificate = self_signed(&self.id.to_string(), &self.key)
            .to_der()
            .unwrap();
        json!({ "method": "PUT", "path": format!("/Computers/{}", self.id), "data": {
            "externalId": self.id,
            "displayName": "ws1",
            "active": true,
            "userCertificates": [STANDARD.encode(certificate)],
            "urn:latchkey:scim:1.0:Directory": {
                "sid": sid(1120), "samAccountName": "WS1$", "dn": "CN=ws1"
            },
        }})
    }

    /// Joins with an identity of `age_s` seconds.
    pub(crate) async fn try_join(&self, server: &TestServer, age_s: i64) -> Answer {
        let time = UnixTime(server.now() - age_s);
        let time = utc(time);
        let identity = format!("{}.{time}Z", sid(1120));
        let body = json!({
            "JoinType": 6,
            "CertificateRequest": { "Type": "pkcs10", "Data": csr(&self.key) },
            "ServerAdJoinData": {
                "TransportKey": STANDARD.encode(rsa1(&self.key)),
                "TargetDomain": "corp.example",
                "DeviceType": "Linux",
                "OSVersion": "Debian 12",
                "DeviceDisplayName": "ws1",
                "ClientIdentity": {
                    "Type": "sha256signed",
                    "Sid": identity,
                    "SignedBlob": sign(&self.key, identity.as_bytes()),
                },
            },
            "latchkey": self.latchkey,
        });
        let path = format!("{}?api-version=2.0", api::device::device_path(self.id));
        server
            .send("PUT", &path, &[], body.to_string().into_bytes())
            .await
    }

    pub(crate) async fn join(&mut self, server: &TestServer) {
        let answer = self.try_join(server, 0).await.good();
        let body = answer["Certificate"]["RawBody"].as_str().unwrap();
        self.certificate = STANDARD.decode(body).unwrap();
        self.told = answer["latchkey"].clone();
        let certificate = X509::from_der(&self.certificate).unwrap();
        assert!(certificate.public_key().unwrap().public_eq(&self.key));
    }

    pub(crate) async fn nonce(&self, server: &TestServer) -> String {
        let fields = [("grant_type", "srv_challenge")];
        let answer = server
            .post_form(&server.token_path(), &[], &fields)
            .await
            .good();
        answer["Nonce"].as_str().unwrap().to_owned()
    }

    pub(crate) fn statement(&self, claims: &Value) -> String {
        jws(&self.key, vec![self.certificate.clone()], claims)
    }

    pub(crate) async fn show(&self, server: &TestServer, request: &str) -> Answer {
        let fields = [("grant_type", GRANT_JWT_BEARER), ("request", request)];
        server.post_form(&server.token_path(), &[], &fields).await
    }

    pub(crate) async fn token_request(&self, server: &TestServer) -> Value {
        json!({
            "client_id": WORKSTATION_CLIENT,
            "request_nonce": self.nonce(server).await,
            "grant_type": "device_token",
            "iat": server.now(),
            "exp": server.now() + 300,
        })
    }

    pub(crate) async fn token(&self, server: &TestServer) -> String {
        let request = self.statement(&self.token_request(server).await);
        let answer = self.show(server, &request).await.good();
        answer["access_token"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn credential(&self, server: &TestServer) -> Value {
        json!({
            "grant_type": "device_auth",
            "iss": "aad:brokerplugin",
            "request_nonce": self.nonce(server).await,
            "iat": server.now(),
            "exp": server.now() + 300,
        })
    }

    /// The first request of an attempt.
    pub(crate) async fn begin(
        &self,
        server: &TestServer,
        user: &str,
        amr_values: Option<&str>,
    ) -> Answer {
        let credential = self.statement(&self.credential(server).await);
        self.begin_with(server, &credential, user, amr_values).await
    }

    /// The first request of an attempt by a device that says which second factors it shows.
    pub(crate) async fn begin_showing(
        &self,
        server: &TestServer,
        user: &str,
        factors: &str,
    ) -> Answer {
        let credential = self.statement(&self.credential(server).await);
        let challenge = URL_SAFE_NO_PAD.encode(sha256(VERIFIER.as_bytes()));
        let fields = [
            ("client_id", WORKSTATION_CLIENT),
            ("username", user),
            ("resource", REGISTRATION_AUDIENCE),
            ("code_challenge", &challenge),
            ("amr_values", "ngcmfa"),
            ("factors", factors),
        ];
        let headers = [(api::oauth::DEVICE_CREDENTIAL_HEADER, credential.as_str())];
        let path = api::oauth::challenge_path(server.tenant);
        server.post_form(&path, &headers, &fields).await
    }

    /// The same, with a statement of the device's that was made before.
    pub(crate) async fn begin_with(
        &self,
        server: &TestServer,
        credential: &str,
        user: &str,
        amr_values: Option<&str>,
    ) -> Answer {
        let challenge = URL_SAFE_NO_PAD.encode(sha256(VERIFIER.as_bytes()));
        let mut fields = vec![
            ("client_id", WORKSTATION_CLIENT),
            ("username", user),
            ("resource", REGISTRATION_AUDIENCE),
            ("code_challenge", &challenge),
        ];
        fields.extend(amr_values.map(|values| ("amr_values", values)));
        let headers = [(api::oauth::DEVICE_CREDENTIAL_HEADER, credential)];
        server
            .post_form(
                &api::oauth::challenge_path(server.tenant),
                &headers,
                &fields,
            )
            .await
    }

    /// A further request of an attempt.
    pub(crate) async fn factor(
        &self,
        server: &TestServer,
        session: &str,
        name: &str,
        value: &str,
    ) -> Answer {
        let fields = [
            ("client_id", WORKSTATION_CLIENT),
            ("auth_session", session),
            (name, value),
        ];
        server
            .post_form(&api::oauth::challenge_path(server.tenant), &[], &fields)
            .await
    }

    /// A password, with the agent at hand.
    pub(crate) async fn password(
        &self,
        server: &TestServer,
        agent: &Agent,
        session: &str,
        password: &str,
    ) -> Answer {
        let (answer, _) = tokio::join!(
            self.factor(server, session, "password", password),
            agent.check_one_password(server),
        );
        answer
    }

    /// Both factors; the answer to the second.
    pub(crate) async fn sign_in(&self, server: &TestServer, agent: &Agent, otp: &str) -> Answer {
        let session = session(&self.begin(server, ALICE, Some("ngcmfa")).await);
        let asked = self.password(server, agent, &session, PASSWORD).await;
        assert_eq!(
            (asked.number(), &asked.body["factor"]),
            (50076, &json!("otp"))
        );
        self.factor(server, &session, "otp", otp).await
    }

    pub(crate) async fn redeem(&self, server: &TestServer, code: &Value, verifier: &str) -> Answer {
        let fields = [
            ("grant_type", "authorization_code"),
            ("client_id", WORKSTATION_CLIENT),
            ("code", code["authorization_code"].as_str().unwrap()),
            ("code_verifier", verifier),
        ];
        server.post_form(&server.token_path(), &[], &fields).await
    }

    /// A token by which alice may register a key.
    pub(crate) async fn user_token(&self, server: &TestServer, agent: &Agent) -> String {
        let code = self.sign_in(server, agent, &otp(server.now())).await.good();
        let answer = self.redeem(server, &code, VERIFIER).await.good();
        answer["access_token"].as_str().unwrap().to_owned()
    }

    /// A registration of `key` for the account with `rid`.
    pub(crate) fn registration(&self, key: &PKey<Private>, rid: u32, sequence: u64) -> Value {
        self.registration_of(rsa1(key), rid, sequence)
    }

    /// A registration of the key in a BCRYPT blob.
    pub(crate) fn registration_of(&self, material: Vec<u8>, rid: u32, sequence: u64) -> Value {
        let statement = Statement {
            operation: Operation::Add,
            user: sid(rid),
            key_id: sha256(&material),
            device: self.id,
            time: UnixTime(1_800_000_000),
            sequence,
        };
        json!({
            "kngc": STANDARD.encode(&material),
            "latchkey": {
                "time": statement.time,
                "sequence": sequence,
                "device_sig": sign(&self.key, &statement.to_bytes()),
                "user_proof": { "token": "dG9rZW4=", "mic": "bWlj" },
            },
        })
    }

    pub(crate) async fn register(
        &self,
        server: &TestServer,
        bearer: &str,
        registration: &Value,
    ) -> Answer {
        server
            .post_json(
                &format!("{}?api-version=1.0", api::device::KEY_PATH),
                bearer,
                registration,
            )
            .await
    }
}

/// `yyyy-MM-dd HH:mm:ss`, by another calendar than the server's own.
fn utc(time: UnixTime) -> String {
    let output = std::process::Command::new("date")
        .args(["-u", "-d", &format!("@{}", time.0), "+%F %T"])
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[track_caller]
pub(crate) fn session(answer: &Answer) -> String {
    answer.body["auth_session"]
        .as_str()
        .unwrap_or_else(|| panic!("{}", answer.body))
        .to_owned()
}

/// A server that an agent has filled, where the device has joined and alice may register keys.
pub(crate) async fn ready() -> (TestServer, Agent, Device) {
    let server = TestServer::start().await;
    let agent = Agent::enroll(&server).await;
    let mut device = Device::new();
    agent.import(&server, &device).await;
    device.join(&server).await;
    let group = Some(json!({ "group": "Outer" }));
    server
        .admin("PUT", "/settings/register-keys-group", group)
        .await
        .good();
    for user in [ALICE, CAROL] {
        let body = Some(json!({ "secret": SECRET }));
        server
            .admin("POST", &format!("/users/{user}/totp"), body)
            .await
            .good();
    }
    agent.policy(&server, device.id, NOTHING).await;
    (server, agent, device)
}

/// Group policy that asks for nothing.
pub(crate) const NOTHING: PolicyOutcome = PolicyOutcome::Evaluated {
    requires_hardware: false,
    requires_attestation: false,
};
