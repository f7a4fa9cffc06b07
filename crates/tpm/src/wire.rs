//! The TPM's byte order: big-endian integers and byte strings with a two-byte length.
//!
//! A [`Writer`] wipes its buffer, because a parameter may be an authorisation value before it is
//! encrypted. A [`Reader`] never trusts a length: what does not fit is [`Malformed`].

use zeroize::Zeroizing;

/// Larger than any parameter area written here, so that growing never leaves a copy behind.
const CAPACITY: usize = 2048;

/// The answer is not what the specification says it is.
#[derive(Debug)]
pub(crate) struct Malformed;

/// Bytes on their way to the TPM.
pub(crate) struct Writer(Zeroizing<Vec<u8>>);

impl Writer {
    pub(crate) fn new() -> Self {
        Self(Zeroizing::new(Vec::with_capacity(CAPACITY)))
    }

    pub(crate) fn u8(mut self, value: u8) -> Self {
        self.0.push(value);
        self
    }

    pub(crate) fn u16(mut self, value: u16) -> Self {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    pub(crate) fn u32(mut self, value: u32) -> Self {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    pub(crate) fn bytes(mut self, value: &[u8]) -> Self {
        self.0.extend_from_slice(value);
        self
    }

    /// A TPM2B: two bytes of length, then the bytes. A value too long for its length makes a
    /// command too long to be sent.
    pub(crate) fn sized(self, value: &[u8]) -> Self {
        let length = u16::try_from(value.len()).unwrap_or(u16::MAX);
        self.u16(length).bytes(value)
    }

    pub(crate) fn done(self) -> Zeroizing<Vec<u8>> {
        self.0
    }

    /// A copy to work on, wiped like the original.
    pub(crate) fn done_ref(&self) -> Zeroizing<Vec<u8>> {
        self.0.clone()
    }

    /// For what is public: the same bytes without the wiping.
    pub(crate) fn plain(self) -> Vec<u8> {
        self.0.to_vec()
    }
}

/// Bytes that came from the TPM or from a file.
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (head, tail) = self.0.split_at_checked(length).ok_or(Malformed)?;
        self.0 = tail;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        self.take(N)?.try_into().map_err(|_| Malformed)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Malformed> {
        self.array().map(u8::from_be_bytes)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn sized(&mut self) -> Result<&'a [u8], Malformed> {
        let length = usize::from(self.u16()?);
        self.take(length)
    }

    pub(crate) fn rest(self) -> &'a [u8] {
        self.0
    }
}
