//! A user's key: what is accepted, and each reason for which one is not.

use attest::policy::{self, Digest, IndexBranches};
use attest::spec::{alg, nv, object};
use attest::{AttestationKey, Expected, Holder, Refusal, verify_key};
use keycred::RsaPublicKey;
use openssl::rsa::Rsa;

use crate::forge::{
    AK_ATTRIBUTES, INDEX_ATTRIBUTES, NONCE, Plan, RsaArea, ak_public, alice, certify, index_area,
    p256_area, p256_key, point,
};

#[test]
fn a_key_by_the_template_is_accepted_and_its_recovery_authority_named() {
    let registration = Plan::good().certified();
    let verdict = registration.judged().unwrap();
    let name = policy::name(&registration.recovery_public);
    assert_eq!(verdict.recovery_name, name);
}

#[test]
fn an_attestation_key_on_p256_attests_as_well() {
    let key = p256_key();
    let mut registration = Plan::good().certified();
    registration.judged_by_p256(&key).unwrap();
    // The RSA signature is still there, and is not what this key makes.
    assert_eq!(registration.judged(), Err(Refusal::OtherTpm));
}

#[test]
fn a_key_without_an_attestation_is_not_attested() {
    let ak = AttestationKey::read(&ak_public()).unwrap();
    let registration = Plan::good().certified();
    let expected = Expected {
        attestation_key: &ak,
        key: &registration.registered,
        holder: &alice(),
        qualifying_data: NONCE,
    };
    assert_eq!(verify_key(None, &expected), Err(Refusal::NotAttested));
}

#[test]
fn each_attribute_that_the_template_does_not_have_is_refused_by_its_meaning() {
    for (bits, refusal) in [
        (object::FIXED_TPM, Refusal::Imported),
        (object::FIXED_PARENT, Refusal::Imported),
        (object::SENSITIVE_DATA_ORIGIN, Refusal::Imported),
        (object::NO_DA, Refusal::NoDictionaryAttackProtection),
        (object::USER_WITH_AUTH, Refusal::OpensWithoutPolicy),
        (object::ADMIN_WITH_POLICY, Refusal::OpensWithoutPolicy),
        (object::SIGN, Refusal::OtherPurpose),
        (object::DECRYPT, Refusal::OtherPurpose),
        (object::RESTRICTED, Refusal::OtherPurpose),
    ] {
        let judged = Plan::toggled(bits).certified().judged();
        assert_eq!(judged, Err(refusal), "{bits:#x}");
    }
    for bit in 0..32 {
        let judged = Plan::toggled(1 << bit).certified().judged();
        assert!(judged.is_err(), "bit {bit}");
    }
}

#[test]
fn a_key_of_another_kind_is_refused() {
    type Change = fn(&mut RsaArea);
    let changes: [(&str, Change); 7] = [
        ("bits", |key| key.bits = 1024),
        ("exponent in full", |key| key.exponent = 65537),
        ("no scheme", |key| key.scheme = vec![alg::NULL]),
        ("SHA-1", |key| key.scheme = vec![alg::RSASSA, alg::SHA1]),
        ("OAEP", |key| key.scheme = vec![alg::OAEP, alg::SHA256]),
        ("a zero before the modulus", |key| key.modulus.insert(0, 0)),
        ("a parent", |key| {
            key.symmetric = vec![alg::AES, 128, alg::CFB]
        }),
    ];
    for (what, change) in changes {
        let mut plan = Plan::good();
        change(&mut plan.key);
        let judged = plan.certified().judged();
        assert_eq!(judged, Err(Refusal::OtherKind), "{what}");
    }

    let mut plan = Plan::good();
    plan.key.exponent = 3;
    let mut weak = plan.certified();
    weak.registered = RsaPublicKey::from_components(weak.registered.modulus(), &[3]).unwrap();
    assert_eq!(weak.judged(), Err(Refusal::OtherKind));
}

#[test]
fn an_attestation_is_for_the_key_that_is_registered() {
    let mut other = Plan::good().certified();
    let key = Rsa::generate(2048).unwrap();
    other.registered = RsaPublicKey::from_components(&key.n().to_vec(), &[1, 0, 1]).unwrap();
    assert_eq!(other.judged(), Err(Refusal::WrongKey));

    let mut no_rsa = Plan::good().certified();
    no_rsa.public = p256_area(object::SIGN, &[alg::ECDSA, alg::SHA256], &p256_key());
    assert_eq!(no_rsa.judged(), Err(Refusal::WrongKey));
}

#[test]
fn a_statement_that_another_key_signed_is_of_another_tpm() {
    let mut registration = Plan::good().certified();
    registration.sign(&Rsa::generate(2048).unwrap());
    assert_eq!(registration.judged(), Err(Refusal::OtherTpm));
    registration.sign_anew();
    registration.judged().unwrap();
    registration.ak_public = p256_area(AK_ATTRIBUTES, &[alg::ECDSA, alg::SHA256], &p256_key());
    assert_eq!(registration.judged(), Err(Refusal::OtherTpm));
}

#[test]
fn a_statement_made_for_another_request_is_stale() {
    for extra_data in [
        &b""[..],
        b"for another registration",
        &[NONCE, b"!"].concat(),
    ] {
        let mut plan = Plan::good();
        plan.extra_data = extra_data.to_vec();
        assert_eq!(plan.certified().judged(), Err(Refusal::Stale));
    }
}

#[test]
fn a_statement_on_another_object_says_nothing_of_this_one() {
    let mut registration = Plan::good().certified();
    registration.certify = certify(0x8017, NONCE, &policy::name(b"another object"));
    registration.sign_anew();
    assert_eq!(registration.judged(), Err(Refusal::OtherObject));
}

#[test]
fn a_statement_of_another_type_or_not_of_a_tpm_is_malformed() {
    let good = Plan::good().certified();
    // Creation, quote, NV.
    for kind in [0x801A, 0x8018, 0x8014] {
        let mut other = good.clone();
        other.certify = certify(kind, NONCE, &policy::name(&good.public));
        other.sign_anew();
        let refusal = other.judged().unwrap_err();
        assert!(refusal.to_string().contains("type"), "{refusal}");
    }
    let mut other = good;
    other.certify[0] = 0xFE;
    other.sign_anew();
    let refusal = other.judged().unwrap_err();
    assert!(refusal.to_string().contains("magic"), "{refusal}");
}

#[test]
fn an_index_whose_count_can_be_set_back_is_no_pin_index() {
    let recovery = Plan::good().recovery_public;
    let judged = |attributes: u32, size: u16| {
        let index = |policy: &[u8]| index_area(0x0180_4c00, attributes, policy, size);
        Plan::beside(index, recovery.clone()).certified().judged()
    };
    judged(INDEX_ATTRIBUTES, 8).unwrap();
    // PPWRITE, OWNERWRITE, AUTHWRITE, POLICY_DELETE, CLEAR_STCLEAR, ORDERLY, PLATFORMCREATE.
    for bit in [0, 1, 2, 10, 26, 27, 30] {
        let attributes = INDEX_ATTRIBUTES | 1 << bit;
        assert_eq!(judged(attributes, 8), Err(Refusal::NotAPinIndex), "{bit}");
    }
    for bit in 0..32 {
        let attributes = INDEX_ATTRIBUTES ^ 1 << bit;
        assert_eq!(judged(attributes, 8), Err(Refusal::NotAPinIndex), "{bit}");
    }
    // PIN_PASS counts right ones.
    let pin_pass = INDEX_ATTRIBUTES ^ nv::TYPE_PIN_FAIL | 9 << 4;
    assert_eq!(judged(pin_pass, 8), Err(Refusal::NotAPinIndex));
    assert_eq!(judged(INDEX_ATTRIBUTES, 16), Err(Refusal::NotAPinIndex));
}

#[test]
fn an_index_with_another_policy_is_refused() {
    let own = Digest::EMPTY.auth_value();
    let index = |_: &[u8]| index_area(0x0180_4c00, INDEX_ATTRIBUTES, &own.0, 8);
    let judged = Plan::beside(index, Plan::good().recovery_public)
        .certified()
        .judged();
    assert_eq!(judged, Err(Refusal::OtherIndexPolicy));
}

#[test]
fn what_is_no_index_at_all_is_malformed() {
    // A handle of another kind, with which the same bytes could name an object.
    let index = |policy: &[u8]| index_area(0x0008_000B, INDEX_ATTRIBUTES, policy, 8);
    let judged = Plan::beside(index, Plan::good().recovery_public)
        .certified()
        .judged();
    let refusal = judged.unwrap_err();
    assert!(refusal.to_string().contains("nvIndex"), "{refusal}");
}

#[test]
fn a_recovery_authority_by_another_template_is_refused() {
    let (x, y) = point(&p256_key());
    let mut off_the_curve = y;
    off_the_curve[31] ^= 1;
    let plain = object::SIGN | object::USER_WITH_AUTH;
    for (what, recovery) in [
        ("RSA", RsaArea::new(plain, &[], &[0xC1; 256]).bytes()),
        (
            "a scheme",
            p256_area(plain, &[alg::ECDSA, alg::SHA256], &p256_key()),
        ),
        (
            "attributes",
            p256_area(plain | object::DECRYPT, &[alg::NULL], &p256_key()),
        ),
        ("no point", policy::recovery_public(&x, &off_the_curve)),
    ] {
        let index = |policy: &[u8]| index_area(0x0180_4c00, INDEX_ATTRIBUTES, policy, 8);
        let judged = Plan::beside(index, recovery).certified().judged();
        assert_eq!(judged, Err(Refusal::RecoveryKey), "{what}");
    }
}

#[test]
fn a_key_that_names_another_holder_is_refused() {
    let registration = Plan::good().certified();
    let here = alice();
    let user = "S-1-5-21-1-2-3-1105".parse().unwrap();
    let device = model::Guid::from_le_bytes([2; 16]);
    for holder in [Holder { user, ..alice() }, Holder { device, ..alice() }] {
        let expected = Expected {
            attestation_key: &AttestationKey::read(&ak_public()).unwrap(),
            key: &registration.registered,
            holder: &holder,
            qualifying_data: NONCE,
        };
        let judged = verify_key(Some(&registration.claim()), &expected);
        assert_eq!(judged, Err(Refusal::OtherIndexPolicy));
        assert_ne!(holder.policy_ref(), here.policy_ref());
    }
}

#[test]
fn branches_that_are_left_out_added_or_put_in_another_order_are_refused() {
    let good = Plan::good().branches;
    let extra = Digest::EMPTY.auth_value();
    for list in [
        good[..3].to_vec(),
        [&good[..], &[extra]].concat(),
        good.iter().rev().copied().collect(),
        vec![],
    ] {
        // The key's policy is true to the list, so that only the list can give it away.
        let mut plan = Plan::good();
        plan.key.policy = Digest::or(&list).0.to_vec();
        plan.branches = list;
        assert_eq!(plan.certified().judged(), Err(Refusal::OtherBranches));
    }
}

#[test]
fn a_key_that_opens_by_another_policy_is_refused() {
    let good = Plan::good();
    let index = IndexBranches::new(&policy::name(&good.recovery_public), &alice()).policy();
    let or_nothing = Digest::or(&[&good.branches[..], &[Digest::EMPTY]].concat());
    for policy in [
        &b""[..],
        &Digest::EMPTY.0,
        &index.0,
        &or_nothing.0,
        &[7; 48],
    ] {
        let mut plan = Plan::good();
        plan.key.policy = policy.to_vec();
        assert_eq!(plan.certified().judged(), Err(Refusal::OtherPolicy));
    }
}

#[test]
fn a_key_that_could_sign_what_no_tpm_said_is_no_attestation_key() {
    let modulus = vec![0xC1; 256];
    let area = |attributes: u32| RsaArea::new(attributes, &[], &modulus);
    assert!(AttestationKey::read(&area(AK_ATTRIBUTES).bytes()).is_ok());
    let refused = |public: &RsaArea| AttestationKey::read(&public.bytes()).err();
    for bit in [
        object::RESTRICTED,
        object::FIXED_TPM,
        object::FIXED_PARENT,
        object::SENSITIVE_DATA_ORIGIN,
        object::SIGN,
        object::DECRYPT,
    ] {
        let public = area(AK_ATTRIBUTES ^ bit);
        assert_eq!(refused(&public), Some(Refusal::AttestationKey), "{bit:#x}");
    }
    for scheme in [
        vec![alg::NULL],
        vec![alg::RSASSA, alg::SHA1],
        vec![alg::ECDSA, alg::SHA256],
    ] {
        let mut public = area(AK_ATTRIBUTES);
        public.scheme = scheme;
        assert_eq!(refused(&public), Some(Refusal::AttestationKey));
    }
    let mut short = area(AK_ATTRIBUTES);
    short.modulus.truncate(128);
    assert_eq!(refused(&short), Some(Refusal::AttestationKey));
}
