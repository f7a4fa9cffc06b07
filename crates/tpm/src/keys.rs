//! The device's own keys: usable by whoever holds their authorisation value, which is the daemon.
//!
//! They are outside the dictionary attack protection: their values are 32 random bytes, and a
//! user's wrong PINs must not stop the device from proving what it is.

use attest::Key;
use model::Secret;
use openssl::pkey::{PKey, Public};
use serde::{Deserialize, Serialize};

use crate::command::{Command, Encrypts, Entity};
use crate::spec::{alg, cc, handle, object, tag};
use crate::wire::{Malformed, Reader, Writer};
use crate::{Error, Tpm, error};

/// What a key of the device is for; each does this and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Proves which device this is: RSASSA over SHA-256.
    Device,
    /// Receives session keys: RSAES-OAEP with SHA-1, which the PRT protocol fixes.
    Transport,
    /// Attests other keys, and signs nothing that the TPM did not make.
    Attestation,
    /// Issues the short-lived certificates that carry user keys to a KDC.
    DeviceRoot,
}

/// A key wrapped by its TPM, as it lies on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyBlob {
    /// TPMT_PUBLIC.
    #[serde(with = "crate::text")]
    pub public: Vec<u8>,
    /// The contents of TPM2B_PRIVATE: worthless outside this TPM.
    #[serde(with = "crate::text")]
    pub private: Vec<u8>,
}

impl KeyBlob {
    /// The public key.
    pub fn public_key(&self) -> Result<PKey<Public>, Error> {
        rsa_public_key(&self.public)
    }
}

impl Tpm {
    /// Makes a key for `role`.
    pub fn create_device_key(
        &mut self,
        role: Role,
        auth: &Secret<[u8; 32]>,
    ) -> Result<KeyBlob, Error> {
        self.create(&template(role), trimmed(auth.expose()))
    }

    /// Signs a SHA-256 digest with a device or device-root key: RSASSA-PKCS1-v1_5.
    pub fn sign(
        &mut self,
        key: &KeyBlob,
        auth: &Secret<[u8; 32]>,
        digest: &[u8; 32],
    ) -> Result<Vec<u8>, Error> {
        self.with_key(&key.public, &key.private, |tpm, entity| {
            let answer = tpm.run(sign_command(&[entity], digest), trimmed(auth.expose()))?;
            signature(&answer.params)
        })
    }

    /// Opens what was encrypted to the transport key.
    pub fn transport_decrypt(
        &mut self,
        key: &KeyBlob,
        auth: &Secret<[u8; 32]>,
        ciphertext: &[u8],
    ) -> Result<Secret<Vec<u8>>, Error> {
        self.with_key(&key.public, &key.private, |tpm, entity| {
            let decrypt = Command {
                name: "RSA_Decrypt",
                code: cc::RSA_DECRYPT,
                handles: &[entity],
                encrypts: Encrypts::BOTH,
                params: Writer::new().sized(ciphertext).u16(alg::NULL).sized(&[]),
                makes_handle: false,
            };
            let answer = tpm.run(decrypt, trimmed(auth.expose()))?;
            let message = Reader::new(&answer.params)
                .sized()
                .map_err(|Malformed| error::malformed("RSA_Decrypt"))?;
            Ok(Secret::new(message.to_vec()))
        })
    }
}

/// TPM2_Sign with the scheme of the key, over a digest that the TPM did not make.
pub(crate) fn sign_command<'a>(key: &'a [&'a Entity], digest: &[u8; 32]) -> Command<'a> {
    Command {
        name: "Sign",
        code: cc::SIGN,
        handles: key,
        encrypts: Encrypts::COMMAND,
        params: Writer::new()
            .sized(digest)
            .u16(alg::NULL)
            .u16(tag::HASHCHECK)
            .u32(handle::NULL)
            .sized(&[]),
        makes_handle: false,
    }
}

/// The bytes of an RSA signature (TPMT_SIGNATURE).
pub(crate) fn signature(params: &[u8]) -> Result<Vec<u8>, Error> {
    let mut reader = Reader::new(params);
    let read = (|| {
        reader.u16()?;
        reader.u16()?;
        Ok(reader.sized()?.to_vec())
    })();
    read.map_err(|Malformed| error::malformed("Sign"))
}

/// The RSA key in a TPMT_PUBLIC.
pub(crate) fn rsa_public_key(public: &[u8]) -> Result<PKey<Public>, Error> {
    match attest::Public::read(public).map(|public| public.key) {
        Ok(key @ Key::Rsa { .. }) => Ok(key.to_openssl()?),
        _ => Err(Error::KeyUnusable("it is not an RSA key".to_owned())),
    }
}

/// The TPM drops zeros at the end of an authorisation value; so do both ends of an HMAC key.
pub(crate) fn trimmed(value: &[u8]) -> &[u8] {
    let length = value
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |last| last + 1);
    value.get(..length).unwrap_or(value)
}

fn template(role: Role) -> Vec<u8> {
    let attributes = object::FIXED_TPM
        | object::FIXED_PARENT
        | object::SENSITIVE_DATA_ORIGIN
        | object::USER_WITH_AUTH
        | object::NO_DA;
    let (uses, scheme, hash) = match role {
        Role::Device | Role::DeviceRoot => (object::SIGN, alg::RSASSA, alg::SHA256),
        Role::Attestation => (object::SIGN | object::RESTRICTED, alg::RSASSA, alg::SHA256),
        Role::Transport => (object::DECRYPT, alg::OAEP, alg::SHA1),
    };
    Writer::new()
        .u16(alg::RSA)
        .u16(alg::SHA256)
        .u32(attributes | uses)
        .sized(&[])
        .u16(alg::NULL)
        .u16(scheme)
        .u16(hash)
        .u16(2048)
        .u32(0)
        .sized(&[])
        .plain()
}
