//! RSA keys of devices and users from their numbers: OpenSSL's decoders take several times as long as
//! what one signature is checked for, and even so it works out most of a key when it is used first.

use anyhow::Context as _;
use keycred::RsaPublicKey;
use model::sha256;
use openssl::{
    bn::BigNum,
    pkey::{PKey, Public},
    rsa::Rsa,
};
use token::{TransportKey, VerifyingKey};

use crate::{app::App, known::Known};

/// The user's key in a BCRYPT RSA1 blob that the store has.
pub(crate) fn user_key(app: &App, rsa1: &[u8]) -> anyhow::Result<VerifyingKey> {
    let make = |key| Ok(VerifyingKey::rs256(key)?);
    known(&app.known_user_keys, rsa1, make)
}

/// A device's transport key in such a blob.
pub(crate) fn transport_key(app: &App, rsa1: &[u8]) -> anyhow::Result<TransportKey> {
    let make = |key| Ok(TransportKey::new(key)?);
    known(&app.known_transport_keys, rsa1, make)
}

fn known<T: Clone>(
    known: &Known<T>,
    rsa1: &[u8],
    make: impl Fn(PKey<Public>) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let digest = sha256(rsa1);
    if let Some(known) = known.find(&digest) {
        return Ok(known);
    }
    let key = RsaPublicKey::from_rsa1(rsa1).context("a stored key is none")?;
    let modulus = BigNum::from_slice(key.modulus())?;
    let exponent = BigNum::from_slice(key.exponent())?;
    let key = make(PKey::from_rsa(Rsa::from_public_components(
        modulus, exponent,
    )?)?)?;
    known.keep(digest, &key);
    Ok(key)
}
