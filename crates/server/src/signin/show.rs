//! The pages of a sign-in.

use askama::Template;
use axum::response::Response;
use protocol::factor::Method;

use super::{Purpose, flow::Flow};
use crate::{
    error::Refusal,
    pages::{Manner, SECURITY_KEY, answer, form_target},
};

/// What a form carries from one request to the next.
pub(super) struct Held<'a> {
    /// The name of the field.
    pub(super) field: &'static str,
    /// The sealed flow, or what names the attempt.
    pub(super) value: &'a str,
}

/// A way that may be tried.
struct Way {
    step: String,
    known_as: &'static str,
    label: &'static str,
}

/// What the page asks for.
pub(super) enum Ask<'a> {
    Password,
    AccessPass,
    Code,
    /// With what the browser hands to it.
    SecurityKey(&'a str),
    /// To be typed at a page of ours.
    Number(u32, &'a str),
    /// Nothing but which way it shall be.
    Choice,
}

impl Ask<'_> {
    fn is_password(&self) -> bool {
        matches!(self, Self::Password)
    }
}

#[derive(Template)]
#[template(path = "name.html")]
struct Name<'a> {
    app: &'a str,
    held: Held<'a>,
    name: &'a str,
    problem: Option<&'a str>,
}

/// A page that asks for one thing.
#[derive(Template)]
#[template(path = "factor.html")]
struct Factor<'a> {
    ask: Ask<'a>,
    held: Held<'a>,
    name: &'a str,
    problem: Option<&'a str>,
    ways: Vec<Way>,
}

/// What a page is about.
pub(super) struct Sheet<'a> {
    pub(super) flow: &'a Flow,
    pub(super) held: Held<'a>,
    /// Whose sign-in it is.
    pub(super) name: &'a str,
    pub(super) problem: Option<&'a str>,
    /// What else may be tried.
    pub(super) ways: Vec<Method>,
}

impl Sheet<'_> {
    /// Asks for the name.
    pub(super) fn name(self) -> Result<Response, Refusal> {
        let page = Name {
            app: self.flow.purpose.name(),
            held: self.held,
            name: self.name,
            problem: self.problem,
        };
        Ok(answer(&page, manner(self.flow)))
    }

    /// Asks for one thing.
    pub(super) fn ask(self, ask: Ask<'_>) -> Result<Response, Refusal> {
        let script = matches!(ask, Ask::SecurityKey(_)).then_some(SECURITY_KEY);
        let page = Factor {
            ask,
            held: self.held,
            name: self.name,
            problem: self.problem,
            ways: self.ways.iter().map(way).collect(),
        };
        let manner = Manner {
            script,
            ..manner(self.flow)
        };
        Ok(answer(&page, manner))
    }
}

fn way(method: &Method) -> Way {
    let (known_as, label) = match method {
        Method::SecurityKey => ("FidoKey", "Use a passkey or security key"),
        Method::Approval => (
            "PhoneAppNotification",
            "Approve where I am signed in already",
        ),
        Method::Otp => ("PhoneAppOTP", "Use a code of my authenticator app"),
        Method::AccessPass => ("AccessPass", "Use a Temporary Access Pass"),
    };
    Way {
        step: format!("way:{}", method.as_str()),
        known_as,
        label,
    }
}

/// The redirect after the last form leads to the client.
fn manner(flow: &Flow) -> Manner {
    let forms_to = match &flow.purpose {
        Purpose::Client { request, .. } => form_target(&request.reply_to.redirect_uri),
        Purpose::DeviceCode { .. } | Purpose::Page { .. } => None,
    };
    Manner {
        forms_to,
        ..Manner::default()
    }
}
