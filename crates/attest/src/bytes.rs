//! The TPM's byte order: big-endian integers and byte strings with a two-byte length.
//!
//! A [`Reader`] never trusts a length and reads to the end: what does not fit, and what is left
//! over, is [`Malformed`], which names the field. A structure so has one form in bytes, and its
//! name, a hash over them, one meaning.

/// Bytes that are not the structure they were taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the {structure} cannot be read: its {field} is cut short or is none that is known here")]
pub struct Malformed {
    /// The structure, by the name of the specification.
    pub structure: &'static str,
    /// The field, by the name of the specification.
    pub field: &'static str,
}

/// Bytes that came from a device.
pub(crate) struct Reader<'a> {
    structure: &'static str,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(structure: &'static str, bytes: &'a [u8]) -> Self {
        Self {
            structure,
            rest: bytes,
        }
    }

    pub(crate) fn malformed(&self, field: &'static str) -> Malformed {
        Malformed {
            structure: self.structure,
            field,
        }
    }

    pub(crate) fn take(
        &mut self,
        length: usize,
        field: &'static str,
    ) -> Result<&'a [u8], Malformed> {
        let (head, tail) = self
            .rest
            .split_at_checked(length)
            .ok_or(self.malformed(field))?;
        self.rest = tail;
        Ok(head)
    }

    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], Malformed> {
        let bytes = self.take(N, field)?;
        bytes.try_into().map_err(|_| self.malformed(field))
    }

    pub(crate) fn u16(&mut self, field: &'static str) -> Result<u16, Malformed> {
        self.array(field).map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self, field: &'static str) -> Result<u32, Malformed> {
        self.array(field).map(u32::from_be_bytes)
    }

    /// A TPM2B of at most `most` bytes.
    pub(crate) fn sized(
        &mut self,
        most: usize,
        field: &'static str,
    ) -> Result<&'a [u8], Malformed> {
        let length = usize::from(self.u16(field)?);
        if length > most {
            return Err(self.malformed(field));
        }
        self.take(length, field)
    }

    /// The field must have this value.
    pub(crate) fn expect_u16(
        &mut self,
        expected: u16,
        field: &'static str,
    ) -> Result<(), Malformed> {
        match self.u16(field)? {
            found if found == expected => Ok(()),
            _ => Err(self.malformed(field)),
        }
    }

    pub(crate) fn end(self) -> Result<(), Malformed> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(self.malformed("end"))
        }
    }
}

/// Bytes for a TPM to read, or to hash as it does.
#[derive(Default)]
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn u16(self, value: u16) -> Self {
        self.bytes(&value.to_be_bytes())
    }

    pub(crate) fn u32(self, value: u32) -> Self {
        self.bytes(&value.to_be_bytes())
    }

    pub(crate) fn bytes(mut self, value: &[u8]) -> Self {
        self.0.extend_from_slice(value);
        self
    }

    /// A TPM2B. What is too long for its length cannot be read back, by nobody.
    pub(crate) fn sized(self, value: &[u8]) -> Self {
        let length = u16::try_from(value.len()).unwrap_or(u16::MAX);
        self.u16(length).bytes(value)
    }

    pub(crate) fn done(self) -> Vec<u8> {
        self.0
    }
}
