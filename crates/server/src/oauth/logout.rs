//! The end of a browser's session (OpenID Connect RP-Initiated Logout 1.0).

use std::sync::Arc;

use axum::{
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode, header::SET_COOKIE},
    response::Response,
};
use serde::Deserialize;

use super::{
    clients,
    respond::{redirect, with_query},
    session, tenant,
};
use crate::{app::App, error::Refusal, pages::message};

/// What a client sends along.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Parameters {
    client_id: Option<String>,
    id_token_hint: Option<String>,
    post_logout_redirect_uri: Option<String>,
    state: Option<String>,
}

/// `GET /{tenant}/oauth2/logout` and `/{tenant}/oauth2/v2.0/logout`. Where the browser goes then is
/// one of the client's registered URIs, or nowhere.
pub(crate) async fn logout(
    State(app): State<Arc<App>>,
    Path(named): Path<String>,
    Query(parameters): Query<Parameters>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    tenant::expect(&app, &named).await?;
    let cookie = session::end(&app, &headers).await?;
    let mut response = match next(&app, &parameters).await? {
        Some(uri) => redirect(&uri),
        None => {
            let words = ("Signed out", "You may close this window.");
            message(StatusCode::OK, words, None)
        }
    };
    response.headers_mut().append(SET_COOKIE, cookie);
    Ok(response)
}

async fn next(app: &App, parameters: &Parameters) -> Result<Option<String>, Refusal> {
    let hinted = match &parameters.id_token_hint {
        Some(hint) => app.tokens().await?.audience_of(hint, app.clock.now()),
        None => None,
    };
    let client = parameters.client_id.clone().or(hinted);
    let (Some(client), Some(uri)) = (client, &parameters.post_logout_redirect_uri) else {
        return Ok(None);
    };
    let client = clients::find(app, &client).await?;
    let is_registered = client.is_some_and(|client| client.post_logout_uris.contains(uri));
    Ok(is_registered.then(|| match parameters.state.as_deref() {
        Some(state) => with_query(uri, &[("state", state)]),
        None => uri.clone(),
    }))
}
