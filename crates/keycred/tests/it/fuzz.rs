//! Seeded mutation of known values: no input makes the codec panic or lose a byte.

use keycred::{DnBinary, KeyCredential, KeyMaterial, RsaPublicKey, read};

use crate::vectors::{USER_KEY_1, USER_KEY_2, bytes};

/// Everything that must hold for any bytes.
pub(crate) fn fuzz(data: &[u8]) {
    if let Ok(value) = KeyCredential::decode(data) {
        assert_eq!(value.encode(), data);
        assert_eq!(KeyCredential::decode(&value.encode()).as_ref(), Ok(&value));
        assert_eq!(value.describe().entries.len(), value.entries().len());
        assert!(!value.describe().to_string().is_empty());
    }
    if let Some(key) = KeyMaterial::read(data).into_rsa() {
        assert_eq!(RsaPublicKey::from_rsa1(&key.to_rsa1()).as_ref(), Ok(&key));
        assert_eq!(
            RsaPublicKey::from_spki_der(&key.to_spki_der()).as_ref(),
            Ok(&key)
        );
    }
    let text = String::from_utf8_lossy(data);
    if let Ok(value) = text.parse::<DnBinary>() {
        assert_eq!(value.to_string().parse(), Ok(value));
    }
    for input in read(&text).unwrap_or_default() {
        assert!(input.blob.len() <= text.len());
    }
}

/// A xorshift generator: the same seed makes the same run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound.max(1) as u64) as usize
    }
}

fn mutate(random: &mut Random, data: &mut Vec<u8>) {
    let at = random.below(data.len());
    match random.below(6) {
        0 => data.truncate(at),
        1 => data.insert(at, random.below(256) as u8),
        2 => drop(data.splice(at..at, [0xff; 3])),
        3 => data.extend_from_within(at..),
        _ if data.is_empty() => data.push(0),
        4 => data[at] ^= 1 << random.below(8),
        // Heads and lengths are at the front: they deserve most of the attention.
        _ => {
            let at = random.below(data.len().min(90));
            data[at] = [0, 1, 2, 0x7f, 0x80, 0xff][random.below(6)];
        }
    }
}

#[test]
fn no_mutation_of_known_values_breaks_the_codec() {
    let key = KeyCredential::decode(&bytes(USER_KEY_1))
        .unwrap()
        .public_key()
        .unwrap();
    let dn_binary = format!("B:828:{USER_KEY_1}:DC=x");
    let seeds = [
        bytes(USER_KEY_1),
        bytes(USER_KEY_2),
        key.to_rsa1(),
        key.to_spki_der(),
        key.to_spki_der()[24..].to_vec(),
        dn_binary.clone().into_bytes(),
        format!("dn: DC=x\nmsDS-KeyCredentialLink: {dn_binary}\n").into_bytes(),
        USER_KEY_2.as_bytes().to_vec(),
    ];
    let mut random = Random(0x5eed_1e55_cafe_f00d);
    for round in 0..24_000 {
        let mut data = seeds[round % seeds.len()].clone();
        for _ in 0..=random.below(4) {
            mutate(&mut random, &mut data);
        }
        fuzz(&data);
    }
}
