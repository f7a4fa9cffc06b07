//! Discovery: where everything is, by tenant or by domain.

use std::sync::Arc;

use api::{REGISTRATION_AUDIENCE, oauth::token_path};
use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
};
use serde_json::{Value, json};

use crate::{app::App, error::Refusal, oauth::is_ours};

/// `GET /{tenant or domain}/Discover`. Our own devices read what `api::device::Discovery` names;
/// the rest is what foreign clients refuse to go on without.
pub(crate) async fn discover(
    State(app): State<Arc<App>>,
    Path(named): Path<String>,
) -> Result<Json<Value>, Refusal> {
    if !is_ours(&app, &named).await? {
        return Err(Refusal::registration(
            StatusCode::NOT_FOUND,
            "bad_request",
            "this server knows no tenant or domain of that name",
        ));
    }
    let (url, tenant) = (&app.url, &app.tenant);
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
        "TenantInfo": {
            "TenantId": tenant.id,
            "TenantName": tenant.name,
            "DisplayName": tenant.name,
        },
    })))
}
