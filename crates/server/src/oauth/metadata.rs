//! What a client reads before it signs anybody in: the metadata of OpenID Connect Discovery for
//! both generations of endpoints, the keys that tokens are signed with, and the two older documents
//! by which clients of Entra ID find out whose a user name is.
//!
//! There is one issuer for each generation, whatever name of the tenant or of the server a client came
//! by; the endpoints are under the name of the server that it came by (`hosts`).

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, Query, State},
    http::{HeaderMap, Uri},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{scope::Version, tenant};
use crate::{app::App, error::Refusal, hosts};

/// `GET /{tenant}/.well-known/openid-configuration`.
pub(crate) async fn v1(
    State(app): State<Arc<App>>,
    Path(named): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    tenant::expect(&app, &named).await?;
    let url = app.url_for(&headers).await?;
    Ok(Json(document(&app, &url, Version::V1)))
}

/// `GET /{tenant}/v2.0/.well-known/openid-configuration`.
pub(crate) async fn v2(
    State(app): State<Arc<App>>,
    Path(named): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    tenant::expect(&app, &named).await?;
    let url = app.url_for(&headers).await?;
    Ok(Json(document(&app, &url, Version::V2)))
}

fn document(app: &App, url: &str, version: Version) -> Value {
    let base = format!("{url}/{}", app.tenant.id);
    let (oauth, keys) = match version {
        Version::V1 => (format!("{base}/oauth2"), "discovery/keys"),
        Version::V2 => (format!("{base}/oauth2/v2.0"), "discovery/v2.0/keys"),
    };
    let (signing, proving) = (["RS256"], ["RS256", "PS256"]);
    json!({
        "issuer": app.issuer(version),
        "authorization_endpoint": format!("{oauth}/authorize"),
        "token_endpoint": format!("{oauth}/token"),
        "device_authorization_endpoint": format!("{oauth}/devicecode"),
        "userinfo_endpoint": format!("{base}/openid/userinfo"),
        "end_session_endpoint": format!("{oauth}/logout"),
        "jwks_uri": format!("{base}/{keys}"),
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "response_types_supported": ["code"],
        "response_modes_supported": ["query", "fragment", "form_post"],
        "grant_types_supported": [
            "authorization_code",
            "refresh_token",
            "client_credentials",
            "urn:ietf:params:oauth:grant-type:device_code",
            "urn:ietf:params:oauth:grant-type:jwt-bearer",
        ],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": signing,
        "token_endpoint_auth_methods_supported": ["private_key_jwt", "none"],
        "token_endpoint_auth_signing_alg_values_supported": proving,
        "code_challenge_methods_supported": ["S256"],
        "claims_supported": [
            "iss", "sub", "aud", "exp", "iat", "nbf", "auth_time", "nonce", "at_hash", "amr", "oid",
            "tid", "upn", "preferred_username", "name", "email", "ver",
        ],
        "claims_parameter_supported": true,
        "request_parameter_supported": false,
        "request_uri_parameter_supported": false,
        "authorization_response_iss_parameter_supported": true,
        "capabilities": ["kdf_ver2"],
    })
}

/// `GET /{tenant}/discovery/keys`.
pub(crate) async fn keys(
    State(app): State<Arc<App>>,
    Path(named): Path<String>,
) -> Result<Json<token::Jwks>, Refusal> {
    tenant::expect(&app, &named).await?;
    Ok(Json(app.tokens().await?.key_set(app.clock.now())))
}

/// What of the query of `discovery/instance` counts.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Instance {
    authorization_endpoint: String,
}

/// `GET /{tenant}/discovery/instance`: whether an authority is one to trust. The only one that
/// this server speaks for is itself, under each of its names. What a client keeps it keeps under one
/// of them, so that it finds it by every other.
pub(crate) async fn instance(
    State(app): State<Arc<App>>,
    Path(named): Path<String>,
    Query(query): Query<Instance>,
) -> Result<Json<Value>, Refusal> {
    tenant::expect(&app, &named).await?;
    let asked: Option<Uri> = query.authorization_endpoint.parse().ok();
    let url = match asked.as_ref().and_then(Uri::authority) {
        Some(authority) => app.url_named(authority.as_str()).await?,
        None => None,
    };
    let Some(url) = url else {
        let sentence = "this server vouches for no authority but itself";
        return Err(Refusal::invalid_request(50049, sentence));
    };
    let all = app.urls().await?;
    let all: Vec<_> = all.iter().map(|url| hosts::authority(url)).collect();
    let base = format!("{url}/{}", app.tenant.id);
    Ok(Json(json!({
        "tenant_discovery_endpoint": format!("{base}/v2.0/.well-known/openid-configuration"),
        "api-version": "1.1",
        "metadata": [{
            "preferred_network": hosts::authority(&url),
            "preferred_cache": hosts::authority(&app.url),
            "aliases": all,
        }],
    })))
}

/// `GET /{tenant}/UserRealm/{upn}`: where a user's password is checked. The answer is about the
/// domain, never about whether somebody of that name exists.
pub(crate) async fn user_realm(
    State(app): State<Arc<App>>,
    Path((named, upn)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    tenant::expect(&app, &named).await?;
    let suffix = upn.rsplit_once('@').map_or("", |(_, suffix)| suffix);
    let url = app.url_for(&headers).await?;
    let host = hosts::authority(&url);
    Ok(Json(json!({
        "ver": "1.0",
        "account_type": "Managed",
        "domain_name": suffix.to_lowercase(),
        "cloud_instance_name": host,
        "cloud_audience_urn": format!("urn:federation:{host}"),
    })))
}
