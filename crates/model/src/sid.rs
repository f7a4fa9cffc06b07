//! Security identifiers (MS-DTYP 2.4.2).

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Malformed;

/// The most sub-authorities that a SID may have (MS-DTYP 2.4.2.2).
const MAX_SUB_AUTHORITIES: usize = 15;

/// A security identifier, revision 1.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sid {
    authority: u64,
    sub_authorities: Vec<u32>,
}

impl Sid {
    /// From the packed form of an `objectSid` value.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        let bad = |reason| Malformed {
            noun: "SID",
            reason,
        };
        let [revision, count, a0, a1, a2, a3, a4, a5, rest @ ..] = bytes else {
            return Err(bad("shorter than 8 bytes"));
        };
        if *revision != 1 {
            return Err(bad("revision is not 1"));
        }
        let count = usize::from(*count);
        if count > MAX_SUB_AUTHORITIES {
            return Err(bad("more than 15 sub-authorities"));
        }
        let (words, tail) = rest.as_chunks::<4>();
        if words.len() != count || !tail.is_empty() {
            return Err(bad("length does not match the sub-authority count"));
        }
        Ok(Self {
            authority: u64::from_be_bytes([0, 0, *a0, *a1, *a2, *a3, *a4, *a5]),
            sub_authorities: words.iter().map(|w| u32::from_le_bytes(*w)).collect(),
        })
    }

    /// The packed form, as an `objectSid` value holds it.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![1, self.sub_authorities.len() as u8];
        bytes.extend_from_slice(self.authority.to_be_bytes().get(2..).unwrap_or_default());
        for sub in &self.sub_authorities {
            bytes.extend_from_slice(&sub.to_le_bytes());
        }
        bytes
    }

    /// The relative identifier: the last sub-authority.
    pub fn rid(&self) -> Option<u32> {
        self.sub_authorities.last().copied()
    }

    /// The SID without its relative identifier: the domain's, for an account of a domain.
    pub fn domain(&self) -> Option<Self> {
        let (_, head) = self.sub_authorities.split_last()?;
        Some(Self {
            authority: self.authority,
            sub_authorities: head.to_vec(),
        })
    }
}

impl fmt::Display for Sid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "S-1-{}", self.authority)?;
        self.sub_authorities
            .iter()
            .try_for_each(|sub| write!(f, "-{sub}"))
    }
}

impl fmt::Debug for Sid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Sid {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let bad = |reason| Malformed {
            noun: "SID",
            reason,
        };
        let rest = text
            .strip_prefix("S-1-")
            .ok_or(bad("does not begin with S-1-"))?;
        let mut parts = rest.split('-');
        let authority: u64 = parts
            .next()
            .and_then(|p| p.parse().ok())
            .filter(|a| *a < 1 << 48)
            .ok_or(bad("the authority is not a 48-bit number"))?;
        let sub_authorities = parts
            .map(|p| {
                p.parse()
                    .map_err(|_| bad("a sub-authority is not a 32-bit number"))
            })
            .collect::<Result<Vec<u32>, _>>()?;
        if sub_authorities.len() > MAX_SUB_AUTHORITIES {
            return Err(bad("more than 15 sub-authorities"));
        }
        Ok(Self {
            authority,
            sub_authorities,
        })
    }
}

impl Serialize for Sid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Sid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}
