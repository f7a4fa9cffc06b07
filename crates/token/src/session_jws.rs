//! Requests that are signed with a session key: compact JWS by HS256 under a key that the header's
//! `ctx` derives (MS-OAPXBC 3.1.5.1.3).
//!
//! Such a request names its key by the refresh token in its payload, so that one claim is seen
//! before the signature was checked. It serves to look the key up and for nothing else.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use model::UnixTime;
use openssl::memcmp;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{Error, KdfVersion, SessionKey, compact, json, jws::Times, session_key::hmac_sha256};

const HS256: &str = "HS256";

/// Sizes of `ctx` that are taken: clients send 24 or 32 bytes.
const CTX: std::ops::RangeInclusive<usize> = 16..=64;

/// A request whose signature was not checked.
#[derive(Debug)]
pub struct SessionRequest<'a> {
    version: KdfVersion,
    ctx: Vec<u8>,
    signing_input: &'a str,
    payload: Vec<u8>,
    signature: Vec<u8>,
    refresh_token: String,
}

#[derive(Serialize, Deserialize)]
struct RawHeader {
    alg: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    typ: Option<String>,
    ctx: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    kdf_ver: Option<u8>,
    #[serde(skip_serializing)]
    crit: Option<json::Present>,
}

#[derive(Deserialize)]
struct Naming {
    refresh_token: String,
}

impl<'a> SessionRequest<'a> {
    /// Takes a request apart; any algorithm but HS256 is refused here already.
    pub fn read(message: &'a str) -> Result<Self, Error> {
        let [header, payload, signature] = compact::split(message)?;
        let raw: RawHeader = json::read(&compact::decode(header)?)?;
        if raw.alg != HS256 {
            return Err(Error::Algorithm(HS256));
        }
        if raw.crit.is_some() {
            return Err(Error::Malformed(
                "its header has crit, of which nothing is known here",
            ));
        }
        let version = match raw.kdf_ver {
            None | Some(1) => KdfVersion::One,
            Some(2) => KdfVersion::Two,
            Some(_) => return Err(Error::Malformed("kdf_ver is neither 1 nor 2")),
        };
        let ctx = STANDARD
            .decode(raw.ctx)
            .ok()
            .filter(|ctx| CTX.contains(&ctx.len()))
            .ok_or(Error::Malformed("ctx is not base64 of 16 to 64 bytes"))?;
        let signature_at = header.len() + 1 + payload.len();
        let payload = compact::decode(payload)?;
        let Naming { refresh_token } = json::read(&payload)?;
        Ok(Self {
            version,
            ctx,
            signing_input: message.get(..signature_at).unwrap_or_default(),
            payload,
            signature: compact::decode(signature)?,
            refresh_token,
        })
    }

    /// The refresh token that it names, by which the caller finds the session key.
    pub fn refresh_token(&self) -> &str {
        &self.refresh_token
    }

    /// Which derivation it is signed with; whether it suffices is the caller's to decide.
    pub fn kdf_version(&self) -> KdfVersion {
        self.version
    }

    /// Checks the signature, then those of `exp`, `nbf` and `iat` that are there, and hands out
    /// the claims. That the request is fresh, its nonce must show.
    pub fn verify<C: DeserializeOwned>(self, key: &SessionKey, now: UnixTime) -> Result<C, Error> {
        let derived = key.derive(self.version, &self.ctx, &self.payload)?;
        let made = hmac_sha256(derived.expose(), self.signing_input.as_bytes())?;
        if made.len() != self.signature.len() || !memcmp::eq(&made, &self.signature) {
            return Err(Error::Signature);
        }
        let times: Times = json::read(&self.payload)?;
        times.check(now)?;
        json::read(&self.payload)
    }
}

/// Signs claims, which must name the refresh token that the key belongs to; `ctx` is random and
/// of this message alone.
pub fn sign_with_session_key(
    key: &SessionKey,
    version: KdfVersion,
    ctx: &[u8; 24],
    claims: &impl Serialize,
) -> Result<String, Error> {
    let header = RawHeader {
        alg: HS256.to_owned(),
        typ: Some("JWT".to_owned()),
        ctx: STANDARD.encode(ctx),
        kdf_ver: (version == KdfVersion::Two).then_some(2),
        crit: None,
    };
    let unsendable = |_| Error::Unsendable("not JSON");
    let header = serde_json::to_vec(&header).map_err(unsendable)?;
    let payload = serde_json::to_vec(claims).map_err(unsendable)?;
    let derived = key.derive(version, ctx, &payload)?;
    let input = compact::join(&[&header, &payload]);
    let signature = hmac_sha256(derived.expose(), input.as_bytes())?;
    compact::within(format!("{input}.{}", compact::encode(&signature)))
}
