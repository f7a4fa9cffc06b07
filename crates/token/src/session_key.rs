//! Session keys: what a device and the server share beside a primary refresh token (MS-OAPXBC
//! 3.2.5.1.3), and the keys that are derived of them, one for each message.
//!
//! A session key leaves this crate in two forms only: wrapped to a device's transport key, or as
//! bytes that the caller seals before storing them.

use model::Secret;
use openssl::{
    error::ErrorStack,
    hash::MessageDigest,
    md::Md,
    pkey::{PKey, Public},
    pkey_ctx::PkeyCtx,
    rand::rand_bytes,
    rsa::Padding,
    sha::Sha256,
    sign::Signer,
};

use crate::{Error, Prepared, compact, jwe::expect_rsa};

/// The label of the derivation (MS-OAPXBC 3.1.5.1.3.1).
const LABEL: &[u8] = b"AzureAD-SecureConversation";

const SIZE: usize = 32;

/// How the context of a derivation is made (`kdf_ver`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KdfVersion {
    /// Of `ctx` alone: whoever has seen one derived key may sign any payload with its `ctx`.
    One,
    /// Of `ctx` and the payload.
    Two,
}

/// 256 bits that one device and the server share.
#[derive(Debug, Clone, PartialEq)]
pub struct SessionKey(Secret<Vec<u8>>);

impl SessionKey {
    /// A new one.
    pub fn make() -> Result<Self, Error> {
        let mut key = vec![0; SIZE];
        rand_bytes(&mut key).map_err(|_| Error::Library("drawing random bytes"))?;
        Ok(Self(Secret::new(key)))
    }

    /// One that was stored.
    pub fn from_bytes(bytes: Secret<Vec<u8>>) -> Result<Self, Error> {
        if bytes.expose().len() != SIZE {
            return Err(Error::Key("a session key has 32 bytes"));
        }
        Ok(Self(bytes))
    }

    /// Its bytes, for whoever seals them.
    pub fn bytes(&self) -> &Secret<Vec<u8>> {
        &self.0
    }

    /// `session_key_jwe`: a JWE whose content-encryption key *is* the session key, under RSA-OAEP
    /// with SHA-1 as the protocol has it (MS-OAPXBC 3.2.5.1.2.2). Its content says nothing.
    pub fn wrap(&self, transport: &TransportKey) -> Result<String, Error> {
        let header = br#"{"alg":"RSA-OAEP","enc":"A256GCM"}"#;
        let wrapped = transport
            .encrypt(self.0.expose())
            .map_err(|_| Error::Library("wrapping a session key"))?;
        let mut rest = [0; 12 + 1 + 16];
        rand_bytes(&mut rest).map_err(|_| Error::Library("drawing random bytes"))?;
        let (iv, rest) = rest.split_at(12);
        let (content, tag) = rest.split_at(1);
        Ok(compact::join(&[header, &wrapped, iv, content, tag]))
    }

    /// What only the transport key opens, in a `session_key_jwe`: the session key.
    pub fn wrapped(jwe: &str) -> Result<Vec<u8>, Error> {
        let [_, wrapped, ..] = compact::split::<5>(jwe)?;
        compact::decode(wrapped)
    }

    /// The key for one message: one block of the counter mode of SP 800-108 with HMAC-SHA-256.
    pub(crate) fn derive(
        &self,
        version: KdfVersion,
        ctx: &[u8],
        payload: &[u8],
    ) -> Result<Secret<Vec<u8>>, Error> {
        let mut digest = Sha256::new();
        digest.update(ctx);
        digest.update(payload);
        let digest = digest.finish();
        let context = match version {
            KdfVersion::One => ctx,
            KdfVersion::Two => &digest,
        };
        let counter = 1_u32.to_be_bytes();
        let bits = 256_u32.to_be_bytes();
        let input = [&counter, LABEL, &[0], context, &bits].concat();
        hmac_sha256(self.0.expose(), &input).map(Secret::new)
    }
}

/// A device's key to which session keys are wrapped.
#[derive(Debug, Clone)]
pub struct TransportKey {
    key: PKey<Public>,
    prepared: Prepared<Public>,
}

impl TransportKey {
    /// An RSA key of at least 2,048 bits.
    pub fn new(key: PKey<Public>) -> Result<Self, Error> {
        expect_rsa(&*key)?;
        Ok(Self {
            key,
            prepared: Prepared::default(),
        })
    }

    fn encrypt(&self, plain: &[u8]) -> Result<Vec<u8>, ErrorStack> {
        let mut sealed = Vec::new();
        let prepare = || {
            let mut context = PkeyCtx::new(&self.key)?;
            context.encrypt_init()?;
            context.set_rsa_padding(Padding::PKCS1_OAEP)?;
            context.set_rsa_oaep_md(Md::sha1())?;
            context.set_rsa_mgf1_md(Md::sha1())?;
            Ok(context)
        };
        self.prepared.with(prepare, |context| {
            context.encrypt_to_vec(plain, &mut sealed)
        })?;
        Ok(sealed)
    }
}

/// HMAC-SHA-256.
pub(crate) fn hmac_sha256(key: &[u8], message: &[u8]) -> Result<Vec<u8>, Error> {
    let mac = || -> Result<_, ErrorStack> {
        let key = PKey::hmac(key)?;
        Signer::new(MessageDigest::sha256(), &key)?.sign_oneshot_to_vec(message)
    };
    mac().map_err(|_| Error::Library("computing a MAC"))
}

#[cfg(test)]
mod tests {
    use super::*;

    // The session key and context of a published exchange (MS-OAPXBC 3.2.5.1.3.3).
    const KEY: &str = "3987bc6d45c8d46e9969bf679b9f2a17922ed0d40055c313232f290ae9d87bf0";
    const CTX: &str = "510a2a9284565f9421eb34a712f58e6585f6330b803f1bc3";

    fn hex(text: &str) -> Vec<u8> {
        text.as_bytes()
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    }

    #[test]
    fn the_derived_keys_of_both_versions_are_the_published_ones() {
        let payload =
            br#"{"client_id":"38aa3b87-a06d-4817-b275-7a316988d93b","grant_type":"refresh_token"}"#;
        for (version, derived) in [
            (
                KdfVersion::One,
                "b0fcfcd863df6f583fa8321d4971926b2bfa8e4d12e9a7dd71e88b2df379d0a3",
            ),
            (
                KdfVersion::Two,
                "3d1118a0291de2cac64e51d15be7ae74aa4ab7d0ba9b25125b728c36b607318e",
            ),
        ] {
            let key = SessionKey::from_bytes(Secret::new(hex(KEY))).unwrap();
            let made = key.derive(version, &hex(CTX), payload).unwrap();
            assert_eq!(*made.expose(), hex(derived), "{version:?}");
        }
    }

    #[test]
    fn a_session_key_has_256_bits() {
        for size in [0, 16, 31, 33] {
            let bytes = Secret::new(vec![0; size]);
            assert!(SessionKey::from_bytes(bytes).is_err(), "{size}");
        }
    }
}
