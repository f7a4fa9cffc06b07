//! Key credentials (`msDS-KeyCredentialLink`) and public key blobs: bytes to types and back.
//!
//! A key credential is one value of a user's or computer's `msDS-KeyCredentialLink`: the public
//! key by which a KDC recognises its owner, with a few facts around it (MS-ADTS 2.2.20). The
//! directory stores it as DN-Binary: the bytes, and the DN of the object that owns the key.
//!
//! Reading keeps every byte, so that [`KeyCredential::encode`] gives back what
//! [`KeyCredential::decode`] took: other products write values that break the rules, and a value
//! must be repeated exactly to be removed. What breaks the rules is told by
//! [`KeyCredential::describe`] and [`KeyCredential::samba_verdict`] and never stops the reading.
//! Writing has one form only, [`KeyCredential::for_user`], which every known KDC reads.
//!
//! Nothing here does I/O, reads a clock or panics, whatever the input.

#![forbid(unsafe_code)]

mod blob;
mod custom;
pub mod der;
mod describe;
mod material;
mod roca;
mod rsa;
mod samba;
mod text;
mod time;

pub use blob::{Entry, KeyCredential, KeySource, KeyUsage, MAX_BLOB};
pub use custom::CustomKeyInformation;
pub use describe::{Description, EntryDescription, KeyDescription};
pub use material::KeyMaterial;
pub use rsa::RsaPublicKey;
pub use samba::SambaVerdict;
pub use text::{DnBinary, Form, Input, read};
pub use time::Timestamp;

/// Why an input is not what it was taken for. All of them are the input's fault; none carries a
/// byte of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A key credential of a format that was given up before Windows Server 2016 was released.
    #[error("a key credential of version {0:#x}: an old layout that is not read, only 0x200 is")]
    OldVersion(u32),
    /// The bytes are not a key credential.
    #[error("not a key credential: {0}")]
    Blob(&'static str),
    /// The bytes are not a public key of the expected form.
    #[error("not an RSA public key: {0}")]
    Key(&'static str),
    /// The text is not a DN-Binary value.
    #[error("not a DN-Binary value: {0}")]
    DnBinary(&'static str),
    /// The text is none of the forms that are read.
    #[error("not a DN-Binary value, LDIF, hexadecimal digits or base64: {0}")]
    Text(&'static str),
}
