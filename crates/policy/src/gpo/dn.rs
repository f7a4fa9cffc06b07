//! Distinguished names (RFC 4514), as far as their parents and their sameness go.
//!
//! The directory writes one name in several ways: with other case, blanks after commas, an escape
//! as a character or as two digits. Names are therefore compared by [`key`], never as text.

/// Do both texts name the same object?
pub fn same(a: &str, b: &str) -> bool {
    key(a) == key(b)
}

/// The name of the object above, as it is written in `dn`.
pub fn parent(dn: &str) -> Option<&str> {
    let at = comma(dn)?;
    dn.get(at + 1..).map(str::trim_start)
}

/// The first part of the name: its attribute in upper case and its value without escapes.
pub fn first(dn: &str) -> Option<(String, String)> {
    let part = comma(dn).and_then(|at| dn.get(..at)).unwrap_or(dn);
    let (attribute, value) = part.split_once('=')?;
    Some((attribute.trim().to_ascii_uppercase(), plain(value.trim())))
}

/// The same text for every spelling of a name.
pub fn key(dn: &str) -> String {
    let mut key = String::with_capacity(dn.len());
    let mut rest = Some(dn);
    while let Some(part) = rest {
        match first(part) {
            Some((attribute, value)) => {
                key.push_str(&attribute);
                key.push('=');
                key.push_str(&value.to_lowercase());
            }
            None => key.push_str(part),
        }
        // A character that no name has unescaped.
        key.push('\0');
        rest = parent(part);
    }
    key
}

/// Where the first part ends.
fn comma(dn: &str) -> Option<usize> {
    let mut is_escaped = false;
    for (at, byte) in dn.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b',' => return Some(at),
            _ => {}
        }
    }
    None
}

/// A value with its escapes resolved.
fn plain(value: &str) -> String {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        let pair = rest.split_at_checked(2).and_then(|(digits, tail)| {
            let text = std::str::from_utf8(digits).ok()?;
            let is_hex = digits.iter().all(u8::is_ascii_hexdigit);
            Some((u8::from_str_radix(text, 16).ok().filter(|_| is_hex)?, tail))
        });
        if let Some((byte, tail)) = pair {
            bytes.push(byte);
            rest = tail;
        } else if let Some((&byte, tail)) = rest.split_first() {
            bytes.push(byte);
            rest = tail;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
