//! Which values nobody should have: a pure function over what the directory says.

use std::{
    collections::{HashMap, HashSet},
    fmt,
};

use clap::ValueEnum;
use directory::{KeyHolder, KeyValue, Protection};
use keycred::{KeyCredential, KeyUsage};
use model::{Guid, sha256};
use serde::Serialize;

use crate::{ledger::hex, status::plain, written::Written};

/// What is wrong with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum Kind {
    /// It cannot be read.
    Unreadable,
    /// It is on an account that gets no keys.
    Protected,
    /// Its private key can be computed (CVE-2017-15361).
    Weak,
    /// The same key of the same device is there once more, and newer.
    Duplicate,
    /// The directory has no computer that is its device. Keys of other products are too: those of
    /// Windows Hello for Business on devices that are joined to Entra ID only, for example.
    Orphan,
    /// It is such as the agent writes, and neither the agent nor the server knows of it.
    Unregistered,
}

/// One value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What is wrong.
    pub kind: Kind,
    /// Whose it is: objectGUID.
    pub user: Guid,
    /// The same by name.
    pub account: String,
    /// SHA-256 of the key, hexadecimal.
    pub key: Option<String>,
    /// The device in it.
    pub device: Option<Guid>,
    /// The agent wrote it.
    pub ours: bool,
    /// The value.
    #[serde(skip)]
    pub blob: Vec<u8>,
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            Kind::Unreadable => "cannot be read",
            Kind::Protected => "is on an account that gets no keys",
            Kind::Weak => "is weak: its private key can be computed",
            Kind::Duplicate => "is there once more, and newer",
            Kind::Orphan => "is of a device that the directory does not have",
            Kind::Unregistered => "is in no registration of the server",
        };
        let whose = if self.ours { "ours" } else { "not ours" };
        let key = self.key.as_deref().unwrap_or("?");
        write!(
            out,
            "{}: the value of key {key} {what} ({whose})",
            plain(&self.account)
        )
    }
}

/// What is found, at most one thing about each value. `computers` are those of the devices that the
/// directory has; with `foreign`, devices of the agent's own values may be the server's alone.
pub(super) fn of(
    holders: &[KeyHolder],
    computers: &HashSet<Guid>,
    written: &Written,
    foreign: bool,
) -> Vec<Finding> {
    let mut found = Vec::new();
    for KeyHolder { user, values } in holders {
        let newest = newest(values);
        for value in values {
            let credential = KeyCredential::decode(&value.blob).ok();
            let credential = credential.as_ref();
            let material = credential.and_then(KeyCredential::material);
            let key = material.map(|material| hex(&sha256(material)));
            let device = credential.and_then(KeyCredential::device);
            let has_our_form = credential.is_some_and(KeyCredential::is_for_user);
            let is_written = || {
                let key = key.as_deref().zip(device);
                key.is_some_and(|(key, device)| written.has(user.guid, key, device))
            };
            let ours = has_our_form && is_written();
            let is_weak = || {
                let public = credential.and_then(KeyCredential::public_key);
                public.is_some_and(|public| public.has_roca_fingerprint())
            };
            let is_protected = || {
                let protection = user.protection;
                protection.is_some_and(|why| why != Protection::Unreadable)
            };
            let is_newest = || {
                let newest = key
                    .as_ref()
                    .and_then(|key| newest.get(&(key.clone(), device)));
                newest.is_none_or(|newest| **newest == value.blob)
            };
            let is_orphan = || {
                // Keys of other kinds, such as security keys, have no device.
                let is_a_device_s =
                    credential.and_then(KeyCredential::usage) == Some(KeyUsage::Ngc);
                let unknown = device.is_some_and(|device| !computers.contains(&device));
                is_a_device_s && unknown && !(ours && foreign)
            };
            let kind = if material.is_none() {
                Kind::Unreadable
            } else if is_protected() {
                Kind::Protected
            } else if is_weak() {
                Kind::Weak
            } else if !is_newest() {
                Kind::Duplicate
            } else if is_orphan() {
                Kind::Orphan
            } else if has_our_form && !ours {
                Kind::Unregistered
            } else {
                continue;
            };
            found.push(Finding {
                kind,
                user: user.guid,
                account: user.account.clone(),
                key,
                device,
                ours,
                blob: value.blob.clone(),
            });
        }
    }
    found
}

/// Of each key of each device the value that was made last.
fn newest(values: &[KeyValue]) -> HashMap<(String, Option<Guid>), &Vec<u8>> {
    let mut newest = HashMap::new();
    for value in values {
        let Ok(credential) = KeyCredential::decode(&value.blob) else {
            continue;
        };
        let Some(material) = credential.material() else {
            continue;
        };
        let key = (hex(&sha256(material)), credential.device());
        let made = credential.value(keycred::Entry::CREATED).map(reversed);
        let candidate = (made, &value.blob);
        let best = newest.entry(key).or_insert_with(|| candidate.clone());
        if candidate > *best {
            *best = candidate;
        }
    }
    let blobs = newest.into_iter().map(|(key, (_, blob))| (key, blob));
    blobs.collect()
}

/// A little-endian number's bytes in the order in which it compares.
fn reversed(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().rev().copied().collect()
}

#[cfg(test)]
mod tests {
    use directory::User;
    use keycred::{Entry, RsaPublicKey};
    use model::Filetime;

    use super::*;
    use crate::{testing::alice, written::Key};

    fn guid(byte: u8) -> Guid {
        Guid::from_le_bytes([byte; 16])
    }

    fn holder(protection: Option<Protection>, blobs: &[Vec<u8>]) -> KeyHolder {
        let value = |blob: &Vec<u8>| KeyValue { blob: blob.clone() };
        KeyHolder {
            user: User {
                protection,
                ..alice()
            },
            values: blobs.iter().map(value).collect(),
        }
    }

    fn key(byte: u8) -> RsaPublicKey {
        let mut modulus = [byte; 256];
        modulus[0] = 0x80;
        modulus[255] = 1;
        RsaPublicKey::from_components(&modulus, &[1, 0, 1]).unwrap()
    }

    fn blob(byte: u8, device: Guid, made: u64) -> Vec<u8> {
        let made = Filetime(made);
        KeyCredential::for_user(&key(byte), device, made, made).encode()
    }

    fn kinds(holder: KeyHolder, written: &Written, foreign: bool) -> Vec<(Kind, Vec<u8>, bool)> {
        let computers = HashSet::from([guid(9)]);
        let found = of(&[holder], &computers, written, foreign);
        found
            .into_iter()
            .map(|finding| (finding.kind, finding.blob, finding.ours))
            .collect()
    }

    fn written(byte: u8, device: Guid) -> Written {
        let mut written = Written::default();
        written.put(guid(1), Key::new(&key(byte).key_id(), device, 1), "dc");
        written
    }

    #[test]
    fn what_is_as_it_should_be_is_no_finding() {
        let made = Filetime(5);
        let value = KeyCredential::for_user(&key(2), guid(9), made, made);
        let foreign = KeyCredential::from_entries(value.entries().iter().rev().cloned().collect());
        let blobs = [blob(1, guid(9), 5), foreign.encode()];
        let written = written(1, guid(9));
        assert_eq!(kinds(holder(None, &blobs), &written, false), []);
    }

    #[test]
    fn a_value_such_as_the_agent_writes_that_nobody_registered_is_told() {
        let blobs = [blob(1, guid(9), 5), blob(2, guid(9), 5)];
        assert_eq!(
            kinds(holder(None, &blobs), &written(1, guid(9)), false),
            [(Kind::Unregistered, blobs[1].clone(), false)]
        );
    }

    #[test]
    fn of_one_key_the_newest_value_stays() {
        // 256 is after 255, though its first byte on the wire is lower.
        let blobs = [blob(1, guid(9), 256), blob(1, guid(9), 255)];
        assert_eq!(
            kinds(holder(None, &blobs), &written(1, guid(9)), false),
            [(Kind::Duplicate, blobs[1].clone(), true)]
        );
    }

    #[test]
    fn a_value_without_a_computer_is_an_orphan_unless_its_device_may_be_the_server_s() {
        let blobs = [blob(1, guid(8), 5)];
        let written = written(1, guid(8));
        assert_eq!(
            kinds(holder(None, &blobs), &written, false),
            [(Kind::Orphan, blobs[0].clone(), true)]
        );
        assert_eq!(kinds(holder(None, &blobs), &written, true), []);
        assert_eq!(
            kinds(holder(None, &blobs), &Written::default(), true),
            [(Kind::Orphan, blobs[0].clone(), false)]
        );
    }

    #[test]
    fn values_of_protected_accounts_and_such_as_cannot_be_read_are_told() {
        let blobs = [blob(1, guid(9), 5)];
        let admin = holder(Some(Protection::PrivilegedGroup), &blobs);
        assert_eq!(
            kinds(admin, &Written::default(), false),
            [(Kind::Protected, blobs[0].clone(), false)]
        );
        let empty =
            KeyCredential::from_entries(vec![Entry::new(Entry::KEY_USAGE, vec![1]).unwrap()]);
        let blobs = [b"nonsense".to_vec(), empty.encode()];
        let told = kinds(holder(None, &blobs), &Written::default(), false);
        let told: Vec<Kind> = told.into_iter().map(|(kind, ..)| kind).collect();
        assert_eq!(told, [Kind::Unreadable, Kind::Unreadable]);
    }
}
