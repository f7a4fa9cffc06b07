//! The public area of an NV index (TPMS_NV_PUBLIC, part 2, 13.5).

use crate::bytes::{Malformed, Reader};
use crate::spec::alg;

/// The first byte of an index's handle (TPM_HT_NV_INDEX). With another one these bytes could be the
/// public area of something that is no index.
const HANDLE_TYPE: u32 = 0x01;

/// The longest digest, of SHA-512.
const DIGEST: usize = 64;

/// A public area of an index whose name is by SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NvPublic<'a> {
    /// The handle of the index.
    pub index: u32,
    /// TPMA_NV.
    pub attributes: u32,
    /// The policy that opens the index.
    pub policy: &'a [u8],
    /// How many bytes it holds.
    pub size: u16,
}

impl<'a> NvPublic<'a> {
    /// Reads a TPMS_NV_PUBLIC: the contents of a TPM2B_NV_PUBLIC.
    pub fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new("TPMS_NV_PUBLIC", bytes);
        let index = reader.u32("nvIndex")?;
        if index >> 24 != HANDLE_TYPE {
            return Err(reader.malformed("nvIndex"));
        }
        reader.expect_u16(alg::SHA256, "nameAlg")?;
        let public = Self {
            index,
            attributes: reader.u32("attributes")?,
            policy: reader.sized(DIGEST, "authPolicy")?,
            size: reader.u16("dataSize")?,
        };
        reader.end()?;
        Ok(public)
    }
}
