//! The answer to a server's challenge: that the endorsement key and the attestation key are in one
//! TPM.
//!
//! The server hides a value from all but that TPM ([`Challenge`]); whoever says the value has both
//! keys. The value is nobody's secret afterwards, but on the way here it is one.

use attest::Challenge;
use model::Secret;

use crate::command::{Auth, Command, Encrypts, Entity};
use crate::keys::trimmed;
use crate::spec::{cc, handle};
use crate::wire::{Malformed, Reader, Writer};
use crate::{Error, KeyBlob, Tpm, error};

impl Tpm {
    /// Opens a challenge that was made for the RSA-2048 endorsement key and for the name of this
    /// attestation key.
    pub fn activate(
        &mut self,
        attestation_key: &KeyBlob,
        attestation_auth: &Secret<[u8; 32]>,
        challenge: &Challenge,
    ) -> Result<Secret<Vec<u8>>, Error> {
        self.with_ek(|tpm, ek, _| {
            tpm.with_key(
                &attestation_key.public,
                &attestation_key.private,
                |tpm, key| {
                    tpm.with_policy(|tpm, session| {
                        // The policy of every endorsement key: the hierarchy's own value.
                        let hierarchy = Entity::by_handle(handle::ENDORSEMENT);
                        tpm.policy_secret_of(session, &hierarchy, &[])?;
                        let activate = Command {
                            name: "ActivateCredential",
                            code: cc::ACTIVATE_CREDENTIAL,
                            handles: &[key, ek],
                            encrypts: Encrypts::BOTH,
                            params: Writer::new()
                                .sized(&challenge.credential_blob)
                                .sized(&challenge.secret),
                            makes_handle: false,
                        };
                        let mut auths = [
                            Auth::hmac(&mut tpm.session, trimmed(attestation_auth.expose())),
                            Auth::policy(session, &[]),
                        ];
                        let answer = activate.run(&mut tpm.transport, &mut auths)?;
                        let value = Reader::new(&answer.params)
                            .sized()
                            .map_err(|Malformed| error::malformed("ActivateCredential"))?;
                        Ok(Secret::new(value.to_vec()))
                    })
                },
            )
        })
    }
}
