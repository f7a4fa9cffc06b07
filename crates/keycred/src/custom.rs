//! CustomKeyInformation (MS-ADTS 2.2.20.4): two bytes, or more of them.
//!
//! Writers disagree about how many fields follow the flags (2, 4, 5, 6, 15 and 16 bytes are
//! seen), so the bytes are kept and each field is present or not.

/// The value of a CustomKeyInformation entry; at least version and flags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomKeyInformation {
    bytes: Vec<u8>,
}

/// Bytes up to and with the reserved ones: where the extended items begin.
const FIXED: usize = 16;

impl CustomKeyInformation {
    /// Takes the value of the entry; `None` where it is shorter than version and flags.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        (bytes.len() >= 2).then(|| Self {
            bytes: bytes.to_vec(),
        })
    }

    /// The bytes as they were read.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Version; 1 in everything seen.
    pub fn version(&self) -> u8 {
        self.bytes.first().copied().unwrap_or_default()
    }

    /// Flags: 0x01 attestation, 0x02 MFA not used.
    pub fn flags(&self) -> u8 {
        self.bytes.get(1).copied().unwrap_or_default()
    }

    /// Volume type: 0 none, 1 operating system, 2 fixed data, 3 removable data.
    pub fn volume_type(&self) -> Option<u8> {
        self.bytes.get(2).copied()
    }

    /// Whether the device takes push notifications.
    pub fn supports_notification(&self) -> Option<u8> {
        self.bytes.get(3).copied()
    }

    /// Version of the file encryption key.
    pub fn fek_key_version(&self) -> Option<u8> {
        self.bytes.get(4).copied()
    }

    /// Strength of the key: 0 unknown, 1 weak, 2 normal.
    pub fn strength(&self) -> Option<u8> {
        self.bytes.get(5).copied()
    }

    /// What follows the reserved bytes; `None` where those are not all there.
    pub fn extended(&self) -> Option<&[u8]> {
        self.bytes.get(FIXED..)
    }
}
