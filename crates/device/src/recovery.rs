//! K's word, asked of the server from the thread that has the TPM.
//!
//! A session of the TPM waits for it meanwhile, and with it everybody else who wants the TPM, so that
//! the server has seconds and not more.

use std::time::Duration;

use api::recovery::{LimitRequest, Permission, RecoveryRequest, RecoveryStep};
use attest::{Act, NvPublic, Permit};
use client::Client;
use model::Secret;
use openssl::{
    bn::BigNum,
    ec::{EcGroup, EcKey},
    nid::Nid,
    pkey::{PKey, Public},
};
use tokio::{runtime::Handle, time::timeout};

use crate::{Error, text};

/// How long the server may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The server as the holder of K, for the user of a token.
#[derive(Clone)]
pub(crate) struct Authority {
    pub(crate) client: Client,
    pub(crate) bearer: Secret<String>,
    pub(crate) runtime: Handle,
    /// TPMT_PUBLIC of K.
    pub(crate) public: Vec<u8>,
}

/// K, of its TPMT_PUBLIC.
pub(crate) fn key(public: &[u8]) -> Result<PKey<Public>, Error> {
    let public = attest::Public::read(public).map_err(|_| NOT_A_KEY)?;
    let attest::Key::P256 { x, y } = public.key else {
        return Err(NOT_A_KEY);
    };
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
    let (x, y) = (BigNum::from_slice(x)?, BigNum::from_slice(y)?);
    let key = EcKey::from_public_key_affine_coordinates(&group, &x, &y)?;
    Ok(PKey::from_ec_key(key)?)
}

impl Authority {
    /// K's word for the limit of a new PIN counter. Not to be called where tasks run.
    pub(crate) fn allow_limit(&self, permit: &Permit<'_>) -> Result<Vec<u8>, tpm::Error> {
        let Act::SetLimit { nv_public } = permit.act else {
            return Err(unavailable("a new key asks for nothing but its limit"));
        };
        let index = NvPublic::read(nv_public).map_err(|error| unavailable(&error.to_string()))?;
        let request = LimitRequest {
            index: index.index,
            nonce: text::base64(permit.nonce_tpm),
        };
        self.wait(self.client.allow_limit(self.bearer.expose(), &request))
    }

    /// K's word for one step of a reset of this key's PIN. Not to be called where tasks run.
    pub(crate) fn allow_reset(
        &self,
        kid: &str,
        permit: &Permit<'_>,
    ) -> Result<Vec<u8>, tpm::Error> {
        let step = match permit.act {
            Act::SetLimit { .. } => RecoveryStep::SetLimit,
            Act::ChangeIndex { parameters, .. } => RecoveryStep::ChangeIndex {
                parameters: text::base64(parameters),
            },
            Act::ChangeKey {
                parent_name,
                parameters,
                ..
            } => RecoveryStep::ChangeKey {
                parent_name: text::base64(parent_name),
                parameters: text::base64(parameters),
            },
        };
        let request = RecoveryRequest {
            nonce: text::base64(permit.nonce_tpm),
            step,
        };
        self.wait(
            self.client
                .allow_recovery(self.bearer.expose(), kid, &request),
        )
    }

    fn wait(
        &self,
        asked: impl Future<Output = Result<Permission, client::Error>>,
    ) -> Result<Vec<u8>, tpm::Error> {
        let Permission { signature } = self
            .runtime
            .block_on(async { timeout(PATIENCE, asked).await })
            .map_err(|_| unavailable("the server took too long"))?
            .map_err(|error| match error {
                client::Error::Refused(refusal) => unavailable(&refusal.sentence),
                error => unavailable(&error.to_string()),
            })?;
        text::from_base64(&signature).ok_or_else(|| unavailable("the server's word is not base64"))
    }
}

/// Not the TPM's fault: it would be opened anew where it was called unavailable.
fn unavailable(why: &str) -> tpm::Error {
    tpm::Error::Authority(why.to_owned())
}

const NOT_A_KEY: Error = Error::Bug("the server's recovery key is none");
