//! `application/x-www-form-urlencoded` (WHATWG URL 5), in a buffer that is wiped.

use zeroize::Zeroizing;

/// A form under construction.
#[derive(Default)]
pub(crate) struct Form(Zeroizing<Vec<u8>>);

impl Form {
    /// One field more.
    pub(crate) fn field(mut self, name: &str, value: &str) -> Self {
        // Room for the worst case first: growing would leave a copy of what was there.
        let mut next = Zeroizing::new(Vec::with_capacity(
            self.0.len() + 2 + 3 * (name.len() + value.len()),
        ));
        next.extend_from_slice(&self.0);
        if !next.is_empty() {
            next.push(b'&');
        }
        escape(name, &mut next);
        next.push(b'=');
        escape(value, &mut next);
        self.0 = next;
        self
    }

    /// One field more, if there is a value.
    pub(crate) fn maybe(self, name: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.field(name, value),
            None => self,
        }
    }

    /// The bytes.
    pub(crate) fn into_bytes(self) -> Zeroizing<Vec<u8>> {
        self.0
    }
}

fn escape(text: &str, out: &mut Vec<u8>) {
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'*' | b'-' | b'.' | b'_' => out.push(byte),
            b' ' => out.push(b'+'),
            _ => {
                let digit = |value: u8| match value {
                    0..10 => b'0' + value,
                    _ => b'A' + value - 10,
                };
                out.extend([b'%', digit(byte >> 4), digit(byte & 15)]);
            }
        }
    }
}
