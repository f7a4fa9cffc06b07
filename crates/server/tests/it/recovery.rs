//! A forgotten PIN: the server's word, and a real TPM that takes it.

use api::recovery::{LIMIT_PATH, recovery_path};
use attest::{Act, NvPublic, Permit};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use openssl::{
    ec::{EcGroup, EcKey},
    nid::Nid,
    pkey::{PKey, Public},
};
use serde_json::{Value, json};
use tpm::{Error, Recovery, Tpm, UserKey, policy};

use crate::{
    hardware::{PIN, Workstation, pin},
    server::{Answer, TestServer},
};

const NEW_PIN: &str = "975310";

/// K as the device was told it.
fn recovery_key(told: &Value) -> PKey<Public> {
    let public = STANDARD
        .decode(told["recovery_public"].as_str().unwrap())
        .unwrap();
    let attest::Key::P256 { x, y } = attest::Public::read(&public).unwrap().key else {
        panic!("not on P-256");
    };
    let number = |bytes| openssl::bn::BigNum::from_slice(bytes).unwrap();
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    let key = EcKey::from_public_key_affine_coordinates(&group, &number(x), &number(y));
    PKey::from_ec_key(key.unwrap()).unwrap()
}

/// What a device sends for a permit.
fn asked(permit: &Permit<'_>, kid: Option<&str>) -> (String, Value) {
    let nonce = STANDARD.encode(permit.nonce_tpm);
    let text = |bytes: &[u8]| STANDARD.encode(bytes);
    let Some(kid) = kid else {
        let Act::SetLimit { nv_public } = permit.act else {
            panic!("{permit:?}");
        };
        let index = NvPublic::read(nv_public).unwrap().index;
        return (
            LIMIT_PATH.to_owned(),
            json!({ "index": index, "nonce": nonce }),
        );
    };
    let step = match permit.act {
        Act::SetLimit { .. } => json!("set_limit"),
        Act::ChangeIndex { parameters, .. } => {
            json!({ "change_index": { "parameters": text(parameters) } })
        }
        Act::ChangeKey {
            parent_name,
            parameters,
            ..
        } => json!({ "change_key": {
            "parent_name": text(parent_name), "parameters": text(parameters),
        }}),
    };
    (recovery_path(kid), json!({ "nonce": nonce, "step": step }))
}

/// Asks the server for K's word from a thread that waits for it, as a device does.
fn sign(
    server: &TestServer,
    bearer: &str,
    permit: &Permit<'_>,
    kid: Option<&str>,
) -> Result<Vec<u8>, Error> {
    let (path, body) = asked(permit, kid);
    let answer: Answer = tokio::task::block_in_place(|| {
        tokio::runtime::Handle::current().block_on(server.post_json(&path, bearer, &body))
    });
    match answer.status {
        200 => Ok(STANDARD
            .decode(answer.body["signature"].as_str().unwrap())
            .unwrap()),
        _ => Err(Error::Authority(answer.body["code"].to_string())),
    }
}

/// A key whose PIN the server can reset, registered.
async fn recoverable(this: &Workstation, bearer: &str) -> (UserKey, String) {
    let registration = {
        let mut tpm = this.swtpm.open();
        let mut sign = |permit: &Permit<'_>| sign(&this.server, bearer, permit, None);
        let recovery = Recovery::Server {
            public: recovery_key(&this.device.told),
            sign: &mut sign,
        };
        let key = tpm.create_user_key(&this.holder(), &pin(PIN), recovery);
        let key = key.unwrap();
        let registration = this.registration(&mut tpm, &key, 1);
        (key, registration)
    };
    let (key, registration) = registration;
    let answer = this.device.register(&this.server, bearer, &registration);
    let kid = answer.await.good()["kid"].as_str().unwrap().to_owned();
    (key, kid)
}

fn opens(tpm: &mut Tpm, key: &UserKey, text: &str) -> Result<(), Error> {
    let unlocked = tpm.unlock(key, &pin(text))?;
    tpm.sign_unlocked(unlocked, &[1; 32]).map(drop)
}

fn reset(
    this: &Workstation,
    tpm: &mut Tpm,
    key: &UserKey,
    (bearer, kid): (&str, &str),
) -> Result<UserKey, Error> {
    let mut sign = |permit: &Permit<'_>| sign(&this.server, bearer, permit, Some(kid));
    tpm.reset_pin(key, &pin(NEW_PIN), &mut sign, |_| Ok(()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_key_gets_a_new_pin_by_the_servers_word_and_stays_the_same_key() {
    let this = Workstation::attested().await;
    this.demand("require").await;
    let bearer = this.device.user_token(&this.server, &this.agent).await;
    let (key, kid) = recoverable(&this, &bearer).await;
    let mut tpm = this.swtpm.open();
    for _ in 0..policy::PIN_LIMIT {
        assert!(opens(&mut tpm, &key, "000000").is_err());
    }
    assert!(matches!(opens(&mut tpm, &key, PIN), Err(Error::Locked)));

    let again = reset(&this, &mut tpm, &key, (&bearer, &kid)).unwrap();
    assert_eq!(again.public(), key.public());
    opens(&mut tpm, &again, NEW_PIN).unwrap();
    assert!(opens(&mut tpm, &again, PIN).is_err());
    let log = this.server.command(&["admin", "audit", "list"]);
    let log = String::from_utf8(log.stdout).unwrap();
    for action in ["key.recover ", "key.recover-index", "key.recover-tries"] {
        assert!(log.contains(action), "{action}: {log}");
    }

    // Five a day.
    for _ in 0..4 {
        reset(&this, &mut tpm, &again, (&bearer, &kid)).unwrap();
    }
    let refused = reset(&this, &mut tpm, &again, (&bearer, &kid)).unwrap_err();
    assert!(refused.to_string().contains("quota"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_gives_its_word_for_no_other_key_and_to_nobody_else() {
    let this = Workstation::attested().await;
    let bearer = this.device.user_token(&this.server, &this.agent).await;
    let (key, kid) = recoverable(&this, &bearer).await;
    let step = json!({ "nonce": "AAAA", "step": "set_limit" });
    let ask = async |kid: &str, bearer: &str| {
        let path = recovery_path(kid);
        this.server.post_json(&path, bearer, &step).await
    };
    ask(&kid, &bearer).await.good();
    let unknown = ask("00000000-0000-0000-0000-000000000001", &bearer).await;
    assert_eq!(unknown.code(), (404, "unknown_key"));
    let device = this.device.token(&this.server).await;
    assert_eq!(ask(&kid, &device).await.code(), (401, "token_refused"));

    // A name that is too short could have parameters pass for its end.
    let short = json!({ "nonce": "AAAA", "step": { "change_key": {
        "parent_name": "AAAA", "parameters": "AAAA",
    }}});
    let path = recovery_path(&kid);
    let refused = this.server.post_json(&path, &bearer, &short).await;
    assert_eq!(refused.code(), (400, "bad_request"));

    // The factors have to be fresh.
    this.server.pass(601);
    assert_eq!(ask(&kid, &bearer).await.code(), (401, "mfa_stale"));

    // A key that does not name this K, in place of the first.
    let bearer = this.device.user_token(&this.server, &this.agent).await;
    let registration = {
        let mut tpm = this.swtpm.open();
        tpm.delete_user_key(&key).unwrap();
        let key = this.user_key(&mut tpm);
        this.registration(&mut tpm, &key, 2)
    };
    let answer = this.device.register(&this.server, &bearer, &registration);
    let other = answer.await.good()["kid"].as_str().unwrap().to_owned();
    let refused = ask(&other, &bearer).await;
    assert_eq!(refused.code(), (403, "not_recoverable"));
    let refused = ask(&kid, &bearer).await;
    assert_eq!(refused.code(), (404, "unknown_key"), "removed by now");

    // A counter that is made anew ends the key that stood beside the one of that handle: it would
    // have its name.
    this.swtpm.open().forget_other_users(&[]).unwrap();
    let (_, first) = recoverable(&this, &bearer).await;
    this.swtpm.open().forget_other_users(&[]).unwrap();
    let counter = json!({ "index": 0x0180_4C00_u32, "nonce": "AAAA" });
    ask(&first, &bearer).await.good();
    let allowed = this.server.post_json(LIMIT_PATH, &bearer, &counter);
    allowed.await.good();
    assert_eq!(ask(&first, &bearer).await.code(), (404, "unknown_key"));

    // The limit is for new indices only.
    let object = json!({ "index": 0x8000_0000_u32, "nonce": "AAAA" });
    let refused = this.server.post_json(LIMIT_PATH, &bearer, &object).await;
    assert_eq!(refused.code(), (400, "bad_request"));
}
