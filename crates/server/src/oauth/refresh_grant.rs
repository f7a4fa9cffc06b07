//! Refresh tokens (RFC 6749 6, RFC 9700 4.14.2): each is good once and gives the next one. Whoever
//! shows a spent one ends the whole family, because nobody can tell thief from owner.

use api::oauth::TokenAnswer;
use model::{Guid, UnixTime, sha256};
use store::{App as Application, Digest, Redeemed, RefreshFamily, RefreshToken};

use super::{
    clients,
    issue::{self, Order, Refresh},
    scope::{Asked, Version},
    subject::{Kept, Subject},
    token::{Form, needed},
};
use crate::{app::App, error::Refusal, random};

/// How long a token is good that nobody uses.
const IDLE_S: i64 = 14 * 86_400;

/// How long a sign-in lasts however much it is used.
const FAMILY_S: i64 = 90 * 86_400;

/// Whether a client is given a refresh token: always by the older endpoints.
pub(crate) fn is_wanted(client: &Application, version: Version, asked: &Asked) -> bool {
    version == Version::V1 || asked.offline || clients::is_broker(client)
}

/// The id of the family that a code begins: a code that comes again finds it.
pub(crate) fn family_of(code: &Digest) -> Guid {
    let mut bytes = [0; 16];
    let (first, _) = code.split_at(16);
    bytes.copy_from_slice(first);
    Guid::from_random(bytes)
}

/// Begins a family with its first token.
pub(crate) async fn begin(
    app: &App,
    client: &Application,
    subject: &Subject,
    (id, asked): (Guid, &Asked),
) -> Result<String, Refusal> {
    let now = app.clock.now();
    let kept = subject.keep();
    let expires = now.plus(FAMILY_S);
    let family = RefreshFamily {
        id,
        user: kept.user,
        client: client.client_id.clone(),
        device: kept.device,
        methods: kept.methods,
        auth_time: kept.auth_time,
        mfa_time: kept.mfa_time,
        created: now,
        expires,
        revoked: false,
    };
    let (text, token) = next(id, asked, now, expires)?;
    app.store
        .begin_family(app.tenant.id, family, token, now)
        .await?;
    Ok(text)
}

/// Ends a family.
pub(crate) async fn revoke(app: &App, family: Guid) -> Result<(), store::Error> {
    if app.store.revoke_family(app.tenant.id, family).await? {
        tracing::warn!(%family, "refresh tokens are revoked: one, or the code before them, came twice");
    }
    Ok(())
}

/// The tokens that a refresh token gives.
pub(crate) async fn redeem(
    app: &App,
    version: Version,
    form: &Form,
    client: &Application,
) -> Result<TokenAnswer, Refusal> {
    let shown = needed(&form.refresh_token, "refresh_token")?;
    let asked = form.asked()?;
    let spent = spend(app, client, shown, asked).await?;
    let order = Order {
        client,
        version,
        asked: &spent.asked,
        nonce: None,
        client_info: form.wants_client_info(),
        refresh: Refresh::Follows(spent.next),
    };
    issue::answer(app, &spent.subject, order).await
}

/// What a token that was spent stood for.
pub(crate) struct Spent {
    pub(crate) subject: Subject,
    pub(crate) asked: Asked,
    /// The token that follows.
    pub(crate) next: String,
}

/// Spends a token of a client, where everything else about the request is right.
pub(crate) async fn spend(
    app: &App,
    client: &Application,
    shown: &str,
    asked: Option<Asked>,
) -> Result<Spent, Refusal> {
    let digest = sha256(shown.as_bytes());
    let found = app.store.refresh_token(app.tenant.id, digest).await?;
    let (family, token) = found
        .filter(|(family, _)| family.client == client.client_id)
        .ok_or_else(over)?;
    if token.spent_at.is_some() {
        revoke(app, family.id).await?;
        return Err(over());
    }
    let subject = Kept::from(&family).stand(app).await?;
    let before = Asked::read(Some(&token.resource), Some(&token.scope))
        .map_err(|_| anyhow::anyhow!("a stored scope names two resources: a bug"))?;
    let asked = match asked {
        None => before,
        // What a sign-in was not asked for, it does not give later.
        Some(asked) => Asked {
            openid: before.openid || asked.openid,
            offline: before.offline,
            audience: asked.audience.clone().or(before.audience),
            ..asked
        },
    };
    issue::audience(client, &asked)?;
    let now = app.clock.now();
    if clients::repeats(client) {
        if family.revoked || token.expires <= now {
            return Err(over());
        }
        return Ok(Spent {
            subject,
            asked,
            next: shown.to_owned(),
        });
    }
    let (text, next) = next(family.id, &asked, now, family.expires)?;
    match app.store.redeem(app.tenant.id, digest, next, now).await? {
        Redeemed::Rotated => Ok(Spent {
            subject,
            asked,
            next: text,
        }),
        Redeemed::Reused => {
            tracing::warn!(family = %family.id, "a refresh token came a second time");
            Err(over())
        }
        Redeemed::Over => Err(over()),
    }
}

fn next(
    family: Guid,
    asked: &Asked,
    now: UnixTime,
    end: UnixTime,
) -> Result<(String, RefreshToken), Refusal> {
    let (text, digest) = random::token_text("1")?;
    let token = RefreshToken {
        digest,
        family,
        resource: asked.audience.clone().unwrap_or_default(),
        scope: asked.to_scope(),
        issued: now,
        expires: now.plus(IDLE_S).min(end),
        spent_at: None,
    };
    Ok((text, token))
}

fn over() -> Refusal {
    let sentence = "the refresh token is over, or was used already: sign in again";
    Refusal::grant(70000, sentence)
}
