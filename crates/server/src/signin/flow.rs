//! What goes with a form before there is an attempt, and into the attempt.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use model::UnixTime;
use serde::{Deserialize, Serialize};
use store::Digest;

use super::{Purpose, over};
use crate::{app::App, error::Refusal};

/// How long the first page waits.
const FORM_S: i64 = 60 * 60;

/// The name under which it is sealed.
const NAME: &str = "sign-in form";

/// What a sign-in is for, and in which browser.
#[derive(Serialize, Deserialize)]
pub(super) struct Flow {
    pub(super) purpose: Purpose,
    /// The browser that the form was shown to.
    browser: Digest,
    expires: i64,
}

impl Flow {
    /// One that begins now.
    pub(super) fn new(purpose: Purpose, browser: Digest, now: UnixTime) -> Self {
        Self {
            purpose,
            browser,
            expires: now.plus(FORM_S).0,
        }
    }

    /// For a form.
    pub(super) fn seal(&self, app: &App) -> Result<String, Refusal> {
        let plain = serde_json::to_vec(self)?;
        let sealed = app.keyring.master.seal(NAME, &plain)?;
        Ok(URL_SAFE_NO_PAD.encode(sealed))
    }

    /// Out of a form.
    pub(super) fn open(app: &App, text: &str, browser: Digest) -> Result<Self, Refusal> {
        let sealed = URL_SAFE_NO_PAD.decode(text).map_err(|_| over())?;
        let plain = app.keyring.master.open(NAME, &sealed).map_err(|_| over())?;
        let flow: Self = serde_json::from_slice(plain.expose())?;
        if flow.browser != browser || flow.expires <= app.clock.now().0 {
            return Err(over());
        }
        Ok(flow)
    }

    /// Out of an attempt.
    pub(super) fn kept(text: &str, browser: Digest) -> Result<Self, Refusal> {
        let flow: Self = serde_json::from_str(text)?;
        if flow.browser != browser {
            return Err(over());
        }
        Ok(flow)
    }

    /// As an attempt keeps it.
    pub(super) fn keep(&self) -> Result<String, Refusal> {
        Ok(serde_json::to_string(self)?)
    }
}
