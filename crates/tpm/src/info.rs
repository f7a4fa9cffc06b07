//! What the TPM says of itself.

use crate::command::{Command, Encrypts, Entity};
use crate::keys::rsa_public_key;
use crate::spec::{alg, cap, cc, handle, object, rc};
use crate::wire::{Malformed, Reader, Writer};
use crate::{Error, Tpm, error, policy};
use openssl::pkey::{PKey, Public};

/// The first revision of the specification with PIN indexes, times a hundred.
const PIN_INDEX_REVISION: u32 = 138;

/// Where a manufacturer leaves the certificate of the RSA-2048 endorsement key.
const EK_CERTIFICATE: u32 = 0x01C0_0002;

/// TPMA_PERMANENT.inLockout.
const IN_LOCKOUT: u32 = 1 << 9;

/// Every TPM reads at least this much of an index at once.
const NV_CHUNK: u16 = 512;

/// SHA-256 of PolicySecret(endorsement hierarchy), by which every such key opens.
const EK_POLICY: [u8; 32] = [
    0x83, 0x71, 0x97, 0x67, 0x44, 0x84, 0xb3, 0xf8, 0x1a, 0x90, 0xcc, 0x8d, 0x46, 0xa5, 0xd7, 0x24,
    0xfd, 0x52, 0xd7, 0x6e, 0x06, 0x52, 0x0b, 0x64, 0xf2, 0xa1, 0xda, 0x1b, 0x33, 0x14, 0x69, 0xaa,
];

/// What the TPM says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    /// Four letters, such as `IBM` for swtpm.
    pub manufacturer: String,
    /// The firmware's version, two numbers of 32 bits.
    pub firmware: (u32, u32),
    /// Whether it can count wrong PINs per user.
    pub has_pin_fail: bool,
    /// Whether the lockout hierarchy has a value.
    pub lockout_auth_set: bool,
    /// The state of the global protection.
    pub dictionary_attack: DictionaryAttack,
}

/// The global protection against guessing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DictionaryAttack {
    /// Whether the TPM refuses protected values now.
    pub in_lockout: bool,
    /// Failures counted now.
    pub failures: u32,
    /// Failures until it refuses.
    pub max_tries: u32,
    /// Seconds after which one failure is forgotten.
    pub recovery_s: u32,
    /// Seconds for which one wrong lockout value closes the lockout hierarchy.
    pub lockout_recovery_s: u32,
}

impl Tpm {
    /// Asks the TPM about itself.
    pub fn info(&mut self) -> Result<Info, Error> {
        let permanent = self.property(cap::PERMANENT)?;
        let manufacturer = self.property(cap::MANUFACTURER)?.to_be_bytes();
        Ok(Info {
            manufacturer: String::from_utf8_lossy(&manufacturer)
                .trim_matches(|letter: char| letter == '\0' || letter.is_whitespace())
                .to_owned(),
            firmware: (
                self.property(cap::FIRMWARE_1)?,
                self.property(cap::FIRMWARE_2)?,
            ),
            has_pin_fail: self.property(cap::REVISION)? >= PIN_INDEX_REVISION,
            lockout_auth_set: permanent & (1 << 2) != 0,
            dictionary_attack: DictionaryAttack {
                in_lockout: permanent & IN_LOCKOUT != 0,
                failures: self.property(cap::LOCKOUT_COUNTER)?,
                max_tries: self.property(cap::MAX_AUTH_FAIL)?,
                recovery_s: self.property(cap::LOCKOUT_INTERVAL)?,
                lockout_recovery_s: self.property(cap::LOCKOUT_RECOVERY)?,
            },
        })
    }

    /// Seconds until the TPM takes protected values again; none where it does now. It forgets one
    /// failure an interval, and takes values again once it remembers fewer than its limit.
    pub fn lockout_wait(&mut self) -> Result<Option<u32>, Error> {
        if self.property(cap::PERMANENT)? & IN_LOCKOUT == 0 {
            return Ok(None);
        }
        let failures = self.property(cap::LOCKOUT_COUNTER)?;
        let limit = self.property(cap::MAX_AUTH_FAIL)?;
        let interval = self.property(cap::LOCKOUT_INTERVAL)?;
        let surplus = failures.saturating_sub(limit).saturating_add(1);
        Ok(Some(surplus.saturating_mul(interval)))
    }

    fn property(&mut self, property: u32) -> Result<u32, Error> {
        let answer = Command {
            name: "GetCapability",
            code: cc::GET_CAPABILITY,
            handles: &[],
            encrypts: Encrypts::NOTHING,
            params: Writer::new().u32(cap::PROPERTIES).u32(property).u32(1),
            makes_handle: false,
        }
        .plain(&mut self.transport)?;
        let mut reader = Reader::new(&answer.params);
        let mut read = || {
            reader.u8()?;
            reader.u32()?;
            if reader.u32()? != 1 || reader.u32()? != property {
                return Err(Malformed);
            }
            reader.u32()
        };
        read().map_err(|Malformed| error::malformed("GetCapability"))
    }

    /// The certificate that the manufacturer gave the endorsement key, where there is one.
    pub fn ek_certificate(&mut self) -> Result<Option<Vec<u8>>, Error> {
        let read_public = Command {
            name: "NV_ReadPublic",
            code: cc::NV_READ_PUBLIC,
            handles: &[&Entity::by_handle(EK_CERTIFICATE)],
            encrypts: Encrypts::NOTHING,
            params: Writer::new(),
            makes_handle: false,
        };
        let public = match read_public.plain(&mut self.transport) {
            Err(error) if error.code() == Some(rc::HANDLE) => return Ok(None),
            other => other?.params,
        };
        let malformed = |Malformed| error::malformed("NV_ReadPublic");
        let mut reader = Reader::new(&public);
        let area = reader.sized().map_err(malformed)?;
        let index = Entity {
            handle: EK_CERTIFICATE,
            name: policy::name(area),
        };
        let size = area
            .last_chunk()
            .map(|size| u16::from_be_bytes(*size))
            .unwrap_or_default();

        let mut certificate = Vec::with_capacity(usize::from(size));
        for offset in (0..size).step_by(usize::from(NV_CHUNK)) {
            let read = Command {
                name: "NV_Read",
                code: cc::NV_READ,
                handles: &[&Entity::by_handle(handle::OWNER), &index],
                encrypts: Encrypts::ANSWER,
                params: Writer::new().u16(NV_CHUNK.min(size - offset)).u16(offset),
                makes_handle: false,
            };
            let answer = self.run(read, &[])?;
            let chunk = Reader::new(&answer.params)
                .sized()
                .map_err(|Malformed| error::malformed("NV_Read"))?;
            certificate.extend_from_slice(chunk);
        }
        Ok(Some(certificate))
    }

    /// The RSA-2048 endorsement key, made from the manufacturer's seed and the usual template.
    pub fn ek_public(&mut self) -> Result<PKey<Public>, Error> {
        self.with_ek(|_, _, public| rsa_public_key(public))
    }

    /// Makes the endorsement key for `act`, which gets its public area too, and flushes it.
    pub(crate) fn with_ek<T>(
        &mut self,
        act: impl FnOnce(&mut Self, &Entity, &[u8]) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.make_room();
        let template = Writer::new()
            .u16(alg::RSA)
            .u16(alg::SHA256)
            .u32(
                object::FIXED_TPM
                    | object::FIXED_PARENT
                    | object::SENSITIVE_DATA_ORIGIN
                    | object::ADMIN_WITH_POLICY
                    | object::RESTRICTED
                    | object::DECRYPT,
            )
            .sized(&EK_POLICY)
            .u16(alg::AES)
            .u16(128)
            .u16(alg::CFB)
            .u16(alg::NULL)
            .u16(2048)
            .u32(0)
            .sized(&[0; 256])
            .plain();
        let sensitive = Writer::new().sized(&[]).sized(&[]).plain();
        let create = Command {
            name: "CreatePrimary",
            code: cc::CREATE_PRIMARY,
            handles: &[&Entity::by_handle(handle::ENDORSEMENT)],
            encrypts: Encrypts::BOTH,
            params: Writer::new()
                .sized(&sensitive)
                .sized(&template)
                .sized(&[])
                .u32(0),
            makes_handle: true,
        };
        let answer = self.run(create, &[])?;
        let result = Reader::new(&answer.params)
            .sized()
            .map_err(|Malformed| error::malformed("CreatePrimary"))
            .and_then(|public| {
                let ek = Entity {
                    handle: answer.handle,
                    name: policy::name(public),
                };
                act(self, &ek, public)
            });
        self.flush_quietly(answer.handle);
        result
    }
}
