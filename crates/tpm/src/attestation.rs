//! The proof that a user key is what it claims to be, for whoever has the device's attestation
//! key on record.

use model::Secret;
use serde::{Deserialize, Serialize};

use crate::command::{Auth, Command, Encrypts};
use crate::keys::{signature, trimmed};
use crate::spec::{alg, cc};
use crate::wire::{Malformed, Reader, Writer};
use crate::{Error, KeyBlob, Tpm, UserKey, error};

/// What the TPM certified of a user key, and all that is needed to recompute its policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attestation {
    /// TPMT_PUBLIC of the key.
    #[serde(with = "crate::text")]
    pub public: Vec<u8>,
    /// TPMS_NV_PUBLIC of its PIN counter.
    #[serde(with = "crate::text")]
    pub nv_public: Vec<u8>,
    /// TPMT_PUBLIC of the recovery authority.
    #[serde(with = "crate::text")]
    pub recovery_public: Vec<u8>,
    /// The digests of the policy's branches, joined, 32 bytes each.
    #[serde(with = "crate::text")]
    pub branches: Vec<u8>,
    /// TPMS_ATTEST of TPM2_Certify.
    #[serde(with = "crate::text")]
    pub certify: Vec<u8>,
    /// The attestation key's RSASSA signature over SHA-256 of `certify`.
    #[serde(with = "crate::text")]
    pub signature: Vec<u8>,
}

impl Tpm {
    /// Has the attestation key certify a user key; `nonce` comes back inside, signed.
    pub fn certify(
        &mut self,
        key: &UserKey,
        pin: &Secret<String>,
        attestation_key: &KeyBlob,
        attestation_auth: &Secret<[u8; 32]>,
        nonce: &[u8],
    ) -> Result<Attestation, Error> {
        // Settles a PIN change that was cut short, so that the right blob is certified.
        let (key, value) = self.prove_alone(key, pin)?;
        let (certify, signature) = self.with_user_key(&key, |tpm, entity| {
            tpm.with_key(
                &attestation_key.public,
                &attestation_key.private,
                |tpm, signer| {
                    tpm.with_policy(|tpm, session| {
                        tpm.open_branch(session, &key, &value, Some(cc::CERTIFY))?;
                        let command = Command {
                            name: "Certify",
                            code: cc::CERTIFY,
                            handles: &[entity, signer],
                            encrypts: Encrypts::BOTH,
                            params: Writer::new().sized(nonce).u16(alg::NULL),
                            makes_handle: false,
                        };
                        let mut auths = [
                            Auth::policy_with_value(session, value.bytes()),
                            Auth::hmac(&mut tpm.session, trimmed(attestation_auth.expose())),
                        ];
                        let answer = command.run(&mut tpm.transport, &mut auths)?;
                        let mut reader = Reader::new(&answer.params);
                        let certify = reader
                            .sized()
                            .map_err(|Malformed| error::malformed("Certify"))?
                            .to_vec();
                        Ok((certify, signature(reader.rest())?))
                    })
                },
            )
        })?;
        Ok(Attestation {
            public: key.public().to_vec(),
            nv_public: key.nv_public().to_vec(),
            recovery_public: key.recovery_public().to_vec(),
            branches: key
                .branches()
                .list()
                .iter()
                .flat_map(|branch| branch.0)
                .collect(),
            certify,
            signature,
        })
    }
}
