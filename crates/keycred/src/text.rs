//! Key credentials as people and tools hand them around: DN-Binary, LDIF, hexadecimal, base64.

use std::{fmt, str::FromStr};

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

use crate::{Error, blob::MAX_BLOB};

/// The longest text that is read: one value of the greatest size in hexadecimal, and room for
/// the rest of an LDIF record.
const MAX_TEXT: usize = 4 * MAX_BLOB;
const ATTRIBUTE: &str = "msDS-KeyCredentialLink";

/// A value of LDAP syntax DN-Binary (MS-ADTS 3.1.1.2.2.2.3): `B:<count>:<hex>:<dn>`, where the
/// count is that of the hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnBinary {
    /// The bytes.
    pub binary: Vec<u8>,
    /// The DN as text: of the object that owns the key.
    pub dn: String,
}

impl fmt::Display for DnBinary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "B:{}:", self.binary.len() * 2)?;
        self.binary
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02X}"))?;
        write!(f, ":{}", self.dn)
    }
}

impl FromStr for DnBinary {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let rest = text
            .strip_prefix("B:")
            .ok_or(Error::DnBinary("it does not begin with B:"))?;
        let (count, rest) = rest
            .split_once(':')
            .ok_or(Error::DnBinary("it has no count"))?;
        let count: usize = count
            .parse()
            .ok()
            .filter(|count| *count <= 2 * MAX_BLOB)
            .ok_or(Error::DnBinary("the count is not a number, or too great"))?;
        let (digits, dn) = rest
            .split_at_checked(count)
            .and_then(|(digits, rest)| Some((digits, rest.strip_prefix(':')?)))
            .ok_or(Error::DnBinary(
                "the count is not that of the digits before the DN",
            ))?;
        let binary = from_hex(digits).ok_or(Error::DnBinary(
            "an odd count, or something else than hexadecimal digits",
        ))?;
        Ok(Self {
            binary,
            dn: dn.to_owned(),
        })
    }
}

/// The form in which a value was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `B:<count>:<hex>:<dn>`.
    DnBinary,
    /// A line of LDIF (RFC 2849), plain or base64.
    Ldif,
    /// The bytes in hexadecimal digits.
    Hex,
    /// The bytes, or the DN-Binary text, in base64.
    Base64,
}

/// One value as it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// The form it had.
    pub form: Form,
    /// The bytes of the key credential.
    pub blob: Vec<u8>,
    /// The DN of the owner, where the form has one.
    pub owner: Option<String>,
}

/// Reads a text in any of the forms, told apart by what it looks like.
///
/// LDIF may be a whole record or several: each of its values is an element of the answer, and
/// all other attributes are passed over. Every other form is one value.
pub fn read(text: &str) -> Result<Vec<Input>, Error> {
    if text.len() > MAX_TEXT {
        return Err(Error::Text("longer than 512 KiB"));
    }
    let unfolded = text.replace("\r\n", "\n").replace("\n ", "");
    let values: Vec<&str> = unfolded.lines().filter_map(ldif_value).collect();
    if !values.is_empty() {
        return values.into_iter().map(read_ldif).collect();
    }
    let text = unfolded.trim();
    if text.starts_with("B:") {
        return Ok(vec![Input::dn_binary(Form::DnBinary, text)?]);
    }
    let dense: String = text.split_ascii_whitespace().collect();
    if dense.is_empty() {
        return Err(Error::Text("it is empty"));
    }
    if let Some(blob) = from_hex(&dense) {
        return Ok(vec![Input {
            form: Form::Hex,
            blob,
            owner: None,
        }]);
    }
    let blob = from_base64(&dense).ok_or(Error::Text("it looks like none of them"))?;
    match std::str::from_utf8(&blob) {
        Ok(text) if text.starts_with("B:") => Ok(vec![Input::dn_binary(Form::Base64, text)?]),
        _ => Ok(vec![Input {
            form: Form::Base64,
            blob,
            owner: None,
        }]),
    }
}

impl Input {
    fn dn_binary(form: Form, text: &str) -> Result<Self, Error> {
        let DnBinary { binary, dn } = text.parse()?;
        Ok(Self {
            form,
            blob: binary,
            owner: Some(dn),
        })
    }
}

/// What follows `msDS-KeyCredentialLink:` in a line, options of the attribute skipped.
fn ldif_value(line: &str) -> Option<&str> {
    let (description, value) = line.split_once(':')?;
    let name = description.split(';').next()?;
    name.eq_ignore_ascii_case(ATTRIBUTE).then_some(value)
}

fn read_ldif(value: &str) -> Result<Input, Error> {
    let Some(encoded) = value.strip_prefix(':') else {
        return Input::dn_binary(Form::Ldif, value.trim());
    };
    let text = from_base64(encoded.trim())
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or(Error::Text("the LDIF line does not hold base64 of a text"))?;
    Input::dn_binary(Form::Ldif, &text)
}

fn from_hex(digits: &str) -> Option<Vec<u8>> {
    let nibble = |digit: u8| char::from(digit).to_digit(16).map(|value| value as u8);
    let (pairs, odd) = digits.as_bytes().as_chunks::<2>();
    if !odd.is_empty() {
        return None;
    }
    pairs
        .iter()
        .map(|[high, low]| Some(nibble(*high)? << 4 | nibble(*low)?))
        .collect()
}

/// Reads base64 of either alphabet, padded or not.
fn from_base64(text: &str) -> Option<Vec<u8>> {
    const INDIFFERENT: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, INDIFFERENT);
    STANDARD
        .decode(text.replace('-', "+").replace('_', "/"))
        .ok()
}
