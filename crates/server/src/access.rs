//! Who asks, by the access token that a request bears.
//!
//! A token is good for its time and no longer than what it stands on: a user whose tokens were
//! revoked, and a device that was switched off, are refused within the same request.

use api::{
    ADMIN_AUDIENCE, AGENT_AUDIENCE, DEVICE_AUDIENCE, REGISTRATION_AUDIENCE, SCIM_AUDIENCE,
    oauth::AccessClaims,
};
use axum::http::{HeaderMap, StatusCode, header::AUTHORIZATION};
use model::Guid;
use store::{Agent, Device, User};

use crate::{accounts::may_be_used, app::App, error::Refusal, oauth::clients};

/// Why a request may not pass.
enum NotBorne {
    /// It bears no token.
    Missing,
    /// It bears one that is not for this, not ours, or over.
    Refused,
    /// Nobody can say: the server failed.
    Failed(anyhow::Error),
}

impl NotBorne {
    fn told(self) -> Refusal {
        let (code, sentence) = match self {
            Self::Missing => ("token_required", "this request needs an access token"),
            Self::Refused => ("token_refused", "the access token is over, or not for this"),
            Self::Failed(cause) => return Refusal::Internal(cause),
        };
        Refusal::own(StatusCode::UNAUTHORIZED, code, sentence)
    }
}

async fn bearer(
    app: &App,
    headers: &HeaderMap,
    audiences: &[&str],
) -> Result<AccessClaims, NotBorne> {
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
    let tokens = app.tokens().await.map_err(NotBorne::Failed)?;
    audiences
        .iter()
        .find_map(|audience| tokens.read(token.trim(), audience, now))
        .ok_or(NotBorne::Refused)
}

/// The agent that asks.
pub(crate) async fn agent(app: &App, headers: &HeaderMap) -> Result<Agent, Refusal> {
    let claims = bearer(app, headers, &[AGENT_AUDIENCE])
        .await
        .map_err(NotBorne::told)?;
    let id = claims.agent.ok_or(NotBorne::Refused.told())?;
    let agent = app.store.agent(app.tenant.id, id).await?;
    agent.ok_or(NotBorne::Refused.told())
}

/// Who brings users and groups.
pub(crate) enum Provisioner {
    /// The agent of a domain: what the domain has.
    Agent(Agent),
    /// An application, by its id: what is the server's own.
    App(String),
}

/// Who asks for users and groups to be brought.
pub(crate) async fn provisioner(app: &App, headers: &HeaderMap) -> Result<Provisioner, Refusal> {
    let claims = bearer(app, headers, &[AGENT_AUDIENCE, SCIM_AUDIENCE])
        .await
        .map_err(NotBorne::told)?;
    if let Some(id) = claims.agent {
        let agent = app.store.agent(app.tenant.id, id).await?;
        return agent
            .map(Provisioner::Agent)
            .ok_or(NotBorne::Refused.told());
    }
    // A user's token for the same audience is none: nobody provisions in a person's name.
    let is_own = claims.idtyp.as_deref() == Some("app") && claims.aud == SCIM_AUDIENCE;
    let client = clients::find(app, &claims.appid).await?;
    let client = client.filter(|client| is_own && clients::may_ask(client, SCIM_AUDIENCE));
    client
        .map(|client| Provisioner::App(client.client_id))
        .ok_or(NotBorne::Refused.told())
}

/// The device that asks.
pub(crate) async fn device(app: &App, headers: &HeaderMap) -> Result<Device, Refusal> {
    let claims = bearer(app, headers, &[DEVICE_AUDIENCE])
        .await
        .map_err(NotBorne::told)?;
    let id = claims.deviceid.ok_or(NotBorne::Refused.told())?;
    joined(app, id).await
}

/// A device that has asked, where it still may.
pub(crate) async fn joined(app: &App, id: Guid) -> Result<Device, Refusal> {
    usable_device(app, id).await?.ok_or_else(|| {
        Refusal::own(
            StatusCode::FORBIDDEN,
            "device_disabled",
            "this device is not joined any more, or is switched off",
        )
    })
}

/// How old the second factor of an administrator may be: a working day.
const ADMIN_MFA_S: i64 = 12 * 60 * 60;

/// The administrator that asks: a user who has shown both factors.
pub(crate) async fn administrator(app: &App, headers: &HeaderMap) -> Result<User, Refusal> {
    let (user, _) = strong_user(app, headers, ADMIN_AUDIENCE).await?;
    Ok(user)
}

/// The user whose token for one audience says that both factors were shown, and what the token allows.
pub(crate) async fn strong_user(
    app: &App,
    headers: &HeaderMap,
    audience: &str,
) -> Result<(User, String), Refusal> {
    let claims = bearer(app, headers, &[audience])
        .await
        .map_err(NotBorne::told)?;
    let user = user_of(app, &claims).await?;
    let is_fresh = claims
        .mfa_time
        .is_some_and(|time| app.clock.now().0 - time <= ADMIN_MFA_S);
    if !is_fresh || !claims.amr.iter().any(|method| method == "mfa") {
        let sentence = "administration needs both factors: sign in again with both";
        return Err(Refusal::own(
            StatusCode::UNAUTHORIZED,
            "mfa_required",
            sentence,
        ));
    }
    Ok((user, claims.scp.unwrap_or_default()))
}

/// The user whose token, for one of the audiences, is borne, and what the token allows.
pub(crate) async fn user(
    app: &App,
    headers: &HeaderMap,
    audiences: &[&str],
) -> Result<(User, String), Refusal> {
    let claims = bearer(app, headers, audiences)
        .await
        .map_err(NotBorne::told)?;
    let user = user_of(app, &claims).await?;
    Ok((user, claims.scp.unwrap_or_default()))
}

async fn user_of(app: &App, claims: &AccessClaims) -> Result<User, Refusal> {
    if let Some(device) = claims.deviceid
        && usable_device(app, device).await?.is_none()
    {
        return Err(NotBorne::Refused.told());
    }
    let user = standing(app, claims).await?;
    user.ok_or(NotBorne::Refused.told())
}

/// What the token of a user who registers a key says.
pub(crate) async fn registration(app: &App, headers: &HeaderMap) -> Result<AccessClaims, Refusal> {
    let refused = |why: NotBorne| match why.told() {
        Refusal::Own(status, body) => Refusal::registration(status, &body.code, &body.sentence),
        other => other,
    };
    let claims = bearer(app, headers, &[REGISTRATION_AUDIENCE])
        .await
        .map_err(refused)?;
    if is_revoked(app, &claims).await? {
        return Err(refused(NotBorne::Refused));
    }
    Ok(claims)
}

/// The user of a token, where the account may be used and the token was not revoked.
async fn standing(app: &App, claims: &AccessClaims) -> Result<Option<User>, store::Error> {
    let Some(oid) = claims.oid else {
        return Ok(None);
    };
    let now = app.clock.now();
    let user = app.store.user(app.tenant.id, oid).await?;
    Ok(user.filter(|user| may_be_used(user, now) && !is_before(claims, user)))
}

async fn is_revoked(app: &App, claims: &AccessClaims) -> Result<bool, store::Error> {
    let Some(oid) = claims.oid else {
        return Ok(false);
    };
    let user = app.store.user(app.tenant.id, oid).await?;
    Ok(user.is_some_and(|user| is_before(claims, &user)))
}

fn is_before(claims: &AccessClaims, user: &User) -> bool {
    let signed_in = claims.auth_time.unwrap_or(claims.iat);
    signed_in < user.tokens_valid_from.0
}

/// A device, where it is joined and switched on, here and in AD if it is a computer of AD's.
pub(crate) async fn usable_device(app: &App, id: Guid) -> Result<Option<Device>, store::Error> {
    app.store.usable_device(app.tenant.id, id).await
}
