//! A secret text on its way through the socket.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

/// A PIN, password or one-time code: wiped when dropped, never printed.
///
/// On the wire it is the hexadecimal form of its UTF-8 bytes, so that a JSON reader meets no
/// escape and copies it nowhere but here.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text in.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The one way to the text.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut hex = Zeroizing::new(String::with_capacity(self.0.len() * 2));
        for byte in self.0.bytes() {
            for nibble in [byte >> 4, byte & 15] {
                if let Some(digit) = DIGITS.get(usize::from(nibble)) {
                    hex.push(char::from(*digit));
                }
            }
        }
        serializer.serialize_str(&hex)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bad = || serde::de::Error::custom("a secret is not hexadecimal UTF-8");
        let hex = Zeroizing::new(String::deserialize(deserializer)?);
        let (pairs, tail) = hex.as_bytes().as_chunks::<2>();
        if !tail.is_empty() {
            return Err(bad());
        }
        let mut text = Zeroizing::new(Vec::with_capacity(pairs.len()));
        for [high, low] in pairs {
            let nibble = |digit: u8| char::from(digit).to_digit(16);
            let (Some(high), Some(low)) = (nibble(*high), nibble(*low)) else {
                return Err(bad());
            };
            text.push((high << 4 | low) as u8);
        }
        let text = std::str::from_utf8(&text).map_err(|_| bad())?;
        Ok(Self::new(text.to_owned()))
    }
}
