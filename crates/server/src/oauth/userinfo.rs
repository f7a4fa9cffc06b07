//! Who a token is about (OpenID Connect Core 5.3).

use std::sync::Arc;

use api::{GRAPH_AUDIENCE, USERINFO_AUDIENCE};
use axum::{
    Json,
    extract::{Path, State},
    http::HeaderMap,
};
use serde_json::{Value, json};

use super::tenant;
use crate::{access, app::App, error::Refusal};

/// `GET` and `POST /{tenant}/openid/userinfo`.
pub(crate) async fn userinfo(
    State(app): State<Arc<App>>,
    Path(named): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    tenant::expect(&app, &named).await?;
    let audiences = [USERINFO_AUDIENCE, GRAPH_AUDIENCE];
    let (user, _) = access::user(&app, &headers, &audiences).await?;
    let mut told = json!({
        "sub": user.guid,
        "oid": user.guid,
        "name": user.display_name,
        "preferred_username": user.upn,
        "upn": user.upn,
        "tid": app.tenant.id,
    });
    if let (Some(mail), Some(members)) = (user.mail, told.as_object_mut()) {
        members.insert("email".to_owned(), json!(mail));
    }
    Ok(Json(told))
}
