//! The registrations of applications, for the administrator.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::{Path, State},
    http::{StatusCode, Uri},
    routing::{get, put},
};
use serde::{Deserialize, Serialize};
use store::{App as Application, AppKind, Compat};
use token::Jwks;

use super::{
    caller::{Caller, needs},
    find::unknown,
    listing::Rows,
    malformed,
};
use crate::{
    app::App,
    error::{Refusal, read_json},
    oauth::clients,
    roles::Action,
    routing::Paths,
};

const MAX_NAME: usize = 256;
const MAX_TEXT: usize = 2048;
const MAX_LIST: usize = 100;

/// A registration, as it is sent and shown.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Registration {
    #[serde(default, skip_deserializing)]
    client_id: String,
    name: String,
    /// It proves itself with a key of `jwks`.
    #[serde(default)]
    confidential: bool,
    #[serde(default)]
    redirect_uris: Vec<String>,
    #[serde(default)]
    post_logout_uris: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    jwks: Option<serde_json::Value>,
    #[serde(default)]
    resources: Vec<String>,
    #[serde(default)]
    compat: WeakerForms,
    #[serde(default = "yes")]
    enabled: bool,
}

/// Weaker forms that foreign clients need.
#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct WeakerForms {
    ropc: bool,
    device_code: bool,
    kdf1: bool,
    cbc: bool,
    no_pkce: bool,
}

fn yes() -> bool {
    true
}

pub(super) fn routes() -> Paths {
    Paths::new()
        .route("/apps", needs(Action::ReadTenant, get(list)))
        .route(
            "/apps/{client_id}",
            needs(Action::ReadTenant, get(show))
                .merge(needs(Action::ManageTenant, put(register).delete(forget))),
        )
}

/// Every client: those that are registered, then those that are known without it.
async fn list(State(app): State<Arc<App>>, caller: Caller) -> Result<Rows, Refusal> {
    caller.expect_whole(Action::ReadTenant)?;
    let registered = app.store.apps(app.tenant.id).await?;
    let known: Vec<Application> = clients::built_in()
        .filter(|known| {
            !registered
                .iter()
                .any(|app| app.client_id == known.client_id)
        })
        .collect();
    let all = registered.into_iter().chain(known);
    let told = all.map(|app| serde_json::to_value(Registration::told(app)));
    Ok(Rows::all(told.collect::<Result<Vec<_>, _>>()?))
}

async fn show(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(client_id): Path<String>,
) -> Result<Json<Registration>, Refusal> {
    caller.expect_whole(Action::ReadTenant)?;
    let registered = app.store.app(app.tenant.id, &client_id).await?;
    let known = || clients::built_in().find(|known| known.client_id == client_id);
    let found = registered.or_else(known);
    let found = found.ok_or_else(|| unknown("there is no application of this id"))?;
    Ok(Json(Registration::told(found)))
}

async fn register(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(client_id): Path<String>,
    body: Bytes,
) -> Result<Json<Registration>, Refusal> {
    caller.expect_whole(Action::ManageTenant)?;
    let registration: Registration = read_json(&body)?;
    let application = registration.checked(client_id)?;
    let audit = caller.audit(&app, "app.put", &application.client_id);
    app.store
        .put_app(app.tenant.id, application.clone(), audit)
        .await?;
    Ok(Json(Registration::told(application)))
}

async fn forget(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(client_id): Path<String>,
) -> Result<StatusCode, Refusal> {
    caller.expect_whole(Action::ManageTenant)?;
    let audit = caller.audit(&app, "app.delete", &client_id);
    if app
        .store
        .delete_app(app.tenant.id, &client_id, audit)
        .await?
    {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(unknown("no application is registered under this id"))
}

impl Registration {
    fn told(app: Application) -> Self {
        Self {
            client_id: app.client_id,
            name: app.name,
            confidential: app.kind == AppKind::Confidential,
            redirect_uris: app.redirect_uris,
            post_logout_uris: app.post_logout_uris,
            jwks: app.jwks.and_then(|text| serde_json::from_str(&text).ok()),
            resources: app.resources,
            compat: WeakerForms {
                ropc: app.compat.ropc,
                device_code: app.compat.device_code,
                kdf1: app.compat.kdf1,
                cbc: app.compat.cbc,
                no_pkce: app.compat.no_pkce,
            },
            enabled: app.enabled,
        }
    }

    /// What is stored can be served: later nothing is checked again.
    fn checked(self, client_id: String) -> Result<Application, Refusal> {
        let is_named = [&client_id, &self.name]
            .iter()
            .all(|text| (1..=MAX_NAME).contains(&text.len()));
        let lists = [&self.redirect_uris, &self.post_logout_uris, &self.resources];
        let is_bounded = lists
            .iter()
            .all(|list| list.len() <= MAX_LIST && list.iter().all(|text| text.len() <= MAX_TEXT));
        if !is_named || !is_bounded {
            return Err(malformed(
                "an application needs an id and a name, and bounded lists",
            ));
        }
        let uris = self.redirect_uris.iter().chain(&self.post_logout_uris);
        if !uris.into_iter().all(|uri| may_be_sent_to(uri)) {
            return Err(malformed(
                "a redirect URI must be absolute and without a fragment; http is for this machine \
                 alone",
            ));
        }
        let jwks = self.jwks.map(|jwks| jwks.to_string());
        let keys = jwks.as_deref().map(Jwks::read).transpose();
        let keys =
            keys.map_err(|_| malformed("jwks is not a set of RSA keys of 2,048 bits or more"))?;
        if self.confidential && keys.is_none_or(|set| set.keys.is_empty()) {
            return Err(malformed("a confidential application needs a key in jwks"));
        }
        Ok(Application {
            client_id,
            name: self.name,
            kind: if self.confidential {
                AppKind::Confidential
            } else {
                AppKind::Public
            },
            redirect_uris: self.redirect_uris,
            post_logout_uris: self.post_logout_uris,
            jwks,
            resources: self.resources,
            compat: Compat {
                ropc: self.compat.ropc,
                device_code: self.compat.device_code,
                kdf1: self.compat.kdf1,
                cbc: self.compat.cbc,
                no_pkce: self.compat.no_pkce,
            },
            enabled: self.enabled,
        })
    }
}

/// Codes go over TLS, to an application of the device, or to a port of the person's own machine
/// (RFC 8252 7).
fn may_be_sent_to(uri: &str) -> bool {
    let Some((scheme, rest)) = uri.split_once("://") else {
        return false;
    };
    let is_plain = scheme
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    let host = uri.parse::<Uri>().ok();
    let host = host.as_ref().and_then(Uri::host);
    let is_own = host.is_some_and(|host| ["localhost", "127.0.0.1", "[::1]"].contains(&host));
    let dangerous = ["javascript", "data", "vbscript", "file"];
    is_plain
        && !rest.is_empty()
        && uri
            .bytes()
            .all(|byte| (0x21..0x7f).contains(&byte) && byte != b'#')
        && !dangerous.iter().any(|bad| scheme.eq_ignore_ascii_case(bad))
        && (!scheme.eq_ignore_ascii_case("http") || is_own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_go_nowhere_in_clear_and_into_no_script() {
        for good in [
            "https://rp.example/cb?tab=1",
            "http://localhost:8400/cb",
            "http://127.0.0.1/cb",
            "ms-appx-web://Microsoft.AAD.BrokerPlugin/DRS",
            "com.example.app://callback",
        ] {
            assert!(may_be_sent_to(good), "{good}");
        }
        for bad in [
            "",
            "/cb",
            "http://rp.example/cb",
            "https://rp.example/cb#x",
            "https://rp.example/\r\nx: y",
            "javascript://%0aalert(1)",
            "https://",
        ] {
            assert!(!may_be_sent_to(bad), "{bad}");
        }
    }
}
