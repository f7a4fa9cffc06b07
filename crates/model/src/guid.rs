//! GUIDs as Active Directory stores them (MS-DTYP 2.3.4): the first three fields little-endian.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Malformed;

/// A GUID; printed in lower case without braces, as in a device certificate's subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Guid(uuid::Uuid);

impl Guid {
    /// Nobody's (RFC 9562 5.9).
    pub const NIL: Self = Self(uuid::Uuid::nil());

    /// From the 16 bytes of an `objectGUID` value or a `DeviceId` entry (little-endian layout).
    pub const fn from_le_bytes(bytes: [u8; 16]) -> Self {
        Self(uuid::Uuid::from_bytes_le(bytes))
    }

    /// The little-endian layout of `objectGUID`.
    pub fn to_le_bytes(self) -> [u8; 16] {
        self.0.to_bytes_le()
    }

    /// A version 4 GUID out of 16 random bytes.
    pub fn from_random(bytes: [u8; 16]) -> Self {
        Self(uuid::Builder::from_random_bytes(bytes).into_uuid())
    }
}

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

impl FromStr for Guid {
    type Err = Malformed;

    /// Reads the hyphenated form, with or without braces, in any case.
    fn from_str(text: &str) -> Result<Self, Malformed> {
        let bare = text
            .strip_prefix('{')
            .and_then(|t| t.strip_suffix('}'))
            .unwrap_or(text);
        if bare.len() != 36 {
            return Err(Malformed {
                noun: "GUID",
                reason: "not 36 characters",
            });
        }
        uuid::Uuid::try_parse(bare)
            .map(Self)
            .map_err(|_| Malformed {
                noun: "GUID",
                reason: "not hexadecimal digits and hyphens",
            })
    }
}

impl Serialize for Guid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Guid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}
