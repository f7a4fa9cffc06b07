//! Tokens for agents, by their keys (RFC 7523).

use api::{AGENT_AUDIENCE, oauth::TokenAnswer};
use model::Guid;
use openssl::pkey::PKey;
use store::Agent;
use token::{LEEWAY_S, VerifyingKey};

use super::{
    client_proof::{self, Stated},
    issue,
    scope::Version,
    token::Form,
};
use crate::{app::App, error::Refusal};

const TOKEN_S: i64 = 10 * 60;

/// The longest life of an agent's statement about itself, with some room for its clock.
const ASSERTION_S: i64 = 10 * 60 + LEEWAY_S;

/// The agent that a form names, if it names one.
pub(crate) async fn named(app: &App, form: &Form) -> Result<Option<Agent>, Refusal> {
    let id: Option<Guid> = form.client_id.as_deref().and_then(|id| id.parse().ok());
    match id {
        Some(id) => Ok(app.store.agent(app.tenant.id, id).await?),
        None => Ok(None),
    }
}

/// The token of an agent.
pub(crate) async fn redeem(app: &App, form: &Form, agent: &Agent) -> Result<TokenAnswer, Refusal> {
    let assertion = client_proof::assertion(form)?;
    let id = &agent.id.to_string();
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
    claims.agent = Some(agent.id);
    issue::bare(&tokens, &claims, now)
}
