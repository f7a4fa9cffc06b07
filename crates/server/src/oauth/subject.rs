//! Who signed in, on which device, how and when: what every code, session and refresh token keeps,
//! and what must still be true whenever one of them is shown.
//!
//! Nothing that was issued outlives what it stands on: an account that was disabled or whose tokens
//! were revoked, and a device that was switched off, are refused within the same request.

use model::{Guid, UnixTime};
use store::{Code, Device, RefreshFamily, Session, User};

use super::wanted::FRESH_S;
use crate::{accounts::may_be_used, app::App, error::Refusal, facts::Facts, sign_in_log};

/// A sign-in as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) user: Guid,
    pub(crate) device: Option<Guid>,
    pub(crate) methods: Vec<String>,
    pub(crate) auth_time: UnixTime,
    pub(crate) mfa_time: Option<UnixTime>,
}

/// A sign-in that stands: its account and its device may be used now.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    pub(crate) user: User,
    pub(crate) device: Option<Device>,
    pub(crate) methods: Vec<String>,
    pub(crate) auth_time: UnixTime,
    pub(crate) mfa_time: Option<UnixTime>,
}

impl Kept {
    /// The sign-in, where it stands.
    pub(crate) async fn stand(self, app: &App) -> Result<Subject, Refusal> {
        self.stand_by(app, &Facts::NONE).await
    }

    /// The same by what is known for the request at hand.
    pub(crate) async fn stand_by(self, app: &App, facts: &Facts) -> Result<Subject, Refusal> {
        let user = facts.user(app, self.user).await?;
        let user = user
            .filter(|user| may_be_used(user, app.clock.now()))
            .ok_or_else(|| Refusal::grant(50057, "the account is disabled"))?;
        if self.auth_time < user.tokens_valid_from {
            let sentence = "what was issued to this account was revoked: sign in again";
            return Err(Refusal::grant(50173, sentence));
        }
        let device = match self.device {
            None => None,
            Some(id) => Some(
                facts
                    .device(app, id)
                    .await?
                    .ok_or_else(|| Refusal::grant(50155, "the device is not accepted any more"))?,
            ),
        };
        sign_in_log::note_who(user.guid, self.device);
        Ok(Subject {
            user,
            device,
            methods: self.methods,
            auth_time: self.auth_time,
            mfa_time: self.mfa_time,
        })
    }
}

impl Subject {
    /// As it is kept.
    pub(crate) fn keep(&self) -> Kept {
        Kept {
            user: self.user.guid,
            device: self.device.as_ref().map(|device| device.id),
            methods: self.methods.clone(),
            auth_time: self.auth_time,
            mfa_time: self.mfa_time,
        }
    }

    /// `amr`. `ngcmfa` says that both factors were given a moment ago, and is true for as long; a
    /// key that was registered by it does not vouch for the next one.
    pub(crate) fn amr(&self, now: UnixTime) -> Vec<String> {
        let is_fresh = self.mfa_time.is_some_and(|time| now.0 - time.0 <= FRESH_S);
        let by_key = self.methods.iter().any(|method| method == KEY);
        let mut amr = self.methods.clone();
        amr.retain(|method| method != NGCMFA);
        if is_fresh && !by_key {
            amr.push(NGCMFA.to_owned());
        }
        amr
    }
}

/// `amr` of a sign-in by a user's key (RFC 8176: an RSA key).
pub(crate) const KEY: &str = "rsa";

const NGCMFA: &str = "ngcmfa";

impl From<&Code> for Kept {
    fn from(code: &Code) -> Self {
        Self {
            user: code.user,
            device: code.device,
            methods: code.methods.clone(),
            auth_time: code.auth_time,
            mfa_time: code.mfa_time,
        }
    }
}

impl From<&RefreshFamily> for Kept {
    fn from(family: &RefreshFamily) -> Self {
        Self {
            user: family.user,
            device: family.device,
            methods: family.methods.clone(),
            auth_time: family.auth_time,
            mfa_time: family.mfa_time,
        }
    }
}

impl From<&Session> for Kept {
    fn from(session: &Session) -> Self {
        Self {
            user: session.user,
            device: session.device,
            methods: session.methods.clone(),
            auth_time: session.auth_time,
            mfa_time: session.mfa_time,
        }
    }
}
