//! Who is signed in in a browser, and that a form was sent by a page of ours.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, header::SET_COOKIE},
    response::Response,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use openssl::{hash::MessageDigest, memcmp, pkey::PKey, sign::Signer};
use serde::{Deserialize, de::DeserializeOwned};

use super::{message, told};
use crate::{
    app::App,
    error::Refusal,
    oauth::session::{self, Open},
};

/// Somebody who is signed in.
pub(crate) struct Visitor {
    /// The session.
    pub(crate) open: Open,
    /// The user name, for the page.
    pub(crate) upn: String,
    /// What every form of the page carries.
    pub(crate) csrf: String,
}

impl Visitor {
    /// Of a request; none where nobody is signed in, or may be any more.
    pub(crate) async fn of(app: &App, headers: &HeaderMap) -> Result<Option<Self>, Refusal> {
        let Some(open) = session::of(app, headers).await? else {
            return Ok(None);
        };
        // A MAC over the session: a page of somebody else's can neither read nor make it.
        let key = PKey::hmac(app.keyring.master.derive("csrf").expose())?;
        let mac = Signer::new(MessageDigest::sha256(), &key)?.sign_oneshot_to_vec(&open.id)?;
        Ok(Some(Self {
            upn: open.subject.user.upn.clone(),
            csrf: URL_SAFE_NO_PAD.encode(mac),
            open,
        }))
    }

    /// The fields of a form; refused where no page of this session sent it.
    pub(crate) fn form<F: DeserializeOwned>(&self, body: &[u8]) -> Result<F, Refusal> {
        let malformed = |_| Refusal::malformed("the request is not a form");
        let Own { csrf } = serde_urlencoded::from_bytes(body).map_err(malformed)?;
        if csrf.len() == self.csrf.len() && memcmp::eq(csrf.as_bytes(), self.csrf.as_bytes()) {
            return serde_urlencoded::from_bytes(body).map_err(malformed);
        }
        let sentence =
            "the form was sent by another page: go back, load the page again, and repeat";
        Err(Refusal::own(StatusCode::FORBIDDEN, "forbidden", sentence))
    }
}

/// `POST /signout`: ends the session of who sends its own form.
pub(crate) async fn sign_out(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let outcome = async {
        if let Some(visitor) = Visitor::of(&app, &headers).await? {
            let Own { .. } = visitor.form(&body)?;
        }
        let cookie = session::end(&app, &headers).await?;
        let words = ("Signed out", "You may close this window.");
        let link = Some(("/security", "Sign in again"));
        let mut response = message(StatusCode::OK, words, link);
        response.headers_mut().append(SET_COOKIE, cookie);
        Ok(response)
    };
    outcome
        .await
        .unwrap_or_else(|refusal| told(&headers, refusal))
}

/// What every form carries.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Own {
    csrf: String,
}
