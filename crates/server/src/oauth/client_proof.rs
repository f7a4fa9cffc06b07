//! Clients that prove who they are: by a signature with a key of their own (private_key_jwt,
//! RFC 7523 3). No client has a secret that it sends.

use api::oauth::{ASSERTION_JWT_BEARER, token_path, token_path_v2};
use model::sha256;
use serde::Deserialize;
use store::{App as Application, AppKind, Spend};
use token::{Jwks, LEEWAY_S, NumericDate, Unverified, VerifyingKey, X5cForm};

use super::{
    clients,
    scope::Version,
    token::{Form, needed},
};
use crate::{app::App, error::Refusal};

/// The longest life of a statement: an hour is what libraries give it.
const LIFE_S: i64 = 60 * 60 + LEEWAY_S;

/// How long after it was made a statement is good however long it lives. MSAL shows one and the same
/// for nine minutes, so that for applications this bound stands in for "once".
const AGE_S: i64 = 10 * 60 + LEEWAY_S;

/// What a client says of itself.
#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Audience,
    jti: String,
    exp: NumericDate,
    iat: Option<NumericDate>,
}

/// One audience, or several.
#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

/// Who states something about themselves, and how long such a statement may be good.
pub(crate) struct Stated<'a> {
    pub(crate) id: &'a str,
    pub(crate) key: &'a VerifyingKey,
    pub(crate) life_s: i64,
    /// It may be shown again while it is young.
    pub(crate) repeats: bool,
}

/// The client of a form: a public one by its name, any other by its proof.
pub(crate) async fn expect(app: &App, form: &Form) -> Result<Application, Refusal> {
    let client = named(app, form).await?;
    match client.kind {
        AppKind::Public => Ok(client),
        AppKind::Confidential => prove(app, form, client).await,
    }
}

/// The client of a form, which must be one that proves itself.
pub(crate) async fn proven(app: &App, form: &Form) -> Result<Application, Refusal> {
    let client = named(app, form).await?;
    if client.kind == AppKind::Public {
        let sentence = "a public client cannot act for itself";
        return Err(Refusal::bad("unauthorized_client", 7_000_218, sentence));
    }
    prove(app, form, client).await
}

/// The client that a form names; its statement may do so alone (RFC 7521 4.2).
async fn named(app: &App, form: &Form) -> Result<Application, Refusal> {
    let subject = match (&form.client_id, &form.client_assertion) {
        (None, Some(text)) => Unverified::read(text, X5cForm::Ignored)
            .ok()
            .and_then(|unverified| unverified.subject()),
        _ => None,
    };
    let name = form.client_id.as_deref().or(subject.as_deref());
    clients::expect(app, name).await
}

async fn prove(app: &App, form: &Form, client: Application) -> Result<Application, Refusal> {
    let assertion = assertion(form)?;
    let keys = client
        .jwks
        .as_deref()
        .and_then(|jwks| Jwks::read(jwks).ok());
    let kid = Unverified::read(assertion, X5cForm::Ignored)
        .ok()
        .and_then(|unverified| unverified.header().kid.clone());
    let key = keys
        .and_then(|keys| keys.find(kid.as_deref()).or_else(|| keys.find(None)))
        .ok_or_else(refused)?;
    let stated = Stated {
        id: &client.client_id,
        key: &key,
        life_s: LIFE_S,
        repeats: true,
    };
    check(app, assertion, &stated).await?;
    Ok(client)
}

/// The statement of a form.
pub(crate) fn assertion(form: &Form) -> Result<&str, Refusal> {
    if form.client_assertion_type.as_deref() != Some(ASSERTION_JWT_BEARER) {
        let sentence = "this client proves itself by private_key_jwt: client_assertion_type is \
                        missing, or another";
        return Err(Refusal::client(7_000_218, sentence));
    }
    needed(&form.client_assertion, "client_assertion")
}

/// Checks a statement: signed by the key, about the right one, to us, and shown for the first time,
/// unless it may be shown again.
pub(crate) async fn check(app: &App, assertion: &str, who: &Stated<'_>) -> Result<(), Refusal> {
    let now = app.clock.now();
    let claims: Claims = Unverified::read(assertion, X5cForm::Ignored)
        .and_then(|unverified| unverified.verify(who.key, now))
        .map_err(|_| refused())?;
    let is_right = claims.iss == who.id
        && claims.sub == who.id
        && claims.aud.is_ours(app).await?
        && claims.exp.0 <= now.plus(who.life_s)
        && (1..=128).contains(&claims.jti.len());
    if !is_right {
        return Err(refused());
    }
    if let (true, Some(made)) = (who.repeats, claims.iat) {
        return if now < made.0.plus(AGE_S) {
            Ok(())
        } else {
            Err(refused())
        };
    }
    let spent = sha256(format!("{}/{}", who.id, claims.jti).as_bytes());
    // Servers of one tenant sweep by clocks of their own.
    let until = claims.exp.0.plus(2 * LEEWAY_S);
    let spend = Spend { id: spent, until };
    if app.store.spend(app.tenant.id, spend, now).await? {
        return Ok(());
    }
    Err(refused())
}

impl Audience {
    /// Libraries name the endpoint or the issuer; each is ours alone.
    async fn is_ours(&self, app: &App) -> Result<bool, store::Error> {
        let names = match self {
            Self::One(name) => std::slice::from_ref(name),
            Self::Several(names) => names.as_slice(),
        };
        let paths = [token_path(app.tenant.id), token_path_v2(app.tenant.id)];
        let urls = app.urls().await?;
        let endpoints = urls
            .iter()
            .flat_map(|url| paths.iter().map(move |path| format!("{url}{path}")));
        let issuers = [app.issuer(Version::V1), app.issuer(Version::V2)];
        let ours: Vec<String> = issuers.into_iter().chain(endpoints).collect();
        Ok(!names.is_empty() && names.iter().all(|name| ours.contains(name)))
    }
}

/// Why not is for nobody to know who forges one.
pub(crate) fn refused() -> Refusal {
    Refusal::client(
        700_027,
        "the client's statement about itself is not accepted",
    )
}
