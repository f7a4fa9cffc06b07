//! What a server says to a real TPM's word: the good key, and every bad one that tpm2-tools can make.

use attest::spec::nv;
use attest::{AttestationKey, Claim, Expected, Refusal, Signature, Verdict, verify_key};
use keycred::RsaPublicKey;
use tpm::{Attestation, KeyBlob, Recovery, Role, UserKey, policy};

use crate::pin::key_for;
use crate::root::{
    INDEX, PIN, branches, hex, load, recovery_key, signer, start_policy, storage, value,
};
use crate::swtpm::{ALICE, BOB, Swtpm, holder, pin};
use model::Secret;

/// What tpm2-tools have certified along with a key: theirs to choose.
const TOOLS_NONCE: &[u8] = &[0x00, 0xFF, 0x55, 0xAA];

const USER_KEY: &str = "fixedtpm|fixedparent|sensitivedataorigin|adminwithpolicy|sign";

fn auth() -> Secret<[u8; 32]> {
    Secret::new([7; 32])
}

/// The key in a public area, as its registration has it.
fn registered(public: &[u8]) -> Option<RsaPublicKey> {
    let attest::Key::Rsa { modulus, .. } = attest::Public::read(public).ok()?.key else {
        return None;
    };
    RsaPublicKey::from_components(modulus, &[1, 0, 1]).ok()
}

/// Judges a proof as the registration of the key in it.
fn judge(
    proof: &Attestation,
    signature: Signature<'_>,
    attestation_key: &[u8],
    nonce: &[u8],
) -> Result<Verdict, Refusal> {
    let claim = Claim {
        public: &proof.public,
        nv_public: &proof.nv_public,
        recovery_public: &proof.recovery_public,
        branches: &proof.branches,
        certify: &proof.certify,
        signature,
    };
    let expected = Expected {
        attestation_key: &AttestationKey::read(attestation_key).unwrap(),
        key: &registered(&proof.public).unwrap(),
        holder: &holder(ALICE),
        qualifying_data: nonce,
    };
    verify_key(Some(&claim), &expected)
}

/// A TPM with a user's key, an attestation key, and what the second says of the first.
struct Device {
    swtpm: Swtpm,
    key: UserKey,
    attestation_key: KeyBlob,
    proof: Attestation,
}

impl Device {
    fn new() -> Self {
        let swtpm = Swtpm::start();
        let mut tpm = swtpm.open();
        let key = key_for(&mut tpm, ALICE, PIN);
        let attestation_key = tpm.create_device_key(Role::Attestation, &auth()).unwrap();
        let proof = tpm
            .certify(&key, &pin(PIN), &attestation_key, &auth(), b"nonce")
            .unwrap();
        Self {
            swtpm,
            key,
            attestation_key,
            proof,
        }
    }

    fn judge(&self, proof: &Attestation, nonce: &[u8]) -> Result<Verdict, Refusal> {
        let signature = Signature::Rsassa(&proof.signature);
        judge(proof, signature, &self.attestation_key.public, nonce)
    }

    /// Loads the attestation key with the tools, which need the daemon's file for its value.
    fn load_attestation_key(&self) {
        self.swtpm
            .write_sized("ak.pub", &self.attestation_key.public);
        self.swtpm
            .write_sized("ak.priv", &self.attestation_key.private);
        self.swtpm
            .succeeds("tpm2_load -C storage.ctx -u ak.pub -r ak.priv -c ak.ctx");
        self.swtpm.succeeds("tpm2_flushcontext -t");
    }

    /// Has the tools load a key that they made, and certify it.
    fn certified(&self, key_auth: &str) -> Attestation {
        self.load_attestation_key();
        let swtpm = &self.swtpm;
        swtpm.succeeds("tpm2_load -C storage.ctx -u evil.pub -r evil.priv -c key.ctx");
        swtpm.succeeds("tpm2_flushcontext -t");
        swtpm.succeeds(&format!(
            "tpm2_certify -c key.ctx -C ak.ctx -P {key_auth} -p hex:{} -g sha256 -o attest \
             -s signature",
            hex(auth().expose())
        ));
        let signature = swtpm.read("signature");
        let Ok(Signature::Rsassa(signature)) = Signature::read(&signature) else {
            panic!("not RSASSA: {signature:?}");
        };
        Attestation {
            public: swtpm.read("evil.pub")[2..].to_vec(),
            certify: swtpm.read("attest"),
            signature: signature.to_vec(),
            ..self.proof.clone()
        }
    }

    /// Has the tools make a key with these attributes, this policy and the user's PIN.
    fn make(&self, attributes: &str, policy: &[u8]) {
        storage(&self.swtpm);
        self.swtpm.write("key.policy", policy);
        self.swtpm.succeeds(&format!(
            "tpm2_create -C storage.ctx -G rsa2048:rsassa-sha256:null -u evil.pub -r evil.priv \
             -L key.policy -a {attributes} -p {}",
            value(PIN)
        ));
        self.swtpm.succeeds("tpm2_flushcontext -t");
    }

    /// Opens the certify branch of the real policy in `session.ctx`, as whoever has the PIN can.
    fn open_certify_branch(&self, list: &[policy::Digest]) -> String {
        let swtpm = &self.swtpm;
        start_policy(swtpm);
        swtpm.succeeds(&format!(
            "tpm2_policysecret -S session.ctx -c {INDEX} {}",
            value(PIN)
        ));
        swtpm.succeeds("tpm2_policyauthvalue -S session.ctx");
        swtpm.succeeds("tpm2_policycommandcode -S session.ctx TPM2_CC_Certify");
        let list = branches(swtpm, "key", list);
        swtpm.succeeds(&format!("tpm2_policyor -S session.ctx {list}"));
        format!("session:session.ctx+{}", value(PIN))
    }
}

#[test]
fn the_key_that_this_crate_makes_is_the_one_that_a_server_accepts() {
    let device = Device::new();
    let verdict = device.judge(&device.proof, b"nonce").unwrap();
    assert_eq!(
        verdict.recovery_name,
        policy::name(device.key.recovery_public())
    );
    assert_eq!(device.judge(&device.proof, b"other"), Err(Refusal::Stale));
}

#[test]
fn the_servers_recovery_key_is_known_by_its_name() {
    let swtpm = Swtpm::start();
    let mut tpm = swtpm.open();
    let (recovery, public) = recovery_key();
    let mut sign = signer(&recovery, ALICE);
    let server = Recovery::Server {
        public,
        sign: &mut sign,
    };
    let key = tpm
        .create_user_key(&holder(ALICE), &pin(PIN), server)
        .unwrap();
    let ak = tpm.create_device_key(Role::Attestation, &auth()).unwrap();
    let proof = tpm
        .certify(&key, &pin(PIN), &ak, &auth(), b"nonce")
        .unwrap();
    let signature = Signature::Rsassa(&proof.signature);
    let verdict = judge(&proof, signature, &ak.public, b"nonce").unwrap();

    let (x, y) = attest::coordinates(recovery.group(), recovery.public_key()).unwrap();
    let ours = policy::recovery_public(&x.try_into().unwrap(), &y.try_into().unwrap());
    assert_eq!(verdict.recovery_name, policy::name(&ours));
}

#[test]
fn a_key_of_another_tpm_is_refused_with_either_attestation_key() {
    let (one, other) = (Device::new(), Device::new());
    assert_eq!(one.judge(&other.proof, b"nonce"), Err(Refusal::OtherTpm));
    // The statement of this TPM with the key of the other.
    let mixed = Attestation {
        certify: one.proof.certify.clone(),
        signature: one.proof.signature.clone(),
        ..other.proof.clone()
    };
    assert_eq!(one.judge(&mixed, b"nonce"), Err(Refusal::OtherObject));
}

#[test]
fn a_statement_on_one_users_key_does_not_register_anothers() {
    let device = Device::new();
    let bob = key_for(&mut device.swtpm.open(), BOB, "246802");
    let proof = &device.proof;
    let claim = Claim {
        public: &proof.public,
        nv_public: &proof.nv_public,
        recovery_public: &proof.recovery_public,
        branches: &proof.branches,
        certify: &proof.certify,
        signature: Signature::Rsassa(&proof.signature),
    };
    let expected = Expected {
        attestation_key: &AttestationKey::read(&device.attestation_key.public).unwrap(),
        key: &registered(bob.public()).unwrap(),
        holder: &holder(BOB),
        qualifying_data: b"nonce",
    };
    let judged = verify_key(Some(&claim), &expected);
    assert_eq!(judged, Err(Refusal::WrongKey));
    assert_eq!(verify_key(None, &expected), Err(Refusal::NotAttested));

    // Nor does the other's counter go with this one's key: it names the other.
    let mixed = Attestation {
        nv_public: bob.nv_public().to_vec(),
        recovery_public: bob.recovery_public().to_vec(),
        ..proof.clone()
    };
    let judged = device.judge(&mixed, b"nonce");
    assert_eq!(judged, Err(Refusal::OtherIndexPolicy));
    let second = key_for(&mut device.swtpm.open(), ALICE, "246802");
    let mixed = Attestation {
        nv_public: second.nv_public().to_vec(),
        recovery_public: second.recovery_public().to_vec(),
        ..proof.clone()
    };
    assert_eq!(device.judge(&mixed, b"nonce"), Err(Refusal::OtherBranches));
}

#[test]
fn what_the_tools_make_by_the_template_is_accepted_too() {
    // So the refusals below are of what differs, and not of a tool used wrongly.
    let device = Device::new();
    let list = device.key.branches().list();
    device.make(USER_KEY, &device.key.branches().policy().0);
    let session = device.open_certify_branch(&list);
    let proof = device.certified(&session);
    device.judge(&proof, TOOLS_NONCE).unwrap();
}

#[test]
fn a_key_outside_the_dictionary_attack_protection_is_refused() {
    let device = Device::new();
    let list = device.key.branches().list();
    let attributes = format!("{USER_KEY}|noda");
    device.make(&attributes, &device.key.branches().policy().0);
    let session = device.open_certify_branch(&list);
    let judged = device.judge(&device.certified(&session), TOOLS_NONCE);
    assert_eq!(judged, Err(Refusal::NoDictionaryAttackProtection));
}

#[test]
fn a_key_that_opens_by_a_password_as_well_is_refused() {
    let device = Device::new();
    let list = device.key.branches().list();
    let attributes = format!("{USER_KEY}|userwithauth");
    device.make(&attributes, &device.key.branches().policy().0);
    let session = device.open_certify_branch(&list);
    let judged = device.judge(&device.certified(&session), TOOLS_NONCE);
    assert_eq!(judged, Err(Refusal::OpensWithoutPolicy));
}

#[test]
fn a_key_that_may_be_duplicated_is_refused() {
    let device = Device::new();
    let list = device.key.branches().list();
    let attributes = "sensitivedataorigin|adminwithpolicy|sign";
    device.make(attributes, &device.key.branches().policy().0);
    let session = device.open_certify_branch(&list);
    let judged = device.judge(&device.certified(&session), TOOLS_NONCE);
    assert_eq!(judged, Err(Refusal::Imported));
}

#[test]
fn a_key_that_was_made_in_software_and_imported_is_refused() {
    let device = Device::new();
    let list = device.key.branches().list();
    let software = openssl::rsa::Rsa::generate(2048).unwrap();
    let swtpm = &device.swtpm;
    swtpm.write("software.pem", &software.private_key_to_pem().unwrap());
    swtpm.write("key.policy", &device.key.branches().policy().0);
    storage(swtpm);
    swtpm.succeeds(&format!(
        "tpm2_import -C storage.ctx -G rsa2048:rsassa-sha256:null -i software.pem -u evil.pub \
         -r evil.priv -L key.policy -a adminwithpolicy|sign -p {}",
        value(PIN)
    ));
    swtpm.succeeds("tpm2_flushcontext -t");
    let session = device.open_certify_branch(&list);
    let judged = device.judge(&device.certified(&session), TOOLS_NONCE);
    assert_eq!(judged, Err(Refusal::Imported));
}

#[test]
fn a_key_with_one_branch_more_is_refused() {
    // A branch by which anybody signs, hidden behind the real ones.
    let device = Device::new();
    let mut list = device.key.branches().list().to_vec();
    list.push(policy::Digest::EMPTY.auth_value());
    device.make(USER_KEY, &policy::Digest::or(&list).0);
    let session = device.open_certify_branch(&list);
    let mut proof = device.certified(&session);
    let judged = device.judge(&proof, TOOLS_NONCE);
    assert_eq!(judged, Err(Refusal::OtherPolicy));
    proof.branches = list.iter().flat_map(|branch| branch.0).collect();
    let judged = device.judge(&proof, TOOLS_NONCE);
    assert_eq!(judged, Err(Refusal::OtherBranches));
}

#[test]
fn a_key_beside_an_index_that_its_owner_can_write_is_refused() {
    let device = Device::new();
    let swtpm = &device.swtpm;
    let recovery_name = policy::name(device.key.recovery_public());
    let index_policy = policy::IndexBranches::new(&recovery_name, &holder(ALICE)).policy();
    swtpm.write("index.policy", &index_policy.0);
    swtpm.succeeds(&format!("tpm2_nvundefine {INDEX} -C o"));
    swtpm.succeeds(&format!(
        "tpm2_nvdefine {INDEX} -C o -s 8 -g sha256 -L index.policy -p {} \
         -a nt=pinfail|policywrite|ownerwrite|ownerread|authread|no_da",
        value(PIN)
    ));
    swtpm.write("limit", &[0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF]);
    swtpm.succeeds(&format!("tpm2_nvwrite {INDEX} -C o -i limit"));

    // The same public area but for OWNERWRITE, and a key whose policy is true to it.
    const OWNER_WRITE: u32 = 1 << 1;
    let mut nv_public = device.key.nv_public().to_vec();
    let attributes = attest::NvPublic::read(&nv_public).unwrap().attributes | OWNER_WRITE;
    assert_eq!(attributes & nv::WRITTEN, nv::WRITTEN);
    nv_public[6..10].copy_from_slice(&attributes.to_be_bytes());
    let own = policy::KeyBranches::new(&policy::name(&nv_public), &recovery_name, &holder(ALICE));
    device.make(USER_KEY, &own.policy().0);
    let session = device.open_certify_branch(&own.list());
    let proof = Attestation {
        nv_public,
        branches: own.list().iter().flat_map(|branch| branch.0).collect(),
        ..device.certified(&session)
    };
    let judged = device.judge(&proof, TOOLS_NONCE);
    assert_eq!(judged, Err(Refusal::NotAPinIndex));
}

#[test]
fn an_attestation_key_on_p256_is_understood() {
    let device = Device::new();
    let list = device.key.branches().list();
    let swtpm = &device.swtpm;
    load(swtpm, &device.key);
    swtpm.succeeds(
        "tpm2_create -C storage.ctx -G ecc256:ecdsa-sha256:null -u ak.pub -r ak.priv \
         -a fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|sign",
    );
    swtpm.succeeds("tpm2_flushcontext -t");
    swtpm.succeeds("tpm2_load -C storage.ctx -u ak.pub -r ak.priv -c ak.ctx");
    swtpm.succeeds("tpm2_flushcontext -t");
    let session = device.open_certify_branch(&list);
    swtpm.succeeds(&format!(
        "tpm2_certify -c key.ctx -C ak.ctx -P {session} -g sha256 -o attest -s signature"
    ));
    let mut proof = Attestation {
        certify: swtpm.read("attest"),
        ..device.proof.clone()
    };
    let (ak, signature) = (swtpm.read("ak.pub")[2..].to_vec(), swtpm.read("signature"));
    let signature = Signature::read(&signature).unwrap();
    assert!(matches!(signature, Signature::Ecdsa { .. }));
    judge(&proof, signature, &ak, TOOLS_NONCE).unwrap();
    proof.certify[40] ^= 1;
    let judged = judge(&proof, signature, &ak, TOOLS_NONCE);
    assert_eq!(judged, Err(Refusal::OtherTpm));
}

#[test]
fn no_byte_of_a_real_registration_can_be_another() {
    let device = Device::new();
    let parts: [fn(&mut Attestation) -> &mut Vec<u8>; 6] = [
        |proof| &mut proof.public,
        |proof| &mut proof.nv_public,
        |proof| &mut proof.recovery_public,
        |proof| &mut proof.branches,
        |proof| &mut proof.certify,
        |proof| &mut proof.signature,
    ];
    for (number, part) in parts.into_iter().enumerate() {
        let mut proof = device.proof.clone();
        for at in 0..part(&mut proof).len() {
            for change in [0x01, 0x80, 0xFF] {
                let mut proof = proof.clone();
                part(&mut proof)[at] ^= change;
                // Where the key is another one, so is what is registered: that must not help.
                if registered(&proof.public).is_some() {
                    let judged = device.judge(&proof, b"nonce");
                    assert!(judged.is_err(), "part {number}, byte {at}");
                }
            }
        }
    }
}
