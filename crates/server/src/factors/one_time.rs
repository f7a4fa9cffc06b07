//! One-time passwords of an authenticator app: checked, and set up by their user.
//!
//! A generator that its user sets up proves nothing before it has shown its first password, and until
//! then replaces nothing: its secret travels in the form, sealed, and bound to the user.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use model::{Guid, Secret, UnixTime};
use protocol::factor::Answer;
use store::Totp;
use zeroize::Zeroizing;

use super::{Origin, audit};
use crate::{app::App, error::Refusal, random, totp};

/// Names the tries at one-time passwords.
pub(crate) const ONE_TIME_PASSWORD: &str = "otp";

/// How long a generator may wait for its first password.
const SETUP_S: i64 = 15 * 60;

/// A generator that is being set up.
pub(crate) struct Setup {
    /// The secret as apps take it.
    pub(crate) secret: Zeroizing<String>,
    /// The same as a URI, for a QR code.
    pub(crate) uri: Zeroizing<String>,
    /// What goes with the form.
    pub(crate) sealed: String,
}

/// What goes with the form: eight bytes of its end, and the secret.
struct Pending {
    secret: Zeroizing<Vec<u8>>,
    expires: i64,
}

/// The name under which a user's generator is sealed.
pub(crate) fn sealed_name(user: Guid) -> String {
    format!("totp/{user}")
}

fn pending_name(user: Guid) -> String {
    format!("totp/{user}/pending")
}

/// The generator's URI (Key Uri Format of Google Authenticator).
pub(crate) fn uri(upn: &str, secret: &str) -> String {
    format!("otpauth://totp/Latchkey:{upn}?secret={secret}&issuer=Latchkey")
}

/// Checks a password of a user's generator. Right comes with the time step, which is not spent yet:
/// whoever takes the answer spends it together with what follows from it.
pub(crate) async fn check(
    app: &App,
    user: Guid,
    typed: &Secret<String>,
    origin: &Origin,
) -> Result<(Answer, Option<u64>), Refusal> {
    let Some(factor) = app.store.totp(app.tenant.id, user).await? else {
        return Ok((Answer::Unreachable, None));
    };
    let counted = super::count(app, ONE_TIME_PASSWORD, &user.to_string(), origin).await?;
    let secret = app
        .keyring
        .master
        .open(&sealed_name(user), &factor.sealed)?;
    let digits = digits(typed);
    let found = totp::step_of(secret.expose(), &digits, app.clock.now(), 0)?;
    match found {
        None => Ok((Answer::Wrong, None)),
        Some(step) if step <= factor.last_step => Ok((Answer::Spent, None)),
        Some(step) => {
            counted.was_right(app, origin).await?;
            Ok((Answer::Right, Some(step)))
        }
    }
}

/// Forgets the tries of a user whose password was right, and spent.
pub(crate) async fn forget(app: &App, user: Guid) -> Result<(), Refusal> {
    super::forget(app, ONE_TIME_PASSWORD, &user.to_string()).await
}

/// What was typed, without the blank in the middle that apps show.
fn digits(typed: &Secret<String>) -> Zeroizing<String> {
    let typed = typed.expose().chars();
    Zeroizing::new(typed.filter(|character| *character != ' ').collect())
}

/// Begins to set up a generator.
pub(crate) fn set_up(app: &App, user: Guid, upn: &str) -> Result<Setup, Refusal> {
    let secret = Zeroizing::new(random::bytes::<20>()?.to_vec());
    let text = Zeroizing::new(totp::base32(&secret));
    let end = app.clock.now().plus(SETUP_S).0.to_be_bytes();
    let plain = Zeroizing::new([&end[..], &secret].concat());
    let sealed = app.keyring.master.seal(&pending_name(user), &plain)?;
    Ok(Setup {
        uri: Zeroizing::new(uri(upn, &text)),
        secret: text,
        sealed: URL_SAFE_NO_PAD.encode(sealed),
    })
}

/// The same setup again, out of its form; `None` where its time is over, or it is another user's.
pub(crate) fn resume(app: &App, user: Guid, upn: &str, sealed: &str) -> Option<Setup> {
    let pending = open(app, user, sealed, app.clock.now())?;
    let text = Zeroizing::new(totp::base32(&pending.secret));
    Some(Setup {
        uri: Zeroizing::new(uri(upn, &text)),
        secret: text,
        sealed: sealed.to_owned(),
    })
}

fn open(app: &App, user: Guid, sealed: &str, now: UnixTime) -> Option<Pending> {
    let sealed = URL_SAFE_NO_PAD.decode(sealed).ok()?;
    let plain = app.keyring.master.open(&pending_name(user), &sealed).ok()?;
    let (end, secret) = plain.expose().split_first_chunk::<8>()?;
    let pending = Pending {
        secret: Zeroizing::new(secret.to_vec()),
        expires: i64::from_be_bytes(*end),
    };
    (now.0 < pending.expires).then_some(pending)
}

/// Takes the generator into use once it has shown its first password; false where that is wrong.
pub(crate) async fn confirm(
    app: &App,
    user: Guid,
    (sealed, typed): (&str, &Secret<String>),
    origin: &Origin,
) -> Result<bool, Refusal> {
    let now = app.clock.now();
    let Some(pending) = open(app, user, sealed, now) else {
        return Ok(false);
    };
    let counted = super::count(app, ONE_TIME_PASSWORD, &user.to_string(), origin).await?;
    let Some(step) = totp::step_of(&pending.secret, &digits(typed), now, 0)? else {
        return Ok(false);
    };
    let generator = Totp {
        sealed: app
            .keyring
            .master
            .seal(&sealed_name(user), &pending.secret)?,
        last_step: step,
        name: "Authenticator app".to_owned(),
        created: now,
        confirmed: true,
    };
    let row = audit(app, user, "factor.add", "totp".to_owned());
    app.store
        .set_totp(app.tenant.id, user, generator, row)
        .await?;
    counted.was_right(app, origin).await?;
    forget(app, user).await?;
    Ok(true)
}
