use std::{
    collections::HashMap,
    sync::{LazyLock, Mutex},
};

use api::{
    agent::{ChangeEvidence, ChangeKey, ChangeOp, ChangeUser},
    device::UserProof,
};
use openssl::{
    asn1::Asn1Time,
    pkey::Private,
    rsa::Rsa,
    sign::Signer,
    x509::{X509Builder, X509NameBuilder},
};

use super::*;
use crate::{scope::Dn, testing::alice};

const NOW: UnixTime = UnixTime(1_800_000_000);

/// A good addition and all facts for it; each test spoils one thing.
struct Case {
    change: KeyChange,
    user: Option<User>,
    user_keys: usize,
    device: Option<Computer>,
    proof: Proof,
    replayed: bool,
    exhausted: bool,
    allow_foreign: bool,
}

fn device_guid() -> Guid {
    Guid::from_le_bytes([9; 16])
}

fn user_sid() -> Sid {
    "S-1-5-21-1-2-3-1104".parse().unwrap()
}

/// Making a key takes long: each is made once for all tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    User,
    Device,
    Other,
    Short,
    Long,
}

fn rsa(key: Key) -> PKey<Private> {
    static KEYS: LazyLock<Mutex<HashMap<Key, PKey<Private>>>> = LazyLock::new(Mutex::default);
    let bits = match key {
        Key::User | Key::Device | Key::Other => 2048,
        Key::Short => 1024,
        Key::Long => 3072,
    };
    let make = || PKey::from_rsa(Rsa::generate(bits).unwrap()).unwrap();
    KEYS.lock().unwrap().entry(key).or_insert_with(make).clone()
}

fn certificate(key: &PKey<Private>, name: &str) -> Vec<u8> {
    let mut subject = X509NameBuilder::new().unwrap();
    subject.append_entry_by_nid(Nid::COMMONNAME, name).unwrap();
    let subject = subject.build();
    let mut builder = X509Builder::new().unwrap();
    builder.set_subject_name(&subject).unwrap();
    builder.set_issuer_name(&subject).unwrap();
    builder.set_pubkey(key).unwrap();
    builder
        .set_not_before(&Asn1Time::days_from_now(0).unwrap())
        .unwrap();
    builder
        .set_not_after(&Asn1Time::days_from_now(1).unwrap())
        .unwrap();
    builder.sign(key, MessageDigest::sha256()).unwrap();
    builder.build().to_der().unwrap()
}

fn material(key: &PKey<Private>) -> String {
    let rsa = key.rsa().unwrap();
    let public = RsaPublicKey::from_components(&rsa.n().to_vec(), &rsa.e().to_vec()).unwrap();
    STANDARD.encode(public.to_rsa1())
}

fn sign(key: &PKey<Private>, change: &KeyChange) -> String {
    let statement = statement(change, &key_of(change).unwrap()).unwrap();
    let mut signer = Signer::new(MessageDigest::sha256(), key).unwrap();
    STANDARD.encode(signer.sign_oneshot_to_vec(&statement.to_bytes()).unwrap())
}

impl Case {
    fn good() -> Self {
        let (user_key, device_key) = (rsa(Key::User), rsa(Key::Device));
        let mut change = KeyChange {
            seq: 7,
            op: ChangeOp::Add,
            user: ChangeUser {
                anchor: Guid::from_le_bytes([1; 16]),
                sid: user_sid(),
            },
            key: ChangeKey {
                kid: "k".to_owned(),
                material: material(&user_key),
                device: device_guid(),
                created: NOW,
            },
            evidence: Some(ChangeEvidence {
                time: NOW.plus(-5),
                sequence: 3,
                device_sig: String::new(),
                user_proof: Some(UserProof {
                    token: String::new(),
                    mic: String::new(),
                }),
            }),
        };
        change.evidence.as_mut().unwrap().device_sig = sign(&device_key, &change);
        Self {
            user: Some(alice()),
            user_keys: 0,
            device: Some(Computer {
                guid: device_guid(),
                sid: "S-1-5-21-1-2-3-1200".parse().unwrap(),
                dn: "CN=WS1,CN=Computers,DC=corp,DC=test".to_owned(),
                name: "WS1".to_owned(),
                account: "WS1$".to_owned(),
                enabled: true,
                certificates: vec![certificate(&device_key, &device_guid().to_string())],
                usn: 1,
            }),
            proof: Proof::By(vec![user_sid()]),
            replayed: false,
            exhausted: false,
            allow_foreign: false,
            change,
        }
    }

    fn check(&self) -> Result<(), Refusal> {
        let scope = Scope::new(
            vec![Dn::parse("OU=Staff,DC=corp,DC=test").unwrap()],
            Vec::new(),
        );
        let key = key_of(&self.change)?;
        let facts = Facts {
            user: self.user.as_ref(),
            user_keys: self.user_keys,
            signed: signed(&self.change, &key, self.device.as_ref()),
            proof: self.proof.clone(),
            replayed: self.replayed,
            exhausted: self.exhausted,
            now: NOW,
        };
        let rules = Rules {
            scope: &scope,
            allow_foreign: self.allow_foreign,
            per_user_keys: 5,
        };
        check(&self.change, &facts, &rules)
    }

    fn user(&mut self) -> &mut User {
        self.user.as_mut().unwrap()
    }

    fn device(&mut self) -> &mut Computer {
        self.device.as_mut().unwrap()
    }

    fn evidence(&mut self) -> &mut ChangeEvidence {
        self.change.evidence.as_mut().unwrap()
    }
}

#[track_caller]
fn refused(code: &str, spoil: impl FnOnce(&mut Case)) {
    let mut case = Case::good();
    assert_eq!(case.check(), Ok(()));
    spoil(&mut case);
    let refusal = case.check().unwrap_err();
    assert_eq!(refusal.code, code, "{}", refusal.detail);
    assert_eq!(refusal.needs_proof, is_for_now(&case, code));
}

/// What a fresh proof, or another hour, helps against.
fn is_for_now(case: &Case, code: &str) -> bool {
    code == "proof_expired" || (code == "limit_reached" && case.exhausted)
}

#[test]
fn a_user_who_is_not_in_the_directory_is_unknown() {
    refused("unknown_user", |case| case.user = None);
}

#[test]
fn a_user_whose_sid_is_not_that_of_the_change_is_unknown() {
    refused("unknown_user", |case| {
        case.user().sid = "S-1-5-21-1-2-3-1105".parse().unwrap()
    });
}

#[test]
fn a_user_outside_the_organizational_units_is_out_of_scope() {
    refused("out_of_scope", |case| {
        case.user().dn = "CN=Dave,OU=Others,DC=corp,DC=test".to_owned();
    });
}

#[test]
fn a_protected_account_gets_no_key() {
    for protection in [
        Protection::AdminCount,
        Protection::PrivilegedGroup,
        Protection::Computer,
        Protection::Trust,
        Protection::WellKnown,
    ] {
        refused("protected_account", |case| {
            case.user().protection = Some(protection)
        });
    }
    refused("protected_account", |case| case.user().enabled = false);
}

#[test]
fn an_account_whose_protection_is_hidden_gets_no_key() {
    refused("directory_refused", |case| {
        case.user().protection = Some(Protection::Unreadable)
    });
}

#[test]
fn material_of_any_other_form_is_refused() {
    refused("bad_material", |case| {
        case.change.key.material = "?".to_owned()
    });
    refused("bad_material", |case| {
        case.change.key.material = material(&rsa(Key::Short))
    });
    refused("bad_material", |case| {
        case.change.key.material = material(&rsa(Key::Long))
    });
    refused("bad_material", |case| {
        let mut blob = STANDARD.decode(&case.change.key.material).unwrap();
        blob.push(0);
        case.change.key.material = STANDARD.encode(blob);
    });
}

#[test]
fn a_device_that_the_server_minted_is_unknown_to_the_directory() {
    refused("unknown_device", |case| case.device = None);
    refused("unknown_device", |case| case.device().enabled = false);
}

#[test]
fn a_signature_by_a_key_that_the_directory_does_not_vouch_for_is_bad() {
    refused("bad_device_signature", |case| {
        let signature = sign(&rsa(Key::Other), &case.change);
        case.evidence().device_sig = signature;
    });
    refused("bad_device_signature", |case| {
        case.device().certificates.clear()
    });
    refused("bad_device_signature", |case| {
        case.evidence().device_sig = "?".to_owned()
    });
}

#[test]
fn a_certificate_that_names_another_device_does_not_count() {
    let key = rsa(Key::Other);
    refused("bad_device_signature", |case| {
        case.device().certificates = vec![certificate(&key, "WS1")];
        let signature = sign(&key, &case.change);
        case.evidence().device_sig = signature;
    });
}

#[test]
fn a_signature_over_anything_else_is_bad() {
    refused("bad_device_signature", |case| case.evidence().sequence += 1);
    refused("bad_device_signature", |case| case.evidence().time.0 += 1);
    refused("bad_device_signature", |case| {
        case.change.key.material = material(&rsa(Key::Other))
    });
    refused("bad_device_signature", |case| {
        let sid: Sid = "S-1-5-21-1-2-3-1105".parse().unwrap();
        case.change.user.sid = sid.clone();
        case.user().sid = sid.clone();
        case.proof = Proof::By(vec![sid]);
    });
}

#[test]
fn a_key_without_evidence_is_refused_unless_the_agents_own_file_allows_it() {
    refused("bad_device_signature", |case| case.change.evidence = None);
    let mut case = Case::good();
    case.change.evidence = None;
    case.allow_foreign = true;
    assert_eq!(case.check(), Ok(()));
    case.user().protection = Some(Protection::AdminCount);
    assert_eq!(case.check().unwrap_err().code, "protected_account");
}

#[test]
fn without_the_users_own_ticket_there_is_no_key() {
    refused("bad_user_proof", |case| case.proof = Proof::Absent);
    refused("bad_user_proof", |case| {
        case.proof = Proof::Bad("made for another".to_owned())
    });
    refused("bad_user_proof", |case| {
        case.proof = Proof::By(vec!["S-1-5-21-1-2-3-1105".parse().unwrap()]);
    });
    refused("bad_user_proof", |case| case.proof = Proof::By(Vec::new()));
}

#[test]
fn a_ticket_whose_name_two_accounts_could_claim_proves_nothing() {
    refused("bad_user_proof", |case| {
        case.proof = Proof::By(vec![user_sid(), "S-1-5-21-1-2-3-1105".parse().unwrap()]);
    });
}

#[test]
fn an_old_proof_or_statement_asks_for_a_fresh_one() {
    refused("proof_expired", |case| case.proof = Proof::Expired);
    let key = rsa(Key::Other);
    for offset in [-MAX_AGE_S - 1, MAX_AHEAD_S + 1] {
        refused("proof_expired", |case| {
            case.device().certificates = vec![certificate(&key, &device_guid().to_string())];
            case.evidence().time = NOW.plus(offset);
            let signature = sign(&key, &case.change);
            case.evidence().device_sig = signature;
        });
    }
}

#[test]
fn a_statement_that_is_used_up_is_replayed() {
    refused("replayed", |case| case.replayed = true);
}

#[test]
fn caps_hold() {
    refused("limit_reached", |case| case.user_keys = 5);
    refused("limit_reached", |case| case.exhausted = true);
}
