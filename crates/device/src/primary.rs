//! Primary refresh tokens: what a person's sign-in by key is worth at the server.
//!
//! Got in the background when a session begins, because none must wait for a server that may be down,
//! and not for a PIN that opens no session: each signature sets the count of wrong PINs back. While
//! the PIN is kept, one that could not be got is tried again by itself (`reconnect`). Renewed every
//! [`RENEWAL`] while a session of the person is open. The person's key signs once, for one nonce of the
//! server's, and the device vouches for it; the session key comes sealed to the device's transport key,
//! which is in the TPM.
//!
//! *Invariant:* token and session key are in this process's memory and nowhere else, and go with the
//! person's last session.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use api::oauth::{GRANT_JWT_BEARER, PrimaryAnswer};
use ipc::{Answered, Failure, PrimaryToken};
use model::{Secret, UnixTime};
use serde::Serialize;
use token::{HelloAssertion, KdfVersion, SessionKey};

use crate::{
    Error,
    credential::Credential,
    daemon::{Daemon, now},
    server::{REQUEST_LIFETIME_S, Server},
};

/// Everybody's.
#[derive(Default)]
pub(crate) struct Primaries(Mutex<HashMap<u32, Primary>>);

/// One person's.
#[derive(Default)]
struct Primary {
    held: Option<Held>,
    /// Why there is none, or no newer one.
    failure: Option<Failure>,
}

#[derive(Clone)]
struct Held {
    token: Secret<String>,
    key: SessionKey,
    updated: UnixTime,
    expires: UnixTime,
}

impl Primaries {
    fn lock(&self) -> MutexGuard<'_, HashMap<u32, Primary>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets those of people who are not here any more.
    pub(crate) fn keep_of(&self, is_here: impl Fn(u32) -> bool) {
        self.lock().retain(|uid, _| is_here(*uid));
    }

    /// Is there one that is good?
    pub(crate) fn is_held(&self, uid: u32) -> bool {
        self.held(uid).is_some_and(|held| now() < held.expires)
    }

    /// What `status` says of a person's.
    pub(crate) fn state(&self, uid: u32) -> PrimaryToken {
        let all = self.lock();
        let primary = all.get(&uid);
        let held = primary.and_then(|primary| primary.held.as_ref());
        let held = held.filter(|held| now() < held.expires);
        PrimaryToken {
            present: Answered::from(held.is_some()),
            updated: held.map(|held| held.updated.0),
            expires: held.map(|held| held.expires.0),
            failure: primary.and_then(|primary| primary.failure.clone()),
        }
    }

    fn note(&self, uid: u32, outcome: Result<Held, Failure>) {
        let mut all = self.lock();
        let primary = all.entry(uid).or_default();
        match outcome {
            Ok(held) => {
                *primary = Primary {
                    held: Some(held),
                    failure: None,
                };
            }
            Err(failure) => primary.failure = Some(failure),
        }
    }

    fn held(&self, uid: u32) -> Option<Held> {
        self.lock().get(&uid)?.held.clone()
    }

    /// Whose are to be renewed.
    fn due(&self, now: UnixTime) -> Vec<u32> {
        let is_due = |primary: &Primary| {
            let held = primary.held.as_ref();
            held.is_some_and(|held| now >= held.updated.plus(RENEWAL.as_secs() as i64))
        };
        let all = self.lock();
        let due = all.iter().filter(|(_, primary)| is_due(primary));
        due.map(|(uid, _)| *uid).collect()
    }
}

impl Daemon {
    /// Gets one for a person who has just signed in; whatever goes wrong is told by `status`, and tried
    /// again where the PIN is kept.
    pub(crate) fn get_primary(self: &Arc<Self>, credential: Credential, pin: ipc::Secret) {
        let (daemon, uid) = (Arc::clone(self), credential.uid);
        self.presence
            .steer(Some(uid), |courses| courses.primary.begun());
        tokio::spawn(async move {
            let outcome = daemon.ask_primary(&credential, &pin).await;
            daemon.primary_came(uid, outcome.as_ref().map(|_| true));
            daemon.note_primary(uid, outcome);
        });
    }

    fn note_primary(&self, uid: u32, outcome: Result<Held, Error>) {
        if let Err(error) = &outcome {
            tracing::info!(uid, %error, "no primary refresh token");
        }
        self.primaries
            .note(uid, outcome.map_err(|error| error.failure()));
    }

    async fn ask_primary(
        self: &Arc<Self>,
        credential: &Credential,
        pin: &ipc::Secret,
    ) -> Result<Held, Error> {
        let server = self.server()?;
        let tenant = server.joined.tenant;
        let at = now().0;
        let said = Said {
            iss: credential.upn.clone(),
            request_nonce: server.client.nonce(tenant).await?,
            scope: "openid aza ugs".to_owned(),
            iat: at,
            exp: at + REQUEST_LIFETIME_S,
        };
        let key_id = credential.public_key()?.key_id();
        let draft = HelloAssertion::draft(&key_id, &said).map_err(unbuilt)?;
        let digest = draft.digest();
        let mut right = Some(self.try_kept_pin(credential, pin).await?);
        let sign = move |tpm: &mut tpm::Tpm| {
            let right = right.take().ok_or(Error::Bug("a right was used twice"))?;
            Ok(tpm.sign_unlocked(right, &digest)?)
        };
        let signature = self.chip.run(sign).await?;
        let asked = Asked {
            client_id: api::WORKSTATION_CLIENT.to_owned(),
            // Another one: each of the two signatures is for a nonce of its own.
            request_nonce: server.client.nonce(tenant).await?,
            grant_type: GRANT_JWT_BEARER.to_owned(),
            assertion: Some(draft.finish(&signature).map_err(unbuilt)?),
            refresh_token: None,
            scope: "openid aza ugs".to_owned(),
            iat: at,
            exp: at + REQUEST_LIFETIME_S,
        };
        let request = server.signed(&asked).await?;
        let answer = server.client.primary_token(tenant, &request).await?;
        let wrapped = answer.session_key_jwe.as_deref().ok_or_else(unfit)?;
        let wrapped = SessionKey::wrapped(wrapped).map_err(|_| unfit())?;
        let key = self.open_session_key(&server, wrapped).await?;
        Ok(held(answer, key))
    }

    async fn open_session_key(
        &self,
        server: &Server,
        wrapped: Vec<u8>,
    ) -> Result<SessionKey, Error> {
        let (transport, auth) = (server.device.keys.transport.clone(), self.identity.auth()?);
        let open =
            move |tpm: &mut tpm::Tpm| Ok(tpm.transport_decrypt(&transport, &auth, &wrapped)?);
        let bytes = self.chip.run(open).await?;
        SessionKey::from_bytes(bytes).map_err(|_| unfit())
    }

    async fn renew_primary(&self, kept: Held) -> Result<Held, Error> {
        let server = self.server()?;
        let tenant = server.joined.tenant;
        let at = now().0;
        let asked = Asked {
            client_id: api::WORKSTATION_CLIENT.to_owned(),
            request_nonce: server.client.nonce(tenant).await?,
            grant_type: "refresh_token".to_owned(),
            assertion: None,
            refresh_token: Some(kept.token.expose().clone()),
            scope: "openid aza".to_owned(),
            iat: at,
            exp: at + REQUEST_LIFETIME_S,
        };
        let mut ctx = [0; 24];
        openssl::rand::rand_bytes(&mut ctx)?;
        let request = token::sign_with_session_key(&kept.key, KdfVersion::Two, &ctx, &asked);
        let request = request.map_err(unbuilt)?;
        let sealed = server.client.session_request(tenant, &request).await?;
        let plain = token::open_answer(&kept.key, &sealed).map_err(|_| unfit())?;
        let answer = serde_json::from_slice(plain.expose()).map_err(|_| unfit())?;
        Ok(held(answer, kept.key))
    }
}

/// Renews what is due, for as long as the daemon lives.
pub(crate) async fn keep_renewed(daemon: Arc<Daemon>) {
    let mut beat = tokio::time::interval(BEAT);
    loop {
        beat.tick().await;
        for uid in daemon.primaries.due(now()) {
            if let Some(held) = daemon.primaries.held(uid) {
                let outcome = daemon.renew_primary(held).await;
                daemon.note_primary(uid, outcome);
            }
        }
    }
}

fn held(answer: PrimaryAnswer, key: SessionKey) -> Held {
    let updated = now();
    Held {
        expires: updated.plus(answer.refresh_token_expires_in),
        token: Secret::new(answer.refresh_token),
        key,
        updated,
    }
}

/// What a user's key says (MS-OAPXBC 3.1.5.1.2).
#[derive(Serialize)]
struct Said {
    iss: String,
    request_nonce: String,
    scope: String,
    iat: i64,
    exp: i64,
}

/// What the device asks for (MS-OAPXBC 3.1.5.1.2 and 3.1.5.1.3).
#[derive(Serialize)]
struct Asked {
    client_id: String,
    request_nonce: String,
    grant_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    assertion: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    scope: String,
    iat: i64,
    exp: i64,
}

fn unbuilt(error: token::Error) -> Error {
    tracing::error!(%error, "a request for a primary refresh token could not be made");
    Error::Bug("a request cannot be built")
}

fn unfit() -> Error {
    Error::Server(client::Error::Protocol(
        "the primary refresh token's session key cannot be opened".to_owned(),
    ))
}

/// How old a token is when it is renewed.
const RENEWAL: Duration = Duration::from_secs(4 * 3600);

/// How often it is looked whether one is; a server that was away is tried again so often.
const BEAT: Duration = Duration::from_secs(5 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_due_after_four_hours_and_goes_with_its_person() {
        let primaries = Primaries::default();
        let at = UnixTime(1_700_000_000);
        let held = Held {
            token: Secret::new("t".to_owned()),
            key: SessionKey::make().unwrap(),
            updated: at,
            expires: at.plus(14 * 86_400),
        };
        primaries.note(1000, Ok(held));
        assert!(primaries.due(at.plus(4 * 3600 - 1)).is_empty());
        assert_eq!(primaries.due(at.plus(4 * 3600)), [1000]);
        primaries.keep_of(|uid| uid == 1000);
        assert!(primaries.held(1000).is_some());
        primaries.keep_of(|_| false);
        assert!(primaries.held(1000).is_none());
    }

    #[test]
    fn a_failure_leaves_what_is_held() {
        let primaries = Primaries::default();
        let held = Held {
            token: Secret::new("t".to_owned()),
            key: SessionKey::make().unwrap(),
            updated: now(),
            expires: now().plus(60),
        };
        primaries.note(1000, Ok(held));
        primaries.note(1000, Err(Failure::new("server_unreachable", "No.")));
        let state = primaries.state(1000);
        assert_eq!(state.present, Answered::Yes);
        assert_eq!(
            state.failure.map(|failure| failure.code).as_deref(),
            Some("server_unreachable")
        );
        assert_eq!(primaries.state(1001).present, Answered::No);
    }
}
