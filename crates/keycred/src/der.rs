//! The few lines of DER (X.690) that OpenSSL's interface leaves to its callers.

/// BOOLEAN.
const BOOLEAN: u8 = 0x01;
/// INTEGER.
pub const INTEGER: u8 = 0x02;
/// BIT STRING.
pub(crate) const BIT_STRING: u8 = 0x03;
/// OCTET STRING.
const OCTETS: u8 = 0x04;
/// OBJECT IDENTIFIER.
const OBJECT: u8 = 0x06;
/// `[3]`: where a certificate has its extensions (RFC 5280 4.1).
const EXTENSIONS: u8 = 0xa3;
/// SEQUENCE.
pub const SEQUENCE: u8 = 0x30;

/// AlgorithmIdentifier of `rsaEncryption` with NULL parameters (RFC 3279 2.3.1).
pub(crate) const RSA_ENCRYPTION: &[u8] = &[
    0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00,
];

/// id-ce-extKeyUsage (RFC 5280 4.2.1.12), encoded.
const KEY_PURPOSES: &[u8] = &[0x55, 0x1d, 0x25];
/// id-ce-basicConstraints (RFC 5280 4.2.1.9), encoded.
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];

/// Takes one element with this tag off the front: its content, and what follows it.
pub fn take(tag: u8, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (found, content, rest) = any(bytes)?;
    (found == tag).then_some((content, rest))
}

/// Takes one element off the front: its tag, its content, and what follows it.
///
/// Lengths of more than four bytes are refused; whether the length was written in the shortest
/// form is found out by writing the result again and comparing.
pub fn any(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = bytes.split_first()?;
    let (first, mut rest) = rest.split_first()?;
    let mut length = usize::from(*first);
    if *first >= 0x80 {
        let (digits, tail) = rest.split_at_checked(usize::from(*first & 0x7f))?;
        if digits.len() > 4 {
            return None;
        }
        length = digits
            .iter()
            .fold(0, |length, digit| length << 8 | usize::from(*digit));
        rest = tail;
    }
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

/// One element with this tag around `content`.
pub fn wrap(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    let length = content.len().to_be_bytes();
    let zeros = length.iter().take_while(|byte| **byte == 0).count();
    let digits = length.get(zeros..).unwrap_or_default();
    if content.len() >= 0x80 {
        bytes.push(0x80 | digits.len() as u8);
        bytes.extend_from_slice(digits);
    } else {
        bytes.push(content.len() as u8);
    }
    bytes.extend_from_slice(content);
    bytes
}

/// An INTEGER of an unsigned number without leading zeros.
pub(crate) fn unsigned(number: &[u8]) -> Vec<u8> {
    let sign = number.first().is_none_or(|byte| byte & 0x80 != 0);
    let mut content = vec![0; usize::from(sign)];
    content.extend_from_slice(number);
    wrap(INTEGER, &content)
}

/// What a certificate may be used for: encoded object identifiers; none without the extension.
pub fn purposes(certificate: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    let list = extension(certificate, KEY_PURPOSES).and_then(|value| take(SEQUENCE, value));
    let Some((mut list, _)) = list else {
        return found;
    };
    while let Some((purpose, rest)) = take(OBJECT, list) {
        found.push(purpose);
        list = rest;
    }
    found
}

/// Whether a certificate calls itself an authority.
pub fn is_authority(certificate: &[u8]) -> bool {
    extension(certificate, BASIC_CONSTRAINTS)
        .and_then(|value| take(SEQUENCE, value))
        .and_then(|(constraints, _)| take(BOOLEAN, constraints))
        .is_some_and(|(authority, _)| authority != [0])
}

/// The value of one of a certificate's extensions.
fn extension<'c>(certificate: &'c [u8], id: &[u8]) -> Option<&'c [u8]> {
    let (certificate, _) = take(SEQUENCE, certificate)?;
    let (mut fields, _) = take(SEQUENCE, certificate)?;
    let mut extensions = loop {
        let (tag, content, rest) = any(fields)?;
        if tag == EXTENSIONS {
            break take(SEQUENCE, content)?.0;
        }
        fields = rest;
    };
    while let Some((extension, rest)) = take(SEQUENCE, extensions) {
        extensions = rest;
        let (found, value) = take(OBJECT, extension)?;
        if found == id {
            let value = take(BOOLEAN, value).map_or(value, |(_critical, value)| value);
            return Some(take(OCTETS, value)?.0);
        }
    }
    None
}
