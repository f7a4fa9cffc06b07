//! Primary refresh tokens (MS-OAPXBC 3.2.5.1.2): made for one user on one device, with a session
//! key that only that device can open, and renewed under it.
//!
//! A token says nothing by itself. Who shows one must show its session key too, on a device that is
//! still joined, for an account that may still be used.

use api::oauth::PrimaryAnswer;
use model::{UnixTime, sha256};
use serde::de::DeserializeOwned;
use store::{App as Application, Device, Digest, Prt, Renewal, Spend, TransportKey};
use token::{KdfVersion, SessionKey, SessionRequest};

use super::{
    issue::{self, Order, Refresh},
    scope::{Asked, Version},
    subject::{Kept, Subject},
};
use crate::{app::App, device_proof, error::Refusal, random, rsa};

/// How long a token is good that nobody renews.
const IDLE_S: i64 = 14 * 86_400;

/// How long a sign-in, and its session key, last however often it is renewed.
const SIGN_IN_S: i64 = 90 * 86_400;

/// What a request under a session key has shown.
pub(crate) struct Shown<C> {
    pub(crate) claims: C,
    pub(crate) kdf: KdfVersion,
    pub(crate) digest: Digest,
    pub(crate) key: SessionKey,
    pub(crate) subject: Subject,
    pub(crate) device: Device,
}

/// A token as its device gets it.
struct Issued {
    text: String,
    now: UnixTime,
    expires: UnixTime,
    /// Where the device does not have the session key yet.
    session_key_jwe: Option<String>,
}

/// Makes a token for a subject on the device that asks, by statements that are spent with it.
pub(crate) async fn make(
    app: &App,
    client: &Application,
    subject: Subject,
    (device, spends): (&Device, Vec<Spend>),
) -> Result<PrimaryAnswer, Refusal> {
    let subject = Subject {
        device: Some(device.clone()),
        ..subject
    };
    let key = SessionKey::make()?;
    let wrapped = {
        let transport_key = transport_key(app, device)?;
        key.wrap(&transport_key)?
    };
    let now = app.clock.now();
    let (text, digest) = random::token_text("0")?;
    let expires = end(subject.auth_time, now);
    let kept = subject.keep();
    let name = sealed_name(&subject, device);
    let prt = Prt {
        digest,
        user: kept.user,
        device: device.id,
        session_key: app.keyring.master.seal(&name, key.bytes().expose())?,
        methods: kept.methods,
        auth_time: kept.auth_time,
        mfa_time: kept.mfa_time,
        issued: now,
        expires,
        previous: None,
    };
    if !app.store.issue_prt(app.tenant.id, prt, spends).await? {
        device_proof::note_second(device.id);
        return Err(Refusal::grant(50129, "the statement was shown before"));
    }
    let issued = Issued {
        text,
        now,
        expires,
        session_key_jwe: Some(wrapped),
    };
    answer(app, client, &subject, issued).await
}

/// Renews a token that was shown; its session key stays.
pub(crate) async fn renew<C>(
    app: &App,
    client: &Application,
    shown: &Shown<C>,
) -> Result<PrimaryAnswer, Refusal> {
    let now = app.clock.now();
    let (text, digest) = random::token_text("0")?;
    let expires = end(shown.subject.auth_time, now);
    let renewal = Renewal {
        digest,
        issued: now,
        expires,
    };
    if !app
        .store
        .renew_prt(app.tenant.id, shown.digest, renewal)
        .await?
    {
        return Err(over());
    }
    let issued = Issued {
        text,
        now,
        expires,
        session_key_jwe: None,
    };
    answer(app, client, &shown.subject, issued).await
}

/// Reads a request that is signed with a session key. That its nonce is good, and which derivation
/// suffices, is the caller's to check.
pub(crate) async fn read<C: DeserializeOwned>(
    app: &App,
    request: &str,
) -> Result<Shown<C>, Refusal> {
    let now = app.clock.now();
    let request = SessionRequest::read(request)
        .map_err(|_| Refusal::malformed("the request is not signed with a session key"))?;
    let digest = sha256(request.refresh_token().as_bytes());
    let prt = app.store.prt(app.tenant.id, digest, now).await?;
    let prt = prt.ok_or_else(over)?;
    let subject = Kept::from(&prt).stand(app).await?;
    let device = subject.device.clone().ok_or_else(over)?;
    let name = sealed_name(&subject, &device);
    let key = app.keyring.master.open(&name, &prt.session_key)?;
    let key = SessionKey::from_bytes(key)?;
    let kdf = request.kdf_version();
    let claims = request.verify(&key, now).map_err(|_| over())?;
    Ok(Shown {
        claims,
        kdf,
        digest,
        key,
        subject,
        device,
    })
}

/// Refuses the first derivation where the client is not registered for it.
pub(crate) fn expect_kdf(client: &Application, kdf: KdfVersion) -> Result<(), Refusal> {
    if kdf == KdfVersion::Two || client.compat.kdf1 {
        return Ok(());
    }
    let sentence = "requests must be signed with kdf_ver 2, unless the client's registration says \
                    otherwise";
    Err(Refusal::grant(500_144, sentence))
}

async fn answer(
    app: &App,
    client: &Application,
    subject: &Subject,
    issued: Issued,
) -> Result<PrimaryAnswer, Refusal> {
    let asked = Asked {
        openid: true,
        ..Asked::default()
    };
    let order = Order {
        client,
        version: Version::V1,
        asked: &asked,
        nonce: None,
        client_info: true,
        refresh: Refresh::Never,
    };
    let life = issued.expires.0 - issued.now.0;
    Ok(PrimaryAnswer {
        token_type: "Bearer".to_owned(),
        expires_in: life.to_string(),
        ext_expires_in: "0".to_owned(),
        expires_on: issued.expires.0.to_string(),
        refresh_token: issued.text,
        refresh_token_expires_in: life,
        session_key_jwe: issued.session_key_jwe,
        id_token: issue::id_token(app, subject, &order).await?,
        client_info: issue::client_info(app, &subject.user)?,
        device_tenant_id: app.tenant.id,
    })
}

fn end(auth_time: UnixTime, now: UnixTime) -> UnixTime {
    now.plus(IDLE_S).min(auth_time.plus(SIGN_IN_S))
}

/// The name under which a session key is sealed: a renewal changes the token and not this.
fn sealed_name(subject: &Subject, device: &Device) -> String {
    format!("session-key/{}/{}", subject.user.guid, device.id)
}

/// What a device's session keys are wrapped to.
fn transport_key(app: &App, device: &Device) -> Result<token::TransportKey, Refusal> {
    let none = || {
        let sentence = "the device told no transport key that can be used: join it again";
        Refusal::grant(50155, sentence)
    };
    let Some(TransportKey::Rsa1(blob)) = &device.transport_key else {
        return Err(none());
    };
    rsa::transport_key(app, blob).map_err(|_| none())
}

fn over() -> Refusal {
    let sentence = "the primary refresh token is over, or was not shown with its session key: sign \
                    in again";
    Refusal::grant(70000, sentence)
}

impl From<&Prt> for Kept {
    fn from(prt: &Prt) -> Self {
        Self {
            user: prt.user,
            device: Some(prt.device),
            methods: prt.methods.clone(),
            auth_time: prt.auth_time,
            mfa_time: prt.mfa_time,
        }
    }
}
