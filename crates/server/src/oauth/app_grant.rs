//! Tokens for an application that acts for itself (RFC 6749 4.4).

use api::oauth::TokenAnswer;
use store::App as Application;

use super::{clients, issue, scope::Version, token::Form};
use crate::{app::App, error::Refusal};

const TOKEN_S: i64 = 60 * 60;

/// The token of an application that has proved itself.
pub(crate) async fn redeem(
    app: &App,
    version: Version,
    form: &Form,
    client: &Application,
) -> Result<TokenAnswer, Refusal> {
    let asked = form.asked()?.unwrap_or_default();
    let audience = asked.audience.ok_or_else(|| {
        let sentence = "scope names no resource: ask for RESOURCE/.default";
        Refusal::bad("invalid_scope", 70011, sentence)
    })?;
    if !clients::may_ask(client, &audience) {
        return Err(issue::not_registered());
    }
    let now = app.clock.now();
    let tokens = app.tokens().await?;
    let mut claims = tokens.claims(version, &audience, &client.client_id, (now, TOKEN_S))?;
    claims.idtyp = Some("app".to_owned());
    issue::bare(&tokens, &claims, now)
}
