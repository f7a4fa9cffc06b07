//! What the KeyMaterial entry holds: nothing in the value names the form, the first bytes do.

use crate::{RsaPublicKey, rsa::MAGIC_RSA1};

/// The form of a key material, with the key where it is an RSA key in a readable form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyMaterial {
    /// BCRYPT_RSAKEY_BLOB: users' keys.
    Rsa1(RsaPublicKey),
    /// DER SubjectPublicKeyInfo: what samba-tool writes.
    Spki(RsaPublicKey),
    /// DER RSAPublicKey: computers' keys.
    Pkcs1(RsaPublicKey),
    /// `PCPM`: a key of the Platform Crypto Provider with its TPM structures. Not taken apart.
    TpmBlob,
    /// Anything else, the JSON of FIDO keys among it. Not taken apart.
    Other,
}

impl KeyMaterial {
    /// Finds out the form. A broken key of a known form is [`KeyMaterial::Other`].
    pub fn read(bytes: &[u8]) -> Self {
        if bytes.starts_with(MAGIC_RSA1) {
            return RsaPublicKey::from_rsa1(bytes).map_or(Self::Other, Self::Rsa1);
        }
        if bytes.starts_with(b"PCPM") {
            return Self::TpmBlob;
        }
        RsaPublicKey::from_spki_der(bytes)
            .map(Self::Spki)
            .or_else(|_| RsaPublicKey::from_pkcs1_der(bytes).map(Self::Pkcs1))
            .unwrap_or(Self::Other)
    }

    /// The form's name.
    pub fn form(&self) -> &'static str {
        match self {
            Self::Rsa1(_) => "BCRYPT RSA1",
            Self::Spki(_) => "DER SubjectPublicKeyInfo",
            Self::Pkcs1(_) => "DER RSAPublicKey (PKCS#1)",
            Self::TpmBlob => "TPM 2.0 (PCPM)",
            Self::Other => "other",
        }
    }

    /// The key, where it is readable.
    pub fn into_rsa(self) -> Option<RsaPublicKey> {
        match self {
            Self::Rsa1(key) | Self::Spki(key) | Self::Pkcs1(key) => Some(key),
            Self::TpmBlob | Self::Other => None,
        }
    }
}
