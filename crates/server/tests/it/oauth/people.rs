//! A tenant with accounts of the server's own and a few applications: no directory is needed.

use api::GRAPH_AUDIENCE;
use argon2::{Argon2, PasswordHasher, password_hash::SaltString};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use model::{Guid, UnixTime};
use serde_json::Value;
use store::{App, AppKind, Audit, Compat, Password, User, UserKind};

use crate::{
    parties::{SECRET, guid, rand},
    server::TestServer,
};

pub(crate) const DORA: &str = "dora@cloud.example";
pub(crate) const EMIL: &str = "emil@cloud.example";
pub(crate) const PASSWORD: &str = "Correct horse & battery";
pub(crate) const PORTAL: &str = "portal";
pub(crate) const CALLBACK: &str = "https://portal.example/callback";

pub(crate) fn audit() -> Audit {
    Audit {
        at: UnixTime(1_800_000_000),
        actor: "admin".to_owned(),
        action: "test",
        subject: "test".to_owned(),
    }
}

/// A public application that may do nothing out of the ordinary.
pub(crate) fn portal() -> App {
    App {
        client_id: PORTAL.to_owned(),
        name: "The portal".to_owned(),
        kind: AppKind::Public,
        redirect_uris: vec![
            CALLBACK.to_owned(),
            "https://portal.example/other".to_owned(),
        ],
        post_logout_uris: vec!["https://portal.example/bye".to_owned()],
        jwks: None,
        resources: vec![GRAPH_AUDIENCE.to_owned()],
        compat: Compat::default(),
        enabled: true,
    }
}

pub(crate) fn dora() -> Guid {
    guid(41)
}

/// Dora has a generator of one-time passwords, Emil none.
pub(crate) async fn company() -> TestServer {
    let server = TestServer::start().await;
    people(&server).await;
    server
}

/// The same people on a server that is there already.
pub(crate) async fn people(server: &TestServer) {
    let salt = SaltString::encode_b64(&rand::<16>()).unwrap();
    let hash = Argon2::default().hash_password(PASSWORD.as_bytes(), &salt);
    let password = Password {
        hash: hash.unwrap().to_string(),
        must_change: false,
    };
    let store = server.store();
    for (guid, upn) in [(dora(), DORA), (guid(42), EMIL)] {
        let user = User {
            guid,
            kind: UserKind::Cloud,
            upn: upn.to_owned(),
            display_name: upn.split('@').next().unwrap().to_owned(),
            mail: Some(format!("mail-of-{upn}")),
            active: true,
            account_expires: None,
            locked_until: None,
            logon_hours: None,
            source_anchor: None,
            tokens_valid_from: UnixTime(0),
        };
        store
            .create_user(server.tenant, user, password.clone(), audit())
            .await
            .unwrap();
    }
    put_app(server, portal()).await;
    let body = Some(serde_json::json!({ "secret": SECRET }));
    server
        .admin("POST", &format!("/users/{DORA}/totp"), body)
        .await
        .good();
}

pub(crate) async fn put_app(server: &TestServer, app: App) {
    let store = server.store();
    store.put_app(server.tenant, app, audit()).await.unwrap();
}

/// Switches the tenant's doors for foreign clients.
pub(crate) async fn allow(server: &TestServer, is_allowed: bool) {
    let store = server.store();
    let mut settings = store.settings(server.tenant).await.unwrap();
    settings.allow_device_code = is_allowed;
    settings.allow_ropc = is_allowed;
    store
        .set_settings(server.tenant, settings, audit())
        .await
        .unwrap();
}

/// The claims of a token, whose signature is checked elsewhere.
pub(crate) fn claims(token: &Value) -> Value {
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let part = token.as_str().unwrap().split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

/// Base64 with padding.
pub(crate) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}
