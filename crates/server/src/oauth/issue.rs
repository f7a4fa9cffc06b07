//! Tokens for a subject that stands.

use api::{
    REGISTRATION_AUDIENCE, USERINFO_AUDIENCE,
    oauth::{AccessClaims, ClientInfo, IdClaims, TokenAnswer},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use model::{Guid, UnixTime};
use store::{App as Application, User};

use super::{
    clients, refresh_grant,
    scope::{Asked, Version},
    subject::Subject,
};
use crate::{app::App, error::Refusal, tokens::Tokens};

/// An access token that registers keys or devices.
const REGISTRATION_TOKEN_S: i64 = 15 * 60;

/// Every other one, and an ID token.
const TOKEN_S: i64 = 60 * 60;

/// What is to be issued, and to whom.
pub(crate) struct Order<'a> {
    pub(crate) client: &'a Application,
    pub(crate) version: Version,
    pub(crate) asked: &'a Asked,
    pub(crate) nonce: Option<String>,
    /// The client wants to be told whose the tokens are beside them.
    pub(crate) client_info: bool,
    pub(crate) refresh: Refresh,
}

/// What refresh token goes with an answer.
pub(crate) enum Refresh {
    /// The first of a new family under this id, where the client is to have any.
    Begins(Guid),
    /// The one that follows another, stored already.
    Follows(String),
    /// None.
    Never,
}

/// The audience of a request, where the client may ask for it.
pub(crate) fn audience(client: &Application, asked: &Asked) -> Result<String, Refusal> {
    match &asked.audience {
        None => Ok(USERINFO_AUDIENCE.to_owned()),
        Some(audience) if clients::may_ask(client, audience) => {
            expect_granted(client, audience, asked)?;
            Ok(audience.clone())
        }
        Some(_) => Err(not_registered()),
    }
}

/// Whether the registration names each permission that is asked for, where it names any.
fn expect_granted(client: &Application, audience: &str, asked: &Asked) -> Result<(), Refusal> {
    let Some(granted) = clients::permissions(client, audience) else {
        return Ok(());
    };
    let is_granted = |one: &&str| granted.iter().any(|given| given.eq_ignore_ascii_case(one));
    match named(asked).find(|one| !is_granted(one)) {
        None => Ok(()),
        Some(one) => {
            let sentence = format!("the client is not registered for {one}");
            Err(Refusal::bad("invalid_scope", 65_001, &sentence))
        }
    }
}

/// A client asks for what its registration does not name.
pub(crate) fn not_registered() -> Refusal {
    let sentence = "the client is not registered for this resource";
    Refusal::bad("invalid_resource", 650_057, sentence)
}

/// The answer with an access token and nothing beside it.
pub(crate) fn bare(
    tokens: &Tokens,
    claims: &AccessClaims,
    now: UnixTime,
) -> Result<TokenAnswer, Refusal> {
    let life = claims.exp - claims.iat;
    Ok(TokenAnswer {
        token_type: "Bearer".to_owned(),
        expires_in: life,
        ext_expires_in: life,
        expires_on: claims.exp,
        access_token: tokens.sign(claims, now)?,
        ..TokenAnswer::default()
    })
}

/// Makes the answer of the token endpoint.
pub(crate) async fn answer(
    app: &App,
    subject: &Subject,
    order: Order<'_>,
) -> Result<TokenAnswer, Refusal> {
    let now = app.clock.now();
    let tokens = app.tokens().await?;
    let audience = audience(order.client, order.asked)?;
    let refresh_token = match order.refresh {
        Refresh::Begins(family)
            if refresh_grant::is_wanted(order.client, order.version, order.asked) =>
        {
            let begun = (family, order.asked);
            Some(refresh_grant::begin(app, order.client, subject, begun).await?)
        }
        Refresh::Follows(ref text) => Some(text.clone()),
        Refresh::Begins(_) | Refresh::Never => None,
    };
    let life = if audience == REGISTRATION_AUDIENCE {
        REGISTRATION_TOKEN_S
    } else {
        TOKEN_S
    };
    let client = &order.client.client_id;
    let mut access = tokens.claims(order.version, &audience, client, (now, life))?;
    describe(&mut access, subject, now);
    access.scp = Some(permissions(order.client, order.asked));
    let access_token = tokens.sign(&access, now)?;
    let id_token = match order.asked.openid {
        false => None,
        true => {
            let mut claims = id_claims(app, subject, &order, now)?;
            claims.at_hash = Some(token::half_hash(&access_token));
            Some(tokens.sign(&claims, now)?)
        }
    };
    Ok(TokenAnswer {
        token_type: "Bearer".to_owned(),
        expires_in: life,
        ext_expires_in: life,
        expires_on: access.exp,
        access_token,
        scope: Some(granted(order.asked)),
        resource: (order.version == Version::V1).then_some(audience),
        refresh_token,
        id_token,
        client_info: order
            .client_info
            .then(|| client_info(app, &subject.user))
            .transpose()?,
    })
}

/// An ID token without an access token beside it.
pub(crate) async fn id_token(
    app: &App,
    subject: &Subject,
    order: &Order<'_>,
) -> Result<String, Refusal> {
    let now = app.clock.now();
    let claims = id_claims(app, subject, order, now)?;
    Ok(app.tokens().await?.sign(&claims, now)?)
}

fn describe(access: &mut AccessClaims, subject: &Subject, now: UnixTime) {
    let user = &subject.user;
    access.sub = user.guid.to_string();
    access.oid = Some(user.guid);
    access.upn = Some(user.upn.clone());
    access.name = Some(user.display_name.clone());
    access.deviceid = subject.device.as_ref().map(|device| device.id);
    access.amr = subject.amr(now);
    access.auth_time = Some(subject.auth_time.0);
    access.mfa_time = subject.mfa_time.map(|time| time.0);
}

/// Permissions by their names; `.default` is none.
fn named(asked: &Asked) -> impl Iterator<Item = &str> {
    let all = asked.permissions.iter().map(String::as_str);
    all.filter(|permission| *permission != ".default")
}

/// `scp`: what the client may do for the user, without the resource that is in `aud`. Whoever names
/// nothing gets what the client is registered for.
fn permissions(client: &Application, asked: &Asked) -> String {
    let Some(audience) = &asked.audience else {
        return "openid profile email".to_owned();
    };
    let named: Vec<&str> = named(asked).collect();
    match clients::permissions(client, audience) {
        _ if !named.is_empty() => named.join(" "),
        Some(granted) => granted.join(" "),
        None => "user_impersonation".to_owned(),
    }
}

fn granted(asked: &Asked) -> String {
    let profile = if asked.openid { "profile email " } else { "" };
    format!("{profile}{}", asked.to_scope())
}

fn id_claims(
    app: &App,
    subject: &Subject,
    order: &Order<'_>,
    now: UnixTime,
) -> anyhow::Result<IdClaims> {
    let user = &subject.user;
    Ok(IdClaims {
        iss: app.issuer(order.version),
        aud: order.client.client_id.clone(),
        sub: user.guid.to_string(),
        iat: now.0,
        nbf: now.0,
        exp: now.plus(TOKEN_S).0,
        ver: order.version.as_claim().to_owned(),
        tid: app.tenant.id,
        oid: user.guid,
        name: user.display_name.clone(),
        preferred_username: user.upn.clone(),
        upn: user.upn.clone(),
        email: user.mail.clone(),
        amr: subject.amr(now),
        auth_time: subject.auth_time.0,
        nonce: order.nonce.clone(),
        at_hash: None,
        deviceid: subject.device.as_ref().map(|device| device.id),
    })
}

/// Base64url of who signed in.
pub(crate) fn client_info(app: &App, user: &User) -> anyhow::Result<String> {
    let info = ClientInfo {
        uid: user.guid,
        utid: app.tenant.id,
    };
    Ok(URL_SAFE_NO_PAD.encode(serde_json::to_vec(&info)?))
}
