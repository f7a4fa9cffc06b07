//! The few lines of DER (X.690) that OpenSSL's interface leaves to its callers.

/// INTEGER.
pub const INTEGER: u8 = 0x02;
/// BIT STRING.
pub(crate) const BIT_STRING: u8 = 0x03;
/// SEQUENCE.
pub const SEQUENCE: u8 = 0x30;

/// AlgorithmIdentifier of `rsaEncryption` with NULL parameters (RFC 3279 2.3.1).
pub(crate) const RSA_ENCRYPTION: &[u8] = &[
    0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00,
];

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
