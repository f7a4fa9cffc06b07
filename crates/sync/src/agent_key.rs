//! The agent's own key, and how another takes its place.
//!
//! The next key is on disk before the server hears of it: whenever this dies, one of the two on disk
//! is the one that the server knows, and both are tried.

use std::time::{Duration, SystemTime};

use api::agent::AgentKey;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use client::Agent;
use openssl::{
    hash::MessageDigest,
    nid::Nid,
    pkey::{PKey, Private},
    rsa::Rsa,
    x509::{X509NameBuilder, X509ReqBuilder},
};
use tokio::sync::Mutex;

use crate::state::Folder;

const KEY_BITS: u32 = 2048;

/// How old a key becomes.
const LIFE: Duration = Duration::from_secs(90 * 86_400);

/// The lease and the cycle may both come to it at once: one after another.
static TURN: Mutex<()> = Mutex::const_new(());

/// A new key.
pub fn make() -> anyhow::Result<PKey<Private>> {
    Ok(PKey::from_rsa(Rsa::generate(KEY_BITS)?)?)
}

/// Renews a key that is old, and ends a renewal that was begun.
pub async fn renew_if_old(folder: &Folder, agent: &Agent) -> anyhow::Result<()> {
    let turn = TURN.lock().await;
    let age = SystemTime::now().duration_since(folder.key_made()?);
    if age.is_ok_and(|age| age >= LIFE) && folder.next_key()?.is_none() {
        folder.keep_next_key(&make()?)?;
    }
    drop(turn);
    settle(folder, agent).await
}

/// Has the next key, if there is one, take the place of the other, here and at the server.
pub async fn settle(folder: &Folder, agent: &Agent) -> anyhow::Result<()> {
    let _turn = TURN.lock().await;
    let Some(next) = folder.next_key()? else {
        return Ok(());
    };
    let csr = STANDARD.encode(request(&next, "latchkey-sync")?);
    let renewal = AgentKey { csr };
    let former = agent.key();
    let mut taken = agent.renew_key(&renewal).await;
    if matches!(taken, Err(client::Error::Refused(_))) {
        // It does not know the former key: then it has the next one already, and is asked by that.
        agent.use_key(next.clone()).await;
        taken = agent.renew_key(&renewal).await;
    }
    if let Err(error) = taken {
        agent.use_key(former).await;
        return Err(error.into());
    }
    folder.adopt_next_key()?;
    agent.use_key(next).await;
    tracing::info!("the agent has a new key");
    Ok(())
}

/// A PKCS#10 request in DER.
pub fn request(key: &PKey<Private>, name: &str) -> anyhow::Result<Vec<u8>> {
    // A common name has at most 64 characters (RFC 5280 appendix A.1); the server names the agent
    // by its principal anyway.
    let name: String = name.chars().take(64).collect();
    let mut subject = X509NameBuilder::new()?;
    subject.append_entry_by_nid(Nid::COMMONNAME, &name)?;
    let mut request = X509ReqBuilder::new()?;
    request.set_subject_name(&subject.build())?;
    request.set_pubkey(key)?;
    request.sign(key, MessageDigest::sha256())?;
    Ok(request.build().to_der()?)
}
