//! Keys in a TPM, and keys that are not, where a TPM is demanded: each with a real swtpm.

use api::{
    agent::PolicyOutcome,
    attestation::{ATTESTATION_PATH, AttestationChallenge},
};
use attest::{Holder, policy::Digest, spec::object};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use keycred::RsaPublicKey;
use model::Secret;
use openssl::rsa::Rsa;
use serde_json::{Value, json};
use store::{Attestation, AttestationLevel, AttestationTrust, Audit, Store};
use tpm::{KeyBlob, Recovery, Role, Tpm, UserKey};

use crate::{
    chip::{Made, Swtpm, signing_key},
    parties::{Agent, Device, NOTHING, guid, ready, sid},
    server::{Answer, TestServer},
};

pub(crate) const PIN: &str = "135790";

const TEMPLATE: u32 = object::FIXED_TPM
    | object::FIXED_PARENT
    | object::SENSITIVE_DATA_ORIGIN
    | object::ADMIN_WITH_POLICY
    | object::SIGN;

pub(crate) fn auth() -> Secret<[u8; 32]> {
    Secret::new([7; 32])
}

pub(crate) fn pin(text: &str) -> Secret<String> {
    Secret::new(text.to_owned())
}

/// What stands for the PIN of alice.
fn value() -> [u8; 32] {
    let user = sid(1104).to_string();
    model::sha256(&[b"latchkey pin v1\0", user.as_bytes(), b"\0", PIN.as_bytes()].concat())
}

/// A workstation whose keys are in a TPM.
pub(crate) struct Workstation {
    pub(crate) server: TestServer,
    pub(crate) agent: Agent,
    pub(crate) device: Device,
    pub(crate) swtpm: Swtpm,
    pub(crate) attestation_key: KeyBlob,
}

/// What a TPM shows when its device joins.
pub(crate) fn shown(tpm: &mut Tpm, attestation_key: &KeyBlob) -> Value {
    let endorsement_key = tpm.ek_public().unwrap().public_key_to_der().unwrap();
    json!({
        "ek_public": STANDARD.encode(endorsement_key),
        "ek_certificate": null,
        "ak_public": STANDARD.encode(&attestation_key.public),
    })
}

impl Workstation {
    /// Joined, with nothing proven.
    pub(crate) async fn joined() -> Self {
        let (server, agent, mut device) = ready().await;
        let swtpm = Swtpm::start();
        let mut tpm = swtpm.open();
        let attestation_key = tpm.create_device_key(Role::Attestation, &auth()).unwrap();
        device.latchkey = shown(&mut tpm, &attestation_key);
        device.join(&server).await;
        Self {
            server,
            agent,
            device,
            swtpm,
            attestation_key,
        }
    }

    /// Joined, and proven.
    pub(crate) async fn attested() -> Self {
        let this = Self::joined().await;
        let challenge = this.device.told["challenge"].clone();
        let answer = this.answer(&serde_json::from_value(challenge).unwrap());
        this.put(&answer).await.good();
        this
    }

    /// What the TPM says to a challenge.
    pub(crate) fn answer(&self, challenge: &AttestationChallenge) -> Value {
        let decoded = |text: &str| STANDARD.decode(text).unwrap();
        let challenge_of_tpm = attest::Challenge {
            credential_blob: decoded(&challenge.blob),
            secret: decoded(&challenge.secret),
        };
        let opened = self
            .swtpm
            .open()
            .activate(&self.attestation_key, &auth(), &challenge_of_tpm)
            .unwrap();
        json!({ "state": challenge.state, "secret": STANDARD.encode(opened.expose()) })
    }

    pub(crate) async fn put(&self, answer: &Value) -> Answer {
        let token = self.device.token(&self.server).await;
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", &*bearer)];
        let body = answer.to_string().into_bytes();
        self.server
            .send("PUT", ATTESTATION_PATH, &headers, body)
            .await
    }

    pub(crate) async fn demand(&self, word: &str) {
        let body = Some(json!({ "values": [word] }));
        let path = "/settings/attestation";
        self.server.admin("PUT", path, body).await.good();
    }

    pub(crate) fn holder(&self) -> Holder {
        Holder {
            device: self.device.id,
            user: sid(1104),
        }
    }

    pub(crate) fn user_key(&self, tpm: &mut Tpm) -> UserKey {
        tpm.create_user_key(&self.holder(), &pin(PIN), Recovery::Destroyed)
            .unwrap()
    }

    /// The registration of a key that the TPM certified, as our device makes it.
    pub(crate) fn registration(&self, tpm: &mut Tpm, key: &UserKey, sequence: u64) -> Value {
        let nonce = model::sha256(key.public());
        let proof = tpm
            .certify(key, &pin(PIN), &self.attestation_key, &auth(), &nonce)
            .unwrap();
        let words = (&proof.public[..], &proof.certify[..], &proof.signature[..]);
        self.with_attestation(key, &key.branches().list(), words, sequence)
    }

    /// The registration of a key with these words on it, beside the PIN counter of another.
    pub(crate) fn with_attestation(
        &self,
        beside: &UserKey,
        branches: &[Digest],
        (public, certify, signature): (&[u8], &[u8], &[u8]),
        sequence: u64,
    ) -> Value {
        let material = material(public);
        let mut registration = self.device.registration_of(material, 1104, sequence);
        let list = branches.iter().map(|digest| STANDARD.encode(digest.0));
        registration["latchkey"]["attestation"] = json!({
            "public": STANDARD.encode(public),
            "nv_public": STANDARD.encode(beside.nv_public()),
            "recovery_public": STANDARD.encode(beside.recovery_public()),
            "branches": list.collect::<Vec<_>>(),
            "certify": STANDARD.encode(certify),
            "signature": STANDARD.encode(signature),
        });
        registration
    }

    /// Has the TPM make a bad key and vouch for it.
    fn bad(&self, made: &Made<'_>, beside: &UserKey, list: &[Digest]) -> Value {
        let auth = auth();
        let attestation = (&self.attestation_key, &auth.expose()[..]);
        let (public, certify, signature) =
            self.swtpm
                .raw()
                .certified(made, (beside, list), &value(), attestation);
        let words = (&public[..], &certify[..], &signature[..]);
        let branches = beside.branches().list();
        self.with_attestation(beside, &branches, words, 1)
    }

    pub(crate) fn store(&self) -> Store {
        Store::open_sqlite(&self.server.folder.join("data/store.sqlite")).unwrap()
    }
}

/// The BCRYPT blob of the key in a public area.
fn material(public: &[u8]) -> Vec<u8> {
    let attest::Key::Rsa { modulus, .. } = attest::Public::read(public).unwrap().key else {
        panic!("not RSA");
    };
    RsaPublicKey::from_components(modulus, &[1, 0, 1])
        .unwrap()
        .to_rsa1()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_in_a_tpm_is_taken_where_hardware_is_demanded_and_the_verdict_is_kept() {
    let this = Workstation::attested().await;
    this.demand("require").await;
    let token = this.device.user_token(&this.server, &this.agent).await;
    let mut tpm = this.swtpm.open();
    let key = this.user_key(&mut tpm);
    let registration = this.registration(&mut tpm, &key, 1);
    let answer = this.device.register(&this.server, &token, &registration);
    let kid = answer.await.good()["kid"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();

    let store = this.store();
    let kept = store.key(this.server.tenant, kid).await.unwrap().unwrap();
    assert_eq!(kept.attested.level, AttestationLevel::Hardware);
    assert!(kept.attested.reason.contains("first_use"), "{kept:?}");
    let device = store.device(this.server.tenant, this.device.id).await;
    assert_eq!(
        device.unwrap().unwrap().attestation_trust,
        AttestationTrust::FirstUse
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn where_hardware_is_demanded_each_other_key_is_refused_with_its_reason() {
    let this = Workstation::attested().await;
    this.demand("require").await;
    let token = this.device.user_token(&this.server, &this.agent).await;
    let good = this.user_key(&mut this.swtpm.open());
    let policy = good.branches().policy();
    let list = good.branches().list();

    let software = Rsa::generate(2048).unwrap();
    let modulus = software.n().to_vec();
    let in_software = this.device.registration_of(
        RsaPublicKey::from_components(&modulus, &[1, 0, 1])
            .unwrap()
            .to_rsa1(),
        1104,
        1,
    );
    let imported = Made::Elsewhere {
        public: signing_key(object::ADMIN_WITH_POLICY | object::SIGN, policy, &modulus),
        prime: &software.p().unwrap().to_vec(),
    };
    let imported = this.bad(&imported, &good, &list);
    let no_da = Made::Here(signing_key(TEMPLATE | object::NO_DA, policy, &[]));
    let no_da = this.bad(&no_da, &good, &list);
    let mut wider = list.to_vec();
    wider.push(Digest::EMPTY.auth_value());
    let other_policy = Made::Here(signing_key(TEMPLATE, Digest::or(&wider), &[]));
    let other_policy = this.bad(&other_policy, &good, &wider);

    let elsewhere = Swtpm::start();
    let mut tpm = elsewhere.open();
    let foreign = Workstation {
        attestation_key: tpm.create_device_key(Role::Attestation, &auth()).unwrap(),
        ..this
    };
    let key = foreign.user_key(&mut tpm);
    let other_tpm = foreign.registration(&mut tpm, &key, 1);
    let this = foreign;

    for (registration, reason) in [
        (in_software, "made in software"),
        (imported, "imported"),
        (other_tpm, "another TPM"),
        (no_da, "noDA"),
        (other_policy, "another policy"),
    ] {
        let answer = this.device.register(&this.server, &token, &registration);
        let answer = answer.await;
        assert_eq!(answer.code(), (403, "not_attested"), "{reason}");
        assert_eq!(answer.body["hresult"], "0x801C03EE");
        let said = answer.body["message"].as_str().unwrap();
        assert!(said.contains(reason), "{reason}: {said}");
    }
    let changes = this.agent.changes(&this.server, "", 0).await;
    assert_eq!(changes["changes"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_raw_commands_make_by_the_template_is_taken() {
    // So the refusals above are of what differs, and not of a command used wrongly.
    let this = Workstation::attested().await;
    this.demand("require").await;
    let token = this.device.user_token(&this.server, &this.agent).await;
    let good = this.user_key(&mut this.swtpm.open());
    let list = good.branches().list();
    let made = Made::Here(signing_key(TEMPLATE, good.branches().policy(), &[]));
    let registration = this.bad(&made, &good, &list);
    let taken = this.device.register(&this.server, &token, &registration);
    taken.await.good();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_whose_tpm_has_not_answered_has_no_key_in_hardware() {
    let this = Workstation::joined().await;
    this.demand("require").await;
    let token = this.device.user_token(&this.server, &this.agent).await;
    let registration = {
        let mut tpm = this.swtpm.open();
        let key = this.user_key(&mut tpm);
        this.registration(&mut tpm, &key, 1)
    };
    let refused = this.device.register(&this.server, &token, &registration);
    let refused = refused.await;
    assert_eq!(refused.code(), (403, "not_attested"));
    let said = refused.body["message"].as_str().unwrap();
    assert!(said.contains("has not proven"), "{said}");

    // It asks for another challenge, and answers that; wrong and late answers count nothing.
    let device_token = this.device.token(&this.server).await;
    let status = this
        .server
        .get(ATTESTATION_PATH, &device_token)
        .await
        .good();
    assert_eq!(status["trust"], "none");
    let challenge: AttestationChallenge =
        serde_json::from_value(status["challenge"].clone()).unwrap();
    let mut wrong = this.answer(&challenge);
    wrong["secret"] = json!(STANDARD.encode([0; 32]));
    assert_eq!(this.put(&wrong).await.code(), (403, "not_attested"));
    let late = this.answer(&challenge);
    this.server.pass(601);
    assert_eq!(this.put(&late).await.code(), (403, "not_attested"));
    let status = this
        .server
        .get(ATTESTATION_PATH, &device_token)
        .await
        .good();
    let challenge = serde_json::from_value(status["challenge"].clone()).unwrap();
    let answer = this.answer(&challenge);
    this.put(&answer).await.good();
    this.put(&answer).await.good();
    let status = this
        .server
        .get(ATTESTATION_PATH, &device_token)
        .await
        .good();
    assert_eq!(status, json!({ "trust": "first_use" }));
    let token = this.device.user_token(&this.server, &this.agent).await;
    let taken = this.device.register(&this.server, &token, &registration);
    taken.await.good();
}

#[tokio::test(flavor = "multi_thread")]
async fn by_first_use_the_first_tpm_of_a_device_is_trusted_and_no_second_one() {
    let mut this = Workstation::attested().await;
    let device_token = this.device.token(&this.server).await;
    this.device.join(&this.server).await;
    assert_eq!(this.device.told["challenge"], Value::Null, "proven already");

    let second = Swtpm::start();
    let mut tpm = second.open();
    let attestation_key = tpm.create_device_key(Role::Attestation, &auth()).unwrap();
    this.device.latchkey = shown(&mut tpm, &attestation_key);
    this.device.join(&this.server).await;
    assert_eq!(this.device.told["challenge"], Value::Null, "not trusted");
    let status = this
        .server
        .get(ATTESTATION_PATH, &device_token)
        .await
        .good();
    assert_eq!(status["trust"], "none");
    assert!(status["reason"].as_str().unwrap().contains("unknown"));

    // An administrator who names it opens the way.
    let hash = attest::EndorsementKey::from_spki_der(
        &STANDARD
            .decode(this.device.latchkey["ek_public"].as_str().unwrap())
            .unwrap(),
    )
    .unwrap()
    .hash();
    let endorsement = store::Endorsement {
        hash,
        note: "the new board".to_owned(),
        added: model::UnixTime(this.server.now()),
    };
    let store = this.store();
    store
        .add_endorsements(this.server.tenant, vec![endorsement], audit())
        .await
        .unwrap();
    let status = this
        .server
        .get(ATTESTATION_PATH, &device_token)
        .await
        .good();
    assert!(status["challenge"].is_object(), "{status}");
}

fn audit() -> Audit {
    Audit {
        at: model::UnixTime(1_800_000_000),
        actor: "test".to_owned(),
        action: "settings.set",
        subject: String::new(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stricter_of_setting_and_group_policy_decides_and_silence_is_the_strictest() {
    let this = Workstation::joined().await;
    let (server, agent, device) = (&this.server, &this.agent, &this.device);
    let requires = |hardware, attestation| PolicyOutcome::Evaluated {
        requires_hardware: hardware,
        requires_attestation: attestation,
    };
    let registration = device.registration(&crate::server::rsa_key("user"), 1104, 1);
    let token = device.user_token(server, agent).await;
    for (setting, policy, taken) in [
        ("off", NOTHING, true),
        ("prefer", NOTHING, true),
        ("require", NOTHING, false),
        ("off", requires(true, false), false),
        ("prefer", requires(false, true), false),
    ] {
        this.demand(setting).await;
        agent.policy(server, device.id, policy.clone()).await;
        let answer = device.register(server, &token, &registration).await;
        if taken {
            answer.good();
        } else {
            assert_eq!(answer.code(), (403, "not_attested"), "{setting} {policy:?}");
        }
    }

    // What was found is asked again after a quarter of an hour; somebody has to answer then.
    agent.policy(server, device.id, NOTHING).await;
    server.pass(850);
    let token = device.user_token(server, agent).await;
    device.register(server, &token, &registration).await.good();
    server.pass(60);
    let unknown = PolicyOutcome::Unknown {
        why: "the domain is away".to_owned(),
    };
    for (outcome, taken) in [(unknown, false), (NOTHING, true)] {
        let (answer, ()) = tokio::join!(
            device.register(server, &token, &registration),
            agent.evaluate_one(server, outcome),
        );
        if taken {
            answer.good();
        } else {
            assert_eq!(answer.code(), (403, "not_attested"));
        }
    }
    server.pass(901);
    let token = device.user_token(server, agent).await;
    let answer = device.register(server, &token, &registration).await;
    assert_eq!(answer.code(), (403, "not_attested"), "no agent answers");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_setting_of_a_group_comes_before_everybodys() {
    let this = Workstation::joined().await;
    let store = this.store();
    let settings = store.settings(this.server.tenant).await.unwrap();
    let settings = store::Settings {
        attestation: Attestation::Require,
        attestation_by_group: vec![(guid(22), Attestation::Prefer)],
        ..settings
    };
    let set = store.set_settings(this.server.tenant, settings, audit());
    set.await.unwrap();
    let token = this.device.user_token(&this.server, &this.agent).await;
    let registration = this
        .device
        .registration(&crate::server::rsa_key("user"), 1104, 1);
    let taken = this.device.register(&this.server, &token, &registration);
    taken.await.good();
}
