//! Security keys and passkeys (WebAuthn level 2), verified by `webauthn-rs`.
//!
//! Keys are registered as discoverable ones that verify their user, so that one is two factors by
//! itself, needs no name before it, and is asked for without a list: what somebody has is told to
//! nobody who has not shown it. A key is bound to the host of the server's URL.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use model::Guid;
use serde::{Deserialize, Serialize};
use store::{Digest, SecurityKey};
use webauthn_rs::prelude::{
    CreationChallengeResponse, CredentialID, DiscoverableAuthentication, DiscoverableKey, Passkey,
    PasskeyRegistration, PublicKeyCredential, RegisterPublicKeyCredential, Uuid, Webauthn,
    WebauthnBuilder, WebauthnError,
};

use super::audit;
use crate::{app::App, error::Refusal};

/// How long a registration may take.
const SETUP_S: i64 = 10 * 60;

/// The most keys of one user, and the longest name of one.
const MOST_KEYS: usize = 20;
const MAX_NAME: usize = 64;

/// A ceremony that waits for its answer.
pub(crate) type Ceremony = DiscoverableAuthentication;

/// Asks for keys and knows them.
pub(crate) struct SecurityKeys(Webauthn);

/// A registration that is under way.
pub(crate) struct Setup {
    /// What the browser hands to the key: JSON.
    pub(crate) options: String,
    /// What goes with the form.
    pub(crate) sealed: String,
}

/// What goes with the form.
#[derive(Serialize, Deserialize)]
struct Pending {
    state: PasskeyRegistration,
    expires: i64,
}

/// What became of a registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Added {
    Yes,
    /// The browser's word does not hold, or came too late.
    Refused,
    /// The key is registered already.
    Known,
}

impl SecurityKeys {
    /// For the host of a URL; `None` where it is an address, which WebAuthn knows no keys for.
    pub(crate) fn of_url(url: &str) -> Option<Self> {
        let origin = webauthn_rs::prelude::Url::parse(url).ok()?;
        let host = origin.domain()?.to_owned();
        let builder = WebauthnBuilder::new(&host, &origin).ok()?;
        builder.rp_name("Latchkey").build().ok().map(Self)
    }

    /// Begins a ceremony: what the browser hands to a key, and what the answer is checked with.
    pub(crate) fn ask(&self) -> Result<(String, Ceremony), Refusal> {
        let (challenge, ceremony) = self.0.start_discoverable_authentication()?;
        Ok((serde_json::to_string(&challenge.public_key)?, ceremony))
    }
}

/// The user whose key has answered a ceremony; `None` where the answer does not hold.
pub(crate) async fn check(
    app: &App,
    ceremony: Ceremony,
    answer: &str,
) -> Result<Option<Guid>, Refusal> {
    let (Some(keys), Ok(answer)) = (
        &app.security_keys,
        serde_json::from_str::<PublicKeyCredential>(answer),
    ) else {
        return Ok(None);
    };
    let Ok((handle, id)) = keys.0.identify_discoverable_authentication(&answer) else {
        return Ok(None);
    };
    let Some(known) = app.store.security_key(app.tenant.id, id).await? else {
        return Ok(None);
    };
    if handle.as_bytes() != handle_of(known.user).as_bytes() {
        return Ok(None);
    }
    let mut passkey: Passkey = serde_json::from_str(&known.public)?;
    let discoverable = DiscoverableKey::from(&passkey);
    let outcome = keys
        .0
        .finish_discoverable_authentication(&answer, ceremony, &[discoverable]);
    let result = match outcome {
        Ok(result) => result,
        Err(WebauthnError::CredentialPossibleCompromise) => {
            alarm_of_copy(app, &known).await?;
            return Ok(None);
        }
        Err(error) => {
            tracing::info!(%error, "a security key was refused");
            return Ok(None);
        }
    };
    passkey.update_credential(&result);
    let public = serde_json::to_string(&passkey)?;
    let is_used = app
        .store
        .use_security_key(
            app.tenant.id,
            &known.id,
            result.counter(),
            public,
            app.clock.now(),
        )
        .await?;
    if !is_used {
        alarm_of_copy(app, &known).await?;
    }
    Ok(is_used.then_some(known.user))
}

/// A key that counts backwards may have been copied (WebAuthn 6.1.1).
async fn alarm_of_copy(app: &App, key: &SecurityKey) -> Result<(), Refusal> {
    let row = audit(app, key.user, "factor.copy_alarm", key.name.clone());
    Ok(app.store.add_audit(app.tenant.id, row).await?)
}

/// Begins a registration.
pub(crate) async fn set_up(
    app: &App,
    (user, upn, display_name): (Guid, &str, &str),
    session: Digest,
) -> Result<Option<Setup>, Refusal> {
    let Some(keys) = &app.security_keys else {
        return Ok(None);
    };
    let known = app.store.security_keys(app.tenant.id, user).await?;
    if known.len() >= MOST_KEYS {
        return Ok(None);
    }
    let known: Vec<CredentialID> = known.into_iter().map(|key| key.id.into()).collect();
    let (mut challenge, state) =
        keys.0
            .start_passkey_registration(handle_of(user), upn, display_name, Some(known))?;
    ask_for_discoverable(&mut challenge);
    let pending = Pending {
        state,
        expires: app.clock.now().plus(SETUP_S).0,
    };
    let name = pending_name(user, session);
    let sealed = app
        .keyring
        .master
        .seal(&name, &serde_json::to_vec(&pending)?)?;
    Ok(Some(Setup {
        options: serde_json::to_string(&challenge.public_key)?,
        sealed: URL_SAFE_NO_PAD.encode(sealed),
    }))
}

/// The library leaves it to the browser whether a key can be found without a list.
fn ask_for_discoverable(challenge: &mut CreationChallengeResponse) {
    if let Some(selection) = &mut challenge.public_key.authenticator_selection {
        selection.require_resident_key = true;
        selection.resident_key = Some(webauthn_rs_proto::ResidentKeyRequirement::Required);
    }
}

/// Registers the key that the browser answers for.
pub(crate) async fn confirm(
    app: &App,
    (user, session): (Guid, Digest),
    (sealed, answer): (&str, &str),
    name: &str,
) -> Result<Added, Refusal> {
    let now = app.clock.now();
    let pending = URL_SAFE_NO_PAD.decode(sealed).ok().and_then(|sealed| {
        let name = pending_name(user, session);
        let plain = app.keyring.master.open(&name, &sealed).ok()?;
        serde_json::from_slice::<Pending>(plain.expose()).ok()
    });
    let pending = pending.filter(|pending| now.0 < pending.expires);
    let (Some(keys), Some(pending), Ok(answer)) = (
        &app.security_keys,
        pending,
        serde_json::from_str::<RegisterPublicKeyCredential>(answer),
    ) else {
        return Ok(Added::Refused);
    };
    let passkey = match keys.0.finish_passkey_registration(&answer, &pending.state) {
        Ok(passkey) => passkey,
        Err(error) => {
            tracing::info!(%error, "a security key was not registered");
            return Ok(Added::Refused);
        }
    };
    let name = name.trim().chars().take(MAX_NAME).collect::<String>();
    let name = if name.is_empty() {
        "Security key".to_owned()
    } else {
        name
    };
    let row = audit(app, user, "factor.add", format!("security key {name}"));
    let key = SecurityKey {
        id: passkey.cred_id().to_vec(),
        user,
        name,
        public: serde_json::to_string(&passkey)?,
        counter: 0,
        created: now,
        last_used: None,
    };
    let is_new = app.store.add_security_key(app.tenant.id, key, row).await?;
    Ok(if is_new { Added::Yes } else { Added::Known })
}

/// The user handle: the account's id, which says nothing about anybody (WebAuthn 14.6.1).
fn handle_of(user: Guid) -> Uuid {
    Uuid::from_bytes_le(user.to_le_bytes())
}

fn pending_name(user: Guid, session: Digest) -> String {
    let session = URL_SAFE_NO_PAD.encode(session);
    format!("security key/{user}/{session}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_for_a_host_that_has_a_name() {
        assert!(SecurityKeys::of_url("https://server.corp.example:8443").is_some());
        assert!(SecurityKeys::of_url("https://localhost").is_some());
        assert!(SecurityKeys::of_url("https://192.0.2.1").is_none());
        assert!(SecurityKeys::of_url("x").is_none());
    }

    #[test]
    fn a_key_is_asked_for_without_a_list_and_must_verify_its_user() {
        let keys = SecurityKeys::of_url("https://localhost").unwrap();
        let (options, _) = keys.ask().unwrap();
        let options: serde_json::Value = serde_json::from_str(&options).unwrap();
        assert_eq!(options["allowCredentials"], serde_json::json!([]));
        assert_eq!(options["userVerification"], "required");
        assert_eq!(options["rpId"], "localhost");
    }
}
