//! Pages that people see: a few forms, without a script but for the one that hands a form on.
//!
//! Text goes into a page by [`escaped`] alone. A page may load nothing, be framed by nobody and be
//! kept nowhere, and tells the next site nothing about itself.

use axum::{
    http::{
        HeaderValue, StatusCode,
        header::{
            CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY,
            X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
        },
    },
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use model::sha256;

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;margin:0;background:#f4f4f2;color:#222}\
main{max-width:24rem;margin:12vh auto;padding:2rem;background:#fff;border:1px solid #ddd}\
h1{font-size:1.25rem;margin:0 0 1rem}label{display:block;margin:.75rem 0 .25rem}\
input{box-sizing:border-box;width:100%;padding:.5rem;font:inherit}\
button{margin-top:1rem;padding:.5rem 1.25rem;font:inherit}\
.problem{color:#a00}.small{color:#666;font-size:.85rem}";

/// Hands a form on without a click; browsers without scripts show its button.
const SUBMIT: &str = "document.forms[0].submit();";

/// A page.
pub(crate) struct Page {
    /// What it is about.
    pub(crate) title: &'static str,
    /// HTML, escaped where it must be.
    pub(crate) body: String,
    /// Whether its form hands itself on.
    pub(crate) submits: bool,
    /// The status of the answer.
    pub(crate) status: StatusCode,
}

impl Page {
    /// A page that waits for the person.
    pub(crate) fn new(title: &'static str, body: String) -> Self {
        Self {
            title,
            body,
            submits: false,
            status: StatusCode::OK,
        }
    }
}

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        let script = if self.submits { SUBMIT } else { "" };
        let hash = |text: &str| STANDARD.encode(sha256(text.as_bytes()));
        let scripts = if self.submits {
            format!("'sha256-{}'", hash(script))
        } else {
            "'none'".to_owned()
        };
        let policy = format!(
            "default-src 'none'; style-src 'sha256-{}'; script-src {scripts}; base-uri 'none'; \
             frame-ancestors 'none'",
            hash(STYLE),
        );
        let tail = if self.submits {
            format!("<script>{SUBMIT}</script>")
        } else {
            String::new()
        };
        let html = format!(
            "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
             <title>{title}</title><style>{STYLE}</style></head>\
             <body><main><h1>{title}</h1>{body}</main>{tail}</body></html>\n",
            title = escaped(self.title),
            body = self.body,
        );
        let headers = [
            (CONTENT_TYPE, "text/html; charset=utf-8"),
            (CACHE_CONTROL, "no-store"),
            (REFERRER_POLICY, "no-referrer"),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (X_FRAME_OPTIONS, "DENY"),
        ];
        let mut response = (self.status, headers, html).into_response();
        if let Ok(policy) = HeaderValue::from_str(&policy) {
            response
                .headers_mut()
                .insert(CONTENT_SECURITY_POLICY, policy);
        }
        response
    }
}

/// A text as the content of an element, or as an attribute in double quotes.
pub(crate) fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            other => html.push(other),
        }
    }
    html
}

/// A field that the person does not see.
pub(crate) fn hidden(name: &str, value: &str) -> String {
    format!(
        "<input type=\"hidden\" name=\"{}\" value=\"{}\">",
        escaped(name),
        escaped(value)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_cannot_leave_its_place() {
        let field = hidden("state", "\"><script>alert('x')</script>&amp;");
        assert_eq!(
            field,
            "<input type=\"hidden\" name=\"state\" value=\"&quot;&gt;&lt;script&gt;\
             alert(&#39;x&#39;)&lt;/script&gt;&amp;amp;\">"
        );
    }

    #[test]
    fn a_page_runs_its_own_script_or_none() {
        let policy = |page: Page| {
            let response = page.into_response();
            let policy = &response.headers()[CONTENT_SECURITY_POLICY];
            policy.to_str().unwrap().to_owned()
        };
        let quiet = policy(Page::new("x", String::new()));
        assert!(quiet.contains("script-src 'none'"), "{quiet}");
        let submitting = Page {
            submits: true,
            ..Page::new("x", String::new())
        };
        let submitting = policy(submitting);
        assert!(submitting.contains("script-src 'sha256-"), "{submitting}");
    }
}
