//! The server's word that this device was deleted.

use api::device::{DELETED_TYPE, DeletedClaims};
use model::{Guid, UnixTime};
use token::{RsaJwk, Unverified, VerifyingKey, X5cForm};

use crate::Error;

/// A statement as it came. Nothing of it is believed before [`Deletion::verify`]: a device that
/// believed it would forget its keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deletion(pub(crate) String);

/// What a statement has to be about.
#[derive(Clone, Copy)]
pub struct Expected<'a> {
    /// The keys that the server told when the device joined.
    pub keys: &'a [RsaJwk],
    /// `https://…/{tenant}/`.
    pub issuer: &'a str,
    /// The device.
    pub device: Guid,
    /// The nonce of the request that was refused: no older statement has it.
    pub nonce: &'a str,
}

impl Deletion {
    /// When the device was deleted, if it is this server that says so, of this device, and in answer
    /// to this request.
    pub fn verify(&self, expected: &Expected<'_>, now: UnixTime) -> Result<UnixTime, Error> {
        let other = |what| Error::Protocol(format!("a statement of deletion that is {what}"));
        let unverified = Unverified::read(&self.0, X5cForm::Array)?;
        if unverified.header().typ.as_deref() != Some(DELETED_TYPE) {
            return Err(other("of another type"));
        }
        let kid = unverified.header().kid.clone();
        let key = expected
            .keys
            .iter()
            .find(|key| Some(key.thumbprint()) == kid)
            .ok_or_else(|| other("by an unknown key"))?;
        let claims: DeletedClaims = unverified.verify(&VerifyingKey::rs256(key.to_key()?)?, now)?;
        if claims.iss != expected.issuer || claims.device != expected.device {
            return Err(other("about another device"));
        }
        if claims.nonce != expected.nonce {
            return Err(other("an answer to another request"));
        }
        Ok(claims.deleted)
    }
}
