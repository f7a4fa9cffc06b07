//! What a user's Kerberos proof shows.

use anyhow::Context as _;
use api::agent::KeyChange;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use directory::Directory;
use kerberos::gss;
use keycred::RsaPublicKey;
use tokio::task::spawn_blocking;

use super::Failure;
use crate::{
    addition::{self, Proof},
    config::Config,
};

/// KRB_AP_ERR_TKT_EXPIRED as libkrb5 numbers it.
const TICKET_EXPIRED: i64 = -1_765_328_384 + 32;

/// What the proof of a change shows.
pub(super) async fn of(
    change: &KeyChange,
    key: &RsaPublicKey,
    directory: &Directory,
    config: &Config,
) -> Result<Proof, Failure> {
    let evidence = change.evidence.as_ref();
    let Some((evidence, statement)) = evidence.zip(addition::statement(change, key)) else {
        return Ok(Proof::Absent);
    };
    let Some(proof) = &evidence.user_proof else {
        return Ok(Proof::Absent);
    };
    let (Ok(token), Ok(mic)) = (STANDARD.decode(&proof.token), STANDARD.decode(&proof.mic)) else {
        return Ok(Proof::Bad("it is not base64".to_owned()));
    };
    let keytab = config.keytab.clone();
    // A keytab that cannot be read is the agent's own trouble, and says nothing of the proof.
    std::fs::File::open(&keytab).context("the keytab")?;
    let accepted = spawn_blocking(move || {
        gss::accept(&keytab, &gss::Proof { token, mic }, &statement.to_bytes())
    });
    let client = match accepted.await.map_err(anyhow::Error::from)? {
        Ok(client) => client,
        Err(kerberos::Error::ClockSkew(_))
        | Err(kerberos::Error::Other {
            code: TICKET_EXPIRED,
            ..
        }) => {
            return Ok(Proof::Expired);
        }
        Err(error) => return Ok(Proof::Bad(error.to_string())),
    };
    // A name with an escape or an instance is no account's that gets keys.
    match client.rsplit_once('@') {
        Some((account, realm)) if realm == config.realm && !account.contains(['\\', '/', '@']) => {
            Ok(Proof::By(directory.claimants(account).await?))
        }
        _ => Ok(Proof::By(Vec::new())),
    }
}
