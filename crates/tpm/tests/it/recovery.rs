//! What K signs, and what one signature of it is good for: tpm2-tools are the device here, and the
//! test holds K.

use attest::spec::cc;
use attest::{Authorization, command_hash};
use openssl::ec::EcKey;
use openssl::ecdsa::EcdsaSig;
use openssl::pkey::{PKey, Private};
use tpm::{Error, Recovery, UserKey, policy};

use crate::pin::signs;
use crate::root::{INDEX, PIN, branches, hex, load, recovery_key, start_policy, value};
use crate::swtpm::{ALICE, BOB, Swtpm, auth_value, pin};

const NEW_PIN: &str = "975310";

/// The way of the tools to say what PolicySigned is to get.
const SIGNED: &str = "tpm2_policysigned -S session.ctx -g sha256 -x -c recovery.ctx";

/// A TPM with a user's key that the holder of K can recover.
struct Recoverable {
    swtpm: Swtpm,
    recovery: EcKey<Private>,
    key: UserKey,
}

impl Recoverable {
    fn new() -> Self {
        let (recovery, _) = recovery_key();
        let swtpm = Swtpm::start();
        let key = user_key(&swtpm, &recovery, ALICE);
        swtpm.write_sized("recovery.pub", key.recovery_public());
        load(&swtpm, &key);
        Self {
            swtpm,
            recovery,
            key,
        }
    }

    /// Starts a session, and gives what the tools would have K sign with these arguments.
    fn to_sign(&self, arguments: &str) -> Vec<u8> {
        start_policy(&self.swtpm);
        self.swtpm
            .succeeds("tpm2_loadexternal -C n -u recovery.pub -c recovery.ctx");
        self.swtpm
            .succeeds(&format!("{SIGNED} {arguments} --raw-data to-sign"));
        self.swtpm.succeeds("tpm2_flushcontext -t");
        self.swtpm.read("to-sign")
    }

    /// Starts a session whose nonce K has signed, for one command or for any.
    fn authorized(&self, command: Option<[u8; 32]>) {
        let nonce = self.to_sign("-t 0")[..32].to_vec();
        let authorization = Authorization {
            nonce_tpm: &nonce,
            expiration: 0,
            command_hash: command,
            policy_ref: &[],
        };
        let signature = EcdsaSig::sign(&authorization.digest(), &self.recovery).unwrap();
        self.swtpm.write("signature", &signature.to_der().unwrap());
        let mut line = format!("{SIGNED} -t 0 -f ecdsa -s signature");
        if let Some(command) = command {
            self.swtpm.write_sized("command", &command);
            line += " --cphash-input command";
        }
        self.swtpm.succeeds(&line);
        self.swtpm.succeeds("tpm2_flushcontext -t");
    }

    fn close(&self, command: &str, list: &[policy::Digest]) {
        self.swtpm.succeeds(&format!(
            "tpm2_policycommandcode -S session.ctx TPM2_CC_{command}"
        ));
        let list = branches(&self.swtpm, command, list);
        self.swtpm
            .succeeds(&format!("tpm2_policyor -S session.ctx {list}"));
    }
}

fn user_key(swtpm: &Swtpm, recovery: &EcKey<Private>, scope: &str) -> UserKey {
    let public = EcKey::from_public_key(recovery.group(), recovery.public_key()).unwrap();
    let mut sign = |digest: &[u8; 32]| Ok(EcdsaSig::sign(digest, recovery)?.to_der()?);
    let server = Recovery::Server {
        public: PKey::from_ec_key(public).unwrap(),
        sign: &mut sign,
    };
    let mut tpm = swtpm.open();
    tpm.create_user_key(scope, &pin(PIN), server).unwrap()
}

/// A part of a stored key.
fn stored(key: &UserKey, part: &str) -> Vec<u8> {
    let stored = serde_json::to_value(key).unwrap();
    openssl::base64::decode_block(stored[part].as_str().unwrap()).unwrap()
}

const CHANGE: &str = "tpm2_changeauth -C storage.ctx -r new.priv -p session:session.ctx";

#[test]
fn the_bytes_that_k_signs_are_those_that_the_tools_would_have_signed() {
    let device = Recoverable::new();
    let command = [0xC0; 32];
    device.swtpm.write_sized("command", &command);
    for (arguments, expiration, command_hash, policy_ref) in [
        ("-t 0", 0, None, &b""[..]),
        ("-t 300", 300, None, b""),
        ("-t 0 --cphash-input command", 0, Some(command), b""),
        ("-t 60 -q abcd", 60, None, &[0xAB, 0xCD]),
        (
            "-t 60 --cphash-input command -q abcd",
            60,
            Some(command),
            &[0xAB, 0xCD],
        ),
    ] {
        let raw = device.to_sign(arguments);
        let ours = Authorization {
            nonce_tpm: &raw[..32],
            expiration,
            command_hash,
            policy_ref,
        };
        assert_eq!(hex(&ours.to_bytes()), hex(&raw), "{arguments}");
        assert_eq!(ours.digest(), model::sha256(&raw));
    }
}

#[test]
fn a_forgotten_pin_is_replaced_with_two_signatures_of_k_and_the_key_stays() {
    let device = Recoverable::new();
    device.authorized(None);
    device.close("ObjectChangeAuth", &device.key.branches().list());
    let new = format!("hex:{}", hex(&auth_value(ALICE, NEW_PIN)));
    device.swtpm.succeeds(&format!("{CHANGE} -c key.ctx {new}"));
    device.authorized(None);
    let recovery_name = policy::name(device.key.recovery_public());
    let index = policy::IndexBranches::new(&recovery_name);
    device.close("NV_ChangeAuth", &index.list());
    device.swtpm.succeeds(&format!(
        "tpm2_changeauth -c {INDEX} -p session:session.ctx {new}"
    ));

    let mut key = serde_json::to_value(&device.key).unwrap();
    let private = &device.swtpm.read("new.priv")[2..];
    key["private"] = openssl::base64::encode_block(private).into();
    let recovered: UserKey = serde_json::from_value(key).unwrap();
    assert_eq!(recovered.public(), device.key.public());
    let mut tpm = device.swtpm.open();
    assert!(signs(&mut tpm, &recovered, NEW_PIN).unwrap());
    for old in [&recovered, &device.key] {
        let refused = signs(&mut tpm, old, PIN).unwrap_err();
        assert!(matches!(refused, Error::WrongPin { .. }), "{refused}");
    }
}

#[test]
fn a_signature_for_one_command_on_one_key_does_nothing_to_another() {
    let device = Recoverable::new();
    let swtpm = &device.swtpm;
    let new = auth_value(ALICE, NEW_PIN);
    let names = [
        &policy::name(device.key.public())[..],
        &stored(&device.key, "parent"),
    ];
    let parameter = [&[0, 32][..], &new].concat();
    let command = command_hash(cc::OBJECT_CHANGE_AUTH, &names, &parameter);
    let new = format!("hex:{}", hex(&new));

    // Without the command, K's word for one user's session opens another user's key.
    let bob = user_key(swtpm, &device.recovery, BOB);
    swtpm.write_sized("bob.pub", bob.public());
    swtpm.write_sized("bob.priv", &stored(&bob, "private"));
    swtpm.succeeds("tpm2_load -C storage.ctx -u bob.pub -r bob.priv -c bob.ctx");
    swtpm.succeeds("tpm2_flushcontext -t");
    device.authorized(None);
    device.close("ObjectChangeAuth", &bob.branches().list());
    swtpm.succeeds(&format!("{CHANGE} -c bob.ctx {new}"));

    // With it, only that value goes to that key.
    device.authorized(Some(command));
    device.close("ObjectChangeAuth", &bob.branches().list());
    swtpm.refuses(&format!("{CHANGE} -c bob.ctx {new}"), "0x99d");
    device.authorized(Some(command));
    device.close("ObjectChangeAuth", &device.key.branches().list());
    swtpm.refuses(&format!("{CHANGE} -c key.ctx {}", value("1")), "0x99d");
    device.authorized(Some(command));
    device.close("ObjectChangeAuth", &device.key.branches().list());
    swtpm.succeeds(&format!("{CHANGE} -c key.ctx {new}"));
}
