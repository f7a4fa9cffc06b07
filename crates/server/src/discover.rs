//! Discovery: where everything is, by tenant or by domain.

use std::sync::Arc;

use api::{
    REGISTRATION_AUDIENCE,
    join::{NonceAnswer, NonceStatus, nonce_path},
    oauth::token_path,
};
use axum::{
    Json,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
};
use serde_json::{Value, json};

use crate::{
    access,
    app::App,
    clock::rfc3339,
    error::{Refusal, request_id},
    oauth::is_ours,
    random,
};

/// `GET /{tenant or domain}/Discover`. Our own devices read what `api::device::Discovery` names;
/// the rest is what foreign clients refuse to go on without.
pub(crate) async fn discover(
    State(app): State<Arc<App>>,
    Path(named): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    if !is_ours(&app, &named).await? {
        return Err(unknown_tenant());
    }
    let (url, tenant) = (app.url_for(&headers).await?, &app.tenant);
    let resource = REGISTRATION_AUDIENCE;
    Ok(Json(json!({
        "DiscoveryService": {
            "DiscoveryEndpoint": format!("{url}/{}/Discover", tenant.id),
            "ServiceVersion": "1.9",
        },
        "DeviceRegistrationService": {
            "RegistrationEndpoint":
                format!("{url}/EnrollmentServer/DeviceEnrollmentWebService.svc"),
            "RegistrationResourceId": resource,
            "ServiceVersion": "1.0",
        },
        "AuthenticationService": {
            "OAuth2": {
                "AuthCodeEndpoint": format!("{url}/{}/oauth2/authorize", tenant.id),
                "TokenEndpoint": format!("{url}{}", token_path(tenant.id)),
            },
        },
        "IdentityProviderService": { "Federated": false },
        "DeviceJoinService": {
            "JoinEndpoint": format!("{url}/EnrollmentServer/device/"),
            "JoinResourceId": resource,
            "ServiceVersion": "2.0",
        },
        "KeyProvisioningService": {
            "KeyProvisionEndpoint": format!("{url}{}", api::device::KEY_PATH),
            "KeyProvisionResourceId": resource,
            "ServiceVersion": "1.0",
        },
        "NonceService": {
            "Endpoint": format!("{url}{}", nonce_path(tenant.id)),
            "ResourceId": resource,
            "ServiceVersion": "1.0",
        },
        "TenantInfo": {
            "TenantId": tenant.id,
            "TenantName": tenant.name,
            "DisplayName": tenant.name,
        },
    })))
}

/// `GET /EnrollmentServer/nonce/{tenant}/`: a nonce for whoever bears a registration token.
pub(crate) async fn nonce(
    State(app): State<Arc<App>>,
    Path(named): Path<String>,
    headers: HeaderMap,
) -> Result<Json<NonceAnswer>, Refusal> {
    access::registration(&app, &headers).await?;
    if !is_ours(&app, &named).await? {
        return Err(unknown_tenant());
    }
    let now = app.clock.now();
    Ok(Json(NonceAnswer {
        status: NonceStatus {
            message: "Success".to_owned(),
            trace_id: request_id(),
            time: rfc3339(now),
        },
        value: app.keyring.nonces.make(now, random::bytes()?),
    }))
}

fn unknown_tenant() -> Refusal {
    Refusal::registration(
        StatusCode::NOT_FOUND,
        "bad_request",
        "this server knows no tenant or domain of that name",
    )
}
