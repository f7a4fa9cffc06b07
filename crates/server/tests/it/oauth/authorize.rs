//! The authorization endpoint and the pages behind it.

use serde_json::json;

use super::{
    browser::{Browser, Request, hidden, parameter, redeem},
    people::{CALLBACK, DORA, EMIL, PASSWORD, claims, company, dora, portal, put_app},
};
use crate::server::{TestServer, URL};

#[tokio::test(flavor = "multi_thread")]
async fn a_person_signs_in_for_a_client_that_learns_who_it_was() {
    let server = company().await;
    let answer = Browser::new(&server).sign_in(&Request::new()).await;
    assert_eq!(answer.status, 302);
    let location = answer.location();
    assert!(
        location.starts_with(&format!("{CALLBACK}?code=")),
        "{location}"
    );
    assert_eq!(parameter(location, "state").unwrap(), "a state & more");
    let issuer = format!("{URL}/{}/v2.0", server.tenant);
    assert_eq!(parameter(location, "iss").unwrap(), issuer);
    let escaped = location.replace('&', "&amp;");
    assert!(answer.text.contains(&format!("<a href=\"{escaped}\">")));

    let code = parameter(location, "code").unwrap();
    let tokens = redeem(&server, &code, &[("client_info", "1")]).await.good();
    let id = claims(&tokens["id_token"]);
    for (name, value) in [
        ("iss", json!(issuer)),
        ("aud", json!("portal")),
        ("sub", json!(dora())),
        ("oid", json!(dora())),
        ("tid", json!(server.tenant)),
        ("ver", json!("2.0")),
        ("nonce", json!("n-0S6_WzA2Mj")),
        ("preferred_username", json!(DORA)),
        ("email", json!(format!("mail-of-{DORA}"))),
        ("name", json!("dora")),
        ("amr", json!(["pwd", "mfa", "ngcmfa"])),
    ] {
        assert_eq!(id[name], value, "{name}");
    }
    assert_eq!(
        id["at_hash"],
        token::half_hash(tokens["access_token"].as_str().unwrap())
    );
    let access = claims(&tokens["access_token"]);
    assert_eq!(access["aud"], api::USERINFO_AUDIENCE);
    assert_eq!(access["scp"], "openid profile email");
    assert_eq!(tokens["token_type"], "Bearer");
    assert_eq!(tokens["expires_in"], 3600);
    assert!(tokens["client_info"].is_string());

    let path = format!("/{}/openid/userinfo", server.tenant);
    let bearer = tokens["access_token"].as_str().unwrap();
    let info = server.get(&path, bearer).await.good();
    assert_eq!(info["sub"], id["sub"]);
    assert_eq!(info["email"], id["email"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_metadata_names_one_issuer_and_keys_that_verify() {
    let server = company().await;
    let tokens = Browser::new(&server).tokens(&Request::new()).await;
    for tenant in [
        server.tenant.to_string(),
        "common".to_owned(),
        "Organizations".to_owned(),
    ] {
        let path = format!("/{tenant}/v2.0/.well-known/openid-configuration");
        let document = server.get(&path, "").await.good();
        assert_eq!(document["issuer"], claims(&tokens["id_token"])["iss"]);
        let keys = document["jwks_uri"].as_str().unwrap();
        let keys = server.get(keys.strip_prefix(URL).unwrap(), "").await.good();
        let keys = token::Jwks::read(&keys.to_string()).unwrap();
        for name in ["id_token", "access_token"] {
            let text = tokens[name].as_str().unwrap();
            let unverified = token::Unverified::read(text, token::X5cForm::Array).unwrap();
            let key = keys.find(unverified.header().kid.as_deref()).unwrap();
            let now = model::UnixTime(server.now());
            let verified: Result<serde_json::Value, _> = unverified.verify(&key, now);
            assert!(verified.is_ok(), "{name}");
        }
        let v1 = format!("/{tenant}/.well-known/openid-configuration");
        let v1 = server.get(&v1, "").await.good();
        assert_eq!(v1["issuer"], json!(format!("{URL}/{}/", server.tenant)));
    }
    let other = server
        .get("/consumers/v2.0/.well-known/openid-configuration", "")
        .await;
    assert_eq!(other.number(), 90002);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_comes_by_a_further_name_goes_on_by_it_and_the_issuer_stays_one() {
    let server = company().await;
    let asked = async |path: &str, host: &'static str| {
        let headers = [("host", host)];
        server.send("GET", path, &headers, Vec::new()).await
    };
    let tenant = server.tenant;
    let metadata = format!("/{tenant}/v2.0/.well-known/openid-configuration");
    let discovery = format!("/{tenant}/Discover?api-version=1.9");
    let by_another = "login.other.example:8443";
    let endpoint = format!("https://{by_another}/{tenant}/oauth2/authorize");
    let endpoint = serde_urlencoded::to_string([("authorization_endpoint", endpoint)]).unwrap();
    let instance = format!("/common/discovery/instance?{endpoint}");
    for path in [&metadata, &discovery] {
        let refused = asked(path, by_another).await;
        assert_eq!(refused.code(), (421, "bad_request"), "{path}");
    }
    assert_eq!(asked(&instance, "localhost").await.number(), 50049);
    let path = format!("/hosts/{}", by_another.to_uppercase());
    server.admin("PUT", &path, None).await.good();

    let told = asked(&metadata, "Login.Other.Example:8443").await.good();
    assert_eq!(told["issuer"], format!("{URL}/{tenant}/v2.0"));
    let token_endpoint = format!("https://{by_another}/{tenant}/oauth2/v2.0/token");
    assert_eq!(told["token_endpoint"], token_endpoint);
    let told = asked(&discovery, by_another).await.good();
    let join = format!("https://{by_another}/EnrollmentServer/device/");
    assert_eq!(told["DeviceJoinService"]["JoinEndpoint"], join);
    let told = asked(&instance, "localhost").await.good();
    let expected = json!({
        "preferred_network": by_another,
        "preferred_cache": "localhost",
        "aliases": ["localhost", by_another],
    });
    assert_eq!(told["metadata"][0], expected);
    let told = asked(&metadata, "localhost:443").await.good();
    assert_eq!(
        told["token_endpoint"],
        format!("{URL}/{tenant}/oauth2/v2.0/token")
    );
    let checked = server.command(&["check-config"]);
    assert!(checked.status.success(), "{checked:?}");
    let checked = String::from_utf8(checked.stdout).unwrap();
    let expected = format!("the certificate is not for {by_another}");
    assert!(checked.contains(&expected), "{checked}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_sent_to_a_uri_that_is_not_the_clients() {
    let server = company().await;
    let mut off = portal();
    off.client_id = "off".to_owned();
    off.enabled = false;
    put_app(&server, off).await;
    for (request, number) in [
        (Request::new().with("client_id", "nobody"), 700_016),
        (Request::new().with("client_id", "off"), 700_016),
        (Request::new().without("client_id"), 90014),
        (Request::new().without("redirect_uri"), 50011),
        (
            Request::new().with("redirect_uri", "https://evil.example/"),
            50011,
        ),
        (
            Request::new().with("redirect_uri", &format!("{CALLBACK}/")),
            50011,
        ),
        (
            Request::new().with("redirect_uri", &format!("{CALLBACK}?x=1")),
            50011,
        ),
        (
            Request::new().with("redirect_uri", "https://PORTAL.example/callback"),
            50011,
        ),
        (Request::new().with("response_mode", "web_message"), 50011),
    ] {
        let path = request.path(&server);
        let answer = server.get(&path, "").await;
        assert_eq!((answer.status, answer.number()), (400, number), "{path}");
        assert!(answer.headers.get("location").is_none(), "{path}");
        let page = Browser::new(&server).get(&path).await;
        assert!(page.headers.get("location").is_none(), "{path}");
        assert!(page.text.contains(&format!("AADSTS{number}")), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_else_is_wrong_the_client_is_told_at_its_uri() {
    let server = company().await;
    for (request, error) in [
        (
            Request::new().with("response_type", "token"),
            "unsupported_response_type",
        ),
        (
            Request::new().with("response_type", "code id_token"),
            "unsupported_response_type",
        ),
        (Request::new().without("code_challenge"), "invalid_request"),
        (
            Request::new().with("code_challenge_method", "plain"),
            "invalid_request",
        ),
        (
            Request::new().without("code_challenge_method"),
            "invalid_request",
        ),
        (
            Request::new().with("scope", "api://other/read"),
            "invalid_resource",
        ),
        (
            Request::new().with("scope", "api://portal/a api://other/b"),
            "invalid_scope",
        ),
        (
            Request::new().with("request", "e30.e30."),
            "request_not_supported",
        ),
        (Request::new().with("prompt", "none"), "login_required"),
        (Request::new().with("max_age", "soon"), "invalid_request"),
        (Request::new().with("amr_values", "face"), "invalid_request"),
        (Request::new().with("claims", "{"), "invalid_request"),
    ] {
        let path = request.path(&server);
        let answer = Browser::new(&server).get(&path).await;
        let location = answer.location();
        assert!(location.starts_with(CALLBACK), "{location}");
        assert_eq!(parameter(location, "error").unwrap(), error, "{path}");
        assert_eq!(parameter(location, "state").unwrap(), "a state & more");
        assert!(parameter(location, "code").is_none());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_is_answered_in_the_mode_that_it_asks_for() {
    let server = company().await;
    let mut browser = Browser::new(&server);
    browser.sign_in(&Request::new()).await;
    let fragment = Request::new().with("response_mode", "fragment");
    let fragment = browser.get(&fragment.path(&server)).await;
    assert!(
        fragment
            .location()
            .starts_with(&format!("{CALLBACK}#code="))
    );
    let form = Request::new().with("response_mode", "form_post");
    let form = browser.get(&form.path(&server)).await;
    assert_eq!(form.status, 200);
    assert!(form.text.contains(&format!("action=\"{CALLBACK}\"")));
    let fields = hidden(&form.text);
    assert!(fields.contains(&("state".to_owned(), "a state & more".to_owned())));
    let (_, code) = fields.iter().find(|(name, _)| name == "code").unwrap();
    redeem(&server, code, &[]).await.good();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_answers_for_the_next_client_unless_it_wants_more() {
    let server = company().await;
    let mut browser = Browser::new(&server);
    browser.sign_in(&Request::new()).await;
    let silent = Request::new().with("prompt", "none");
    let code = |location: &str| parameter(location, "code").is_some();

    let answer = browser.get(&silent.path(&server)).await;
    assert!(code(answer.location()));
    for (request, answered) in [
        (silent.clone().with("login_hint", DORA), true),
        (silent.clone().with("login_hint", EMIL), false),
        (silent.clone().with("max_age", "3600"), true),
        (silent.clone().with("amr_values", "ngcmfa"), true),
    ] {
        let answer = browser.get(&request.path(&server)).await;
        assert_eq!(code(answer.location()), answered, "{:?}", request.0);
    }
    // Eleven minutes later the second factor is stale; after two hours, max_age is over.
    server.pass(660);
    let stale = silent.clone().with("amr_values", "ngcmfa");
    let stale = browser.get(&stale.path(&server)).await;
    assert_eq!(
        parameter(stale.location(), "error").unwrap(),
        "interaction_required"
    );
    server.pass(7200);
    let old = silent.clone().with("max_age", "3600");
    let old = browser.get(&old.path(&server)).await;
    assert_eq!(
        parameter(old.location(), "error").unwrap(),
        "login_required"
    );
    let forced = Request::new().with("prompt", "login");
    let forced = browser.get(&forced.path(&server)).await;
    assert!(forced.text.contains("id=\"i0116\""));
    // And it ends by itself.
    server.pass(12 * 3600);
    let over = browser.get(&silent.path(&server)).await;
    assert_eq!(
        parameter(over.location(), "error").unwrap(),
        "login_required"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_out_ends_the_session_and_goes_to_a_registered_uri_only() {
    let server = company().await;
    let silent = Request::new().with("prompt", "none").path(&server);
    for (uri, goes) in [
        ("https://portal.example/bye", true),
        ("https://evil.example/", false),
    ] {
        let mut browser = Browser::new(&server);
        browser.sign_in(&Request::new()).await;
        let query = [
            ("client_id", "portal"),
            ("post_logout_redirect_uri", uri),
            ("state", "s"),
        ];
        let query = serde_urlencoded::to_string(query).unwrap();
        let path = format!("/common/oauth2/v2.0/logout?{query}");
        let answer = browser.get(&path).await;
        let location = answer.headers.get("location");
        assert_eq!(location.is_some(), goes, "{uri}");
        if goes {
            assert_eq!(answer.location(), "https://portal.example/bye?state=s");
        }
        let after = browser.get(&silent).await;
        assert_eq!(
            parameter(after.location(), "error").unwrap(),
            "login_required"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_is_good_in_the_browser_that_it_was_shown_to_only() {
    let server = company().await;
    let mut mallory = Browser::new(&server);
    let first = mallory.get(&Request::new().path(&server)).await;
    let second = mallory.submit(&first, &[("login", DORA)]).await;
    for page in [&first, &second] {
        let mut victim = Browser::new(&server);
        let none = victim
            .submit(page, &[("login", DORA), ("passwd", PASSWORD)])
            .await;
        assert!(none.text.contains("AADSTS70008"), "{}", none.text);
        victim.get(&Request::new().path(&server)).await;
        let other = victim
            .submit(page, &[("login", DORA), ("passwd", PASSWORD)])
            .await;
        assert!(other.text.contains("AADSTS70008"), "{}", other.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_factor_is_asked_again_and_says_nothing_of_the_account() {
    let server = company().await;
    let mut told = Vec::new();
    for name in [DORA, "nobody@cloud.example", "nobody"] {
        let mut browser = Browser::new(&server);
        let page = browser.get(&Request::new().path(&server)).await;
        let page = browser.submit(&page, &[("login", name)]).await;
        let wrong = browser.submit(&page, &[("passwd", "wrong")]).await;
        assert!(wrong.text.contains("password is wrong"), "{}", wrong.text);
        assert!(wrong.text.contains("id=\"i0118\""));
        let begin = wrong.text.find("<p class=\"problem\"").unwrap();
        let end = wrong.text[begin..].find("</p>").unwrap();
        told.push(wrong.text[begin..begin + end].to_owned());
    }
    assert!(told.windows(2).all(|pair| pair[0] == pair[1]), "{told:?}");

    let mut browser = Browser::new(&server);
    let page = browser.get(&Request::new().path(&server)).await;
    let page = browser.submit(&page, &[("login", DORA)]).await;
    let page = browser.submit(&page, &[("passwd", PASSWORD)]).await;
    let wrong = browser.submit(&page, &[("otc", "000000")]).await;
    assert!(wrong.text.contains("not right"), "{}", wrong.text);
    let right = crate::parties::otp(server.now());
    let right = browser.submit(&wrong, &[("otc", &right)]).await;
    assert!(parameter(right.location(), "code").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_without_a_second_factor_signs_in_with_one_where_that_is_enough() {
    let server = company().await;
    let one = Request::new().with("login_hint", EMIL);
    let mut browser = Browser::new(&server);
    // A name that is known already needs no page of its own.
    let page = browser.get(&one.path(&server)).await;
    let answer = browser.submit(&page, &[("passwd", PASSWORD)]).await;
    let code = parameter(answer.location(), "code").unwrap();
    let tokens = redeem(&server, &code, &[]).await.good();
    assert_eq!(claims(&tokens["id_token"])["amr"], json!(["pwd"]));
    let two = one.with("amr_values", "mfa");
    let page = browser.get(&two.path(&server)).await;
    let answer = browser.submit(&page, &[("passwd", PASSWORD)]).await;
    assert!(answer.text.contains("Nothing is set up"), "{}", answer.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_may_not_be_framed_scripted_or_kept() {
    let server = TestServer::start().await;
    super::people::people(&server).await;
    let page = Browser::new(&server)
        .get(&Request::new().path(&server))
        .await;
    for (name, part) in [
        ("content-security-policy", "default-src 'none'"),
        ("content-security-policy", "frame-ancestors 'none'"),
        ("content-security-policy", "script-src 'none'"),
        ("x-frame-options", "DENY"),
        ("cache-control", "no-store"),
        ("referrer-policy", "no-referrer"),
    ] {
        let value = page.headers[name].to_str().unwrap();
        assert!(value.contains(part), "{name}: {value}");
    }
}
