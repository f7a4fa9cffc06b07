//! The endorsement key and what hangs on it: who vouches for a TPM, and that its keys are one's own.

use attest::{
    AttestationKey, Challenge, EndorsementKey, Manufacturers, Refusal, Rules, Trust, trust,
};
use model::{Secret, UnixTime};
use openssl::pkey::{PKey, Public};
use tpm::{KeyBlob, Role, Tpm};

use crate::root::{hex, storage};
use crate::swtpm::Swtpm;

fn auth(byte: u8) -> Secret<[u8; 32]> {
    Secret::new([byte; 32])
}

fn attestation_key(tpm: &mut Tpm) -> KeyBlob {
    tpm.create_device_key(Role::Attestation, &auth(7)).unwrap()
}

fn challenge(ek: &PKey<Public>, attestation_key: &KeyBlob, value: u8) -> Challenge {
    let ek = EndorsementKey::from_spki_der(&ek.public_key_to_der().unwrap()).unwrap();
    let ak = AttestationKey::read(&attestation_key.public).unwrap();
    let random = Secret::new([value ^ 0x5A; 64]);
    Challenge::new(&ek, &ak, &auth(value), &random).unwrap()
}

#[test]
fn the_tpm_opens_what_was_hidden_for_it() {
    let swtpm = Swtpm::start();
    let mut tpm = swtpm.open();
    let (ek, key) = (tpm.ek_public().unwrap(), attestation_key(&mut tpm));
    for value in [1, 0xFF] {
        let challenge = challenge(&ek, &key, value);
        let opened = tpm.activate(&key, &auth(7), &challenge).unwrap();
        assert_eq!(opened.expose()[..], [value; 32]);
    }
}

#[test]
fn nobody_opens_it_without_both_keys() {
    let (swtpm, other_swtpm) = (Swtpm::start(), Swtpm::start());
    let (mut tpm, mut other_tpm) = (swtpm.open(), other_swtpm.open());
    let (ek, key) = (tpm.ek_public().unwrap(), attestation_key(&mut tpm));
    let challenge = challenge(&ek, &key, 1);

    let second = attestation_key(&mut tpm);
    assert!(tpm.activate(&second, &auth(7), &challenge).is_err());
    assert!(tpm.activate(&key, &auth(8), &challenge).is_err());
    let theirs = attestation_key(&mut other_tpm);
    assert!(other_tpm.activate(&theirs, &auth(7), &challenge).is_err());
    let mut turned = challenge.clone();
    turned.credential_blob[40] ^= 1;
    assert!(tpm.activate(&key, &auth(7), &turned).is_err());

    // No refusal took a slot or a try.
    let opened = tpm.activate(&key, &auth(7), &challenge).unwrap();
    assert_eq!(opened.expose()[..], [1; 32]);
    assert_eq!(tpm.info().unwrap().dictionary_attack.failures, 0);
}

#[test]
fn an_endorsement_key_on_p256_opens_it_too() {
    let swtpm = Swtpm::start();
    let key = attestation_key(&mut swtpm.open());
    swtpm.succeeds("tpm2_createek -G ecc -c ek.ctx -u ek.pem -f pem");
    swtpm.succeeds("tpm2_flushcontext -t");
    let ek = PKey::public_key_from_pem(&swtpm.read("ek.pem")).unwrap();
    let challenge = challenge(&ek, &key, 9);

    storage(&swtpm);
    swtpm.write_sized("ak.pub", &key.public);
    swtpm.write_sized("ak.priv", &key.private);
    swtpm.succeeds("tpm2_load -C storage.ctx -u ak.pub -r ak.priv -c ak.ctx");
    swtpm.succeeds("tpm2_flushcontext -t");
    // A header of the tools' own: a number of theirs, and version 1.
    let sized = |bytes: &[u8]| {
        let length = u16::try_from(bytes.len()).unwrap().to_be_bytes();
        [&length, bytes].concat()
    };
    let file = [
        vec![0xBA, 0xDC, 0xC0, 0xDE, 0, 0, 0, 1],
        sized(&challenge.credential_blob),
        sized(&challenge.secret),
    ];
    swtpm.write("challenge", &file.concat());
    swtpm.succeeds("tpm2_startauthsession --policy-session -S session.ctx");
    swtpm.succeeds("tpm2_policysecret -S session.ctx -c e");
    swtpm.succeeds(&format!(
        "tpm2_activatecredential -c ak.ctx -C ek.ctx -i challenge -o opened -P session:session.ctx \
         -p hex:{}",
        hex(auth(7).expose())
    ));
    assert_eq!(swtpm.read("opened"), [9; 32]);
}

#[test]
fn a_tpm_with_a_certificate_of_a_configured_manufacturer_is_trusted_and_no_other() {
    let (swtpm, other) = (Swtpm::manufactured(), Swtpm::manufactured());
    let read = |swtpm: &Swtpm| {
        let mut tpm = swtpm.open();
        let spki = tpm.ek_public().unwrap().public_key_to_der().unwrap();
        let certificate = tpm.ek_certificate().unwrap().unwrap();
        (EndorsementKey::from_spki_der(&spki).unwrap(), certificate)
    };
    let (ek, certificate) = read(&swtpm);
    let (other_ek, other_certificate) = read(&other);
    let manufacturers = Manufacturers::from_pem(&swtpm.read("ca/issuercert.pem")).unwrap();
    let rules = Rules {
        manufacturers: &manufacturers,
        approved: &[],
        first_use: false,
    };
    let now = std::time::SystemTime::now();
    let now = now.duration_since(std::time::UNIX_EPOCH).unwrap();
    let now = UnixTime(i64::try_from(now.as_secs()).unwrap());

    let trusted = trust(&ek, Some(&certificate), &rules, now).unwrap();
    let Trust::Manufacturer(model) = trusted else {
        panic!("{trusted:?}");
    };
    assert_eq!(
        (&*model.manufacturer, &*model.model),
        ("id:00001014", "swtpm")
    );

    let unknown = trust(&other_ek, Some(&other_certificate), &rules, now);
    assert!(matches!(unknown, Err(Refusal::UnknownManufacturer(_))));
    let borrowed = trust(&other_ek, Some(&certificate), &rules, now);
    assert_eq!(borrowed, Err(Refusal::OtherCertificate));
    assert_eq!(
        trust(&ek, None, &rules, now),
        Err(Refusal::UnknownTpm),
        "no certificate"
    );
}
