//! What somebody on the bus sees, and what a client that dies there leaves behind.

use std::collections::BTreeSet;

use model::Secret;
use tpm::policy::{self, IndexBranches};
use tpm::{Error, Recovery, Role, Tpm, UserKey};

use crate::pin::{key_for, signs};
use crate::proxy::{Exchange, Fault, Proxy};
use crate::root::{recovery_key, signer};
use crate::swtpm::{ALICE, Swtpm, auth_value, holder, pin};

const SESSIONS: u16 = 0x8002;
const CREATE_PRIMARY: u32 = 0x131;
const START_AUTH_SESSION: u32 = 0x176;
const RH_NULL: u32 = 0x4000_0007;
const RS_PASSWORD: u32 = 0x4000_0009;
const OWNER: u32 = 0x4000_0001;

/// For each command that is authorised here: its handles, and whether it and its answer begin
/// with a parameter that can be encrypted (part 3 of the specification).
const AUTHORISED: &[(u32, usize, bool, bool)] = &[
    (0x122, 2, false, false), // NV_UndefineSpace
    (0x129, 1, true, false),  // HierarchyChangeAuth
    (0x12A, 1, true, false),  // NV_DefineSpace
    (0x131, 1, true, true),   // CreatePrimary
    (0x137, 2, false, false), // NV_Write: what K signs, and no secret
    (0x139, 1, false, false), // DictionaryAttackLockReset
    (0x13A, 1, false, false), // DictionaryAttackParameters
    (0x13B, 1, true, false),  // NV_ChangeAuth
    (0x148, 2, true, true),   // Certify
    (0x14E, 2, false, true),  // NV_Read
    (0x150, 2, true, true),   // ObjectChangeAuth
    (0x151, 2, true, true),   // PolicySecret
    (0x153, 1, true, true),   // Create
    (0x157, 1, true, true),   // Load
    (0x159, 1, true, true),   // RSA_Decrypt
    (0x15D, 1, true, false),  // Sign
];

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes(bytes[at..at + 2].try_into().unwrap())
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap())
}

/// The sessions of a command: handle and attributes.
fn sessions(command: &[u8], handles: usize) -> Vec<(u32, u8)> {
    let mut at = 10 + 4 * handles;
    let end = at + 4 + u32_at(command, at) as usize;
    at += 4;
    let mut found = Vec::new();
    while at < end {
        let handle = u32_at(command, at);
        at += 4;
        at += 2 + usize::from(u16_at(command, at));
        let attributes = command[at];
        at += 1;
        at += 2 + usize::from(u16_at(command, at));
        found.push((handle, attributes));
    }
    assert_eq!(at, end);
    found
}

/// Everything that this crate can ask of a TPM, over a line that is listened to.
fn whole_life(swtpm: &Swtpm) -> (Vec<Exchange>, UserKey) {
    let proxy = Proxy::start(swtpm, Fault::None);
    let mut tpm = proxy.open();
    let auth = Secret::new([0xA5; 32]);
    tpm.set_dictionary_attack(&auth).unwrap();
    tpm.reset_lockout(&auth).unwrap();
    tpm.ek_public().unwrap();
    let device = tpm.create_device_key(Role::Device, &auth).unwrap();
    tpm.sign(&device, &auth, &[1; 32]).unwrap();
    let transport = tpm.create_device_key(Role::Transport, &auth).unwrap();
    let mut ciphertext = vec![0; 256];
    let rsa = transport.public_key().unwrap().rsa().unwrap();
    rsa.public_encrypt(
        SESSION_KEY,
        &mut ciphertext,
        openssl::rsa::Padding::PKCS1_OAEP,
    )
    .unwrap();
    tpm.transport_decrypt(&transport, &auth, &ciphertext)
        .unwrap();
    let attestation = tpm.create_device_key(Role::Attestation, &auth).unwrap();

    let (recovery, public) = recovery_key();
    let mut sign = signer(&recovery, ALICE);
    let server = Recovery::Server {
        public: public.clone(),
        sign: &mut sign,
    };
    let key = tpm.create_user_key(&holder(ALICE), &pin(PIN), server);
    let key = key.unwrap();
    tpm.certify(&key, &pin(PIN), &attestation, &auth, b"nonce")
        .unwrap();
    assert!(signs(&mut tpm, &key, PIN).unwrap());
    assert!(tpm.unlock(&key, &pin("000000000000")).is_err());
    let key = tpm
        .change_pin::<Error>(&key, &pin(PIN), &pin(NEW_PIN), |_| Ok(()))
        .unwrap();
    assert!(signs(&mut tpm, &key, NEW_PIN).unwrap());
    let mut sign = signer(&recovery, ALICE);
    let key = tpm
        .reset_pin::<Error>(&key, &pin(RESET_PIN), &mut sign, |_| Ok(()))
        .unwrap();
    assert!(signs(&mut tpm, &key, RESET_PIN).unwrap());
    tpm.tries(&key).unwrap();
    tpm.delete_user_key(&key).unwrap();
    drop(tpm);
    (proxy.take(), key)
}

const PIN: &str = "135790135790";
const NEW_PIN: &str = "246802468024";
const RESET_PIN: &str = "357913579135";
const SESSION_KEY: &[u8] = b"a session key of the server's making";

#[test]
fn every_authorised_command_uses_a_salted_and_encrypting_session() {
    let swtpm = Swtpm::start();
    let (mut salted, mut seen, mut storage_keys) = (Vec::new(), BTreeSet::new(), 0);
    for Exchange { command, answer } in whole_life(&swtpm).0 {
        let code = u32_at(&command, 6);
        if code == START_AUTH_SESSION {
            assert_ne!(u32_at(&command, 10), RH_NULL, "a session without a salt");
            assert_eq!(
                u32_at(&command, 14),
                RH_NULL,
                "a session bound to something"
            );
            assert_eq!(
                &command[command.len() - 8..],
                b"\0\x06\0\x80\0\x43\0\x0b",
                "AES-128-CFB"
            );
            salted.push(u32_at(&answer, 10));
        }
        if u16_at(&command, 0) != SESSIONS {
            assert!(
                AUTHORISED.iter().all(|row| row.0 != code),
                "{code:#x} without a session"
            );
            continue;
        }
        let (_, handles, encrypts, answers) = *AUTHORISED
            .iter()
            .find(|row| row.0 == code)
            .unwrap_or_else(|| panic!("{code:#x}"));
        let sessions = sessions(&command, handles);
        if sessions[0].0 == RS_PASSWORD {
            // The storage key itself, without which there is no salt: its password is empty.
            assert_eq!((code, u32_at(&command, 10)), (CREATE_PRIMARY, OWNER));
            assert_eq!(&command[14..27], b"\0\0\0\x09\x40\0\0\x09\0\0\x01\0\0");
            storage_keys += 1;
            continue;
        }
        for (handle, _) in &sessions {
            assert!(salted.contains(handle), "{code:#x} in an unknown session");
        }
        let attributes = sessions.iter().fold(0, |all, (_, own)| all | own);
        assert_eq!(attributes & 0x20 != 0, encrypts, "{code:#x} decrypt");
        assert_eq!(attributes & 0x40 != 0, answers, "{code:#x} encrypt");
        seen.insert(code);
    }
    assert_eq!(storage_keys, 1);
    let all: BTreeSet<u32> = AUTHORISED.iter().map(|row| row.0).collect();
    assert_eq!(seen, all, "a command was not exercised");
}

#[test]
fn no_pin_and_no_value_passes_the_bus() {
    let swtpm = Swtpm::start();
    let (record, key) = whole_life(&swtpm);
    let index_policy = IndexBranches::new(&policy::name(key.recovery_public()), &key.holder())
        .policy()
        .0;
    let seen: Vec<u8> = record
        .into_iter()
        .flat_map(|exchange| [exchange.command, exchange.answer].concat())
        .collect();
    let passes = |secret: &[u8]| seen.windows(secret.len()).any(|window| window == secret);
    for text in [PIN, NEW_PIN, RESET_PIN] {
        let utf16: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert!(!passes(text.as_bytes()));
        assert!(!passes(&utf16));
        let value = auth_value(ALICE, text);
        // Half of it would be enough to betray an encryption that skips the rest.
        assert!(!passes(&value[..16]) && !passes(&value[16..]));
    }
    assert!(!passes(&[0xA5; 16]));
    assert!(!passes(SESSION_KEY));
    // What is not secret does pass: the record is one in which things are found.
    assert!(passes(&index_policy));
}

#[test]
fn a_client_killed_after_any_command_leaves_no_slot_taken() {
    let swtpm = Swtpm::start();
    let key = key_for(&mut swtpm.open(), ALICE, PIN);
    for cut in 0.. {
        let proxy = Proxy::start(&swtpm, Fault::Cut(cut));
        let died = Tpm::open(&proxy.tcti())
            .and_then(|mut tpm| signs(&mut tpm, &key, PIN))
            .is_err();
        assert!(signs(&mut swtpm.open(), &key, PIN).unwrap());
        if !died {
            assert!(cut >= 10, "only {cut} kills");
            break;
        }
    }
}

#[test]
fn no_changed_answer_is_believed() {
    let swtpm = Swtpm::start();
    let key = key_for(&mut swtpm.open(), ALICE, PIN);
    for before_end in [1, 80] {
        for number in 0.. {
            let proxy = Proxy::start(&swtpm, Fault::Flip(number, before_end));
            let signed = Tpm::open(&proxy.tcti()).and_then(|mut tpm| signs(&mut tpm, &key, PIN));
            let record = proxy.take();
            let Some(Exchange { command, answer }) = record.get(number) else {
                assert!(signed.unwrap());
                assert!(number >= 10, "only {number} answers");
                break;
            };
            let authorised = u16_at(answer, 0) == SESSIONS && u32_at(command, 10) != OWNER;
            if authorised && answer.len() >= before_end + 10 {
                let error = signed.unwrap_err();
                assert!(
                    matches!(error, Error::Unavailable(_)),
                    "answer {number}: {error}"
                );
            } else {
                // Not proven by the TPM: it may stop the client, but never mislead it.
                assert!(signed.unwrap_or(true), "answer {number}");
            }
        }
    }
}

#[test]
fn a_change_of_pin_cut_short_anywhere_leaves_exactly_one_pin() {
    let swtpm = Swtpm::start();
    let mut tpm = swtpm.open();
    tpm.set_dictionary_attack(&Secret::new([3; 32])).unwrap();
    let mut stored = key_for(&mut tpm, ALICE, PIN);
    drop(tpm);
    let (mut old, mut new) = (PIN, NEW_PIN);
    for cut in 0.. {
        let proxy = Proxy::start(&swtpm, Fault::Cut(cut));
        let mut disk = stored.clone();
        let changed = Tpm::open(&proxy.tcti()).and_then(|mut tpm| {
            tpm.change_pin(&stored, &pin(old), &pin(new), |both| {
                disk = both.clone();
                Ok::<(), Error>(())
            })
        });
        let finished = changed.is_ok();
        if let Ok(changed) = changed {
            disk = changed;
        }
        let mut tpm = swtpm.open();
        let works = [old, new].map(|text| signs(&mut tpm, &disk, text));
        match works {
            [Ok(true), Err(Error::WrongPin { .. })] if !finished => {}
            [Err(Error::WrongPin { .. }), Ok(true)] => std::mem::swap(&mut old, &mut new),
            other => panic!("cut after command {cut}: {other:?}"),
        }
        stored = tpm.unlock(&disk, &pin(old)).unwrap().key().clone();
        if finished {
            break;
        }
    }
}
