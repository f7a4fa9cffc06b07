//! Sets of public keys (RFC 7517 5): the one that this server shows, and those that clients
//! register.

use serde::{Deserialize, Serialize};

use crate::{Error, RsaJwk, VerifyingKey, json};

/// One key that signatures by one algorithm are checked with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SigningJwk {
    /// The numbers.
    #[serde(flatten)]
    pub key: RsaJwk,
    /// Its name.
    pub kid: String,
    #[serde(rename = "use")]
    usage: &'static str,
    alg: &'static str,
}

impl SigningJwk {
    /// A key for RS256 under its thumbprint.
    pub fn new(key: RsaJwk) -> Self {
        let kid = key.thumbprint();
        Self {
            key,
            kid,
            usage: "sig",
            alg: "RS256",
        }
    }
}

/// A set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Jwks {
    /// The keys.
    pub keys: Vec<SigningJwk>,
}

/// What counts of a member of a set, whatever its kind.
#[derive(Deserialize)]
struct Member {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    alg: Option<String>,
}

#[derive(Deserialize)]
struct Members {
    keys: Vec<serde_json::Value>,
}

impl Jwks {
    /// Reads a set. Members that are not for signatures by an RSA key are passed over, as RFC 7517 5
    /// wants; one without `kid` is named by its thumbprint, and one without `alg` is for RS256.
    pub fn read(text: &str) -> Result<Self, Error> {
        let members: Members = json::read(text.as_bytes())?;
        let mut keys = Vec::new();
        for value in members.keys {
            let member: Member = serde_json::from_value(value.clone())
                .map_err(|_| Error::Malformed("a member of the set is not a key"))?;
            let alg = match member.alg.as_deref() {
                None | Some("RS256") => "RS256",
                Some("PS256") => "PS256",
                Some(_) => continue,
            };
            if member.kty != "RSA" || member.usage.as_deref().unwrap_or("sig") != "sig" {
                continue;
            }
            let key: RsaJwk = serde_json::from_value(value)
                .map_err(|_| Error::Malformed("a key of the set cannot be read"))?;
            VerifyingKey::rs256(key.to_key()?)?;
            let mut named = SigningJwk {
                alg,
                ..SigningJwk::new(key)
            };
            if let Some(kid) = member.kid {
                named.kid = kid;
            }
            keys.push(named);
        }
        Ok(Self { keys })
    }

    /// The key of that name; without a name, the only one.
    pub fn find(&self, kid: Option<&str>) -> Option<VerifyingKey> {
        let found = match (kid, self.keys.as_slice()) {
            (Some(kid), keys) => keys.iter().find(|key| key.kid == kid)?,
            (None, [only]) => only,
            (None, _) => return None,
        };
        let key = found.key.to_key().ok()?;
        match found.alg {
            "PS256" => VerifyingKey::ps256(key).ok(),
            _ => VerifyingKey::rs256(key).ok(),
        }
    }
}
