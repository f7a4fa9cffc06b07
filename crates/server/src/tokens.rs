//! Tokens of this server: made here, and read here again when a request bears one.
//!
//! Several keys may be known at a time. The newest whose time has come signs; every one that has
//! not retired is shown to clients and verifies. So a key is shown before it signs, and is known
//! for as long as what it signed is good.

use std::sync::{Arc, RwLock};

use anyhow::Context as _;
use api::oauth::{AccessClaims, IdClaims};
use model::{Guid, UnixTime};
use openssl::{
    md::Md,
    pkey::{PKey, Private, Public},
    pkey_ctx::PkeyCtx,
    rsa::Padding,
};
use serde::Serialize;
use store::SigningKey;
use token::{Header, Jwks, Prepared, RsaJwk, SigningJwk, Unverified, VerifyingKey, X5cForm};

use crate::{
    app::{App, sealed_name},
    oauth::Version,
    random,
};

/// How old what is known of the keys may be: another server of the tenant may have added one.
const KNOWN_S: i64 = 60;

/// How long after a newer key has begun to sign something of an older one may be good: an hour, and
/// a moment for servers that did not know of the newer one yet.
const OVERLAP_S: i64 = 60 * 60 + 2 * KNOWN_S + token::LEEWAY_S;

/// The type that tokens name, and no other statement.
const TOKEN_TYPE: &str = "JWT";

/// The keys that are known, and when they were read.
#[derive(Default)]
pub(crate) struct KnownKeys(RwLock<Option<(UnixTime, Arc<Tokens>)>>);

/// Makes and reads tokens.
pub(crate) struct Tokens {
    keys: Vec<Key>,
    url: String,
    tenant: Guid,
}

struct Key {
    private: PKey<Private>,
    prepared: Prepared<Private>,
    verifying: VerifyingKey,
    jwk: SigningJwk,
    not_before: UnixTime,
    retires: Option<UnixTime>,
    /// When a newer one began to sign.
    followed: Option<UnixTime>,
}

/// The issuer that tokens name, which is one for each generation of endpoints.
pub(crate) fn issuer(url: &str, tenant: Guid, version: Version) -> String {
    match version {
        Version::V1 => format!("{url}/{tenant}/"),
        Version::V2 => format!("{url}/{tenant}/v2.0"),
    }
}

impl App {
    /// The keys as they are now.
    pub(crate) async fn tokens(&self) -> anyhow::Result<Arc<Tokens>> {
        let now = self.clock.now();
        let known = self.known_keys.fresh(now);
        if let Some(tokens) = known {
            return Ok(tokens);
        }
        let keys = self.store.signing_keys(self.tenant.id).await?;
        let tokens = Tokens::open(self, keys)?;
        let tokens = Arc::new(tokens);
        self.known_keys.keep(now, &tokens);
        Ok(tokens)
    }

    /// The issuer of one generation.
    pub(crate) fn issuer(&self, version: Version) -> String {
        issuer(&self.url, self.tenant.id, version)
    }
}

impl KnownKeys {
    fn fresh(&self, now: UnixTime) -> Option<Arc<Tokens>> {
        let known = self.0.read().ok()?;
        let (at, tokens) = known.as_ref()?;
        let age = now.0 - at.0;
        (0..KNOWN_S).contains(&age).then(|| Arc::clone(tokens))
    }

    fn keep(&self, now: UnixTime, tokens: &Arc<Tokens>) {
        if let Ok(mut known) = self.0.write() {
            *known = Some((now, Arc::clone(tokens)));
        }
    }

    /// Forgets them: one was added, or retires.
    pub(crate) fn forget(&self) {
        if let Ok(mut known) = self.0.write() {
            *known = None;
        }
    }
}

impl Tokens {
    fn open(app: &App, keys: Vec<SigningKey>) -> anyhow::Result<Self> {
        let open = |key: SigningKey, followed| {
            let name = sealed_name(&app.tenant, &key.name);
            let der = app.keyring.master.open(&name, &key.sealed)?;
            let private = PKey::private_key_from_der(der.expose())?;
            Key::new(private, &key, followed)
        };
        // They come newest first.
        let mut followed = None;
        let mut opened = Vec::new();
        for key in keys {
            let key = open(key, followed)?;
            if key.retires.is_none() {
                followed = Some(key.not_before);
            }
            opened.push(key);
        }
        Ok(Self {
            keys: opened,
            url: app.url.clone(),
            tenant: app.tenant.id,
        })
    }

    /// The key that signs at `now`: keys come newest first.
    fn signing(&self, now: UnixTime) -> anyhow::Result<&Key> {
        self.keys
            .iter()
            .find(|key| key.retires.is_none() && key.not_before <= now)
            .context("the store has no key that signs tokens")
    }

    /// Those that clients are shown at `now`.
    pub(crate) fn key_set(&self, now: UnixTime) -> Jwks {
        let shown = self.keys.iter().filter(|key| key.is_good(now));
        Jwks {
            keys: shown.map(|key| key.jwk.clone()).collect(),
        }
    }

    /// Claims for `audience`, good for `life_s`, that say nothing yet of who asked.
    pub(crate) fn claims(
        &self,
        version: Version,
        audience: &str,
        client: &str,
        (now, life_s): (UnixTime, i64),
    ) -> anyhow::Result<AccessClaims> {
        Ok(AccessClaims {
            iss: issuer(&self.url, self.tenant, version),
            aud: audience.to_owned(),
            ver: version.as_claim().to_owned(),
            sub: client.to_owned(),
            tid: self.tenant,
            iat: now.0,
            nbf: now.0,
            exp: now.plus(life_s).0,
            jti: random::guid()?.to_string(),
            appid: client.to_owned(),
            deviceid: None,
            oid: None,
            upn: None,
            name: None,
            scp: None,
            idtyp: None,
            amr: Vec::new(),
            auth_time: None,
            mfa_time: None,
            agent: None,
        })
    }

    /// Those that clients are shown at `now`, without what a JWK says of their use.
    pub(crate) fn public_keys(&self, now: UnixTime) -> Vec<RsaJwk> {
        let shown = self.keys.iter().filter(|key| key.is_good(now));
        shown.map(|key| key.jwk.key.clone()).collect()
    }

    /// Signs a token.
    pub(crate) fn sign(&self, claims: &impl Serialize, now: UnixTime) -> anyhow::Result<String> {
        self.sign_as(TOKEN_TYPE, claims, now)
    }

    /// Signs another statement, whose type no token has.
    pub(crate) fn sign_as(
        &self,
        typ: &str,
        claims: &impl Serialize,
        now: UnixTime,
    ) -> anyhow::Result<String> {
        let key = self.signing(now)?;
        let header = Header {
            typ: Some(typ.to_owned()),
            kid: Some(key.jwk.kid.clone()),
            x5c: Vec::new(),
        };
        token::sign(&header, claims, |digest| key.sign(digest))
    }

    /// Reads a token for `audience`.
    pub(crate) fn read(&self, token: &str, audience: &str, now: UnixTime) -> Option<AccessClaims> {
        let unverified = Unverified::read(token, X5cForm::Array).ok()?;
        if unverified.header().typ.as_deref() != Some(TOKEN_TYPE) {
            return None;
        }
        let kid = unverified.header().kid.clone()?;
        let key = self
            .keys
            .iter()
            .find(|key| key.jwk.kid == kid && key.is_good(now))?;
        let claims: AccessClaims = unverified.verify(&key.verifying, now).ok()?;
        let is_ours = [Version::V1, Version::V2]
            .iter()
            .any(|version| claims.iss == issuer(&self.url, self.tenant, *version));
        (is_ours && claims.tid == self.tenant && claims.aud == audience).then_some(claims)
    }

    /// The client that an ID token of ours was made for.
    pub(crate) fn audience_of(&self, token: &str, now: UnixTime) -> Option<String> {
        let unverified = Unverified::read(token, X5cForm::Array).ok()?;
        let kid = unverified.header().kid.clone()?;
        let key = self.keys.iter().find(|key| key.jwk.kid == kid)?;
        let claims: IdClaims = unverified.verify(&key.verifying, now).ok()?;
        Some(claims.aud)
    }
}

impl Key {
    fn new(
        private: PKey<Private>,
        stored: &SigningKey,
        followed: Option<UnixTime>,
    ) -> anyhow::Result<Self> {
        let public: PKey<Public> = PKey::public_key_from_der(&private.public_key_to_der()?)?;
        Ok(Self {
            jwk: SigningJwk::new(RsaJwk::from_key(&public)?),
            verifying: VerifyingKey::rs256(public)?,
            private,
            prepared: Prepared::default(),
            not_before: stored.not_before,
            retires: stored.retires,
            followed,
        })
    }

    /// RSASSA-PKCS1-v1_5 over a SHA-256 digest that is made already.
    fn sign(&self, digest: &[u8; 32]) -> anyhow::Result<Vec<u8>> {
        let mut signature = Vec::new();
        let prepare = || {
            let mut context = PkeyCtx::new(&self.private)?;
            context.sign_init()?;
            context.set_rsa_padding(Padding::PKCS1)?;
            context.set_signature_md(Md::sha256())?;
            Ok(context)
        };
        self.prepared.with(prepare, |context| {
            context.sign_to_vec(digest, &mut signature)
        })?;
        Ok(signature)
    }

    fn is_good(&self, now: UnixTime) -> bool {
        let is_over = |start: UnixTime| now >= start.plus(OVERLAP_S);
        self.retires.is_none_or(|end| now < end) && !self.followed.is_some_and(is_over)
    }
}
