//! People who administer: accounts of the server's own with a role, and the tokens they get.

use api::{ADMIN_AUDIENCE, GRAPH_AUDIENCE};
use serde_json::json;

use crate::{
    oauth::browser::{Browser, Request, parameter, redeem},
    parties::{SECRET, otp},
    server::TestServer,
};

const CONSOLE: &str = "console";
const CALLBACK: &str = "https://console.example/callback";
const PASSWORD: &str = "Eleven dull fish & a bicycle";

/// Registers the application that administrators sign in with.
pub(crate) async fn console(server: &TestServer) {
    console_for(server, &[ADMIN_AUDIENCE, GRAPH_AUDIENCE]).await;
}

/// The same for other resources.
pub(crate) async fn console_for(server: &TestServer, resources: &[&str]) {
    let body = json!({
        "name": "The console",
        "redirect_uris": [CALLBACK],
        "resources": resources,
    });
    server
        .admin("PUT", &format!("/apps/{CONSOLE}"), Some(body))
        .await
        .good();
}

/// Makes an account with a second factor, and a role if one is named.
pub(crate) async fn person(server: &TestServer, name: &str, role: Option<&str>) -> String {
    let upn = without_factor(server, name, role).await;
    let body = Some(json!({ "secret": SECRET }));
    server
        .admin("POST", &format!("/users/{upn}/totp"), body)
        .await
        .good();
    upn
}

/// The same without a second factor.
pub(crate) async fn without_factor(server: &TestServer, name: &str, role: Option<&str>) -> String {
    let upn = format!("{name}@cloud.example");
    let body = json!({ "upn": upn, "password": PASSWORD });
    server.admin("POST", "/users", Some(body)).await.good();
    if let Some(role) = role {
        server
            .admin("PUT", &format!("/roles/{role}/{upn}"), None)
            .await
            .good();
    }
    upn
}

/// Signs in at the console; the token for the administrator's interface.
pub(crate) async fn token(server: &TestServer, upn: &str) -> String {
    token_for(server, upn, ADMIN_AUDIENCE).await
}

/// The same for another interface.
pub(crate) async fn token_for(server: &TestServer, upn: &str, audience: &str) -> String {
    token_with(server, upn, &format!("{audience}/.default")).await
}

/// What the console asks the person's browser to get.
pub(crate) fn request(scope: &str) -> Request {
    Request::new()
        .with("client_id", CONSOLE)
        .with("redirect_uri", CALLBACK)
        .with("scope", scope)
}

/// The same for a scope.
pub(crate) async fn token_with(server: &TestServer, upn: &str, scope: &str) -> String {
    let request = request(scope);
    let mut browser = Browser::new(server);
    let page = browser.get(&request.path(server)).await;
    let page = browser.submit(&page, &[("login", upn)]).await;
    let mut answer = browser.submit(&page, &[("passwd", PASSWORD)]).await;
    if answer.status != 302 {
        let otp = otp(server.now());
        answer = browser.submit(&answer, &[("otc", &otp)]).await;
    }
    let code = parameter(answer.location(), "code").unwrap();
    let own = [("client_id", CONSOLE), ("redirect_uri", CALLBACK)];
    let tokens = redeem(server, &code, &own).await.good();
    tokens["access_token"].as_str().unwrap().to_owned()
}

/// An account with a role, and its token.
pub(crate) async fn administrator(server: &TestServer, name: &str, role: &str) -> String {
    let upn = person(server, name, Some(role)).await;
    token(server, &upn).await
}

/// An account with a role within the scope tag of a group; its principal name.
pub(crate) async fn within(server: &TestServer, name: &str, role: &str, group: &str) -> String {
    let upn = person(server, name, None).await;
    let put = async |path: String, body| server.admin("PUT", &path, Some(body)).await.good();
    put(format!("/scope-tags/{group}"), json!({})).await;
    let path = format!("/roles/{role}/{upn}");
    put(path, json!({ "scope_tags": [group] })).await;
    upn
}
