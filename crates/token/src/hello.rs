//! Assertions by a user's key (MS-OAPXBC 3.1.5.1.2): compact JWS by RS256 whose `kid` names the key
//! by its KeyID, and whose `use` says that it is one.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use model::UnixTime;
use serde::{Serialize, de::DeserializeOwned};

use crate::{Draft, Error, Header, Unverified, VerifyingKey, X5cForm};

/// What it says that it is for.
const USAGE: &str = "ngc";

/// An assertion whose signature was not checked: only the key that it names can be seen.
#[derive(Debug)]
pub struct HelloAssertion<'a> {
    key_id: [u8; 32],
    unverified: Unverified<'a>,
}

impl<'a> HelloAssertion<'a> {
    /// Writes one, for the key with this KeyID to sign.
    pub fn draft(key_id: &[u8; 32], claims: &impl Serialize) -> Result<Draft, Error> {
        let header = Header {
            typ: Some("JWT".to_owned()),
            kid: Some(STANDARD.encode(key_id)),
            ..Header::default()
        };
        Draft::of_usage(&header, Some(USAGE), claims)
    }

    /// Takes an assertion apart.
    pub fn read(message: &'a str) -> Result<Self, Error> {
        let unverified = Unverified::read(message, X5cForm::Array)?;
        if unverified.usage() != Some(USAGE) {
            return Err(Error::Malformed("its header does not say use: ngc"));
        }
        let key_id = unverified
            .header()
            .kid
            .as_deref()
            .and_then(|kid| STANDARD.decode(kid).ok())
            .and_then(|kid| <[u8; 32]>::try_from(kid).ok())
            .ok_or(Error::Malformed("its kid is not base64 of a SHA-256"))?;
        Ok(Self { key_id, unverified })
    }

    /// SHA-256 over the public key's BCRYPT blob, as `msDS-KeyCredentialLink` has it.
    pub fn key_id(&self) -> &[u8; 32] {
        &self.key_id
    }

    /// Checks signature and times, and hands out the claims.
    pub fn verify<C: DeserializeOwned>(
        self,
        key: &VerifyingKey,
        now: UnixTime,
    ) -> Result<C, Error> {
        self.unverified.verify(key, now)
    }
}
