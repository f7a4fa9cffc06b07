//! Whether Samba's KDC takes a value into account when its owner signs in.
//!
//! The rules are those of Samba 4.24 (Heimdal build). A value that breaks one of them is skipped
//! with a warning in the KDC's log, and sign-in with its key fails as if it were not there. Order
//! of entries, KeyID, KeyHash, KeySource, DeviceId and both times play no part.

use crate::{Entry, KeyCredential, KeyMaterial, rsa::Rsa1};

/// What Samba's KDC makes of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SambaVerdict {
    /// The key counts.
    Accepted,
    /// The value is skipped, or can never match, for this reason.
    Refused(&'static str),
    /// It depends on parts of the key material that are not read here.
    Undecided(&'static str),
}

const USAGE_NGC: u8 = 1;
const MAX_BITS: u32 = 65_536;
const MAX_EXPONENT: usize = 8;
const MAX_MODULUS: usize = 0x2001;
/// The long form of CustomKeyInformation without extended items.
const CUSTOM_LONG: usize = 16;

impl KeyCredential {
    /// Applies the rules of Samba's KDC to this value.
    pub fn samba_verdict(&self) -> SambaVerdict {
        use SambaVerdict::Refused;
        if let Some(reason) = self.entries().iter().find_map(broken) {
            return Refused(reason);
        }
        let all = |id| self.entries().iter().filter(move |entry| entry.id() == id);
        let mut usages = all(Entry::KEY_USAGE);
        match (usages.next().map(Entry::value), usages.next()) {
            (Some([USAGE_NGC]), None) => {}
            (Some(_), None) => return Refused("KeyUsage is not NGC (1)"),
            (None, _) => return Refused("there is no KeyUsage"),
            (_, Some(_)) => return Refused("there is more than one KeyUsage"),
        }
        let mut materials = all(Entry::KEY_MATERIAL);
        match (materials.next().map(Entry::value), materials.next()) {
            (Some(material), None) => judge_material(material),
            (None, _) => Refused("there is no KeyMaterial"),
            (_, Some(_)) => Refused("there is more than one KeyMaterial"),
        }
    }
}

/// Why an entry makes the whole value unreadable for Samba.
fn broken(entry: &Entry) -> Option<&'static str> {
    let size = entry.value().len();
    match entry.id() {
        Entry::KEY_ID if size != 32 => Some("KeyID does not have 32 bytes"),
        Entry::KEY_HASH if size != 32 => Some("KeyHash does not have 32 bytes"),
        Entry::KEY_MATERIAL if size < 5 => Some("KeyMaterial has fewer than 5 bytes"),
        Entry::KEY_USAGE if size != 1 => Some("KeyUsage does not have one byte"),
        Entry::KEY_SOURCE if size != 1 => Some("KeySource does not have one byte"),
        Entry::DEVICE_ID if size != 16 => Some("DeviceId does not have 16 bytes"),
        Entry::CUSTOM_KEY_INFORMATION => broken_custom(entry.value()),
        Entry::LAST_LOGON | Entry::CREATED if size != 8 => Some("a time does not have 8 bytes"),
        Entry::KEY_ID..=Entry::CREATED => None,
        _ => Some("there is an entry with an unknown identifier"),
    }
}

fn broken_custom(value: &[u8]) -> Option<&'static str> {
    if value.len() == 2 {
        return None;
    }
    if value.len() < CUSTOM_LONG {
        return Some("CustomKeyInformation has neither 2 bytes nor all of the long form");
    }
    if value.get(4) != Some(&1) {
        return Some("CustomKeyInformation has a FEK key version other than 1");
    }
    let mut items = value.get(CUSTOM_LONG..).unwrap_or_default();
    while let [version, size, rest @ ..] = items {
        match rest.split_at_checked(usize::from(*size)) {
            Some((_, tail)) if *version == 0 => items = tail,
            _ => return Some("CustomKeyInformation has a broken extended item"),
        }
    }
    if items.is_empty() {
        None
    } else {
        Some("CustomKeyInformation has a broken extended item")
    }
}

fn judge_material(material: &[u8]) -> SambaVerdict {
    use SambaVerdict::{Accepted, Refused, Undecided};
    if let Ok(rsa1) = Rsa1::read(material) {
        let sizes_fit = (1..=MAX_BITS).contains(&rsa1.bits)
            && (1..=MAX_EXPONENT).contains(&rsa1.exponent.len())
            && (1..=MAX_MODULUS).contains(&rsa1.modulus.len());
        if !sizes_fit {
            return Refused("a number of the RSA1 key is out of bounds");
        }
        // The numbers are put into DER as they stand. One zero before a set bit belongs there.
        let too_long = |number: &[u8]| matches!(number, [0, next, ..] if *next < 0x80);
        if too_long(rsa1.exponent) || too_long(rsa1.modulus) {
            return Refused(
                "a number of the RSA1 key has a leading zero, so no certificate matches",
            );
        }
        return Accepted;
    }
    match KeyMaterial::read(material) {
        KeyMaterial::Rsa1(_) | KeyMaterial::Spki(_) => Accepted,
        KeyMaterial::Pkcs1(_) => Refused("the key is in PKCS#1 form"),
        KeyMaterial::TpmBlob => {
            Undecided("the key is in TPM form: only RSASSA with SHA-256 counts")
        }
        KeyMaterial::Other => Refused("the key is not an RSA key in a form that is read"),
    }
}
