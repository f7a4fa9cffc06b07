//! A key credential told to a person or a program: what `latchkey keys decode` prints.
//!
//! Nothing in a value is secret, so the whole of it is shown, every entry with its bytes.

use std::fmt::{self, Write as _};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Serialize;

use crate::{
    CustomKeyInformation, Entry, KeyCredential, KeyMaterial, KeySource, KeyUsage, RsaPublicKey,
    SambaVerdict,
};

/// A key credential in words; `Display` is the form for people, `Serialize` the one for programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Description {
    /// Version of the format.
    pub version: u32,
    /// Length of the whole value in bytes.
    pub length: usize,
    /// Every entry in the order of the bytes.
    pub entries: Vec<EntryDescription>,
    /// KeyID in base64, as other tools name a key.
    pub key_id: Option<String>,
    /// Whether KeyID is the SHA-256 of the key material.
    pub key_id_matches: Option<bool>,
    /// Whether KeyHash is the SHA-256 of the entries behind it.
    pub key_hash_matches: Option<bool>,
    /// The key, where it is an RSA key in a readable form.
    pub key: Option<KeyDescription>,
    /// Whether Samba's KDC counts the key; `None` where that cannot be told.
    pub samba_accepts: Option<bool>,
    /// Why not, or why it cannot be told.
    pub samba_reason: Option<&'static str>,
}

/// One entry in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EntryDescription {
    /// The identifier.
    pub id: u8,
    /// Its name.
    pub name: &'static str,
    /// What the value means.
    pub meaning: String,
    /// The bytes in hexadecimal.
    pub hex: String,
}

/// A public key in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyDescription {
    /// The form of the key material.
    pub form: &'static str,
    /// Length of the modulus.
    pub bits: u32,
    /// The modulus in hexadecimal.
    pub modulus: String,
    /// The exponent in hexadecimal.
    pub exponent: String,
    /// The SubjectPublicKeyInfo in base64.
    pub spki: String,
}

impl KeyCredential {
    /// Says what the value holds, which of its hashes are right and whether Samba takes it.
    pub fn describe(&self) -> Description {
        let (samba_accepts, samba_reason) = match self.samba_verdict() {
            SambaVerdict::Accepted => (Some(true), None),
            SambaVerdict::Refused(reason) => (Some(false), Some(reason)),
            SambaVerdict::Undecided(reason) => (None, Some(reason)),
        };
        Description {
            version: 0x200,
            length: self.encode().len(),
            entries: self
                .entries()
                .iter()
                .map(|entry| self.describe_entry(entry))
                .collect(),
            key_id: self.key_id().map(|id| STANDARD.encode(id)),
            key_id_matches: self.key_id_matches(),
            key_hash_matches: self.key_hash_matches(),
            key: self.material().and_then(describe_key),
            samba_accepts,
            samba_reason,
        }
    }

    fn describe_entry(&self, entry: &Entry) -> EntryDescription {
        EntryDescription {
            id: entry.id(),
            name: entry.name(),
            meaning: self
                .meaning(entry)
                .unwrap_or_else(|| "not of the expected size".to_owned()),
            hex: hex(entry.value()),
        }
    }

    /// Looks only at this entry (and at KeySource for the times): a repeated entry is told too.
    fn meaning(&self, entry: &Entry) -> Option<String> {
        let alone = Self::from_entries(vec![entry.clone()]);
        let time = |raw: &[u8]| {
            let source = self.source().unwrap_or(KeySource::Ad);
            Some(crate::Timestamp::new(
                u64::from_le_bytes(raw.try_into().ok()?),
                source,
            ))
        };
        Some(match entry.id() {
            Entry::KEY_ID => {
                let id = STANDARD.encode(entry.value());
                format!("{id}{}", verdict(self.key_id_matches(), "the key material"))
            }
            Entry::KEY_HASH => {
                let hash = STANDARD.encode(entry.value());
                format!("{hash}{}", verdict(self.key_hash_matches(), "what follows"))
            }
            Entry::KEY_MATERIAL => {
                let material = KeyMaterial::read(entry.value());
                let form = material.form();
                match material.into_rsa() {
                    Some(key) => format!("{form}, RSA-{}", key.bits()),
                    None => format!("{form}, {} bytes", entry.value().len()),
                }
            }
            Entry::KEY_USAGE => usage_name(alone.usage()?),
            Entry::KEY_SOURCE => source_name(alone.source()?),
            Entry::DEVICE_ID => alone.device()?.to_string(),
            Entry::CUSTOM_KEY_INFORMATION => custom_text(&alone.custom_key_information()?),
            Entry::LAST_LOGON | Entry::CREATED => time(entry.value())?.to_string(),
            _ => format!("{} bytes", entry.value().len()),
        })
    }
}

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "key credential, version {:#x}, {} bytes",
            self.version, self.length
        )?;
        for entry in &self.entries {
            writeln!(
                f,
                "  {:02x} {:<32}  {}",
                entry.id, entry.name, entry.meaning
            )?;
        }
        if let Some(key) = &self.key {
            writeln!(f, "  modulus   {}", key.modulus)?;
            writeln!(f, "  exponent  {}", key.exponent)?;
        }
        match (self.samba_accepts, self.samba_reason) {
            (Some(true), _) => writeln!(f, "  Samba's KDC takes this value"),
            (Some(false), reason) => {
                writeln!(
                    f,
                    "  Samba's KDC does not take this value: {}",
                    reason.unwrap_or("?")
                )
            }
            (None, reason) => {
                writeln!(
                    f,
                    "  Samba's KDC may take this value: {}",
                    reason.unwrap_or("?")
                )
            }
        }
    }
}

fn describe_key(material: &[u8]) -> Option<KeyDescription> {
    let material = KeyMaterial::read(material);
    let form = material.form();
    let key: RsaPublicKey = material.into_rsa()?;
    Some(KeyDescription {
        form,
        bits: key.bits(),
        modulus: hex(key.modulus()),
        exponent: hex(key.exponent()),
        spki: STANDARD.encode(key.to_spki_der()),
    })
}

fn verdict(matches: Option<bool>, what: &str) -> String {
    match matches {
        Some(true) => format!(" (is the hash of {what})"),
        Some(false) => format!(" (is NOT the hash of {what})"),
        None => String::new(),
    }
}

fn usage_name(usage: KeyUsage) -> String {
    match usage {
        KeyUsage::Admin => "admin".to_owned(),
        KeyUsage::Ngc => "NGC (sign-in)".to_owned(),
        KeyUsage::Stk => "STK (session transport)".to_owned(),
        KeyUsage::BitlockerRecovery => "BitLocker recovery".to_owned(),
        KeyUsage::Fido => "FIDO".to_owned(),
        KeyUsage::Fek => "FEK (file encryption)".to_owned(),
        KeyUsage::Other(byte) => format!("unknown ({byte})"),
    }
}

fn source_name(source: KeySource) -> String {
    match source {
        KeySource::Ad => "Active Directory".to_owned(),
        KeySource::Entra => "Entra ID".to_owned(),
        KeySource::Other(byte) => format!("unknown ({byte})"),
    }
}

fn custom_text(custom: &CustomKeyInformation) -> String {
    let mut text = format!(
        "version {}, flags {:#04x}",
        custom.version(),
        custom.flags()
    );
    for (bit, name) in [(1, "attestation"), (2, "MFA not used")] {
        if custom.flags() & bit != 0 {
            text += &format!(" {name}");
        }
    }
    let fields = [
        ("volume type", custom.volume_type()),
        ("notification", custom.supports_notification()),
        ("FEK version", custom.fek_key_version()),
        ("strength", custom.strength()),
    ];
    for (name, value) in fields {
        if let Some(value) = value {
            text += &format!(", {name} {value}");
        }
    }
    if let Some(extended) = custom.extended().filter(|bytes| !bytes.is_empty()) {
        text += &format!(", extended {}", hex(extended));
    }
    text
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
