//! A user's registered keys, and the end of a credential.

use std::sync::Arc;

use api::device::KeyStatus;
use ipc::{Done, KeyInfo, KeysDelete, KeysList, KeysListAnswer};
use model::{Guid, Sid};
use time::OffsetDateTime;

use crate::{
    Error,
    chip::is_tpm_missing,
    credential::{Credential, word},
    daemon::Daemon,
    error::refused,
    events::{Event, Id},
    join::gone_is_fine,
    peer::Peer,
};

/// The caller's keys as the server knows them.
pub(crate) async fn list(
    daemon: &Arc<Daemon>,
    peer: &Peer,
    args: KeysList,
) -> Result<KeysListAnswer, Error> {
    let uid = args.uid.unwrap_or(peer.process.uid);
    if !peer.may_act_for(uid) {
        return Err(refused(
            "not_allowed",
            "Only root may see another user's keys.",
        ));
    }
    let server = daemon.server()?;
    let sid = daemon.domain_sid(uid).await?;
    let bearer = daemon.bearer(&server).await?;
    let keys = server.client.keys(&bearer, &sid).await?.keys;
    let here = server.device.id;
    Ok(KeysListAnswer {
        keys: keys.into_iter().map(|key| key_info(key, here)).collect(),
    })
}

fn key_info(key: KeyStatus, here: Guid) -> KeyInfo {
    KeyInfo {
        kid: key.kid,
        device_id: key.device.to_string(),
        here: key.device == here,
        created: rfc3339(key.registered_ms),
        state: word(key.state).to_owned(),
        detail: key.detail.or(key.code),
    }
}

fn rfc3339(ms: i64) -> String {
    let t = OffsetDateTime::from_unix_timestamp(ms.div_euclid(1000))
        .unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let (year, month, day) = (t.year(), u8::from(t.month()), t.day());
    let (hour, minute, second) = (t.hour(), t.minute(), t.second());
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Deletes a key at the server, hence in AD, and what is left of it here.
pub(crate) async fn delete(
    daemon: &Arc<Daemon>,
    peer: &Peer,
    args: KeysDelete,
) -> Result<Done, Error> {
    let unknown = || refused("unknown_key", "You have no key with this id.");
    // It becomes a part of a URL.
    args.kid.parse::<Guid>().map_err(|_| unknown())?;
    let server = daemon.server()?;
    let bearer = daemon.bearer(&server).await?;
    let status = match server.client.key_status(&bearer, &args.kid, None, 0).await {
        Err(client::Error::Refused(refusal)) if refusal.status == 404 => None,
        outcome => Some(outcome?),
    };
    let mut local = daemon.credential_of_kid(&args.kid)?;
    if !peer.is_root() {
        let own = daemon.domain_sid(peer.process.uid).await?;
        let is_own = |sid: &Sid| *sid == own;
        let at_server = status.as_ref().is_some_and(|status| is_own(&status.user));
        // Whose a credential here is, this machine knows; the server cannot give it away.
        local = local.filter(|credential| is_own(&credential.sid));
        if !at_server && local.is_none() {
            return Err(unknown());
        }
    }
    match local {
        Some(credential) => daemon.delete_everywhere(&credential).await?,
        None => gone_is_fine(server.client.delete_key(&bearer, &args.kid).await)?,
    }
    Ok(Done {})
}

impl Daemon {
    /// The SID behind a uid, or the sentence that says there is none.
    pub async fn domain_sid(&self, uid: u32) -> Result<Sid, Error> {
        self.sid(uid).await?.ok_or_else(|| {
            refused(
                "not_a_domain_account",
                "This account is not an account of the domain, so it cannot use a PIN.",
            )
        })
    }

    /// Removes a credential: the TPM's part first, without which the rest is worthless.
    pub async fn discard(&self, credential: &Credential) -> Result<(), Error> {
        self.presence.wipe(Some(credential.uid));
        let key = credential.key.clone();
        let delete = move |tpm: &mut tpm::Tpm| Ok(tpm.delete_user_key(&key)?);
        let deleted = match self.chip.run(delete).await {
            // What is left of it went with the TPM.
            Err(error) if is_tpm_missing(&error) => Ok(()),
            outcome => outcome,
        };
        let removed = deleted.and_then(|()| {
            self.credentials
                .remove(credential.uid, credential.key.public())?;
            // The next key is another, and nobody has tried a PIN at it.
            self.tries.forget(credential.uid)
        });
        self.events.tell(&match &removed {
            Ok(()) => Event::about(Id::KeyDeleted, credential),
            Err(error) => Event::about(Id::KeyNotDeleted, credential).because(&error.failure()),
        });
        removed
    }

    /// Removes a credential at the server, hence in AD, then here.
    pub(crate) async fn delete_everywhere(&self, credential: &Credential) -> Result<(), Error> {
        if let Some(kid) = credential.state.kid() {
            let server = self.server()?;
            let bearer = self.bearer(&server).await?;
            let removed = gone_is_fine(server.client.delete_key(&bearer, kid).await);
            self.events.tell(&match &removed {
                Ok(()) => Event::about(Id::KeyRemovedFromServer, credential),
                Err(error) => {
                    let event = Event::about(Id::KeyNotRemovedFromServer, credential);
                    event.because(&error.failure())
                }
            });
            removed?;
        }
        self.discard(credential).await
    }

    fn credential_of_kid(&self, kid: &str) -> Result<Option<Credential>, Error> {
        for uid in self.credentials.uids()? {
            let credential = self.credentials.read(uid)?;
            if let Some(credential) = credential.filter(|one| one.state.kid() == Some(kid)) {
                return Ok(Some(credential));
            }
        }
        Ok(None)
    }
}
