//! A browser as far as a sign-in needs one: cookies, forms and redirects.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use model::sha256;
use serde_json::Value;

use super::people::{CALLBACK, DORA, PASSWORD, PORTAL};
use crate::{
    parties::{VERIFIER, otp},
    server::{Answer, TestServer},
};

/// A browser.
pub(crate) struct Browser<'a> {
    pub(crate) server: &'a TestServer,
    pub(crate) cookies: BTreeMap<String, String>,
}

/// A request to the authorization endpoint.
#[derive(Clone)]
pub(crate) struct Request(pub(crate) Vec<(&'static str, String)>);

impl Request {
    /// The ordinary one.
    pub(crate) fn new() -> Self {
        let challenge = URL_SAFE_NO_PAD.encode(sha256(VERIFIER.as_bytes()));
        Self(Vec::new())
            .with("client_id", PORTAL)
            .with("redirect_uri", CALLBACK)
            .with("response_type", "code")
            .with("scope", "openid profile offline_access")
            .with("state", "a state & more")
            .with("nonce", "n-0S6_WzA2Mj")
            .with("code_challenge", &challenge)
            .with("code_challenge_method", "S256")
    }

    /// The same with another value.
    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.0.retain(|(other, _)| *other != name);
        self.0.push((name, value.to_owned()));
        self
    }

    /// The same without a parameter.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.0.retain(|(other, _)| *other != name);
        self
    }

    pub(crate) fn path(&self, server: &TestServer) -> String {
        let query = serde_urlencoded::to_string(&self.0).unwrap();
        format!("/{}/oauth2/v2.0/authorize?{query}", server.tenant)
    }
}

/// A parameter of the query, or the fragment, of a URI.
pub(crate) fn parameter(uri: &str, name: &str) -> Option<String> {
    let (_, query) = uri.split_once(['?', '#'])?;
    let pairs: Vec<(String, String)> = serde_urlencoded::from_str(query).unwrap();
    let found = pairs.into_iter().find(|(given, _)| given == name);
    found.map(|(_, value)| value)
}

/// The hidden fields of a page.
pub(crate) fn hidden(page: &str) -> Vec<(String, String)> {
    page.split("<input type=\"hidden\" name=\"")
        .skip(1)
        .map(|rest| {
            let (name, rest) = rest.split_once("\" value=\"").unwrap();
            let (value, _) = rest.split_once('"').unwrap();
            let value = value
                .replace("&#34;", "\"")
                .replace("&#39;", "'")
                .replace("&#60;", "<")
                .replace("&#62;", ">")
                .replace("&#38;", "&");
            (name.to_owned(), value)
        })
        .collect()
}

impl<'a> Browser<'a> {
    pub(crate) fn new(server: &'a TestServer) -> Self {
        Self {
            server,
            cookies: BTreeMap::new(),
        }
    }

    async fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: String,
    ) -> Answer {
        let cookies: Vec<String> = self
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let cookies = cookies.join("; ");
        let own = [("accept", "text/html"), ("cookie", cookies.as_str())];
        let headers = [&own[..], headers].concat();
        let answer = self
            .server
            .send(method, path, &headers, body.into_bytes())
            .await;
        for cookie in answer.headers.get_all("set-cookie") {
            let text = cookie.to_str().unwrap();
            let (pair, flags) = text.split_once(';').unwrap();
            for flag in ["Path=/", "Secure", "HttpOnly", "SameSite=Lax"] {
                assert!(flags.contains(flag), "{text}");
            }
            let (name, value) = pair.split_once('=').unwrap();
            assert!(name.starts_with("__Host-"), "{text}");
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
        answer
    }

    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        self.send("GET", path, &[], String::new()).await
    }

    pub(crate) async fn get_with(&mut self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.send("GET", path, headers, String::new()).await
    }

    /// Sends a page's first form, with its hidden fields and what the person types.
    pub(crate) async fn submit(&mut self, page: &Answer, typed: &[(&str, &str)]) -> Answer {
        let (_, rest) = page.text.split_once("action=\"").unwrap_or_else(|| {
            panic!("no form in {}: {}", page.status, page.text);
        });
        let (action, _) = rest.split_once('"').unwrap();
        let (form, _) = rest.split_once("</form>").unwrap();
        let mut fields = hidden(form);
        for (name, value) in typed {
            fields.retain(|(other, _)| other != name);
            fields.push(((*name).to_owned(), (*value).to_owned()));
        }
        let body = serde_urlencoded::to_string(fields).unwrap();
        let form = [("content-type", "application/x-www-form-urlencoded")];
        self.send("POST", action, &form, body).await
    }

    /// Sends fields to a path, with the token that the page's forms carry, and what was sealed in it.
    pub(crate) async fn submit_at(
        &mut self,
        path: &str,
        page: &Answer,
        typed: &[(&str, &str)],
    ) -> Answer {
        let mut fields: Vec<(String, String)> = typed
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        for (name, value) in hidden(&page.text) {
            let is_carried = ["csrf", "sealed", "step"].contains(&name.as_str());
            if is_carried && !fields.iter().any(|(given, _)| *given == name) {
                fields.push((name, value));
            }
        }
        let body = serde_urlencoded::to_string(fields).unwrap();
        let form = [("content-type", "application/x-www-form-urlencoded")];
        self.send("POST", path, &form, body).await
    }

    /// Dora signs in, with both factors, where the first page has come.
    pub(crate) async fn fill_in(&mut self, page: &Answer) -> Answer {
        // No one-time password is taken twice.
        self.server.pass(30);
        assert!(page.text.contains("id=\"i0116\""), "{}", page.text);
        let page = self.submit(page, &[("login", DORA)]).await;
        assert!(page.text.contains("id=\"i0118\""), "{}", page.text);
        let page = self.submit(&page, &[("passwd", PASSWORD)]).await;
        assert!(
            page.text.contains("id=\"idTxtBx_SAOTCC_OTC\""),
            "{}",
            page.text
        );
        let otp = otp(self.server.now());
        self.submit(&page, &[("otc", &otp)]).await
    }

    /// Dora signs in for a request, unless she is signed in already; the answer that goes to the client.
    pub(crate) async fn sign_in(&mut self, request: &Request) -> Answer {
        let page = self.get(&request.path(self.server)).await;
        if page.status == 302 {
            return page;
        }
        self.fill_in(&page).await
    }

    /// The same; the code.
    pub(crate) async fn code(&mut self, request: &Request) -> String {
        let answer = self.sign_in(request).await;
        parameter(answer.location(), "code").unwrap_or_else(|| panic!("{}", answer.location()))
    }

    /// The same; the tokens.
    pub(crate) async fn tokens(&mut self, request: &Request) -> Value {
        let code = self.code(request).await;
        redeem(self.server, &code, &[]).await.good()
    }
}

/// The exchange of a code for [`Request::new`], with other fields where the test has them.
pub(crate) async fn redeem(server: &TestServer, code: &str, other: &[(&str, &str)]) -> Answer {
    let mut fields = vec![
        ("grant_type", "authorization_code"),
        ("client_id", PORTAL),
        ("redirect_uri", CALLBACK),
        ("code_verifier", VERIFIER),
        ("code", code),
    ];
    fields.retain(|(name, _)| !other.iter().any(|(given, _)| given == name));
    fields.extend(other.iter().filter(|(_, value)| !value.is_empty()));
    let path = api::oauth::token_path_v2(server.tenant);
    server.post_form(&path, &[], &fields).await
}
