//! Texts that are told once and typed elsewhere: passes and codes.
//!
//! What is kept of one is a MAC under a key that the store does not have: it is short enough to be
//! typed, and a plain digest of it could be guessed at leisure.

use model::Guid;
use openssl::{hash::MessageDigest, pkey::PKey, sign::Signer};
use store::Digest;

use crate::{app::App, error::Refusal, random};

/// Letters and digits that are not taken for one another, and spell nothing.
const ALPHABET: &[u8; 27] = b"23456789BCDFGHJKMNPQRTVWXYZ";

/// Letters of a text, in groups: 57 bits.
const LETTERS: usize = 12;
const GROUP: usize = 4;

/// The longest text that is read.
const MAX_TYPED: usize = 64;

/// A new one.
pub(crate) fn make() -> Result<String, Refusal> {
    let mut letters = String::new();
    let most = u8::try_from(256 / ALPHABET.len() * ALPHABET.len()).unwrap_or(u8::MAX);
    let mut drawn = 0;
    while drawn < LETTERS {
        // What is at or above `most` would favour some letters.
        for byte in random::bytes::<16>()?
            .into_iter()
            .filter(|byte| *byte < most)
        {
            if drawn < LETTERS {
                let letter = ALPHABET.get(usize::from(byte) % ALPHABET.len());
                if drawn > 0 && drawn % GROUP == 0 {
                    letters.push('-');
                }
                letters.extend(letter.map(|letter| char::from(*letter)));
                drawn += 1;
            }
        }
    }
    Ok(letters)
}

/// What is kept of one for a purpose and for a user or device, in whatever case and grouping it is
/// typed.
pub(crate) fn digest(app: &App, purpose: &str, of: Guid, typed: &str) -> Result<Digest, Refusal> {
    let letters: Vec<u8> = typed
        .bytes()
        .filter(u8::is_ascii_alphanumeric)
        .map(|letter| letter.to_ascii_uppercase())
        .take(MAX_TYPED)
        .collect();
    let key = PKey::hmac(app.keyring.master.derive(purpose).expose())?;
    let content = [of.to_string().as_bytes(), &[0], &letters].concat();
    let mac = Signer::new(MessageDigest::sha256(), &key)?.sign_oneshot_to_vec(&content)?;
    let bug = |_| anyhow::anyhow!("a MAC by SHA-256 has 32 bytes: a bug");
    Ok(mac.try_into().map_err(bug)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_twelve_letters_in_groups_that_are_not_mistaken() {
        for _ in 0..50 {
            let text = make().unwrap();
            let groups: Vec<&str> = text.split('-').collect();
            assert_eq!(
                groups.iter().map(|g| g.len()).collect::<Vec<_>>(),
                [4, 4, 4]
            );
            let letters = groups.concat();
            assert!(
                letters.bytes().all(|letter| ALPHABET.contains(&letter)),
                "{text}"
            );
        }
    }
}
