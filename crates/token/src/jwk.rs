//! RSA public keys as JWK (RFC 7517, RFC 7518 6.3.1) and their thumbprints (RFC 7638).

use model::sha256;
use openssl::{
    bn::BigNum,
    error::ErrorStack,
    pkey::{HasPublic, PKey, PKeyRef, Public},
    rsa::Rsa,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::{Error, compact};

/// An RSA public key: two numbers, big-endian, without leading zeros. Members other than `kty`,
/// `n` and `e` are passed over when read; `#[serde(flatten)]` adds more when written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RsaJwk {
    n: Vec<u8>,
    e: Vec<u8>,
}

impl RsaJwk {
    /// From an OpenSSL key.
    pub fn from_key<K: HasPublic>(key: &PKeyRef<K>) -> Result<Self, Error> {
        let rsa = key.rsa().map_err(|_| Error::Key("not an RSA key"))?;
        Ok(Self {
            n: rsa.n().to_vec(),
            e: rsa.e().to_vec(),
        })
    }

    /// As an OpenSSL key; [`crate::VerifyingKey::rs256`] judges its size.
    pub fn to_key(&self) -> Result<PKey<Public>, Error> {
        let key = || -> Result<_, ErrorStack> {
            let (n, e) = (BigNum::from_slice(&self.n)?, BigNum::from_slice(&self.e)?);
            PKey::from_rsa(Rsa::from_public_components(n, e)?)
        };
        key().map_err(|_| Error::Key("not an RSA key"))
    }

    /// SHA-256 thumbprint in base64url (RFC 7638 3).
    pub fn thumbprint(&self) -> String {
        // The members in the order and without the spaces that RFC 7638 3.2 wants.
        let (e, n) = (compact::encode(&self.e), compact::encode(&self.n));
        let canonical = format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#);
        compact::encode(&sha256(canonical.as_bytes()))
    }
}

#[derive(Serialize, Deserialize)]
struct Members {
    kty: String,
    n: String,
    e: String,
}

impl Serialize for RsaJwk {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (n, e) = (compact::encode(&self.n), compact::encode(&self.e));
        Members {
            kty: "RSA".to_owned(),
            n,
            e,
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for RsaJwk {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let members = Members::deserialize(deserializer)?;
        if members.kty != "RSA" {
            return Err(D::Error::custom("kty is not RSA"));
        }
        let number = |text: &str| {
            let number = compact::decode(text).map_err(D::Error::custom)?;
            match number.first() {
                None | Some(0) => Err(D::Error::custom("empty number or leading zero")),
                Some(_) => Ok(number),
            }
        };
        Ok(Self {
            n: number(&members.n)?,
            e: number(&members.e)?,
        })
    }
}
