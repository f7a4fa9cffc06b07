//! Sign-in on another device (RFC 8628): a machine without a browser shows a code, and a person
//! types it where they can sign in.
//!
//! Whoever makes somebody type a code gets that person's tokens, so that it is offered only where
//! the tenant's setting and the client's registration both say so, and the person is told which
//! client asks before they agree.

use std::sync::Arc;

use api::oauth::{DeviceCodeAnswer, TokenAnswer};
use axum::{
    Json,
    body::Bytes,
    extract::{Path, State},
    http::HeaderMap,
};
use model::sha256;
use serde::Deserialize;
use store::{App as Application, DeviceCode, DeviceCodeState, Poll};

use super::{
    client_proof,
    issue::{self, Order, Refresh},
    scope::{Asked, Version},
    subject::Kept,
    tenant,
    token::{Form, needed},
    wanted::Wanted,
};
use crate::{app::App, error::Refusal, random};

const LIFE_S: i64 = 15 * 60;
const INTERVAL_S: i64 = 5;

/// Letters that are not taken for one another, and spell nothing.
const ALPHABET: [char; 20] = [
    'B', 'C', 'D', 'F', 'G', 'H', 'J', 'K', 'L', 'M', 'N', 'P', 'Q', 'R', 'S', 'T', 'V', 'W', 'X',
    'Z',
];

/// How many of them: 20^9 codes, of which a guesser sees few before they expire.
const LETTERS: usize = 9;

/// What says which factors the client wants.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Wants {
    amr_values: Option<String>,
    claims: Option<String>,
}

/// `POST /{tenant}/oauth2/devicecode`.
pub(crate) async fn v1(
    State(app): State<Arc<App>>,
    Path(named): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<DeviceCodeAnswer>, Refusal> {
    begin(&app, &named, &headers, &body).await
}

/// `POST /{tenant}/oauth2/v2.0/devicecode`.
pub(crate) async fn v2(
    State(app): State<Arc<App>>,
    Path(named): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<DeviceCodeAnswer>, Refusal> {
    begin(&app, &named, &headers, &body).await
}

async fn begin(
    app: &App,
    named: &str,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Json<DeviceCodeAnswer>, Refusal> {
    tenant::expect(app, named).await?;
    let url = app.url_for(headers).await?;
    let not_a_form = |_| Refusal::malformed("the request is not a form");
    let form: Form = serde_urlencoded::from_bytes(body).map_err(not_a_form)?;
    let wants: Wants = serde_urlencoded::from_bytes(body).map_err(not_a_form)?;
    let client = client_proof::expect(app, &form).await?;
    expect_open(app, &client).await?;
    let asked = form.asked()?.unwrap_or_default();
    issue::audience(&client, &asked)?;
    let wanted = Wanted::read(wants.amr_values.as_deref(), wants.claims.as_deref(), None)
        .map_err(|why| Refusal::malformed(why.0))?;
    let now = app.clock.now();
    let (device_code, digest) = random::bearer_text()?;
    let user_code = user_code()?;
    let code = DeviceCode {
        digest,
        user_code: user_code.clone(),
        client: client.client_id,
        resource: asked.audience.clone().unwrap_or_default(),
        scope: asked.to_scope(),
        wanted: wanted.to_methods(),
        state: DeviceCodeState::Pending,
        user: None,
        methods: Vec::new(),
        auth_time: None,
        mfa_time: None,
        created: now,
        expires: now.plus(LIFE_S),
        last_poll: None,
    };
    if !app
        .store
        .begin_device_code(app.tenant.id, code, now)
        .await?
    {
        return Err(anyhow::anyhow!("a user code was drawn twice").into());
    }
    let place = format!("{url}/common/oauth2/deviceauth");
    Ok(Json(DeviceCodeAnswer {
        device_code,
        message: format!(
            "To sign in, use a web browser to open the page {place} and enter the code {user_code} \
             to authenticate."
        ),
        user_code,
        verification_uri: place.clone(),
        verification_url: place,
        expires_in: LIFE_S,
        interval: INTERVAL_S,
    }))
}

async fn expect_open(app: &App, client: &Application) -> Result<(), Refusal> {
    let settings = app.store.settings(app.tenant.id).await?;
    if client.compat.device_code && settings.allow_device_code {
        return Ok(());
    }
    let sentence = "sign-in on another device is not offered to this client";
    Err(Refusal::bad("unauthorized_client", 7_000_218, sentence))
}

fn user_code() -> anyhow::Result<String> {
    let mut letters = String::new();
    while letters.len() < LETTERS {
        for byte in random::bytes::<16>()? {
            // 240 is the greatest multiple of 20 in a byte: what is above would favour some letters.
            let letter = ALPHABET.get(usize::from(byte) % ALPHABET.len());
            if byte < 240 && letters.len() < LETTERS {
                letters.extend(letter);
            }
        }
    }
    Ok(letters)
}

/// The code as it was made, of what a person typed.
pub(crate) fn as_typed(text: &str) -> String {
    text.chars()
        .filter(char::is_ascii_alphanumeric)
        .take(LETTERS + 1)
        .map(|letter| letter.to_ascii_uppercase())
        .collect()
}

/// The tokens, once somebody has signed in.
pub(crate) async fn redeem(
    app: &App,
    version: Version,
    form: &Form,
    client: &Application,
) -> Result<TokenAnswer, Refusal> {
    expect_open(app, client).await?;
    // Some clients call it `code`.
    let shown =
        needed(&form.device_code, "device_code").or_else(|_| needed(&form.code, "device_code"))?;
    let now = app.clock.now();
    let polled = app
        .store
        .poll_device_code(app.tenant.id, sha256(shown.as_bytes()), INTERVAL_S, now)
        .await?;
    let code = match polled {
        Poll::Approved(code) if code.client == client.client_id => code,
        Poll::Pending => {
            let sentence = "nobody has signed in with the code yet";
            return Err(Refusal::bad("authorization_pending", 70016, sentence));
        }
        Poll::TooSoon => {
            let sentence = "nobody has signed in with the code yet: ask less often";
            return Err(Refusal::bad("slow_down", 70016, sentence));
        }
        Poll::Denied => {
            let sentence = "the sign-in was refused";
            return Err(Refusal::bad("authorization_declined", 70018, sentence));
        }
        Poll::Approved(_) | Poll::Over => {
            let sentence = "the code is over, or was used already: begin again";
            return Err(Refusal::bad("expired_token", 70020, sentence));
        }
    };
    let bug = || anyhow::anyhow!("an approved code names nobody: a bug");
    let (user, auth_time) = code.user.zip(code.auth_time).ok_or_else(bug)?;
    let kept = Kept {
        user,
        device: None,
        methods: code.methods,
        auth_time,
        mfa_time: code.mfa_time,
    };
    let subject = kept.stand(app).await?;
    let asked = Asked::read(Some(&code.resource), Some(&code.scope))
        .map_err(|_| anyhow::anyhow!("a stored scope names two resources: a bug"))?;
    let order = Order {
        client,
        version,
        asked: &asked,
        nonce: None,
        client_info: form.wants_client_info(),
        refresh: Refresh::Begins(random::guid()?),
    };
    issue::answer(app, &subject, order).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_read_as_it_was_made_however_it_is_typed() {
        let code = user_code().unwrap();
        assert_eq!(code.len(), LETTERS);
        assert!(code.chars().all(|letter| ALPHABET.contains(&letter)));
        let (first, rest) = code.split_at(4);
        let typed = format!(" {}-{} ", first.to_lowercase(), rest);
        assert_eq!(as_typed(&typed), code);
    }
}
