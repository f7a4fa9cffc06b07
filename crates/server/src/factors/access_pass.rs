//! Temporary Access Passes: an administrator's word that somebody is who they say, for a while.
//!
//! A pass stands for the password and the second factor at once, so that somebody who has neither
//! can sign in and register their own. What is kept of it is a MAC under a key that the store does not
//! have: a pass is short enough to be typed, and a plain digest of it could be guessed at leisure.

use axum::http::StatusCode;
use model::{Guid, UnixTime};
use openssl::{hash::MessageDigest, pkey::PKey, sign::Signer};
use store::{AccessPass, Audit, Digest};

use super::Origin;
use crate::{app::App, error::Refusal, random};

/// Names the tries at passes.
const PASS: &str = "access pass";

/// Letters and digits that are not taken for one another, and spell nothing.
const ALPHABET: &[u8; 27] = b"23456789BCDFGHJKMNPQRTVWXYZ";

/// Letters of a pass, in groups: 57 bits.
const LETTERS: usize = 12;
const GROUP: usize = 4;

/// The longest text that is read as a pass.
const MAX_TYPED: usize = 64;

/// How long a pass may live.
const LIFE_S: std::ops::RangeInclusive<i64> = 10 * 60..=30 * 86_400;

/// What an administrator wants.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    /// From when on it is good.
    pub(crate) starts: UnixTime,
    /// For how long.
    pub(crate) life_s: i64,
    /// For one sign-in alone.
    pub(crate) once: bool,
}

/// Gives a user a pass, in place of an earlier one; its text is told once.
pub(crate) async fn issue(
    app: &App,
    user: Guid,
    wanted: Wanted,
    audit: Audit,
) -> Result<String, Refusal> {
    if !LIFE_S.contains(&wanted.life_s) {
        let sentence = "a pass is good for 10 minutes at least, and for 30 days at most";
        let status = StatusCode::BAD_REQUEST;
        return Err(Refusal::own(status, "bad_request", sentence));
    }
    let text = make()?;
    let pass = AccessPass {
        digest: digest(app, user, &text)?,
        starts: wanted.starts,
        expires: wanted.starts.plus(wanted.life_s),
        once: wanted.once,
        used: None,
    };
    let tenant = app.tenant.id;
    app.store.set_access_pass(tenant, user, pass, audit).await?;
    // Whoever was shut out by wrong guesses at the last one begins anew.
    super::forget(app, PASS, &user.to_string()).await?;
    Ok(text)
}

/// Uses a pass of a user; false where it is not its, not good now, or used. A name that nobody has
/// goes the same way.
pub(crate) async fn redeem(
    app: &App,
    (name, user): (&str, Option<Guid>),
    typed: &str,
    origin: &Origin,
) -> Result<bool, Refusal> {
    let subject = user.map_or_else(|| name.to_owned(), |user| user.to_string());
    let counted = super::count(app, PASS, &subject, origin).await?;
    let account = user.unwrap_or(app.tenant.id);
    let digest = digest(app, account, typed)?;
    let now = app.clock.now();
    let is_right = app
        .store
        .use_access_pass(app.tenant.id, account, digest, now)
        .await?;
    if is_right && user.is_some() {
        counted.was_right(app, origin).await?;
        super::forget(app, PASS, &subject).await?;
        let row = super::audit(app, account, "access_pass.use", name.to_owned());
        app.store.add_audit(app.tenant.id, row).await?;
    }
    Ok(is_right && user.is_some())
}

fn make() -> Result<String, Refusal> {
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

/// What is kept of a pass, in whatever case and grouping it is typed.
fn digest(app: &App, user: Guid, typed: &str) -> Result<Digest, Refusal> {
    let letters: Vec<u8> = typed
        .bytes()
        .filter(u8::is_ascii_alphanumeric)
        .map(|letter| letter.to_ascii_uppercase())
        .take(MAX_TYPED)
        .collect();
    let key = PKey::hmac(app.keyring.master.derive("access pass").expose())?;
    let content = [user.to_string().as_bytes(), &[0], &letters].concat();
    let mac = Signer::new(MessageDigest::sha256(), &key)?.sign_oneshot_to_vec(&content)?;
    let bug = |_| anyhow::anyhow!("a MAC by SHA-256 has 32 bytes: a bug");
    Ok(mac.try_into().map_err(bug)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pass_is_twelve_letters_in_groups_that_are_not_mistaken() {
        for _ in 0..50 {
            let pass = make().unwrap();
            let groups: Vec<&str> = pass.split('-').collect();
            assert_eq!(
                groups.iter().map(|g| g.len()).collect::<Vec<_>>(),
                [4, 4, 4]
            );
            let letters = groups.concat();
            assert!(
                letters.bytes().all(|letter| ALPHABET.contains(&letter)),
                "{pass}"
            );
        }
    }
}
