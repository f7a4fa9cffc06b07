//! How the authorization endpoint answers a client: in the query, in the fragment, or by a form
//! that the browser posts (OAuth 2.0 Form Post Response Mode).
//!
//! A redirect carries its target twice, in `Location` and as a link in the body: brokers exist
//! that read nothing but the link.

use askama::Template;
use axum::{
    http::{
        StatusCode,
        header::{CACHE_CONTROL, CONTENT_TYPE, LOCATION, REFERRER_POLICY},
    },
    response::{IntoResponse, Response},
};

use serde::{Deserialize, Serialize};

use crate::pages::{Manner, SUBMIT, answer, form_target};

/// Where parameters go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ResponseMode {
    /// Into the query of the redirect URI.
    Query,
    /// Into its fragment.
    Fragment,
    /// Into the body of a POST.
    FormPost,
}

impl ResponseMode {
    /// `response_mode`; the default for codes is the query (RFC 6749 4.1.2).
    pub(crate) fn read(text: Option<&str>) -> Option<Self> {
        match text {
            None | Some("" | "query") => Some(Self::Query),
            Some("fragment") => Some(Self::Fragment),
            Some("form_post") => Some(Self::FormPost),
            Some(_) => None,
        }
    }

    /// The answer to the client behind a redirect URI that is registered.
    pub(crate) fn respond(self, redirect_uri: &str, fields: &[(&str, &str)]) -> Response {
        match self {
            Self::Query => redirect(&with_query(redirect_uri, fields)),
            Self::Fragment => redirect(&format!("{redirect_uri}#{}", encoded(fields))),
            Self::FormPost => form(redirect_uri, fields),
        }
    }
}

/// A redirect; browsers go there by GET, whatever the method of the request was.
pub(crate) fn redirect(target: &str) -> Response {
    let body = format!(
        "<html><head><title>Object moved</title></head><body>\
         <h2>Object moved to <a href=\"{}\">here</a>.</h2></body></html>\n",
        escaped(target)
    );
    let headers = [
        (LOCATION, target),
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CACHE_CONTROL, "no-store"),
        (REFERRER_POLICY, "no-referrer"),
    ];
    (StatusCode::FOUND, headers, body).into_response()
}

/// A URI with more parameters in its query, before those that it has: what reads the first
/// parameter of a redirect finds the code.
pub(crate) fn with_query(uri: &str, fields: &[(&str, &str)]) -> String {
    match uri.split_once('?') {
        Some((path, "")) => format!("{path}?{}", encoded(fields)),
        Some((path, query)) => format!("{path}?{}&{query}", encoded(fields)),
        None => format!("{uri}?{}", encoded(fields)),
    }
}

fn encoded(fields: &[(&str, &str)]) -> String {
    serde_urlencoded::to_string(fields).unwrap_or_default()
}

/// A page that hands the answer on.
#[derive(Template)]
#[template(path = "hand_on.html")]
struct HandOn<'a> {
    target: &'a str,
    fields: &'a [(&'a str, &'a str)],
    submits: bool,
}

/// To an application of the device, which its browser may not know how to open, the form waits.
fn form(redirect_uri: &str, fields: &[(&str, &str)]) -> Response {
    let submits = redirect_uri.starts_with("https://") || redirect_uri.starts_with("http://");
    let page = HandOn {
        target: redirect_uri,
        fields,
        submits,
    };
    let manner = Manner {
        script: submits.then_some(SUBMIT),
        forms_to: form_target(redirect_uri),
        ..Manner::default()
    };
    answer(&page, manner)
}

/// A text as an attribute in double quotes, by the names that every reader of HTML knows.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('"', "&quot;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location(response: &Response) -> &str {
        response.headers()[LOCATION].to_str().unwrap()
    }

    #[test]
    fn parameters_go_where_the_mode_says() {
        let fields = [("code", "a b"), ("state", "x&y=\"")];
        for (mode, uri, target) in [
            (
                ResponseMode::Query,
                "https://rp/cb",
                "https://rp/cb?code=a+b&state=x%26y%3D%22",
            ),
            (
                ResponseMode::Query,
                "https://rp/cb?tab=1",
                "https://rp/cb?code=a+b&state=x%26y%3D%22&tab=1",
            ),
            (
                ResponseMode::Fragment,
                "https://rp/cb",
                "https://rp/cb#code=a+b&state=x%26y%3D%22",
            ),
        ] {
            let response = mode.respond(uri, &fields);
            assert_eq!(response.status(), StatusCode::FOUND);
            assert_eq!(location(&response), target);
        }
        let response = ResponseMode::FormPost.respond("https://rp/cb", &fields);
        assert_eq!(response.status(), StatusCode::OK);
        assert!(response.headers().get(LOCATION).is_none());
    }

    #[test]
    fn a_mode_that_is_not_offered_is_none() {
        assert_eq!(ResponseMode::read(Some("web_message")), None);
        assert_eq!(ResponseMode::read(None), Some(ResponseMode::Query));
    }
}
