//! Key registration (MS-KPP): a user's public key, made by a device, on its way to AD.

use std::sync::Arc;

use api::{
    agent::ChangeEvidence,
    device::{KeyAnswer, KeyEvidence, KeyRequest},
    oauth::AccessClaims,
};
use axum::{
    Json,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use joints::Joint;
use model::{Guid, UnixTime, sha256};
use protocol::{Operation, Statement};
use store::{Attested, Audit, Device, NewKey, Registered, User};

use crate::{
    access::{self, usable_device},
    app::App,
    error::Refusal,
    evidence, random, verdict,
};

/// How old the second factor may be.
const MFA_S: i64 = 10 * 60;

/// The longest Kerberos proof; a ticket grows with the groups of its user.
const MAX_PROOF: usize = 48 * 1024;

fn refused(status: StatusCode, code: &str, sentence: &str) -> Refusal {
    Refusal::registration(status, code, sentence)
}

/// `POST /EnrollmentServer/key/`. The same key of the same user and device keeps its id, so that a
/// device that was killed before it saw the answer asks again.
pub(crate) async fn register(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<KeyAnswer>, Refusal> {
    let claims = access::registration(&app, &headers).await?;
    let request: KeyRequest = serde_json::from_slice(&body)
        .map_err(|error| refused(StatusCode::BAD_REQUEST, "bad_request", &error.to_string()))?;
    check_methods(&claims, app.clock.now())?;
    let (user, device) = who(&app, &claims).await?;
    let key = evidence::user_key(&request.kngc)
        .map_err(|why| refused(StatusCode::BAD_REQUEST, "bad_key", why))?;
    let material = key.to_rsa1();
    if let Some(evidence) = &request.latchkey {
        check_evidence(&app, evidence, &user, &device, &material).await?;
    }
    let attestation = request.latchkey.as_ref();
    let attestation = attestation.and_then(|evidence| evidence.attestation.as_ref());
    let attested = verdict::judge(&app, (&user, &device), &key, attestation).await?;
    verdict::expect_enough(&app, (&user, &device), &attested).await?;
    let audit = Audit {
        at: app.clock.now(),
        actor: format!("user:{}", user.guid),
        action: "key.register",
        subject: format!("{} on {}", user.upn, device.id),
    };
    let new = new_key(
        &app,
        (&user, &device),
        (material, attested),
        request.latchkey,
    )?;
    match app.store.register_key(app.tenant.id, new, audit).await? {
        Registered::Stored(kid) => {
            tokio::task::spawn_blocking(|| joints::reach("server", Joint::KeyStored)).await?;
            Ok(Json(KeyAnswer {
                kid: kid.to_string(),
                upn: user.upn,
            }))
        }
        Registered::OfAnother => {
            let sentence = "this key is registered for another user or device: make a new one";
            Err(refused(StatusCode::CONFLICT, "key_of_another", sentence))
        }
    }
}

/// Whether the user has shown both factors, and a moment ago.
pub(crate) fn check_methods(claims: &AccessClaims, now: UnixTime) -> Result<(), Refusal> {
    if !claims.amr.iter().any(|method| method == "ngcmfa") {
        let sentence = "registering a key needs both factors: sign in with amr_values=ngcmfa";
        return Err(refused(StatusCode::UNAUTHORIZED, "mfa_required", sentence));
    }
    let is_fresh = claims.mfa_time.is_some_and(|time| now.0 - time <= MFA_S);
    if !is_fresh {
        let sentence = "the second factor was given more than ten minutes ago: sign in again";
        return Err(refused(StatusCode::UNAUTHORIZED, "mfa_stale", sentence));
    }
    Ok(())
}

/// The user and the device of a token, where both may register a key.
pub(crate) async fn who(app: &App, claims: &AccessClaims) -> Result<(User, Device), Refusal> {
    let insufficient = || {
        let sentence = "the access token names no user or no device";
        refused(StatusCode::UNAUTHORIZED, "token_refused", sentence)
    };
    let device = claims.deviceid.ok_or_else(insufficient)?;
    claims.upn.as_ref().ok_or_else(insufficient)?;
    let user = usable_user(app, claims.oid).await?;
    let device = usable_device(app, device).await?.ok_or_else(|| {
        let sentence = "the device is not joined any more, or is switched off";
        refused(StatusCode::FORBIDDEN, "device_disabled", sentence)
    })?;
    let groups = app.store.settings(app.tenant.id).await?;
    let groups = groups.register_keys_groups;
    if !app.is_in_any(user.guid, &groups).await? {
        let sentence = "this account may not register keys: an administrator names the group \
                        that may (settings set register-keys-group)";
        return Err(refused(StatusCode::FORBIDDEN, "not_allowed", sentence));
    }
    Ok((user, device))
}

/// The user of a token, whose account may be used.
pub(crate) async fn usable_user(app: &App, user: Option<Guid>) -> Result<User, Refusal> {
    let user = user.ok_or_else(|| {
        let sentence = "the access token names no user";
        refused(StatusCode::UNAUTHORIZED, "token_refused", sentence)
    })?;
    let now = app.clock.now();
    let user = app.store.user(app.tenant.id, user).await?.filter(|user| {
        user.active
            && user.account_expires.is_none_or(|expires| now < expires)
            && user.locked_until.is_none_or(|until| until <= now)
    });
    user.ok_or_else(|| {
        let sentence = "the account is disabled, expired or locked, or gone from AD";
        refused(StatusCode::FORBIDDEN, "user_disabled", sentence)
    })
}

/// The agent checks the same against AD and is the one who counts; what cannot pass there is
/// refused here, where somebody sees it.
async fn check_evidence(
    app: &App,
    evidence: &KeyEvidence,
    user: &User,
    device: &Device,
    material: &[u8],
) -> Result<(), Refusal> {
    let bad = |sentence| refused(StatusCode::BAD_REQUEST, "bad_evidence", sentence);
    if evidence.user_proof.token.len() + evidence.user_proof.mic.len() > MAX_PROOF {
        return Err(bad("the user's proof is too long"));
    }
    let sid = user
        .sid()
        .ok_or_else(|| bad("AD has no such account"))?
        .clone();
    let statement = Statement {
        operation: Operation::Add,
        user: sid,
        key_id: sha256(material),
        device: device.id,
        time: evidence.time,
        sequence: evidence.sequence,
    };
    let computer = app.store.computer(app.tenant.id, device.id).await?;
    let certificates = computer
        .map(|computer| computer.certificates)
        .unwrap_or_default();
    let (message, signature) = (statement.to_bytes(), &evidence.device_sig);
    if !evidence::signed_by_computer(&certificates, device.id, &message, signature) {
        return Err(bad(
            "the device's signature is not by its certificate in AD",
        ));
    }
    Ok(())
}

fn new_key(
    app: &App,
    (user, device): (&User, &Device),
    (material, attested): (Vec<u8>, Attested),
    evidence: Option<KeyEvidence>,
) -> anyhow::Result<NewKey> {
    let attestation = evidence
        .as_ref()
        .and_then(|evidence| evidence.attestation.as_ref());
    let attestation = attestation.map(serde_json::to_string).transpose()?;
    let evidence = evidence.map(|evidence| ChangeEvidence {
        time: evidence.time,
        sequence: evidence.sequence,
        device_sig: evidence.device_sig,
        user_proof: Some(evidence.user_proof),
    });
    Ok(NewKey {
        kid: random::guid()?,
        user: user.guid,
        account: user.domain().zip(user.sid().cloned()),
        device: device.id,
        material,
        evidence: evidence
            .map(|evidence| serde_json::to_string(&evidence))
            .transpose()?,
        attestation,
        attested,
        now_ms: app.clock.now_ms(),
    })
}
