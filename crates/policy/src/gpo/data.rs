//! The data of a registry value.

use std::fmt;

use model::Malformed;
use serde::{Deserialize, Serialize};

use super::utf16;

/// Typed data, as Registry.pol holds it (MS-GPREG 2.2.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Data {
    /// REG_NONE without content.
    None,
    /// REG_SZ.
    Text(String),
    /// REG_EXPAND_SZ.
    Expand(String),
    /// REG_BINARY.
    Binary(Vec<u8>),
    /// REG_DWORD.
    Dword(u32),
    /// REG_DWORD_BIG_ENDIAN.
    DwordBigEndian(u32),
    /// REG_MULTI_SZ.
    Multi(Vec<String>),
    /// REG_QWORD.
    Qword(u64),
    /// Any other type.
    Other {
        /// The number of the type.
        kind: u32,
        /// The content.
        bytes: Vec<u8>,
    },
}

impl Data {
    /// Reads content of type `kind`.
    pub fn decode(kind: u32, bytes: &[u8]) -> Result<Self, Malformed> {
        let bad = |reason| Malformed {
            noun: "registry value",
            reason,
        };
        let text = || {
            utf16::decode(bytes)
                .map(|text| text.split('\0').next().unwrap_or_default().to_owned())
                .ok_or(bad("a text that is not UTF-16"))
        };
        let number = || <[u8; 4]>::try_from(bytes).map_err(|_| bad("a DWORD that is not 4 bytes"));
        Ok(match kind {
            0 if bytes.is_empty() => Self::None,
            1 => Self::Text(text()?),
            2 => Self::Expand(text()?),
            3 => Self::Binary(bytes.to_owned()),
            4 => Self::Dword(u32::from_le_bytes(number()?)),
            5 => Self::DwordBigEndian(u32::from_be_bytes(number()?)),
            7 => Self::Multi(
                utf16::decode(bytes)
                    .ok_or(bad("a list of texts that is not UTF-16"))?
                    .split('\0')
                    .take_while(|text| !text.is_empty())
                    .map(str::to_owned)
                    .collect(),
            ),
            11 => Self::Qword(u64::from_le_bytes(
                <[u8; 8]>::try_from(bytes).map_err(|_| bad("a QWORD that is not 8 bytes"))?,
            )),
            kind => Self::Other {
                kind,
                bytes: bytes.to_owned(),
            },
        })
    }

    /// The number of the type, and the content.
    pub fn encode(&self) -> (u32, Vec<u8>) {
        match self {
            Self::None => (0, Vec::new()),
            Self::Text(text) => (1, utf16::encode(text, true)),
            Self::Expand(text) => (2, utf16::encode(text, true)),
            Self::Binary(bytes) => (3, bytes.clone()),
            Self::Dword(number) => (4, number.to_le_bytes().to_vec()),
            Self::DwordBigEndian(number) => (5, number.to_be_bytes().to_vec()),
            Self::Multi(texts) => {
                let each = texts.iter().flat_map(|text| utf16::encode(text, true));
                (7, each.chain([0, 0]).collect())
            }
            Self::Qword(number) => (11, number.to_le_bytes().to_vec()),
            Self::Other { kind, bytes } => (*kind, bytes.clone()),
        }
    }

    /// The number, of a DWORD of either byte order.
    pub fn number(&self) -> Option<u32> {
        match self {
            Self::Dword(number) | Self::DwordBigEndian(number) => Some(*number),
            _ => None,
        }
    }

    /// The text, of a text of either kind.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) | Self::Expand(text) => Some(text),
            _ => None,
        }
    }
}

impl fmt::Display for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => Ok(()),
            Self::Text(text) | Self::Expand(text) => f.write_str(text),
            Self::Dword(number) | Self::DwordBigEndian(number) => number.fmt(f),
            Self::Multi(texts) => f.write_str(&texts.join("; ")),
            Self::Qword(number) => number.fmt(f),
            Self::Binary(bytes) | Self::Other { bytes, .. } => {
                bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
    }
}
