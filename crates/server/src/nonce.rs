//! Server nonces (MS-OAPXBC 3.2.5.1.1): good for five minutes, and stored nowhere.
//!
//! A nonce is its end and some random bytes under a MAC of ours. It shows that a statement was made
//! a moment ago; that no statement is used twice, `device_proof` sees to.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use model::{Secret, UnixTime};
use openssl::{
    error::ErrorStack,
    hash::MessageDigest,
    memcmp,
    pkey::{PKey, Private},
    sign::Signer,
};

/// How long a nonce is good.
pub(crate) const LIFE_S: i64 = 5 * 60;
const RANDOM: usize = 16;
const MAC: usize = 32;

/// Makes and knows nonces.
pub(crate) struct Nonces(PKey<Private>);

impl Nonces {
    pub(crate) fn new(key: Secret<Vec<u8>>) -> Result<Self, ErrorStack> {
        Ok(Self(PKey::hmac(key.expose())?))
    }

    /// One that is good until five minutes after `now`.
    pub(crate) fn make(&self, now: UnixTime, random: [u8; RANDOM]) -> Result<String, ErrorStack> {
        let mut bytes = now.plus(LIFE_S).0.to_be_bytes().to_vec();
        bytes.extend_from_slice(&random);
        let mac = self.mac(&bytes)?;
        bytes.extend_from_slice(&mac);
        Ok(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// Whether it is one of ours whose time is not over.
    pub(crate) fn is_good(&self, nonce: &str, now: UnixTime) -> Result<bool, ErrorStack> {
        let Ok(bytes) = URL_SAFE_NO_PAD.decode(nonce) else {
            return Ok(false);
        };
        let Some((content, mac)) = bytes.split_last_chunk::<MAC>() else {
            return Ok(false);
        };
        let Some((end, _)) = content.split_first_chunk::<8>() else {
            return Ok(false);
        };
        let expected = self.mac(content)?;
        let is_ours = expected.len() == mac.len() && memcmp::eq(&expected, mac);
        let end = i64::from_be_bytes(*end);
        Ok(is_ours && content.len() == 8 + RANDOM && now.0 < end && end <= now.0 + LIFE_S + 1)
    }

    fn mac(&self, content: &[u8]) -> Result<Vec<u8>, ErrorStack> {
        Signer::new(MessageDigest::sha256(), &self.0)?.sign_oneshot_to_vec(content)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_good_for_five_minutes_and_where_it_was_made() {
        let nonces = Nonces::new(Secret::new(vec![1; 32])).unwrap();
        let nonce = nonces.make(UnixTime(1000), [7; 16]).unwrap();
        assert!(nonces.is_good(&nonce, UnixTime(1000)).unwrap());
        assert!(nonces.is_good(&nonce, UnixTime(1299)).unwrap());
        assert!(!nonces.is_good(&nonce, UnixTime(1300)).unwrap());
        assert!(
            !Nonces::new(Secret::new(vec![2; 32]))
                .unwrap()
                .is_good(&nonce, UnixTime(1000))
                .unwrap()
        );
    }

    #[test]
    fn what_is_not_a_nonce_is_not_good() {
        let nonces = Nonces::new(Secret::new(vec![1; 32])).unwrap();
        let nonce = nonces.make(UnixTime(1000), [7; 16]).unwrap();
        let mut changed = URL_SAFE_NO_PAD.decode(&nonce).unwrap();
        changed[7] ^= 1;
        for wrong in [
            "",
            "x",
            "AAAA",
            &nonce[1..],
            &URL_SAFE_NO_PAD.encode(changed),
        ] {
            assert!(!nonces.is_good(wrong, UnixTime(1000)).unwrap(), "{wrong}");
        }
    }
}
