//! K's word to a device: the limit of a new PIN counter, and each step of a PIN reset.
//!
//! What must hold: K signs only commands that are made here, of what is on record; for the user who has
//! just shown both factors, on the device that the token is for; and for keys that were shown to be in
//! a TPM and to name this K. The user's new PIN is not seen here: the TPM's session encrypts it.

use std::sync::Arc;

use api::{
    device::KeyAttestation,
    oauth::AccessClaims,
    recovery::{LimitRequest, Permission, RecoveryRequest, RecoveryStep},
};
use attest::{Act, Holder, NvPublic, Permit, policy};
use axum::{
    Json,
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use model::Guid;
use store::{AttestationLevel, Audit, Device, Limit, User, Verdict};

use crate::{
    access,
    app::App,
    error::{Refusal, read_json},
    key, verdict,
};

/// Counts the resets of a user.
const RESETS: &str = "recovery";

/// So many resets a day: somebody who forgets more often than that is somebody else.
const RESET_LIMIT: Limit = Limit {
    tries: 5,
    window_s: 86_400,
    pause_s: 3600,
};

/// A nonce of a TPM, and a name.
const MAX_NONCE: usize = 64;
const NAME: usize = 34;

/// The longest parameters of a command that changes a PIN.
const MAX_PARAMETERS: usize = 128;

/// Handles of NV indices begin so.
const INDEX_HANDLES: u32 = 0x01;

fn malformed(sentence: &str) -> Refusal {
    Refusal::own(StatusCode::BAD_REQUEST, "bad_request", sentence)
}

fn decoded(text: &str, most: usize) -> Result<Vec<u8>, Refusal> {
    STANDARD
        .decode(text)
        .ok()
        .filter(|bytes| !bytes.is_empty() && bytes.len() <= most)
        .ok_or_else(|| malformed("a field is not base64, or too long"))
}

/// The user and the device of a token with both factors, and whose keys they are.
async fn asked_by(app: &App, headers: &HeaderMap) -> Result<(User, Device, Holder), Refusal> {
    let claims: AccessClaims = access::registration(app, headers).await?;
    key::check_methods(&claims, app.clock.now())?;
    let (user, device) = key::who(app, &claims).await?;
    let sid = user.sid().cloned().ok_or_else(|| {
        let sentence = "only keys of users of a directory can be reset";
        Refusal::own(StatusCode::FORBIDDEN, "not_allowed", sentence)
    })?;
    let holder = Holder {
        device: device.id,
        user: sid,
    };
    Ok((user, device, holder))
}

fn allow(app: &App, permit: &Permit<'_>, holder: &Holder) -> Result<Json<Permission>, Refusal> {
    let signature = app.keyring.recovery.allow(permit, holder)?;
    Ok(Json(Permission {
        signature: STANDARD.encode(signature),
    }))
}

/// `POST /device/v1/recovery/limit`: a new index, which nobody has written, gets the usual limit.
///
/// With it an index that was deleted and defined anew, under another PIN, has the name of the one
/// before. So a key that stands beside an index of that handle is over from now on.
pub(crate) async fn limit(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Permission>, Refusal> {
    let (user, device, holder) = asked_by(&app, &headers).await?;
    let request: LimitRequest = read_json(&body)?;
    if request.index >> 24 != INDEX_HANDLES {
        return Err(malformed("this is no handle of an NV index"));
    }
    let nonce = decoded(&request.nonce, MAX_NONCE)?;
    end_keys_beside(&app, request.index, (&user, &device)).await?;
    let name = policy::name(app.keyring.recovery.public());
    let permit = Permit {
        nonce_tpm: &nonce,
        act: Act::SetLimit {
            nv_public: &policy::index_public(request.index, &name, &holder, false),
        },
    };
    allow(&app, &permit, &holder)
}

/// Deletes the keys of a user on a device that stand beside the index of this handle.
async fn end_keys_beside(
    app: &App,
    index: u32,
    (user, device): (&User, &Device),
) -> anyhow::Result<()> {
    for key in app.store.keys_on(app.tenant.id, device.id).await? {
        if key.user != user.guid || key.state.is_leaving() {
            continue;
        }
        let parts = parts(app, key.kid).await?;
        let handle = parts.and_then(|parts| {
            NvPublic::read(&parts.nv_public)
                .ok()
                .map(|found| found.index)
        });
        if handle != Some(index) {
            continue;
        }
        let audit = Audit {
            at: app.clock.now(),
            actor: format!("user:{}", user.guid),
            action: "key.delete",
            subject: format!("{}: its PIN counter is made anew", key.kid),
        };
        app.store.delete_key(app.tenant.id, key.kid, audit).await?;
    }
    Ok(())
}

/// What the TPM said of a key that names this K.
async fn parts(app: &App, kid: Guid) -> anyhow::Result<Option<verdict::Parts>> {
    let attestation = app.store.key_attestation(app.tenant.id, kid).await?;
    Ok(attestation
        .and_then(|text| serde_json::from_str::<KeyAttestation>(&text).ok())
        .and_then(|attestation| verdict::Parts::decode(&attestation).ok())
        .filter(|parts| parts.recovery_public == app.keyring.recovery.public()))
}

/// `POST /device/v1/keys/{kid}/recovery`: a step of a PIN reset.
pub(crate) async fn step(
    State(app): State<Arc<App>>,
    Path(kid): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Permission>, Refusal> {
    let (user, device, holder) = asked_by(&app, &headers).await?;
    let request: RecoveryRequest = read_json(&body)?;
    let nonce = decoded(&request.nonce, MAX_NONCE)?;
    let (kid, parts) = recoverable(&app, &kid, (&user, &device)).await?;

    let (parent_name, parameters) = match &request.step {
        RecoveryStep::SetLimit => (Vec::new(), Vec::new()),
        RecoveryStep::ChangeIndex { parameters } => {
            (Vec::new(), decoded(parameters, MAX_PARAMETERS)?)
        }
        RecoveryStep::ChangeKey {
            parent_name,
            parameters,
        } => {
            // A name has one length: none of it can pass for parameters.
            let parent_name = decoded(parent_name, NAME)?;
            if parent_name.len() != NAME {
                return Err(malformed("the name of the parent is not one by SHA-256"));
            }
            count(&app, &user).await?;
            (parent_name, decoded(parameters, MAX_PARAMETERS)?)
        }
    };
    let (act, action) = match request.step {
        RecoveryStep::ChangeKey { .. } => {
            let act = Act::ChangeKey {
                public: parts.public(),
                parent_name: &parent_name,
                parameters: &parameters,
            };
            (act, "key.recover")
        }
        RecoveryStep::ChangeIndex { .. } => {
            let act = Act::ChangeIndex {
                nv_public: &parts.nv_public,
                parameters: &parameters,
            };
            (act, "key.recover-index")
        }
        RecoveryStep::SetLimit => {
            let act = Act::SetLimit {
                nv_public: &parts.nv_public,
            };
            (act, "key.recover-tries")
        }
    };
    let audit = Audit {
        at: app.clock.now(),
        actor: format!("user:{}", user.guid),
        action,
        subject: format!("{kid} on {}", device.id),
    };
    // On record before K's word is out.
    app.store.add_audit(app.tenant.id, audit).await?;
    let permit = Permit {
        nonce_tpm: &nonce,
        act,
    };
    allow(&app, &permit, &holder)
}

/// A key of this user on this device that names this K.
async fn recoverable(
    app: &App,
    kid: &str,
    (user, device): (&User, &Device),
) -> Result<(Guid, verdict::Parts), Refusal> {
    let unknown = || {
        let sentence = "you have registered no key of that id on this device";
        Refusal::own(StatusCode::NOT_FOUND, "unknown_key", sentence)
    };
    let beyond = || {
        let sentence = "the PIN of this key cannot be reset: reset was off when the key was made, or it is \
                        not shown to be in a TPM. Make a new key";
        Refusal::own(StatusCode::FORBIDDEN, "not_recoverable", sentence)
    };
    let kid: Guid = kid.parse().map_err(|_| unknown())?;
    let key = app.store.key(app.tenant.id, kid).await?;
    let key = key
        .filter(|key| (key.user, key.device) == (user.guid, device.id) && !key.state.is_leaving())
        .ok_or_else(unknown)?;
    let parts = parts(app, kid).await?;
    match (key.attested.level, parts) {
        (AttestationLevel::Hardware, Some(parts)) => Ok((kid, parts)),
        _ => Err(beyond()),
    }
}

async fn count(app: &App, user: &User) -> Result<(), Refusal> {
    let (now, subject) = (app.clock.now(), user.guid.to_string());
    let verdict = app
        .store
        .begin_try(app.tenant.id, RESETS, &subject, now, RESET_LIMIT)
        .await?;
    match verdict {
        Verdict::Go => Ok(()),
        Verdict::Wait(seconds) => {
            let sentence = "this account's PIN was reset too often: try again later";
            Err(Refusal::own(StatusCode::TOO_MANY_REQUESTS, "quota", sentence).retry_after(seconds))
        }
    }
}
