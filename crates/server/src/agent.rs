//! Enrollment of agents: a one-time code from an administrator, once; then one key after another.

use std::sync::Arc;

use api::agent::{AgentEnroll, AgentEnrolled, AgentKey};
use axum::{
    Json,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use model::sha256;
use store::{Agent, Audit, Domain};

use crate::{
    access,
    app::App,
    authority,
    error::{Refusal, read_json},
    random,
};

/// The service class of every agent: devices make Kerberos proofs for no other.
const SERVICE: &str = "latchkey-sync/";

/// The longest name of a domain or principal.
const MAX_NAME: usize = 256;

/// `POST /agent/v1/enroll`.
pub(crate) async fn enroll(
    State(app): State<Arc<App>>,
    body: Bytes,
) -> Result<Json<AgentEnrolled>, Refusal> {
    let request: AgentEnroll = read_json(&body)?;
    let malformed = |sentence: &str| Refusal::own(StatusCode::BAD_REQUEST, "bad_request", sentence);
    let key = authority::requested_key(&request.csr)
        .map_err(|why| Refusal::own(StatusCode::BAD_REQUEST, "bad_csr", why.0))?;
    if !request.principal.starts_with(SERVICE) {
        return Err(malformed(
            "the principal does not begin with latchkey-sync/",
        ));
    }
    let domain = Domain {
        guid: request.domain.guid,
        sid: request.domain.sid,
        dns_name: request.domain.dns_name.to_lowercase(),
        netbios_name: request.domain.netbios_name,
    };
    let names = [&domain.dns_name, &domain.netbios_name, &request.principal];
    if names
        .iter()
        .any(|name| name.is_empty() || name.len() > MAX_NAME)
    {
        return Err(malformed("a name is empty or too long"));
    }
    let now = app.clock.now();
    let agent = Agent {
        id: random::guid()?,
        domain: domain.guid,
        principal: request.principal,
        public_key: key.public_key_to_der()?,
        enrolled: now,
        said: None,
    };
    let audit = Audit {
        at: now,
        actor: format!("agent:{}", agent.id),
        action: "agent.enroll",
        subject: format!("{} for {}", agent.principal, domain.dns_name),
    };
    let id = agent.id;
    let code = sha256(request.code.trim().as_bytes());
    let enrolled = app
        .store
        .enroll_agent(app.tenant.id, code, domain, agent, audit)
        .await;
    match enrolled {
        Ok(true) => Ok(Json(AgentEnrolled {
            agent: id,
            tenant: app.tenant.id,
        })),
        Ok(false) => {
            let sentence = "the code is unknown, used or over: ask an administrator for a new \
                            one (agent code)";
            Err(Refusal::own(StatusCode::FORBIDDEN, "bad_code", sentence))
        }
        Err(store::Error::Conflict(why)) => {
            Err(Refusal::own(StatusCode::CONFLICT, "conflict", why))
        }
        Err(error) => Err(error.into()),
    }
}

/// `POST /agent/v1/key`: another key in place of the one that the bearer was got with.
pub(crate) async fn renew(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<StatusCode, Refusal> {
    let agent = access::agent(&app, &headers).await?;
    let AgentKey { csr } = read_json(&body)?;
    let key = authority::requested_key(&csr)
        .map_err(|why| Refusal::own(StatusCode::BAD_REQUEST, "bad_csr", why.0))?;
    let audit = Audit {
        at: app.clock.now(),
        actor: format!("agent:{}", agent.id),
        action: "agent.key",
        subject: agent.principal,
    };
    let key = key.public_key_to_der()?;
    // Repeated, it changes nothing.
    app.store
        .set_agent_key(app.tenant.id, agent.id, key, audit)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
