//! The part of BER that LDAP uses (RFC 4511 5.1): definite lengths, tags below 31.

use crate::Error;

/// Universal BOOLEAN.
pub(crate) const BOOLEAN: u8 = 0x01;
/// Universal INTEGER.
pub(crate) const INTEGER: u8 = 0x02;
/// Universal OCTET STRING.
pub(crate) const OCTETS: u8 = 0x04;
/// Universal ENUMERATED.
pub(crate) const ENUMERATED: u8 = 0x0a;
/// Universal SEQUENCE.
pub(crate) const SEQUENCE: u8 = 0x30;
/// Universal SET.
pub(crate) const SET: u8 = 0x31;

/// Bytes under construction.
#[derive(Default)]
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    /// What `content` writes, under `tag`.
    pub(crate) fn node(&mut self, tag: u8, content: impl FnOnce(&mut Self)) -> &mut Self {
        let mut inner = Self::default();
        content(&mut inner);
        self.bytes(tag, &inner.0)
    }

    /// A primitive of `content`.
    pub(crate) fn bytes(&mut self, tag: u8, content: &[u8]) -> &mut Self {
        self.0.push(tag);
        let length = content.len().to_be_bytes();
        let significant = length.iter().skip_while(|byte| **byte == 0).count();
        if content.len() >= 0x80 {
            self.0.push(0x80 | significant as u8);
        }
        if content.is_empty() {
            self.0.push(0);
        }
        self.0
            .extend(length.iter().skip(length.len() - significant));
        self.0.extend_from_slice(content);
        self
    }

    /// A text or byte string.
    pub(crate) fn octets(&mut self, content: impl AsRef<[u8]>) -> &mut Self {
        self.bytes(OCTETS, content.as_ref())
    }

    /// A number under `tag`, [`INTEGER`] or [`ENUMERATED`].
    pub(crate) fn number(&mut self, tag: u8, value: i32) -> &mut Self {
        let bytes = value.to_be_bytes();
        let sign = if value < 0 { 0xff } else { 0 };
        // The shortest form in which the first bit still tells the sign.
        let redundant = bytes
            .iter()
            .zip(bytes.iter().skip(1))
            .take_while(|(byte, next)| **byte == sign && (**next ^ sign) & 0x80 == 0)
            .count();
        self.bytes(tag, bytes.get(redundant..).unwrap_or(&bytes))
    }

    /// A truth value.
    pub(crate) fn boolean(&mut self, tag: u8, value: bool) -> &mut Self {
        self.bytes(tag, &[if value { 0xff } else { 0 }])
    }

    /// The bytes.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

/// Bytes being read.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Reads `bytes`.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Nothing is left.
    pub(crate) fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// The next tag, without taking it.
    pub(crate) fn peek(self) -> Option<u8> {
        self.0.first().copied()
    }

    /// The next node, whatever its tag.
    pub(crate) fn any(&mut self) -> Result<(u8, &'a [u8]), Error> {
        let (tag, content, rest) = split(self.0)?.ok_or(Error::Malformed("a node is cut off"))?;
        self.0 = rest;
        Ok((tag, content))
    }

    /// The next node, which must have this tag.
    pub(crate) fn take(&mut self, tag: u8) -> Result<&'a [u8], Error> {
        match self.any()? {
            (found, content) if found == tag => Ok(content),
            _ => Err(Error::Malformed("a node of another kind was expected")),
        }
    }

    /// The next node of this tag, to be read further.
    pub(crate) fn node(&mut self, tag: u8) -> Result<Self, Error> {
        self.take(tag).map(Self)
    }

    /// The next number.
    pub(crate) fn number(&mut self, tag: u8) -> Result<u32, Error> {
        let content = self.take(tag)?;
        if content.is_empty() || content.len() > 5 {
            return Err(Error::Malformed("a number's length"));
        }
        let value = content
            .iter()
            .fold(0u64, |value, byte| value << 8 | u64::from(*byte));
        u32::try_from(value).map_err(|_| Error::Malformed("a number's size"))
    }
}

/// The first node of `bytes` and the rest; `None` while it is incomplete.
#[allow(
    clippy::type_complexity,
    reason = "tag, content and rest are used at once"
)]
pub(crate) fn split(bytes: &[u8]) -> Result<Option<(u8, &[u8], &[u8])>, Error> {
    let [tag, first, rest @ ..] = bytes else {
        return Ok(None);
    };
    if tag & 0x1f == 0x1f {
        return Err(Error::Malformed("a tag above 30"));
    }
    let (length, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        0x81..=0x84 => {
            let Some((length, rest)) = rest.split_at_checked(usize::from(first & 0x7f)) else {
                return Ok(None);
            };
            (
                length
                    .iter()
                    .fold(0, |sum, byte| sum << 8 | usize::from(*byte)),
                rest,
            )
        }
        _ => return Err(Error::Malformed("a length without end or above 4 GiB")),
    };
    Ok(rest
        .split_at_checked(length)
        .map(|(content, rest)| (*tag, content, rest)))
}
