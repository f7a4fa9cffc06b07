//! The statement about a key: what the device signs and the user proves by Kerberos, and what the
//! agent checks against AD before it writes anything.
//!
//! Layout, version 1, all integers big-endian:
//!
//! ```text
//! "latchkey-key-statement" 00 | u8 version = 1 | u8 operation | u16 n | n bytes SID text
//! | 32 bytes SHA-256 of the key material | 16 bytes device GUID (directory order)
//! | i64 unix time in seconds | u64 sequence
//! ```
//!
//! The sequence grows with each statement of a device; the agent remembers the highest it has
//! carried out, so that a server cannot play an old addition again after its removal.

use model::{Guid, Sid, UnixTime};

/// Begins every statement, so that no signature over one can be taken for another protocol's.
const DOMAIN: &[u8] = b"latchkey-key-statement\0";

/// What is to happen to the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// One value more in `msDS-KeyCredentialLink`.
    Add,
    /// That value out again.
    Remove,
}

/// A statement about one key of one user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// What is to happen.
    pub operation: Operation,
    /// The user's SID.
    pub user: Sid,
    /// SHA-256 of the key material (the BCRYPT RSA1 blob): `KeyID`.
    pub key_id: [u8; 32],
    /// The device that holds the key: the computer's objectGUID.
    pub device: Guid,
    /// When the statement was made.
    pub time: UnixTime,
    /// Grows with each statement of this device.
    pub sequence: u64,
}

impl Statement {
    /// The bytes that are signed.
    pub fn to_bytes(&self) -> Vec<u8> {
        let sid = self.user.to_string();
        let mut bytes = DOMAIN.to_vec();
        bytes.push(1);
        bytes.push(match self.operation {
            Operation::Add => 1,
            Operation::Remove => 2,
        });
        // A SID text has at most 15 sub-authorities: under 200 characters.
        bytes.extend_from_slice(&(sid.len() as u16).to_be_bytes());
        bytes.extend_from_slice(sid.as_bytes());
        bytes.extend_from_slice(&self.key_id);
        bytes.extend_from_slice(&self.device.to_le_bytes());
        bytes.extend_from_slice(&self.time.0.to_be_bytes());
        bytes.extend_from_slice(&self.sequence.to_be_bytes());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement() -> Statement {
        Statement {
            operation: Operation::Add,
            user: "S-1-5-21-1-2-3-1104".parse().unwrap(),
            key_id: [7; 32],
            device: Guid::from_le_bytes([9; 16]),
            time: UnixTime(1_700_000_000),
            sequence: 3,
        }
    }

    #[test]
    fn every_field_of_a_statement_changes_its_bytes() {
        let base = statement();
        let others = [
            Statement {
                operation: Operation::Remove,
                ..base.clone()
            },
            Statement {
                user: "S-1-5-21-1-2-3-1105".parse().unwrap(),
                ..base.clone()
            },
            Statement {
                key_id: [8; 32],
                ..base.clone()
            },
            Statement {
                device: Guid::from_le_bytes([8; 16]),
                ..base.clone()
            },
            Statement {
                time: UnixTime(1_700_000_001),
                ..base.clone()
            },
            Statement {
                sequence: 4,
                ..base.clone()
            },
        ];
        for other in others {
            assert_ne!(other.to_bytes(), base.to_bytes(), "{other:?}");
        }
    }

    #[test]
    fn a_statement_has_its_documented_layout() {
        let bytes = statement().to_bytes();
        assert_eq!(bytes.len(), 23 + 1 + 1 + 2 + 19 + 32 + 16 + 8 + 8);
        assert_eq!(bytes[23..27], [1, 1, 0, 19]);
    }
}
