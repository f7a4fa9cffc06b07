//! Access tokens: made here, and read here again when a request bears one.

use api::{AGENT_AUDIENCE, DEVICE_AUDIENCE, REGISTRATION_AUDIENCE, oauth::AccessClaims};
use axum::http::{HeaderMap, StatusCode, header::AUTHORIZATION};
use model::{Guid, UnixTime};
use openssl::{
    pkey::{PKey, Private, Public},
    rsa::Padding,
};
use store::{Agent, Device};
use token::{Header, RsaJwk, Unverified, VerifyingKey, X5cForm};

use crate::{app::App, error::Refusal, random};

/// Makes and reads access tokens.
pub(crate) struct Tokens {
    key: PKey<Private>,
    verifying: VerifyingKey,
    kid: String,
    issuer: String,
    tenant: Guid,
}

/// Why a request may not pass.
enum NotBorne {
    /// It bears no token.
    Missing,
    /// It bears one that is not for this, not ours, or over.
    Refused,
}

impl Tokens {
    pub(crate) fn new(key: PKey<Private>, url: &str, tenant: Guid) -> anyhow::Result<Self> {
        let public: PKey<Public> = PKey::public_key_from_der(&key.public_key_to_der()?)?;
        Ok(Self {
            kid: RsaJwk::from_key(&public)?.thumbprint(),
            verifying: VerifyingKey::rs256(public)?,
            key,
            issuer: format!("{url}/{tenant}/"),
            tenant,
        })
    }

    /// Claims for `audience`, good for `life_s`, that say nothing yet of who asked.
    pub(crate) fn claims(
        &self,
        audience: &str,
        client: &str,
        now: UnixTime,
        life_s: i64,
    ) -> anyhow::Result<AccessClaims> {
        Ok(AccessClaims {
            iss: self.issuer.clone(),
            aud: audience.to_owned(),
            tid: self.tenant,
            iat: now.0,
            nbf: now.0,
            exp: now.plus(life_s).0,
            jti: random::guid()?.to_string(),
            appid: client.to_owned(),
            deviceid: None,
            oid: None,
            upn: None,
            amr: Vec::new(),
            mfa_time: None,
            agent: None,
        })
    }

    /// Signs a token.
    pub(crate) fn sign(&self, claims: &AccessClaims) -> anyhow::Result<String> {
        let header = Header {
            typ: Some("JWT".to_owned()),
            kid: Some(self.kid.clone()),
            x5c: Vec::new(),
        };
        token::sign(&header, claims, |digest| sign_digest(&self.key, digest))
    }

    /// Reads a token for `audience`.
    fn read(&self, token: &str, audience: &str, now: UnixTime) -> Option<AccessClaims> {
        let unverified = Unverified::read(token, X5cForm::Array).ok()?;
        let claims: AccessClaims = unverified.verify(&self.verifying, now).ok()?;
        let is_ours = claims.iss == self.issuer && claims.tid == self.tenant;
        (is_ours && claims.aud == audience).then_some(claims)
    }
}

/// RSASSA-PKCS1-v1_5 over a SHA-256 digest that is made already.
fn sign_digest(key: &PKey<Private>, digest: &[u8; 32]) -> anyhow::Result<Vec<u8>> {
    let mut context = openssl::pkey_ctx::PkeyCtx::new(key)?;
    context.sign_init()?;
    context.set_rsa_padding(Padding::PKCS1)?;
    context.set_signature_md(openssl::md::Md::sha256())?;
    let mut signature = Vec::new();
    context.sign_to_vec(digest, &mut signature)?;
    Ok(signature)
}

fn bearer(app: &App, headers: &HeaderMap, audience: &str) -> Result<AccessClaims, NotBorne> {
    let value = headers.get(AUTHORIZATION).ok_or(NotBorne::Missing)?;
    let (scheme, token) = value
        .to_str()
        .ok()
        .and_then(|text| text.split_once(' '))
        .ok_or(NotBorne::Refused)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(NotBorne::Refused);
    }
    let now = app.clock.now();
    app.keyring
        .tokens
        .read(token.trim(), audience, now)
        .ok_or(NotBorne::Refused)
}

fn unauthorized(why: &NotBorne) -> Refusal {
    let (code, sentence) = match why {
        NotBorne::Missing => ("token_required", "this request needs an access token"),
        NotBorne::Refused => ("token_refused", "the access token is over, or not for this"),
    };
    Refusal::own(StatusCode::UNAUTHORIZED, code, sentence)
}

/// The agent that asks.
pub(crate) async fn agent(app: &App, headers: &HeaderMap) -> Result<Agent, Refusal> {
    let claims = bearer(app, headers, AGENT_AUDIENCE).map_err(|why| unauthorized(&why))?;
    let id = claims
        .agent
        .ok_or_else(|| unauthorized(&NotBorne::Refused))?;
    let agent = app.store.agent(app.tenant.id, id).await?;
    agent.ok_or_else(|| unauthorized(&NotBorne::Refused))
}

/// The device that asks.
pub(crate) async fn device(app: &App, headers: &HeaderMap) -> Result<Device, Refusal> {
    let claims = bearer(app, headers, DEVICE_AUDIENCE).map_err(|why| unauthorized(&why))?;
    let id = claims
        .deviceid
        .ok_or_else(|| unauthorized(&NotBorne::Refused))?;
    usable_device(app, id).await?.ok_or_else(|| {
        Refusal::own(
            StatusCode::FORBIDDEN,
            "device_disabled",
            "this device is not joined any more, or is switched off",
        )
    })
}

/// What the token of a user who registers a key says.
pub(crate) fn registration(app: &App, headers: &HeaderMap) -> Result<AccessClaims, Refusal> {
    bearer(app, headers, REGISTRATION_AUDIENCE).map_err(|why| {
        let (code, sentence) = match why {
            NotBorne::Missing => ("token_required", "registering a key needs an access token"),
            NotBorne::Refused => ("token_refused", "the access token is over, or not for this"),
        };
        Refusal::registration(StatusCode::UNAUTHORIZED, code, sentence)
    })
}

/// A device, where it is joined and switched on, here and in AD.
pub(crate) async fn usable_device(app: &App, id: Guid) -> Result<Option<Device>, store::Error> {
    let Some(device) = app.store.device(app.tenant.id, id).await? else {
        return Ok(None);
    };
    let computer = app.store.computer(app.tenant.id, id).await?;
    let is_active = computer.is_some_and(|computer| computer.active);
    Ok((device.enabled && is_active).then_some(device))
}
