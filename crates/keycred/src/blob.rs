//! KEYCREDENTIALLINK_BLOB (MS-ADTS 2.2.20.2): a version and a row of entries.
//!
//! Entries keep their order, their bytes and their repetitions. The typed readers look at the
//! first entry of a kind and answer `None` where it is absent or has the wrong size.

use model::{Filetime, Guid, sha256};

use crate::{CustomKeyInformation, Error, KeyMaterial, RsaPublicKey, Timestamp};

/// The longest key credential that is read.
pub const MAX_BLOB: usize = 128 * 1024;

/// The one version that is read and written.
const VERSION: u32 = 0x200;

/// One value of `msDS-KeyCredentialLink`, without the DN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyCredential {
    entries: Vec<Entry>,
}

/// One entry (KEYCREDENTIALLINK_ENTRY, MS-ADTS 2.2.20.3): an identifier and at most 65,535 bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    id: u8,
    value: Vec<u8>,
}

/// What a key is for (MS-ADTS 2.2.20.5.1 and values seen in the field).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyUsage {
    /// The administrator's PIN reset key.
    Admin,
    /// A next generation credential: the key of a person or computer that signs in with it.
    Ngc,
    /// A session transport key, found on device objects.
    Stk,
    /// A BitLocker recovery key.
    BitlockerRecovery,
    /// A FIDO security key.
    Fido,
    /// A file encryption key.
    Fek,
    /// A value without a known name.
    Other(u8),
}

/// Where a key was registered, which also decides how its times are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeySource {
    /// Active Directory.
    Ad,
    /// Entra ID.
    Entra,
    /// A value without a known name.
    Other(u8),
}

impl KeyCredential {
    /// Reads the bytes of a value.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() > MAX_BLOB {
            return Err(Error::Blob("longer than 128 KiB"));
        }
        let (version, mut rest) = bytes
            .split_first_chunk::<4>()
            .ok_or(Error::Blob("too short to hold its version"))?;
        match u32::from_le_bytes(*version) {
            VERSION => {}
            old @ (0 | 0x100) => return Err(Error::OldVersion(old)),
            _ => return Err(Error::Blob("it does not begin with version 0x200")),
        }
        let mut entries = Vec::new();
        while !rest.is_empty() {
            let ([low, high, id], tail) = rest
                .split_first_chunk::<3>()
                .ok_or(Error::Blob("it ends within the head of an entry"))?;
            let (value, tail) = tail
                .split_at_checked(usize::from(u16::from_le_bytes([*low, *high])))
                .ok_or(Error::Blob("an entry is longer than what is left"))?;
            entries.push(Entry {
                id: *id,
                value: value.to_vec(),
            });
            rest = tail;
        }
        Ok(Self { entries })
    }

    /// The bytes of the value, as the directory stores them.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = VERSION.to_le_bytes().to_vec();
        write_entries(&self.entries, &mut bytes);
        bytes
    }

    /// The value that makes `public` a user's key: all nine entries in ascending order, source
    /// Active Directory, so that both times are FILETIMEs.
    ///
    /// CustomKeyInformation is the two-byte form, because Samba drops a value with any of the
    /// longer forms that Entra ID writes.
    pub fn for_user(
        public: &RsaPublicKey,
        device: Guid,
        created: Filetime,
        last_logon: Filetime,
    ) -> Self {
        let material = public.to_rsa1();
        let key_id = sha256(&material).to_vec();
        let after_hash = vec![
            Entry {
                id: Entry::KEY_MATERIAL,
                value: material,
            },
            Entry {
                id: Entry::KEY_USAGE,
                value: vec![KeyUsage::Ngc.into()],
            },
            Entry {
                id: Entry::KEY_SOURCE,
                value: vec![KeySource::Ad.into()],
            },
            Entry {
                id: Entry::DEVICE_ID,
                value: device.to_le_bytes().to_vec(),
            },
            Entry {
                id: Entry::CUSTOM_KEY_INFORMATION,
                value: vec![1, 0],
            },
            Entry {
                id: Entry::LAST_LOGON,
                value: last_logon.0.to_le_bytes().to_vec(),
            },
            Entry {
                id: Entry::CREATED,
                value: created.0.to_le_bytes().to_vec(),
            },
        ];
        let key_hash = hash_of(&after_hash).to_vec();
        let mut entries = vec![
            Entry {
                id: Entry::KEY_ID,
                value: key_id,
            },
            Entry {
                id: Entry::KEY_HASH,
                value: key_hash,
            },
        ];
        entries.extend(after_hash);
        Self { entries }
    }

    /// Whether [`KeyCredential::for_user`] makes this very value of the key, the device and the times
    /// in it.
    pub fn is_for_user(&self) -> bool {
        let time = |id| {
            let bytes = self.value(id)?.try_into().ok()?;
            Some(Filetime(u64::from_le_bytes(bytes)))
        };
        let made = || {
            let (key, device) = self.public_key().zip(self.device())?;
            let (created, last_logon) = time(Entry::CREATED).zip(time(Entry::LAST_LOGON))?;
            Some(Self::for_user(&key, device, created, last_logon))
        };
        made().is_some_and(|made| made == *self)
    }

    /// A value of any entries in any order, for what [`KeyCredential::for_user`] does not write.
    pub fn from_entries(entries: Vec<Entry>) -> Self {
        Self { entries }
    }

    /// All entries in the order of the bytes.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The value of the first entry with this identifier.
    pub fn value(&self, id: u8) -> Option<&[u8]> {
        self.entries
            .iter()
            .find(|entry| entry.id == id)
            .map(Entry::value)
    }

    /// KeyID: for RSA keys the SHA-256 of the key material, for FIDO keys the credential's id.
    pub fn key_id(&self) -> Option<&[u8]> {
        self.value(Entry::KEY_ID)
    }

    /// The key material as it stands in the value.
    pub fn material(&self) -> Option<&[u8]> {
        self.value(Entry::KEY_MATERIAL)
    }

    /// The public key, where the material is an RSA key in one of the readable forms.
    pub fn public_key(&self) -> Option<RsaPublicKey> {
        KeyMaterial::read(self.material()?).into_rsa()
    }

    /// KeyUsage.
    pub fn usage(&self) -> Option<KeyUsage> {
        self.fixed::<1>(Entry::KEY_USAGE)
            .map(|[usage]| usage.into())
    }

    /// KeySource.
    pub fn source(&self) -> Option<KeySource> {
        self.fixed::<1>(Entry::KEY_SOURCE)
            .map(|[source]| source.into())
    }

    /// DeviceId: the device that holds the private key.
    pub fn device(&self) -> Option<Guid> {
        self.fixed(Entry::DEVICE_ID).map(Guid::from_le_bytes)
    }

    /// CustomKeyInformation.
    pub fn custom_key_information(&self) -> Option<CustomKeyInformation> {
        CustomKeyInformation::read(self.value(Entry::CUSTOM_KEY_INFORMATION)?)
    }

    /// KeyApproximateLastLogonTimeStamp.
    pub fn last_logon(&self) -> Option<Timestamp> {
        self.timestamp(Entry::LAST_LOGON)
    }

    /// KeyCreationTime.
    pub fn created(&self) -> Option<Timestamp> {
        self.timestamp(Entry::CREATED)
    }

    /// Whether KeyID is the SHA-256 of the key material; `None` where either is absent.
    pub fn key_id_matches(&self) -> Option<bool> {
        Some(self.key_id()? == sha256(self.material()?))
    }

    /// Whether KeyHash is the SHA-256 of all entries behind it; `None` where it is absent.
    pub fn key_hash_matches(&self) -> Option<bool> {
        let mut rest = self.entries.iter();
        let key_hash = rest.find(|entry| entry.id == Entry::KEY_HASH)?;
        Some(key_hash.value == hash_of(rest.as_slice()))
    }

    fn timestamp(&self, id: u8) -> Option<Timestamp> {
        let raw = u64::from_le_bytes(self.fixed(id)?);
        Some(Timestamp::new(raw, self.source().unwrap_or(KeySource::Ad)))
    }

    fn fixed<const N: usize>(&self, id: u8) -> Option<[u8; N]> {
        self.value(id)?.try_into().ok()
    }
}

impl Entry {
    /// KeyID.
    pub const KEY_ID: u8 = 1;
    /// KeyHash.
    pub const KEY_HASH: u8 = 2;
    /// KeyMaterial.
    pub const KEY_MATERIAL: u8 = 3;
    /// KeyUsage.
    pub const KEY_USAGE: u8 = 4;
    /// KeySource.
    pub const KEY_SOURCE: u8 = 5;
    /// DeviceId.
    pub const DEVICE_ID: u8 = 6;
    /// CustomKeyInformation.
    pub const CUSTOM_KEY_INFORMATION: u8 = 7;
    /// KeyApproximateLastLogonTimeStamp.
    pub const LAST_LOGON: u8 = 8;
    /// KeyCreationTime.
    pub const CREATED: u8 = 9;

    /// An entry of any identifier; its length must fit the 16 bits that are written before it.
    pub fn new(id: u8, value: Vec<u8>) -> Result<Self, Error> {
        if value.len() > usize::from(u16::MAX) {
            return Err(Error::Blob("an entry is longer than 65,535 bytes"));
        }
        Ok(Self { id, value })
    }

    /// The identifier.
    pub fn id(&self) -> u8 {
        self.id
    }

    /// The bytes.
    pub fn value(&self) -> &[u8] {
        &self.value
    }

    /// The identifier's name in MS-ADTS 2.2.20.6.
    pub fn name(&self) -> &'static str {
        match self.id {
            Self::KEY_ID => "KeyID",
            Self::KEY_HASH => "KeyHash",
            Self::KEY_MATERIAL => "KeyMaterial",
            Self::KEY_USAGE => "KeyUsage",
            Self::KEY_SOURCE => "KeySource",
            Self::DEVICE_ID => "DeviceId",
            Self::CUSTOM_KEY_INFORMATION => "CustomKeyInformation",
            Self::LAST_LOGON => "KeyApproximateLastLogonTimeStamp",
            Self::CREATED => "KeyCreationTime",
            _ => "unknown",
        }
    }
}

impl From<u8> for KeyUsage {
    fn from(byte: u8) -> Self {
        match byte {
            0 => Self::Admin,
            1 => Self::Ngc,
            2 => Self::Stk,
            3 => Self::BitlockerRecovery,
            7 => Self::Fido,
            8 => Self::Fek,
            other => Self::Other(other),
        }
    }
}

impl From<KeyUsage> for u8 {
    fn from(usage: KeyUsage) -> Self {
        match usage {
            KeyUsage::Admin => 0,
            KeyUsage::Ngc => 1,
            KeyUsage::Stk => 2,
            KeyUsage::BitlockerRecovery => 3,
            KeyUsage::Fido => 7,
            KeyUsage::Fek => 8,
            KeyUsage::Other(byte) => byte,
        }
    }
}

impl From<u8> for KeySource {
    fn from(byte: u8) -> Self {
        match byte {
            0 => Self::Ad,
            1 => Self::Entra,
            other => Self::Other(other),
        }
    }
}

impl From<KeySource> for u8 {
    fn from(source: KeySource) -> Self {
        match source {
            KeySource::Ad => 0,
            KeySource::Entra => 1,
            KeySource::Other(byte) => byte,
        }
    }
}

fn hash_of(entries: &[Entry]) -> [u8; 32] {
    let mut bytes = Vec::new();
    write_entries(entries, &mut bytes);
    sha256(&bytes)
}

fn write_entries(entries: &[Entry], bytes: &mut Vec<u8>) {
    for Entry { id, value } in entries {
        // Every way to make an entry keeps its length within 16 bits.
        bytes.extend_from_slice(&(value.len() as u16).to_le_bytes());
        bytes.push(*id);
        bytes.extend_from_slice(value);
    }
}
