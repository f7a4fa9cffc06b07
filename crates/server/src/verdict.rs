//! Where a key is, and whether that is enough.
//!
//! What is found is always noted. It is enough by the stricter of two: the tenant's setting, and what
//! group policy asks of this user on this computer, as an agent evaluates it. Nobody who answers and
//! an answer that is not known count as the strictest. A device or user that AD does not have is under
//! no group policy. A key that was shown to be in a TPM is enough for everybody, so that nobody is
//! asked about it.

use std::time::Duration;

use api::{
    agent::{PolicyOutcome, PolicyWork},
    device::KeyAttestation,
};
use attest::{Claim, Expected, Holder, Signature, verify_key};
use axum::http::StatusCode;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use keycred::RsaPublicKey;
use model::sha256;
use store::{Attestation, AttestationLevel, AttestationTrust, Attested, Device, Evaluation, User};

use crate::{app::App, attestation, error::Refusal};

/// How long an evaluation counts.
const EVALUATION_S: i64 = 15 * 60;

/// How long an agent may take for one.
const PATIENCE: Duration = Duration::from_secs(10);

/// The parts of a key's attestation, decoded.
pub(crate) struct Parts {
    public: Vec<u8>,
    pub(crate) nv_public: Vec<u8>,
    pub(crate) recovery_public: Vec<u8>,
    branches: Vec<u8>,
    certify: Vec<u8>,
    signature: Vec<u8>,
}

impl Parts {
    /// Decodes an attestation; nothing of it is judged.
    pub(crate) fn decode(sent: &KeyAttestation) -> Result<Self, base64::DecodeError> {
        let bytes = |text: &String| STANDARD.decode(text);
        let branches = sent.branches.iter().map(bytes);
        Ok(Self {
            public: bytes(&sent.public)?,
            nv_public: bytes(&sent.nv_public)?,
            recovery_public: bytes(&sent.recovery_public)?,
            branches: branches.collect::<Result<Vec<_>, _>>()?.concat(),
            certify: bytes(&sent.certify)?,
            signature: bytes(&sent.signature)?,
        })
    }

    /// TPMT_PUBLIC of the key.
    pub(crate) fn public(&self) -> &[u8] {
        &self.public
    }
}

/// Where a key is, by what a device says of it.
pub(crate) async fn judge(
    app: &App,
    (user, device): (&User, &Device),
    key: &RsaPublicKey,
    attestation: Option<&KeyAttestation>,
) -> anyhow::Result<Attested> {
    let found = found(app, (user, device), key, attestation).await?;
    let (level, reason) = match found {
        Ok(reason) => (AttestationLevel::Hardware, reason),
        Err(refusal) => (AttestationLevel::None, refusal.to_string()),
    };
    Ok(Attested {
        level,
        reason,
        at: app.clock.now(),
    })
}

async fn found(
    app: &App,
    (user, device): (&User, &Device),
    key: &RsaPublicKey,
    sent: Option<&KeyAttestation>,
) -> anyhow::Result<Result<String, attest::Refusal>> {
    let (Some(sent), Some(sid)) = (sent, user.sid()) else {
        return Ok(Err(attest::Refusal::NotAttested));
    };
    let trusted = match attestation::trusted(app, device).await? {
        Ok(trusted) => trusted,
        Err(refusal) => return Ok(Err(refusal)),
    };
    if device.attestation_trust == AttestationTrust::None {
        return Ok(Err(attest::Refusal::NotActivated));
    }
    let Ok(parts) = Parts::decode(sent) else {
        return Ok(Err(attest::Refusal::NotAttested));
    };
    let claim = Claim {
        public: &parts.public,
        nv_public: &parts.nv_public,
        recovery_public: &parts.recovery_public,
        branches: &parts.branches,
        certify: &parts.certify,
        signature: Signature::Rsassa(&parts.signature),
    };
    let expected = Expected {
        attestation_key: &trusted.attestation_key,
        key,
        holder: &Holder {
            device: device.id,
            user: sid.clone(),
        },
        qualifying_data: &sha256(&parts.public),
    };
    Ok(verify_key(Some(&claim), &expected).map(|_| {
        let resets = if parts.recovery_public == app.keyring.recovery.public() {
            "this server can allow a reset of its PIN"
        } else {
            "this server can allow no reset of its PIN"
        };
        format!(
            "in a TPM that is trusted by {}; {resets}",
            trusted.by.as_str()
        )
    }))
}

/// Refuses a key that is not where it must be.
pub(crate) async fn expect_enough(
    app: &App,
    (user, device): (&User, &Device),
    attested: &Attested,
) -> Result<(), Refusal> {
    if attested.level == AttestationLevel::Hardware {
        return Ok(());
    }
    let Some(by) = required_by(app, user, device).await? else {
        return Ok(());
    };
    let sentence = format!(
        "the key must be in a TPM, which {by}. It is not taken: {}",
        attested.reason
    );
    Err(Refusal::registration(
        StatusCode::FORBIDDEN,
        "not_attested",
        &sentence,
    ))
}

/// Who demands that the key of this user on this device is in a TPM; nobody does where there is
/// nothing.
async fn required_by(
    app: &App,
    user: &User,
    device: &Device,
) -> anyhow::Result<Option<&'static str>> {
    if setting(app, user, device).await? == Attestation::Require {
        return Ok(Some("the settings of this server demand"));
    }
    let (Some(domain), Some(_)) = (user.domain(), device.domain) else {
        return Ok(None);
    };
    let now = app.clock.now();
    let kept = app
        .store
        .evaluation(app.tenant.id, user.guid, device.id)
        .await?
        .filter(|kept| kept.at <= now && now.0 - kept.at.0 < EVALUATION_S);
    let requires_hardware = match kept {
        Some(kept) => kept.requires_hardware,
        None => {
            let about = PolicyWork {
                user: user.guid,
                computer: device.id,
            };
            let outcome = app.work.evaluate_policy(domain, about, PATIENCE).await;
            let found = note(app, user, device, outcome.as_ref()).await?;
            let Some(found) = found else {
                return Ok(Some(
                    "counts as demanded while no agent can say what group policy asks",
                ));
            };
            found
        }
    };
    Ok(requires_hardware.then_some("group policy demands"))
}

/// Keeps what an agent found; `None` where it found nothing.
pub(crate) async fn note(
    app: &App,
    user: &User,
    device: &Device,
    outcome: Option<&PolicyOutcome>,
) -> anyhow::Result<Option<bool>> {
    let Some(PolicyOutcome::Evaluated {
        requires_hardware,
        requires_attestation,
    }) = outcome
    else {
        return Ok(None);
    };
    let evaluation = Evaluation {
        requires_hardware: *requires_hardware || *requires_attestation,
        at: app.clock.now(),
    };
    app.store
        .put_evaluation(app.tenant.id, user.guid, device.id, evaluation)
        .await?;
    Ok(Some(evaluation.requires_hardware))
}

/// The setting of the first group that the user or the device is in, else everybody's.
async fn setting(app: &App, user: &User, device: &Device) -> Result<Attestation, store::Error> {
    let settings = app.store.settings(app.tenant.id).await?;
    for (group, setting) in &settings.attestation_by_group {
        if app.is_in_any(user.guid, &[*group]).await? || app.is_in_any(device.id, &[*group]).await?
        {
            return Ok(*setting);
        }
    }
    Ok(settings.attestation)
}
