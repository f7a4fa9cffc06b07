//! Devices: joined by users, renewed, taken out, and told so.

use api::{
    device::{DELETED_TYPE, DeletedClaims, device_path},
    join::{CERTIFICATE_PATH, JOIN_PATH, nonce_path},
    lockout::LOCKOUT_PATH,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use model::UnixTime;
use openssl::{pkey::PKey, x509::X509};
use serde_json::{Value, json};
use store::{Audit, Settings, Store};
use token::{RsaJwk, Unverified, VerifyingKey, X5cForm};

use crate::{
    parties::{ALICE, Agent, Device, csr, guid, ready, rsa1},
    server::{Answer, TestServer, rsa_key, self_signed},
};

/// Posts a join by a user, as libhimmelblau writes it.
async fn join(server: &TestServer, bearer: &str, key: &'static str, changes: Value) -> Answer {
    let key = rsa_key(key);
    let mut body = json!({
        "CertificateRequest": { "Type": "pkcs10", "Data": csr(&key) },
        "TransportKey": STANDARD.encode(rsa1(&key)),
        "TargetDomain": "corp.example",
        "DeviceType": "Linux",
        "OSVersion": "Debian 12",
        "DeviceDisplayName": "laptop",
        "JoinType": 0,
        "Attributes": { "ReuseDevice": "true", "ReturnClientSid": "true" },
    });
    for (name, value) in changes.as_object().unwrap() {
        body[name] = value.clone();
    }
    let path = format!("{JOIN_PATH}?api-version=2.0");
    server.post_json(&path, bearer, &body).await
}

async fn allow_joins(server: &TestServer) {
    let group = Some(json!({ "group": "Inner" }));
    server
        .admin("PUT", "/settings/join-devices-group", group)
        .await
        .good();
}

/// The device that a join made.
fn joined(answer: &Value, key: &'static str) -> Device {
    let raw = answer["Certificate"]["RawBody"].as_str().unwrap();
    assert!(!raw.contains(char::is_whitespace));
    let certificate = STANDARD.decode(raw).unwrap();
    let subject = X509::from_der(&certificate).unwrap();
    let subject: Vec<_> = subject.subject_name().entries().collect();
    assert_eq!(subject.len(), 1);
    Device {
        id: subject[0].data().to_string().unwrap().parse().unwrap(),
        key: rsa_key(key),
        certificate,
        ..Device::new()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_joins_a_device_that_ad_does_not_have_where_a_group_may() {
    let (server, agent, workstation) = ready().await;
    let token = workstation.user_token(&server, &agent).await;
    let refused = join(&server, &token, "laptop", json!({})).await;
    assert_eq!(refused.code(), (403, "not_allowed"));
    assert_eq!(refused.body["hresult"], "0x801C0003");
    assert_eq!(refused.body["response"], "ERROR_FAIL");

    allow_joins(&server).await;
    for (number, changes) in [
        json!({}),
        json!({ "JoinType": 4 }),
        json!({ "JoinType": 8, "attributes": { "ReuseDevice": "true" } }),
        json!({ "TransportKey": STANDARD.encode(br#"{"kty":"RSA","n":"AQAB","e":"AQAB"}"#) }),
    ]
    .into_iter()
    .enumerate()
    {
        let answer = join(&server, &token, "laptop", changes).await.good();
        assert_eq!(answer["User"]["Upn"], ALICE, "{number}");
        assert_eq!(answer["MembershipChanges"], json!([]));
        let device = joined(&answer, "laptop");
        // A token for it, and the same device when the same key comes again.
        device.token(&server).await;
        let again = join(&server, &token, "laptop", json!({})).await.good();
        assert_eq!(joined(&again, "laptop").id, device.id);
    }
    for wrong in [
        json!({ "JoinType": 6 }),
        json!({ "JoinType": 1 }),
        json!({ "TransportKey": "AAAA" }),
        json!({ "CertificateRequest": { "Type": "x", "Data": "" } }),
        json!({ "DeviceDisplayName": "x".repeat(257) }),
    ] {
        let answer = join(&server, &token, "laptop", wrong.clone()).await;
        assert_eq!(answer.code(), (400, "bad_request"), "{wrong}");
    }
    let nobody = join(&server, "x", "laptop", json!({})).await;
    assert_eq!(nobody.code(), (401, "token_refused"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_owns_so_many_devices_and_no_more() {
    let (server, agent, workstation) = ready().await;
    allow_joins(&server).await;
    let store = Store::open_sqlite(&server.folder.join("data/store.sqlite")).unwrap();
    let settings = store.settings(server.tenant).await.unwrap();
    let settings = Settings {
        devices_per_user: 2,
        ..settings
    };
    let audit = Audit {
        at: UnixTime(server.now()),
        actor: "test".to_owned(),
        action: "settings.set",
        subject: String::new(),
    };
    store
        .set_settings(server.tenant, settings, audit)
        .await
        .unwrap();
    let token = workstation.user_token(&server, &agent).await;
    for key in ["laptop", "second laptop", "laptop"] {
        join(&server, &token, key, json!({})).await.good();
    }
    let refused = join(&server, &token, "third laptop", json!({})).await;
    assert_eq!(refused.code(), (403, "quota"));
    assert_eq!(refused.body["hresult"], "0x801C000E");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_nonce_service_answers_who_may_join() {
    let (server, agent, device) = ready().await;
    let path = format!("{}?api-version=1.0", nonce_path(server.tenant));
    let token = device.user_token(&server, &agent).await;
    let answer = server.get(&path, &token).await.good();
    assert_eq!(answer["ReponseStatus"]["message"], "Success");
    assert!(answer["Value"].as_str().unwrap().len() > 40);
    let refused = server.get(&path, &device.token(&server).await).await;
    assert_eq!(refused.code(), (401, "token_refused"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_is_taken_out_by_its_certificate_on_the_connection() {
    let (server, agent, device) = ready().await;
    let token = device.user_token(&server, &agent).await;
    let registration = device.registration(&rsa_key("user"), 1104, 1);
    device.register(&server, &token, &registration).await.good();
    let certificate = X509::from_der(&device.certificate).unwrap();
    let stranger = self_signed(&device.id.to_string(), &rsa_key("stranger"));
    let delete = async |certificate: &X509, key: &str, id| {
        let key = if key == "device" {
            rsa_key("device")
        } else {
            rsa_key("stranger")
        };
        let path = device_path(id);
        let client = Some((certificate, &key));
        server
            .send_as(client, "DELETE", &path, &[], Vec::new())
            .await
    };
    let refused = delete(&stranger, "stranger", device.id).await;
    assert_eq!(refused.code(), (401, "token_refused"));
    let refused = delete(&certificate, "device", guid(77)).await;
    assert_eq!(refused.code(), (403, "forbidden"));
    let nobody = server
        .send("DELETE", &device_path(device.id), &[], Vec::new())
        .await;
    assert_eq!(nobody.code(), (401, "token_required"));
    delete(&certificate, "device", device.id).await.good();
    let changes = agent.changes(&server, "", 0).await;
    assert_eq!(changes["changes"][0]["op"], "remove");
    let gone = delete(&certificate, "device", device.id).await;
    assert_eq!(gone.code(), (401, "token_refused"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_device_is_told_so_in_the_servers_own_hand_and_a_suspended_one_is_not() {
    let (server, agent, mut device) = ready().await;
    let keys: Vec<RsaJwk> = serde_json::from_value(device.told["statement_keys"].clone()).unwrap();
    let mut computer = device.as_operation();
    computer["data"]["active"] = json!(false);
    agent.bulk(&server, json!([computer])).await.good();
    let request = device.statement(&device.token_request(&server).await);
    let suspended = device.show(&server, &request).await;
    assert_eq!(suspended.number(), 50155);
    assert_eq!(suspended.body["device_deleted"], Value::Null);
    agent
        .bulk(&server, json!([device.as_operation()]))
        .await
        .good();
    let token = device.token(&server).await;

    server.delete(&device_path(device.id), &token).await.good();
    let claims = device.token_request(&server).await;
    let refused = device.show(&server, &device.statement(&claims)).await;
    assert_eq!(refused.number(), 50155);
    let statement = refused.body["device_deleted"].as_str().unwrap();
    let unverified = Unverified::read(statement, X5cForm::Array).unwrap();
    assert_eq!(unverified.header().typ.as_deref(), Some(DELETED_TYPE));
    let key = VerifyingKey::rs256(keys[0].to_key().unwrap()).unwrap();
    let told: DeletedClaims = unverified.verify(&key, UnixTime(server.now())).unwrap();
    assert_eq!(told.device, device.id);
    assert_eq!(json!(told.nonce), claims["request_nonce"]);
    assert!((server.now() - told.deleted.0).abs() < 60);
    // It is no token.
    let as_token = server
        .get(api::attestation::ATTESTATION_PATH, statement)
        .await;
    assert_eq!(as_token.status, 401);
    // At the beginning of a sign-in it is told the same.
    let begun = device.begin(&server, ALICE, None).await;
    assert!(begun.body["device_deleted"].is_string());

    // Whoever has not the device's key is told nothing.
    let mut forged = device.clone();
    forged.key = rsa_key("stranger");
    let request = forged.statement(&forged.token_request(&server).await);
    let refused = forged.show(&server, &request).await;
    assert_eq!(refused.body["device_deleted"], Value::Null);
    // Nor whoever joined anew.
    device.join(&server).await;
    device.token(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_renews_its_certificate_for_the_same_key_and_the_older_one_stays_good() {
    let (server, _, mut device) = ready().await;
    let days = |certificate: &[u8]| {
        let certificate = X509::from_der(certificate).unwrap();
        certificate
            .not_before()
            .diff(certificate.not_after())
            .unwrap()
            .days
    };
    assert_eq!(days(&device.certificate), 180);
    server.pass(120 * 86_400);
    let token = device.token(&server).await;
    let renew = async |key: &PKey<openssl::pkey::Private>| {
        let body = json!({ "csr": csr(key) });
        server.post_json(CERTIFICATE_PATH, &token, &body).await
    };
    let refused = renew(&rsa_key("stranger")).await;
    assert_eq!(refused.code(), (400, "bad_csr"));
    let answer = renew(&device.key).await.good();
    assert!(answer["latchkey"]["statement_keys"][0].is_object());
    device.token(&server).await;
    let raw = answer["Certificate"]["RawBody"].as_str().unwrap();
    let old = std::mem::replace(&mut device.certificate, STANDARD.decode(raw).unwrap());
    server.pass(61 * 86_400);
    device.token(&server).await;
    device.certificate = old;
    let request = device.statement(&device.token_request(&server).await);
    assert_eq!(device.show(&server, &request).await.number(), 50155);
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_go_on_over_a_rotation_of_their_authority_and_move_over_as_they_renew() {
    let (server, agent, mut device) = ready().await;
    allow_joins(&server).await;
    let user = device.user_token(&server, &agent).await;
    let foreign = join(&server, &user, "laptop", json!({})).await.good();
    let foreign = joined(&foreign, "laptop");
    let rotate = async |body: Value| {
        server
            .admin("POST", "/device-authorities", Some(body))
            .await
            .good()
    };
    // State, and how many devices have a certificate of it.
    let shown = || {
        let output = server.command(&["admin", "ca", "show", "--json"]);
        assert!(output.status.success(), "{output:?}");
        let rows: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
        let told = |row: Value| {
            let state = row["state"].as_str().unwrap().to_owned();
            (state, row["devices"].as_u64().unwrap())
        };
        rows.into_iter().map(told).collect::<Vec<_>>()
    };
    let expected = |rows: &[(&str, u64)]| -> Vec<(String, u64)> {
        let row = |(state, count): &(&str, u64)| ((*state).to_owned(), *count);
        rows.iter().map(row).collect()
    };
    assert_eq!(shown(), expected(&[("issues", 2)]));
    assert_eq!(rotate(json!({})).await["former"], 1);
    assert_eq!(shown(), expected(&[("issues", 0), ("former", 2)]));

    // With what it has it goes on, and what comes next is of the new one, for the same key.
    let token = device.token(&server).await;
    let body = json!({ "csr": csr(&device.key) });
    let renewed = server.post_json(CERTIFICATE_PATH, &token, &body).await;
    let raw = renewed.good()["Certificate"]["RawBody"].clone();
    let old = device.clone();
    device.certificate = STANDARD.decode(raw.as_str().unwrap()).unwrap();
    assert_eq!(shown(), expected(&[("issues", 1), ("former", 1)]));
    for known in [&device, &old, &foreign] {
        known.token(&server).await;
    }
    let audit = server.admin("GET", "/audit", None).await.good();
    assert_eq!(audit[1]["action"], "device_authority.rotate");

    // Where a key got out, what it signed is good no longer: its devices join again.
    rotate(json!({ "trust_former_days": 1 })).await;
    device.token(&server).await;
    server.pass(86_400);
    for known in [&device, &old, &foreign] {
        let request = known.statement(&known.token_request(&server).await);
        assert_eq!(known.show(&server, &request).await.number(), 50155);
    }
    let everybody = Some(json!({ "values": ["none"] }));
    server
        .admin("PUT", "/settings/join-devices-group", everybody)
        .await
        .good();
    let mut again = device.clone();
    again.join(&server).await;
    again.token(&server).await;
    assert_eq!(rotate(json!({ "trust_former_days": 0 })).await["former"], 0);
    let wrong = json!({ "trust_former_days": 4000 });
    let wrong = server.admin("POST", "/device-authorities", Some(wrong));
    assert_eq!(wrong.await.code(), (400, "bad_request"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_others_can_compute_or_that_is_weak_is_refused() {
    let (server, agent, device) = ready().await;
    let token = device.user_token(&server, &agent).await;
    let with = |modulus: &[u8], exponent: &[u8]| {
        let key = keycred::RsaPublicKey::from_components(modulus, exponent).unwrap();
        device.registration_of(key.to_rsa1(), 1104, 1)
    };
    let good = rsa_key("user").rsa().unwrap();
    let modulus = good.n().to_vec();
    let mut padded = rsa1(&rsa_key("user"));
    // A zero before the modulus, in a blob that announces it.
    padded[12..16].copy_from_slice(&257_u32.to_le_bytes());
    padded.insert(27, 0);
    let short = openssl::rsa::Rsa::generate(1024).unwrap();
    let faulty = faulty_modulus();
    for (registration, reason) in [
        (with(&modulus, &[3]), "exponent"),
        (with(&short.n().to_vec(), &[1, 0, 1]), "2,048"),
        (device.registration_of(padded, 1104, 1), "shortest form"),
        (with(&faulty, &[1, 0, 1]), "ROCA"),
    ] {
        let answer = device.register(&server, &token, &registration).await;
        assert_eq!(answer.code(), (400, "bad_key"), "{reason}");
        let said = answer.body["message"].as_str().unwrap();
        assert!(said.contains(reason), "{reason}: {said}");
    }
    drop::<Agent>(agent);
}

/// A number of 2,048 bits that is a power of 65537 modulo the small primes, as a product of two primes
/// of the faulty library is.
fn faulty_modulus() -> Vec<u8> {
    use openssl::bn::{BigNum, BigNumContext};
    let mut context = BigNumContext::new().unwrap();
    let is_prime = |number: &u32| (2..*number).all(|divisor| !number.is_multiple_of(divisor));
    let mut m = BigNum::from_u32(1).unwrap();
    for prime in (2..).filter(is_prime).take(39) {
        m.mul_word(prime).unwrap();
    }
    let (mut power, mut top) = (BigNum::new().unwrap(), BigNum::new().unwrap());
    let generator = BigNum::from_u32(65537).unwrap();
    let exponent = BigNum::from_u32(123_456_789).unwrap();
    power
        .mod_exp(&generator, &exponent, &m, &mut context)
        .unwrap();
    top.lshift(&BigNum::from_u32(3).unwrap(), 2046).unwrap();
    let mut rest = BigNum::new().unwrap();
    rest.nnmod(&top, &m, &mut context).unwrap();
    let number = &(&top - &rest) + &power;
    assert_eq!(number.num_bits(), 2048);
    number.to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lockout_value_goes_back_to_its_device_for_a_code_and_to_nobody_else() {
    let (server, agent, device) = ready().await;
    let mut other = Device {
        id: guid(77),
        ..Device::new()
    };
    agent
        .bulk(&server, json!([other.as_operation()]))
        .await
        .good();
    other.join(&server).await;
    let (token, others) = (device.token(&server).await, other.token(&server).await);
    let send = async |method: &str, token: &str, body: Value| {
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", bearer.as_str())];
        let body = body.to_string().into_bytes();
        server.send(method, LOCKOUT_PATH, &headers, body).await
    };
    let value = |byte: u8| json!({ "value": STANDARD.encode([byte; 32]) });
    let unlock = || {
        server.command(&[
            "admin",
            "device",
            "unlock",
            &device.id.to_string(),
            "--json",
        ])
    };
    let code = || {
        let output = unlock();
        assert!(output.status.success(), "{output:?}");
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        json!({ "code": told["code"].as_str().unwrap().to_lowercase().replace('-', " ") })
    };
    // There is none yet.
    assert!(!unlock().status.success());
    for wrong in ["", "AAAA", "no base64!"] {
        let refused = send("PUT", &token, json!({ "value": wrong })).await;
        assert_eq!(refused.code(), (400, "bad_request"), "{wrong}");
    }
    for _ in 0..2 {
        assert_eq!(send("PUT", &token, value(1)).await.status, 204);
    }
    let shown = code();
    assert_eq!(
        send("POST", &others, shown.clone()).await.code(),
        (403, "bad_code")
    );
    assert_eq!(send("POST", &token, shown.clone()).await.good(), value(1));
    assert_eq!(send("POST", &token, shown).await.code(), (403, "bad_code"));

    // Wrong ones end the right one, and so does its time.
    let shown = code();
    for _ in 0..5 {
        let wrong = send("POST", &token, json!({ "code": "2222-2222-2222" })).await;
        assert_eq!(wrong.code(), (403, "bad_code"));
    }
    assert_eq!(send("POST", &token, shown).await.code(), (403, "bad_code"));
    let shown = code();
    server.pass(60 * 60);
    let token = device.token(&server).await;
    assert_eq!(send("POST", &token, shown).await.code(), (403, "bad_code"));

    assert_eq!(send("PUT", &token, value(2)).await.status, 204);
    assert_eq!(send("POST", &token, code()).await.good(), value(2));
    let audit = server.admin("GET", "/audit", None).await.good();
    let rows = audit.as_array().unwrap().iter();
    let rows = rows.filter(|row| {
        row["action"]
            .as_str()
            .unwrap()
            .starts_with("device.lockout_")
    });
    let mut actions: Vec<_> = rows.map(|row| row["action"].as_str().unwrap()).collect();
    actions.sort_unstable();
    let expected = [
        ["device.lockout_code"; 4].as_slice(),
        &["device.lockout_give"; 2],
        &["device.lockout_keep"; 2],
    ];
    assert_eq!(actions, expected.concat());
}
