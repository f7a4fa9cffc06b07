//! Primary refresh tokens: how a device gets one, and what it gets with it.

use api::{REGISTRATION_AUDIENCE, oauth::GRANT_JWT_BEARER};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use model::{Secret, sha256};
use openssl::{
    encrypt::Decrypter,
    pkey::{PKey, Private},
    rsa::Padding,
};
use serde_json::{Value, json};
use token::{KdfVersion, SessionKey};

use super::{
    browser::{Browser, Request, parameter, redeem},
    people::{self, DORA, PASSWORD, PORTAL, allow, audit, base64, claims, dora, portal, put_app},
};
use crate::{
    accounts::alice,
    parties::{ALICE, Agent, Device, assertion, guid, rand, ready, rsa1},
    server::{Answer, TestServer, rsa_key},
};

/// A device with a primary refresh token.
struct Signed<'a> {
    server: &'a TestServer,
    device: &'a Device,
    prt: String,
    key: SessionKey,
}

async fn company() -> (TestServer, Agent, Device) {
    let (server, agent, device) = ready().await;
    people::people(&server).await;
    (server, agent, device)
}

fn session_key(answer: &Value, transport: &PKey<Private>) -> SessionKey {
    let jwe = answer["session_key_jwe"].as_str().unwrap();
    let wrapped = jwe.split('.').nth(1).unwrap();
    let wrapped = URL_SAFE_NO_PAD.decode(wrapped).unwrap();
    let mut decrypter = Decrypter::new(transport).unwrap();
    decrypter.set_rsa_padding(Padding::PKCS1_OAEP).unwrap();
    let mut key = vec![0; decrypter.decrypt_len(&wrapped).unwrap()];
    let length = decrypter.decrypt(&wrapped, &mut key).unwrap();
    key.truncate(length);
    SessionKey::from_bytes(Secret::new(key)).unwrap()
}

async fn ask(server: &TestServer, device: &Device, mut request: Value) -> Answer {
    if request.get("request_nonce").is_none() {
        request["request_nonce"] = json!(device.nonce(server).await);
    }
    let statement = device.statement(&request);
    let fields = [
        ("windows_api_version", "2.2"),
        ("grant_type", GRANT_JWT_BEARER),
        ("request", statement.as_str()),
        ("client_info", "1"),
        ("tgt", "True"),
    ];
    server.post_form("/common/oauth2/token", &[], &fields).await
}

fn request(grant: &str, more: &Value) -> Value {
    let mut request = json!({
        "client_id": PORTAL,
        "scope": "openid aza ugs",
        "grant_type": grant,
        "group_sids": [],
    });
    for (name, value) in more.as_object().unwrap() {
        request[name] = value.clone();
    }
    request
}

async fn by_refresh_token(server: &TestServer, device: &Device) -> Answer {
    let tokens = Browser::new(server).tokens(&Request::new()).await;
    let more = json!({ "refresh_token": tokens["refresh_token"] });
    ask(server, device, request("refresh_token", &more)).await
}

impl<'a> Signed<'a> {
    async fn new(server: &'a TestServer, device: &'a Device) -> Self {
        let answer = by_refresh_token(server, device).await.good();
        Self::with(server, device, &answer)
    }

    fn with(server: &'a TestServer, device: &'a Device, answer: &Value) -> Self {
        Self {
            server,
            device,
            prt: answer["refresh_token"].as_str().unwrap().to_owned(),
            key: session_key(answer, &device.key),
        }
    }

    async fn claims(&self, more: &Value) -> Value {
        let mut claims = json!({
            "iss": "aad:brokerplugin",
            "grant_type": "refresh_token",
            "aud": "login.microsoftonline.com",
            "scope": "openid",
            "client_id": PORTAL,
            "refresh_token": self.prt,
            "request_nonce": self.device.nonce(self.server).await,
            "iat": self.server.now().to_string(),
            "exp": (self.server.now() + 3600).to_string(),
        });
        for (name, value) in more.as_object().unwrap() {
            claims[name] = value.clone();
        }
        claims
    }

    fn sign(&self, version: KdfVersion, claims: &Value) -> String {
        token::sign_with_session_key(&self.key, version, &rand(), claims).unwrap()
    }

    async fn show(&self, request: &str) -> Answer {
        let fields = [
            ("windows_api_version", "2.2"),
            ("grant_type", GRANT_JWT_BEARER),
            ("request", request),
        ];
        self.server
            .post_form("/common/oauth2/token", &[], &fields)
            .await
    }

    fn open(&self, answer: &Answer) -> Value {
        assert_eq!(answer.status, 200, "{}", answer.text);
        let plain = token::open_answer(&self.key, &answer.text).unwrap();
        serde_json::from_slice(plain.expose()).unwrap()
    }

    async fn authorize(&self, request: &Request, claims: &Value) -> Answer {
        let credential = self.sign(KdfVersion::Two, claims);
        let headers = [("x-ms-RefreshTokenCredential", credential.as_str())];
        let path = request.path(self.server);
        Browser::new(self.server).get_with(&path, &headers).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_becomes_a_primary_one_of_the_device() {
    let (server, _agent, device) = company().await;
    let answer = by_refresh_token(&server, &device).await.good();
    assert_eq!(answer["token_type"], "Bearer");
    for name in [
        "expires_in",
        "ext_expires_in",
        "expires_on",
        "refresh_token",
    ] {
        assert!(answer[name].is_string(), "{name}");
    }
    assert!(answer["refresh_token"].as_str().unwrap().contains('.'));
    assert_eq!(answer["refresh_token_expires_in"], 14 * 86_400);
    let id = claims(&answer["id_token"]);
    assert_eq!(id["oid"], json!(dora()));
    assert_eq!(id["deviceid"], json!(device.id));
    assert_eq!(id["tid"], json!(server.tenant));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_gives_the_tokens_of_applications_and_is_renewed_under_its_session_key() {
    let (server, _agent, device) = company().await;
    let signed = Signed::new(&server, &device).await;
    let wanted = json!({ "resource": "https://graph.microsoft.com/" });
    let request = signed.sign(KdfVersion::Two, &signed.claims(&wanted).await);
    let tokens = signed.open(&signed.show(&request).await);
    let access = claims(&tokens["access_token"]);
    assert_eq!(access["aud"], api::GRAPH_AUDIENCE);
    assert_eq!(access["deviceid"], json!(device.id));
    assert_eq!(access["oid"], json!(dora()));
    assert_eq!(access["amr"], json!(["pwd", "mfa", "ngcmfa"]));
    assert!(tokens["refresh_token"].is_string());

    server.pass(13 * 86_400);
    let renewal = json!({ "scope": "openid aza ugs", "previous_refresh_token": signed.prt });
    let request = signed.sign(KdfVersion::Two, &signed.claims(&renewal).await);
    let answer = signed.open(&signed.show(&request).await);
    assert!(answer.get("session_key_jwe").is_none(), "it stays the same");
    let renewed = Signed {
        prt: answer["refresh_token"].as_str().unwrap().to_owned(),
        key: SessionKey::from_bytes(signed.key.bytes().clone()).unwrap(),
        ..signed
    };
    server.pass(13 * 86_400);
    let request = renewed.sign(KdfVersion::Two, &renewed.claims(&wanted).await);
    let tokens = renewed.open(&renewed.show(&request).await);
    let access = claims(&tokens["access_token"]);
    assert_eq!(access["amr"], json!(["pwd", "mfa"]), "no more ngcmfa");
    server.pass(14 * 86_400);
    let request = renewed.sign(KdfVersion::Two, &renewed.claims(&wanted).await);
    assert_eq!(renewed.show(&request).await.number(), 70000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_under_a_session_key_is_good_once_and_only_as_it_was_signed() {
    let (server, _agent, device) = company().await;
    let signed = Signed::new(&server, &device).await;
    let claims = signed.claims(&json!({})).await;
    let request = signed.sign(KdfVersion::Two, &claims);
    signed.open(&signed.show(&request).await);
    let replayed = signed.show(&request).await;
    assert_eq!(replayed.status, 400, "{}", replayed.text);
    let resigned = signed.sign(KdfVersion::Two, &claims);
    assert_eq!(
        signed.show(&resigned).await.status,
        400,
        "the nonce is spent"
    );

    let other = Signed {
        key: SessionKey::make().unwrap(),
        prt: signed.prt.clone(),
        ..signed
    };
    let forged = other.sign(KdfVersion::Two, &other.claims(&json!({})).await);
    assert_eq!(other.show(&forged).await.number(), 70000);
    let unknown = json!({ "refresh_token": "0.unknown" });
    let unknown = signed.sign(KdfVersion::Two, &signed.claims(&unknown).await);
    assert_eq!(signed.show(&unknown).await.number(), 70000);
    let stale = json!({ "request_nonce": "stale" });
    let stale = signed.sign(KdfVersion::Two, &signed.claims(&stale).await);
    assert_eq!(signed.show(&stale).await.status, 400);
    let elsewhere = json!({ "resource": "api://elsewhere" });
    let elsewhere = signed.sign(KdfVersion::Two, &signed.claims(&elsewhere).await);
    assert_eq!(signed.show(&elsewhere).await.number(), 650_057);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_weaker_forms_are_for_clients_that_are_registered_for_them() {
    let (server, _agent, device) = company().await;
    let signed = Signed::new(&server, &device).await;
    let request = signed.sign(KdfVersion::One, &signed.claims(&json!({})).await);
    assert_eq!(signed.show(&request).await.number(), 500_144);
    let mut app = portal();
    app.compat.kdf1 = true;
    app.compat.cbc = true;
    app.compat.no_pkce = true;
    put_app(&server, app).await;
    let request = signed.sign(KdfVersion::One, &signed.claims(&json!({})).await);
    let answer = signed.show(&request).await;
    assert_eq!(answer.status, 200);
    let parts: Vec<&str> = answer.text.split('.').collect();
    assert_eq!((parts.len(), parts[4]), (5, ""), "no tag");
    let bare = Request::new()
        .without("code_challenge")
        .without("code_challenge_method");
    let answer = signed
        .authorize(&bare, &signed.claims(&json!({})).await)
        .await;
    let code = parameter(answer.location(), "code").unwrap();
    redeem(&server, &code, &[("code_verifier", "")])
        .await
        .good();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_signs_its_user_in_at_the_authorization_endpoint() {
    let (server, _agent, device) = company().await;
    let signed = Signed::new(&server, &device).await;
    let fresh = Request::new().with("amr_values", "ngcmfa");
    let credential = signed.claims(&json!({})).await;
    let answer = signed.authorize(&fresh, &credential).await;
    let code = parameter(answer.location(), "code").unwrap();
    let tokens = redeem(&server, &code, &[]).await.good();
    let id = claims(&tokens["id_token"]);
    assert_eq!(id["amr"], json!(["pwd", "mfa", "ngcmfa"]));
    assert_eq!(id["deviceid"], json!(device.id));
    let replayed = signed.authorize(&fresh, &credential).await;
    assert!(replayed.headers.get("location").is_none());

    // A request that is not granted spends nothing.
    server.pass(660);
    let credential = signed.claims(&json!({})).await;
    let silent = fresh.clone().with("prompt", "none");
    let stale = signed.authorize(&silent, &credential).await;
    assert_eq!(
        parameter(stale.location(), "error").unwrap(),
        "interaction_required"
    );
    let answer = signed.authorize(&Request::new(), &credential).await;
    assert!(parameter(answer.location(), "code").is_some());
    // One that is not accepted is passed over: somebody has to sign in.
    let old = signed.claims(&json!({ "request_nonce": "x" })).await;
    let page = signed.authorize(&Request::new(), &old).await;
    assert!(page.text.contains("id=\"i0116\""));
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_falls_with_the_device_and_with_the_account() {
    let (server, _agent, device) = company().await;
    let signed = Signed::new(&server, &device).await;
    let claims = signed.claims(&json!({ "scope": "openid aza" })).await;
    let request = signed.sign(KdfVersion::Two, &claims);
    let store = server.store();
    store
        .set_device_enabled(server.tenant, device.id, false, audit())
        .await
        .unwrap();
    assert_eq!(signed.show(&request).await.number(), 50155);
    assert_eq!(by_refresh_token(&server, &device).await.number(), 50155);
    store
        .set_device_enabled(server.tenant, device.id, true, audit())
        .await
        .unwrap();
    signed.open(&signed.show(&request).await);

    let mut user = store.user(server.tenant, dora()).await.unwrap().unwrap();
    user.active = false;
    store
        .update_user(server.tenant, user.clone(), audit())
        .await
        .unwrap();
    let signed = Signed {
        prt: signed.prt.clone(),
        ..signed
    };
    let request = signed.sign(KdfVersion::Two, &signed.claims(&json!({})).await);
    assert_eq!(signed.show(&request).await.number(), 50057);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_gives_one_only_where_both_switches_are_on() {
    let (server, _agent, device) = company().await;
    let request = request(
        "password",
        &json!({ "username": DORA, "password": PASSWORD }),
    );
    let shut = ask(&server, &device, request.clone()).await;
    assert_eq!(shut.number(), 7_000_218);
    allow(&server, true).await;
    let mut app = portal();
    app.compat.ropc = true;
    put_app(&server, app).await;
    let answer = ask(&server, &device, request.clone()).await.good();
    assert_eq!(claims(&answer["id_token"])["amr"], json!(["pwd"]));
    // One factor registers no key.
    let signed = Signed::with(&server, &device, &answer);
    let fresh = Request::new()
        .with("amr_values", "ngcmfa")
        .with("prompt", "none");
    let refused = signed
        .authorize(&fresh, &signed.claims(&json!({})).await)
        .await;
    assert!(refused.location().contains("error=interaction_required"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_device_signs_is_one_of_four_things_for_a_known_public_client() {
    let (server, _agent, device) = company().await;
    let mut secret = portal();
    secret.client_id = "secret".to_owned();
    secret.kind = store::AppKind::Confidential;
    put_app(&server, secret).await;
    for (changed, number) in [
        (json!({ "grant_type": "authorization_code" }), 90014),
        (json!({ "client_id": "nobody" }), 700_016),
        (json!({ "client_id": "secret" }), 90014),
        (json!({ "refresh_token": "1.unknown" }), 70000),
        (json!({ "request_nonce": "stale" }), 50155),
    ] {
        let more = json!({ "refresh_token": "1.x" });
        let mut request = request("refresh_token", &more);
        for (name, value) in changed.as_object().unwrap() {
            request[name] = value.clone();
        }
        let answer = ask(&server, &device, request).await;
        assert_eq!(answer.number(), number, "{changed}");
    }
    let resource = json!({ "resource": api::GRAPH_AUDIENCE });
    let answer = ask(&server, &device, request("device_token", &resource)).await;
    let access = claims(&answer.good()["access_token"]);
    assert_eq!(access["deviceid"], json!(device.id));
    assert!(access.get("oid").is_none());
    let own = json!({ "resource": api::DEVICE_AUDIENCE });
    let answer = ask(&server, &device, request("device_token", &own)).await;
    assert_eq!(answer.status, 200, "a device may always speak for itself");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_users_key_signs_its_user_in_on_the_device_that_made_it() {
    let (server, agent, device) = company().await;
    let key = rsa_key("user");
    let user_token = device.user_token(&server, &agent).await;
    let registration = device.registration(&key, 1104, 1);
    let registered = device
        .register(&server, &user_token, &registration)
        .await
        .good();
    let kid = sha256(&rsa1(&key));
    let said = async |iss: &str| {
        json!({
            "iss": iss,
            "aud": "common",
            "iat": server.now() - 3600,
            "exp": server.now() + 3600,
            "scope": "openid aza ugs",
            "request_nonce": device.nonce(&server).await,
        })
    };
    let show = async |assertion: String| {
        let more = json!({ "username": ALICE, "assertion": assertion });
        ask(&server, &device, request(GRANT_JWT_BEARER, &more)).await
    };
    let answer = show(assertion(&key, &kid, &said(ALICE).await)).await.good();
    let id = claims(&answer["id_token"]);
    assert_eq!(id["oid"], json!(guid(11)));
    // A key does not vouch for the next one.
    assert_eq!(id["amr"], json!(["rsa", "mfa"]));

    let once = assertion(&key, &kid, &said(ALICE).await);
    show(once.clone()).await.good();
    let mut long = said(ALICE).await;
    long["exp"] = json!(server.now() + 86_400);
    let mut outer = request(GRANT_JWT_BEARER, &json!({}));
    let shared = device.nonce(&server).await;
    let mut same_nonce = said(ALICE).await;
    same_nonce["request_nonce"] = json!(shared);
    outer["request_nonce"] = json!(shared);
    outer["assertion"] = json!(assertion(&key, &kid, &same_nonce));
    assert_eq!(ask(&server, &device, outer).await.number(), 50129);
    for wrong in [
        once,
        assertion(&key, &kid, &long),
        assertion(&key, &kid, &said("carol@corp.example").await),
        assertion(&rsa_key("mallory"), &kid, &said(ALICE).await),
        assertion(&key, &[7; 32], &said(ALICE).await),
    ] {
        assert_eq!(show(wrong).await.number(), 50129);
    }
    // Nor one at an hour in which AD does not let the user in.
    for (hours, number) in [([0; 21], 80012), ([0xff; 21], 0)] {
        let mut bulk = alice(ALICE, "alice", true);
        let directory = &mut bulk[0]["data"]["urn:latchkey:scim:1.0:Directory"];
        directory["logonHours"] = json!(STANDARD.encode(hours));
        agent.bulk(&server, bulk).await.good();
        let shown = show(assertion(&key, &kid, &said(ALICE).await)).await;
        match number {
            0 => drop(shown.good()),
            number => assert_eq!(shown.number(), number),
        }
    }
    // And a key that was deleted signs nobody in.
    let path = format!("/keys/{}", registered["kid"].as_str().unwrap());
    server.admin("DELETE", &path, None).await.good();
    let deleted = show(assertion(&key, &kid, &said(ALICE).await)).await;
    assert_eq!(deleted.number(), 50129);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_sign_in_flows_from_the_page_to_the_registration_of_a_key() {
    let (server, _agent, device) = company().await;
    let mut app = portal();
    app.resources.push(REGISTRATION_AUDIENCE.to_owned());
    put_app(&server, app).await;
    let store = server.store();
    let mut settings = store.settings(server.tenant).await.unwrap();
    settings.register_keys_groups.clear();
    store
        .set_settings(server.tenant, settings, audit())
        .await
        .unwrap();
    let signed = Signed::new(&server, &device).await;
    let wanted = Request::new()
        .with(
            "scope",
            "openid 01cb2876-7ebd-4aa4-9cc9-d28bd4d359a9/.default",
        )
        .with("amr_values", "ngcmfa");
    let answer = signed
        .authorize(&wanted, &signed.claims(&json!({})).await)
        .await;
    let code = parameter(answer.location(), "code").unwrap();
    let tokens = redeem(&server, &code, &[]).await.good();
    let bearer = tokens["access_token"].as_str().unwrap();
    assert_eq!(
        claims(&tokens["access_token"])["aud"],
        REGISTRATION_AUDIENCE
    );
    let key = json!({ "kngc": base64(&rsa1(&rsa_key("user"))) });
    let refused = device.register(&server, bearer, &key).await;
    // Everything about the token is right; only no group may register keys here.
    assert_eq!(refused.code(), (403, "not_allowed"), "{}", refused.text);
}
