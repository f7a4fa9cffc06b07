//! Server nonces (MS-OAPXBC 3.2.5.1.1): good for five minutes, and stored nowhere.
//!
//! A nonce is its end and some random bytes under a MAC of ours. It shows that a statement was made
//! a moment ago; that no statement is used twice, `device_proof` sees to.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use model::{Secret, UnixTime, sha256};
use openssl::memcmp;
use zeroize::Zeroizing;

/// How long a nonce is good.
pub(crate) const LIFE_S: i64 = 5 * 60;
const RANDOM: usize = 16;
const MAC: usize = 32;

/// A block of SHA-256.
const BLOCK: usize = 64;

/// Makes and knows nonces.
pub(crate) struct Nonces {
    inner: Secret<[u8; BLOCK]>,
    outer: Secret<[u8; BLOCK]>,
}

impl Nonces {
    /// By a key of no more than a block.
    pub(crate) fn new(key: &Secret<Vec<u8>>) -> Self {
        let padded = |by: u8| {
            let mut block = Zeroizing::new([by; BLOCK]);
            let bytes = block.iter_mut().zip(key.expose());
            bytes.for_each(|(byte, key)| *byte ^= key);
            Secret::new(*block)
        };
        Self {
            inner: padded(0x36),
            outer: padded(0x5c),
        }
    }

    /// One that is good until five minutes after `now`.
    pub(crate) fn make(&self, now: UnixTime, random: [u8; RANDOM]) -> String {
        let mut bytes = now.plus(LIFE_S).0.to_be_bytes().to_vec();
        bytes.extend_from_slice(&random);
        let mac = self.mac(&bytes);
        bytes.extend_from_slice(&mac);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Whether it is one of ours whose time is not over.
    pub(crate) fn is_good(&self, nonce: &str, now: UnixTime) -> bool {
        self.end(nonce, now).is_some()
    }

    /// When its time is over; none where it is, or it is not one of ours.
    pub(crate) fn end(&self, nonce: &str, now: UnixTime) -> Option<UnixTime> {
        let bytes = URL_SAFE_NO_PAD.decode(nonce).ok()?;
        let (content, mac) = bytes.split_last_chunk::<MAC>()?;
        let (end, _) = content.split_first_chunk::<8>()?;
        let is_ours = memcmp::eq(&self.mac(content), mac) && content.len() == 8 + RANDOM;
        let end = i64::from_be_bytes(*end);
        let is_now = now.0 < end && end <= now.0 + LIFE_S + 1;
        (is_ours && is_now).then_some(UnixTime(end))
    }

    /// HMAC with SHA-256 (RFC 2104). OpenSSL looks the algorithm up and makes the key anew for each,
    /// which takes thirty times as long.
    fn mac(&self, content: &[u8]) -> [u8; MAC] {
        let hash = |key: &Secret<[u8; BLOCK]>, content: &[u8]| {
            sha256(&Zeroizing::new([key.expose(), content].concat()))
        };
        hash(&self.outer, &hash(&self.inner, content))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_good_for_five_minutes_and_where_it_was_made() {
        let nonces = Nonces::new(&Secret::new(vec![1; 32]));
        let nonce = nonces.make(UnixTime(1000), [7; 16]);
        assert!(nonces.is_good(&nonce, UnixTime(1000)));
        assert!(nonces.is_good(&nonce, UnixTime(1299)));
        assert!(!nonces.is_good(&nonce, UnixTime(1300)));
        assert!(!Nonces::new(&Secret::new(vec![2; 32])).is_good(&nonce, UnixTime(1000)));
    }

    #[test]
    fn what_is_not_a_nonce_is_not_good() {
        let nonces = Nonces::new(&Secret::new(vec![1; 32]));
        let nonce = nonces.make(UnixTime(1000), [7; 16]);
        let mut changed = URL_SAFE_NO_PAD.decode(&nonce).unwrap();
        changed[7] ^= 1;
        for wrong in [
            "",
            "x",
            "AAAA",
            &nonce[1..],
            &URL_SAFE_NO_PAD.encode(changed),
        ] {
            assert!(!nonces.is_good(wrong, UnixTime(1000)), "{wrong}");
        }
    }

    #[test]
    fn the_mac_is_the_one_of_rfc_4231() {
        // Test case 2.
        let nonces = Nonces::new(&Secret::new(b"Jefe".to_vec()));
        let mac = nonces.mac(b"what do ya want for nothing?");
        let hex: String = mac.iter().map(|byte| format!("{byte:02x}")).collect();
        let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(hex, expected);
    }
}
