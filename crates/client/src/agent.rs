//! The agent's calls, each with a token that its own key got (private_key_jwt, RFC 7523).

use std::{
    sync::{PoisonError, RwLock},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use api::{
    AGENT_AUDIENCE,
    agent::{
        ALERTS_PATH, AgentKey, Alert, CHANGES_PATH, Changes, ConfirmedKeys, KEY_PATH, KEYS_PATH,
        LEASE_PATH, LeaseAnswer, LeaseAsk, STATUS_PATH, StatusReport, WORK_PATH, Work, WorkAnswer,
        work_answer_path,
    },
    oauth::{ASSERTION_JWT_BEARER, TokenAnswer, token_path},
    scim::{BASE_PATH, BULK_PATH, BulkRequest, BulkResponse, Group, ResourcePage},
};
use model::{Guid, Secret};
use openssl::{
    md::Md,
    pkey::{PKey, Private},
    pkey_ctx::PkeyCtx,
    rsa::Padding,
};
use serde::Serialize;
use tokio::sync::Mutex;

use crate::{
    Client, Error,
    form::Form,
    http::{Body, Call},
    tls::library,
};

/// Who the agent is.
pub struct AgentIdentity {
    /// Its id.
    pub agent: Guid,
    /// The tenant.
    pub tenant: Guid,
    /// The key of its enrollment, or the one that took its place.
    pub key: PKey<Private>,
}

/// The server as an enrolled agent sees it.
pub struct Agent {
    client: Client,
    agent: Guid,
    tenant: Guid,
    key: RwLock<PKey<Private>>,
    token: Mutex<Option<Token>>,
}

struct Token {
    text: Secret<String>,
    renew: Instant,
}

/// An assertion is used at once.
const ASSERTION_LIFETIME_S: i64 = 300;
const UNAUTHORIZED: u16 = 401;
const NO_CONTENT: u16 = 204;

impl Agent {
    /// The server behind `client` for this agent.
    pub fn new(client: Client, identity: AgentIdentity) -> Self {
        let AgentIdentity { agent, tenant, key } = identity;
        Self {
            client,
            agent,
            tenant,
            key: RwLock::new(key),
            token: Mutex::new(None),
        }
    }

    /// Its id.
    pub fn id(&self) -> Guid {
        self.agent
    }

    /// The key that it signs with.
    pub fn key(&self) -> PKey<Private> {
        self.key
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Signs with another key from now on, and gets its tokens anew.
    pub async fn use_key(&self, key: PKey<Private>) {
        *self.key.write().unwrap_or_else(PoisonError::into_inner) = key;
        *self.token.lock().await = None;
    }

    /// Asks for the lease, or gives it back.
    pub async fn lease(&self, ask: &LeaseAsk) -> Result<LeaseAnswer, Error> {
        self.call(|| Ok(Call::post(LEASE_PATH, Body::json(ask)?)))
            .await?
            .json()
    }

    /// Has the server take another key in place of this one.
    pub async fn renew_key(&self, key: &AgentKey) -> Result<(), Error> {
        self.call(|| Ok(Call::post(KEY_PATH, Body::json(key)?)))
            .await
            .map(drop)
    }

    /// What changed since `token`, waiting at most `wait_s` for something to change.
    pub async fn changes(&self, token: &str, wait_s: u32) -> Result<Changes, Error> {
        let query = Form::default()
            .field("token", token)
            .field("wait", &wait_s.to_string());
        let query = String::from_utf8_lossy(&query.into_bytes()).into_owned();
        let path = format!("{CHANGES_PATH}?{query}");
        self.call(|| Ok(Call::get(&path).waiting(wait_s)))
            .await?
            .json()
    }

    /// The keys that AD has or may get back, behind the change `after`; 0: from the first.
    pub async fn confirmed_keys(&self, after: u64) -> Result<ConfirmedKeys, Error> {
        let path = format!("{KEYS_PATH}?after={after}&removed=true");
        self.call(|| Ok(Call::get(&path))).await?.json()
    }

    /// Says what became of changes.
    pub async fn status(&self, report: &StatusReport) -> Result<(), Error> {
        self.call(|| Ok(Call::post(STATUS_PATH, Body::json(report)?)))
            .await
            .map(drop)
    }

    /// One piece of work, waiting at most `wait_s` for it.
    pub async fn work(&self, wait_s: u32) -> Result<Option<Work>, Error> {
        let path = format!("{WORK_PATH}?wait={wait_s}");
        let answer = self.call(|| Ok(Call::get(&path).waiting(wait_s))).await?;
        match answer.status {
            NO_CONTENT => Ok(None),
            _ => answer.json().map(Some),
        }
    }

    /// Answers a piece of work.
    pub async fn answer_work(&self, id: &str, answer: &WorkAnswer) -> Result<(), Error> {
        let path = work_answer_path(id);
        self.call(|| Ok(Call::post(&path, Body::json(answer)?)))
            .await
            .map(drop)
    }

    /// Brings accounts in.
    pub async fn bulk(&self, request: &BulkRequest) -> Result<BulkResponse, Error> {
        self.call(|| Ok(Call::post(BULK_PATH, Body::json(request)?)))
            .await?
            .json()
    }

    /// What the server has of the agent's domain in a collection such as `Users`: a page, the first
    /// one where the cursor is empty.
    pub async fn resources(&self, collection: &str, cursor: &str) -> Result<ResourcePage, Error> {
        let path = format!("{BASE_PATH}/{collection}?cursor={cursor}");
        self.call(|| Ok(Call::get(&path))).await?.json()
    }

    /// A group with its members.
    pub async fn group(&self, id: Guid) -> Result<Group, Error> {
        let path = format!("{BASE_PATH}/Groups/{id}");
        self.call(|| Ok(Call::get(&path))).await?.json()
    }

    /// Tells what an administrator must look at.
    pub async fn alert(&self, alert: &Alert) -> Result<(), Error> {
        self.call(|| Ok(Call::post(ALERTS_PATH, Body::json(alert)?)))
            .await
            .map(drop)
    }

    /// Signs `claims` with the agent's key.
    pub fn sign(&self, claims: &impl Serialize) -> Result<String, Error> {
        token::sign(&token::Header::default(), claims, |digest| {
            sign_digest(&self.key(), digest)
        })
    }

    /// Makes a call with a token; once more with a new one where the server has forgotten it.
    async fn call<'a>(
        &self,
        call: impl Fn() -> Result<Call<'a>, Error>,
    ) -> Result<crate::http::Answer, Error> {
        let token = self.token().await?;
        let answer = self.client.send(call()?.bearer(token.expose())).await?;
        if answer.status != UNAUTHORIZED {
            return answer.success();
        }
        *self.token.lock().await = None;
        let token = self.token().await?;
        self.client
            .send(call()?.bearer(token.expose()))
            .await?
            .success()
    }

    async fn token(&self) -> Result<Secret<String>, Error> {
        let mut token = self.token.lock().await;
        if let Some(token) = token.as_ref().filter(|token| Instant::now() < token.renew) {
            return Ok(token.text.clone());
        }
        let path = token_path(self.tenant);
        let agent = self.agent.to_string();
        let assertion = self.assertion(&path)?;
        let form = Form::default()
            .field("grant_type", "client_credentials")
            .field("client_id", &agent)
            .field("resource", AGENT_AUDIENCE)
            .field("client_assertion_type", ASSERTION_JWT_BEARER)
            .field("client_assertion", &assertion);
        let answer: TokenAnswer = self
            .client
            .json(Call::post(&path, Body::Form(form)))
            .await?;
        let text = Secret::new(answer.access_token);
        // Well before it expires, so that no call carries one that ends on the way.
        let lifetime = Duration::from_secs(answer.expires_in.clamp(0, 3600) as u64);
        *token = Some(Token {
            text: text.clone(),
            renew: Instant::now() + lifetime / 2,
        });
        Ok(text)
    }

    fn assertion(&self, path: &str) -> Result<String, Error> {
        #[derive(Serialize)]
        struct Claims {
            iss: Guid,
            sub: Guid,
            aud: String,
            jti: Guid,
            iat: i64,
            exp: i64,
        }
        let mut random = [0; 16];
        getrandom::fill(&mut random)
            .map_err(|error| Error::Protocol(format!("no randomness: {error}")))?;
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs() as i64;
        self.sign(&Claims {
            iss: self.agent,
            sub: self.agent,
            aud: format!("{}{path}", self.client.base_url()),
            jti: Guid::from_random(random),
            iat: now,
            exp: now + ASSERTION_LIFETIME_S,
        })
    }
}

/// RSASSA-PKCS1-v1_5 over a SHA-256 digest.
fn sign_digest(key: &PKey<Private>, digest: &[u8; 32]) -> Result<Vec<u8>, Error> {
    let mut signature = Vec::new();
    let mut context = PkeyCtx::new(key).map_err(library)?;
    context.sign_init().map_err(library)?;
    context.set_rsa_padding(Padding::PKCS1).map_err(library)?;
    context.set_signature_md(Md::sha256()).map_err(library)?;
    context
        .sign_to_vec(digest, &mut signature)
        .map_err(library)?;
    Ok(signature)
}
