//! Pages that people see: how one is answered, and what must hold of each.
//!
//! A page loads nothing, is framed by nobody, is kept nowhere, tells the next site nothing about
//! itself, and runs the one script that its hash names, or none: only security keys need one. Text gets into a page by its template alone, which escapes it.

mod approvals;
mod qr;
mod security;
mod visitor;

use askama::Template;
use axum::{
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{
            ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY,
            X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
        },
    },
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use model::{UnixTime, sha256};

use crate::{
    clock::rfc3339,
    error::{Refusal, request_id},
    routing::Paths,
};

/// The style of every page.
pub(crate) const STYLE: &str = include_str!("../assets/style.css");

/// The script that talks to security keys.
pub(crate) const SECURITY_KEY: &str = include_str!("../assets/security-key.js");

/// The script that hands a form on without a click.
pub(crate) const SUBMIT: &str = "document.forms[0].submit();";

/// How a page is answered.
#[derive(Debug, Clone)]
pub(crate) struct Manner {
    /// The status.
    pub(crate) status: StatusCode,
    /// The script that the page has, if any.
    pub(crate) script: Option<&'static str>,
    /// Where else its forms may lead in the end, as a source of a content security policy.
    pub(crate) forms_to: Option<String>,
}

impl Default for Manner {
    fn default() -> Self {
        Self {
            status: StatusCode::OK,
            script: None,
            forms_to: None,
        }
    }
}

/// Answers with a page.
pub(crate) fn answer(page: &impl Template, manner: Manner) -> Response {
    let (html, policy) = match (page.render(), HeaderValue::from_str(&policy(&manner))) {
        (Ok(html), Ok(policy)) => (html, policy),
        (Err(error), _) => return Refusal::from(error).into_response(),
        (_, Err(error)) => return Refusal::from(error).into_response(),
    };
    let headers = [
        (
            CONTENT_TYPE,
            HeaderValue::from_static("text/html; charset=utf-8"),
        ),
        (CONTENT_SECURITY_POLICY, policy),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    ];
    (manner.status, headers, html).into_response()
}

fn policy(manner: &Manner) -> String {
    let hash = |text: &str| format!("'sha256-{}'", STANDARD.encode(sha256(text.as_bytes())));
    let script = manner.script.map_or_else(|| "'none'".to_owned(), hash);
    let forms_to = manner.forms_to.as_deref().unwrap_or("");
    format!(
        "default-src 'none'; style-src {style}; script-src {script}; base-uri 'none'; \
         frame-ancestors 'none'; form-action 'self' {forms_to}",
        style = hash(STYLE),
    )
}

/// Where a form may lead that ends at a redirect URI: its origin, or its scheme where the system
/// opens a program for it. Browsers hold the redirect after a form to the form's policy.
pub(crate) fn form_target(redirect_uri: &str) -> Option<String> {
    let (scheme, rest) = redirect_uri.split_once(':')?;
    let is_plain = |text: &str| {
        let mut bytes = text.bytes();
        !text.is_empty()
            && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"+-.:[]".contains(&byte))
    };
    let authority = rest.strip_prefix("//").unwrap_or("");
    let authority = authority.split(['/', '?', '#']).next().unwrap_or("");
    let target = match scheme {
        "http" | "https" if is_plain(authority) => format!("{scheme}://{authority}"),
        "http" | "https" => return None,
        _ => format!("{scheme}:"),
    };
    is_plain(scheme).then_some(target)
}

/// Every path of a page that is no step of a sign-in.
pub(crate) fn routes() -> Paths {
    Paths::new()
        .route("/security", get(security::show).post(security::submit))
        .route("/approvals", get(approvals::show).post(approvals::submit))
        .route("/signout", post(visitor::sign_out))
}

/// A page with one message.
#[derive(Template)]
#[template(path = "message.html")]
struct Message<'a> {
    title: &'a str,
    text: &'a str,
    link: Option<(&'a str, &'a str)>,
}

/// A page with one message, and perhaps a link to go on by.
pub(crate) fn message(
    status: StatusCode,
    (title, text): (&str, &str),
    link: Option<(&str, &str)>,
) -> Response {
    let manner = Manner {
        status,
        ..Manner::default()
    };
    answer(&Message { title, text, link }, manner)
}

/// A refusal: on a page to a person, as JSON to a program.
pub(crate) fn told(headers: &HeaderMap, refusal: Refusal) -> Response {
    let accepts = headers.get(ACCEPT).and_then(|value| value.to_str().ok());
    if !accepts.is_some_and(|text| text.contains("text/html")) {
        return refusal.into_response();
    }
    let of_oauth = matches!(refusal, Refusal::OAuth(..)).then_some("AADSTS");
    let text = format!(
        "{} ({}{}, request {})",
        refusal.sentence(),
        of_oauth.unwrap_or(""),
        refusal.code(),
        request_id()
    );
    // The refusal logs itself on its way out.
    let status = refusal.into_response().status();
    message(status, ("This does not work", &text), None)
}

/// A time for people.
pub(crate) fn when(time: UnixTime) -> String {
    let text = rfc3339(time);
    let minutes = text.get(..16).unwrap_or(&text);
    format!("{} UTC", minutes.replace('T', " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_runs_its_own_script_or_none_and_is_framed_by_nobody() {
        let quiet = policy(&Manner::default());
        assert!(quiet.contains("script-src 'none'"), "{quiet}");
        assert!(
            quiet.contains("default-src 'none'; style-src 'sha256-"),
            "{quiet}"
        );
        assert!(quiet.contains("frame-ancestors 'none'"), "{quiet}");
        let manner = Manner {
            script: Some(SECURITY_KEY),
            ..Manner::default()
        };
        let scripted = policy(&manner);
        assert!(scripted.contains("script-src 'sha256-"), "{scripted}");
        assert!(!scripted.contains("unsafe"), "{scripted}");
    }

    #[test]
    fn a_text_cannot_leave_its_place() {
        let page = Message {
            title: "<script>",
            text: "\"><script>alert('x')</script>",
            link: Some(("/a\"b", "<b>")),
        };
        let html = page.render().unwrap();
        assert!(!html.contains("<script"), "{html}");
        assert!(!html.contains("/a\"b"), "{html}");
    }

    #[test]
    fn what_a_page_shows_is_what_its_policy_names() {
        let html = Message {
            title: "x",
            text: "x",
            link: None,
        };
        let html = html.render().unwrap();
        assert!(html.contains(&format!("<style>{STYLE}</style>")));
        assert!(!SECURITY_KEY.contains("</") && !STYLE.contains("</"));
    }

    #[test]
    fn a_form_may_lead_to_the_origin_or_the_scheme_of_its_client() {
        for (uri, expected) in [
            ("https://app.example/cb?x=1", Some("https://app.example")),
            ("http://localhost:8400/", Some("http://localhost:8400")),
            ("http://[::1]:8400", Some("http://[::1]:8400")),
            (
                "ms-appx-web://Microsoft.AAD.BrokerPlugin/x",
                Some("ms-appx-web:"),
            ),
            ("https://a;script-src *", None),
            ("https://", None),
            ("no uri", None),
        ] {
            assert_eq!(form_target(uri).as_deref(), expected, "{uri}");
        }
    }

    #[test]
    fn a_time_is_told_to_the_minute() {
        assert_eq!(when(UnixTime(1_709_251_199)), "2024-02-29 23:59 UTC");
    }
}
