//! What local root gains with the owner's empty password, tpm2-tools and copies of every file.
//!
//! The tools are a second implementation: what they are refused, no client of ours can be tricked
//! into.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use attest::PERMIT_S;
use openssl::ec::{EcGroup, EcKey};
use openssl::ecdsa::EcdsaSig;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private, Public};
use tpm::{Error, Permit, Recovery, UserKey, policy};

use crate::pin::{key_for, signs};
use crate::swtpm::{ALICE, Swtpm, auth_value, holder, pin};

pub(crate) const PIN: &str = "135790";

/// The handle that the first user gets.
pub(crate) const INDEX: &str = "0x01804c00";

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The PIN as root would give it to the tools, had it found it out.
pub(crate) fn value(text: &str) -> String {
    format!("hex:{}", hex(&auth_value(ALICE, text)))
}

/// A TPM with one user whose PIN is [`PIN`].
pub(crate) fn victim() -> (Swtpm, UserKey) {
    let swtpm = Swtpm::start();
    let key = key_for(&mut swtpm.open(), ALICE, PIN);
    (swtpm, key)
}

fn left(swtpm: &Swtpm, key: &UserKey) -> u32 {
    swtpm.open().tries(key).unwrap().left
}

/// Makes the storage key as this crate does, for the tools: `storage.ctx`.
pub(crate) fn storage(swtpm: &Swtpm) {
    swtpm.succeeds(
        "tpm2_createprimary -C o -G ecc256:aes128cfb -c storage.ctx \
         -a fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|decrypt",
    );
}

/// Loads the user's key with the tools, from the files that root can read.
pub(crate) fn load(swtpm: &Swtpm, key: &UserKey) {
    let stored: serde_json::Value = serde_json::to_value(key).unwrap();
    let private = openssl::base64::decode_block(stored["private"].as_str().unwrap()).unwrap();
    swtpm.write_sized("key.pub", key.public());
    swtpm.write_sized("key.priv", &private);
    storage(swtpm);
    swtpm.succeeds("tpm2_load -C storage.ctx -u key.pub -r key.priv -c key.ctx");
    swtpm.succeeds("tpm2_flushcontext -t");
    swtpm.write("digest", &[7; 32]);
}

/// Writes the branches for `tpm2_policyor`, and gives its argument.
pub(crate) fn branches(swtpm: &Swtpm, name: &str, list: &[policy::Digest]) -> String {
    let files: Vec<String> = list
        .iter()
        .enumerate()
        .map(|(number, digest)| {
            let file = format!("{name}.{number}");
            swtpm.write(&file, &digest.0);
            file
        })
        .collect();
    format!("sha256:{}", files.join(","))
}

pub(crate) fn start_policy(swtpm: &Swtpm) {
    swtpm.tool("tpm2_flushcontext -l");
    swtpm.tool("tpm2_flushcontext -t");
    swtpm.succeeds("tpm2_startauthsession --policy-session -S session.ctx");
}

#[test]
fn the_keys_own_value_does_not_open_it_without_the_policy() {
    let (swtpm, key) = victim();
    load(&swtpm, &key);
    let sign = "tpm2_sign -c key.ctx -g sha256 -s rsassa -d digest -o signature -p";
    swtpm.refuses(&format!("{sign} {}", value(PIN)), "0x12f");
    swtpm.refuses(&format!("{sign} {}", value("000000")), "0x12f");
    assert_eq!(swtpm.open().info().unwrap().dictionary_attack.failures, 0);
}

#[test]
fn the_value_of_the_blob_cannot_be_changed_without_the_policy() {
    let (swtpm, key) = victim();
    load(&swtpm, &key);
    let change = "tpm2_changeauth -c key.ctx -C storage.ctx -r new.priv -p";
    swtpm.refuses(&format!("{change} {} {}", value(PIN), value("1")), "0x124");

    // Nor with the branch for signing, which names no command.
    start_policy(&swtpm);
    swtpm.succeeds(&format!(
        "tpm2_policysecret -S session.ctx -c {INDEX} {}",
        value(PIN)
    ));
    swtpm.succeeds("tpm2_policyauthvalue -S session.ctx");
    let list = branches(&swtpm, "key", &key.branches().list());
    swtpm.succeeds(&format!("tpm2_policyor -S session.ctx {list}"));
    swtpm.refuses(
        &format!("{change} session:session.ctx+{} {}", value(PIN), value("1")),
        "0x99d",
    );
}

#[test]
fn with_the_pin_the_tools_sign_by_the_same_policy() {
    // The refusals of this file are refusals of the TPM and not of a tool used wrongly.
    let (swtpm, key) = victim();
    load(&swtpm, &key);
    start_policy(&swtpm);
    swtpm.succeeds(&format!(
        "tpm2_policysecret -S session.ctx -c {INDEX} {}",
        value(PIN)
    ));
    swtpm.succeeds("tpm2_policyauthvalue -S session.ctx");
    let list = branches(&swtpm, "key", &key.branches().list());
    swtpm.succeeds(&format!("tpm2_policyor -S session.ctx {list}"));
    let sign = "tpm2_sign -c key.ctx -g sha256 -s rsassa -d digest -o signature -f plain -p";
    swtpm.succeeds(&format!("{sign} session:session.ctx+{}", value(PIN)));
    assert_eq!(swtpm.read("signature").len(), 256);
}

#[test]
fn every_way_to_try_a_pin_on_the_index_is_counted() {
    let (swtpm, key) = victim();
    let wrong = value("000000");
    swtpm.tool(&format!("tpm2_nvread {INDEX} -C {INDEX} -P {wrong}"));
    assert_eq!(left(&swtpm, &key), 9, "a password");

    swtpm.succeeds("tpm2_startauthsession --hmac-session -S session.ctx");
    swtpm.tool(&format!(
        "tpm2_nvread {INDEX} -C {INDEX} -P session:session.ctx+{wrong}"
    ));
    assert_eq!(left(&swtpm, &key), 8, "an HMAC session");

    start_policy(&swtpm);
    swtpm.tool(&format!(
        "tpm2_policysecret -S session.ctx -c {INDEX} {wrong}"
    ));
    assert_eq!(left(&swtpm, &key), 7, "TPM2_PolicySecret");

    let name = policy::name(key.recovery_public());
    let list = branches(
        &swtpm,
        "index",
        &policy::IndexBranches::new(&name, &holder(ALICE)).list(),
    );
    start_policy(&swtpm);
    swtpm.succeeds("tpm2_policyauthvalue -S session.ctx");
    swtpm.succeeds("tpm2_policycommandcode -S session.ctx TPM2_CC_NV_ChangeAuth");
    swtpm.succeeds(&format!("tpm2_policyor -S session.ctx {list}"));
    let change = format!(
        "tpm2_changeauth -c {INDEX} -p session:session.ctx+{wrong} {}",
        value("1")
    );
    let output = swtpm.tool(&change);
    assert!(!output.status.success());
    assert_eq!(left(&swtpm, &key), 6, "TPM2_NV_ChangeAuth: {output:?}");
    assert!(signs(&mut swtpm.open(), &key, PIN).unwrap());
}

#[test]
fn no_session_can_be_bound_to_the_index() {
    // A wrong value would show only in the next command, where nothing counts it.
    let (swtpm, _) = victim();
    let bind = format!("--bind-context {INDEX} --bind-auth 000000");
    swtpm.refuses(
        &format!("tpm2_startauthsession --hmac-session -S session.ctx {bind}"),
        "0x28b",
    );
}

#[test]
fn a_pin_tried_by_a_session_bound_to_the_key_is_counted_by_the_tpm() {
    let (swtpm, key) = victim();
    load(&swtpm, &key);
    let failures = || swtpm.open().info().unwrap().dictionary_attack.failures;
    let read = |value: &[u8]| {
        // This tool takes the value as it is, and no other way.
        let started = swtpm
            .command("tpm2_startauthsession")
            .args([
                "--hmac-session",
                "-S",
                "session.ctx",
                "--bind-context",
                "key.ctx",
            ])
            .arg("--bind-auth")
            .arg(OsStr::from_bytes(value))
            .status();
        assert!(started.unwrap().success());
        swtpm
            .tool(&format!("tpm2_nvread {INDEX} -C o -P session:session.ctx"))
            .status
            .success()
    };
    assert!(read(&auth_value(ALICE, PIN)));
    assert_eq!(failures(), 0);
    assert!(!read(b"000000"));
    assert_eq!(failures(), 1);
}

#[test]
fn the_owner_cannot_write_the_count() {
    let (swtpm, key) = victim();
    assert!(swtpm.open().unlock(&key, &pin("000000")).is_err());
    swtpm.write("zeros", &[0, 0, 0, 0, 0, 0, 0, 10]);
    swtpm.refuses(&format!("tpm2_nvwrite {INDEX} -C o -i zeros"), "0x149");
    swtpm.refuses(
        &format!("tpm2_nvwrite {INDEX} -C {INDEX} -P {} -i zeros", value(PIN)),
        "0x12f",
    );
    assert_eq!(left(&swtpm, &key), 9);
}

#[test]
fn an_index_defined_anew_with_a_known_pin_opens_nothing() {
    let (swtpm, key) = victim();
    load(&swtpm, &key);
    let name = policy::name(key.recovery_public());
    swtpm.write(
        "index.policy",
        &policy::IndexBranches::new(&name, &holder(ALICE)).policy().0,
    );
    let attributes = "nt=pinfail|policywrite|ownerread|authread|no_da";
    let redefine = |attributes: &str| {
        swtpm.succeeds(&format!("tpm2_nvundefine {INDEX} -C o"));
        swtpm.succeeds(&format!(
            "tpm2_nvdefine {INDEX} -C o -s 8 -g sha256 -L index.policy -a {attributes} -p {}",
            value("1")
        ));
    };

    // The same index to the last bit: it cannot be written, and unwritten it proves nothing.
    redefine(attributes);
    let refused = signs(&mut swtpm.open(), &key, "1").unwrap_err();
    assert!(matches!(refused, Error::KeyUnusable(_)), "{refused}");
    start_policy(&swtpm);
    let secret = format!("tpm2_policysecret -S session.ctx -c {INDEX} {}", value("1"));
    swtpm.refuses(&secret, "0x12f");
    swtpm.write("zeros", &[0, 0, 0, 0, 0, 0, 0, 10]);
    swtpm.refuses(&format!("tpm2_nvwrite {INDEX} -C o -i zeros"), "0x149");

    // One that the owner can write has another name, which no branch of the key knows.
    redefine(&format!("{attributes}|ownerwrite"));
    swtpm.succeeds(&format!("tpm2_nvwrite {INDEX} -C o -i zeros"));
    let refused = signs(&mut swtpm.open(), &key, "1").unwrap_err();
    assert!(matches!(refused, Error::KeyUnusable(_)), "{refused}");
    start_policy(&swtpm);
    swtpm.succeeds(&secret);
    swtpm.succeeds("tpm2_policyauthvalue -S session.ctx");
    let list = branches(&swtpm, "key", &key.branches().list());
    swtpm.refuses(&format!("tpm2_policyor -S session.ctx {list}"), "0x1c4");
}

#[test]
fn what_the_recovery_key_signed_once_is_good_for_that_session_only() {
    let swtpm = Swtpm::start();
    let (recovery, public) = recovery_key();
    let (mut signed, mut command) = (Vec::new(), [0; 32]);
    let mut sign = |permit: &Permit<'_>| {
        let digest = permit.digest(&holder(ALICE));
        command = permit.act.command_hash();
        signed = EcdsaSig::sign(&digest, &recovery)?.to_der()?;
        Ok(signed.clone())
    };
    let recovery = Recovery::Server {
        public,
        sign: &mut sign,
    };
    let key = swtpm
        .open()
        .create_user_key(&holder(ALICE), &pin(PIN), recovery)
        .unwrap();
    assert!(signs(&mut swtpm.open(), &key, PIN).unwrap());

    swtpm.write_sized("recovery.pub", key.recovery_public());
    swtpm.succeeds("tpm2_loadexternal -C n -u recovery.pub -c recovery.ctx");
    swtpm.write("signature", &signed);
    swtpm.write_sized("command", &command);
    start_policy(&swtpm);
    let policy = format!(
        "tpm2_policysigned -S session.ctx -c recovery.ctx -g sha256 -f ecdsa -s signature -x \
         -t {PERMIT_S} -q {} --cphash-input command",
        hex(&key.holder().policy_ref())
    );
    swtpm.refuses(&policy, "0x5db");
}

#[test]
fn a_recovery_key_that_does_not_answer_leaves_nothing_behind() {
    let swtpm = Swtpm::start();
    let (_, public) = recovery_key();
    let mut sign = |_: &Permit<'_>| Err(Error::Unavailable("the server is away".to_owned()));
    let recovery = Recovery::Server {
        public,
        sign: &mut sign,
    };
    swtpm
        .open()
        .create_user_key(&holder(ALICE), &pin(PIN), recovery)
        .unwrap_err();
    assert_eq!(swtpm.succeeds("tpm2_getcap handles-nv-index").trim(), "");
}

#[test]
fn the_tpm_computes_every_policy_as_the_pure_functions_do() {
    let swtpm = Swtpm::start();
    let (recovery, public) = recovery_key();
    let mut sign = signer(&recovery, ALICE);
    let server = Recovery::Server {
        public,
        sign: &mut sign,
    };
    let key = swtpm
        .open()
        .create_user_key(&holder(ALICE), &pin(PIN), server)
        .unwrap();

    swtpm.write_sized("recovery.pub", key.recovery_public());
    // In a trial session any signature counts as right.
    swtpm.write(
        "signature",
        &EcdsaSig::sign(&[1; 32], &recovery)
            .unwrap()
            .to_der()
            .unwrap(),
    );
    let policy_ref = hex(&key.holder().policy_ref());
    let signed = format!(
        "tpm2_policysigned -S session.ctx -c recovery.ctx -g sha256 -f ecdsa -s signature \
         -q {policy_ref}"
    );
    let signed = &*signed;
    let secret = format!("tpm2_policysecret -S session.ctx -c {INDEX} {}", value(PIN));
    let auth_value = "tpm2_policyauthvalue -S session.ctx";
    let code = |name: &str| format!("tpm2_policycommandcode -S session.ctx TPM2_CC_{name}");
    let trial = |lines: &[&str]| {
        swtpm.tool("tpm2_flushcontext -l");
        swtpm.succeeds("tpm2_startauthsession -S session.ctx");
        for line in lines {
            swtpm.tool("tpm2_flushcontext -t");
            swtpm.succeeds("tpm2_loadexternal -C n -u recovery.pub -c recovery.ctx");
            swtpm.succeeds(line);
        }
        swtpm.succeeds("tpm2_policyauthvalue -S session.ctx");
        swtpm.succeeds("tpm2_getpolicydigest -S session.ctx -o digest");
        swtpm.read("digest")
    };
    let same = |digest: policy::Digest, lines: &[&str]| {
        assert_eq!(hex(&trial(lines)), hex(&digest.auth_value().0), "{lines:?}");
    };

    let of_key = key.branches();
    same(of_key.sign, &[&secret, auth_value]);
    same(
        of_key.change,
        &[&secret, auth_value, &code("ObjectChangeAuth")],
    );
    same(of_key.certify, &[&secret, auth_value, &code("Certify")]);
    same(of_key.recover, &[signed, &code("ObjectChangeAuth")]);
    let list = branches(&swtpm, "key", &of_key.list());
    same(
        of_key.policy(),
        &[&format!("tpm2_policyor -S session.ctx {list}")],
    );

    let of_index = policy::IndexBranches::new(&policy::name(key.recovery_public()), &key.holder());
    same(of_index.write, &[signed, &code("NV_Write")]);
    same(of_index.recover, &[signed, &code("NV_ChangeAuth")]);
    same(of_index.change, &[auth_value, &code("NV_ChangeAuth")]);
    let list = branches(&swtpm, "index", &of_index.list());
    same(
        of_index.policy(),
        &[&format!("tpm2_policyor -S session.ctx {list}")],
    );
}

/// K's hand, which signs whatever is asked for this user.
pub(crate) fn signer<'a>(
    recovery: &'a EcKey<Private>,
    user: &'a str,
) -> impl FnMut(&Permit<'_>) -> Result<Vec<u8>, Error> + 'a {
    move |permit| Ok(EcdsaSig::sign(&permit.digest(&holder(user)), recovery)?.to_der()?)
}

pub(crate) fn recovery_key() -> (EcKey<Private>, PKey<Public>) {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    let key = EcKey::generate(&group).unwrap();
    let public = EcKey::from_public_key(&group, key.public_key()).unwrap();
    (key, PKey::from_ec_key(public).unwrap())
}
