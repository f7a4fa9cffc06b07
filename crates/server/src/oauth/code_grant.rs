//! The exchange of an authorization code (RFC 6749 4.1.3, RFC 7636).

use api::oauth::TokenAnswer;
use store::App as Application;

use super::{
    issue::{self, Order, Refresh},
    pkce, refresh_grant,
    scope::{Asked, Version},
    subject::Kept,
    token::{Form, needed},
};
use crate::{app::App, error::Refusal};

/// The tokens that a code stands for. It is taken out whatever else is wrong: whoever guesses at a
/// verifier has one guess. A code that comes a second time was copied, and what the first one gave
/// is revoked (RFC 6749 4.1.2).
pub(crate) async fn redeem(
    app: &App,
    version: Version,
    form: &Form,
    client: &Application,
) -> Result<TokenAnswer, Refusal> {
    let shown = needed(&form.code, "code")?;
    let asked_now = form.asked()?;
    let digest = model::sha256(shown.as_bytes());
    let now = app.clock.now();
    let Some(code) = app.store.take_code(app.tenant.id, digest, now).await? else {
        refresh_grant::revoke(app, refresh_grant::family_of(&digest)).await?;
        let sentence = "the code is over, or was used already: sign in again";
        return Err(Refusal::grant(70008, sentence));
    };
    if client.client_id != code.client {
        return Err(Refusal::grant(
            70000,
            "the code was given to another client",
        ));
    }
    if code.redirect_uri != form.redirect_uri {
        let sentence = "redirect_uri is another than the code was sent to";
        return Err(Refusal::grant(50011, sentence));
    }
    let is_proven = match (&code.code_challenge, &form.code_verifier) {
        (Some(challenge), Some(verifier)) => pkce::verifies(verifier, challenge),
        (Some(_), None) => false,
        // A verifier for a code without a challenge: somebody took the challenge out on the way.
        (None, given) => given.is_none(),
    };
    if !is_proven {
        let sentence = "the code verifier does not fit the attempt";
        return Err(Refusal::grant(501_481, sentence));
    }
    let subject = Kept::from(&code).stand(app).await?;
    let asked_then = Asked::read(Some(&code.resource), Some(&code.scope))
        .map_err(|_| anyhow::anyhow!("a stored scope names two resources: a bug"))?;
    let asked = match asked_now {
        Some(asked) if asked.audience.is_some() => Asked {
            openid: asked_then.openid,
            offline: asked_then.offline,
            ..asked
        },
        _ => asked_then,
    };
    let refresh = match code.redirect_uri {
        Some(_) => Refresh::Begins(refresh_grant::family_of(&digest)),
        None => Refresh::Never,
    };
    let order = Order {
        client,
        version,
        asked: &asked,
        nonce: code.nonce,
        client_info: form.wants_client_info(),
        refresh,
    };
    issue::answer(app, &subject, order).await
}
