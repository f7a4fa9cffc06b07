//! Requests that are signed with a session key (MS-OAPXBC 3.2.5.1.3): for the tokens of an
//! application, or for the next primary refresh token. What is answered, only the device reads.

use axum::{
    http::header::{CACHE_CONTROL, CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use store::{App as Application, AppKind};
use token::AnswerForm;

use super::{
    clients,
    issue::{self, Order, Refresh},
    primary::{self, Shown},
    refresh_grant,
    scope::{Asked, Version},
    token::Form,
};
use crate::{app::App, device_proof, error::Refusal, random};

/// What the device says.
#[derive(Deserialize)]
struct Claims {
    client_id: String,
    request_nonce: String,
    grant_type: String,
    scope: Option<String>,
    resource: Option<String>,
}

/// The answer to such a request.
pub(crate) async fn redeem(
    app: &App,
    version: Version,
    form: &Form,
    request: &str,
) -> Result<Response, Refusal> {
    let shown = primary::read::<Claims>(app, request).await?;
    let client = clients::expect(app, Some(&shown.claims.client_id)).await?;
    primary::expect_kdf(&client, shown.kdf)?;
    if shown.claims.grant_type != "refresh_token" || client.kind != AppKind::Public {
        return Err(Refusal::malformed(
            "this kind of request is not offered here",
        ));
    }
    let claims = &shown.claims;
    let asked = Asked::read(claims.resource.as_deref(), claims.scope.as_deref())
        .map_err(|_| Refusal::bad("invalid_scope", 28000, "the scope names two resources"))?;
    if !asked.primary {
        issue::audience(&client, &asked)?;
    }
    let nonce = &claims.request_nonce;
    if !device_proof::spend(app, shown.device.id, "session", nonce).await? {
        let sentence = "the nonce is over, or was used already: ask for another";
        return Err(Refusal::grant(70000, sentence));
    }
    if asked.primary {
        let answer = primary::renew(app, &client, &shown).await?;
        return sealed(&client, &shown, &answer);
    }
    // The broker has the application's tokens from now on, and the next ones without a PRT.
    let begun = (random::guid()?, &asked);
    let refresh_token = refresh_grant::begin(app, &client, &shown.subject, begun).await?;
    let order = Order {
        client: &client,
        version,
        asked: &asked,
        nonce: None,
        client_info: form.wants_client_info(),
        refresh: Refresh::Follows(refresh_token),
    };
    let answer = issue::answer(app, &shown.subject, order).await?;
    sealed(&client, &shown, &answer)
}

fn sealed<C>(
    client: &Application,
    shown: &Shown<C>,
    answer: &impl Serialize,
) -> Result<Response, Refusal> {
    let plain = zeroize::Zeroizing::new(serde_json::to_vec(answer)?);
    let form = if client.compat.cbc {
        AnswerForm::LegacyCbc
    } else {
        AnswerForm::Gcm
    };
    let text = token::seal_answer(&shown.key, form, &plain)?;
    let headers = [
        (CONTENT_TYPE, "application/jose"),
        (CACHE_CONTROL, "no-store"),
    ];
    Ok((headers, text).into_response())
}
