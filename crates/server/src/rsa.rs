//! RSA keys as OpenSSL has them, made of their numbers: its decoders take several times as long as
//! what one signature is checked for.

use keycred::RsaPublicKey;
use openssl::{
    bn::BigNum,
    error::ErrorStack,
    pkey::{PKey, Public},
    rsa::Rsa,
};

pub(crate) fn public_key(key: &RsaPublicKey) -> Result<PKey<Public>, ErrorStack> {
    let modulus = BigNum::from_slice(key.modulus())?;
    let exponent = BigNum::from_slice(key.exponent())?;
    PKey::from_rsa(Rsa::from_public_components(modulus, exponent)?)
}
