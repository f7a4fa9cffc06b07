//! Tokens for agents, by their keys (RFC 7523).

use api::{AGENT_AUDIENCE, oauth::TokenAnswer};
use model::Guid;
use openssl::pkey::PKey;
use token::{LEEWAY_S, VerifyingKey};

use super::{
    client_proof::{self, Stated, refused},
    issue,
    scope::Version,
    token::Form,
};
use crate::{app::App, error::Refusal};

const TOKEN_S: i64 = 10 * 60;

/// The longest life of an agent's statement about itself, with some room for its clock.
const ASSERTION_S: i64 = 10 * 60 + LEEWAY_S;

/// Whether a form comes from an agent: their ids are GUIDs, they ask for nothing by name.
pub(crate) fn is_agent(form: &Form) -> bool {
    let is_guid = |id: &str| id.parse::<Guid>().is_ok();
    form.client_id.as_deref().is_some_and(is_guid)
        && form.scope.is_none()
        && form.resource.is_none()
}

/// The token of an agent.
pub(crate) async fn redeem(app: &App, form: &Form) -> Result<TokenAnswer, Refusal> {
    let assertion = client_proof::assertion(form)?;
    let id = form.client_id.as_deref().unwrap_or("");
    let guid: Guid = id.parse().map_err(|_| refused())?;
    let agent = app.store.agent(app.tenant.id, guid).await?;
    let agent = agent.ok_or_else(refused)?;
    let key = VerifyingKey::rs256(PKey::public_key_from_der(&agent.public_key)?)?;
    let stated = Stated {
        id,
        key: &key,
        life_s: ASSERTION_S,
        repeats: false,
    };
    client_proof::check(app, assertion, &stated).await?;
    let now = app.clock.now();
    let tokens = app.tokens().await?;
    let mut claims = tokens.claims(Version::V1, AGENT_AUDIENCE, id, (now, TOKEN_S))?;
    claims.agent = Some(guid);
    issue::bare(&tokens, &claims, now)
}
