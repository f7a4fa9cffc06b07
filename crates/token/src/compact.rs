//! The compact form: parts of base64url without padding, joined by dots.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::{Error, MAX_MESSAGE};

/// Cuts a message into exactly `N` parts, within the bound.
pub(crate) fn split<const N: usize>(text: &str) -> Result<[&str; N], Error> {
    if text.len() > MAX_MESSAGE {
        return Err(Error::Malformed("longer than 16 KiB"));
    }
    // One part more than wanted is enough to see that there are too many.
    let parts: Vec<&str> = text.splitn(N + 1, '.').collect();
    parts
        .try_into()
        .map_err(|_| Error::Malformed("not the right number of parts"))
}

/// Reads one part. Loose trailing bits are refused: a message has one spelling.
pub(crate) fn decode(part: &str) -> Result<Vec<u8>, Error> {
    URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| Error::Malformed("a part is not base64url"))
}

/// Writes one part.
pub(crate) fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Joins parts.
pub(crate) fn join(parts: &[&[u8]]) -> String {
    let parts: Vec<String> = parts.iter().map(|part| encode(part)).collect();
    parts.join(".")
}

/// The message, where a reader would take it.
pub(crate) fn within(message: String) -> Result<String, Error> {
    if message.len() > MAX_MESSAGE {
        return Err(Error::Unsendable("longer than 16 KiB"));
    }
    Ok(message)
}
