//! What K signs, and what one signature of it is good for: tpm2-tools are the device here, and the
//! test holds K.

use attest::Authorization;
use openssl::ec::EcKey;
use openssl::ecdsa::EcdsaSig;
use openssl::pkey::{PKey, Private};
use tpm::{Act, Error, Permit, Recovery, Tpm, UserKey, policy};

use crate::pin::{key_for, signs};
use crate::root::{INDEX, PIN, branches, hex, load, recovery_key, signer, start_policy, value};
use crate::swtpm::{ALICE, BOB, Swtpm, auth_value, holder, pin};

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

    /// Starts a session whose nonce K has signed for alice, for one command or for any.
    fn authorized(&self, command: Option<[u8; 32]>) {
        let nonce = self.to_sign("-t 0")[..32].to_vec();
        let policy_ref = holder(ALICE).policy_ref();
        let authorization = Authorization {
            nonce_tpm: &nonce,
            expiration: 0,
            command_hash: command,
            policy_ref: &policy_ref,
        };
        let signature = EcdsaSig::sign(&authorization.digest(), &self.recovery).unwrap();
        self.swtpm.write("signature", &signature.to_der().unwrap());
        let mut line = format!(
            "{SIGNED} -t 0 -f ecdsa -s signature -q {}",
            hex(&policy_ref)
        );
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
    user_key_in(&mut swtpm.open(), recovery, scope)
}

fn user_key_in(tpm: &mut Tpm, recovery: &EcKey<Private>, scope: &str) -> UserKey {
    let public = EcKey::from_public_key(recovery.group(), recovery.public_key()).unwrap();
    let mut sign = signer(recovery, scope);
    let server = Recovery::Server {
        public: PKey::from_ec_key(public).unwrap(),
        sign: &mut sign,
    };
    tpm.create_user_key(&holder(scope), &pin(PIN), server)
        .unwrap()
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

/// The same key under another PIN, as the tools made its blob.
fn with_blob(key: &UserKey, private: &[u8]) -> UserKey {
    let mut key = serde_json::to_value(key).unwrap();
    key["private"] = openssl::base64::encode_block(private).into();
    serde_json::from_value(key).unwrap()
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
    let index = policy::IndexBranches::new(&recovery_name, &holder(ALICE));
    device.close("NV_ChangeAuth", &index.list());
    device.swtpm.succeeds(&format!(
        "tpm2_changeauth -c {INDEX} -p session:session.ctx {new}"
    ));

    let recovered = with_blob(&device.key, &device.swtpm.read("new.priv")[2..]);
    assert_eq!(recovered.public(), device.key.public());
    let mut tpm = device.swtpm.open();
    assert!(signs(&mut tpm, &recovered, NEW_PIN).unwrap());
    for old in [&recovered, &device.key] {
        let refused = signs(&mut tpm, old, PIN).unwrap_err();
        assert!(matches!(refused, Error::WrongPin { .. }), "{refused}");
    }
}

#[test]
fn a_signature_for_one_users_key_opens_no_others() {
    let device = Recoverable::new();
    let swtpm = &device.swtpm;
    let bob = user_key(swtpm, &device.recovery, BOB);
    swtpm.write_sized("bob.pub", bob.public());
    swtpm.write_sized("bob.priv", &stored(&bob, "private"));
    swtpm.succeeds("tpm2_load -C storage.ctx -u bob.pub -r bob.priv -c bob.ctx");
    swtpm.succeeds("tpm2_flushcontext -t");

    // K's word for alice with the command left open, which is more than it ever gives.
    let recovery_name = policy::name(bob.recovery_public());
    let index = policy::IndexBranches::new(&recovery_name, &holder(BOB));
    for (command, list) in [
        ("ObjectChangeAuth", &bob.branches().list()[..]),
        ("NV_ChangeAuth", &index.list()),
        ("NV_Write", &index.list()),
    ] {
        device.authorized(None);
        swtpm.succeeds(&format!(
            "tpm2_policycommandcode -S session.ctx TPM2_CC_{command}"
        ));
        let list = branches(swtpm, command, list);
        swtpm.refuses(&format!("tpm2_policyor -S session.ctx {list}"), "0x1c4");
    }
    // Nor does it count as one for bob.
    let nonce = device.to_sign("-t 0")[..32].to_vec();
    let authorization = Authorization {
        nonce_tpm: &nonce,
        expiration: 0,
        command_hash: None,
        policy_ref: &holder(ALICE).policy_ref(),
    };
    let signature = EcdsaSig::sign(&authorization.digest(), &device.recovery).unwrap();
    swtpm.write("signature", &signature.to_der().unwrap());
    let line = format!(
        "{SIGNED} -t 0 -f ecdsa -s signature -q {}",
        hex(&holder(BOB).policy_ref())
    );
    swtpm.refuses(&line, "0x5db");
}

#[test]
fn a_signature_for_one_command_allows_no_other_value_and_no_other_key() {
    let device = Recoverable::new();
    let swtpm = &device.swtpm;
    let new = auth_value(ALICE, NEW_PIN);
    let parent_name = stored(&device.key, "parent");
    let parameters = [&[0, 32][..], &new].concat();
    let act = Act::ChangeKey {
        public: device.key.public(),
        parent_name: &parent_name,
        parameters: &parameters,
    };
    let command = act.command_hash();
    let new = format!("hex:{}", hex(&new));

    // A second key of the same user.
    let other = user_key(swtpm, &device.recovery, ALICE);
    swtpm.write_sized("other.pub", other.public());
    swtpm.write_sized("other.priv", &stored(&other, "private"));
    swtpm.succeeds("tpm2_load -C storage.ctx -u other.pub -r other.priv -c other.ctx");
    swtpm.succeeds("tpm2_flushcontext -t");
    device.authorized(Some(command));
    device.close("ObjectChangeAuth", &other.branches().list());
    swtpm.refuses(&format!("{CHANGE} -c other.ctx {new}"), "0x99d");

    device.authorized(Some(command));
    device.close("ObjectChangeAuth", &device.key.branches().list());
    swtpm.refuses(&format!("{CHANGE} -c key.ctx {}", value("1")), "0x99d");
    device.authorized(Some(command));
    device.close("ObjectChangeAuth", &device.key.branches().list());
    swtpm.succeeds(&format!("{CHANGE} -c key.ctx {new}"));
}

#[test]
fn a_locked_key_is_reset_by_the_word_of_k_and_has_all_its_tries_again() {
    let device = Recoverable::new();
    let mut tpm = device.swtpm.open();
    let bob = user_key_in(&mut tpm, &device.recovery, BOB);
    for _ in 0..policy::PIN_LIMIT {
        assert!(tpm.unlock(&device.key, &pin("000000")).is_err());
    }
    let locked = tpm.unlock(&device.key, &pin(PIN)).map(drop).unwrap_err();
    assert!(matches!(locked, Error::Locked), "{locked}");

    let mut sign = signer(&device.recovery, ALICE);
    let mut stored = None;
    let key = tpm
        .reset_pin::<Error>(&device.key, &pin(NEW_PIN), &mut sign, |both| {
            stored = Some(both.clone());
            Ok(())
        })
        .unwrap();
    assert_eq!(key.public(), device.key.public());
    assert_eq!(tpm.tries(&key).unwrap().left, policy::PIN_LIMIT);
    assert!(signs(&mut tpm, &key, NEW_PIN).unwrap());
    assert!(signs(&mut tpm, &stored.unwrap(), NEW_PIN).unwrap());
    let refused = signs(&mut tpm, &key, PIN).unwrap_err();
    assert!(matches!(refused, Error::WrongPin { .. }), "{refused}");
    assert!(signs(&mut tpm, &bob, PIN).unwrap());
}

#[test]
fn a_reset_that_is_cut_short_leaves_a_key_that_opens_or_is_reset_again() {
    let device = Recoverable::new();
    let mut tpm = device.swtpm.open();
    for granted in 0..3 {
        let mut left = granted;
        let mut sign = |permit: &Permit<'_>| {
            if left == 0 {
                return Err(Error::Unavailable("the server is away".to_owned()));
            }
            left -= 1;
            signer(&device.recovery, ALICE)(permit)
        };
        let mut stored = device.key.clone();
        tpm.reset_pin::<Error>(&device.key, &pin("111111"), &mut sign, |both| {
            stored = both.clone();
            Ok(())
        })
        .unwrap_err();
        let opens = if granted < 2 { PIN } else { "111111" };
        assert!(signs(&mut tpm, &stored, opens).unwrap(), "{granted}");

        let mut sign = signer(&device.recovery, ALICE);
        let again = tpm.reset_pin::<Error>(&stored, &pin(PIN), &mut sign, |_| Ok(()));
        assert!(signs(&mut tpm, &again.unwrap(), PIN).unwrap());
    }
}

#[test]
fn a_key_whose_k_was_destroyed_cannot_be_reset() {
    let swtpm = Swtpm::start();
    let mut tpm = swtpm.open();
    let key = key_for(&mut tpm, ALICE, PIN);
    let (recovery, _) = recovery_key();
    let mut sign = signer(&recovery, ALICE);
    let reset = tpm.reset_pin::<Error>(&key, &pin(NEW_PIN), &mut sign, |_| Ok(()));
    reset.unwrap_err();
    assert!(signs(&mut tpm, &key, PIN).unwrap());
}
