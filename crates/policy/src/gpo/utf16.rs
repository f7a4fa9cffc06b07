//! UTF-16 in little-endian bytes, as the files of group policy hold it.

/// The text, if `bytes` are nothing else.
pub(super) fn decode(bytes: &[u8]) -> Option<String> {
    let (units, rest) = bytes.as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    char::decode_utf16(units.iter().map(|unit| u16::from_le_bytes(*unit)))
        .collect::<Result<_, _>>()
        .ok()
}

/// `text` and, if asked for, a closing NUL.
pub(super) fn encode(text: &str, is_terminated: bool) -> Vec<u8> {
    text.encode_utf16()
        .chain(is_terminated.then_some(0))
        .flat_map(u16::to_le_bytes)
        .collect()
}
