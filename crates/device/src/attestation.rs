//! Showing the server that this device's keys are in its TPM: a value that only the TPM with both the
//! endorsement key and the attestation key can read.

use api::attestation::{AttestationChallenge, ChallengeReply};
use attest::Challenge;

use crate::{Error, daemon::Daemon, error::refused, text};

impl Daemon {
    /// Answers whatever challenge the server has for this device.
    pub(crate) async fn show_tpm(&self) -> Result<(), Error> {
        let server = self.server()?;
        let bearer = self.bearer(&server).await?;
        let status = server.client.attestation(&bearer).await?;
        if let Some(reason) = &status.reason {
            tracing::info!(
                reason,
                "the server takes no key of this device for a TPM's yet"
            );
        }
        match status.challenge {
            None => Ok(()),
            Some(challenge) => self.answer_challenge(challenge).await,
        }
    }

    /// Answers a challenge.
    pub(crate) async fn answer_challenge(
        &self,
        challenge: AttestationChallenge,
    ) -> Result<(), Error> {
        let server = self.server()?;
        let unfit = || refused("server_unfit", "The server's challenge cannot be read.");
        let asked = Challenge {
            credential_blob: text::from_base64(&challenge.blob).ok_or_else(unfit)?,
            secret: text::from_base64(&challenge.secret).ok_or_else(unfit)?,
        };
        let key = server.device.keys.attestation.clone();
        let auth = self.identity.auth()?;
        let opened = self
            .chip
            .run(move |tpm| Ok(tpm.activate(&key, &auth, &asked)?))
            .await?;
        let reply = ChallengeReply {
            state: challenge.state,
            secret: text::base64(opened.expose()),
        };
        let bearer = self.bearer(&server).await?;
        Ok(server.client.answer_challenge(&bearer, &reply).await?)
    }
}
