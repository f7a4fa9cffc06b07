//! The key by which a TPM speaks.

use openssl::pkey::{PKey, Public as PublicHalf};

use crate::spec::{alg, object};
use crate::{Key, Public, Refusal, Signature};

/// A restricted signing key: it signs nothing that begins like a TPM's word unless the TPM said it.
///
/// That holds where the key is in a TPM. The public area alone proves nothing: whoever trusts it has
/// had the TPM open a [`credential`](crate::Challenge) made for this key's name.
pub struct AttestationKey {
    name: Vec<u8>,
    key: PKey<PublicHalf>,
    scheme: u16,
}

impl AttestationKey {
    /// Reads a TPMT_PUBLIC, which must be that of a signing key that is restricted, was born in its
    /// TPM and stays there.
    pub fn read(public: &[u8]) -> Result<Self, Refusal> {
        let public = Public::read(public)?;
        let scheme = public.scheme.ok_or(Refusal::AttestationKey)?;
        let fits = match public.key {
            Key::Rsa { bits, modulus, .. } => {
                scheme.algorithm == alg::RSASSA && bits == 2048 && modulus.len() == 256
            }
            Key::P256 { .. } => scheme.algorithm == alg::ECDSA,
        };
        let stays = object::FIXED_TPM | object::FIXED_PARENT | object::SENSITIVE_DATA_ORIGIN;
        if !fits
            || scheme.hash != alg::SHA256
            || public.is_parent
            || !public.has(stays | object::RESTRICTED | object::SIGN)
            || public.has(object::DECRYPT)
        {
            return Err(Refusal::AttestationKey);
        }
        let key = public.key.to_openssl();
        Ok(Self {
            name: public.name(),
            key: key.map_err(|_| Refusal::AttestationKey)?,
            scheme: scheme.algorithm,
        })
    }

    /// Its name, to which a credential is bound.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// Whether the TPM signed these bytes.
    pub(crate) fn signed(&self, message: &[u8], signature: Signature<'_>) -> bool {
        let algorithm = match signature {
            Signature::Rsassa(_) => alg::RSASSA,
            Signature::Ecdsa { .. } => alg::ECDSA,
        };
        algorithm == self.scheme && signature.verifies(&self.key, message)
    }
}
