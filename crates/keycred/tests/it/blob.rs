//! Values: read, written, described, judged.

use expect_test::expect;
use keycred::{Entry, Error, KeyCredential, KeySource, KeyUsage, RsaPublicKey, SambaVerdict};
use model::{Filetime, Guid, UnixTime};

use crate::vectors::{USER_KEY_1, USER_KEY_2, bytes};

const USER_KEY_1_TIME: Filetime = Filetime(131_734_027_581_684_545);

fn user_key_1() -> KeyCredential {
    KeyCredential::decode(&bytes(USER_KEY_1)).unwrap()
}

/// UserKey1 with its entries changed.
fn changed(change: impl FnOnce(&mut Vec<Entry>)) -> KeyCredential {
    let mut entries = user_key_1().entries().to_vec();
    change(&mut entries);
    KeyCredential::from_entries(entries)
}

fn entry(id: u8, value: &[u8]) -> Entry {
    Entry::new(id, value.to_vec()).unwrap()
}

#[test]
fn the_value_for_a_user_is_the_known_one_byte_for_byte() {
    let public = user_key_1().public_key().unwrap();
    let device: Guid = "47f577e3-d2d0-4a0a-8aca-e0501098bde4".parse().unwrap();
    let value = KeyCredential::for_user(&public, device, USER_KEY_1_TIME, USER_KEY_1_TIME);
    assert_eq!(value.encode(), bytes(USER_KEY_1));
    assert_eq!(value.key_id(), Some(&public.key_id()[..]));
}

#[test]
fn the_value_for_a_user_is_known_by_its_form_whatever_its_times() {
    let public = user_key_1().public_key().unwrap();
    let device: Guid = "47f577e3-d2d0-4a0a-8aca-e0501098bde4".parse().unwrap();
    let value = KeyCredential::for_user(&public, device, Filetime(7), Filetime(9));
    assert!(value.is_for_user());
    let spoilt = |id: u8, bytes: &[u8]| {
        let with = |old: &Entry| match old.id() == id {
            true => entry(id, bytes),
            false => old.clone(),
        };
        KeyCredential::from_entries(value.entries().iter().map(with).collect())
    };
    assert!(!spoilt(Entry::KEY_SOURCE, &[1]).is_for_user());
    assert!(!spoilt(Entry::KEY_HASH, &[0; 32]).is_for_user());
    assert!(!spoilt(Entry::CUSTOM_KEY_INFORMATION, &[1, 0, 0]).is_for_user());
    assert!(!spoilt(Entry::CREATED, &[1]).is_for_user());
    let reversed = value.entries().iter().rev().cloned().collect();
    assert!(!KeyCredential::from_entries(reversed).is_for_user());
}

#[test]
fn a_value_of_active_directory_is_described() {
    expect![[r#"
        key credential, version 0x200, 414 bytes
          01 KeyID                             IHF64FL8z1RqrQ1R6Hiq1pzgT9w59ajY4866a8tNoOc= (is the hash of the key material)
          02 KeyHash                           FLdHTmHBAB0+VGz+2OOHz8GshqLKezzc8SZ2FFheKjQ= (is the hash of what follows)
          03 KeyMaterial                       BCRYPT RSA1, RSA-2048
          04 KeyUsage                          NGC (sign-in)
          05 KeySource                         Active Directory
          06 DeviceId                          47f577e3-d2d0-4a0a-8aca-e0501098bde4
          07 CustomKeyInformation              version 1, flags 0x00
          08 KeyApproximateLastLogonTimeStamp  2018-06-13T22:32:38.168Z
          09 KeyCreationTime                   2018-06-13T22:32:38.168Z
          modulus   c1a78914457758b0b13c70c710c7f8548f3f9ed56ad4640b6e6a112655c98ecac1cbd68a298f5686c08439428a97fe6fdf58d78ea481905182bad684c2d9c5cde1cde34aa19742e8bbf58b953eac4c562fcf598cc176b02dbe9fffef5937a65815c236f92892f7e511a1fedd5483cb33f1ea715d68106180ded2432a293367114a6e325e62f93f73d7ece4b6a2bcdb829d95c8645c3073b94ba7cb7515cd29042f0967201c6e24a77821e92a6c756df79841acbaae11d90ca03b9fcd24ef9e304b5d35248a7bd70557399960277058ae3e99c7c7e2284858b7bf8b08cdd286964186a50a7fcbcc6a24f00fee5b9698bbd3b1aead0ce81fea461c0abd716843a5
          exponent  010001
          Samba's KDC takes this value
    "#]].assert_eq(&user_key_1().describe().to_string());
}

#[test]
fn a_value_of_entra_id_is_described_for_programs() {
    let value = KeyCredential::decode(&bytes(USER_KEY_2)).unwrap();
    let mut json = serde_json::to_value(value.describe()).unwrap();
    for entry in json["entries"].as_array_mut().unwrap() {
        entry.as_object_mut().unwrap().remove("hex").unwrap();
    }
    let key = json.as_object_mut().unwrap().remove("key").unwrap();
    assert_eq!(key["bits"], 2048);
    let text = serde_json::to_string_pretty(&json).unwrap();
    expect![[r#"
        {
          "entries": [
            {
              "id": 1,
              "meaning": "OEXCJuKZ1n77Q9dQTaRi4tlRtRcSTl1BqbDGHloVuXg= (is the hash of the key material)",
              "name": "KeyID"
            },
            {
              "id": 2,
              "meaning": "ouMkd2pmrtYdYMdx3jsbiqOM8mC2MIPbHaVU8jP7+Ss= (is the hash of what follows)",
              "name": "KeyHash"
            },
            {
              "id": 3,
              "meaning": "BCRYPT RSA1, RSA-2048",
              "name": "KeyMaterial"
            },
            {
              "id": 4,
              "meaning": "NGC (sign-in)",
              "name": "KeyUsage"
            },
            {
              "id": 5,
              "meaning": "Entra ID",
              "name": "KeySource"
            },
            {
              "id": 6,
              "meaning": "10985e4b-0809-443d-8679-149422d9e170",
              "name": "DeviceId"
            },
            {
              "id": 7,
              "meaning": "version 1, flags 0x00, volume type 0, notification 1, FEK version 0, strength 0",
              "name": "CustomKeyInformation"
            },
            {
              "id": 8,
              "meaning": "0001-01-01T08:00:00.000Z",
              "name": "KeyApproximateLastLogonTimeStamp"
            },
            {
              "id": 9,
              "meaning": "2017-11-13T16:29:24.565Z",
              "name": "KeyCreationTime"
            }
          ],
          "key_hash_matches": true,
          "key_id": "OEXCJuKZ1n77Q9dQTaRi4tlRtRcSTl1BqbDGHloVuXg=",
          "key_id_matches": true,
          "length": 418,
          "samba_accepts": false,
          "samba_reason": "CustomKeyInformation has neither 2 bytes nor all of the long form",
          "version": 512
        }"#]].assert_eq(&text);
}

#[test]
fn both_kinds_of_times_are_read_and_written() {
    let ad = user_key_1().created().unwrap();
    assert_eq!(ad.to_unix(), Some(UnixTime(1_528_929_158)));
    assert_eq!(
        keycred::Timestamp::from_filetime(USER_KEY_1_TIME, KeySource::Ad),
        ad
    );

    let entra = KeyCredential::decode(&bytes(USER_KEY_2)).unwrap();
    let created = entra.created().unwrap();
    assert_eq!(created.to_string(), "2017-11-13T16:29:24.565Z");
    let filetime = Filetime::from(created.to_unix().unwrap());
    let written = keycred::Timestamp::from_filetime(filetime, KeySource::Entra);
    assert_eq!(written.to_string(), "2017-11-13T16:29:24.000Z");
    assert_eq!(written.raw() >> 62, 1);
    assert_eq!(
        entra.last_logon().unwrap().to_string(),
        "0001-01-01T08:00:00.000Z"
    );
}

#[test]
fn the_calendar_is_right_at_its_corners() {
    const DAY: u64 = 864_000_000_000;
    for (days, text) in [
        (0, "1601-01-01T00:00:00.000Z"),
        (134_774, "1970-01-01T00:00:00.000Z"),
        (145_790, "2000-02-29T00:00:00.000Z"),
        (145_791, "2000-03-01T00:00:00.000Z"),
        (182_315, "2100-03-01T00:00:00.000Z"),
        (182_314, "2100-02-28T00:00:00.000Z"),
        (3_067_670, "9999-12-31T00:00:00.000Z"),
        (3_067_671, "0x24c85a5ed1c04000, after the year 9999"),
    ] {
        let time = keycred::Timestamp::new(days * DAY, KeySource::Ad);
        assert_eq!(time.to_string(), text);
    }
    assert_eq!(
        keycred::Timestamp::new(u64::MAX, KeySource::Ad).to_unix(),
        None
    );
}

#[test]
fn old_versions_are_named_and_refused() {
    for version in [0_u32, 0x100] {
        let mut old = bytes(USER_KEY_1);
        old[..4].copy_from_slice(&version.to_le_bytes());
        assert_eq!(KeyCredential::decode(&old), Err(Error::OldVersion(version)));
    }
    let mut unknown = bytes(USER_KEY_1);
    unknown[1] = 3;
    assert!(matches!(
        KeyCredential::decode(&unknown),
        Err(Error::Blob(_))
    ));
}

#[test]
fn every_shortening_is_refused_or_ends_between_entries() {
    let whole = bytes(USER_KEY_1);
    let read = (0..whole.len()).filter(|end| KeyCredential::decode(&whole[..*end]).is_ok());
    assert_eq!(
        read.collect::<Vec<_>>(),
        [4, 39, 74, 360, 364, 368, 387, 392, 403]
    );
}

#[test]
fn unknown_and_repeated_entries_keep_their_place() {
    let value = changed(|entries| {
        entries.insert(0, entry(0x7f, b"later"));
        entries.push(entry(Entry::KEY_USAGE, &[7]));
    });
    let read = KeyCredential::decode(&value.encode()).unwrap();
    assert_eq!(read, value);
    assert_eq!(read.entries()[0].value(), b"later");
    assert_eq!(read.usage(), Some(KeyUsage::Ngc));
}

#[test]
fn wrong_hashes_are_told_and_do_not_stop_the_reading() {
    let value = changed(|entries| entries[0] = entry(Entry::KEY_ID, &[0; 32]));
    assert_eq!(value.key_id_matches(), Some(false));
    assert_eq!(value.key_hash_matches(), Some(true));
    let value = changed(|entries| entries[3] = entry(Entry::KEY_USAGE, &[2]));
    assert_eq!(value.key_id_matches(), Some(true));
    assert_eq!(value.key_hash_matches(), Some(false));
    assert!(
        value
            .describe()
            .to_string()
            .contains("is NOT the hash of what follows")
    );
    let value = changed(|entries| drop(entries.drain(..2)));
    assert_eq!(
        (value.key_id_matches(), value.key_hash_matches()),
        (None, None)
    );
}

#[test]
fn all_forms_of_custom_key_information_are_shown() {
    for (bytes, text) in [
        (&[1, 2][..], "version 1, flags 0x02 MFA not used"),
        (
            &[1, 0, 0, 0],
            "version 1, flags 0x00, volume type 0, notification 0",
        ),
        (
            &[1, 1, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xa0],
            "version 1, flags 0x01 attestation, volume type 0, notification 0, FEK version 1, \
             strength 2, extended 0001a0",
        ),
        (&[1], "not of the expected size"),
    ] {
        let value = changed(|entries| entries[6] = entry(Entry::CUSTOM_KEY_INFORMATION, bytes));
        assert_eq!(value.describe().entries[6].meaning, text);
        assert_eq!(KeyCredential::decode(&value.encode()).unwrap(), value);
    }
}

#[test]
fn samba_takes_what_its_rules_allow() {
    let public = user_key_1().public_key().unwrap();
    let entra = KeyCredential::decode(&bytes(USER_KEY_2)).unwrap();
    let long = [1, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xa0];
    let rsa1 = public.to_rsa1();
    let mut zero_led = rsa1.clone();
    zero_led[8] = 4;
    zero_led.insert(24, 0);
    let mut signed = rsa1.clone();
    signed[12..14].copy_from_slice(&[1, 1]);
    signed.insert(27, 0);
    let mut twice_zero_led = signed.clone();
    twice_zero_led[12] = 2;
    twice_zero_led.insert(27, 0);
    let with = |index: usize, id: u8, value: &[u8]| changed(|e| e[index] = entry(id, value));
    let material = |value: &[u8]| with(2, Entry::KEY_MATERIAL, value);
    let custom = |value: &[u8]| with(6, Entry::CUSTOM_KEY_INFORMATION, value);

    for value in [
        user_key_1(),
        changed(|entries| drop(entries.drain(..2))),
        changed(|entries| entries.reverse()),
        changed(|entries| entries.truncate(4)),
        custom(&long),
        material(&public.to_spki_der()),
        material(&signed),
    ] {
        assert_eq!(value.samba_verdict(), SambaVerdict::Accepted);
    }
    for (value, word) in [
        (entra, "CustomKeyInformation"),
        (custom(&[1, 0, 0, 0, 0]), "CustomKeyInformation"),
        (custom(&[&[1, 0, 0, 0, 0][..], &long[5..]].concat()), "FEK"),
        (custom(&long[..18]), "extended"),
        (with(3, Entry::KEY_USAGE, &[2]), "NGC"),
        (with(3, Entry::KEY_USAGE, &[1, 0]), "one byte"),
        (with(5, Entry::DEVICE_ID, &[0; 15]), "DeviceId"),
        (with(8, Entry::CREATED, &[0; 4]), "8 bytes"),
        (
            changed(|e| e.push(entry(Entry::KEY_USAGE, &[1]))),
            "more than one KeyUsage",
        ),
        (
            changed(|e| e.push(entry(Entry::KEY_MATERIAL, &[1; 5]))),
            "more than one KeyMaterial",
        ),
        (changed(|e| drop(e.remove(3))), "no KeyUsage"),
        (changed(|e| drop(e.remove(2))), "no KeyMaterial"),
        (changed(|e| e.push(entry(10, &[]))), "unknown"),
        (material(&zero_led), "leading zero"),
        (material(&twice_zero_led), "leading zero"),
        (material(&public.to_spki_der()[24..]), "PKCS#1"),
        (material(b"{\"version\":1}"), "not an RSA key"),
    ] {
        let SambaVerdict::Refused(reason) = value.samba_verdict() else {
            panic!("not refused, expected a reason with {word}");
        };
        assert!(reason.contains(word), "{reason} / {word}");
    }
    assert!(matches!(
        material(b"PCPM....").samba_verdict(),
        SambaVerdict::Undecided(_)
    ));
}

#[test]
fn an_entry_longer_than_its_length_field_can_say_is_refused() {
    assert!(Entry::new(3, vec![0; 65_535]).is_ok());
    assert!(Entry::new(3, vec![0; 65_536]).is_err());
    let widest = RsaPublicKey::from_components(&[0xff; 2048], &[0xff; 8]).unwrap();
    let guid = Guid::from_le_bytes([0; 16]);
    let value = KeyCredential::for_user(&widest, guid, Filetime(0), Filetime(0));
    assert_eq!(KeyCredential::decode(&value.encode()).unwrap(), value);
}
